/* What stands under the C interface (CHandles): handles that many threads use and release, errors of each thread, and
 * calls whose work is done on a thread with more stack. */
#define _POSIX_C_SOURCE 200809L
#include "CHandles.h"
#include "tally.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, HANDLES = 64, ROUNDS = 3000, SMALL_STACK = 128 << 10 };

typedef struct {
    int users; /* plain: only the thread that holds the handle may touch it */
} thing;

static _Atomic(void *) handles[HANDLES];
static thing things[HANDLES * ROUNDS];
static atomic_int next_thing, dropped;

static void *fresh(void) { return ch_create(CH_MODEL, &things[atomic_fetch_add(&next_thing, 1)]); }

/* Uses, cancels, releases and replaces handles at random. */
static void *use(void *seed) {
    unsigned state = *(unsigned *)seed;
    for (int round = 0; round < ROUNDS; round++) {
        state = state * 1664525u + 1013904223u;
        unsigned slot = (state >> 16) % HANDLES;
        void *handle = atomic_load(&handles[slot]), *object = NULL;
        int32_t status = ch_acquire(handle, CH_MODEL, &object);
        if (status == CH_OK) {
            thing *held = object;
            TALLY(held->users++ == 0);
            int32_t *flag = ch_cancel_flag(handle);
            if (ch_flag_load(flag)) ch_flag_clear(flag);
            held->users--;
            if (ch_finish(handle)) atomic_fetch_add(&dropped, 1);
        } else {
            TALLY(status == CH_BUSY || status == CH_RELEASED);
        }
        ch_cancel(handle, CH_MODEL);
        if (state >> 28 == 0) {
            void *other = fresh();
            void *old = atomic_exchange(&handles[slot], other);
            if (ch_release(old, CH_MODEL)) atomic_fetch_add(&dropped, 1);
            TALLY(ch_release(old, CH_MODEL) == NULL);
        }
        if (state >> 27 & 1) ch_set_wait(handle, state >> 26 & 1 ? 20000 : 0);
        ch_set_handle_error(handle, "of a handle", 11);
        char *error = ch_handle_error(handle, &status);
        if (error) TALLY(status == CH_OK && (error[0] == 0 || strcmp(error, "of a handle") == 0));
        free(error);
    }
    return NULL;
}

static void handles_belong_to_one_thread_at_a_time(void) {
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    for (int i = 0; i < HANDLES; i++) atomic_store(&handles[i], fresh());
    for (int i = 0; i < THREADS; i++) {
        seeds[i] = 17u * (unsigned)(i + 1);
        pthread_create(&threads[i], NULL, use, &seeds[i]);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < HANDLES; i++) {
        if (ch_release(atomic_load(&handles[i]), CH_MODEL)) atomic_fetch_add(&dropped, 1);
    }
    TALLY(atomic_load(&dropped) == atomic_load(&next_thing)); /* each object came back, once */
}

static void *shared_handle;
static thing shared_thing;

/* Each of them waits for all others: nobody is refused, and nobody is forgotten. */
static void *wait_and_use(void *unused) {
    (void)unused;
    for (int round = 0; round < ROUNDS; round++) {
        void *object = NULL;
        int32_t (*acquire)(const void *, uint32_t, void **) = round & 1 ? ch_acquire : ch_acquire_patiently;
        TALLY(acquire(shared_handle, CH_MODEL, &object) == CH_OK);
        thing *held = object;
        TALLY(held->users++ == 0);
        held->users--;
        TALLY(ch_finish(shared_handle) == NULL);
    }
    return NULL;
}

static void threads_wait_for_a_handle(void) {
    pthread_t threads[THREADS];
    shared_handle = ch_create(CH_MODEL, &shared_thing);
    TALLY(ch_set_wait(shared_handle, UINT64_C(600000000000)) == CH_OK);
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, wait_and_use, NULL);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    TALLY(ch_release(shared_handle, CH_MODEL) == &shared_thing);
}

typedef struct {
    pthread_t caller;
    int depth, calls, on_other_thread;
} call;

static void back(void *context) {
    call *call = context;
    TALLY(pthread_equal(call->caller, pthread_self()) && ch_in_callback());
    TALLY(strcmp(ch_last_error(), "of the caller") == 0);
    call->calls++;
}

static void deep_work(void *context) {
    volatile char room[200 << 10];
    memset((char *)room, 1, sizeof room);
    call *call = context;
    call->depth += room[sizeof room - 1];
    call->on_other_thread += !pthread_equal(call->caller, pthread_self());
    for (int i = 0; i < 5; i++) ch_run_on_caller(back, call);
}

static void nested_back(void *context) {
    call *call = context;
    TALLY(ch_run_deep(deep_work, call) == 0); /* a callback may call the library */
    TALLY(ch_in_callback());
}

static void nested_work(void *context) { ch_run_on_caller(nested_back, context); }

static void *deep_calls(void *expected) {
    ch_set_error("of the caller", 13);
    for (int i = 0; i < 50; i++) {
        call call = {.caller = pthread_self()};
        TALLY(ch_run_deep(deep_work, &call) == 0);
        TALLY(call.depth == 1 && call.calls == 5 && call.on_other_thread == *(int *)expected);
        TALLY(ch_run_deep(nested_work, &call) == 0);
        TALLY(call.depth == 2 && call.calls == 10 && !ch_in_callback());
    }
    return NULL;
}

static void small_stacks_get_a_thread(void) {
    pthread_t threads[THREADS];
    pthread_attr_t attributes;
    int small = 1, large = 0;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, SMALL_STACK);
    for (int i = 0; i < THREADS; i++) TALLY(pthread_create(&threads[i], &attributes, deep_calls, &small) == 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    deep_calls(&large);
    pthread_attr_setstacksize(&attributes, 2 << 20);
    pthread_create(&threads[0], &attributes, deep_calls, &large);
    pthread_join(threads[0], NULL);
    pthread_attr_destroy(&attributes);
}

int main(void) {
    handles_belong_to_one_thread_at_a_time();
    threads_wait_for_a_handle();
    small_stacks_get_a_thread();
    return tally_summary();
}
