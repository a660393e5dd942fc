#define _GNU_SOURCE
#include "gp_test.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/gp_helper.h"

static atomic_int own_priority_set; /* by the thread that runs the tests */

static int set_priority(int which, id_t who, int nice)
{
    if (who == 0 && syscall(SYS_gettid) == getpid())
        atomic_fetch_add(&own_priority_set, 1);
    return setpriority(which, who, nice);
}

#define setpriority(which, who, nice) set_priority(which, who, nice)
#include "base/gp_sampler.c"
#undef setpriority

enum { PERIOD = 1000, SLEEPY = 200000 };

static int64_t read_number(const void *object)
{
    return atomic_load((const atomic_long *)object);
}

/* A number that is another one at each look: 5, 6, 7, 5, ... */
static int64_t read_wheel(const void *object)
{
    return 5 + atomic_fetch_add((atomic_long *)object, 1) % 3;
}

static void nap(long ns)
{
    const struct timespec duration = {0, ns};
    nanosleep(&duration, NULL);
}

static gp_sampler *start(const void *object, gp_sampler_read read, uint64_t period_ns, size_t keep)
{
    gp_sampler *sampler = NULL;
    int error = 0;
    CHECK_EQUAL(gp_sampler_start(object, read, 1, period_ns, keep, &sampler, &error), GP_OK);
    return sampler;
}

static gp_sampler_seen end(gp_sampler *sampler)
{
    gp_sampler_stop(sampler);
    gp_sampler_stop(sampler);
    return gp_sampler_result(sampler);
}

static void a_still_number_never_changes(uint64_t period_ns)
{
    atomic_long number = 8;
    gp_sampler *sampler = start(&number, read_number, period_ns, 10);
    nap(5000000);
    gp_sampler_seen seen = end(sampler);
    CHECK(seen.samples >= 2);
    CHECK(seen.elapsed_ns >= 5000000);
    CHECK_EQUAL(seen.first, 7);
    CHECK_EQUAL(seen.last, 7);
    CHECK_EQUAL(seen.least, 7);
    CHECK_EQUAL(seen.most, 7);
    CHECK_EQUAL(seen.changes, 0);
    CHECK_EQUAL(seen.kept_count, 0);
    CHECK_EQUAL(seen.not_counted, 0);
    CHECK_EQUAL(seen.hist->counts[7], seen.samples);
    CHECK_EQUAL(gp_hist_count(seen.hist), seen.samples);
    gp_sampler_free(sampler);
}

/* Each period has a sample or is missed; the first and the last look belong to none. */
static void all_periods_are_accounted_for(uint64_t period_ns)
{
    atomic_long number = 8;
    gp_sampler *sampler = start(&number, read_number, period_ns, 0);
    nap(20000000);
    gp_sampler_seen seen = end(sampler);
    double periods = (double)seen.elapsed_ns / (double)period_ns;
    double accounted = (double)(seen.samples - 2 + seen.missed);
    CHECK(accounted <= 1.001 * periods + 1); /* the rate of the clock is an estimate */
    CHECK(accounted >= 0.999 * periods - 2);
    gp_sampler_free(sampler);
}

static void every_change_is_seen_and_the_first_are_kept(void)
{
    atomic_long looks = 0;
    gp_sampler *sampler = start(&looks, read_wheel, SLEEPY, 4);
    while (atomic_load(&looks) < 7)
        nap(100000);
    gp_sampler_seen seen = end(sampler);
    CHECK_EQUAL(seen.samples, atomic_load(&looks));
    CHECK_EQUAL(seen.changes, seen.samples - 1);
    CHECK_EQUAL(seen.kept_count, 4);
    for (size_t i = 0; i < seen.kept_count; i++) {
        CHECK_EQUAL(seen.kept[i].count, 4 + (int64_t)(i + 1) % 3);
        CHECK(i == 0 || seen.kept[i].at_ns > seen.kept[i - 1].at_ns);
    }
    CHECK_EQUAL(seen.first, 4);
    CHECK_EQUAL(seen.least, 4);
    CHECK_EQUAL(seen.most, 6);
    CHECK_EQUAL(gp_hist_count(seen.hist), seen.samples);
    gp_sampler_free(sampler);
}

