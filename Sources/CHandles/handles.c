#define _GNU_SOURCE /* strndup */
#include "CHandles.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* A handle's bits, low to high: 3 flags (0 in what the host sees), 4 kind, 20 slot, 19 generation. 46 bits pass for a
 * user-space address in any language binding. */
enum { KIND_SHIFT = 3, SLOT_SHIFT = 7, GENERATION_SHIFT = 27, CHUNK_CELLS = 1024, CHUNKS = 1024 };
#define MAX_GENERATION ((1u << 19) - 1)
#define BUSY UINT64_C(1)
#define RELEASED UINT64_C(2)
#define CLAIMED UINT64_C(4) /* while a cell is being filled */

typedef struct {
    _Atomic uint64_t word; /* 0: free; else the handle and its flags */
    void *object;
    uint32_t generation; /* of the last handle in this cell */
    _Atomic int32_t cancel;
    pid_t process;
    _Atomic uintptr_t owner, frame; /* the thread that uses it, and where on its stack that began */
    _Atomic uint64_t wait;          /* ns that a call waits for another */
    char *error;                    /* under error_lock */
} cell;

static _Atomic(cell *) chunks[CHUNKS];
static _Atomic uint32_t cursor; /* where the next search for a free cell starts: freed cells rest as long as possible */

#ifdef __APPLE__
#define WAIT_CLOCK CLOCK_REALTIME /* the only one that conditions know there */
#else
#define WAIT_CLOCK CLOCK_MONOTONIC
#endif

static pthread_mutex_t error_lock;
static pthread_mutex_t wait_lock;
static pthread_cond_t freed; /* a handle, while there are waiting calls */
static _Atomic int waiting;

__attribute__((constructor)) void ch_reset_locks(void) {
    pthread_condattr_t attributes;
    pthread_mutex_init(&error_lock, NULL);
    pthread_mutex_init(&wait_lock, NULL);
    pthread_condattr_init(&attributes);
#ifndef __APPLE__
    pthread_condattr_setclock(&attributes, WAIT_CLOCK);
#endif
    pthread_cond_init(&freed, &attributes);
    pthread_condattr_destroy(&attributes);
    atomic_store(&waiting, 0);
}

static uint64_t bits_of(const void *handle) { return (uint64_t)(uintptr_t)handle; }

static cell *cell_at(uint32_t slot) {
    if (slot >= CHUNKS * CHUNK_CELLS) return NULL;
    cell *chunk = atomic_load(&chunks[slot / CHUNK_CELLS]);
    return chunk ? &chunk[slot % CHUNK_CELLS] : NULL;
}

/* The cell that a handle names, whatever is in it now. */
static cell *cell_of(uint64_t bits) {
    if (bits & 7 || bits >> (GENERATION_SHIFT + 19)) return NULL;
    return cell_at((uint32_t)(bits >> SLOT_SHIFT) & (CHUNKS * CHUNK_CELLS - 1));
}

static uint32_t kind_of(uint64_t bits) { return (uint32_t)(bits >> KIND_SHIFT) & 15; }
static uint32_t generation_of(uint64_t bits) { return (uint32_t)(bits >> GENERATION_SHIFT); }

/* Number of cells, which is a multiple of CHUNK_CELLS. */
static uint32_t cell_count(void) {
    uint32_t count = 0;
    while (count < CHUNKS && atomic_load(&chunks[count])) count++;
    return count * CHUNK_CELLS;
}

static int add_chunk(uint32_t index) {
    if (index >= CHUNKS) return 0;
    cell *fresh = calloc(CHUNK_CELLS, sizeof(cell));
    if (!fresh) return 0;
    cell *none = NULL;
    if (!atomic_compare_exchange_strong(&chunks[index], &none, fresh)) free(fresh);
    return 1;
}

/* A free cell, marked as claimed. */
static cell *claim(uint32_t *slot) {
    for (;;) {
        uint32_t count = cell_count();
        for (uint32_t tried = 0; tried < count; tried++) {
            *slot = atomic_fetch_add(&cursor, 1) % count;
            cell *candidate = cell_at(*slot);
            uint64_t none = 0;
            if (!candidate || !atomic_compare_exchange_strong(&candidate->word, &none, CLAIMED)) continue;
            if (candidate->generation < MAX_GENERATION) return candidate; /* a worn-out cell stays claimed */
        }
        if (!add_chunk(count / CHUNK_CELLS)) return NULL;
    }
}

