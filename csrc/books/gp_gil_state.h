#ifndef GP_GIL_STATE_H
#define GP_GIL_STATE_H

/* The state of one GIL: who has it and who waits. Turns what the interpreter does with its locks into holds,
 * waits and off time, and books them (gp_account.h). Knows no hook, no clock and no Python: every event
 * carries its time, so that tests can feed it any sequence.
 *
 * The events, from take_gil and drop_gil in CPython's Python/ceval_gil.c (the same from 3.10 to 3.15), with
 * its names for the GIL's locks:
 *
 *   drop: lock(mutex) gp_gil_state_lock; signal(cond) gp_gil_state_drop; unlock(mutex)
 *         and if another thread has asked for the GIL and has not got it yet:
 *         lock(switch_mutex); wait(switch_cond, switch_mutex); unlock(switch_mutex)
 *   take: lock(mutex) gp_gil_state_lock; while the GIL is taken, timedwait(cond, mutex) gp_gil_state_wait;
 *         lock(switch_mutex); signal(switch_cond); unlock(switch_mutex);
 *         gp_gil_state_acquire; unlock(mutex); gp_gil_state_take
 *
 * Two time stamps a cycle of release and re-acquisition: at signal(cond), and after take_gil's unlock(mutex).
 * The second comes that late because waking other threads is part of getting the GIL: the new holder can't do
 * anything else meanwhile, and where cores are few, the two unlocks let the woken thread run first, for
 * milliseconds. lock(mutex) is stamped if it has to block, or if the thread was off for long.
 *
 * What is here is guarded by `mutex` ("under the mutex"). A thread's state and its accounts are written by
 * the thread itself: under the mutex, but without it where the thread has the GIL. To read them takes both,
 * the GIL and the mutex, or gp_gil_state_read_begin. */

#include "books/gp_attribution.h"
#include "books/gp_folding.h"

enum {
    GP_EVER = 1, /* a time before all others */
};

struct gp_gil_state {
    /* what each release and each acquisition touches: one cache line, which goes from thread to thread */
    _Alignas(GP_RING_LINE) gp_thread *holder; /* who has the GIL; NULL: nobody, or not known */
    uint64_t last_release;                    /* when it was last given up */
    gp_thread *waiters;                       /* threads in GP_WAIT */
    uint64_t latest_wait;                     /* none of their waits began later */
    uint64_t contended_since; /* the GIL is wanted since; GP_EVER: all through the hold; 0: it is not */
    uint64_t exits_seen;      /* of gp_thread_exits */
    bool waiter_exited;       /* one of the waiters may have */

    /* what they only read */
    _Alignas(GP_RING_LINE) gp_session *sessions; /* running; written under the mutex with the GIL */
    uint32_t generation; /* changes when watching begins anew, which makes earlier states void */
    uint32_t wanting_sites, wanting_stacks, wanting_cpu; /* how many of the sessions */

    /* Set once. May be NULL where no session wants sites. */
    gp_naming naming;
    void (*locate)(gp_call_stack *stack, gp_site_key *keys,
                   bool whole); /* where the calling thread is; room for GP_STACK_MAX */
    gp_folding_host folding;
};

/* Acquire: who sees that it runs, without the mutex, sees what was learnt before. */
static inline bool gp_gil_state_running(const gp_gil_state *gil)
{
    return __atomic_load_n(&gil->sessions, __ATOMIC_ACQUIRE) != NULL;
}

/* Start a session: under the mutex, with the GIL. `holder`, the calling thread, has the GIL; NULL where that
 * is not known. */
void gp_gil_state_start(gp_gil_state *gil, gp_session *session, gp_thread *holder);

/* Stop a session: books what is under way up to `now`, closes its accounts and unlinks it. Under the mutex,
 * with the GIL. `threads` are all that have been seen, so that one that did nothing meanwhile is accounted
 * for too. `here` is where the calling thread is; not needed without sites. */
void gp_gil_state_stop(gp_gil_state *gil, gp_session *session, gp_thread *const *threads, size_t count,
                       const gp_call_stack *here, uint64_t now);

/* Charge the hold that is under way to those who wait for its end, up to `now`. Returns its place. Under the
 * mutex, with the GIL, which the calling thread holds. */
uint32_t gp_gil_state_charge_under_way(gp_gil_state *gil, gp_session *session, const gp_call_stack *here,
                                       uint64_t now);

/* Whether the thread was alive at some moment of the session. Under the mutex, with the GIL. */
bool gp_gil_state_concerns(const gp_gil_state *gil, const gp_session *session, const gp_thread *thread);

/* Copy an account, with all that is under way booked up to `now` if the session runs. Under the mutex, with
 * the GIL.
 */
