#ifndef GP_GUARD_H
#define GP_GUARD_H

/* Has a recording end well when a signal ends the process: SIGTERM and SIGHUP, where their action is the
 * default one. A handler of ours then has everything written, and dies by the same signal, so that the parent
 * sees what it would have seen. A program that sets an action of its own simply replaces ours.
 *
 * In a forked child the default action is back; exec brings it back by itself.
 *
 * And when the interpreter ends the process by _exit, which no other code of the process sees: its import
 * slot leads to us (gp_hooks.h), for good. Where there is no tracer all of this does nothing. */

#include <stdbool.h>

#include "recording/gp_recorder.h"

/* Have calls of _exit noticed that the object which contains this address makes, and those after which a path
 * may not lead to a recording any more (gp_recorder_pin_files); nothing the second time. Must be called
 * without the GIL, for it takes a lock of the loader. */
void gp_guard_watch_calls(const void *interpreter);

/* Before the first of the following. Any thread; not with a lock held that who forks may want, as the GIL is
 * (pthread_atfork). */
void gp_guard_prepare(void);

/* Guard a recorder. False, and nothing done, if another one is guarded, or in the process with number 1,
 * which the system spares from such signals. Any thread. */
bool gp_guard_begin(gp_recorder *recorder);

/* Cease to guard this recorder, if it is the one, before it is finished; the default actions come back where
 * ours are still in place. Waits for a handler that is running. Any thread. */
void gp_guard_end(const gp_recorder *recorder);

#endif
