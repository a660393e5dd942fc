#include "books/gp_tag_state.h"

#include <string.h>

#include "books/gp_gil_state.h"

/* Of the ticks before the mark. */
static void charge(const gp_gil_state *gil, gp_thread *waiter, uint64_t ticks)
{
    const gp_tag_charge *with = &gil->tag_charge;
    for (gp_session *session = gil->sessions; session != NULL; session = session->next) {
        uint64_t most = gp_ticks_after(0, session->start, with->mark);
        if (session->tags != NULL && most != 0)
            gp_tag_books_charge(session->tags, waiter->tag, with->tag, ticks < most ? ticks : most);
    }
    if (waiter->turn != with->turn) {
        waiter->turn = with->turn;
        waiter->turn_ticks = 0;
    }
    waiter->turn_ticks += ticks;
    if (waiter->turn_ticks > waiter->longest_turn_ticks) {
        waiter->longest_turn_ticks = waiter->turn_ticks;
        waiter->longest_turn = with->holder;
        waiter->longest_turn_tag = with->tag;
    }
}

/* Whoever exits waits no longer. */
void gp_tag_state_settle(gp_gil_state *gil)
{
    gp_tag_charge *with = &gil->tag_charge;
    uint64_t ticks = with->ticks;
    with->ticks = 0;
    for (gp_thread *waiter = ticks != 0 ? gil->waiters : NULL; waiter != NULL; waiter = waiter->next_waiter) {
        uint64_t missed = with->mark - gp_thread_end_of(waiter, with->mark);
        if (missed < ticks)
            charge(gil, waiter, ticks - missed);
    }
}

static void begin_turn(gp_gil_state *gil, const gp_thread *holder)
{
    gp_tag_charge *with = &gil->tag_charge;
    if (with->holder == holder && with->tag == holder->tag)
        return;
    gp_tag_state_settle(gil);
    with->holder = holder;
    with->tag = holder->tag;
    with->turn++;
}

void gp_tag_state_hold(gp_gil_state *gil, const gp_thread *holder, uint64_t to)
{
    gp_tag_charge *with = &gil->tag_charge;
    uint64_t from = holder->since > with->mark ? holder->since : with->mark;
    if (to <= from)
        return;
    if (gil->waiters != NULL) {
        begin_turn(gil, holder);
        with->ticks += to - from;
    }
    with->mark = to;
}

void gp_tag_state_join(gp_gil_state *gil, gp_thread *thread)
{
    const gp_thread *holder = gil->holder;
    bool held = holder != NULL && holder != thread && holder->state == GP_HOLD;
    thread->turn = thread->turn_ticks = thread->longest_turn_ticks = 0;
    thread->longest_turn = NULL;
    if (held)
        gp_tag_state_hold(gil, holder, thread->since);
    gp_tag_state_settle(gil);
    if (!held)
        return;
    /* heard of late: the others have been charged for longer */
    uint64_t from = thread->since > holder->since ? thread->since : holder->since;
    if (gil->tag_charge.mark > from) {
        begin_turn(gil, holder);
        charge(gil, thread, gil->tag_charge.mark - from);
    }
}

static gp_tag_thread told(const gp_thread *thread, uint32_t tag)
{
    gp_tag_thread who = {.native_id = thread->native_id,
                         .label = atomic_load_explicit(&thread->label, memory_order_relaxed),
                         .tag = tag};
    gp_thread_read_name(thread, who.os_name);
    return who;
}

void gp_tag_state_end_wait(const gp_session *session, const gp_thread *thread, uint64_t now)
{
    gp_tag_state_book_end(session, thread, GP_WAIT, now);
    if (session->tags == NULL)
        return;
    gp_worst_wait *worst = &session->tags->worst;
    uint64_t ticks = gp_ticks_after(session->start, thread->since, now);
    if (ticks <= worst->ticks || ticks <= session->stall_floor)
        return;
    bool held = thread->state == GP_WAIT && thread->longest_turn != NULL;
    uint64_t longest = held ? thread->longest_turn_ticks : 0;
    *worst = (gp_worst_wait){
        .start = thread->since > session->start ? thread->since : session->start,
        .ticks = ticks,
        .holder_ticks = longest < ticks ? longest : ticks,
        .waiter = told(thread, thread->tag),
        .holder = held ? told(thread->longest_turn, thread->longest_turn_tag) : (gp_tag_thread){0},
    };
}

void gp_tag_state_start(gp_gil_state *gil, uint64_t now)
{
    const gp_thread *holder = gil->holder;
    if (gil->wanting_tags == 0) {
        gil->tag_charge = (gp_tag_charge){.mark = now, .turn = gil->tag_charge.turn};
        for (gp_thread *waiter = gil->waiters; waiter != NULL; waiter = waiter->next_waiter)
            waiter->longest_turn_ticks = 0;
    } else if (holder != NULL && holder->state == GP_HOLD) {
        gp_tag_state_hold(gil, holder, now);
        gp_tag_state_settle(gil);
    }
}

void gp_tag_state_change(gp_gil_state *gil, gp_thread *thread, uint32_t tag, uint64_t now)
{
    if (now < thread->since)
        now = thread->since;
    if (gil->wanting_tags != 0) {
        if (thread->state == GP_HOLD)
            gp_tag_state_hold(gil, thread, now);
        for (gp_session *session = gil->sessions; session != NULL; session = session->next)
            if (gp_gil_state_account(gil, session, thread) != NULL)
                gp_tag_state_book(session, thread, thread->state, now);
    }
    thread->tag = tag;
    thread->tag_since = now;
}

void gp_tag_state_rows(const gp_session *session, uint64_t now, gp_tag_row rows[GP_TAGS])
{
    memcpy(rows, session->tags->rows, GP_TAGS * sizeof *rows);
    for (size_t n = 0; session->running && n < session->account_count; n++) {
        const gp_account *account = gp_account_nth(session, n);
        const gp_thread *thread = account->merged != 0 && account != session->ended ? account->thread : NULL;
        if (thread == NULL || thread->tag == GP_TAG_NONE)
            continue;
        gp_tag_state_add(session, thread, thread->state, gp_thread_end_of(thread, now), &rows[thread->tag]);
    }
}
