#ifndef GP_RING_H
#define GP_RING_H

/* A bounded ring of events between whoever keeps the books of a GIL and whoever writes the recording.
 *
 * One ring serves one GIL. Producers follow one another, each under the lock of that GIL's books; the
 * consumer is one thread without a lock. Events that find no room are dropped and counted: losing one is
 * preferred to unlimited memory.
 *
 * pushed = popped + dropped + pending. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_status.h"

enum {
    GP_RING_CAPACITY = 1
        << 19, /* by default: 12 MiB, of which only the pages that were reached take memory */
    GP_RING_ACCOUNTS = 1 << 20, /* accounts that an event can tell apart */
    GP_RING_LINE = 64,          /* what two processors write must not share a cache line */
};

#define GP_NOWHERE UINT32_MAX /* instead of a place: not known */

typedef enum {
    GP_EVENT_HOLD,
    GP_EVENT_WAIT,
} gp_event_kind;

/* A hold or wait [start, end) of an account (< GP_RING_ACCOUNTS), in ticks since the session's start. */
typedef struct {
    uint32_t kind : 1, account : 31;
    uint32_t place; /* or GP_NOWHERE */
    uint64_t start, end;
} gp_interval;

/* The layout is visible because the hot path is inlined. */
typedef struct {
    /* the producer's */
    _Alignas(GP_RING_LINE) _Atomic uint64_t head; /* slots ever filled */
    uint64_t tail_seen;                           /* an old value of tail */
    _Atomic uint64_t dropped;
    /* written once */
    _Alignas(GP_RING_LINE) uint64_t capacity;
    gp_interval *slots;
    /* the consumer's */
    _Alignas(GP_RING_LINE) _Atomic uint64_t tail; /* slots ever taken out */
} gp_ring;

/* An empty ring of `capacity` slots, a power of two. GP_EINVAL, GP_ENOMEM. */
gp_status gp_ring_new(size_t capacity, gp_ring **ring);

/* NULL is fine. */
void gp_ring_free(gp_ring *ring);

/* Whether a slot is free. Producer only. */
static inline bool gp_ring_has_room(gp_ring *ring, uint64_t head)
{
    if (__builtin_expect(head - ring->tail_seen < ring->capacity, 1))
        return true;
    /* acquire: the consumer has read the slots that it gives back */
    ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return head - ring->tail_seen < ring->capacity;
}

/* Append one event. Producer only; wait-free. False, and a drop is counted, when the consumer is behind. */
static inline bool gp_ring_push(gp_ring *ring, gp_interval event)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed); /* ours */
    if (__builtin_expect(!gp_ring_has_room(ring, head), 0)) {
        /* relaxed, and no read-modify-write: one producer at a time, and the number orders nothing */
        uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
        atomic_store_explicit(&ring->dropped, dropped + 1, memory_order_relaxed);
        return false;
    }
    ring->slots[head & (ring->capacity - 1)] = event;
    /* release: whoever sees the new head sees the event */
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
    return true;
}

/* Take out up to `max` events, oldest first; returns how many. Consumer only; never blocks. */
size_t gp_ring_pop_many(gp_ring *ring, gp_interval *out, size_t max);

/* Events that are not taken out yet, as of a moment ago. Any thread. */
uint64_t gp_ring_pending(const gp_ring *ring);

/* Events dropped so far. Any thread. */
uint64_t gp_ring_dropped(const gp_ring *ring);

#endif