void gp_gil_state_copy_account(const gp_session *session, const gp_account *account, uint64_t now,
                               gp_account *copy);

/* Begin and end reading a session's books under the mutex but without the GIL: the thread that has just got
 * the GIL may be booking. False if it is, or was meanwhile: then what was read is of no use. */
typedef struct {
    const gp_thread *holder;
    gp_state state;
} gp_gil_state_reading;

bool gp_gil_state_read_begin(const gp_session *session, gp_gil_state_reading *reading);
bool gp_gil_state_read_end(const gp_gil_state_reading *reading);

/* Contended time of `session` so far. Under the mutex. */
uint64_t gp_gil_state_contended(const gp_session *session, uint64_t now);

/* Begin to follow a thread, or follow it again after a break. `now` is when it appeared; 0: it was alive
 * before anything was watched. Owner thread. */
void gp_gil_state_adopt(const gp_gil_state *gil, gp_thread *thread, uint64_t now);

/* In a forked child: only `self` (NULL if the tracer does not know it) lives on; the others end at `now`. */
void gp_gil_state_forked(gp_gil_state *gil, gp_thread *self, gp_thread *const *threads, size_t count,
                         uint64_t now);

/* Book the CPU time of the hold that the thread has ended with gp_gil_state_drop. `now` is the thread's CPU
 * time, nanoseconds. Under the mutex; where a session wants it. */
void gp_gil_state_book_cpu(gp_gil_state *gil, gp_thread *thread, uint64_t now);

/* Slow paths of the inline functions below, under the same conditions. */
void gp_gil_state_settle(gp_gil_state *gil, gp_thread *thread, uint64_t asked);
void gp_gil_state_take_late(gp_gil_state *gil, gp_thread *thread, uint64_t now);
void gp_gil_state_book_contended(gp_gil_state *gil, const gp_thread *holder, uint64_t to);
void gp_gil_state_charge(gp_gil_state *gil, gp_session *session, uint32_t holder, uint32_t place,
                         uint64_t from, uint64_t to);
void gp_gil_state_fold(gp_gil_state *gil, gp_session *session);
void gp_gil_state_locate_waiter(gp_gil_state *gil, gp_session *session, gp_account *account);
void gp_gil_state_join_waiters(gp_gil_state *gil, gp_thread *thread);
void gp_gil_state_leave_waiters(gp_gil_state *gil, gp_thread *thread);

/* Opens accounts that the thread does not have yet. Under the mutex. */
#define GP_EACH_ACCOUNT(gil, thread, session, account)                                                       \
    for (gp_session *session = (gil)->sessions; session != NULL; session = session->next)                    \
        for (gp_account *account = gp_account_of(session, thread); account != NULL; account = NULL)

/* For the holder of the GIL, after gp_gil_state_acquire. Needs no mutex. */
#define GP_EACH_OPEN_ACCOUNT(gil, thread, session, account)                                                  \
    for (gp_session *session = (gil)->sessions; session != NULL; session = session->next)                    \
        for (gp_account *account = gp_account_known(session, thread); account != NULL; account = NULL)

/* The thread has locked the mutex. `asked_at`: when it asked, or GP_ASKED_AT_ONCE; `blocked`: it had to wait.
 * Under the mutex. The hooks see every such call from their first on, so nothing needs to reset this. */
static inline void gp_gil_state_lock(gp_thread *thread, uint64_t asked_at, bool blocked)
{
    thread->asked_at = asked_at;
    thread->blocked = blocked;
}

/* Book the end of a hold for its place, and charge it to those who waited for it. */
static inline void gp_gil_state_attribute(gp_gil_state *gil, gp_session *session, gp_account *account,
                                          const gp_call_stack *stack, uint64_t from, uint64_t to)
{
    uint32_t place = gp_attribution_place(session, account, stack, &gil->naming);
    gp_attribution_book_hold(session, place, gp_ticks_after(session->start, from, to));
    if (__builtin_expect(gil->waiters != NULL, 0))
        gp_gil_state_charge(gil, session, account->number, place, from, to);
}

/* The thread gives up the GIL. `forced`: because another asked for it; all until it has the GIL again is then
 * wait, since it does nothing but come back. `stack` is where it does so; needed if a session wants sites.
 * Under the mutex. */
