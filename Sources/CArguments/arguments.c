#include "CArguments.h"
#include <stddef.h>
#if defined(__linux__)
#include <features.h>
#endif

static int argument_count;
static char **argument_words;

#if defined(__GLIBC__) || defined(__APPLE__)
__attribute__((constructor)) static void keep_arguments(int count, char **words) {
    argument_count = count;
    argument_words = words;
}
#endif

char **dpo_arguments(int *count) {
    *count = argument_count;
    return argument_words;
}
