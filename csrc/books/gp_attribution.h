#ifndef GP_ATTRIBUTION_H
#define GP_ATTRIBUTION_H

/* Attribution: to which place a hold or a wait belongs, and to whom a wait is charged.
 *
 * A hold belongs to the place where its thread let the GIL go, a wait to the place where the waiting thread
 * had let it go before. A thread that has no Python frame there runs native code, or CPython's own start or
 * end of a thread: it has a place of its own.
 *
 * For sessions that want sites. Only the holder of the GIL calls this: under the GIL's mutex ("under the
 * mutex") where a place may be met for the first time, since others read the tables under the mutex alone. To
 * charge waiters the mutex is enough. */

#include "books/gp_account.h"

/* A thread's Python stack, from the innermost level; only that level where no session wants stacks. */
typedef struct {
    const gp_site_key *keys;
    size_t depth;   /* 0: no Python frame */
    bool truncated; /* there are more levels */
} gp_call_stack;

/* Called with a place that may be new in a session, under the mutex: appends its description, kind and all
 * that comes after it in PLAC (docs/recording-format.md). Its code object lives: the calling thread runs it.
 */
typedef void gp_met(gp_site_key key, gp_buffer *description);

typedef struct {
    gp_met *met;
    /* Whether a place of the calling thread stands for its caller, which *key becomes if there is one; it may
     * be another the next time. Asked under the mutex, about a site where the thread has not been of late.
     * NULL: no place does. */
    bool (*stands_for_caller)(gp_site_key *key);
} gp_naming;

/* Slow paths of gp_attribution_place. */
gp_site_key gp_attribution_native_key(const gp_session *session, const gp_account *account);
uint32_t gp_attribution_site(gp_session *session, gp_account *account, gp_site_key key,
                             const gp_naming *naming);
uint32_t gp_attribution_stack(gp_session *session, gp_account *account, const gp_call_stack *stack,
                              const gp_naming *naming);

static inline gp_site_key gp_attribution_key(const gp_session *session, const gp_account *account,
                                             const gp_call_stack *stack)
{
    if (__builtin_expect(stack->depth != 0, 1))
        return stack->keys[0];
    return gp_attribution_native_key(session, account);
}

/* The place of the account's thread, which becomes its last. GP_ROW_NONE without memory. Under the mutex. */
static inline uint32_t gp_attribution_place(gp_session *session, gp_account *account,
                                            const gp_call_stack *stack, const gp_naming *naming)
{
    if (session->wants_stacks)
        return gp_attribution_stack(session, account, stack, naming);
    gp_site_key key = gp_attribution_key(session, account, stack);
    if (__builtin_expect(account->last_place != GP_ROW_NONE && gp_site_same(account->last_key, key), 1))
        return account->last_place;
    return gp_attribution_site(session, account, key, naming);
}

/* A hold of `ticks` ended at `place`. */
static inline void gp_attribution_book_hold(gp_session *session, uint32_t place, uint64_t ticks)
{
    if (__builtin_expect(place == GP_ROW_NONE, 0)) {
        session->sites_lost += ticks;
        return;
    }
    session->places.rows[place].hold += ticks;
    session->places.rows[place].releases++;
}

/* The account's thread has waited from `from` to `to`: book it for its last place, and remember it if it is
 * one of the longest. */
void gp_attribution_book_wait(gp_session *session, gp_account *account, uint64_t from, uint64_t to);

/* The waiter has waited for these holds. Under the mutex. */
void gp_attribution_charge(gp_session *session, gp_account *waiter, const gp_charge *charge);

/* The longest of them may be the longest of its whole wait. Under the mutex. */
static inline void gp_attribution_suspect(gp_account *waiter, const gp_charge *charge)
{
    if (charge->longest <= waiter->culprit_ticks)
        return;
    waiter->culprit_ticks = charge->longest;
    waiter->culprit = charge->holder;
    waiter->culprit_place = charge->place;
}

#endif
