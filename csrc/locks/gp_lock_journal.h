#ifndef GP_LOCK_JOURNAL_H
#define GP_LOCK_JOURNAL_H

/* What one thread notes of locks: how long it waited for one, and when it released one that others wait for.
 * The thread notes in memory of its own, and the books are kept later (gp_lock_books.h).
 *
 * A wait is noted when it ends, a release before the waiting thread is woken. So whoever finds the note of a
 * wait also finds the notes of all releases of that lock before, whatever thread they are of. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "locks/gp_lock_known.h"

enum {
    GP_LOCK_NOTES = 128, /* of one thread; a power of 2 */
    GP_LOCK_DUE = 64,    /* from so many unread ones on the thread itself keeps the books */
    GP_LOCK_NAME_MAX = 16,
};

enum {
    GP_LOCK_RELEASE = 1,    /* a release, not a wait */
    GP_LOCK_FAILED = 2,     /* the wait ended without the lock: time was up, or a signal came */
    GP_LOCK_GOES_ON = 4,    /* the wait goes on with the one before: the interpreter only tried again */
    GP_LOCK_SPUN = 8,       /* the thread only spun, and never slept */
    GP_LOCK_ELSEWHERE = 16, /* a release whose lock is not known: `key` is the semaphore */
    GP_LOCK_BY_ITSELF = 32, /* the thread has the lock itself */
};

/* One line of the cache. */
typedef struct {
    _Alignas(64) uint64_t since; /* ticks */
    uint64_t until;              /* of a release when that was */
    uintptr_t key;               /* the lock's address */
    uintptr_t sem;               /* the semaphore on which the thread slept, or which was posted */
    uint32_t place;              /* GP_ROW_NONE: not known */
    uint32_t lock; /* what it is: a number of gp_lock_trace.h. Of a release only if all threads were
                      stopped: by what; GP_ROW_NONE */
    uint32_t flags;
    uint32_t spun;  /* ticks of the wait in which the thread spun; of a very long spin UINT32_MAX */
    uint32_t stack; /* of a wait: a number of gp_lock_trace.h; 0: not known, or no session wants stacks */
} gp_lock_note;

/* What a thread waits for now. Any thread reads it. */
typedef struct {
    _Atomic uintptr_t key; /* 0: nothing */
    _Atomic uintptr_t sem;
    _Atomic uint64_t since; /* 0: it is about to wait */
    _Atomic uint64_t until; /* not 0: that failed then, and may go on at once or not at all */
    _Atomic uint32_t place, lock, spun, stack;
    _Atomic bool own; /* it has the lock itself */
} gp_lock_waiting;

/* Attempts of the thread to get a lock without sleeping, since the last note. */
typedef struct {
    _Atomic uint64_t since, until; /* since 0: none, or it is about to begin */
    _Atomic uintptr_t key;         /* 0: not known, or none */
    _Atomic uint32_t place, lock, stack;
    _Atomic bool yields;    /* now */
    _Atomic bool own;       /* it has the lock itself */
    _Atomic uint32_t tries; /* yields so far */
    _Atomic uint32_t phase; /* see gp_lock_rhythm */
} gp_lock_spin;

/* When a thread that spins looks at the lock again: after `all` yields, of which it makes no more, and before
 * that whenever its yields and its phase together are a multiple of `every`; 0: never before. `all` 0: not
 * known, it may be after any yield. */
typedef struct {
    unsigned every, all;
} gp_lock_rhythm;

/* A yield at a place where it is not known yet that threads spin there for a lock. */
typedef struct {
    const void *at;
    uint64_t when;
    uintptr_t registers[6];
} gp_lock_yielded;

