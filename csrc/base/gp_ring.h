#ifndef GP_RING_H
#define GP_RING_H

/* A bounded ring of events between the holder of a GIL and the thread that writes the recording.
 *
 * One ring serves one GIL: whoever holds it (or the mutex inside it) is the producer, so that producers
 * follow one another and each sees what the one before left. The consumer is one thread that needs no GIL.
 * Events that find no room are dropped and counted: losing one is preferred to stalling the measured thread.
 *
 * pushed = popped + dropped + pending, in intervals as well as in slots. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_status.h"

enum {
    GP_RING_CAPACITY = 1 << 19, /* by default: 8 MiB, of which only the pages that were reached take memory */
    GP_RING_ACCOUNTS = 1 << 20, /* accounts that an event can tell apart */
    GP_RING_LINE = 64,          /* what two processors write must not share a cache line */
};

#define GP_NOWHERE UINT32_MAX /* instead of a place: not known */

/* What a slot holds. */
typedef enum {
    GP_EVENT_HOLD,
    GP_EVENT_WAIT,
    GP_EVENT_BASE, /* word 1: what later ends are counted from, in ticks since the session's start */
    GP_EVENT_LONG, /* word 1: what to add to the next event's duration, in units of 2**42 ticks */
} gp_event_kind;

enum {
    GP_EVENT_KIND_BITS = 2,
    GP_EVENT_ACCOUNT_BITS = 20,
    GP_EVENT_TIME_BITS = 42, /* 24 minutes of a 3 GHz counter */
    GP_EVENT_PLACE_BITS = 22,
};

/* Word 0: end - base, account, kind. Word 1: duration, place + 1 (0: not known). Lowest bits last. */
typedef struct {
    uint64_t words[2];
} gp_event;

/* The layout is visible because the hot path is inlined. */
typedef struct {
    /* the producer's */
    _Alignas(GP_RING_LINE) _Atomic uint64_t head; /* slots ever filled */
    uint64_t tail_seen;                           /* an old value of tail */
    uint64_t base;
    _Atomic uint64_t dropped; /* intervals */
    /* written once */
    _Alignas(GP_RING_LINE) uint64_t capacity;
    gp_event *slots;
    /* the consumer's */
    _Alignas(GP_RING_LINE) _Atomic uint64_t tail; /* slots ever taken out */
} gp_ring;

/* An empty ring of `capacity` slots, a power of two from 4 on. GP_EINVAL, GP_ENOMEM. */
gp_status gp_ring_new(size_t capacity, gp_ring **ring);

/* NULL is fine. */
void gp_ring_free(gp_ring *ring);

/* Whether `count` slots are free. Producer only. */
static inline bool gp_ring_has_room(gp_ring *ring, uint64_t count)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed); /* ours */
    if (__builtin_expect(head + count - ring->tail_seen <= ring->capacity, 1))
        return true;
    /* acquire: the consumer has read the slots that it gives back */
    ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return head + count - ring->tail_seen <= ring->capacity;
}

/* Count an interval that is lost. Producer only. */
static inline void gp_ring_drop(gp_ring *ring)
{
    /* relaxed, and no read-modify-write: one producer at a time, and the number orders nothing */
    uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
    atomic_store_explicit(&ring->dropped, dropped + 1, memory_order_relaxed);
}

/* Append one event. Producer only; wait-free. False, and a drop is counted, when the consumer is behind. */
static inline bool gp_ring_push(gp_ring *ring, const gp_event *event)
{
    if (__builtin_expect(!gp_ring_has_room(ring, 1), 0)) {
        gp_ring_drop(ring);
        return false;
    }
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed); /* ours */
    ring->slots[head & (ring->capacity - 1)] = *event;
    /* release: whoever sees the new head sees the event */
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

/* The slow path of gp_ring_record: an event and the slots that must come before it, all or none. */
bool gp_ring_record_wide(gp_ring *ring, gp_event_kind kind, uint32_t account, uint32_t place, uint64_t start,
                         uint64_t end);

