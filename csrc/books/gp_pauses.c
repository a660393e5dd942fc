#include "books/gp_pauses.h"

#include "books/gp_gil_state.h"

enum {
    TOLD_MAX = 1 << 22, /* bytes that wait for the recorder, at most */
};

/* ---- the queue ---- */

bool gp_pauses_push(gp_pause_queue *queue, const gp_pause_note *note)
{
    /* relaxed: whoever writes has the GIL */
    uint64_t written = atomic_load_explicit(&queue->written, memory_order_relaxed);
    if (gp_pauses_unread(queue) >= GP_PAUSE_NOTES_MAX)
        return false;
    queue->notes[written & (GP_PAUSE_NOTES_MAX - 1)] = *note;
    atomic_store_explicit(&queue->written, written + 1, memory_order_release);
    return true;
}

static bool pop(gp_pause_queue *queue, uint64_t until, gp_pause_note *note)
{
    uint64_t next = gp_pauses_next(queue);
    if (next > until || next == UINT64_MAX)
        return false;
    uint64_t read = atomic_load_explicit(&queue->read, memory_order_relaxed);
    *note = queue->notes[read & (GP_PAUSE_NOTES_MAX - 1)];
    atomic_store_explicit(&queue->read, read + 1, memory_order_release);
    return true;
}

/* ---- the rows of a session ---- */

static void put(gp_session *session, const gp_pause_sum *sum)
{
    if (gp_rows_are_full(&session->pauses.sums))
        gp_folding_compact(session);
    if (!gp_pause_sums_add(&session->pauses.sums, sum))
        session->pauses.lost += sum->count;
}

static gp_pause_sum *row_of(gp_pauses *pauses)
{
    const gp_pause *pause = &pauses->under_way;
    for (uint32_t i = 0; i < pauses->row_count; i++)
        if (pauses->rows[i].place == pause->place && pauses->rows[i].generation == pause->generation)
            return &pauses->rows[i];
    if (pauses->row_count == GP_PAUSE_ROWS)
        return NULL;
    gp_pause_sum *row = &pauses->rows[pauses->row_count++];
    *row = (gp_pause_sum){pause->holder, GP_ROW_NONE, pause->place, pause->generation, .count = 0};
    return row;
}

/* Add to the pause that is under way; in the hold that is under way if `held`. */
static void add(gp_session *session, gp_pause_sum part, bool held)
{
    gp_pauses *pauses = &session->pauses;
    gp_pause_sum *row = held ? row_of(pauses) : NULL;
    if (row != NULL) {
        gp_pause_sum_up(row, &part);
        return;
    }
    part.holder = pauses->under_way.holder;
    part.ended = GP_ROW_NONE;
    part.place = pauses->under_way.place;
    part.generation = pauses->under_way.generation;
    put(session, &part);
}

/* The hold under way ended at `place`. */
static void flush(gp_session *session, uint32_t place)
{
    gp_pauses *pauses = &session->pauses;
    for (uint32_t i = 0; i < pauses->row_count; i++) {
        pauses->rows[i].ended = place;
        put(session, &pauses->rows[i]);
    }
    pauses->row_count = 0;
}

/* ---- the part of a pause that lies in a hold ---- */

static bool is_held(const gp_gil_state *gil)
{
    return gil->pause.thread != NULL && gil->holder == gil->pause.thread && gil->holder->state == GP_HOLD;
}

static uint64_t waited_each(const gp_gil_state *gil, uint64_t from, uint64_t to)
{
    uint64_t ticks = 0;
    for (const gp_thread *waiter = gil->waiters; waiter != NULL; waiter = waiter->next_waiter)
        ticks += gp_ticks_after(from, waiter->since, gp_thread_end_of(waiter, to));
    return ticks;
}

/* How long others have waited in that time, all together. Of many waiters most have waited before. */
static uint64_t waited(gp_gil_state *gil, uint64_t from, uint64_t to)
{
    if (gp_gil_state_waiting(gil, to) != gil->waiter_count)
        return waited_each(gil, from, to);
    uint64_t ticks = 0, before = gil->waiter_count;
    for (const gp_thread *waiter = gil->waiters; waiter != NULL && waiter->since > from;
         waiter = waiter->next_waiter, before--)
        ticks += gp_ticks_after(from, waiter->since, to);
    return ticks + before * (to - from);
}

/* From when on it has not been booked. */
static uint64_t part_from(const gp_gil_state *gil, const gp_session *session)
{
    uint64_t from = gil->pause.from > gil->holder->since ? gil->pause.from : gil->holder->since;
    return from > session->start ? from : session->start;
}

static void book_part(gp_gil_state *gil, gp_session *session, uint64_t to)
{
    uint64_t from = part_from(gil, session);
    if (!session->pauses.open || to <= from)
        return;
    gp_pause_sum part = {.held = to - from, .wait = waited(gil, from, to)};
    session->pauses.under_way.held += part.held;
    session->pauses.under_way.wait += part.wait;
    add(session, part, true);
}

static void book_parts(gp_gil_state *gil, uint64_t to)
{
    if (!is_held(gil))
        return;
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        book_part(gil, session, to);
    gil->pause.from = to > gil->pause.from ? to : gil->pause.from;
}

/* ---- the begin and the end of a pause ---- */

