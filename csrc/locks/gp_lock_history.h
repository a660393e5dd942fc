#ifndef GP_LOCK_HISTORY_H
#define GP_LOCK_HISTORY_H

/* Who released which lock when, as far back as somebody still waits for it: what divides a wait among those
 * who had the lock meanwhile. Guarded by the lock of the books. Memory comes from mmap. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GP_LOCK_RELEASES_MAX = 1 << 18, /* of all locks together: 12 MiB */
};

typedef struct {
    uint64_t at;
    uintptr_t sem;           /* what was posted */
    uint64_t woken_at;       /* when the thread that this woke ran again; 0: not known */
    uint32_t account, place; /* who released it, and where */
    uint32_t woken;          /* the thread that this woke; valid if woken_at is */
} gp_lock_release;

/* The releases of one lock, in order of time. */
typedef struct {
    uintptr_t key;
    gp_lock_release *releases;
    size_t count, room;
    uint64_t needed; /* releases after this are still needed; UINT64_MAX: none */
} gp_lock_past;

/* Zeroed memory is empty. */
typedef struct {
    gp_lock_past *pasts;
    size_t count, room;
    uint32_t *slots; /* a past + 1; 0: free */
    size_t slot_count;
    size_t releases; /* of all pasts */
} gp_lock_history;

/* Add a release; they may come in any order. False without memory. */
bool gp_lock_history_add(gp_lock_history *history, uintptr_t key, const gp_lock_release *release);

/* What is known of a lock; NULL: nothing. Valid until the next call that changes the history. */
gp_lock_past *gp_lock_history_of(const gp_lock_history *history, uintptr_t key);

/* The thread has run again at this time, after it had waited for the lock, on this semaphore. */
void gp_lock_history_woke(gp_lock_past *past, uintptr_t sem, uint32_t account, uint64_t at);

/* Called with each part of a wait: who had the lock, and where it released it; GP_LOCK_NOBODY and
 * GP_LOCK_UNSEEN (gp_lock_table.h) instead of a holder. Parts of no length are left out. */
typedef void gp_lock_charge(void *context, uint32_t holder, uint32_t place, uint64_t since, uint64_t until);

/* Divide a wait among the holders of the lock. `past` may be NULL. `failed`: the waiter did not get it. */
void gp_lock_history_divide(const gp_lock_past *past, uint64_t since, uint64_t until, bool failed,
                            gp_lock_charge *charge, void *context);

/* Forget the releases that are not needed: before, set `needed` of each past that is. */
void gp_lock_history_forget_all_needs(gp_lock_history *history);
void gp_lock_history_prune(gp_lock_history *history);

void gp_lock_history_clear(gp_lock_history *history);

#endif
