#include "base/gp_clock.h"

#include <stdbool.h>
#include <string.h>

#include "gp_test.h"

static const uint64_t one_to_one = (uint64_t)1 << 32;

static bool counter_works(void)
{
    gp_clock_force(GP_CLOCK_MONOTONIC);
    gp_clock_force(GP_CLOCK_COUNTER);
    uint64_t ticks = gp_clock_ticks(), start = gp_clock_monotonic_ns();
    while (gp_clock_monotonic_ns() - start < 1000000)
        ;
    return gp_clock_ticks() != ticks;
}

static void check_stamps_never_go_back(void)
{
    uint64_t last = gp_clock_ticks();
    for (int i = 0; i < 200000; i++) {
        uint64_t now = gp_clock_ticks();
        CHECK(now >= last);
        last = now;
    }
}

/* An interval on the selected clock, by its estimated rate, against the same on CLOCK_MONOTONIC. */
static void check_estimate(void)
{
    gp_clock_anchor first = gp_clock_anchor_now();
    while (gp_clock_monotonic_ns() - first.monotonic_ns < 20000000)
        ;
    gp_clock_anchor last = gp_clock_anchor_now();
    uint64_t real = last.monotonic_ns - first.monotonic_ns;
    uint64_t estimated = gp_clock_to_ns(gp_clock_rate_estimate(), last.ticks - first.ticks);
    CHECK(estimated > real - real / 10 && estimated < real + real / 10);
    if (gp_clock_selected == GP_CLOCK_MONOTONIC)
        return; /* an anchor's two readings of the same clock differ */
    uint64_t exact = gp_clock_to_ns(gp_clock_rate_between(first, last), last.ticks - first.ticks);
    CHECK(exact <= real && exact + 1 >= real);
}

static void what_was_begun_early_is_as_good(void)
{
    gp_clock_begin();
    uint64_t start = gp_clock_monotonic_ns();
    while (gp_clock_monotonic_ns() - start < 1000000)
        ;
    gp_clock_init();
    check_estimate();
}

static void either_kind_is_monotone_and_keeps_time(void)
{
    gp_clock_force(GP_CLOCK_MONOTONIC);
    check_stamps_never_go_back();
    check_estimate();
    if (!counter_works())
        return; /* no counter to read: ticks fall back on the system's clock */
    check_stamps_never_go_back();
    check_estimate();
}

static void the_systems_clock_ticks_in_nanoseconds(void)
{
    gp_clock_force(GP_CLOCK_MONOTONIC);
    CHECK_EQUAL(gp_clock_rate_estimate().factor, one_to_one);
    CHECK(strcmp(gp_clock_name(), "monotonic") == 0);
    uint64_t before = gp_clock_monotonic_ns(), ticks = gp_clock_ticks(), after = gp_clock_monotonic_ns();
    CHECK(before <= ticks && ticks <= after);
}

static void a_second_initialisation_leaves_the_choice_alone(void)
{
    gp_clock_force(GP_CLOCK_MONOTONIC);
    gp_clock_init();
    CHECK(gp_clock_selected == GP_CLOCK_MONOTONIC);
}

/* Frequencies from a slow generic timer's to a fast processor's, over up to a day. */
static void the_rate_between_two_anchors_converts_their_distance_exactly(void)
{
    const uint64_t frequencies[] = {1000000, 24000000, 62500000, 1000000000, 2893202000, 5200000001};
    const uint64_t seconds[] = {1, 60, 3600, 86400};
    gp_clock_force(GP_CLOCK_COUNTER);
    for (size_t f = 0; f < sizeof frequencies / sizeof *frequencies; f++)
        for (size_t s = 0; s < sizeof seconds / sizeof *seconds; s++) {
            uint64_t ticks = frequencies[f] * seconds[s], ns = 1000000000 * seconds[s];
            gp_clock_anchor first = {987654321, 123456789}, last = {first.ticks + ticks, 123456789 + ns};
            uint64_t converted = gp_clock_to_ns(gp_clock_rate_between(first, last), ticks);
            /* the factor is cut off at 2**-32 of a nanosecond a tick */
            CHECK(converted <= ns && ns - converted <= (ticks >> 32) + 1);
        }
}

static void anchors_close_together_give_the_estimate(void)
{
    gp_clock_force(GP_CLOCK_COUNTER);
    gp_clock_anchor first = {1000, 1000}, last = {1000 + 77, 1000 + 999999};
    CHECK_EQUAL(gp_clock_rate_between(first, last).factor, gp_clock_rate_estimate().factor);
    CHECK_EQUAL(gp_clock_rate_between(first, first).factor, gp_clock_rate_estimate().factor);
}

static void a_counter_that_stands_still_is_not_divided_by(void)
{
    gp_clock_force(GP_CLOCK_COUNTER);
    gp_clock_anchor first = {1000, 1000}, last = {1000, 1000 + 5000000};
    CHECK_EQUAL(gp_clock_rate_between(first, last).factor, gp_clock_rate_estimate().factor);
}

static void conversion_does_not_overflow(void)
{
    gp_clock_rate same = {one_to_one}, half = {one_to_one / 2}, third = {one_to_one / 3};
    CHECK(gp_clock_to_ns(same, UINT64_MAX) == UINT64_MAX);
    CHECK(gp_clock_to_ns(half, UINT64_MAX) == UINT64_MAX / 2);
    CHECK(gp_clock_to_ns(third, (uint64_t)1 << 63) <= ((uint64_t)1 << 63) / 3);
    CHECK(gp_clock_to_ns(third, (uint64_t)1 << 63) > ((uint64_t)1 << 63) / 3 - ((uint64_t)1 << 31));
    CHECK_EQUAL(gp_clock_to_ns(same, 0), 0);
}

int main(void)
{
    what_was_begun_early_is_as_good(); /* first: a process begins once */
    either_kind_is_monotone_and_keeps_time();
    the_systems_clock_ticks_in_nanoseconds();
    a_second_initialisation_leaves_the_choice_alone();
    the_rate_between_two_anchors_converts_their_distance_exactly();
    anchors_close_together_give_the_estimate();
    a_counter_that_stands_still_is_not_divided_by();
    conversion_does_not_overflow();
    return gp_test_status();
}