static void set_error(cell *cell, char *text) {
    pthread_mutex_lock(&error_lock);
    char *old = cell->error;
    cell->error = text;
    pthread_mutex_unlock(&error_lock);
    free(old);
}

void *ch_create(uint32_t kind, void *object) {
    uint32_t slot;
    cell *cell = claim(&slot);
    if (!cell) return NULL;
    set_error(cell, NULL);
    cell->object = object;
    cell->generation++;
    cell->process = getpid();
    atomic_store(&cell->cancel, 0);
    atomic_store(&cell->wait, 0);
    uint64_t bits = ((uint64_t)cell->generation << GENERATION_SHIFT) | ((uint64_t)slot << SLOT_SHIFT) |
                    ((uint64_t)kind << KIND_SHIFT);
    atomic_store(&cell->word, bits);
    return (void *)(uintptr_t)bits;
}

/* Whether the use of a busy cell began on this thread in a frame that is gone: below `here`, or where `here` is now. */
static int is_abandoned(cell *cell, uintptr_t here) {
    uintptr_t frame = atomic_load(&cell->frame);
    return atomic_load(&cell->owner) == (uintptr_t)pthread_self() && here >= frame && ch_is_on_stack(frame) &&
           ch_is_on_stack(here);
}

/* The cell of a handle that looks like one. */
static int32_t find(uint64_t bits, cell **cell) {
    if (!bits) return CH_NULL;
    *cell = cell_of(bits);
    return *cell && kind_of(bits) >= CH_MODEL && kind_of(bits) <= CH_COMMUNICATOR && generation_of(bits) ? CH_OK
                                                                                                         : CH_FOREIGN;
}

/* The same of one that can be used. */
static int32_t find_valid(const void *handle, cell **cell) {
    int32_t status = find(bits_of(handle), cell);
    if (status != CH_OK) return status;
    if ((atomic_load(&(*cell)->word) & ~BUSY) != bits_of(handle)) return CH_RELEASED;
    return (*cell)->process == getpid() ? CH_OK : CH_FORKED;
}

static int32_t try_acquire(cell *cell, uint64_t bits, uintptr_t here) {
    uint64_t found = bits;
    if (!atomic_compare_exchange_strong(&cell->word, &found, bits | BUSY)) {
        if (found != (bits | BUSY)) return CH_RELEASED;
        if (cell->process != getpid()) return CH_FORKED;
        return is_abandoned(cell, here) ? CH_ABANDONED : CH_BUSY;
    }
    if (cell->process != getpid()) {
        atomic_store(&cell->word, bits);
        return CH_FORKED;
    }
    atomic_store(&cell->owner, (uintptr_t)pthread_self());
    atomic_store(&cell->frame, here);
    return CH_OK;
}

/* Waits so many nanoseconds for a busy handle. */
static int32_t wait_to_acquire(cell *cell, uint64_t bits, uintptr_t here, uint64_t wait) {
    struct timespec end;
    clock_gettime(WAIT_CLOCK, &end);
    wait += (uint64_t)end.tv_nsec;
    end.tv_sec += (time_t)(wait / 1000000000);
    end.tv_nsec = (long)(wait % 1000000000);

    int32_t status;
    int late = 0;
    pthread_mutex_lock(&wait_lock);
    atomic_fetch_add(&waiting, 1);
    while ((status = try_acquire(cell, bits, here)) == CH_BUSY && !late) {
        late = pthread_cond_timedwait(&freed, &wait_lock, &end) == ETIMEDOUT;
    }
    atomic_fetch_sub(&waiting, 1);
    pthread_mutex_unlock(&wait_lock);
    return status;
}

static int32_t acquire(const void *handle, uint32_t kind, uintptr_t here, int is_patient, void **object) {
    uint64_t bits = bits_of(handle);
    cell *cell;
    int32_t status = find(bits, &cell);
    if (status != CH_OK) return status;
    if (kind_of(bits) != kind) return CH_OTHER_KIND;
    status = try_acquire(cell, bits, here);
    if (status == CH_BUSY) {
        uint64_t wait = is_patient ? CH_FOR_EVER : ch_in_callback() ? 0 : atomic_load(&cell->wait);
        if (wait) status = wait_to_acquire(cell, bits, here, wait);
    }
    if (status == CH_OK) *object = cell->object;
    return status;
}

