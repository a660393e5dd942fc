#ifndef GP_JOURNAL_H
#define GP_JOURNAL_H

/* What a thread notes of its life at one GIL: when it let the GIL go, when it asked for it and when it took
 * it.
 *
 * A journal is written by its thread alone, at a cost of a few stores, and read by whoever keeps the books
 * (gp_stream.h), at any time later. One note is one cycle: the end of a hold, and the taking that begins the
 * next. It is published when the GIL is taken, by the thread that has it. So whoever sees a note sees all
 * notes of earlier takings, whoever's they are: the GIL's own lock has passed from one to the next in
 * between. The half of a cycle that is under way stands in the journal itself.
 *
 * Knows no hook, no clock and no Python. The owner never waits and never allocates here. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    GP_JOURNAL_LINE = 64,   /* what two processors write must not share a cache line */
    GP_JOURNAL_NOTES = 256, /* a power of 2 */
    GP_JOURNAL_DUE = 128,   /* from so many unread notes on the books should be kept */
};

/* Instead of the time of asking. */
enum {
    GP_ASKED_UNSEEN = 0,  /* its call is older than our watching */
    GP_ASKED_AT_ONCE = 1, /* it got the GIL without waiting */
    GP_ASKED_EARLIER = 2, /* it was waiting already when our watching began */
    GP_ASKED_TAG = 3,     /* no cycle: at `taken`, in its hold, the thread got the tag that stands as place */
};

#define GP_JOURNAL_CYCLE ((uint32_t)1 << 31) /* numbers of notes that a release can tell apart */

/* One cycle. Times are ticks. The first half, which the reader may see before the note is published, is
 * written at the release. */
typedef struct {
    _Atomic uint64_t released; /* the end of the hold */
    _Atomic uint64_t release;  /* where, whether forced, and of which note: see gp_journal_release */
    uint64_t asked;
    uint64_t taken;
} gp_note;

/* CPU time of a thread at the begin and at the end of a hold, nanoseconds; 0: not known. */
typedef struct {
    uint64_t since, until;
} gp_cpu_span;

/* What a thread does with the GIL, as far as it has noted. */
typedef enum {
    GP_JOURNAL_OFF,      /* nothing */
    GP_JOURNAL_TAKES,    /* it asks for the mutex, to take the GIL */
    GP_JOURNAL_WAITS,    /* the same, and has to wait */
    GP_JOURNAL_TAKEN,    /* it has the GIL, and the mutex still */
    GP_JOURNAL_WAITED,   /* the same, after it had to wait */
    GP_JOURNAL_HOLDS,    /* it has the GIL */
    GP_JOURNAL_LOST,     /* it has the GIL, which it had no room to note: it counts as off */
    GP_JOURNAL_RELEASES, /* it asks for the mutex, to let the GIL go */
} gp_doing;

/* What comes next in a journal. */
typedef enum {
    GP_STEP_RELEASE,
    GP_STEP_ASK,
    GP_STEP_TAKE,
    GP_STEP_TAG, /* inside a hold: the steps around it follow each other as ever */
} gp_step_kind;

typedef struct gp_journal gp_journal;

struct gp_journal {
    /* what each cycle needs, of the owner: one cache line; others read the atomic ones */
    _Alignas(GP_JOURNAL_LINE) _Atomic uint64_t noted; /* notes ever published */
    gp_note *notes;                                   /* GP_JOURNAL_NOTES of them */
    uint64_t due; /* at so many notes the owner must see whether the reader keeps up */
    gp_doing doing;
    uint32_t changes;       /* of the GIL, for which all that the owner does is as usual; 0: it is not */
    _Atomic uint64_t asked; /* since when it waits; 0: it does not */
    _Atomic uint64_t read;  /* notes read; the reader's */
    const void *mutex, *switch_mutex; /* of the GIL, once anything has been as usual */

    /* the owner's */
    uint64_t asking;             /* of the taking that is under way; as in a note */
    _Atomic uint32_t generation; /* of the stream's watching, in which all this is valid */
    bool fresh;                  /* it has not taken the GIL yet */

    /* only where CPU time is wanted */
    gp_cpu_span *cpu_spans; /* of the holds that end with each note */
    _Atomic uint64_t cpu_since, cpu_until;

    /* the reader's, under the lock of the stream */
    _Alignas(GP_JOURNAL_LINE) gp_step_kind next; /* of the note that is being read */
    bool begins_off;     /* nothing of it was read; if it had the GIL before that was not noted */
    uint32_t heap_place; /* + 1; 0: not in the heap */
    _Atomic bool listed;
    gp_journal *next_listed;
    uint64_t calm;        /* notes below this number that are not read yet have no wait (gp_stream_calm) */
    gp_cpu_span cpu_read; /* what was found of the hold that has ended, but not been noted */
};

/* Whether the thread has the GIL. Owner only. */
static inline bool gp_journal_holds(const gp_journal *journal)
{
    return journal->doing == GP_JOURNAL_HOLDS || journal->doing == GP_JOURNAL_LOST;
}

/* Begin anew, as a thread that has the GIL, or has not and comes from nowhere. There is room for
 * GP_JOURNAL_NOTES of both; `cpu_spans` may be NULL. The journal is zeroed memory, as are the notes, or was
 * begun before with the same. The owner, under the lock of the stream, whose list may have the journal still.
 */
void gp_journal_begin(gp_journal *journal, gp_note *notes, gp_cpu_span *cpu_spans, uint32_t generation,
                      bool holds);

/* The note with this number: published, or under way. */
static inline gp_note *gp_journal_note(const gp_journal *journal, uint64_t number)
{
    return &journal->notes[number & (GP_JOURNAL_NOTES - 1)];
}

