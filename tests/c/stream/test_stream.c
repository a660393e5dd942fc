#include "stream/gp_stream.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gp_test.h"

enum {
    THREADS = 6,
    CYCLES = 20000,
};

static gp_stream stream;
static gp_note rooms[THREADS][GP_LANE_NOTES];
static gp_lane lanes[THREADS];

static void begin_anew(void)
{
    gp_stream_clear(&stream);
    memset(&stream, 0, sizeof stream);
    pthread_mutex_init(&stream.lock, NULL);
    for (int i = 0; i < THREADS; i++)
        gp_lane_begin(&lanes[i], rooms[i], NULL, 1, false);
}

static void take(int lane, uint64_t asked, uint64_t now)
{
    lanes[lane].asking = asked;
    gp_stream_take(&stream, &lanes[lane]);
    gp_lane_take(&lanes[lane], now);
}

static void expect(int lane, gp_step_kind kind, uint64_t when)
{
    gp_step step = {.lane = NULL};
    CHECK(gp_stream_next(&stream, &step));
    CHECK_EQUAL(step.lane - lanes, lane);
    CHECK_EQUAL(step.kind, kind);
    CHECK_EQUAL(step.time, when);
}

static void expect_end(void)
{
    gp_step step;
    CHECK(!gp_stream_next(&stream, &step));
    gp_stream_end(&stream);
}

/* ---- what comes in which order ---- */

static void steps_of_all_threads_come_in_order_of_time(void)
{
    begin_anew();
    take(0, GP_ASKED_UNSEEN, 10);
    gp_lane_ask(&lanes[1], 15);
    gp_stream_list(&stream, &lanes[1]);
    gp_lane_release(&lanes[0], 20, 7, false);
    take(1, 15, 22);
    gp_lane_release(&lanes[1], 30, 8, true);
    take(0, GP_ASKED_AT_ONCE, 35);
    CHECK(gp_stream_begin(&stream, gp_stream_known_until(&stream)));
    expect(0, GP_STEP_TAKE, 10);
    expect(1, GP_STEP_ASK, 15);
    expect(0, GP_STEP_RELEASE, 20);
    expect(1, GP_STEP_TAKE, 22);
    expect(1, GP_STEP_RELEASE, 30);
    expect(0, GP_STEP_TAKE, 35);
    expect_end();
}

static void what_is_under_way_is_read_once(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    gp_lane_release(&lanes[0], 20, 7, false);
    gp_lane_ask(&lanes[0], 25);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 10);
    expect(0, GP_STEP_RELEASE, 20);
    expect(0, GP_STEP_ASK, 25);
    expect_end();
    take(0, 25, 40);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 40);
    expect_end();
    CHECK(gp_stream_begin(&stream, 100));
    expect_end();
}

static void what_comes_after_the_limit_waits(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    gp_lane_release(&lanes[0], 20, 7, false);
    take(0, GP_ASKED_AT_ONCE, 30);
    CHECK(gp_stream_begin(&stream, 20));
    expect(0, GP_STEP_TAKE, 10);
    expect(0, GP_STEP_RELEASE, 20);
    expect_end();
    CHECK(gp_stream_begin(&stream, 30));
    expect(0, GP_STEP_TAKE, 30);
    expect_end();
}

static void nobody_takes_before_the_holder_lets_go(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    gp_lane_release(&lanes[0], 23, 7, false); /* by a clock that is ahead */
    take(1, GP_ASKED_AT_ONCE, 21);
    gp_lane_release(&lanes[1], 30, 7, false);
    take(0, GP_ASKED_AT_ONCE, 31);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 10);
    expect(0, GP_STEP_RELEASE, 23);
    expect(1, GP_STEP_TAKE, 21);
    expect(1, GP_STEP_RELEASE, 30);
    expect(0, GP_STEP_TAKE, 31);
    expect_end();
}

static void a_release_that_was_not_seen_is_none(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    take(0, GP_ASKED_AT_ONCE, 30);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 10);
    expect(0, GP_STEP_TAKE, 30);
    expect_end();
}

static void a_forced_release_is_followed_by_no_asking(void)
{
    gp_step step;
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    gp_lane_release(&lanes[0], 20, 7, true);
    gp_lane_ask(&lanes[0], 22);
    take(0, 22, 30);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 10);
    CHECK(gp_stream_next(&stream, &step));
    CHECK(step.kind == GP_STEP_RELEASE && step.forced);
    CHECK_EQUAL(step.place, 7);
    expect(0, GP_STEP_TAKE, 30);
    expect_end();
}

static size_t count_cycles(gp_cycles *cycles)
{
    size_t most = gp_stream_cycles(&stream, cycles), count = 0;
    while (count < most && gp_stream_is_cycle(cycles, count))
        count++;
    return count;
}

static void whole_cycles_come_at_once(void)
{
    gp_cycles cycles;
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    for (uint64_t t = 20; t < 60; t += 10) {
        gp_lane_release(&lanes[0], t, 7, false);
        take(0, GP_ASKED_AT_ONCE, t + 5);
    }
    gp_lane_ask(&lanes[1], 42);
    gp_stream_list(&stream, &lanes[1]);
    CHECK(gp_stream_begin(&stream, 100));
    CHECK_EQUAL(count_cycles(&cycles), 0); /* it has not got the GIL yet */
    expect(0, GP_STEP_TAKE, 10);
    CHECK_EQUAL(count_cycles(&cycles), 2);
    CHECK(cycles.lane == &lanes[0] && cycles.first->released == 20 && cycles.first[1].taken == 35);
    gp_stream_skip(&stream, &cycles, 2);
    CHECK_EQUAL(count_cycles(&cycles), 0);
    expect(0, GP_STEP_RELEASE, 40);
    expect(1, GP_STEP_ASK, 42);
    expect(0, GP_STEP_TAKE, 45);
    CHECK_EQUAL(count_cycles(&cycles), 1);
    gp_stream_skip(&stream, &cycles, 1);
    expect_end();
}

