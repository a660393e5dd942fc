#include "books/gp_looks.h"

#include "books/gp_gil_state.h"

/* ---- the queue ---- */

bool gp_looks_begin(gp_look_queue *queue, const gp_look *look)
{
    uint64_t written = atomic_load_explicit(&queue->written, memory_order_relaxed); /* the writer's own */
    /* acquire: the reader has done with what it has read */
    if (written - atomic_load_explicit(&queue->read, memory_order_acquire) >= GP_LOOKS_MAX)
        return false;
    gp_look *slot = &queue->looks[written & (GP_LOOKS_MAX - 1)];
    slot->time = look->time;
    slot->generation = look->generation;
    slot->stands_for = look->stands_for;
    atomic_store_explicit(&queue->written, written + 1, memory_order_release);
    return true;
}

bool gp_looks_end(gp_look_queue *queue, const gp_look *look)
{
    uint64_t number = atomic_load_explicit(&queue->written, memory_order_relaxed) - 1;
    gp_look *slot = &queue->looks[number & (GP_LOOKS_MAX - 1)];
    slot->site = look->site;
    slot->stack = look->stack;
    slot->until = look->until;
    /* release: who finds that it has ended finds what it saw */
    return atomic_compare_exchange_strong_explicit(&queue->ended, &number, number + 1, memory_order_release,
                                                   memory_order_relaxed);
}

/* Whether the look with this number, the next, is under way. */
static bool is_under_way(const gp_look_queue *queue, uint64_t number)
{
    return atomic_load_explicit(&queue->ended, memory_order_acquire) == number;
}

/* Do not wait for its end. False if it came. */
static bool give_up(gp_look_queue *queue, uint64_t number)
{
    /* acquire: if it has ended what it saw is there */
    return atomic_compare_exchange_strong_explicit(&queue->ended, &number, number + 1, memory_order_acquire,
                                                   memory_order_acquire);
}

/* The next look up to `until`. One that is under way is only taken if it `must`: it saw nothing until then.
 */
static bool pop(gp_look_queue *queue, uint64_t until, bool must, gp_look *look)
{
    if (gp_looks_next(queue) > until)
        return false;
    uint64_t read = atomic_load_explicit(&queue->read, memory_order_relaxed);
    const gp_look *slot = &queue->looks[read & (GP_LOOKS_MAX - 1)];
    bool goes_on = is_under_way(queue, read);
    if (goes_on && !must)
        return false;
    if (goes_on && give_up(queue, read))
        *look = (gp_look){.time = slot->time,
                          .generation = slot->generation,
                          .stands_for = slot->stands_for,
                          .site = GP_UNSEEN,
                          .stack = GP_UNSEEN,
                          .until = until + 1};
    else
        *look = *slot;
    atomic_store_explicit(&queue->read, read + 1, memory_order_release);
    return true;
}

void gp_looks_discard(gp_look_queue *queue)
{
    uint64_t written = atomic_load_explicit(&queue->written, memory_order_acquire);
    give_up(queue, written - 1);
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

/* An open look has seen `place`. */
static void close_look(gp_session *session, uint32_t place)
{
    gp_open_look *open = &session->open_look;
    gp_look_row *row = place != GP_ROW_NONE ? row_of(session, place, open->row.in_pause) : NULL;
    if (row != NULL)
        gp_look_sums_add(&row->sums, &open->row.sums);
    else
        *(open->free ? &session->looks_free : &session->looks_unseen) += open->row.sums.looks;
    open->row.sums.looks = 0;
}

void gp_looks_settle(gp_session *session, uint64_t now)
{
    const gp_open_look *open = &session->open_look;
    if (open->row.sums.looks != 0 && now > open->until)
        close_look(session, open->row.place);
}

static void add_to_hold(const gp_gil_state *gil, gp_session *session, const gp_look *look, uint64_t waiting)
{
    gp_account *account = gp_gil_state_account(gil, session, gil->holder);
    uint32_t place = GP_ROW_NONE;
    gp_looks_settle(session, UINT64_MAX); /* the last one ended before */
    if (account != NULL && look->site != GP_LOOK_FREE && look->site != GP_UNSEEN)
        place = gp_attribution_looked(session, account, gil->looked,
                                      session->wants_stacks ? look->stack : look->site);
    session->open_look = (gp_open_look){.row = {.place = place,
                                                .in_pause = gp_pauses_cover(gil, look->time),
                                                .sums = gp_look_sums_of(look->stands_for, waiting)},
                                        .until = look->until,
                                        .free = look->site == GP_LOOK_FREE};
    gp_looks_settle(session, look->time + 1);
}

static bool is_held(const gp_gil_state *gil)
{
    return gil->holder != NULL && gil->holder->state == GP_HOLD;
}

/* Whether nobody had the GIL then. A look that comes too late, when its hold is booked, counts as not seen.
 */
static bool is_free(const gp_gil_state *gil, const gp_look *look)
{
    return look->site == GP_LOOK_FREE || (!is_held(gil) && look->time >= gil->last_release);
}

static void book(gp_gil_state *gil, const gp_look *look)
{
    bool in_hold = is_held(gil) && look->time >= gil->holder->since;
    uint64_t waiting = in_hold ? gp_gil_state_waiting(gil, look->time) : 0;
    for (gp_session *session = gil->sessions; session != NULL; session = session->next) {
        if (!session->wants_looks || look->time < session->start)
            continue;
        if (in_hold)
            add_to_hold(gil, session, look, waiting);
        else
            *(is_free(gil, look) ? &session->looks_free : &session->looks_unseen) += 1;
        gil->looks_under_way |= in_hold;
    }
}

void gp_looks_book(gp_gil_state *gil, uint64_t until, bool ends)
{
    gp_look look;
    while (pop(&gil->looks, until, ends || !is_held(gil), &look)) {
        gp_pauses_book(gil, look.time);
        if (look.generation == gil->generation && gil->looked != NULL)
            book(gil, &look);
    }
    for (gp_session *session = gil->sessions; session != NULL && gil->looks_under_way;
         session = session->next)
        gp_looks_settle(session, until);
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
    if (session->open_look.row.sums.looks != 0)
        close_look(session, GP_ROW_NONE);
}

void gp_looks_end_hold(gp_session *session, const gp_account *holder, uint32_t place, uint64_t now)
{
    if (holder == NULL) {
        forget(session);
        return;
    }
    gp_looks_settle(session, now);
    if (session->open_look.row.sums.looks != 0)
        close_look(session, place);
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
