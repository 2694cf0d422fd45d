// Forks wait while something is opened. What a process makes once, such as the Swift runtime's constants and Jansson's
// seed, is made in the first openings: a child that came in the midst of it would wait for ever for a thread that it
// does not have.
#define _GNU_SOURCE
#include "CHandles.h"
#include <pthread.h>

static pthread_rwlock_t gate;

static void make_gate(void) {
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
#ifdef __GLIBC__
    // Else one opening after another would keep a fork out.
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    pthread_rwlock_init(&gate, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

static void before_fork(void) { pthread_rwlock_wrlock(&gate); }
static void in_parent(void) { pthread_rwlock_unlock(&gate); }

static void in_child(void) {
    make_gate();
    ch_reset_locks();
}

__attribute__((constructor)) static void start(void) {
    make_gate();
    pthread_atfork(before_fork, in_parent, in_child);
}

void ch_opening(void) { pthread_rwlock_rdlock(&gate); }
void ch_opened(void) { pthread_rwlock_unlock(&gate); }
