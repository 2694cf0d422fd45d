/* Counts checks; a failed one says where and what. */
#ifndef CHECK_H
#define CHECK_H

#include <dpo.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int checks_passed, checks_failed;

static inline void check_report(int good, const char *file, int line, const char *what) {
    if (good) {
        checks_passed++;
    } else {
        checks_failed++;
        printf("FAILED %s:%d: %s (last error: %s)\n", file, line, what, dpo_last_error());
    }
}

#define CHECK(condition) check_report((condition) != 0, __FILE__, __LINE__, #condition)

/* The call returns this status. */
#define CHECK_STATUS(status, call) check_report((call) == (status), __FILE__, __LINE__, #call " == " #status)

/* The call is refused with this status, and the last error mentions `word`. */
#define CHECK_REFUSED(status, word, call)                                                                              \
    do {                                                                                                               \
        CHECK_STATUS(status, call);                                                                                    \
        check_report(strstr(dpo_last_error(), word) != NULL, __FILE__, __LINE__,                                       \
                     "last error mentions \"" word "\" after " #call);                                                 \
    } while (0)

/* Relative to the larger of 1 and the expected number. */
static inline int near_to(double found, double expected, double tolerance) {
    double scale = fabs(expected) > 1 ? fabs(expected) : 1;
    int good = fabs(found - expected) <= tolerance * scale;
    if (!good) printf("found %.12g, expected %.12g\n", found, expected);
    return good;
}

static inline int check_summary(void) {
    printf("%d passed, %d failed\n", checks_passed, checks_failed);
    return checks_failed != 0;
}

#endif
