#ifndef GP_LOCK_CPU_H
#define GP_LOCK_CPU_H

/* CPU times of threads within a session: of their off time, that is no wait. */

#include "base/gp_buffer.h"
#include "locks/gp_lock_books.h"

/* Note the CPU times of all threads so far, for a session that begins. Without memory for them, threads that
 * were there before count with all of theirs. Calls malloc. */
void gp_lock_cpu_begin(gp_lock_session *session);

/* Append the CPU times of threads since then (LOCK, docs/recording-format.md). Under the books' lock. */
void gp_lock_cpu_write(const gp_lock_session *session, gp_buffer *buffer);

#endif
