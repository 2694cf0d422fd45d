#define _GNU_SOURCE // sched_getaffinity
#include "ck_team.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Fixed, whatever the host's default is: address space may be scarce, and a task needs the same everywhere.
enum { STACK_BYTES = 1 << 20 };

typedef struct {
    ck_team *team;
    pthread_t thread;
    int32_t member;
} worker_t;

struct ck_team {
    int32_t members;
    worker_t *workers; // members - 1. The threads take and free no memory: that would cost each 64 MiB of addresses
    pthread_mutex_t serial; // one run at a time
    pthread_mutex_t lock;   // guards sleeping and waking
    pthread_cond_t wake, done;
    void (*task)(void *, int64_t, int32_t);
    void *context;
    int64_t count;
    _Alignas(64) atomic_llong next;
    _Alignas(64) atomic_ullong run; // number of the run, OPEN, and how many workers are in it
    _Alignas(64) atomic_int sleepers;
    atomic_int stop;
    int caller_sleeps;
};

// Workers may enter. A run is closed when its tasks have been handed out: who has not come by then is not waited for,
// as a worker that the system keeps from running would hold up everybody.
#define OPEN (1ull << 16)
#define INSIDE(run) ((run) & 0xffff)
#define NUMBER(run) ((run) >> 32)

// Nanoseconds after which a worker offers its processor to others, between tasks and outside the run. Else the system
// takes it from one in the midst of a task, and everybody waits for that one.
enum { TURN = 2000000 };

