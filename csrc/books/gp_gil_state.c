#include "books/gp_gil_state.h"

#include "books/gp_folding.h"

void gp_gil_state_settle(gp_gil_state *gil, gp_thread *thread, uint64_t asked)
{
    GP_EACH_ACCOUNT (gil, thread, session, account)
        gp_account_book_off(session, account, thread->since, asked);
}

/* Since when the hold that is under way has been contended. */
static uint64_t contended_from(const gp_gil_state *gil, const gp_thread *holder)
{
    return gil->contended_since > holder->since ? gil->contended_since : holder->since;
}

void gp_gil_state_book_contended(gp_gil_state *gil, const gp_thread *holder, uint64_t to)
{
    uint64_t from = contended_from(gil, holder);
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        session->contended += gp_ticks_after(session->start, from, to);
}

/* ---- who waits, and behind whom ---- */

/* A thread that releases and gets the GIL again a thousand times in its turn, as long as others wait, would
 * be charged to each of them a thousand times. So what all of them have waited for from its beginning to its
 * end is summed up, and shared out when somebody joins them or leaves, or wants to read. */

/* Where the longest of the holds is, the first of equals. */
static const gp_charge *longest_charge(const gp_session *session)
{
    const gp_charge *longest = session->charges;
    for (uint32_t i = 1; i < session->charge_count; i++) {
        const gp_charge *charge = &session->charges[i];
        if (charge->longest > longest->longest ||
            (charge->longest == longest->longest && charge->nth < longest->nth))
            longest = charge;
    }
    return longest;
}

/* Under the mutex, with or without the GIL: what it touches belongs to those who wait. */
static void share_out(const gp_gil_state *gil, gp_session *session)
{
    if (session->charge_count == 0)
        return;
    const gp_charge *longest = longest_charge(session);
    for (gp_thread *waiter = gil->waiters; waiter != NULL; waiter = waiter->next_waiter) {
        gp_account *account = gp_account_of(session, waiter);
        if (account == NULL)
            continue;
        for (uint32_t i = 0; i < session->charge_count; i++)
            gp_attribution_charge(session, account, &session->charges[i]);
        gp_attribution_suspect(account, longest);
    }
    session->charge_count = 0;
    session->charged_holds = 0;
}

static void share_out_all(const gp_gil_state *gil)
{
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        share_out(gil, session);
}

void gp_gil_state_join_waiters(gp_gil_state *gil, gp_thread *thread)
{
    share_out_all(gil);
    if (thread->since > gil->latest_wait)
        gil->latest_wait = thread->since;
    thread->previous_waiter = NULL;
    thread->next_waiter = gil->waiters;
    if (gil->waiters != NULL)
        gil->waiters->previous_waiter = thread;
    gil->waiters = thread;
}

void gp_gil_state_leave_waiters(gp_gil_state *gil, gp_thread *thread)
{
    share_out_all(gil);
    if (thread->next_waiter != NULL)
        thread->next_waiter->previous_waiter = thread->previous_waiter;
    if (thread->previous_waiter != NULL)
        thread->previous_waiter->next_waiter = thread->next_waiter;
    else
        gil->waiters = thread->next_waiter;
}

static void forget_waiters(gp_gil_state *gil)
{
    gil->waiters = NULL;
    gil->latest_wait = 0;
    gil->waiter_exited = false;
}

/* A thread that exits while it waits, as daemons do at the interpreter's end, stays among the waiters. */
static bool is_one_of_them_gone(gp_gil_state *gil)
{
    uint64_t exits = atomic_load_explicit(&gp_thread_exits, memory_order_acquire);
    if (__builtin_expect(exits == gil->exits_seen, 1))
        return gil->waiter_exited;
    gil->exits_seen = exits;
    for (const gp_thread *waiter = gil->waiters; waiter != NULL; waiter = waiter->next_waiter)
        gil->waiter_exited |= atomic_load_explicit(&waiter->exited, memory_order_relaxed);
    return gil->waiter_exited;
}

