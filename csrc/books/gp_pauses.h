#ifndef GP_PAUSES_H
#define GP_PAUSES_H

/* Pauses: collections of garbage, each from its start to its stop, to the tick. A look (gp_looks.h) sees that
 * the collector runs, too, but not since when.
 *
 * The thread that collects notes both (gp_collector.h) while it has the GIL, and so one after the other, in
 * the GIL's queue. Whoever keeps the books takes them out in order of time, among the steps of threads: so it
 * is known who waits meanwhile. One interpreter's collector is followed at a GIL, which never runs twice at
 * once: there is one pause at a time. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "books/gp_account.h"

/* The start or the stop of a collection. */
typedef struct {
    uint64_t time;
    gp_thread *thread;                 /* whose it is */
    uint32_t watching;                 /* the GIL's generation of watching in which it was noted */
    bool stops;                        /* not a start */
    uint32_t place, generation;        /* of a start: a number of the GIL's places; which garbage */
    uint64_t collected, uncollectable; /* of a stop: objects */
} gp_pause_note;

enum {
    GP_PAUSE_NOTES_MAX = 256, /* a power of 2 */
};

/* From threads with the GIL to one reader at a time. Zeroed memory is empty. */
typedef struct {
    _Alignas(GP_JOURNAL_LINE) _Atomic uint64_t written;
    _Alignas(GP_JOURNAL_LINE) _Atomic uint64_t read;
    gp_pause_note notes[GP_PAUSE_NOTES_MAX];
} gp_pause_queue;

/* The pause that is under way at a GIL. Zeroed memory is none. */
typedef struct {
    const gp_thread *thread; /* NULL: there is none */
    uint64_t start, from;    /* up to `from` it is booked */
} gp_pause_under_way;

/* How many are in the queue. */
static inline uint64_t gp_pauses_unread(const gp_pause_queue *queue)
{
    /* acquire: who finds the number finds the notes, or their room */
    return atomic_load_explicit(&queue->written, memory_order_acquire) -
           atomic_load_explicit(&queue->read, memory_order_acquire);
}

/* Add a note. False if there is no room. With the GIL. */
bool gp_pauses_push(gp_pause_queue *queue, const gp_pause_note *note);

/* When the next note was made; after all times: there is none. Under the lock of the stream. */
static inline uint64_t gp_pauses_next(const gp_pause_queue *queue)
{
    uint64_t read = atomic_load_explicit(&queue->read, memory_order_relaxed); /* the reader's own */
    if (atomic_load_explicit(&queue->written, memory_order_acquire) == read)
        return UINT64_MAX;
    return queue->notes[read & (GP_PAUSE_NOTES_MAX - 1)].time;
}

/* All below: under the lock of the stream. */

/* Forget what is in the queue, and the pause that is under way. */
void gp_pauses_forget(gp_gil_state *gil);

/* Book the notes up to `until`. */
void gp_pauses_book(gp_gil_state *gil, uint64_t until);

/* Whether the holder collects at `time`. */
bool gp_pauses_cover(const gp_gil_state *gil, uint64_t time);

/* The holder's hold ends at `now`: its accounts know where. */
void gp_pauses_end_hold(gp_gil_state *gil, gp_thread *thread, uint64_t now);

/* The end of the hold under way was not seen: where it ended is not known. */
void gp_pauses_forget_hold(gp_gil_state *gil);

/* A session ends at `now`, and with it what is under way; the holder is at `place`. */
void gp_pauses_stop(gp_gil_state *gil, gp_session *session, uint32_t place, uint64_t now);

/* Which part of the pause that is under way has not been booked, up to `now`, as if it stopped then. False:
 * the session has none. */
bool gp_pauses_under_way(const gp_gil_state *gil, const gp_session *session, uint64_t now,
                         gp_pause_sum *part);

#endif