static inline void gp_gil_state_drop(gp_gil_state *gil, gp_thread *thread, bool forced,
                                     const gp_call_stack *stack, uint64_t now)
{
    if (__builtin_expect(thread->asked_at > GP_ASKED_AT_ONCE, 0))
        now = thread->asked_at; /* it was done with the GIL when it asked for the mutex */
    if (__builtin_expect(thread->state != GP_HOLD, 0)) {
        /* its acquisition was not seen: it can't have begun before the last release */
        uint64_t from = gil->last_release > thread->since ? gil->last_release : thread->since;
        if (thread->state == GP_WAIT)
            gp_gil_state_leave_waiters(gil, thread);
        gp_gil_state_settle(gil, thread, from);
        thread->since = from;
    }
    GP_EACH_ACCOUNT (gil, thread, session, account) {
        gp_account_book_hold(session, account, thread->since, now);
        if (session->wants_sites)
            gp_gil_state_attribute(gil, session, account, stack, thread->since, now);
        gp_account_record(session, GP_EVENT_HOLD, account, thread->since, now);
        if (__builtin_expect(forced, 0))
            account->forced_releases++;
    }
    if (__builtin_expect(gil->contended_since != 0, 0)) {
        gp_gil_state_book_contended(gil, thread, now);
        gil->contended_since = 0;
    }
    gil->holder = NULL;
    gil->last_release = now;
    thread->state = forced ? GP_WAIT : GP_OFF;
    thread->since = now;
    if (__builtin_expect(forced, 0))
        gp_gil_state_join_waiters(gil, thread);
}

/* When the thread that gets or wants the GIL `now` began to want it. */
static inline uint64_t gp_gil_state_asked(const gp_thread *thread, uint64_t now)
{
    if (thread->asked_at == GP_ASKED_AT_ONCE)
        return now;
    return thread->asked_at == GP_ASKED_UNSEEN ? thread->since : thread->asked_at;
}

/* The thread finds the GIL taken and waits. Called again each time round the interpreter's loop. Under the
 * mutex. */
static inline void gp_gil_state_wait(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    if (thread->state == GP_WAIT)
        return;
    uint64_t asked = gp_gil_state_asked(thread, now);
    gp_gil_state_settle(gil, thread, asked);
    thread->state = GP_WAIT;
    thread->since = asked;
    gp_gil_state_join_waiters(gil, thread);
    if (gil->holder == NULL)
        return;
    /* the mutex is not fair: who gets it later may have asked earlier */
    if (gil->contended_since == 0 || asked < gil->contended_since)
        gil->contended_since = asked > GP_EVER ? asked : GP_EVER;
}

/* The thread gets the GIL. Under the mutex. Opens its accounts, so that gp_gil_state_take, without the mutex,
 * does not have to; and folds those of others here, where nobody books. */
static inline void gp_gil_state_acquire(gp_gil_state *gil, gp_thread *thread)
{
    GP_EACH_ACCOUNT (gil, thread, session, account) {
        if (__builtin_expect(session->wants_sites && account->last_place == GP_ROW_NONE, 0))
            gp_gil_state_locate_waiter(gil, session, account);
        if (__builtin_expect(session->folding_due != 0, 0))
            gp_gil_state_fold(gil, session);
    }
    gil->holder = thread;
    if (__builtin_expect(gil->waiters == NULL, 1))
        return;
    if (thread->state == GP_WAIT)
        gp_gil_state_leave_waiters(gil, thread);
    if (gil->waiters != NULL)
        gil->contended_since = GP_EVER;
}

/* Stores before it are seen before those behind it, loads likewise. */
static inline void gp_gil_state_fence(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __atomic_signal_fence(__ATOMIC_ACQ_REL); /* the processor keeps both orders by itself */
#else
    __atomic_thread_fence(__ATOMIC_ACQ_REL);
#endif
}

/* The thread has got the GIL, after gp_gil_state_acquire. With the GIL. */
static inline void gp_gil_state_take(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    __atomic_store_n(&thread->booking, true, __ATOMIC_RELAXED);
    gp_gil_state_fence();
    if (__builtin_expect(thread->state == GP_OFF && thread->asked_at == GP_ASKED_AT_ONCE, 1)) {
        GP_EACH_OPEN_ACCOUNT(gil, thread, session, account)
        {
            gp_account_book_off(session, account, thread->since, now);
            account->acquisitions++;
        }
    } else if (thread->state == GP_HOLD) {
        now = thread->since; /* in a forked child, which takes the new GIL over the old one */
    } else {
        gp_gil_state_take_late(gil, thread, now);
    }
    __atomic_store_n(&thread->since, now, __ATOMIC_RELAXED);
    /* release: who looks from outside (gp_stall_look.h) and sees the hold sees when it began */
    __atomic_store_n(&thread->state, GP_HOLD, __ATOMIC_RELEASE);
    __atomic_store_n(&thread->booking, false, __ATOMIC_RELEASE); /* and who sees this sees what was booked */
}

#endif
