#ifndef GP_FOLDING_H
#define GP_FOLDING_H

/* Folding: the accounts of ended threads become one, so that a session's memory depends on how many threads
 * there are at a time, not on how many there have been.
 *
 * It begins when more than `keep` accounts are open, and is done again each time some more have been opened;
 * the largest of the ended threads stay. What refers to a number that was folded means the account that took
 * it in: gp_session.ended, which has the number of the first.
 *
 * Only accounts of threads that have ended for good are folded, so none of them ever books again; not those
 * of threads that ended while they waited for the GIL, since they remain among the waiters. */

#include "books/gp_account.h"

/* What folding must be told of threads; NULLs: nothing is folded. */
typedef struct {
    bool (*gone)(const gp_thread *thread); /* it has exited, and none of its code will run again */
    void (*retire)(gp_thread *thread);     /* no running session knows it any more; may be NULL */
} gp_folding_host;

/* Whether so many accounts have been opened that it is time. */
bool gp_folding_is_due(const gp_session *session);

/* Fold what can be folded. `running` are all sessions. Under the lock, after a reading. */
void gp_folding_run(gp_session *session, gp_session *running, const gp_folding_host *host);

/* Let the blame table and the tallies refer to `ended` instead of what was folded, if that is worth it:
 * before one of them grows. Under the lock. */
void gp_folding_compact(gp_session *session);

#endif
