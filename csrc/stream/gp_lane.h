#ifndef GP_LANE_H
#define GP_LANE_H

/* What a thread notes of its life at one GIL: when it let the GIL go, when it asked for it and when it took
 * it.
 *
 * A lane is written by its thread alone, at a cost of a few stores, and read by whoever keeps the books
 * (gp_stream.h), at any time later. One note is one cycle: the end of a hold, and the taking that begins the
 * next. It is published when the GIL is taken, by the thread that has it. So whoever sees a note sees all
 * notes of earlier takings, whoever's they are: the GIL's own lock has passed from one to the next in
 * between. The half of a cycle that is under way stands in the lane itself.
 *
 * Knows no hook, no clock and no Python. The owner never waits and never allocates here. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    GP_LANE_LINE = 64,   /* what two processors write must not share a cache line */
    GP_LANE_NOTES = 256, /* a power of 2 */
    GP_LANE_DUE = 128,   /* from so many unread notes on the books should be kept */
};

/* Instead of the time of asking. */
enum {
    GP_ASKED_UNSEEN = 0,  /* its call is older than our watching */
    GP_ASKED_AT_ONCE = 1, /* it got the GIL without waiting */
    GP_ASKED_EARLIER = 2, /* it was waiting already when our watching began */
};

#define GP_LANE_CYCLE ((uint32_t)1 << 31) /* numbers of notes that a release can tell apart */

/* One cycle. Times are ticks. The first half, which the reader may see before the note is published, is
 * written at the release. */
typedef struct {
    _Atomic uint64_t released; /* the end of the hold */
    _Atomic uint64_t release;  /* where, whether forced, and of which note: see gp_lane_release */
    uint64_t asked;
    uint64_t taken;
} gp_note;

/* CPU time of a thread at the begin and at the end of a hold, nanoseconds; 0: not known. */
typedef struct {
    uint64_t since, until;
} gp_cpu_span;

/* What a thread does with the GIL, as far as it has noted. */
typedef enum {
    GP_LANE_OFF,      /* nothing */
    GP_LANE_TAKES,    /* it asks for the mutex, to take the GIL */
    GP_LANE_WAITS,    /* the same, and has to wait */
    GP_LANE_TAKEN,    /* it has the GIL, and the mutex still */
    GP_LANE_WAITED,   /* the same, after it had to wait */
    GP_LANE_HOLDS,    /* it has the GIL */
    GP_LANE_RELEASES, /* it asks for the mutex, to let the GIL go */
} gp_doing;

/* What comes next in a lane. */
typedef enum {
    GP_STEP_RELEASE,
    GP_STEP_ASK,
    GP_STEP_TAKE,
} gp_step_kind;

typedef struct gp_lane gp_lane;

struct gp_lane {
    /* the owner's: one cache line; others read the atomic ones */
    _Alignas(GP_LANE_LINE) _Atomic uint64_t noted; /* notes ever published */
    gp_note *notes;                                /* GP_LANE_NOTES of them */
    uint64_t due; /* at so many notes the owner must see whether the reader keeps up */
    gp_doing doing;
    uint32_t changes;       /* of the GIL, for which all that the owner does is as usual; 0: it is not */
    _Atomic uint64_t asked; /* since when it waits; 0: it does not */
    uint64_t asking;        /* of the taking that is under way; as in a note */
    _Atomic uint32_t generation; /* of the stream's watching, in which all this is valid */
    bool fresh;             /* it has not taken the GIL yet */
    _Atomic uint64_t read;  /* notes read; the reader's */

    /* only where CPU time is wanted */
    gp_cpu_span *cpu_spans; /* of the holds that end with each note */
    _Atomic uint64_t cpu_since, cpu_until;

    /* the reader's, under the lock of the stream */
    _Alignas(GP_LANE_LINE) gp_step_kind next; /* of the note that is being read */
    bool begins_off;     /* nothing of it was read; if it had the GIL before that was not noted */
    uint32_t heap_place; /* + 1; 0: not in the heap */
    _Atomic bool listed;
    gp_lane *next_listed;
};

/* Begin anew, as a thread that has the GIL, or has not and comes from nowhere. There is room for
 * GP_LANE_NOTES of both; `cpu_spans` may be NULL. The lane is zeroed memory, as are the notes, or was begun
 * before with the same. The owner, under the lock of the stream, whose list may have the lane still. */
void gp_lane_begin(gp_lane *lane, gp_note *notes, gp_cpu_span *cpu_spans, uint32_t generation, bool holds);

/* The note with this number: published, or under way. */
static inline gp_note *gp_lane_note(const gp_lane *lane, uint64_t number)
{
    return &lane->notes[number & (GP_LANE_NOTES - 1)];
}

