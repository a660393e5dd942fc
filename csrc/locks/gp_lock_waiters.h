#ifndef GP_LOCK_WAITERS_H
#define GP_LOCK_WAITERS_H

/* Who sleeps on which semaphore. A release of a lock must cost nothing where nobody waits, so the threads
 * that wait are counted by semaphore, in buckets: a post looks at one word.
 *
 * Everything here is wait-free, and may run in any thread, in the middle of the interpreter's own calls. */

#include "base/gp_hash.h"
#include "locks/gp_lock_journal.h"

enum {
    GP_LOCK_BUCKETS = 4096, /* a power of 2 */
    GP_LOCK_BUCKET_ROOM = 7,
};

/* One line of the cache. */
typedef struct {
    /* 0: nobody waits. A bit for each place in `who` that is taken; above these the number of threads for
     * which there was no room. */
    _Alignas(64) _Atomic uint64_t waiting;
    _Atomic(const gp_lock_journal *) who[GP_LOCK_BUCKET_ROOM];
} gp_lock_bucket;

/* Zeroed memory is empty. */
typedef struct {
    gp_lock_bucket buckets[GP_LOCK_BUCKETS];
} gp_lock_waiters;

static inline gp_lock_bucket *gp_lock_bucket_of(gp_lock_waiters *waiters, uintptr_t sem)
{
    return &waiters->buckets[(sem * GP_GOLDEN) >> 52];
}

/* Whether anybody waits who may be meant. */
static inline bool gp_lock_anybody(gp_lock_waiters *waiters, uintptr_t sem)
{
    /* relaxed: a waiter that comes just now is not seen, and only its release is not known then */
    return atomic_load_explicit(&gp_lock_bucket_of(waiters, sem)->waiting, memory_order_relaxed) != 0;
}

/* The journal's thread is about to wait, as its `waiting` says. Returns a token for the end. */
int gp_lock_waiters_enter(gp_lock_waiters *waiters, const gp_lock_journal *journal, uintptr_t sem);
void gp_lock_waiters_leave(gp_lock_waiters *waiters, uintptr_t sem, int token);

/* The lock for which somebody waits on this semaphore; 0: nobody does. *known is false if it can't be told:
 * then it is the semaphore. */
uintptr_t gp_lock_waiters_key(gp_lock_waiters *waiters, uintptr_t sem, bool *known);

/* What that lock is: its number; GP_ROW_NONE: not known. */
uint32_t gp_lock_waiters_lock(gp_lock_waiters *waiters, uintptr_t sem);

#endif