/* Charge a hold to each waiter from when it began to wait. */
static void charge_each(const gp_gil_state *gil, gp_session *session, gp_charge *charge, uint64_t from,
                        uint64_t to)
{
    for (gp_thread *waiter = gil->waiters; waiter != NULL; waiter = waiter->next_waiter) {
        uint64_t asked = waiter->since > from ? waiter->since : from;
        uint64_t ticks = gp_ticks_after(session->start, asked, gp_thread_end_of(waiter, to));
        gp_account *account = ticks != 0 ? gp_account_of(session, waiter) : NULL;
        if (account == NULL)
            continue;
        charge->ticks = charge->longest = ticks;
        gp_attribution_charge(session, account, charge);
        gp_attribution_suspect(account, charge);
    }
}

static gp_charge *find_charge(gp_session *session, uint32_t holder, uint32_t place)
{
    for (uint32_t i = session->charge_count; i-- > 0;)
        if (session->charges[i].place == place && session->charges[i].holder == holder)
            return &session->charges[i];
    if (session->charge_count == GP_CHARGES_MAX)
        return NULL;
    gp_charge *charge = &session->charges[session->charge_count++];
    *charge = (gp_charge){.holder = holder, .place = place};
    return charge;
}

void gp_gil_state_charge(gp_gil_state *gil, gp_session *session, uint32_t holder, uint32_t place,
                         uint64_t from, uint64_t to)
{
    uint64_t begin = from > session->charged_until ? from : session->charged_until;
    bool gone = is_one_of_them_gone(gil);
    if (__builtin_expect(gone || begin < gil->latest_wait, 0)) {
        share_out(gil, session);
        charge_each(gil, session, &(gp_charge){.holder = holder, .place = place}, begin, to);
        return;
    }
    uint64_t ticks = gp_ticks_after(session->start, begin, to);
    if (ticks == 0)
        return;
    gp_charge *charge = find_charge(session, holder, place);
    if (__builtin_expect(charge == NULL || session->charged_holds == UINT32_MAX, 0)) {
        share_out(gil, session);
        charge = find_charge(session, holder, place);
    }
    charge->ticks += ticks;
    session->charged_holds++;
    if (ticks > charge->longest) {
        charge->longest = ticks;
        charge->nth = session->charged_holds;
    }
}

uint32_t gp_gil_state_charge_under_way(gp_gil_state *gil, gp_session *session, const gp_call_stack *here,
                                       uint64_t now)
{
    gp_thread *holder = gil->holder;
    share_out(gil, session);
    if (!session->wants_sites || holder == NULL || holder->state != GP_HOLD)
        return GP_ROW_NONE;
    gp_account *account = gp_account_of(session, holder);
    if (account == NULL)
        return GP_ROW_NONE;
    uint32_t place = gp_attribution_place(session, account, here, &gil->naming);
    gp_gil_state_charge(gil, session, account->number, place, holder->since, now);
    share_out(gil, session);
    session->charged_until = now;
    return place;
}

/* Where a thread's last release was not seen: it came before the session, from the same place, where the
 * thread still is; or the thread begins. */
void gp_gil_state_locate_waiter(gp_gil_state *gil, gp_session *session, gp_account *account)
{
    gp_site_key keys[GP_STACK_MAX];
    gp_call_stack stack = {.keys = keys};
    if (gil->locate == NULL)
        return;
    gil->locate(&stack, keys, session->wants_stacks);
    gp_attribution_place(session, account, &stack, &gil->naming);
}

void gp_gil_state_book_cpu(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    GP_EACH_ACCOUNT (gil, thread, session, account) {
        if (!session->wants_cpu)
            continue;
        uint64_t spent = gp_account_hold_cpu(session, thread, now);
        account->hold_cpu += spent;
        if (session->wants_sites && account->last_place != GP_ROW_NONE)
            session->places.rows[account->last_place].hold_cpu += spent;
        if (session->starter == thread)
            session->starter = NULL;
    }
    thread->cpu_since = 0;
}

void gp_gil_state_fold(gp_gil_state *gil, gp_session *session)
{
    share_out(gil, session); /* while those that hold still have their own numbers */
    gp_folding_step(session, gil->sessions, &gil->folding);
}

/* ---- holds and waits ---- */

