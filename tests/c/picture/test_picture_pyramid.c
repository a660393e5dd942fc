#include "picture/gp_picture_pyramid.h"

#include <stdlib.h>
#include <string.h>

#include "picture/gp_picture_exact.h"
#include "picture/gp_picture_longest.h"
#include "gp_test.h"

enum {
    HOLD = GP_EVENT_HOLD,
    WAIT = GP_EVENT_WAIT,
    MOST = 4096,
};

/* Threads 0 and 1 have rows 0 and 1, thread 2 has none; thread 3 is of another interpreter without a row. */
static const uint32_t rows_of[] = {0, 1, 2, 2}, gils_of[] = {0, 0, 0, 1}, names[] = {1, 2, 1};

static const gp_rows few = {
    .rows = rows_of,
    .gils = gils_of,
    .names = names,
    .thread_count = 4,
    .place_count = 3,
    .row_count = 2,
    .gil_count = 1,
    .extent_ns = 1000,
};

static struct {
    uint8_t kinds[MOST];
    uint32_t threads[MOST], places[MOST];
    int64_t starts[MOST], durations[MOST];
    size_t count;
} made;

static void clear(void)
{
    made.count = 0;
}

static void event(uint8_t kind, uint32_t thread, uint32_t place, int64_t start, int64_t duration)
{
    size_t i = made.count++;
    made.kinds[i] = kind;
    made.threads[i] = thread;
    made.places[i] = place;
    made.starts[i] = start;
    made.durations[i] = duration;
}

static gp_picture_intervals batch(void)
{
    return (gp_picture_intervals){made.kinds,  made.threads,   made.places,
                                  made.starts, made.durations, made.count};
}

/* Thread 0 holds; 1 waits for it and holds; then 2. */
static void turns(void)
{
    clear();
    event(HOLD, 0, 0, 0, 300);
    event(WAIT, 1, 1, 100, 200);
    event(HOLD, 1, 1, 300, 100);
    event(HOLD, 2, GP_NOWHERE, 500, 100);
    event(HOLD, 3, 2, 0, 1000);
}

static void times_are_cut_to_the_extent(void)
{
    static const struct {
        int64_t start, duration;
        uint64_t begin, end;
    } known[] = {
        {0, 10, 0, 10},           {-5, 10, 0, 5},         {-5, 3, 0, 0},
        {95, 10, 95, 100},        {200, 5, 100, 100},     {10, -3, 10, 10},
        {INT64_MAX, 1, 100, 100}, {1, INT64_MAX, 1, 100}, {INT64_MIN, INT64_MAX, 0, 0},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint64_t begin, end;
        gp_span_cut(known[i].start, known[i].duration, 100, &begin, &end);
        CHECK_EQUAL(begin, known[i].begin);
        CHECK_EQUAL(end, known[i].end);
    }
}

static void a_survey_adds_up(void)
{
    gp_interval_sum sums[4] = {0};
    uint64_t places[3] = {0};
    turns();
    gp_picture_intervals all = batch();
    CHECK_EQUAL(gp_picture_intervals_survey(&all, 1000, sums, 4, places, 3), GP_OK);
    CHECK_EQUAL(sums[0].hold_ns, 300);
    CHECK_EQUAL(sums[1].wait_ns, 200);
    CHECK_EQUAL(sums[1].first_ns, 100);
    CHECK_EQUAL(sums[1].last_ns, 400);
    CHECK_EQUAL(sums[1].count, 2);
    CHECK_EQUAL(places[0], 300);
    CHECK_EQUAL(places[1], 100);
    CHECK_EQUAL(places[2], 1000);
}

static uint64_t next(const uint8_t **at)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return value;
    }
}

static void check_numbers(const gp_buffer *buffer, const uint64_t *expected, size_t count)
{
    const uint8_t *at = buffer->bytes, *end = at + buffer->size;
    for (size_t i = 0; i < count && at < end; i++)
        CHECK_EQUAL(next(&at), expected[i]);
    CHECK(at == end);
}