/* What stands in a note of its release. */
static inline bool gp_release_is_of(uint64_t release, uint64_t number)
{
    return (uint32_t)(release ^ number) << 1 == 0;
}

static inline bool gp_release_is_forced(uint64_t release)
{
    return (release & GP_JOURNAL_CYCLE) != 0;
}

static inline uint32_t gp_release_place(uint64_t release)
{
    return (uint32_t)(release >> 32);
}

/* The same without the note's number. */
static inline uint64_t gp_release_at(uint32_t place, bool forced)
{
    return (uint64_t)place << 32 | (uint64_t)forced << 31;
}

/* Whether the note with this number, in which `release` stands, is a cycle without a wait, not forced. */
static inline bool gp_note_is_cycle(const gp_note *note, uint64_t release, uint32_t number)
{
    return (uint32_t)release == number % GP_JOURNAL_CYCLE && note->asked == GP_ASKED_AT_ONCE;
}

/* The thread is about to take its first GIL, from this place: its release was not seen. */
static inline void gp_journal_place(gp_journal *journal, uint32_t place)
{
    uint64_t number = atomic_load_explicit(&journal->noted, memory_order_relaxed);
    atomic_store_explicit(&gp_journal_note(journal, number)->release,
                          gp_release_at(place, false) | (number + GP_JOURNAL_CYCLE / 2) % GP_JOURNAL_CYCLE,
                          memory_order_relaxed);
}

/* The thread lets the GIL go: before it asks for the GIL's mutex. Once a hold. The note's number comes with
 * `release`, since the reader must know whether this belongs to the note that is not published yet. */
static inline void gp_journal_release_at(gp_journal *journal, uint64_t now, uint64_t release)
{
    uint64_t number = atomic_load_explicit(&journal->noted, memory_order_relaxed);
    gp_note *note = gp_journal_note(journal, number);
    journal->doing = GP_JOURNAL_RELEASES;
    atomic_store_explicit(&note->released, now, memory_order_relaxed);
    /* release: who finds this finds the time */
    atomic_store_explicit(&note->release, release | number % GP_JOURNAL_CYCLE, memory_order_release);
}

static inline void gp_journal_release(gp_journal *journal, uint64_t now, uint32_t place, bool forced)
{
    gp_journal_release_at(journal, now, gp_release_at(place, forced));
}

/* When the thread last let the GIL go, if that is noted and it has not taken it since. Owner only. */
static inline uint64_t gp_journal_released(const gp_journal *journal)
{
    uint64_t number = atomic_load_explicit(&journal->noted, memory_order_relaxed);
    return atomic_load_explicit(&gp_journal_note(journal, number)->released, memory_order_relaxed);
}

/* The thread has to wait for the GIL since `now`. Before it blocks. */
static inline void gp_journal_ask(gp_journal *journal, uint64_t now)
{
    journal->asking = now;
    journal->doing = GP_JOURNAL_WAITS;
    atomic_store_explicit(&journal->asked, now, memory_order_release);
}

/* CPU time at the begin of the hold that is under way. */
static inline uint64_t gp_journal_cpu_since(const gp_journal *journal)
{
    return atomic_load_explicit(&journal->cpu_since, memory_order_relaxed);
}

static inline uint64_t gp_journal_unread(const gp_journal *journal)
{
    /* acquire: the reader has done with what it has read */
    return atomic_load_explicit(&journal->noted, memory_order_relaxed) -
           atomic_load_explicit(&journal->read, memory_order_acquire);
}

/* Whether the owner has room for one more note, and for the release that follows. */
static inline bool gp_journal_has_room(const gp_journal *journal)
{
    return gp_journal_unread(journal) < GP_JOURNAL_NOTES - 1;
}

/* Publish the note that is under way. */
static inline void gp_journal_publish(gp_journal *journal, uint64_t asked, uint64_t now)
{
    uint64_t number = atomic_load_explicit(&journal->noted, memory_order_relaxed);
    gp_note *note = gp_journal_note(journal, number);
    note->asked = asked;
    note->taken = now;
    journal->doing = GP_JOURNAL_HOLDS;
    /* release: who finds the number finds the note */
    atomic_store_explicit(&journal->noted, number + 1, memory_order_release);
}

/* The thread has taken the GIL, as `asking` has it. With the GIL; there is room. */
static inline void gp_journal_take(gp_journal *journal, uint64_t now)
{
    if (journal->asking > GP_ASKED_AT_ONCE)
        atomic_store_explicit(&journal->asked, 0, memory_order_relaxed);
    gp_journal_publish(journal, journal->asking, now);
    journal->asking = GP_ASKED_AT_ONCE;
}

/* The thread, which has the GIL, has another tag from `now` on. There is room. */
static inline void gp_journal_tag(gp_journal *journal, uint32_t tag, uint64_t now)
{
    gp_journal_place(journal, tag); /* and so it is no release of this note */
    gp_journal_publish(journal, GP_ASKED_TAG, now);
}

/* Where CPU time is wanted: keep that of the hold that has ended, before gp_journal_take; and begin with that
 * of the next one, after it. */
static inline void gp_journal_keep_cpu(gp_journal *journal)
{
    uint64_t number = atomic_load_explicit(&journal->noted, memory_order_relaxed);
    journal->cpu_spans[number & (GP_JOURNAL_NOTES - 1)] = (gp_cpu_span){
        gp_journal_cpu_since(journal), atomic_load_explicit(&journal->cpu_until, memory_order_relaxed)};
}

static inline void gp_journal_begin_cpu(gp_journal *journal, uint64_t now)
{
    atomic_store_explicit(&journal->cpu_since, now, memory_order_relaxed);
}

#endif