int32_t ch_acquire(const void *handle, uint32_t kind, void **object) {
    return acquire(handle, kind, (uintptr_t)__builtin_frame_address(0), 0, object);
}

int32_t ch_acquire_patiently(const void *handle, uint32_t kind, void **object) {
    return acquire(handle, kind, (uintptr_t)__builtin_frame_address(0), 1, object);
}

static void tell_waiting(void) {
    if (!atomic_load(&waiting)) return;
    pthread_mutex_lock(&wait_lock);
    pthread_cond_broadcast(&freed);
    pthread_mutex_unlock(&wait_lock);
}

/* Empties a cell that nobody else can acquire. The object of a parent process is left alone. */
static void *take(cell *cell) {
    void *object = cell->process == getpid() ? cell->object : NULL;
    cell->object = NULL;
    set_error(cell, NULL);
    atomic_store(&cell->owner, 0);
    atomic_store(&cell->word, 0);
    return object;
}

void *ch_finish(const void *handle) {
    uint64_t bits = bits_of(handle);
    cell *cell = cell_of(bits);
    if (!cell || (atomic_load(&cell->word) | RELEASED) != (bits | BUSY | RELEASED)) return NULL;
    /* Before the next thread may acquire it: until that has said who it is, it must not look like this one. */
    atomic_store(&cell->owner, 0);
    uint64_t found = bits | BUSY;
    void *object = NULL;
    if (!atomic_compare_exchange_strong(&cell->word, &found, bits) && found == (bits | BUSY | RELEASED))
        object = take(cell);
    tell_waiting();
    return object;
}

void *ch_release(const void *handle, uint32_t kind) {
    uint64_t bits = bits_of(handle);
    cell *cell = bits && kind_of(bits) == kind ? cell_of(bits) : NULL;
    if (!cell) return NULL;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    for (;;) {
        uint64_t found = bits;
        if (atomic_compare_exchange_strong(&cell->word, &found, bits | BUSY | RELEASED)) return take(cell);
        if (found != (bits | BUSY)) return NULL;
        int abandoned = cell->process == getpid() && is_abandoned(cell, here);
        if (atomic_compare_exchange_strong(&cell->word, &found, bits | BUSY | RELEASED)) {
            tell_waiting();
            return abandoned ? take(cell) : NULL;
        }
    }
}

void ch_cancel(const void *handle, uint32_t kind) {
    uint64_t bits = bits_of(handle);
    cell *cell = bits && kind_of(bits) == kind ? cell_of(bits) : NULL;
    if (cell && (atomic_load(&cell->word) & ~UINT64_C(7)) == bits) atomic_store(&cell->cancel, 1);
}

int32_t *ch_cancel_flag(const void *handle) {
    cell *cell = cell_of(bits_of(handle));
    return cell ? (int32_t *)&cell->cancel : NULL;
}

int32_t ch_flag_load(const int32_t *flag) {
    return atomic_load_explicit((const _Atomic int32_t *)flag, memory_order_relaxed);
}

void ch_flag_clear(int32_t *flag) { atomic_store((_Atomic int32_t *)flag, 0); }

int32_t ch_set_wait(const void *handle, uint64_t nanoseconds) {
    cell *cell;
    int32_t status = find_valid(handle, &cell);
    if (status == CH_OK) atomic_store(&cell->wait, nanoseconds);
    return status;
}

void ch_set_handle_error(const void *handle, const char *text, size_t size) {
    cell *cell;
    if (find_valid(handle, &cell) != CH_OK) return;
    char *copy = strndup(text, size);
    if (copy) set_error(cell, copy);
}

char *ch_handle_error(const void *handle, int32_t *status) {
    cell *cell;
    *status = find_valid(handle, &cell);
    if (*status != CH_OK) return NULL;
    pthread_mutex_lock(&error_lock);
    char *copy = strdup(cell->error ? cell->error : "");
    pthread_mutex_unlock(&error_lock);
    return copy;
}
