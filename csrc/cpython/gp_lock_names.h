#ifndef GP_LOCK_NAMES_H
#define GP_LOCK_NAMES_H

/* What a lock is: the object that it belongs to, and what the program calls that. By the thread that waits
 * for it, which may be detached: its own frames are read directly, all else by safe reads. */

#include <stdbool.h>
#include <stdint.h>

#include "base/gp_buffer.h"

/* Append what the lock at `key` is: see gp_lock_host. `frame` is the thread's innermost, NULL if it runs no
 * Python code. */
void gp_lock_names_append(uintptr_t key, bool parked, const void *frame, gp_buffer *text);

/* Append by what the calling thread had stopped all others: the collector, or what its line runs in C. */
void gp_lock_names_append_stop(gp_buffer *text);

#endif