static void what_is_not_counted_is_no_number(void)
{
    atomic_long number = GP_SAMPLER_NOT_COUNTED;
    gp_sampler *sampler = start(&number, read_number, SLEEPY, 4);
    gp_sampler_seen seen = end(sampler);
    CHECK_EQUAL(seen.not_counted, seen.samples);
    CHECK_EQUAL(seen.first, GP_SAMPLER_NOT_COUNTED);
    CHECK_EQUAL(seen.least, GP_SAMPLER_NOT_COUNTED);
    CHECK_EQUAL(seen.most, GP_SAMPLER_NOT_COUNTED);
    CHECK_EQUAL(gp_hist_count(seen.hist), 0);
    gp_sampler_free(sampler);

    number = 3; /* and becomes so */
    sampler = start(&number, read_number, SLEEPY, 4);
    number = GP_SAMPLER_NOT_COUNTED;
    seen = end(sampler);
    CHECK_EQUAL(seen.first, 2);
    CHECK_EQUAL(seen.last, GP_SAMPLER_NOT_COUNTED);
    CHECK_EQUAL(seen.least, 2);
    CHECK_EQUAL(seen.most, 2);
    CHECK_EQUAL(seen.changes, 1);
    CHECK_EQUAL(seen.kept[0].count, GP_SAMPLER_NOT_COUNTED);
    gp_sampler_free(sampler);
}

#if !defined(__SANITIZE_THREAD__)
static void it_goes_on_after_a_pause(void)
{
    atomic_long looks = 0;
    gp_sampler *sampler = start(&looks, read_wheel, SLEEPY, 0);
    for (int i = 0; i < 5; i++) {
        CHECK(gp_helpers_pause());
        long before = atomic_load(&looks);
        nap(1000000);
        CHECK_EQUAL(atomic_load(&looks), before);
        gp_helpers_resume();
        while (atomic_load(&looks) == before)
            nap(100000);
    }
    CHECK(end(sampler).missed > 0);
    gp_sampler_free(sampler);
}
#endif

static void a_forked_child_has_none_and_can_end_it(void)
{
    atomic_long number = 2;
    gp_sampler *sampler = start(&number, read_number, SLEEPY, 0);
    pid_t child = fork();
    if (child == 0) {
        gp_sampler_seen seen = end(sampler);
        bool right = seen.least == 1 && seen.most == 1;
        gp_sampler_free(sampler);
        _exit(right ? 0 : 1);
    }
    int status = -1;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    gp_sampler_free(sampler);
}

static void a_sampler_that_has_not_begun_is_halted_by_a_thread_that_keeps_its_priority(void)
{
    gp_sampler sampler = {.halted = 0};
    halt(&sampler);
    CHECK_EQUAL(atomic_load(&own_priority_set), 0);
    CHECK_EQUAL(atomic_load(&sampler.halted), 1);
}

static void arguments_have_ranges(void)
{
    atomic_long number = 2;
    gp_sampler *sampler;
    int error;
    CHECK_EQUAL(gp_sampler_start(&number, read_number, 1, 999, 0, &sampler, &error), GP_EINVAL);
    CHECK_EQUAL(gp_sampler_start(&number, read_number, 1, UINT64_MAX, 0, &sampler, &error), GP_EINVAL);
    CHECK_EQUAL(gp_sampler_start(&number, read_number, 1, PERIOD, GP_SAMPLER_KEEP_MAX + 1, &sampler, &error),
                GP_EINVAL);
    gp_sampler_free(NULL);
}

int main(void)
{
    a_still_number_never_changes(PERIOD);
    a_still_number_never_changes(SLEEPY);
    all_periods_are_accounted_for(PERIOD);
    all_periods_are_accounted_for(SLEEPY);
    every_change_is_seen_and_the_first_are_kept();
    what_is_not_counted_is_no_number();
#if !defined(__SANITIZE_THREAD__) /* which has a thread of its own: then the program is never alone */
    it_goes_on_after_a_pause();
#endif
    a_forked_child_has_none_and_can_end_it();
    a_sampler_that_has_not_begun_is_halted_by_a_thread_that_keeps_its_priority();
    arguments_have_ranges();
    return gp_test_status();
}
