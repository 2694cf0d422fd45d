#define _GNU_SOURCE /* pthread_getattr_np */
#include "CHandles.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>

/* What a call may need, with a margin: see Tests/c/test_stack.c. */
enum { NEEDED_STACK = 384 << 10, DEEP_STACK = 1 << 20 };

typedef struct {
    void (*work)(void *);
    void *context;
} task;

/* A call whose work is done on another thread, while the caller's waits and serves its callbacks. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    task call, callback;
    int in_callback; /* the caller's thread */
    int wanted;      /* there is a callback to run */
    int finished;
} errand;

static _Thread_local errand *current; /* whose work this thread does */
/* Where the outermost callback began that this thread runs; 0: none; BORROWED: the thread that waits for this one runs
 * it. What a longjmp left lies below the frames that came after it. */
static _Thread_local uintptr_t callback_frame;
#define BORROWED UINTPTR_MAX
static _Thread_local uintptr_t stack_bottom; /* 0: not known yet */
static _Thread_local uintptr_t stack_top;

/* Bytes of the calling thread's stack that are left; 0 if this is no stack of the thread (a coroutine's), or nothing is
 * known. */
static size_t stack_left(void) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (!stack_bottom) {
#ifdef __APPLE__
        stack_top = (uintptr_t)pthread_get_stackaddr_np(pthread_self());
        stack_bottom = stack_top - pthread_get_stacksize_np(pthread_self());
#else
        pthread_attr_t attributes;
        void *address = NULL;
        size_t size = 0;
        if (pthread_getattr_np(pthread_self(), &attributes) != 0) return 0;
        if (pthread_attr_getstack(&attributes, &address, &size) != 0) size = 0;
        pthread_attr_destroy(&attributes);
        if (!address || !size) return 0;
        stack_bottom = (uintptr_t)address;
        stack_top = stack_bottom + size;
#endif
    }
    return here > stack_bottom && here <= stack_top ? here - stack_bottom : 0;
}

int ch_is_on_stack(uintptr_t address) {
    stack_left();
    return address > stack_bottom && address <= stack_top;
}

static void *run(void *argument) {
    errand *errand = argument;
    current = errand;
    callback_frame = errand->in_callback ? BORROWED : 0;
    errand->call.work(errand->call.context);
    pthread_mutex_lock(&errand->lock);
    errand->finished = 1;
    pthread_cond_signal(&errand->changed);
    pthread_mutex_unlock(&errand->lock);
    return NULL;
}

/* Starts the thread with all signals blocked: the host's stay with the host's threads. */
static int start(pthread_t *thread, errand *errand) {
    pthread_attr_t attributes;
    int failure = pthread_attr_init(&attributes);
    if (failure) return failure;
    failure = pthread_attr_setstacksize(&attributes, DEEP_STACK);
    if (!failure) {
        sigset_t all, old;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        failure = pthread_create(thread, &attributes, run, errand);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    pthread_attr_destroy(&attributes);
    return failure;
}

int ch_in_callback(void) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return callback_frame && (here < callback_frame || !ch_is_on_stack(here));
}

static void call_back(task callback) {
    uintptr_t outer = ch_in_callback() ? callback_frame : 0;
    if (!outer) callback_frame = (uintptr_t)__builtin_frame_address(0);
    callback.work(callback.context);
    callback_frame = outer;
}

int32_t ch_run_deep(void (*work)(void *), void *context) {
    if (stack_left() >= NEEDED_STACK) {
        work(context);
        return 0;
    }
    errand errand = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .call = {work, context}};
    errand.in_callback = ch_in_callback();
    pthread_t thread;
    int failure = start(&thread, &errand);
    if (failure) return failure;
    int cancellation;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation); /* the other thread uses what lies on this stack */
    pthread_mutex_lock(&errand.lock);
    while (!errand.finished) {
        if (errand.wanted) {
            pthread_mutex_unlock(&errand.lock);
            call_back(errand.callback);
            pthread_mutex_lock(&errand.lock);
            errand.wanted = 0;
            pthread_cond_signal(&errand.changed);
        } else {
            pthread_cond_wait(&errand.changed, &errand.lock);
        }
    }
    pthread_mutex_unlock(&errand.lock);
    pthread_join(thread, NULL);
    pthread_setcancelstate(cancellation, NULL);
    pthread_cond_destroy(&errand.changed);
    pthread_mutex_destroy(&errand.lock);
    return 0;
}

void ch_run_on_caller(void (*work)(void *), void *context) {
    errand *errand = current;
    if (!errand) {
        call_back((task){work, context});
        return;
    }
    pthread_mutex_lock(&errand->lock);
    errand->callback = (task){work, context};
    errand->wanted = 1;
    pthread_cond_signal(&errand->changed);
    while (errand->wanted) pthread_cond_wait(&errand->changed, &errand->lock);
    pthread_mutex_unlock(&errand->lock);
}
