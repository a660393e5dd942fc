#ifndef GP_LOCK_HISTORY_H
#define GP_LOCK_HISTORY_H

/* Who had which lock when, as far back as somebody still waits for it: what divides a wait among those who
 * had the lock meanwhile. Of a lock only the ends of waits are known, and the releases that woke somebody:
 * who takes it while it is free, and lets it go while nobody sleeps, is not seen.
 *
 * Guarded by the lock of the books. Memory comes from mmap. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GP_LOCK_STEPS_MAX = 1 << 18, /* of all locks together: 8 MiB */
};

typedef enum {
    GP_LOCK_RELEASED,
    GP_LOCK_TAKEN, /* after a wait */
    GP_LOCK_ASKED, /* by a thread that spun: whatever it had before it has released, perhaps unseen */
} gp_lock_step_kind;

/* What a thread did. */
typedef struct {
    uint64_t at;
    uintptr_t sem;           /* what was posted, or what the thread slept on; 0: it only spun */
    uint32_t account, place; /* who, and where; of one that had waited, where it waited */
    gp_lock_step_kind kind;
    uint32_t lock; /* of the end of a stop of all threads by what: a number of gp_lock_trace.h; else any */
} gp_lock_step;

/* The steps of one lock, in order of time. */
typedef struct {
    uintptr_t key;
    gp_lock_step *steps;
    size_t count, room;
    uint64_t needed; /* steps after this are still needed; UINT64_MAX: none */
} gp_lock_past;

/* Zeroed memory is empty. */
typedef struct {
    gp_lock_past *pasts;
    size_t count, room;
    uint32_t *slots; /* a past + 1; 0: free */
    size_t slot_count;
    size_t steps; /* of all pasts */
} gp_lock_history;

/* Add a step; they may come in any order. False without memory. */
bool gp_lock_history_add(gp_lock_history *history, uintptr_t key, const gp_lock_step *step);

/* What is known of a lock; NULL: nothing. Valid until the next call that changes the history. */
gp_lock_past *gp_lock_history_of(const gp_lock_history *history, uintptr_t key);

/* Called with each part of a wait: who had the lock, and where it released it, or if that was not seen, where
 * it had waited for it; GP_LOCK_NOBODY and GP_LOCK_UNSEEN (gp_lock_table.h) instead of a holder. Parts of no
 * length are left out. */
typedef void gp_lock_charge(void *context, uint32_t holder, uint32_t place, uint64_t since, uint64_t until);

/* A wait of a thread. `failed`: it did not get the lock. `own`: it had the lock itself when it began to wait,
 * and `place` is where that was. */
typedef struct {
    uint32_t account;
    uint64_t since, until;
    bool failed, own;
    uint32_t place;
} gp_lock_waited;

/* Divide a wait among the holders of the lock. `past` may be NULL. */
void gp_lock_history_divide(const gp_lock_past *past, gp_lock_waited wait, gp_lock_charge *charge,
                            void *context);

/* The last release within a wait; NULL: none is known. `past` may be NULL. */
const gp_lock_step *gp_lock_history_release(const gp_lock_past *past, uint64_t since, uint64_t until);

/* Forget the steps that are not needed: before, set `needed` of each past that is. */
void gp_lock_history_forget_all_needs(gp_lock_history *history);
void gp_lock_history_prune(gp_lock_history *history);

void gp_lock_history_clear(gp_lock_history *history);

#endif
