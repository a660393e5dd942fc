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

/* How to get and to give back M, for a caller that has neither M nor the GIL, and to let others run. Each
 * account is read at a moment of its own, after the tables and the totals, and the length of the session is
 * that up to the last: so each is whole, none lasts longer than the session, and what is told of several is
 * not more than theirs. */
typedef struct {
    void (*take)(void *context);
    void (*give)(void *context);
    void (*rest)(void *context);
    void *context;
} gp_snapshot_lock;

/* Append a snapshot at `now`. A session that runs has what is under way booked; `place` is where the holder
 * is (gp_gil_state_charge_under_way). `lock` is NULL under M with the GIL, or after the end: the snapshot is
 * exact then. buffer->failed without memory. */
void gp_snapshot_write(gp_session *session, const gp_snapshot_facts *facts, const gp_snapshot_lock *lock,
                       uint32_t place, uint64_t now, gp_buffer *buffer);

#endif
