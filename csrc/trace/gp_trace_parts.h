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
    GP_TRACE_PARTS_MAX = 1024, /* other GILs that one trace has met: their sessions stay to its end */
};

/* A session for a GIL, not started yet; NULL without memory. Any thread. */
gp_session *gp_trace_parts_new(gp_gil *gil, bool sites, bool stacks, bool timeline, gp_recorder *recorder);

/* Add a part for each other GIL that earlier traces have found. */
void gp_trace_parts_extend(gp_session *session);

/* See gp_wrappers_recognise. */
gp_gil *gp_trace_parts_recognise(const void *mutex, const void *switch_mutex);

/* End a part that is locked, after a reading up to `now`; 0: its interpreter has ended, with the last event.
 * `here` is where the GIL's holder is. */
void gp_trace_parts_end(gp_session *session, uint32_t here, uint64_t now);

/* End the parts of interpreters that have ended. Any thread. */
void gp_trace_parts_close_ended(void);

/* End all parts but the main one. */
void gp_trace_parts_stop_others(gp_session *session);

/* A code object is about to be destroyed. With the GIL that guards it. */
void gp_trace_parts_forget_code(const void *code);

/* Forget the other GILs: without a trace nobody notices the end of an interpreter. */
void gp_trace_parts_forget_others(void);

/* In a forked child: nobody writes the timelines any more, and the other interpreters are gone. */
void gp_trace_parts_end_timelines(void);
void gp_trace_parts_forked(void);

/* Lock the stream of a part's GIL, and catch up. Returns up to when. Any thread. */
uint64_t gp_trace_parts_lock(const gp_session *session);
void gp_trace_parts_unlock(const gp_session *session);

/* Book what is known without the GIL. Returns up to when. Under the lock of the stream. */
uint64_t gp_trace_parts_catch_up(gp_gil *gil);

/* Between gp_trace_parts_lock and unlock. */
gp_snapshot_facts gp_trace_parts_facts(gp_session *session);

/* Have a part recorded, if its trace is. GP_ENOMEM. */
gp_status gp_trace_parts_record(gp_session *session);

#endif
