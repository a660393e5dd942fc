#ifndef GP_HANDSHAKE_H
#define GP_HANDSHAKE_H

/* Which of all locks are the GIL's? One release and re-acquisition of the GIL shows a sequence of calls to
 * the C library that is the same on every CPython from 3.10 to 3.15 (Python/ceval_gil.c, drop_gil and
 * take_gil). */

#include <stddef.h>

#include "base/gp_status.h"

/* What the interpreter calls. */
typedef enum {
    GP_CALL_LOCK,
    GP_CALL_TIMEDWAIT,
    GP_CALL_UNLOCK,
    GP_CALL_SIGNAL,
    GP_CALL_WAIT,
    GP_CALLS, /* their number */
} gp_call;

enum {
    GP_HANDSHAKE_MAX = 64, /* calls noted; more means that this is no interpreter that we know */
};

/* One call that was seen, and on which mutex or condition (for a wait: the condition). */
typedef struct {
    gp_call call;
    const void *object;
} gp_handshake_step;

typedef struct {
    const void *mutex, *cond, *switch_mutex, *switch_cond;
} gp_gil_locks;

/* Recognise one release and re-acquisition of the GIL. GP_EUNSUPPORTED if the steps have any other shape.
 * Pure; any thread. */
gp_status gp_handshake_recognise(const gp_handshake_step *steps, size_t count, gp_gil_locks *locks);

#endif