/* Where its thread is, which does not become the account's last place. */
static uint32_t place_of(const gp_gil_state *gil, gp_session *session, gp_account *account, uint32_t number)
{
    uint32_t last = account->last_place;
    if (!session->wants_sites)
        return GP_ROW_NONE;
    uint32_t place = gp_attribution_place(session, account, &gil->places, number);
    account->last_place = last;
    return place;
}

static void begin_in(const gp_gil_state *gil, gp_session *session, const gp_pause_note *note)
{
    gp_pauses *pauses = &session->pauses;
    gp_account *account = gp_gil_state_account(gil, session, note->thread);
    pauses->open = account != NULL && session->start <= note->time;
    if (account == NULL) {
        pauses->lost++;
        return;
    }
    pauses->under_way = (gp_pause){.holder = account->number,
                                   .place = place_of(gil, session, account, note->place),
                                   .generation = note->generation,
                                   .start = note->time};
}

/* For the timeline. */
static void tell(gp_session *session, const gp_pause *pause)
{
    gp_buffer *told = &session->pauses.told;
    if (!session->wants_timeline || session->recorder == NULL)
        return;
    if (told->size > TOLD_MAX) {
        session->pauses.lost++;
        return;
    }
    gp_pause_write(pause, session->origin, told);
}

static void end_in(const gp_gil_state *gil, gp_session *session, uint64_t now, uint64_t collected,
                   uint64_t uncollectable)
{
    gp_pause *pause = &session->pauses.under_way;
    if (!session->pauses.open)
        return;
    session->pauses.open = false;
    pause->ticks = gp_ticks_after(pause->start, pause->start, now);
    pause->collected = collected;
    pause->uncollectable = uncollectable;
    add(session,
        (gp_pause_sum){.count = 1,
                       .ticks = pause->ticks,
                       .longest = pause->ticks,
                       .collected = collected,
                       .uncollectable = uncollectable},
        is_held(gil));
    gp_pauses_keep_longest(&session->pauses, pause);
    tell(session, pause);
}

static void end(gp_gil_state *gil, uint64_t now, uint64_t collected, uint64_t uncollectable)
{
    book_parts(gil, now);
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        end_in(gil, session, now, collected, uncollectable);
    gil->pause.thread = NULL;
}

static void begin(gp_gil_state *gil, const gp_pause_note *note)
{
    if (gil->pause.thread != NULL)
        end(gil, note->time, 0, 0); /* its stop was lost */
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        begin_in(gil, session, note);
    gil->pause = (gp_pause_under_way){note->thread, note->time, note->time};
    gil->pauses_under_way = true;
}

void gp_pauses_book(gp_gil_state *gil, uint64_t until)
{
    gp_pause_note note;
    while (pop(&gil->pauses, until, &note)) {
        if (note.watching != gil->generation)
            continue;
        if (!note.stops)
            begin(gil, &note);
        else if (note.thread == gil->pause.thread)
            end(gil, note.time, note.collected, note.uncollectable);
    }
    const gp_thread *thread = gil->pause.thread;
    /* First whether it has exited: then all its notes are there. */
    if (__builtin_expect(thread != NULL, 0) && gp_thread_end_of(thread, UINT64_MAX) <= until &&
        gp_pauses_next(&gil->pauses) == UINT64_MAX)
        end(gil, gp_thread_end_of(thread, until), 0, 0); /* it exited in a finalizer */
}

bool gp_pauses_cover(const gp_gil_state *gil, uint64_t time)
{
    return is_held(gil) && time >= gil->pause.start;
}

void gp_pauses_forget(gp_gil_state *gil)
{
    uint64_t written = atomic_load_explicit(&gil->pauses.written, memory_order_acquire);
    atomic_store_explicit(&gil->pauses.read, written, memory_order_release);
    gil->pause.thread = NULL;
    gil->pauses_under_way = false;
}

/* ---- holds and sessions that end ---- */

void gp_pauses_end_hold(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    if (gil->holder != thread) {
        gp_pauses_forget_hold(gil);
        return;
    }
    book_parts(gil, now);
    for (gp_session *session = gil->sessions; session != NULL; session = session->next) {
        const gp_account *account = gp_gil_state_account(gil, session, thread);
        flush(session, account != NULL ? account->last_place : GP_ROW_NONE);
    }
    gil->pauses_under_way = gil->pause.thread != NULL;
}

void gp_pauses_forget_hold(gp_gil_state *gil)
{
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        flush(session, GP_ROW_NONE);
    gil->pauses_under_way = gil->pause.thread != NULL;
}

void gp_pauses_stop(gp_gil_state *gil, gp_session *session, uint32_t place, uint64_t now)
{
    if (is_held(gil))
        book_part(gil, session, now);
    if (gil->pause.thread != NULL)
        end_in(gil, session, now, 0, 0);
    flush(session, place);
}

bool gp_pauses_under_way(const gp_gil_state *gil, const gp_session *session, uint64_t now, gp_pause_sum *part)
{
    const gp_pause *pause = &session->pauses.under_way;
    if (gil == NULL || gil->pause.thread == NULL || !session->pauses.open)
        return false;
    uint64_t ticks = gp_ticks_after(pause->start, pause->start, now);
    *part = (gp_pause_sum){pause->holder, GP_ROW_NONE,    pause->place,    pause->generation,
                           .count = 1,    .ticks = ticks, .longest = ticks};
    if (is_held(gil)) {
        uint64_t from = part_from(gil, session);
        part->held = gp_ticks_after(from, from, now);
        part->wait = waited_each(gil, from, now);
    }
    return true;
}