/* The thread has got the GIL after a wait, or its asking was stamped. */
void gp_gil_state_take_late(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    bool waited = true;
    if (thread->state != GP_WAIT) {
        waited = thread->blocked || thread->asked_at == GP_ASKED_UNSEEN;
        uint64_t asked = gp_gil_state_asked(thread, now);
        GP_EACH_OPEN_ACCOUNT(gil, thread, session, account)
        gp_account_book_off(session, account, thread->since, asked);
        __atomic_store_n(&thread->since, asked, __ATOMIC_RELAXED); /* somebody may look from outside */
    }
    bool handed = waited && gil->last_release > thread->since;
    GP_EACH_OPEN_ACCOUNT(gil, thread, session, account)
    {
        gp_account_book_wait(session, account, thread->since, now);
        account->acquisitions++;
        if (session->wants_sites)
            gp_attribution_book_wait(session, account, thread->since, now);
        gp_account_record(session, GP_EVENT_WAIT, account, thread->since, now);
        account->timed_acquisitions++;
        account->contended_acquisitions += waited;
        session->handoffs += handed;
    }
}

uint64_t gp_gil_state_contended(const gp_session *session, uint64_t now)
{
    const gp_gil_state *gil = session->gil_state;
    if (!session->running || gil->contended_since == 0 || gil->holder == NULL)
        return session->contended;
    return session->contended + gp_ticks_after(session->start, contended_from(gil, gil->holder), now);
}

void gp_gil_state_adopt(const gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    __atomic_store_n(&thread->gil_state, gil, __ATOMIC_RELAXED); /* those at other GILs compare it */
    thread->generation = gil->generation;
    thread->state = GP_OFF;
    thread->born = now;
    thread->since = now;
    thread->asked_at = GP_ASKED_UNSEEN;
    thread->blocked = false;
    thread->leisurely = false;
    thread->cpu_since = 0;
}

void gp_gil_state_start(gp_gil_state *gil, gp_session *session, gp_thread *holder)
{
    if (gil->sessions == NULL) {
        forget_waiters(gil);
        gil->wanting_sites = 0;
        gil->wanting_stacks = 0;
        gil->wanting_cpu = 0;
        gil->contended_since = 0;
        gil->last_release = session->start; /* at the earliest */
        gil->holder = holder;
        if (holder != NULL) {
            holder->state = GP_HOLD;
            holder->since = session->start;
        }
    }
    session->running = true;
    session->gil_state = gil;
    gil->wanting_sites += session->wants_sites;
    gil->wanting_stacks += session->wants_stacks;
    gil->wanting_cpu += session->wants_cpu;
    session->next = gil->sessions;
    __atomic_store_n(&gil->sessions, session, __ATOMIC_RELEASE); /* see gp_gil_state_running */
}

bool gp_gil_state_concerns(const gp_gil_state *gil, const gp_session *session, const gp_thread *thread)
{
    /* not later than: a thread whose last stamp equals the start may have an account, to be closed */
    return __atomic_load_n(&thread->gil_state, __ATOMIC_RELAXED) == gil &&
           thread->generation == gil->generation && gp_thread_end_of(thread, UINT64_MAX) >= session->start;
}

/* What is under way, for the places and the timeline. `place` is the holder's. */
static void close_places(gp_session *session, const gp_thread *thread, gp_account *account, uint32_t place,
                         uint64_t until)
{
    if (thread->state == GP_OFF)
        return;
    gp_account_record(session, thread->state == GP_HOLD ? GP_EVENT_HOLD : GP_EVENT_WAIT, account,
                      thread->since, until);
    if (!session->wants_sites)
        return;
    if (thread->state == GP_WAIT)
        gp_attribution_book_wait(session, account, thread->since, until);
    else if (place != GP_ROW_NONE) {
        session->places.rows[place].hold += gp_ticks_after(session->start, thread->since, until);
        session->places.rows[place].hold_cpu += gp_account_hold_cpu(session, thread, session->cpu_now);
    }
}

