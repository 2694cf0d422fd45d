/* Counts checks, from any thread. */
#ifndef TALLY_H
#define TALLY_H
#include <stdatomic.h>
#include <stdio.h>

static atomic_int tally_passed, tally_failed;

#define TALLY(condition)                                                                                               \
    do {                                                                                                               \
        if (condition) {                                                                                               \
            atomic_fetch_add(&tally_passed, 1);                                                                        \
        } else {                                                                                                       \
            atomic_fetch_add(&tally_failed, 1);                                                                        \
            printf("FAILED %s:%d: %s\n", __FILE__, __LINE__, #condition);                                              \
        }                                                                                                              \
    } while (0)

static inline int tally_summary(void) {
    printf("%d passed, %d failed\n", atomic_load(&tally_passed), atomic_load(&tally_failed));
    return atomic_load(&tally_failed) != 0;
}
#endif
