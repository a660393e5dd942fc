#include "base/gp_ring.h"

#include <string.h>

#include "base/gp_memory.h"

gp_status gp_ring_new(size_t capacity, gp_ring **ring)
{
    if (capacity == 0 || (capacity & (capacity - 1)) != 0 || capacity > SIZE_MAX / sizeof(gp_interval))
        return GP_EINVAL;
    gp_ring *made = gp_memory_map(sizeof *made);
    if (made == NULL)
        return GP_ENOMEM;
    made->capacity = capacity;
    made->slots = gp_memory_map(capacity * sizeof(gp_interval));
    if (made->slots == NULL) {
        gp_memory_unmap(made, sizeof *made);
        return GP_ENOMEM;
    }
    *ring = made;
    return GP_OK;
}

void gp_ring_free(gp_ring *ring)
{
    if (ring == NULL)
        return;
    gp_memory_unmap(ring->slots, ring->capacity * sizeof(gp_interval));
    gp_memory_unmap(ring, sizeof *ring);
}

size_t gp_ring_pop_many(gp_ring *ring, gp_interval *out, size_t max)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed); /* ours */
    /* acquire: the events below the head are whole */
    uint64_t pending = atomic_load_explicit(&ring->head, memory_order_acquire) - tail;
    size_t count = pending < max ? (size_t)pending : max;
    size_t first = (size_t)(tail & (ring->capacity - 1));
    size_t before_end = (size_t)ring->capacity - first;
    size_t straight = count < before_end ? count : before_end;
    memcpy(out, ring->slots + first, straight * sizeof *out);
    memcpy(out + straight, ring->slots, (count - straight) * sizeof *out);
    /* release: the producer may fill these slots again once it sees this */
    atomic_store_explicit(&ring->tail, tail + count, memory_order_release);
    return count;
}

uint64_t gp_ring_pending(const gp_ring *ring)
{
    /* relaxed: a moment ago is good enough. The tail first, so that the difference is never negative. */
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return atomic_load_explicit(&ring->head, memory_order_relaxed) - tail;
}

uint64_t gp_ring_dropped(const gp_ring *ring)
{
    return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}
