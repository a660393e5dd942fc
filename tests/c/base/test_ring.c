#include "base/gp_ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "gp_test.h"

enum {
    BATCH = 64,
};

static gp_ring *ring_of(size_t capacity)
{
    gp_ring *ring = NULL;
    CHECK_EQUAL(gp_ring_new(capacity, &ring), GP_OK);
    if (ring == NULL)
        abort();
    return ring;
}

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static bool push(gp_ring *ring, gp_event_kind kind, uint32_t account, uint32_t place, uint64_t start,
                 uint64_t end)
{
    return gp_ring_push(ring, (gp_interval){kind, account, place, start, end});
}

static void check_interval(const gp_interval *interval, gp_event_kind kind, uint32_t account, uint32_t place,
                           uint64_t start, uint64_t end)
{
    CHECK_EQUAL(interval->kind, kind);
    CHECK_EQUAL(interval->account, account);
    CHECK_EQUAL(interval->place, place);
    CHECK(interval->start == start);
    CHECK(interval->end == end);
}

static void a_capacity_that_is_no_power_of_two_is_refused(void)
{
    gp_ring *ring;
    CHECK_EQUAL(gp_ring_new(0, &ring), GP_EINVAL);
    CHECK_EQUAL(gp_ring_new(3, &ring), GP_EINVAL);
    CHECK_EQUAL(gp_ring_new(12, &ring), GP_EINVAL);
    gp_ring_free(NULL);
}

static void what_goes_in_comes_out_in_order(void)
{
    gp_ring *ring = ring_of(4);
    gp_interval out[4];
    CHECK(push(ring, GP_EVENT_WAIT, 3, 7, 10, 25));
    CHECK(push(ring, GP_EVENT_HOLD, GP_RING_ACCOUNTS - 1, GP_NOWHERE, 25, 25));
    CHECK(push(ring, GP_EVENT_HOLD, 0, GP_NOWHERE - 1, 0, UINT64_MAX));
    CHECK_EQUAL(gp_ring_pending(ring), 3);
    CHECK_EQUAL(gp_ring_pop_many(ring, out, 4), 3);
    check_interval(&out[0], GP_EVENT_WAIT, 3, 7, 10, 25);
    check_interval(&out[1], GP_EVENT_HOLD, GP_RING_ACCOUNTS - 1, GP_NOWHERE, 25, 25);
    check_interval(&out[2], GP_EVENT_HOLD, 0, GP_NOWHERE - 1, 0, UINT64_MAX);
    CHECK_EQUAL(gp_ring_pending(ring), 0);
    gp_ring_free(ring);
}

static void a_full_ring_keeps_the_old_and_counts_the_new(void)
{
    gp_ring *ring = ring_of(16);
    gp_interval out[16];
    for (uint64_t i = 0; i < 40; i++)
        CHECK_EQUAL(push(ring, GP_EVENT_HOLD, 0, 0, i, i + 1), i < 16);
    CHECK_EQUAL(gp_ring_dropped(ring), 24);
    CHECK_EQUAL(gp_ring_pop_many(ring, out, 16), 16);
    for (uint64_t i = 0; i < 16; i++)
        check_interval(&out[i], GP_EVENT_HOLD, 0, 0, i, i + 1);
    CHECK(push(ring, GP_EVENT_HOLD, 0, 0, 40, 41));
    gp_ring_free(ring);
}

static void random_intervals_survive_the_way_through_a_small_ring(void)
{
    enum {
        COUNT = 50000,
        ROOM = 64,
    };
    gp_ring *ring = ring_of(ROOM);
    gp_interval sent[ROOM], got[ROOM];
    uint64_t state = 88172645463325252u, kept = 0, popped = 0;
    size_t pending = 0;
    for (int i = 0; i < COUNT; i++) {
        gp_interval interval = {draw(&state) & 1 ? GP_EVENT_WAIT : GP_EVENT_HOLD,
                                (uint32_t)draw(&state) % GP_RING_ACCOUNTS, (uint32_t)draw(&state),
                                draw(&state), draw(&state)};
        if (gp_ring_push(ring, interval)) {
            sent[pending++] = interval;
            kept++;
        }
        if (draw(&state) % 20 != 0)
            continue;
        size_t found = gp_ring_pop_many(ring, got, ROOM);
        CHECK_EQUAL(found, pending);
        for (size_t n = 0; n < found && n < pending; n++)
            check_interval(&got[n], sent[n].kind, sent[n].account, sent[n].place, sent[n].start, sent[n].end);
        popped += found;
        pending = 0;
    }
    CHECK_EQUAL(COUNT, popped + gp_ring_dropped(ring) + pending);
    CHECK_EQUAL(kept, popped + pending);
    CHECK(gp_ring_dropped(ring) != 0);
    gp_ring_free(ring);
}

/* A pair of threads; every interval carries its own number three times over. */
enum {
    SENT = 400000,
};

static gp_ring *shared;
static atomic_bool done;
static uint64_t accepted;

static void *produce(void *unused)
{
    (void)unused;
    for (uint64_t i = 0; i < SENT; i++)
        accepted += push(shared, GP_EVENT_HOLD, (uint32_t)(i % GP_RING_ACCOUNTS), (uint32_t)(i % 1000),
                         i * 10 - (i != 0) * (i % 7), i * 10);
    atomic_store(&done, true);
    return NULL;
}

static void two_threads_lose_nothing_that_is_not_counted(void)
{
    gp_interval batch[BATCH];
    uint64_t popped = 0, last = 0;
    pthread_t producer;
    shared = ring_of(1024);
    CHECK_EQUAL(pthread_create(&producer, NULL, produce, NULL), 0);
    for (bool over = false; !over;) {
        over = atomic_load(&done); /* before the last look */
        for (size_t count; (count = gp_ring_pop_many(shared, batch, BATCH)) != 0;)
            for (size_t i = 0; i < count; i++) {
                uint64_t number = batch[i].end / 10;
                CHECK(popped == 0 || number > last);
                CHECK_EQUAL(batch[i].account, number % GP_RING_ACCOUNTS);
                CHECK_EQUAL(batch[i].place, number % 1000);
                CHECK_EQUAL(batch[i].end - batch[i].start, number % 7);
                last = number;
                popped++;
            }
    }
    pthread_join(producer, NULL);
    CHECK_EQUAL(gp_ring_pending(shared), 0);
    CHECK_EQUAL(popped, accepted);
    CHECK_EQUAL(SENT, popped + gp_ring_dropped(shared));
    gp_ring_free(shared);
}

int main(void)
{
    a_capacity_that_is_no_power_of_two_is_refused();
    what_goes_in_comes_out_in_order();
    a_full_ring_keeps_the_old_and_counts_the_new();
    random_intervals_survive_the_way_through_a_small_ring();
    two_threads_lose_nothing_that_is_not_counted();
    return gp_test_status();
}
