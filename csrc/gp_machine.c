#include "gp_machine.h"

#include <string.h>

void gp_machine_settle(gp_machine *machine, gp_thread *thread, uint64_t asked)
{
    GP_EACH_ACCOUNT (machine, thread, session, account)
        gp_account_book_off(session, account, thread->since, asked);
}

/* Since when the hold that is under way has been contended. */
static uint64_t contended_from(const gp_machine *machine, const gp_thread *holder)
{
    return machine->contended_since > holder->since ? machine->contended_since : holder->since;
}

void gp_machine_book_contended(gp_machine *machine, const gp_thread *holder, uint64_t to)
{
    uint64_t from = contended_from(machine, holder);
    for (gp_session *session = machine->sessions; session != NULL; session = session->next)
        session->contended += gp_ticks_after(session->start, from, to);
}

/* The thread has got the GIL after a wait, or its asking was stamped. */
void gp_machine_take_late(gp_machine *machine, gp_thread *thread, uint64_t now)
{
    bool waited = true;
    if (thread->state != GP_WAIT) {
        waited = thread->blocked || thread->asked_at == GP_ASKED_UNSEEN;
        uint64_t asked = gp_machine_asked(thread, now);
        gp_machine_settle(machine, thread, asked);
        thread->since = asked;
    }
    bool handed = waited && machine->last_release > thread->since;
    GP_EACH_ACCOUNT (machine, thread, session, account) {
        gp_account_book_wait(session, account, thread->since, now);
        account->acquisitions++;
        account->timed_acquisitions++;
        account->contended_acquisitions += waited;
        session->handoffs += handed;
    }
}

uint64_t gp_machine_contended(const gp_machine *machine, const gp_session *session, uint64_t now)
{
    if (!session->running || machine->contended_since == 0 || machine->holder == NULL)
        return session->contended;
    return session->contended + gp_ticks_after(session->start, contended_from(machine, machine->holder), now);
}

void gp_machine_adopt(const gp_machine *machine, gp_thread *thread, uint64_t now)
{
    thread->generation = machine->generation;
    thread->state = GP_OFF;
    thread->born = now;
    thread->since = now;
    thread->asked_at = GP_ASKED_UNSEEN;
    thread->blocked = false;
    thread->leisurely = false;
}

void gp_machine_start(gp_machine *machine, gp_session *session, gp_thread *holder)
{
    if (machine->sessions == NULL) {
        machine->waiting = 0;
        machine->contended_since = 0;
        machine->last_release = session->start; /* at the earliest */
        machine->holder = holder;
        holder->state = GP_HOLD;
        holder->since = session->start;
    }
    session->running = true;
    session->next = machine->sessions;
    __atomic_store_n(&machine->sessions, session, __ATOMIC_RELAXED);
}

static void close_account(const gp_thread *thread, const gp_session *session, gp_account *account,
                          uint64_t until)
{
    account->identity = (gp_identity){
        .native_id = thread->native_id,
        .label = atomic_load_explicit(&thread->label, memory_order_relaxed),
        .exited = atomic_load_explicit(&thread->exited, memory_order_relaxed),
    };
    memcpy(account->identity.os_name, thread->os_name, sizeof thread->os_name);
    account->last = until;
    account->releases = gp_hist_count(&account->holds);
    account->waits.counts[0] += account->acquisitions - account->timed_acquisitions;
    switch (thread->state) {
    case GP_HOLD:
        gp_account_book_hold(session, account, thread->since, until);
        break;
    case GP_WAIT:
        gp_account_book_wait(session, account, thread->since, until);
        break;
    case GP_OFF:
        gp_account_book_off(session, account, thread->since, until);
        break;
    }
}

/* When the thread's part in a session that is read at `now` ends. Its last moment may come after its
 * destructors. */
static uint64_t end_of(const gp_thread *thread, uint64_t now)
{
    if (!atomic_load_explicit(&thread->exited, memory_order_acquire))
        return now;
    uint64_t ended = atomic_load_explicit(&thread->ended_at, memory_order_relaxed);
    ended = ended > thread->since ? ended : thread->since;
    return ended < now ? ended : now; /* it may have exited since the caller looked at the clock */
}

bool gp_machine_concerns(const gp_machine *machine, const gp_session *session, const gp_thread *thread)
{
    /* not later than: a thread whose last stamp equals the start may have an account, to be closed */
    return thread->generation == machine->generation && end_of(thread, UINT64_MAX) >= session->start;
}

void gp_machine_stop(gp_machine *machine, gp_session *session, gp_thread *const *threads, size_t count,
                     uint64_t now)
{
    for (size_t i = 0; i < count; i++) {
        if (!gp_machine_concerns(machine, session, threads[i]))
            continue;
        gp_account *account = gp_account_of(session, threads[i]);
        if (account == NULL)
            continue;
        close_account(threads[i], session, account, end_of(threads[i], now));
    }
    session->contended = gp_machine_contended(machine, session, now);
    session->stop = now;
    session->running = false;
    if (machine->sessions == session) {
        __atomic_store_n(&machine->sessions, session->next, __ATOMIC_RELAXED);
        return;
    }
    for (gp_session *other = machine->sessions; other != NULL; other = other->next)
        if (other->next == session)
            other->next = session->next;
}

void gp_machine_peek(const gp_session *session, const gp_account *account, uint64_t now, gp_account *copy)
{
    *copy = *account;
    if (!session->running)
        return;
    close_account(account->thread, session, copy, end_of(account->thread, now));
}

void gp_machine_forked(gp_machine *machine, const gp_thread *self, gp_thread *const *threads, size_t count,
                       uint64_t now)
{
    for (size_t i = 0; i < count; i++) {
        if (threads[i] == self || threads[i]->generation != machine->generation ||
            atomic_load_explicit(&threads[i]->exited, memory_order_relaxed))
            continue;
        atomic_store_explicit(&threads[i]->ended_at, now, memory_order_relaxed);
        atomic_store_explicit(&threads[i]->exited, true, memory_order_release);
    }
    if (machine->contended_since != 0 && machine->holder != NULL)
        gp_machine_book_contended(machine, machine->holder, now);
    machine->contended_since = 0;
    machine->waiting = self != NULL && self->state == GP_WAIT; /* forked by a signal handler, perhaps */
    if (machine->holder != self)
        machine->holder = NULL;
}
