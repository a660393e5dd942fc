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
    bool others_missed; /* interpreters with a GIL of their own */
} gp_snapshot_facts;

/* How to lock and unlock the stream, for a caller that has neither that lock nor the GIL; `lock` catches up,
 * and returns up to when. Each account is read at a moment of its own, after the tables and the totals, and
 * the session's length is that up to the last of them. So each account is whole, none lasts longer than the
 * session, and no total is more than the sum of the accounts. */
typedef struct {
    uint64_t (*lock)(const gp_session *session);
    void (*unlock)(const gp_session *session);
} gp_snapshot_lock;

/* Append a snapshot at `now`. A session that runs has what is under way booked; `place` is where the holder
 * is (gp_gil_state_charge_under_way). `lock` is NULL under the lock with the GIL, or after the end: the
 * snapshot is exact then. buffer->failed without memory. */
void gp_snapshot_write(gp_session *session, const gp_snapshot_facts *facts, const gp_snapshot_lock *lock,
                       uint32_t place, uint64_t now, gp_buffer *buffer);

#endif