static void every_event_is_packed(void)
{
    gp_picture_exact *exact;
    turns();
    gp_picture_intervals all = batch();
    CHECK_EQUAL(gp_picture_exact_new(&few, &exact), GP_OK);
    CHECK_EQUAL(gp_picture_exact_add(exact, &all), GP_OK);
    check_numbers(gp_picture_exact_row(exact, 0), (uint64_t[]){0, 300, 1}, 3);
    check_numbers(gp_picture_exact_row(exact, 1), (uint64_t[]){100 << 2 | 1, 200, 2, 0, 100, 2}, 6);
    check_numbers(gp_picture_exact_row(exact, 2), (uint64_t[]){500 << 2, 100, 0}, 3); /* held without a row */
    gp_picture_exact_free(exact);
}

static void an_event_before_the_last_one_is_packed_too(void)
{
    gp_picture_exact *exact;
    clear();
    event(HOLD, 0, 0, 50, 10);
    event(HOLD, 0, 0, 20, 5);
    gp_picture_intervals all = batch();
    CHECK_EQUAL(gp_picture_exact_new(&few, &exact), GP_OK);
    CHECK_EQUAL(gp_picture_exact_add(exact, &all), GP_OK);
    check_numbers(gp_picture_exact_row(exact, 0), (uint64_t[]){50 << 2, 10, 1, 79 << 1, 5, 1}, 6);
    gp_picture_exact_free(exact);
}

static gp_picture_pyramid *pyramid_of(uint32_t cells)
{
    gp_picture_pyramid *pyramid = NULL;
    gp_picture_intervals all = batch();
    CHECK_EQUAL(gp_picture_pyramid_new(&few, cells, &pyramid), GP_OK);
    CHECK_EQUAL(gp_picture_pyramid_add(pyramid, &all), GP_OK);
    return pyramid;
}

static void check_row(const gp_picture_pyramid *pyramid, size_t row, unsigned level, const uint64_t *expected,
                      size_t count)
{
    gp_buffer buffer = {0};
    gp_picture_pyramid_pack(pyramid, row, level, &buffer);
    check_numbers(&buffer, expected, count);
    gp_buffer_free(&buffer);
}

#define HELD(share) ((uint64_t)(share) << 2)
#define WAITED(share) ((uint64_t)(share) << 8)
#define LED 1
#define TIMES(count) ((uint64_t)(count) << 2 | 2)

static void cells_have_shares_and_leaders(void)
{
    turns();
    gp_picture_pyramid *pyramid = pyramid_of(10);
    CHECK_EQUAL(gp_picture_pyramid_cell_ns(pyramid), 100);
    check_row(pyramid, 0, 0, (uint64_t[]){HELD(63) | LED, 1, TIMES(2), HELD(0), TIMES(6)}, 5);
    check_row(pyramid, 1, 0,
              (uint64_t[]){TIMES(1), WAITED(63), TIMES(1), HELD(63) | LED, 2, HELD(0), TIMES(5)}, 7);
    check_row(pyramid, 2, 0,
              (uint64_t[]){HELD(63) | LED, 1, TIMES(2), HELD(63) | LED, 2, HELD(0), HELD(63) | LED, 3,
                           HELD(0), TIMES(3)},
              10);
    gp_picture_pyramid_free(pyramid);
}

static void a_coarser_level_has_the_same_time(void)
{
    turns();
    gp_picture_pyramid *pyramid = pyramid_of(10);
    /* cells of 400, the last one of 200 */
    check_row(pyramid, 0, 2, (uint64_t[]){HELD(47) | LED, 1, HELD(0), TIMES(1)}, 4);
    check_row(pyramid, 1, 2, (uint64_t[]){HELD(16) | WAITED(32) | LED, 2, HELD(0), TIMES(1)}, 4);
    check_row(pyramid, 2, 2, (uint64_t[]){HELD(63) | LED, 1, HELD(16) | LED, 3, HELD(0)}, 5);
    check_row(pyramid, 2, 31, (uint64_t[]){HELD(32) | LED, 1}, 2);
    gp_picture_pyramid_free(pyramid);
}

