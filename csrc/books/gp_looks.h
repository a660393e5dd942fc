#ifndef GP_LOOKS_H
#define GP_LOOKS_H

/* Looks: what the thread that has the GIL runs, seen at random times. A hold is booked for the place where it
 * ends, which need not be what took the time; looks tell what did.
 *
 * One thread looks (gp_looker.h), without the GIL, and puts what it saw into the GIL's queue. Whoever keeps
 * the books takes it out in order of time, among the steps of threads: so it is known in whose hold each look
 * falls, and how many threads waited then. When the hold ends its looks go into the tallies (gp_tallies.h).
 *
 * To look takes some ten microseconds, in which short holds end and others begin, and far longer if the
 * looker does not run meanwhile. Only the books know whose hold it was when the look began: a look counts for
 * the hold of that moment, whatever it saw, else short holds would be seen too seldom. What it saw is right
 * if the holder was there before that moment and after it, or if that hold was still under way when it was
 * found: nobody moves without the GIL. Else it is taken to have been where that hold ended. A look is in the
 * queue before it begins, since the books may be kept meanwhile. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "stream/gp_journal.h"
#include "books/gp_account.h"
#include "books/gp_places.h"

/* Instead of a place, in a look; also GP_NO_FRAME and GP_UNSEEN. */
#define GP_LOOK_FREE (UINT32_MAX - 3) /* nobody had the GIL */

typedef struct {
    uint64_t time;        /* at its begin */
    uint32_t generation;  /* of the GIL's watching in which it was taken */
    uint32_t stands_for;  /* the mean time between two looks then, in GP_LOOK_UNIT_NS */
    uint32_t site, stack; /* the place without and with its callers: numbers of the looker's places; the
                             latter only where stacks are wanted */
    uint64_t until;       /* when it had found what it saw; not after its begin: it was there before */
} gp_look;

enum {
    GP_LOOKS_MAX = 512, /* a power of 2 */
};

/* From one writer to one reader at a time. Zeroed memory is empty. */
typedef struct {
    _Alignas(GP_JOURNAL_LINE) _Atomic uint64_t written; /* the last of them may be under way ... */
    _Atomic uint64_t ended;                             /* ... unless as many have ended, or were given up */
    _Alignas(GP_JOURNAL_LINE) _Atomic uint64_t read;
    gp_look looks[GP_LOOKS_MAX];
} gp_look_queue;

/* How many are in the queue. */
static inline uint64_t gp_looks_unread(const gp_look_queue *queue)
{
    /* acquire: who finds the number finds the looks, or their room */
    return atomic_load_explicit(&queue->written, memory_order_acquire) -
           atomic_load_explicit(&queue->read, memory_order_acquire);
}

/* Add a look that begins now, of which no more is known yet than its first three members. False if there is
 * no room. The writer. */
bool gp_looks_begin(gp_look_queue *queue, const gp_look *look);

/* It has ended: all is known. False if the reader could not wait for that. The writer. */
bool gp_looks_end(gp_look_queue *queue, const gp_look *look);

/* When the next look began; after all times: there is none. Under the lock of the stream. */
static inline uint64_t gp_looks_next(const gp_look_queue *queue)
{
    uint64_t read = atomic_load_explicit(&queue->read, memory_order_relaxed); /* the reader's own */
    if (atomic_load_explicit(&queue->written, memory_order_acquire) == read)
        return UINT64_MAX;
    return queue->looks[read & (GP_LOOKS_MAX - 1)].time;
}

/* Forget what is in the queue. The reader. */
void gp_looks_discard(gp_look_queue *queue);

/* Book the looks up to `until`, for the hold that is under way. `ends`: it ends then; else a look that is
 * under way is left for later. Under the lock. */
void gp_looks_book(gp_gil_state *gil, uint64_t until, bool ends);

/* The hold under way has lasted until `now`: what was found before was seen in it. */
void gp_looks_settle(gp_session *session, uint64_t now);

/* The hold under way has ended at `place`, in the session's numbers. Looks that find no room in the tallies
 * count as not seen. `holder` NULL: without memory for its account. */
void gp_looks_end_hold(gp_session *session, const gp_account *holder, uint32_t place, uint64_t now);

/* What most of the looks in the hold under way saw, for those who waited: a place of the session's.
 * GP_ROW_NONE if there are none. */
uint32_t gp_looks_most(const gp_session *session);

/* The end of the hold under way was not seen: its looks count as not seen. */
void gp_looks_forget_hold(gp_gil_state *gil);

#endif