void gp_gil_state_stop(gp_gil_state *gil, gp_session *session, gp_thread *const *threads, size_t count,
                       const gp_call_stack *here, uint64_t now)
{
    uint32_t place = gp_gil_state_charge_under_way(gil, session, here, now);
    session->stop = now;
    gil->wanting_sites -= session->wants_sites;
    gil->wanting_stacks -= session->wants_stacks;
    gil->wanting_cpu -= session->wants_cpu;
    for (size_t i = 0; i < count; i++) {
        if (!gp_gil_state_concerns(gil, session, threads[i]))
            continue;
        gp_account *account = gp_account_of(session, threads[i]);
        if (account == NULL || account == session->ended)
            continue; /* it was folded */
        gp_account_close(session, account, threads[i], gp_thread_end_of(threads[i], now));
        close_places(session, threads[i], account, place, gp_thread_end_of(threads[i], now));
        if (account->last > session->stop)
            session->stop = account->last; /* by the stamp of another core */
    }
    session->contended = gp_gil_state_contended(session, now);
    session->running = false;
    if (gil->sessions == session) {
        __atomic_store_n(&gil->sessions, session->next, __ATOMIC_RELAXED);
        return;
    }
    for (gp_session *other = gil->sessions; other != NULL; other = other->next)
        if (other->next == session)
            other->next = session->next;
}

void gp_gil_state_copy_account(const gp_session *session, const gp_account *account, uint64_t now,
                               gp_account *copy)
{
    *copy = *account;
    if (session->running && account != session->ended)
        gp_account_close(session, copy, account->thread, gp_thread_end_of(account->thread, now));
}

bool gp_gil_state_read_begin(const gp_session *session, gp_gil_state_reading *reading)
{
    const gp_gil_state *gil = session->gil_state;
    *reading = (gp_gil_state_reading){.holder = session->running ? gil->holder : NULL};
    if (reading->holder == NULL)
        return true;
    bool booking = __atomic_load_n(&reading->holder->booking, __ATOMIC_ACQUIRE);
    reading->state = __atomic_load_n(&reading->holder->state, __ATOMIC_ACQUIRE);
    return !booking;
}

/* Under the mutex the holder stays the same, and its state changes at most once. */
bool gp_gil_state_read_end(const gp_gil_state_reading *reading)
{
    gp_gil_state_fence();
    return reading->holder == NULL ||
           (!__atomic_load_n(&reading->holder->booking, __ATOMIC_RELAXED) &&
            __atomic_load_n(&reading->holder->state, __ATOMIC_RELAXED) == reading->state);
}

/* The parent's threads wait for the forking one no longer. */
static void charge_at_fork(gp_gil_state *gil, const gp_thread *self, uint64_t now)
{
    gp_site_key keys[GP_STACK_MAX];
    gp_call_stack here = {.keys = keys};
    if (gil->waiters == NULL || gil->wanting_sites == 0 || gil->holder != self || gil->locate == NULL)
        return;
    gil->locate(&here, keys, gil->wanting_stacks != 0);
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        gp_gil_state_charge_under_way(gil, session, &here, now);
}

void gp_gil_state_forked(gp_gil_state *gil, gp_thread *self, gp_thread *const *threads, size_t count,
                         uint64_t now)
{
    share_out_all(gil);
    charge_at_fork(gil, self, now);
    for (gp_session *session = gil->sessions; session != NULL; session = session->next) {
        session->folding_waits = false; /* its reader stayed in the parent */
        session->starter = NULL;
    }
    if (self != NULL && self->state == GP_HOLD)
        self->cpu_since = 1; /* the child's CPU time begins anew */
    for (size_t i = 0; i < count; i++) {
        if (threads[i] == self || threads[i]->gil_state != gil || threads[i]->generation != gil->generation ||
            atomic_load_explicit(&threads[i]->exited, memory_order_relaxed))
            continue;
        atomic_store_explicit(&threads[i]->ended_at, now, memory_order_relaxed);
        atomic_store_explicit(&threads[i]->exited, true, memory_order_release);
    }
    if (gil->contended_since != 0 && gil->holder != NULL)
        gp_gil_state_book_contended(gil, gil->holder, now);
    gil->contended_since = 0;
    forget_waiters(gil);
    if (self != NULL && self->state == GP_WAIT) /* forked by a signal handler, perhaps */
        gp_gil_state_join_waiters(gil, self);
    if (gil->holder != self)
        gil->holder = NULL;
}
