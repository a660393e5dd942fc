#include "locks/gp_lock_waiters.h"

#include <stddef.h>

enum {
    PLACES = (1 << GP_LOCK_BUCKET_ROOM) - 1,
    ONE_WITHOUT = PLACES + 1, /* a thread for which there was no room */
};

/* One change of the bucket's word at each end of a wait: such a change is what costs most here. */
int gp_lock_waiters_enter(gp_lock_waiters *waiters, const gp_lock_journal *journal, uintptr_t sem)
{
    gp_lock_bucket *bucket = gp_lock_bucket_of(waiters, sem);
    uint64_t before = atomic_load_explicit(&bucket->waiting, memory_order_relaxed), taken;
    do {
        uint64_t free = ~before & PLACES;
        taken = free != 0 ? free & -free : (uint64_t)ONE_WITHOUT;
        /* acquire: who had the place before has emptied it. Posts may miss it for a moment: see
         * gp_lock_anybody; the semaphore itself is a barrier */
    } while (!atomic_compare_exchange_weak_explicit(&bucket->waiting, &before, before + taken,
                                                    memory_order_acquire, memory_order_relaxed));
    int token = __builtin_ctzll(taken);
    if (token < GP_LOCK_BUCKET_ROOM) /* release: who finds the journal finds what it waits for */
        atomic_store_explicit(&bucket->who[token], journal, memory_order_release);
    return token;
}

void gp_lock_waiters_leave(gp_lock_waiters *waiters, uintptr_t sem, int token)
{
    gp_lock_bucket *bucket = gp_lock_bucket_of(waiters, sem);
    if (token < GP_LOCK_BUCKET_ROOM)
        atomic_store_explicit(&bucket->who[token], NULL, memory_order_relaxed);
    /* release: the place is empty before it is another's */
    atomic_fetch_sub_explicit(&bucket->waiting, UINT64_C(1) << token, memory_order_release);
}

/* Who waits on this semaphore, as far as there was room; NULL: nobody. Journals are never freed; one that
 * stopped waiting meanwhile has another semaphore, or none. */
static const gp_lock_journal *find(gp_lock_bucket *bucket, uintptr_t sem)
{
    for (int i = 0; i < GP_LOCK_BUCKET_ROOM; i++) {
        const gp_lock_journal *journal = atomic_load_explicit(&bucket->who[i], memory_order_acquire);
        if (journal != NULL && atomic_load_explicit(&journal->waiting.sem, memory_order_relaxed) == sem)
            return journal;
    }
    return NULL;
}

uintptr_t gp_lock_waiters_key(gp_lock_waiters *waiters, uintptr_t sem, bool *known)
{
    gp_lock_bucket *bucket = gp_lock_bucket_of(waiters, sem);
    const gp_lock_journal *journal = find(bucket, sem);
    *known = journal != NULL;
    if (journal != NULL)
        return atomic_load_explicit(&journal->waiting.key, memory_order_relaxed);
    return atomic_load_explicit(&bucket->waiting, memory_order_relaxed) >= ONE_WITHOUT ? sem : 0;
}

uint32_t gp_lock_waiters_lock(gp_lock_waiters *waiters, uintptr_t sem)
{
    const gp_lock_journal *journal = find(gp_lock_bucket_of(waiters, sem), sem);
    return journal != NULL ? atomic_load_explicit(&journal->waiting.lock, memory_order_relaxed) : GP_ROW_NONE;
}