static inline gp_event gp_event_pack(gp_event_kind kind, uint32_t account, uint32_t place, uint64_t end,
                                     uint64_t duration)
{
    /* A place whose number is too large for its bits becomes "not known": the event still counts. */
    uint64_t link = place < (1u << GP_EVENT_PLACE_BITS) - 1 ? (uint64_t)place + 1 : 0;
    return (gp_event){{
        end << (GP_EVENT_ACCOUNT_BITS + GP_EVENT_KIND_BITS) | (uint64_t)account << GP_EVENT_KIND_BITS | kind,
        duration << GP_EVENT_PLACE_BITS | link,
    }};
}

/* Append the hold or wait [start, end) of an account (< GP_RING_ACCOUNTS), in ticks since the session's
 * start. `place` may be GP_NOWHERE. Producer only; wait-free; the calls' order is that of the events. False,
 * and a drop is counted, when the consumer is behind. */
static inline bool gp_ring_record(gp_ring *ring, gp_event_kind kind, uint32_t account, uint32_t place,
                                  uint64_t start, uint64_t end)
{
    /* wraps to a large number, and so to the slow path, if the end lies before the base or the start */
    uint64_t since_base = end - ring->base, duration = end - start;
    if (__builtin_expect(((since_base | duration) >> GP_EVENT_TIME_BITS) != 0 || account >= GP_RING_ACCOUNTS,
                         0))
        return gp_ring_record_wide(ring, kind, account, place, start, end);
    gp_event event = gp_event_pack(kind, account, place, since_base, duration);
    return gp_ring_push(ring, &event);
}

/* Take out up to `max` events, oldest first; returns how many. Consumer only; never blocks. */
size_t gp_ring_pop_many(gp_ring *ring, gp_event *out, size_t max);

/* Slots that are filled and not taken out yet, as of a moment ago. Any thread. */
uint64_t gp_ring_pending(const gp_ring *ring);

/* Intervals dropped so far. Any thread. */
uint64_t gp_ring_dropped(const gp_ring *ring);

/* An event in plain numbers; times are ticks since the session's start. */
typedef struct {
    gp_event_kind kind; /* hold or wait */
    uint32_t account;
    uint32_t place; /* or GP_NOWHERE */
    uint64_t start, end;
} gp_interval;

/* What BASE and LONG slots have said about the events that follow. Zeroed at the start. */
typedef struct {
    uint64_t base, high;
} gp_ring_decoder;

/* Decode the next slot that was taken out. False if it holds no interval, but a BASE or LONG. */
static inline bool gp_ring_decode(gp_ring_decoder *decoder, const gp_event *event, gp_interval *interval)
{
    uint64_t first = event->words[0], second = event->words[1];
    gp_event_kind kind = (gp_event_kind)(first & ((1u << GP_EVENT_KIND_BITS) - 1));
    if (__builtin_expect(kind == GP_EVENT_BASE, 0)) {
        decoder->base = second;
        return false;
    }
    if (__builtin_expect(kind == GP_EVENT_LONG, 0)) {
        decoder->high = second << GP_EVENT_TIME_BITS;
        return false;
    }
    uint32_t link = (uint32_t)(second & ((1u << GP_EVENT_PLACE_BITS) - 1));
    interval->kind = kind;
    interval->account = (uint32_t)(first >> GP_EVENT_KIND_BITS) & (GP_RING_ACCOUNTS - 1);
    interval->place = link - 1; /* 0 becomes GP_NOWHERE */
    interval->end = decoder->base + (first >> (GP_EVENT_ACCOUNT_BITS + GP_EVENT_KIND_BITS));
    interval->start = interval->end - (second >> GP_EVENT_PLACE_BITS | decoder->high);
    decoder->high = 0;
    return true;
}

#endif