/* What stands in a note of its release. */
static inline bool gp_release_is_of(uint64_t release, uint64_t number)
{
    return (uint32_t)(release ^ number) << 1 == 0;
}

static inline bool gp_release_is_forced(uint64_t release)
{
    return (release & GP_LANE_CYCLE) != 0;
}

static inline uint32_t gp_release_place(uint64_t release)
{
    return (uint32_t)(release >> 32);
}

/* The thread is about to take its first GIL, from this place: its release was not seen. */
static inline void gp_lane_place(gp_lane *lane, uint32_t place)
{
    uint64_t number = atomic_load_explicit(&lane->noted, memory_order_relaxed);
    atomic_store_explicit(&gp_lane_note(lane, number)->release,
                          (uint64_t)place << 32 | (number + GP_LANE_CYCLE / 2) % GP_LANE_CYCLE,
                          memory_order_relaxed);
}

/* The thread lets the GIL go: before it asks for the GIL's mutex. Once a hold. The note's number comes with
 * it, since the reader must know whether this belongs to the note that is not published yet. */
static inline void gp_lane_release(gp_lane *lane, uint64_t now, uint32_t place, bool forced)
{
    uint64_t number = atomic_load_explicit(&lane->noted, memory_order_relaxed);
    gp_note *note = gp_lane_note(lane, number);
    lane->doing = GP_LANE_RELEASES;
    atomic_store_explicit(&note->released, now, memory_order_relaxed);
    /* release: who finds this finds the time */
    atomic_store_explicit(&note->release,
                          (uint64_t)place << 32 | (uint64_t)forced << 31 | number % GP_LANE_CYCLE,
                          memory_order_release);
}

/* When the thread last let the GIL go, if that is noted and it has not taken it since. Owner only. */
static inline uint64_t gp_lane_released(const gp_lane *lane)
{
    uint64_t number = atomic_load_explicit(&lane->noted, memory_order_relaxed);
    return atomic_load_explicit(&gp_lane_note(lane, number)->released, memory_order_relaxed);
}

/* The thread has to wait for the GIL since `now`. Before it blocks. */
static inline void gp_lane_ask(gp_lane *lane, uint64_t now)
{
    lane->asking = now;
    lane->doing = GP_LANE_WAITS;
    atomic_store_explicit(&lane->asked, now, memory_order_release);
}

/* CPU time at the begin of the hold that is under way. */
static inline uint64_t gp_lane_cpu_since(const gp_lane *lane)
{
    return atomic_load_explicit(&lane->cpu_since, memory_order_relaxed);
}

static inline uint64_t gp_lane_unread(const gp_lane *lane)
{
    /* acquire: the reader has done with what it has read */
    return atomic_load_explicit(&lane->noted, memory_order_relaxed) -
           atomic_load_explicit(&lane->read, memory_order_acquire);
}

/* Whether the owner has room for one more note, and for the release that follows. */
static inline bool gp_lane_has_room(const gp_lane *lane)
{
    return gp_lane_unread(lane) < GP_LANE_NOTES - 1;
}

/* Publish the note that is under way. */
static inline void gp_lane_publish(gp_lane *lane, uint64_t asked, uint64_t now)
{
    uint64_t number = atomic_load_explicit(&lane->noted, memory_order_relaxed);
    gp_note *note = gp_lane_note(lane, number);
    note->asked = asked;
    note->taken = now;
    lane->doing = GP_LANE_HOLDS;
    /* release: who finds the number finds the note */
    atomic_store_explicit(&lane->noted, number + 1, memory_order_release);
}

/* The thread has taken the GIL, as `asking` has it. With the GIL; there is room. */
static inline void gp_lane_take(gp_lane *lane, uint64_t now)
{
    if (lane->asking > GP_ASKED_AT_ONCE)
        atomic_store_explicit(&lane->asked, 0, memory_order_relaxed);
    gp_lane_publish(lane, lane->asking, now);
    lane->asking = GP_ASKED_AT_ONCE;
}

/* Where CPU time is wanted: keep that of the hold that has ended, before gp_lane_take; and begin with that of
 * the next one, after it. */
static inline void gp_lane_keep_cpu(gp_lane *lane)
{
    uint64_t number = atomic_load_explicit(&lane->noted, memory_order_relaxed);
    lane->cpu_spans[number & (GP_LANE_NOTES - 1)] =
        (gp_cpu_span){gp_lane_cpu_since(lane), atomic_load_explicit(&lane->cpu_until, memory_order_relaxed)};
}

static inline void gp_lane_begin_cpu(gp_lane *lane, uint64_t now)
{
    atomic_store_explicit(&lane->cpu_since, now, memory_order_relaxed);
}

#endif
