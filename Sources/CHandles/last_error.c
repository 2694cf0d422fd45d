#include "CHandles.h"
#include <string.h>

static _Thread_local char last_error[4096];

void ch_set_error(const char *text, size_t size) {
    if (size >= sizeof last_error) {
        size = sizeof last_error - 1;
        while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80) size--; /* not inside a UTF-8 character */
    }
    memcpy(last_error, text, size);
    last_error[size] = 0;
}

const char *ch_last_error(void) { return last_error; }