typedef struct gp_lock_journal {
    /* written by the thread; first what each wait touches */
    _Alignas(64) gp_lock_waiting waiting;
    _Atomic uint64_t noted; /* notes published so far */
    gp_lock_spin spin;
    uint64_t last_until; /* of the last wait; 0: another must not go on with it */
    uintptr_t last_key;
    uint32_t last_place;
    bool last_was_cut;       /* by a signal */
    _Atomic bool listed;     /* it is in the list of those with something to read */
    int token;               /* of gp_lock_waiters_enter */
    uint64_t known_read;     /* notes that were read, when it was last looked up */
    gp_lock_yielded yielded; /* `at` NULL: none since the last wait */
    _Atomic uint64_t lost;   /* notes for which there was no room */
    _Atomic bool ended;
    _Atomic(struct gp_lock_journal *) next_listed;
    gp_lock_known known;
    gp_lock_kind stopped_by; /* as this thread stopped all others there; `key`: when it let the last one go */

    /* written by whoever keeps the books */
    _Alignas(64) _Atomic uint64_t read; /* notes read so far */
    uint64_t seen;                      /* notes whose steps are in the history; at least `read` */
    uint64_t limit, upto;               /* in this reading: of waits, of steps */
    uint64_t spin_told;                 /* `since` of a spin whose end is in the history, but not noted yet */
    uint64_t open_since, open_until;    /* the last wait, with which another may go on */
    uint32_t open_lock;
    struct gp_lock_journal *next_read;
    bool being_read;
    uint32_t account;

    gp_lock_note notes[GP_LOCK_NOTES];
} gp_lock_journal;

/* Whether the thread may know by now that the lock is free. Otherwise it spins on, however long it has not
 * run. */
static inline bool gp_lock_has_looked(const gp_lock_spin *spin, gp_lock_rhythm rhythm)
{
    uint32_t tries = atomic_load_explicit(&spin->tries, memory_order_relaxed);
    uint32_t phase = atomic_load_explicit(&spin->phase, memory_order_relaxed);
    return rhythm.all == 0 || tries % rhythm.all == 0 ||
           (rhythm.every != 0 && (tries + phase) % rhythm.every == 0);
}

/* The spin is over. A key without a time is of one that begins: all that is known of that lock is needed. */
static inline void gp_lock_spin_end(gp_lock_spin *spin)
{
    /* release: after the note, see book_under_way; and the key after the time, see look_at_spin */
    atomic_store_explicit(&spin->since, 0, memory_order_release);
    atomic_store_explicit(&spin->key, 0, memory_order_release);
}

static inline gp_lock_note *gp_lock_journal_note(gp_lock_journal *journal, uint64_t number)
{
    return &journal->notes[number & (GP_LOCK_NOTES - 1)];
}

static inline uint64_t gp_lock_journal_unread(const gp_lock_journal *journal)
{
    /* acquire: the reader has done with what it has read */
    return atomic_load_explicit(&journal->noted, memory_order_relaxed) -
           atomic_load_explicit(&journal->read, memory_order_acquire);
}

/* Whether there are so many notes that are not read. Owner only. What was read is looked up only then:
 * whoever reads may do so on another processor. */
static inline bool gp_lock_journal_has(gp_lock_journal *journal, uint64_t unread)
{
    uint64_t noted = atomic_load_explicit(&journal->noted, memory_order_relaxed);
    if (__builtin_expect(noted - journal->known_read < unread, 1))
        return false;
    /* acquire: the reader has done with what it has read */
    journal->known_read = atomic_load_explicit(&journal->read, memory_order_acquire);
    return noted - journal->known_read >= unread;
}

/* Where the next note goes; NULL if there is no room, which is counted. Owner only; wait-free. */
static inline gp_lock_note *gp_lock_journal_next(gp_lock_journal *journal)
{
    if (gp_lock_journal_has(journal, GP_LOCK_NOTES)) {
        atomic_fetch_add_explicit(&journal->lost, 1, memory_order_relaxed);
        return NULL;
    }
    return gp_lock_journal_note(journal, atomic_load_explicit(&journal->noted, memory_order_relaxed));
}

/* That note is written. */
static inline void gp_lock_journal_publish(gp_lock_journal *journal)
{
    uint64_t number = atomic_load_explicit(&journal->noted, memory_order_relaxed);
    /* release: who finds the number finds the note */
    atomic_store_explicit(&journal->noted, number + 1, memory_order_release);
}

#endif
