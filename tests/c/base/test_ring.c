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

/* Take everything out; returns the number of intervals, of which the first `room` are kept. */
static size_t drain(gp_ring *ring, gp_ring_decoder *decoder, gp_interval *out, size_t room)
{
    gp_event batch[BATCH];
    gp_interval interval;
    size_t found = 0;
    for (size_t count; (count = gp_ring_pop_many(ring, batch, BATCH)) != 0;)
        for (size_t i = 0; i < count; i++)
            if (gp_ring_decode(decoder, &batch[i], &interval)) {
                if (found < room)
                    out[found] = interval;
                found++;
            }
    return found;
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
    CHECK_EQUAL(gp_ring_new(2, &ring), GP_EINVAL);
    CHECK_EQUAL(gp_ring_new(12, &ring), GP_EINVAL);
    gp_ring_free(NULL);
}

static void what_goes_in_comes_out_in_order(void)
{
    gp_ring *ring = ring_of(8);
    gp_ring_decoder decoder = {0};
    gp_interval out[3];
    CHECK(gp_ring_record(ring, GP_EVENT_WAIT, 3, 7, 10, 25));
    CHECK(gp_ring_record(ring, GP_EVENT_HOLD, GP_RING_ACCOUNTS - 1, GP_NOWHERE, 25, 25));
    CHECK(gp_ring_record(ring, GP_EVENT_HOLD, 0, (1u << GP_EVENT_PLACE_BITS) - 2, 0, 30));
    CHECK_EQUAL(gp_ring_pending(ring), 3);
    CHECK_EQUAL(drain(ring, &decoder, out, 3), 3);
    check_interval(&out[0], GP_EVENT_WAIT, 3, 7, 10, 25);
    check_interval(&out[1], GP_EVENT_HOLD, GP_RING_ACCOUNTS - 1, GP_NOWHERE, 25, 25);
    check_interval(&out[2], GP_EVENT_HOLD, 0, (1u << GP_EVENT_PLACE_BITS) - 2, 0, 30);
    CHECK_EQUAL(gp_ring_pending(ring), 0);
    gp_ring_free(ring);
}

static void times_beyond_their_bits_come_out_whole(void)
{
    static const uint64_t far = (uint64_t)1 << 62, bit = (uint64_t)1 << GP_EVENT_TIME_BITS;
    gp_ring *ring = ring_of(64);
    gp_ring_decoder decoder = {0};
    gp_interval out[7];
    gp_ring_record(ring, GP_EVENT_HOLD, 1, 2, bit - 2, bit - 1); /* the last that needs no base */
    CHECK_EQUAL(gp_ring_pending(ring), 1);
    gp_ring_record(ring, GP_EVENT_HOLD, 1, 2, bit - 1, bit);
    CHECK_EQUAL(gp_ring_pending(ring), 3);
    gp_ring_record(ring, GP_EVENT_WAIT, 4, GP_NOWHERE, 5, far + 9); /* both long and far */
    CHECK_EQUAL(gp_ring_pending(ring), 6);
    gp_ring_record(ring, GP_EVENT_HOLD, 1, 2, far + 9, far + 10);
    gp_ring_record(ring, GP_EVENT_HOLD, 1, 3, far, far + 1); /* before the base */
    gp_ring_record(ring, GP_EVENT_HOLD, 1, 3, 100, 90);      /* ends before it starts */
    gp_ring_record(ring, GP_EVENT_HOLD, 1, UINT32_MAX - 1, 100, 101);
    CHECK_EQUAL(drain(ring, &decoder, out, 7), 7);
    check_interval(&out[0], GP_EVENT_HOLD, 1, 2, bit - 2, bit - 1);
    check_interval(&out[1], GP_EVENT_HOLD, 1, 2, bit - 1, bit);
    check_interval(&out[2], GP_EVENT_WAIT, 4, GP_NOWHERE, 5, far + 9);
    check_interval(&out[3], GP_EVENT_HOLD, 1, 2, far + 9, far + 10);
    check_interval(&out[4], GP_EVENT_HOLD, 1, 3, far, far + 1);
    check_interval(&out[5], GP_EVENT_HOLD, 1, 3, 100, 100);
    check_interval(&out[6], GP_EVENT_HOLD, 1, GP_NOWHERE, 100, 101);
    gp_ring_free(ring);
}

