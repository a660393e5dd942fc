#ifndef GP_ATTRIBUTION_H
#define GP_ATTRIBUTION_H

/* Attribution: to which place a hold or a wait belongs, and to whom a wait is charged.
 *
 * A hold belongs to the place where its thread let the GIL go, a wait to the place where the waiting thread
 * had let it go before. A thread that has no Python frame there runs native code, or CPython's own start or
 * end of a thread: it has a place of its own.
 *
 * For sessions that want sites. Places come as numbers of the GIL's (gp_places.h); a session gives those that
 * it meets numbers of its own, and has their descriptions. Under the lock of the stream. */

#include "books/gp_account.h"

/* Slow path of gp_attribution_place. */
uint32_t gp_attribution_meet(gp_session *session, gp_account *account, const gp_places *places,
                             uint32_t number);

/* The place of the account's thread, which becomes its last, by its number in `places`. GP_ROW_NONE without
 * memory. */
static inline uint32_t gp_attribution_place(gp_session *session, gp_account *account, const gp_places *places,
                                            uint32_t number)
{
    uint32_t place = number < session->met.room ? session->met.place_of[number] : 0;
    if (__builtin_expect(place == 0, 0))
        place = gp_attribution_meet(session, account, places, number) + 1;
    account->last_place = place - 1;
    return place - 1;
}

/* The session's number of a place where the account's thread was seen, by its number in `looked`, the
 * looker's places. GP_ROW_NONE without memory. */
uint32_t gp_attribution_looked(gp_session *session, gp_account *account, const gp_places *looked,
                               uint32_t number);

/* A hold of `ticks` ended at `place`. */
static inline void gp_attribution_book_hold(gp_session *session, uint32_t place, uint64_t ticks)
{
    if (__builtin_expect(place == GP_ROW_NONE, 0)) {
        session->sites_lost += ticks;
        return;
    }
    session->places[place].hold += ticks;
    session->places[place].releases++;
}

/* The account's thread has waited from `from` to `to`: book it for its last place, and remember it if it is
 * one of the longest. */
void gp_attribution_book_wait(gp_session *session, gp_account *account, uint64_t from, uint64_t to);

/* The account's thread waits since `from`, or has waited, for `ticks`. */
gp_stall gp_attribution_stall(const gp_account *waiter, uint64_t from, uint64_t ticks);

/* The waiter has waited for these holds. */
void gp_attribution_charge(gp_session *session, gp_account *waiter, const gp_charge *charge);

/* The longest of them may be the longest of its whole wait. */
static inline void gp_attribution_suspect(gp_account *waiter, const gp_charge *charge)
{
    if (charge->longest <= waiter->culprit_ticks)
        return;
    waiter->culprit_ticks = charge->longest;
    waiter->culprit = charge->holder;
    waiter->culprit_place = charge->place;
    waiter->culprit_looked = charge->looked;
}

#endif