static inline void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// Waits up to 50 µs. The clock is read seldom: each look costs more than a pause.
#define SPIN(condition)                                                                                                \
    do {                                                                                                               \
        int64_t end = 0;                                                                                               \
        for (int turn = 0; !(condition); turn++) {                                                                     \
            pause_cpu();                                                                                               \
            if ((turn & 63) == 63) {                                                                                   \
                int64_t now = nanoseconds();                                                                           \
                if (end == 0) end = now + 50000;                                                                       \
                else if (now > end) break;                                                                             \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

// Does tasks until none is left (0) or, unless it is 0, until the time `end` (1).
static int work(ck_team *team, int32_t member, int64_t end) {
    int64_t count = team->count;
    for (;;) {
        int64_t index = atomic_fetch_add_explicit(&team->next, 1, memory_order_relaxed);
        if (index >= count) return 0;
        team->task(team->context, index, member);
        if (end != 0 && nanoseconds() > end) return 1;
    }
}

// Takes part in the current run, if it is open. The run as it is before.
static unsigned long long enter(ck_team *team) {
    unsigned long long run = atomic_load(&team->run);
    while (run & OPEN && !atomic_compare_exchange_weak(&team->run, &run, run + 1)) {}
    return run;
}

static void leave(ck_team *team) {
    unsigned long long run = atomic_fetch_sub(&team->run, 1);
    if (run & OPEN || INSIDE(run) > 1) return;
    pthread_mutex_lock(&team->lock);
    if (team->caller_sleeps) pthread_cond_signal(&team->done);
    pthread_mutex_unlock(&team->lock);
}

static void *worker(void *argument) {
    const worker_t *self = argument;
    ck_team *team = self->team;
    unsigned long long seen = 0; // number of the last run that is over for this worker
    int64_t turn = 0;
    for (;;) {
        SPIN(NUMBER(atomic_load_explicit(&team->run, memory_order_acquire)) != seen || atomic_load(&team->stop));
        if (NUMBER(atomic_load(&team->run)) == seen && !atomic_load(&team->stop)) {
            pthread_mutex_lock(&team->lock);
            atomic_fetch_add(&team->sleepers, 1);
            while (NUMBER(atomic_load(&team->run)) == seen && !atomic_load(&team->stop))
                pthread_cond_wait(&team->wake, &team->lock);
            atomic_fetch_sub(&team->sleepers, 1);
            pthread_mutex_unlock(&team->lock);
            turn = nanoseconds();
        }
        if (atomic_load(&team->stop)) return NULL;
        unsigned long long run = enter(team);
        int more = 0;
        if (run & OPEN) {
            more = work(team, self->member, turn + TURN);
            leave(team);
            if (nanoseconds() > turn + TURN) {
                sched_yield();
                turn = nanoseconds();
            }
        }
        if (!more) seen = NUMBER(run);
    }
}

static void stop_threads(ck_team *team, int32_t started) {
    pthread_mutex_lock(&team->lock);
    atomic_store(&team->stop, 1);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
    for (int32_t i = 0; i < started; i++) pthread_join(team->workers[i].thread, NULL);
    pthread_mutex_destroy(&team->serial);
    pthread_mutex_destroy(&team->lock);
    pthread_cond_destroy(&team->wake);
    pthread_cond_destroy(&team->done);
    free(team->workers);
    free(team);
}

// 0, or the reason why a worker did not start. *started counts those that did.
static int start_threads(ck_team *team, int32_t *started) {
    pthread_attr_t attributes;
    int failure = pthread_attr_init(&attributes);
    if (failure != 0) return failure;
    failure = pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); // the host's signals stay with the host's threads
    while (failure == 0 && *started < team->members - 1) {
        worker_t *next = &team->workers[*started];
        *next = (worker_t){.team = team, .member = *started + 1};
        failure = pthread_create(&next->thread, &attributes, worker, next);
        if (failure == 0) (*started)++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return failure;
}

ck_team *ck_team_create(int32_t members) {
    if (members < 1) {
        errno = EINVAL;
        return NULL;
    }
    ck_team *team = aligned_alloc(64, (sizeof(ck_team) + 63) / 64 * 64);
    if (!team) return NULL;
    *team = (ck_team){.members = members};
    team->workers = calloc((size_t)members, sizeof(worker_t));
    if (!team->workers) {
        free(team);
        return NULL;
    }
    pthread_mutex_init(&team->serial, NULL);
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->wake, NULL);
    pthread_cond_init(&team->done, NULL);
    int32_t started = 0;
    int failure = start_threads(team, &started);
    if (failure == 0) return team;
    stop_threads(team, started);
    errno = failure;
    return NULL;
}

void ck_team_destroy(ck_team *team) {
    if (team) stop_threads(team, team->members - 1);
}

void ck_team_run(ck_team *team, void (*task)(void *, int64_t, int32_t), void *context, int64_t count) {
    pthread_mutex_lock(&team->serial);
    if (count <= 1 || team->members == 1) {
        for (int64_t index = 0; index < count; index++) task(context, index, 0);
        pthread_mutex_unlock(&team->serial);
        return;
    }
    team->task = task;
    team->context = context;
    team->count = count;
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    atomic_store(&team->run, ((NUMBER(atomic_load(&team->run)) + 1) << 32) | OPEN);
    if (atomic_load(&team->sleepers) > 0) {
        pthread_mutex_lock(&team->lock);
        pthread_cond_broadcast(&team->wake);
        pthread_mutex_unlock(&team->lock);
    }
    work(team, 0, 0);
    atomic_fetch_and(&team->run, ~OPEN);
    SPIN(INSIDE(atomic_load_explicit(&team->run, memory_order_acquire)) == 0);
    if (INSIDE(atomic_load_explicit(&team->run, memory_order_acquire)) != 0) {
        pthread_mutex_lock(&team->lock);
        team->caller_sleeps = 1;
        while (INSIDE(atomic_load(&team->run)) != 0) pthread_cond_wait(&team->done, &team->lock);
        team->caller_sleeps = 0;
        pthread_mutex_unlock(&team->lock);
    }
    pthread_mutex_unlock(&team->serial);
}

int32_t ck_processors(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (int32_t)count : 1;
}

static const char own_address;

void ck_processor_mask(uint8_t *mask, size_t size) {
    memset(mask, 0xFF, size);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return;
    for (size_t i = 0; i < 8 * size; i++) {
        if (i >= CPU_SETSIZE || !CPU_ISSET(i, &set)) mask[i / 8] &= (uint8_t)~(1u << i % 8);
    }
#endif
}

const char *ck_own_file(void) {
    Dl_info information;
    return dladdr((const void *)&own_address, &information) != 0 ? information.dli_fname : NULL;
}

const char *ck_error_text(int32_t code) {
#ifdef __GLIBC__
    return strerrordesc_np(code);
#else
    return strerror(code);
#endif
}
