#ifndef GP_LOCK_BOOKS_H
#define GP_LOCK_BOOKS_H

/* The books of locks: turns what threads have noted into sums for each session: who waited for which lock,
 * where, and behind whom. Knows no hook and no interpreter: what it is fed with has its times.
 *
 * One reader at a time: whoever calls these functions has the lock of the books, unless they say otherwise.
 */

#include "base/gp_buffer.h"
#include "base/gp_clock.h"
#include "base/gp_status.h"
#include "locks/gp_lock_history.h"
#include "locks/gp_lock_journal.h"
#include "locks/gp_lock_table.h"

/* One wait, or a part of one. Times in ticks. */
typedef struct {
    uint64_t since, until;
    uint64_t released; /* when the release came that ended it; 0: none was seen */
    uint32_t account, lock, place, stack;
    uint32_t holder, holder_place; /* who released the lock, and where; GP_LOCK_UNSEEN: nobody was seen */
    uint32_t spun;
    uint32_t flags; /* of its note (gp_lock_journal.h); GP_LOCK_GOES_ON: with the thread's last one */
} gp_lock_wait;

enum {
    GP_LOCK_WAITS_SIZE = 3 << 22, /* bytes of waits that are to be written, at most */
};

/* How many of each the session's recording has been told of. */
typedef struct {
    uint32_t places, locks, stacks, accounts;
} gp_lock_told;

typedef struct gp_lock_session {
    struct gp_lock_session *next;
    uint64_t start, stop; /* ticks; what is outside does not count. UINT64_MAX while it runs */
    gp_rows rows;
    uint64_t lost_ticks; /* waits without a row */
    uint64_t lost_notes; /* of all threads: before the start; after the stop, since then */
    gp_clock_anchor anchor, end_anchor;
    bool hooks_lost;
    bool keeps_waits;  /* one by one, for a recording */
    gp_buffer waits;   /* gp_lock_wait, since they were last taken */
    gp_buffer taken;   /* the recorder's thread writes these; it needs no lock */
    uint64_t dropped;  /* of these, in all: there was no room */
    bool wants_stacks; /* of these */
    uint64_t origin;   /* ticks: from then on the recording counts */
    gp_lock_told told;
    gp_buffer cpu_before; /* of threads, when it began (gp_lock_cpu.h) */
} gp_lock_session;

/* All journals; they are never freed. */
typedef struct {
    gp_lock_journal **journals;
    size_t count, room;
} gp_lock_journals;

/* Zeroed memory is empty, but for the rate. */
typedef struct {
    gp_lock_history history;
    gp_lock_session *sessions; /* those that run */
    gp_lock_journals journals;
    _Atomic(gp_lock_journal *) listed; /* with something to read */
    size_t prune_at;                   /* steps in the history */
    _Atomic uint32_t stop_lock;        /* number of the lock that stands for any stop of all threads, + 1;
                                          0: none was met */
    uint64_t forgotten;                /* steps for which there was no memory */
    gp_lock_rhythm rhythm;             /* of spins */
    uint64_t gap_ticks;                /* a thread that has not spun for so long does not spin any more */
    gp_clock_rate rate;
} gp_lock_books;

/* Tell that the journal has something to read. Its owner, without the lock; wait-free. */
void gp_lock_books_list(gp_lock_books *books, gp_lock_journal *journal);

/* Take part from now on. GP_ENOMEM. */
gp_status gp_lock_books_add(gp_lock_books *books, gp_lock_journal *journal);

/* Book what is noted. What is noted meanwhile may be left. */
void gp_lock_books_read(gp_lock_books *books);

/* Book up to now what is under way, in rows that may be the session's own, if it ends now. Reads before. */
void gp_lock_books_read_to(gp_lock_books *books, gp_lock_session *session, gp_rows *rows, uint64_t now);

#endif
