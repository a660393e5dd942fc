#ifndef LANES_H
#define LANES_H

/* What the hooks note in a thread's lane (trace/gp_wrappers.c), at times of the test's choice. */

#include "books/gp_gil_state.h"

/* The thread is at `place`, which only counts if it takes its first GIL: its release was not seen. */
static inline void lanes_take(gp_gil_state *gil, gp_thread *thread, uint32_t place, uint64_t now)
{
    gp_lane *lane = &thread->lane;
    if (!gp_lane_has_room(lane))
        gp_gil_state_read(gil, now);
    if (lane->fresh)
        gp_lane_place(lane, place);
    lane->fresh = false;
    gp_stream_take(&gil->stream, lane);
    if (gil->wanting_cpu != 0)
        gp_lane_keep_cpu(lane);
    gp_lane_take(lane, now);
}

/* It asks for the GIL, and waits. Once for a taking. */
static inline void lanes_ask(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    gp_lane_ask(&thread->lane, now);
    gp_stream_list(&gil->stream, &thread->lane);
}

/* It asks for the GIL, and has not been seen to wait. */
static inline void lanes_begin_to_take(gp_thread *thread)
{
    thread->lane.asking = GP_ASKED_AT_ONCE;
}

/* It lets the GIL go. One that was not seen to take it makes itself known. */
static inline void lanes_release(gp_gil_state *gil, gp_thread *thread, uint32_t place, bool forced,
                                 uint64_t now)
{
    if (thread->lane.fresh)
        gp_stream_list(&gil->stream, &thread->lane);
    thread->lane.fresh = false;
    gp_lane_release(&thread->lane, now, place, forced);
}

#endif
