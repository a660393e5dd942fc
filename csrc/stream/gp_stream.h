#ifndef GP_STREAM_H
#define GP_STREAM_H

/* The stream of one GIL: what all its threads have noted (gp_journal.h), as steps in order of time.
 *
 * Steps of one thread come in its own order. Nobody takes the GIL before its holder has let it go, also where
 * the clocks of two processors disagree. An asking may come late, if it was noted while the steps behind it
 * were read.
 *
 * One reader at a time: it holds the lock. A thread that the reader interrupted by a signal must not wait for
 * it, so hooks only try. */

#include <pthread.h>
#include <stddef.h>

#include "stream/gp_journal.h"

/* One thing that a thread did. */
typedef struct {
    gp_journal *journal;
    gp_step_kind kind;
    uint64_t time;
    uint64_t asked; /* of a taking: since when it waited, or one of the two constants */
    uint32_t place; /* of a release; of a tag: which; of a taking whose release was not seen: where it is */
    bool forced;    /* of a release */
    bool unseen_before;     /* of a taking: the release before it was not seen */
    const gp_cpu_span *cpu; /* of a release, where CPU time is wanted; until the next step */
} gp_step;

typedef struct {
    gp_journal *journal;
    uint64_t due;
} gp_stream_entry;

/* Zeroed memory, with the lock initialised, is an empty stream. */
typedef struct {
    _Alignas(GP_JOURNAL_LINE) _Atomic(gp_journal *) latest; /* who took the GIL last */
    _Atomic(gp_journal *) listed;                           /* journals with something new, linked */

    /* the reader's */
    _Alignas(GP_JOURNAL_LINE) pthread_mutex_t lock;
    gp_journal *holder;    /* who took the GIL last, as far as was read; NULL: not known */
    gp_stream_entry *heap; /* journals with a known next step, the earliest first */
    size_t heap_size, heap_room;
    uint64_t limit, last; /* of this reading; when the last step was */
    uint32_t generation;  /* of the watching: only journals of the same are read */
} gp_stream;

/* Make the journal known: before its first note, and when it asks. Any thread, without a lock. */
void gp_stream_list(gp_stream *stream, gp_journal *journal);

/* Whether the journal's thread is the one that took the GIL last. With the GIL. */
static inline bool gp_stream_is_latest(const gp_stream *stream, const gp_journal *journal)
{
    /* relaxed: whoever changes it has the GIL, too */
    return __builtin_expect(atomic_load_explicit(&stream->latest, memory_order_relaxed) == journal, 1);
}

/* The journal's thread has taken the GIL. With the GIL, before gp_journal_take. */
static inline void gp_stream_take(gp_stream *stream, gp_journal *journal)
{
    if (gp_stream_is_latest(stream, journal))
        return;
    atomic_store_explicit(&stream->latest, journal, memory_order_release);
    gp_stream_list(stream, journal);
}

/* Begin to read all steps up to `limit`. With the GIL that may be now. False without memory for it. A journal
 * of another generation is left alone: its thread has not seen yet that watching began anew. */
bool gp_stream_begin(gp_stream *stream, uint64_t limit);

/* A moment, as late as can be, up to which nothing is missing after a reading but askings, and the last
 * taking if it has just come. With the lock. */
uint64_t gp_stream_now(const gp_stream *stream, uint64_t now);

/* How far a reader without the GIL may read: all takings before are noted. With the lock. */
uint64_t gp_stream_known_until(const gp_stream *stream);

/* The next step. False: that was all. */
bool gp_stream_next(gp_stream *stream, gp_step *step);

/* Whole cycles of a journal that has the GIL, one after the other. */
typedef struct {
    gp_journal *journal;
    const gp_note *first;
    uint64_t number; /* of the first */
    uint64_t until;  /* what is taken later may come after the step of another journal */
} gp_cycles;

/* How many notes come next without a break, at most: as long as gp_note_is_cycle, up to `until`. Then `count`
 * of them, one or more, count as read with gp_stream_skip. */
size_t gp_stream_cycles(gp_stream *stream, gp_cycles *cycles);
void gp_stream_skip(gp_stream *stream, const gp_cycles *cycles, size_t count);

/* ---- calm: as long as nobody waits it does not matter in which order cycles of several threads are booked.
 * Between gp_stream_calm and gp_stream_calmed the journals of the heap are read one by one. ---- */

/* Until when no journal has anything but cycles without a wait, not forced, with what it has noted. */
uint64_t gp_stream_calm(const gp_stream *stream);

/* As gp_stream_cycles and gp_stream_skip, and a step as gp_stream_next, of one journal up to `until`. */
size_t gp_stream_cycles_of(gp_journal *journal, uint64_t until, gp_cycles *cycles);
void gp_stream_skip_of(const gp_cycles *cycles, size_t count);
bool gp_stream_next_of(gp_journal *journal, uint64_t until, gp_step *step);

/* Go on in order of time. `holder` has taken the GIL last, as far as was read; the last step was at `last`.
 */
void gp_stream_calmed(gp_stream *stream, gp_journal *holder, uint64_t last);

/* End the reading, once there is no next step: forget the journals whose threads are idle. */
void gp_stream_end(gp_stream *stream);

/* Begin a watching, or go on in a forked child: forget all journals but that of the thread that has the GIL,
 * or NULL. Under the lock. */
void gp_stream_restart(gp_stream *stream, gp_journal *holder, uint32_t generation);

/* Give up the memory. */
void gp_stream_clear(gp_stream *stream);

#endif
