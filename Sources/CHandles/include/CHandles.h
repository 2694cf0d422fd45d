#ifndef CHANDLES_H
#define CHANDLES_H
#include <stddef.h>
#include <stdint.h>

/* Handles of the C interface, each thread's last error, and work that needs more stack than the caller's thread may
 * have.
 *
 * A handle is a number in a pointer's clothes: (generation, slot, kind). It is looked up in a table that only grows and
 * is never dereferenced, so NULL, foreign pointers, handles of another kind and released handles are all told apart
 * without touching memory that may be gone. What is done with a handle is lock-free, but for waiting and error texts,
 * whose locks are new in a child of fork(); ch_cancel is for signal handlers, too. */

enum {
    CH_MODEL = 1,
    CH_DATASET = 2,
    CH_TRAINER = 3,
    CH_COMPLETIONS = 4,
    CH_CLASSIFIER = 5,
    CH_FEEDBACK = 6,
    CH_OPTIONS = 7,
    CH_COMMUNICATOR = 8
};

enum { CH_OK = 0, CH_NULL, CH_FOREIGN, CH_OTHER_KIND, CH_RELEASED, CH_BUSY, CH_FORKED, CH_ABANDONED };

/* A handle for a non-NULL object; NULL when the table is full or memory has run out. */
void *ch_create(uint32_t kind, void *object);

/* Takes the handle for the calling thread and gives its object, or says why not. Where another call has it, waits as
 * ch_set_wait said, but not in a callback (ch_run_on_caller). Each CH_OK needs one ch_finish; one
 * that cannot come any more, because a longjmp or an exception left the frames of the use, makes the handle
 * CH_ABANDONED for its thread: it can be released, and nothing else. */
int32_t ch_acquire(const void *handle, uint32_t kind, void **object);

/* The same, but it always waits, as long as another call has the handle. */
int32_t ch_acquire_patiently(const void *handle, uint32_t kind, void **object);

/* Ends the use. Gives the object if the handle was released meanwhile, so that the caller drops it; else NULL. */
void *ch_finish(const void *handle);

/* Makes the handle invalid. Gives the object when the caller shall drop it: not if the handle is invalid already, in
 * use (then ch_finish gives it) or inherited by fork (its threads do not exist in this process). */
void *ch_release(const void *handle, uint32_t kind);

/* Asks for cancellation: one atomic store. Any thread, any signal handler; invalid handles are ignored. */
void ch_cancel(const void *handle, uint32_t kind);

/* Where ch_cancel stores 1; the address stays valid for ever. NULL for invalid handles. */
int32_t *ch_cancel_flag(const void *handle);

/* Relaxed load, and store of 0. */
int32_t ch_flag_load(const int32_t *flag);
void ch_flag_clear(int32_t *flag);

/* A century, in nanoseconds: the longest wait. */
#define CH_FOR_EVER 3000000000000000000

/* How many nanoseconds ch_acquire waits for a busy handle; 0, as it begins: not at all. CH_OK, or why the handle is of
 * no use. */
int32_t ch_set_wait(const void *handle, uint64_t nanoseconds);

/* Keeps a copy of an error's text with the handle; nothing where that is not valid. */
void ch_set_handle_error(const void *handle, const char *text, size_t size);

/* A copy of that text for free(): "" before the first. NULL where there is no memory, or *status is not CH_OK. */
char *ch_handle_error(const void *handle, int32_t *status);

/* Around the opening of a file: fork() waits for its end. Not around a callback. */
void ch_opening(void);
void ch_opened(void);

/* Makes the locks of handles.c new, in a child of fork(). */
void ch_reset_locks(void);

/* The calling thread's last error, cut at a whole character. */
void ch_set_error(const char *text, size_t size);
const char *ch_last_error(void);

/* Whether an address lies on the calling thread's own stack, rather than a coroutine's. */
int ch_is_on_stack(uintptr_t address);

/* Calls work(context): on the calling thread if its stack has room for whatever the library does, else on a thread that
 * is made for it, while the calling one waits. 0, or the errno of why no thread could be made. */
int32_t ch_run_deep(void (*work)(void *), void *context);

/* Calls back(context) on the thread that called the ch_run_deep this runs in. */
void ch_run_on_caller(void (*back)(void *), void *context);

/* Whether the calling thread runs a callback. */
int ch_in_callback(void);

#endif
