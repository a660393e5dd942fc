#ifndef GP_LOOP_WATCH_H
#define GP_LOOP_WATCH_H

/* The longest callbacks of event loops, for all sessions at the main GIL that want sites. Part of the tracer
 * (gp_tracer.h); knows no Python. */

#include "books/gp_gil_state.h"

/* A callback must last longer, in ticks, to be of interest to any session. Any thread. */
extern _Atomic uint64_t gp_loop_watch_floor;

/* A session begins: shorter callbacks are of interest again. With the GIL. */
void gp_loop_watch_begin(void);

/* A callback has ended; its account, looks and seen place are filled in here. The calling thread ran it, and
 * has the GIL. */
void gp_loop_watch_tell(gp_callback *callback, const void *thread_state);

#endif