/* Two that held as long are ahead of each other by nothing. */
static void even_then_one_of_those_who_held_leads(void)
{
    clear();
    event(HOLD, 0, 0, 900, 20);
    event(HOLD, 0, 1, 950, 20);
    gp_picture_pyramid *pyramid = pyramid_of(10);
    check_row(pyramid, 0, 4, (uint64_t[]){HELD(3) | LED, 1}, 2);
    gp_picture_pyramid_free(pyramid);
}

static void a_moment_is_not_lost(void)
{
    clear();
    event(HOLD, 0, 0, 999, 1);
    gp_picture_pyramid *pyramid = pyramid_of(1);
    check_row(pyramid, 0, 0, (uint64_t[]){HELD(1) | LED, 1}, 2);
    gp_picture_pyramid_free(pyramid);
}

static void what_is_held_twice_counts_once(void)
{
    clear();
    for (size_t i = 0; i < 100; i++)
        event(HOLD, 0, 0, 0, 500);
    gp_picture_pyramid *pyramid = pyramid_of(1);
    check_row(pyramid, 0, 0, (uint64_t[]){HELD(32) | LED, 1}, 2);
    gp_picture_pyramid_free(pyramid);
}

static void an_empty_timeline_has_empty_cells(void)
{
    gp_rows none = few;
    none.extent_ns = 0;
    gp_picture_pyramid *pyramid;
    CHECK_EQUAL(gp_picture_pyramid_new(&none, 4, &pyramid), GP_OK);
    CHECK_EQUAL(gp_picture_pyramid_cell_ns(pyramid), 1);
    check_row(pyramid, 0, 0, (uint64_t[]){TIMES(4)}, 1);
    gp_picture_pyramid_free(pyramid);
}

/* ---- the longest ---- */

static int by_length(const void *left, const void *right)
{
    const gp_long *a = left, *b = right;
    uint64_t x = a->end - a->begin, y = b->end - b->begin;
    return (x < y) - (x > y);
}

static void the_longest_stay(void)
{
    gp_picture_longest *longest;
    gp_long kept[7];
    size_t count;
    clear();
    for (int64_t i = 0; i < 100; i++) /* lengths of 1 to 100, in no order */
        event(HOLD, 0, 0, 10 * i, (i * 37 % 100) + 1);
    gp_picture_intervals all = batch();
    gp_rows rows = few;
    rows.extent_ns = 10000;
    CHECK_EQUAL(gp_picture_longest_new(&rows, 7, 0, &longest), GP_OK);
    CHECK_EQUAL(gp_picture_longest_add(longest, &all), GP_OK);
    const gp_long *found = gp_picture_longest_holds(longest, &count);
    CHECK_EQUAL(count, 7);
    memcpy(kept, found, sizeof kept);
    qsort(kept, 7, sizeof *kept, by_length);
    for (uint64_t i = 0; i < 7; i++)
        CHECK_EQUAL(kept[i].end - kept[i].begin, 100 - i);
    gp_picture_longest_waits(longest, &count);
    CHECK_EQUAL(count, 0);
    gp_picture_longest_free(longest);
}

static void a_wait_knows_its_holders(void)
{
    gp_picture_longest *longest;
    size_t count;
    clear();
    event(HOLD, 1, 0, 0, 100);  /* 50 of it within the wait */
    event(HOLD, 2, 1, 100, 30); /* a thread without a row */
    event(HOLD, 1, 0, 150, 20);
    event(HOLD, 3, 0, 0, 500); /* of another interpreter */
    event(WAIT, 0, 1, 50, 150);
    gp_picture_intervals all = batch();
    CHECK_EQUAL(gp_picture_longest_new(&few, 3, 100, &longest), GP_OK);
    CHECK_EQUAL(gp_picture_longest_add(longest, &all), GP_OK);
    const gp_long *wait = gp_picture_longest_waits(longest, &count);
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(wait->holder_count, 2);
    CHECK_EQUAL(wait->holders[0].row, 1);
    CHECK_EQUAL(wait->holders[0].ns, 70);
    CHECK_EQUAL(wait->holders[1].row, 2);
    CHECK_EQUAL(wait->holders[1].place, 2);
    CHECK_EQUAL(wait->holders[1].ns, 30);
    CHECK_EQUAL(wait->others_ns, 0);
    gp_picture_longest_free(longest);
}

