#include "base/gp_hist.h"

#include <stdlib.h>
#include <string.h>

#include "gp_test.h"

static const uint64_t limit = (uint64_t)1 << GP_HIST_MAX_BITS;

static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void the_buckets_cover_the_range_without_gap_or_overlap(void)
{
    uint64_t end = 0;
    for (size_t i = 0; i < GP_HIST_BUCKETS; i++) {
        uint64_t low, high;
        gp_hist_bounds(i, &low, &high);
        CHECK_EQUAL(low, end);
        CHECK(high > low);
        CHECK_EQUAL(gp_hist_index(low), i);
        CHECK_EQUAL(gp_hist_index(high - 1), i);
        CHECK_EQUAL(gp_hist_index(low + (high - low) / 2), i);
        end = high;
    }
    CHECK(end == limit);
}

static void check_inside(uint64_t ns)
{
    uint64_t low, high;
    gp_hist_bounds(gp_hist_index(ns), &low, &high);
    CHECK(low <= ns && ns < high);
}

static void a_value_beside_a_power_of_two_is_in_its_bucket(void)
{
    for (unsigned bit = 0; bit < GP_HIST_MAX_BITS; bit++) {
        uint64_t power = (uint64_t)1 << bit;
        check_inside(power - 1);
        check_inside(power);
        if (power + 1 < limit)
            check_inside(power + 1);
        CHECK(gp_hist_index(power - 1) < gp_hist_index(power));
    }
}

static void the_middle_of_a_bucket_is_within_a_128th_of_its_values(void)
{
    for (size_t i = 0; i < GP_HIST_BUCKETS; i++) {
        uint64_t low, high;
        gp_hist_bounds(i, &low, &high);
        /* the middle of the integers counted, doubled: its distance to either end is the worst */
        uint64_t middle = low + high - 1;
        CHECK((middle - 2 * low) * 128 <= 2 * low);
        CHECK((2 * (high - 1) - middle) * 128 <= 2 * low);
    }
}

static void what_is_too_long_counts_in_the_last_bucket(void)
{
    const uint64_t values[] = {limit, limit + 1, (uint64_t)1 << 48, UINT64_MAX};
    gp_hist hist = {{0}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        gp_hist_record(&hist, values[i]);
    CHECK_EQUAL(hist.counts[GP_HIST_BUCKETS - 1], sizeof values / sizeof *values);
    CHECK_EQUAL(gp_hist_count(&hist), sizeof values / sizeof *values);
    CHECK_EQUAL(gp_hist_index(limit - 1), GP_HIST_BUCKETS - 1);
}

static void merging_is_the_same_as_counting_in_one(void)
{
    static gp_hist one, two, both;
    uint64_t state = 42;
    for (int i = 0; i < 100000; i++) {
        uint64_t ns = draw(&state) >> (draw(&state) % 64);
        gp_hist_record(i % 3 == 0 ? &one : &two, ns);
        gp_hist_record(&both, ns);
    }
    gp_hist_merge(&one, &two);
    CHECK(memcmp(&one, &both, sizeof one) == 0);
    CHECK_EQUAL(gp_hist_count(&one), 100000);
    memset(&two, 0, sizeof two);
    gp_hist_merge(&one, &two);
    CHECK(memcmp(&one, &both, sizeof one) == 0);
}

static int compare_values(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The slow twin is a sorted array: a bucket's count is the number of its values within the bounds. */
static void counts_are_those_of_a_sorted_array(void)
{
    enum { VALUES = 50000 };
    static uint64_t values[VALUES];
    static gp_hist hist;
    uint64_t state = 7;
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = draw(&state) >> (64 - GP_HIST_MAX_BITS + draw(&state) % GP_HIST_MAX_BITS);
        gp_hist_record(&hist, values[i]);
    }
    qsort(values, VALUES, sizeof *values, compare_values);
    size_t at = 0;
    for (size_t i = 0; i < GP_HIST_BUCKETS; i++) {
        uint64_t low, high, count = 0;
        gp_hist_bounds(i, &low, &high);
        for (; at < VALUES && values[at] < high; at++)
            count++;
        CHECK_EQUAL(hist.counts[i], count);
    }
    CHECK_EQUAL(at, VALUES);
}

int main(void)
{
    the_buckets_cover_the_range_without_gap_or_overlap();
    a_value_beside_a_power_of_two_is_in_its_bucket();
    the_middle_of_a_bucket_is_within_a_128th_of_its_values();
    what_is_too_long_counts_in_the_last_bucket();
    merging_is_the_same_as_counting_in_one();
    counts_are_those_of_a_sorted_array();
    return gp_test_status();
}
