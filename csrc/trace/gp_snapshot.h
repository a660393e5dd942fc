#ifndef GP_SNAPSHOT_H
#define GP_SNAPSHOT_H

/* A snapshot: everything that a session has booked so far, as bytes. One form for the report of a trace that
 * runs, for its end and for a recording: the payload SNAP of docs/recording-format.md. */

#include "books/gp_gil_state.h"

/* What the session itself does not know. */
typedef struct {
    uint32_t interpreter;
    gp_clock_rate rate;
    uint64_t lost;    /* intervals without an account: out of memory */
    uint64_t dropped; /* events that found no room */
    bool hooks_lost, releases_told_apart;
    bool timeline;
    bool final;         /* nothing is to come any more */
    bool others_missed; /* interpreters with a GIL of their own */
} gp_snapshot_facts;

/* Append a snapshot of one moment, `now`: what is under way at that moment is booked in it, but not in the
 * session. `place` is where the holder is (gp_gil_state_place); GP_ROW_NONE: not known, and then its hold is
 * not among those of places, and nobody is charged for it yet. Under the lock, after a reading up to `now`.
 * buffer->failed without memory. */
void gp_snapshot_write(gp_session *session, const gp_snapshot_facts *facts, uint32_t place, uint64_t now,
                       gp_buffer *buffer);

#endif