static void an_event_is_dropped_together_with_what_comes_before_it(void)
{
    gp_ring *ring = ring_of(4);
    gp_ring_decoder decoder = {0};
    gp_interval out[4];
    const uint64_t far = (uint64_t)1 << 50;
    CHECK(gp_ring_record(ring, GP_EVENT_HOLD, 1, 1, 0, 1));
    CHECK(gp_ring_record(ring, GP_EVENT_HOLD, 1, 1, 1, 2));
    CHECK(!gp_ring_record(ring, GP_EVENT_WAIT, 2, 1, 0, far));
    CHECK_EQUAL(gp_ring_pending(ring), 2);
    CHECK_EQUAL(gp_ring_dropped(ring), 1);
    CHECK(!gp_ring_record(ring, GP_EVENT_HOLD, GP_RING_ACCOUNTS, 1, 2, 3)); /* nobody's */
    CHECK_EQUAL(gp_ring_dropped(ring), 2);
    CHECK_EQUAL(drain(ring, &decoder, out, 4), 2);
    CHECK(gp_ring_record(ring, GP_EVENT_WAIT, 2, 1, 0, far));
    CHECK_EQUAL(drain(ring, &decoder, out, 4), 1);
    check_interval(&out[0], GP_EVENT_WAIT, 2, 1, 0, far);
    gp_ring_free(ring);
}

static void a_full_ring_keeps_the_old_and_counts_the_new(void)
{
    gp_ring *ring = ring_of(16);
    gp_ring_decoder decoder = {0};
    gp_interval out[16];
    for (uint64_t i = 0; i < 40; i++)
        CHECK_EQUAL(gp_ring_record(ring, GP_EVENT_HOLD, 0, 0, i, i + 1), i < 16);
    CHECK_EQUAL(gp_ring_dropped(ring), 24);
    CHECK_EQUAL(drain(ring, &decoder, out, 16), 16);
    for (uint64_t i = 0; i < 16; i++)
        check_interval(&out[i], GP_EVENT_HOLD, 0, 0, i, i + 1);
    gp_ring_free(ring);
}

static void random_intervals_survive_the_way_through_a_small_ring(void)
{
    enum {
        COUNT = 50000,
        ROOM = 64,
    };
    gp_ring *ring = ring_of(ROOM);
    gp_ring_decoder decoder = {0};
    gp_interval sent[ROOM], got[ROOM];
    uint64_t state = 88172645463325252u, kept = 0, popped = 0;
    size_t pending = 0;
    for (int i = 0; i < COUNT; i++) {
        uint64_t end = draw(&state) >> (draw(&state) % 60);
        uint64_t start = end - (draw(&state) >> (draw(&state) % 60)) % (end + (end != UINT64_MAX));
        gp_interval interval = {draw(&state) & 1 ? GP_EVENT_WAIT : GP_EVENT_HOLD,
                                (uint32_t)draw(&state) % GP_RING_ACCOUNTS,
                                (uint32_t)draw(&state) % ((1u << GP_EVENT_PLACE_BITS) - 1), start, end};
        if (gp_ring_record(ring, interval.kind, interval.account, interval.place, start, end)) {
            sent[pending++] = interval;
            kept++;
        }
        if (draw(&state) % 20 != 0)
            continue;
        size_t found = drain(ring, &decoder, got, ROOM);
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
    for (uint64_t i = 0; i < SENT; i++) {
        uint64_t end = i * 50000000; /* in need of a base now and then */
        accepted += gp_ring_record(shared, GP_EVENT_HOLD, (uint32_t)(i % GP_RING_ACCOUNTS),
                                   (uint32_t)(i % 1000), end - i % 7, end);
    }
    atomic_store(&done, true);
    return NULL;
}

static void two_threads_lose_nothing_that_is_not_counted(void)
{
    gp_event batch[BATCH];
    gp_ring_decoder decoder = {0};
    gp_interval interval;
    uint64_t popped = 0, last = 0;
    pthread_t producer;
    shared = ring_of(1024);
    CHECK_EQUAL(pthread_create(&producer, NULL, produce, NULL), 0);
    for (bool over = false; !over;) {
        over = atomic_load(&done); /* before the last look */
        for (size_t count; (count = gp_ring_pop_many(shared, batch, BATCH)) != 0;)
            for (size_t i = 0; i < count; i++) {
                if (!gp_ring_decode(&decoder, &batch[i], &interval))
                    continue;
                uint64_t number = interval.end / 50000000;
                CHECK(popped == 0 || number > last);
                CHECK_EQUAL(interval.account, number % GP_RING_ACCOUNTS);
                CHECK_EQUAL(interval.place, number % 1000);
                CHECK_EQUAL(interval.end - interval.start, number % 7);
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
    times_beyond_their_bits_come_out_whole();
    an_event_is_dropped_together_with_what_comes_before_it();
    a_full_ring_keeps_the_old_and_counts_the_new();
    random_intervals_survive_the_way_through_a_small_ring();
    two_threads_lose_nothing_that_is_not_counted();
    return gp_test_status();
}
