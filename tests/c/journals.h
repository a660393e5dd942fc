#ifndef JOURNALS_H
#define JOURNALS_H

/* What the hooks note in a thread's journal (trace/gp_wrappers.c), at times of the test's choice. */

#include "books/gp_gil_state.h"

/* A look that took place all at once. */
static inline bool journals_look(gp_gil_state *gil, const gp_look *look)
{
    return gp_looks_begin(&gil->looks, look) && gp_looks_end(&gil->looks, look);
}

/* The thread is at `place`, which only counts if it takes its first GIL: its release was not seen. */
static inline void journals_take(gp_gil_state *gil, gp_thread *thread, uint32_t place, uint64_t now)
{
    gp_journal *journal = &thread->journal;
    if (!gp_journal_has_room(journal))
        gp_gil_state_read(gil, now);
    if (journal->fresh)
        gp_journal_place(journal, place);
    journal->fresh = false;
    gp_stream_take(&gil->stream, journal);
    if (gil->wanting_cpu != 0)
        gp_journal_keep_cpu(journal);
    gp_journal_take(journal, now);
}

/* It asks for the GIL, and waits. Once for a taking. */
static inline void journals_ask(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    gp_journal_ask(&thread->journal, now);
    gp_stream_list(&gil->stream, &thread->journal);
}

/* It asks for the GIL, and has not been seen to wait. */
static inline void journals_begin_to_take(gp_thread *thread)
{
    thread->journal.asking = GP_ASKED_AT_ONCE;
}

/* It lets the GIL go. One that was not seen to take it makes itself known. */
static inline void journals_release(gp_gil_state *gil, gp_thread *thread, uint32_t place, bool forced,
                                    uint64_t now)
{
    if (thread->journal.fresh)
        gp_stream_list(&gil->stream, &thread->journal);
    thread->journal.fresh = false;
    gp_journal_release(&thread->journal, now, place, forced);
}

#endif
