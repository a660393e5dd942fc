#ifndef GP_TASKS_H
#define GP_TASKS_H

/* Which task of asyncio a thread runs, read while it runs, without the GIL. Nothing is dereferenced. For the
 * looker's thread.
 *
 * Known are tasks whose coroutine is on the thread's stack: so what was read is proven to be of this thread,
 * and laid out as it is thought to be. */

#include <stddef.h>

#include "base/gp_safe_read.h"

/* Note what must be known before anything can be found. With the GIL; nothing the second time. */
void gp_tasks_prepare(void);

/* Of the coroutines on a thread's stack (NULL: a level that is none), the one that the task was made for that
 * the thread runs: its number, `count` if there is none. Writes the task's name, terminated, shortened if
 * need be; "Task-N" if nobody gave it one. */
size_t gp_tasks_read(gp_safe_reader *reader, const void *thread_state, const void *const *coroutines,
                     size_t count, char *name, size_t room);

#endif