static void idle_lanes_are_forgotten_until_they_wake(void)
{
    begin_anew();
    for (int i = 0; i < THREADS; i++) {
        take(i, GP_ASKED_AT_ONCE, (uint64_t)i * 10 + 10);
        gp_lane_release(&lanes[i], (uint64_t)i * 10 + 15, 7, false);
    }
    CHECK(gp_stream_begin(&stream, 1000));
    for (int i = 0; i < THREADS; i++) {
        expect(i, GP_STEP_TAKE, i * 10 + 10);
        expect(i, GP_STEP_RELEASE, i * 10 + 15);
    }
    expect_end();
    int listed = 0;
    for (const gp_lane *lane = stream.listed; lane != NULL; lane = lane->next_listed)
        listed++;
    CHECK_EQUAL(listed, 1); /* who took it last */
    take(2, GP_ASKED_AT_ONCE, 200);
    CHECK(gp_stream_begin(&stream, 1000));
    expect(2, GP_STEP_TAKE, 200);
    expect_end();
}

/* ---- threads and a reader at the same time ---- */

static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool over;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

typedef struct {
    gp_step_kind kind;
    uint64_t time;
} step_log;

static step_log done[THREADS][3 * CYCLES], seen[THREADS][3 * CYCLES];
static size_t done_count[THREADS], seen_count[THREADS];

static void did(int self, gp_step_kind kind, uint64_t time)
{
    done[self][done_count[self]++] = (step_log){kind, time};
}

static uint64_t lock_it(int self)
{
    if (pthread_mutex_trylock(&gil) == 0)
        return GP_ASKED_AT_ONCE;
    uint64_t asked = now();
    did(self, GP_STEP_ASK, asked);
    gp_lane_ask(&lanes[self], asked);
    gp_stream_list(&stream, &lanes[self]);
    pthread_mutex_lock(&gil);
    return asked;
}

static void *cycle(void *argument)
{
    int self = (int)(intptr_t)argument;
    unsigned seed = (unsigned)self + 1;
    gp_lane *lane = &lanes[self];
    for (int i = 0; i < CYCLES; i++) {
        uint64_t asked = lock_it(self), taken = now();
        while (!gp_lane_has_room(lane)) { /* the reader needs no GIL */
        }
        did(self, GP_STEP_TAKE, taken);
        lane->asking = asked;
        gp_stream_take(&stream, lane);
        gp_lane_take(lane, taken);
        for (int k = rand_r(&seed) % 64; k > 0; k--)
            (void)now();
        uint64_t released = now();
        did(self, GP_STEP_RELEASE, released);
        gp_lane_release(lane, released, (uint32_t)self, false);
        pthread_mutex_unlock(&gil);
        for (int k = rand_r(&seed) % 64; k > 0; k--)
            (void)now();
    }
    return NULL;
}

static const gp_lane *holder;
static uint64_t last_change;

static void see(const gp_step *step)
{
    size_t of = (size_t)(step->lane - lanes);
    seen[of][seen_count[of]++] = (step_log){step->kind, step->time};
    if (step->kind == GP_STEP_ASK)
        return;
    CHECK(holder == (step->kind == GP_STEP_TAKE ? NULL : step->lane));
    holder = step->kind == GP_STEP_TAKE ? step->lane : NULL;
    CHECK(step->time >= last_change); /* one clock for all */
    last_change = step->time;
}

static void read_once(uint64_t limit)
{
    gp_step step;
    gp_cycles cycles;
    CHECK(gp_stream_begin(&stream, limit));
    do {
        size_t count = count_cycles(&cycles);
        for (size_t i = 0; i < count; i++) {
            const gp_note *note = &cycles.first[i];
            see(&(gp_step){.lane = cycles.lane, .kind = GP_STEP_RELEASE, .time = note->released});
            see(&(gp_step){.lane = cycles.lane, .kind = GP_STEP_TAKE, .time = note->taken});
        }
        if (count != 0)
            gp_stream_skip(&stream, &cycles, count);
        if (!gp_stream_next(&stream, &step))
            break;
        see(&step);
    } while (true);
    gp_stream_end(&stream);
}

static void *read_all(void *argument)
{
    while (!atomic_load(&over))
        read_once(gp_stream_known_until(&stream));
    return argument;
}

static void a_reader_beside_the_threads_misses_nothing(void)
{
    pthread_t threads[THREADS], reader;
    begin_anew();
    CHECK_EQUAL(pthread_create(&reader, NULL, read_all, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, cycle, (void *)(intptr_t)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&over, true);
    pthread_join(reader, NULL);
    read_once(UINT64_MAX);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQUAL(seen_count[i], done_count[i]);
        size_t wrong = 0;
        for (size_t k = 0; k < done_count[i] && k < seen_count[i]; k++)
            wrong += seen[i][k].kind != done[i][k].kind || seen[i][k].time != done[i][k].time;
        CHECK_EQUAL(wrong, 0);
    }
}

int main(void)
{
    steps_of_all_threads_come_in_order_of_time();
    what_is_under_way_is_read_once();
    what_comes_after_the_limit_waits();
    nobody_takes_before_the_holder_lets_go();
    a_release_that_was_not_seen_is_none();
    a_forced_release_is_followed_by_no_asking();
    whole_cycles_come_at_once();
    idle_lanes_are_forgotten_until_they_wake();
    a_reader_beside_the_threads_misses_nothing();
    gp_stream_clear(&stream);
    return gp_test_status();
}
