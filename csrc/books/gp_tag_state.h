#ifndef GP_TAG_STATE_H
#define GP_TAG_STATE_H

/* Which tag (gp_tags.h) each thread has, and what that means for the books. Of a thread without a tag nothing
 * is booked here: it is the rest.
 *
 * Part of the state of a GIL (gp_gil_state.h), whose steps call this. All under the lock of the stream. */

#include "books/gp_account.h"

/* What the thread with the GIL is charged with, to all that wait for it. */
typedef struct {
    uint64_t mark;           /* up to here it is in `ticks`, or was charged, or nobody waited */
    uint64_t ticks;          /* to be charged */
    const gp_thread *holder; /* whose they are ... */
    uint32_t tag;            /* ... and with which tag */
    uint64_t turn;           /* grows with each change of these two */
} gp_tag_charge;

/* Add to a row what the thread has done in this state until `to`, since the state began, or its tag. */
static inline void gp_tag_state_add(const gp_session *session, const gp_thread *thread, gp_state state,
                                    uint64_t to, gp_tag_row *row)
{
    uint64_t from = thread->since > thread->tag_since ? thread->since : thread->tag_since;
    uint64_t ticks = gp_ticks_after(session->start, from, to);
    *(state == GP_HOLD ? &row->hold : state == GP_WAIT ? &row->wait : &row->off) += ticks;
}

/* Book that for the thread's tag. */
static inline void gp_tag_state_book(const gp_session *session, const gp_thread *thread, gp_state state,
                                     uint64_t to)
{
    if (__builtin_expect(thread->tag != GP_TAG_NONE, 0) && session->tags != NULL)
        gp_tag_state_add(session, thread, state, to, &session->tags->rows[thread->tag]);
}

/* The same, and a hold or wait has ended. */
static inline void gp_tag_state_book_end(const gp_session *session, const gp_thread *thread, gp_state state,
                                         uint64_t to)
{
    gp_tag_state_book(session, thread, state, to);
    if (__builtin_expect(thread->tag != GP_TAG_NONE, 0) && session->tags != NULL) {
        gp_tag_row *row = &session->tags->rows[thread->tag];
        *(state == GP_HOLD ? &row->holds : &row->waits) += 1;
    }
}

/* `count` cycles of the thread have been booked for the account: `hold` and `off` together, from
 * thread->since on. */
static inline void gp_tag_state_book_cycles(const gp_session *session, const gp_thread *thread, uint64_t hold,
                                            uint64_t off, uint64_t count)
{
    if (__builtin_expect(thread->tag == GP_TAG_NONE, 1) || session->tags == NULL || count == 0)
        return;
    gp_tag_row *row = &session->tags->rows[thread->tag];
    uint64_t before = gp_ticks_after(0, thread->since, thread->tag_since); /* of the first hold */
    row->hold += hold > before ? hold - before : 0;
    row->off += off;
    row->holds += count;
}

/* The thread has had the GIL until `to`, when it lets go or something else changes. */
void gp_tag_state_hold(gp_gil_state *gil, const gp_thread *holder, uint64_t to);

/* Charge all that wait. Before their list changes. */
void gp_tag_state_settle(gp_gil_state *gil);

/* The thread, which is not among them yet, waits since thread->since. */
void gp_tag_state_join(gp_gil_state *gil, gp_thread *thread);

/* Its wait is over, and is booked with the session. */
void gp_tag_state_end_wait(const gp_session *session, const gp_thread *thread, uint64_t now);

/* A session begins: what came before is not its. */
void gp_tag_state_start(gp_gil_state *gil, uint64_t now);

/* The step: the thread has another tag from now on. */
void gp_tag_state_change(gp_gil_state *gil, gp_thread *thread, uint32_t tag, uint64_t now);

/* Copy the rows of a session with all that is under way at `now`, if it runs. */
void gp_tag_state_rows(const gp_session *session, uint64_t now, gp_tag_row rows[GP_TAGS]);

#endif