static void looking_for_holders_has_an_end(void)
{
    gp_picture_longest *longest;
    size_t count;
    clear();
    event(HOLD, 1, 0, 0, 100);
    event(HOLD, 1, 0, 150, 20);
    event(WAIT, 0, 1, 50, 150); /* two looks */
    event(WAIT, 0, 1, 60, 200); /* too much */
    gp_picture_intervals all = batch();
    CHECK_EQUAL(gp_picture_longest_new(&few, 2, 3, &longest), GP_OK);
    CHECK_EQUAL(gp_picture_longest_add(longest, &all), GP_OK);
    const gp_long *waits = gp_picture_longest_waits(longest, &count);
    CHECK_EQUAL(count, 2);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQUAL(waits[i].holder_count, waits[i].begin == 50);
        CHECK_EQUAL(waits[i].others_ns, 0);
    }
    gp_picture_longest_free(longest);
}

static void many_holders_of_a_wait_are_summed_up(void)
{
    enum { PARTIES = 100 };
    static uint32_t many[PARTIES];
    gp_rows rows = few;
    gp_picture_longest *longest;
    size_t count;
    clear();
    for (uint32_t i = 0; i < PARTIES; i++) {
        many[i] = i + 1;
        event(HOLD, 1, i, 10 * i, 5);
    }
    event(WAIT, 0, 0, 0, 1000);
    rows.names = many;
    rows.place_count = PARTIES;
    gp_picture_intervals all = batch();
    CHECK_EQUAL(gp_picture_longest_new(&rows, 1, 100, &longest), GP_OK);
    CHECK_EQUAL(gp_picture_longest_add(longest, &all), GP_OK);
    const gp_long *wait = gp_picture_longest_waits(longest, &count);
    CHECK_EQUAL(wait->holder_count, GP_PICTURE_LONGEST_HOLDERS);
    CHECK_EQUAL(wait->others_ns, (PARTIES - GP_PICTURE_LONGEST_HOLDERS) * 5);
    gp_picture_longest_free(longest);
}

static void what_is_not_there_is_refused(void)
{
    static const uint32_t wrong[][2] = {{4, 0}, {0, 3}, {GP_NOWHERE, 0}};
    for (size_t i = 0; i < 3; i++) {
        gp_interval_sum sums[4] = {0};
        uint64_t places[3] = {0};
        gp_picture_exact *exact;
        gp_picture_pyramid *pyramid;
        gp_picture_longest *longest;
        clear();
        event(HOLD, wrong[i][0], wrong[i][1], 0, 5);
        gp_picture_intervals all = batch();
        CHECK_EQUAL(gp_picture_intervals_survey(&all, 1000, sums, 4, places, 3), GP_EINVAL);
        CHECK_EQUAL(gp_picture_exact_new(&few, &exact), GP_OK);
        CHECK_EQUAL(gp_picture_exact_add(exact, &all), GP_EINVAL);
        CHECK_EQUAL(gp_picture_pyramid_new(&few, 8, &pyramid), GP_OK);
        CHECK_EQUAL(gp_picture_pyramid_add(pyramid, &all), GP_EINVAL);
        CHECK_EQUAL(gp_picture_longest_new(&few, 8, 8, &longest), GP_OK);
        CHECK_EQUAL(gp_picture_longest_add(longest, &all), GP_EINVAL);
        gp_picture_exact_free(exact);
        gp_picture_pyramid_free(pyramid);
        gp_picture_longest_free(longest);
    }
}

int main(void)
{
    times_are_cut_to_the_extent();
    a_survey_adds_up();
    every_event_is_packed();
    an_event_before_the_last_one_is_packed_too();
    cells_have_shares_and_leaders();
    a_coarser_level_has_the_same_time();
    even_then_one_of_those_who_held_leads();
    a_moment_is_not_lost();
    what_is_held_twice_counts_once();
    an_empty_timeline_has_empty_cells();
    the_longest_stay();
    a_wait_knows_its_holders();
    looking_for_holders_has_an_end();
    many_holders_of_a_wait_are_summed_up();
    what_is_not_there_is_refused();
    return gp_test_status();
}
