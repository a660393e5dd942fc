#ifndef GP_TRACE_PARTS_H
#define GP_TRACE_PARTS_H

/* The parts of a trace: a session at the main GIL, and one at each GIL of another interpreter that it meets.
 * They are linked by gp_session.others. And how a part is read and recorded.
 *
 * Part of the tracer (gp_tracer.h). All functions must be called with the main GIL, unless they say
 * otherwise.
 */

#include "trace/gp_snapshot.h"
#include "trace/gp_wrappers.h"

enum {
    GP_TRACE_PARTS_MAX = 1024, /* other GILs that one trace takes in: their books stay to its end */
};

/* Changes whenever the watching of a GIL begins; never reused. */
extern uint32_t gp_trace_parts_generation;

/* Where the holder of another GIL is: nobody could look. */
extern const gp_call_stack gp_trace_parts_unseen;

/* A session for a GIL, not started yet; NULL without memory. Any thread. */
gp_session *gp_trace_parts_new(gp_gil *gil, bool sites, bool stacks, bool timeline, void *recorder);

/* Let a trace take in the GILs that earlier traces have found. */
void gp_trace_parts_extend(gp_session *session);

/* See gp_wrappers_recognise. */
bool gp_trace_parts_recognise(const void *const locked[2], const void *cond);

/* End a part whose books nobody can change meanwhile. `here` is where the holder is. */
void gp_trace_parts_end(gp_session *session, const gp_call_stack *here);

/* End the parts of interpreters that have ended. Any thread. */
void gp_trace_parts_close_ended(void);

/* End all parts but the main one. */
void gp_trace_parts_stop_others(gp_session *session);

/* A code object is about to be destroyed. With the GIL that guards it. */
void gp_trace_parts_forget_code(const void *code);

/* Forget the other GILs: without a trace nobody notices the end of an interpreter. */
void gp_trace_parts_forget_others(void);

/* In a forked child: nobody empties the rings any more, and the other interpreters are gone. */
void gp_trace_parts_detach_rings(void);
void gp_trace_parts_forked(void);

/* Keep a part's books from changing: with the main one, its GIL's mutex. Any thread. */
void gp_trace_parts_enter(const gp_session *session);
void gp_trace_parts_leave(const gp_session *session);

/* The same for the main GIL, whether a trace runs or not. */
void gp_trace_parts_freeze(void);
void gp_trace_parts_thaw(void);

/* Both between gp_trace_parts_enter and leave. */
gp_gil_state *gp_trace_parts_machine(const gp_session *session);
gp_snapshot_facts gp_trace_parts_facts(gp_session *session);

/* Have a part recorded, if its trace is. GP_ENOMEM. */
gp_status gp_trace_parts_record(gp_session *session);

#endif
