#ifndef CHANDLES_H
#define CHANDLES_H
#include <stddef.h>
#include <stdint.h>

/* Handles of the C interface, each thread's last error, and work that needs more stack than the caller's thread may
 * have.
 *
 * A handle is a number in a pointer's clothes: (generation, slot, kind). It is looked up in a table that only grows and
 * is never dereferenced, so NULL, foreign pointers, handles of another kind and released handles are all told apart
 * without touching memory that may be gone. Everything is lock-free: usable after fork() and, for ch_cancel, in signal
 * handlers. */

enum { CH_MODEL = 1, CH_DATASET = 2, CH_TRAINER = 3, CH_COMPLETIONS = 4, CH_CLASSIFIER = 5, CH_FEEDBACK = 6 };

enum { CH_OK = 0, CH_NULL, CH_FOREIGN, CH_OTHER_KIND, CH_RELEASED, CH_BUSY, CH_FORKED, CH_ABANDONED };

/* A handle for a non-NULL object; NULL when the table is full or memory has run out. */
void *ch_create(uint32_t kind, void *object);

/* Takes the handle for the calling thread and gives its object, or says why not. Each CH_OK needs one ch_finish; one
 * that cannot come any more, because a longjmp or an exception left the frames of the use, makes the handle
 * CH_ABANDONED for its thread: it can be released, and nothing else. */
int32_t ch_acquire(const void *handle, uint32_t kind, void **object);

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

/* Around the opening of a file: fork() waits for its end. Not around a callback. */
void ch_opening(void);
void ch_opened(void);

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

#endif
