#ifndef CK_TEAM_H
#define CK_TEAM_H
#include <stddef.h>
#include <stdint.h>
/// A fixed set of threads that work through numbered tasks. The calling thread is member 0.
typedef struct ck_team ck_team;
/// Starts `members - 1` threads with all signals blocked and 1 MiB of stack. NULL, and errno, if memory or threads are
/// missing.
ck_team *ck_team_create(int32_t members);
/// Ends the threads. No run may be under way.
void ck_team_destroy(ck_team *team);
/// Calls task(context, index, member) once for each index in 0..<count, from all members, and returns when all have
/// returned. Indices are handed out in ascending order. Calls from several host threads are served one after another.
/// Idle members wait about 50 microseconds for more work, then sleep in the kernel. Where other programs use the
/// processors, a run does not wait for members that the system has not let begin.
void ck_team_run(ck_team *team, void (*task)(void *context, int64_t index, int32_t member), void *context,
                 int64_t count);
/// Processors that this process may run on.
int32_t ck_processors(void);

/// A bit for each processor that this process may run on, the first in the lowest bit of mask[0]; all 1 where it is not
/// known.
void ck_processor_mask(uint8_t *mask, size_t size);

/// The file that holds this code, as the loader was asked for it; NULL if it is not known.
const char *ck_own_file(void);

/* What an errno means, in English whatever the host's locale is. NULL: nothing known. */
const char *ck_error_text(int32_t code);
#endif
