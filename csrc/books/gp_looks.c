#include "books/gp_looks.h"

#include "books/gp_gil_state.h"

/* ---- the queue ---- */

bool gp_looks_push(gp_look_queue *queue, const gp_look *look)
{
    uint64_t written = atomic_load_explicit(&queue->written, memory_order_relaxed); /* the writer's own */
    /* acquire: the reader has done with what it has read */
    if (written - atomic_load_explicit(&queue->read, memory_order_acquire) >= GP_LOOKS_MAX)
        return false;
    queue->looks[written & (GP_LOOKS_MAX - 1)] = *look;
    atomic_store_explicit(&queue->written, written + 1, memory_order_release);
    return true;
}

static bool pop(gp_look_queue *queue, uint64_t until, gp_look *look)
{
    if (gp_looks_next(queue) > until)
        return false;
    uint64_t read = atomic_load_explicit(&queue->read, memory_order_relaxed);
    *look = queue->looks[read & (GP_LOOKS_MAX - 1)];
    atomic_store_explicit(&queue->read, read + 1, memory_order_release);
    return true;
}

void gp_looks_discard(gp_look_queue *queue)
{
    uint64_t written = atomic_load_explicit(&queue->written, memory_order_acquire);
    atomic_store_explicit(&queue->read, written, memory_order_release);
}

/* ---- the hold that is under way ---- */

static gp_look_row *row_of(gp_session *session, uint32_t place, bool in_pause)
{
    for (uint32_t i = 0; i < session->look_row_count; i++)
        if (session->look_rows[i].place == place && session->look_rows[i].in_pause == in_pause)
            return &session->look_rows[i];
    if (session->look_row_count == GP_LOOK_ROWS)
        return NULL;
    gp_look_row *row = &session->look_rows[session->look_row_count++];
    *row = (gp_look_row){.place = place, .in_pause = in_pause};
    return row;
}

/* False without memory. */
static bool add_to_hold(const gp_gil_state *gil, gp_session *session, const gp_look *look, uint64_t waiting)
{
    gp_account *account = gp_gil_state_account(gil, session, gil->holder);
    if (account == NULL)
        return false;
    uint32_t place = gp_attribution_looked(session, account, gil->looked,
                                           session->wants_stacks ? look->stack : look->site);
    gp_look_row *row = place != GP_ROW_NONE ? row_of(session, place, gp_pauses_cover(gil, look->time)) : NULL;
    if (row == NULL)
        return false;
    gp_look_sums sums = gp_look_sums_of(look->stands_for, waiting);
    gp_look_sums_add(&row->sums, &sums);
    return true;
}

typedef enum {
    SEEN,
    UNSEEN,
    FREE,
} outcome;

/* What the books make of a look. One that comes too late, when its hold is booked, counts as not seen.
 * Between a release and the next taking the GIL is free for them, though its lock may have been taken
 * already. */
static outcome judge(const gp_gil_state *gil, const gp_look *look)
{
    const gp_thread *holder = gil->holder;
    if (look->site == GP_LOOK_FREE)
        return FREE;
    if (look->site == GP_UNSEEN)
        return UNSEEN;
    if (holder != NULL && holder->state == GP_HOLD)
        return look->time >= holder->since ? SEEN : UNSEEN;
    return look->time >= gil->last_release ? FREE : UNSEEN;
}

static void book(gp_gil_state *gil, const gp_look *look)
{
    outcome is = judge(gil, look);
    uint64_t waiting = is == SEEN ? gp_gil_state_waiting(gil, look->time) : 0;
    for (gp_session *session = gil->sessions; session != NULL; session = session->next) {
        if (!session->wants_looks || look->time < session->start)
            continue;
        if (is == FREE)
            session->looks_free++;
        else if (is == UNSEEN || !add_to_hold(gil, session, look, waiting))
            session->looks_unseen++;
        else
            gil->looks_under_way = true;
    }
}

void gp_looks_book(gp_gil_state *gil, uint64_t until)
{
    gp_look look;
    while (pop(&gil->looks, until, &look)) {
        gp_pauses_book(gil, look.time);
        if (look.generation == gil->generation && gil->looked != NULL)
            book(gil, &look);
    }
}

static bool is_more(const gp_look_sums *sums, const gp_look_sums *other)
{
    return sums->waited != other->waited ? sums->waited > other->waited : sums->time > other->time;
}

uint32_t gp_looks_most(const gp_session *session)
{
    const gp_look_row *most = NULL;
    for (uint32_t i = 0; i < session->look_row_count; i++)
        if (most == NULL || is_more(&session->look_rows[i].sums, &most->sums))
            most = &session->look_rows[i];
    return most != NULL ? most->place : GP_ROW_NONE;
}

/* ---- its end ---- */

static void forget(gp_session *session)
{
    for (uint32_t i = 0; i < session->look_row_count; i++)
        session->looks_unseen += session->look_rows[i].sums.looks;
    session->look_row_count = 0;
}

void gp_looks_end_hold(gp_session *session, const gp_account *holder, uint32_t place)
{
    if (holder == NULL) {
        forget(session);
        return;
    }
    for (uint32_t i = 0; i < session->look_row_count; i++) {
        const gp_look_row *row = &session->look_rows[i];
        gp_rows *tallies = row->in_pause ? &session->pause_tallies : &session->tallies;
        if (gp_rows_are_full(tallies))
            gp_folding_compact(session);
        gp_tally *tally = gp_tally_of(tallies, holder->number, place, row->place);
        if (tally != NULL)
            gp_look_sums_add(&tally->sums, &row->sums);
        else
            session->looks_unseen += row->sums.looks;
    }
    session->look_row_count = 0;
}

void gp_looks_forget_hold(gp_gil_state *gil)
{
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        forget(session);
    gil->looks_under_way = false;
}
