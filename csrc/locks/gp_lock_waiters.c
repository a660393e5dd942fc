#include "locks/gp_lock_waiters.h"

#include <stddef.h>

enum {
    WITHOUT = -1, /* token of a thread for which there was no room */
};

int gp_lock_waiters_enter(gp_lock_waiters *waiters, const gp_lock_journal *journal, uintptr_t sem)
{
    gp_lock_bucket *bucket = gp_lock_bucket_of(waiters, sem);
    /* relaxed: see gp_lock_anybody; the semaphore itself is a barrier */
    atomic_fetch_add_explicit(&bucket->count, 1, memory_order_relaxed);
    for (int i = 0; i < GP_LOCK_BUCKET_ROOM; i++) {
        const gp_lock_journal *nobody = NULL;
        /* release: who finds the journal finds what it waits for */
        if (atomic_load_explicit(&bucket->who[i], memory_order_relaxed) == NULL &&
            atomic_compare_exchange_strong_explicit(&bucket->who[i], &nobody, journal, memory_order_release,
                                                    memory_order_relaxed))
            return i;
    }
    atomic_fetch_add_explicit(&bucket->without, 1, memory_order_relaxed);
    return WITHOUT;
}

void gp_lock_waiters_leave(gp_lock_waiters *waiters, uintptr_t sem, int token)
{
    gp_lock_bucket *bucket = gp_lock_bucket_of(waiters, sem);
    if (token == WITHOUT)
        atomic_fetch_sub_explicit(&bucket->without, 1, memory_order_relaxed);
    else
        atomic_store_explicit(&bucket->who[token], NULL, memory_order_relaxed);
    atomic_fetch_sub_explicit(&bucket->count, 1, memory_order_relaxed);
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
    return atomic_load_explicit(&bucket->without, memory_order_relaxed) != 0 ? sem : 0;
}

uint32_t gp_lock_waiters_lock(gp_lock_waiters *waiters, uintptr_t sem)
{
    const gp_lock_journal *journal = find(gp_lock_bucket_of(waiters, sem), sem);
    return journal != NULL ? atomic_load_explicit(&journal->waiting.lock, memory_order_relaxed) : GP_ROW_NONE;
}
