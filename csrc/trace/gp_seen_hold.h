#ifndef GP_SEEN_HOLD_H
#define GP_SEEN_HOLD_H

/* The hold that is under way and for which others wait, and where its thread is: for a recording, which may
 * end with it (docs/recording-format.md, SEEN). */

#include "books/gp_attribution.h"
#include "trace/gp_stall_look.h"

/* Why a hold was looked at. */
typedef enum {
    GP_SEEN_AT_SNAPSHOT, /* it was under way in the snapshot before */
    GP_SEEN_IN_STALL,    /* it had made others wait for long */
} gp_seen_reason;

/* What the operating system said of the thread. */
typedef enum {
    GP_SEEN_UNKNOWN,
    GP_SEEN_RUNS,
    GP_SEEN_BLOCKED, /* in the kernel */
    GP_SEEN_STOPPED, /* by a debugger */
} gp_seen_state;

typedef struct {
    gp_stall_look_hold hold; /* thread NULL: there is none */
    gp_seen_state state;
    gp_look look;
} gp_seen_hold;

/* Look. Without any lock of the tracer's, in a thread of ours: this makes some system calls. */
void gp_seen_hold_look(gp_session *session, gp_seen_hold *seen);

/* Between gp_trace_parts_lock, which answered `now`, and unlock: charge what has been summed up, have the
 * recording tell what was seen, and set cpu_now. Returns the hold's place in the session; GP_ROW_NONE if
 * there is no such hold, or it is over. */
uint32_t gp_seen_hold_book(gp_session *session, const gp_seen_hold *seen, uint64_t now);

/* Have the recordings of all traces of the main GIL tell of a hold that makes others wait for long. Any
 * thread, as gp_tracer_look. */
void gp_seen_hold_in_stall(const gp_stall_look *stall, const gp_look *look, uint64_t now);

#endif
