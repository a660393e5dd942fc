#ifndef GP_GUARD_H
#define GP_GUARD_H

/* Completes a recording when a signal ends the process: SIGTERM or SIGHUP, where the action is the default
 * one. Our handler then has everything written, and ends the process by the same signal, so that the parent
 * sees the same as without us. A program that sets its own action replaces ours.
 *
 * In a forked child the default action is restored; exec restores it by itself.
 *
 * The same when the interpreter ends the process by _exit, which no other code of the process sees: its
 * import slot leads to us (gp_hooks.h), for good. Where there is no tracer, nothing here does anything. */

#include <stdbool.h>

#include "recording/gp_recorder.h"

/* Hook the calls of _exit from the object that contains this address, and the calls after which a path may
 * not lead to a recording any more (gp_recorder_pin_files). Does nothing the second time. Without the GIL:
 * takes the loader's lock. */
void gp_guard_watch_calls(const void *interpreter);

/* Call this before the functions below. Any thread; hold no lock that a thread that forks may want, such as
 * the GIL (pthread_atfork). */
void gp_guard_prepare(void);

/* Guard a recorder. Returns false and does nothing if another one is guarded, and in process 1, for which the
 * system ignores such signals. Any thread. */
bool gp_guard_begin(gp_recorder *recorder);

/* Stop guarding this recorder, if it is the guarded one; before it is finished. Restores the default actions
 * where ours are still in place. Waits for a handler that is running. Any thread. */
void gp_guard_end(const gp_recorder *recorder);

#endif
