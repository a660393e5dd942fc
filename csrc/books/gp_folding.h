#ifndef GP_FOLDING_H
#define GP_FOLDING_H

/* Folding: the accounts of ended threads become one, so that a session's memory depends on how many threads
 * there are at a time, not on how many there have been.
 *
 * It begins when more than `keep` accounts are open. From then on each opening makes one step due, in which a
 * few accounts are folded; the largest of the ended threads stay. What refers to a number that was folded
 * means the account that took it in: gp_session.ended, which has the number of the first.
 *
 * Only accounts of threads that have ended for good are folded, so none of them ever books again; not those
 * of threads that ended while they waited for the GIL, since they remain among the waiters. */

#include "books/gp_account.h"

/* What folding must be told of threads; NULLs: nothing is folded. */
typedef struct {
    bool (*gone)(const gp_thread *thread); /* it has exited, and none of its code will run again */
    void (*retire)(gp_thread *thread);     /* no running session knows it any more; may be NULL */
} gp_folding_host;

/* One step for `session`, which has one due. `running` are all sessions. Under the GIL's mutex, with the
 * GIL, and not while the calling thread books without the mutex (gp_gil_state_take). */
void gp_folding_step(gp_session *session, gp_session *running, const gp_folding_host *host);

/* Let the blame table refer to `ended` instead of what was folded, if that is worth it: before it grows.
 * Under the GIL's mutex, with the GIL. */
void gp_folding_compact_blame(gp_session *session);

#endif
