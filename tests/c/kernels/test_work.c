#include "kernels/gp_work.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/gp_clock.h"
#include "gp_test.h"

static const gp_interrupt_watch *quiet(void)
{
    static _Thread_local gp_interrupt_watch watch;
    gp_interrupt_begin(&watch, 0, true);
    return &watch;
}

/* A watch that has already changed, so that a step ends at its first look. */
static gp_interrupt_watch changed(void)
{
    gp_interrupt_watch watch;
    gp_interrupt_begin(&watch, UINT64_MAX, true);
    raise(SIGINT);
    return watch;
}

static void handle(int number)
{
    (void)number;
}

static uint64_t spun(uint64_t iterations)
{
    gp_spin spin;
    gp_spin_init(&spin, iterations);
    CHECK(gp_work_step(&spin.work, quiet()));
    return spin.checksum;
}

static void spin_depends_on_its_iterations_alone(void)
{
    CHECK(spun(3000000) == spun(3000000));
    CHECK(spun(3000000) != spun(2999999));
    CHECK(spun(1) != spun(0));
}

static void an_interrupted_step_stops_and_the_next_goes_on(void)
{
    gp_interrupt_watch watch = changed();
    gp_spin spin;
    gp_spin_init(&spin, 3000000);
    CHECK(!gp_work_step(&spin.work, &watch));
    CHECK_EQUAL(spin.left, 3000000);
    gp_interrupt_rearm(&watch);
    CHECK(gp_work_step(&spin.work, &watch));
    CHECK(spin.checksum == spun(3000000));
    gp_interrupt_end(&watch);
}

static uint64_t streamed(const void *bytes, size_t size, uint64_t passes)
{
    gp_array_stream stream;
    gp_stream_init(&stream, bytes, size, passes);
    CHECK(gp_work_step(&stream.work, quiet()));
    return stream.checksum;
}

/* One piece more than the largest, an odd tail, and no alignment: on the heap, so that ASan guards both ends.
 */
static void stream_sums_every_byte_and_no_other(void)
{
    size_t sizes[] = {1, 7, 8, 9, ((size_t)1 << 22) + 13};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *bytes = malloc(sizes[i] + 1), *start = bytes + 1;
        uint64_t expected = 0;
        for (size_t at = 0; at < sizes[i]; at++)
            start[at] = (unsigned char)(at * 37 + 1);
        for (size_t at = 0; at < sizes[i]; at += 8) {
            uint64_t word = 0;
            memcpy(&word, start + at, sizes[i] - at < 8 ? sizes[i] - at : 8);
            expected += word;
        }
        CHECK(streamed(start, sizes[i], 1) == expected);
        CHECK(streamed(start, sizes[i], 3) == 3 * expected);
        free(bytes);
    }
    CHECK_EQUAL(streamed(NULL, 0, 5), 0);
}

static uint64_t *new_chain(uint64_t nodes, uint64_t seed)
{
    uint64_t *indices = malloc(nodes * sizeof *indices);
    gp_chain chain;
    gp_chain_init(&chain, indices, nodes, seed);
    CHECK(gp_work_step(&chain.work, quiet()));
    return indices;
}

static uint64_t chased(const uint64_t *indices, uint64_t nodes, uint64_t steps)
{
    gp_chase chase;
    gp_chase_init(&chase, indices, nodes, steps);
    CHECK(gp_work_step(&chase.work, quiet()));
    CHECK(chase.broken == nodes);
    return chase.index;
}

static void a_chain_is_one_cycle_through_all_nodes(void)
{
    uint64_t lengths[] = {1, 2, 3, 1000, 70000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint64_t nodes = lengths[i], met = 0, at = 0;
        uint64_t *indices = new_chain(nodes, i);
        do {
            at = indices[at];
            met++;
        } while (at != 0 && at < nodes && met < nodes);
        CHECK_EQUAL(at, 0);
        CHECK_EQUAL(met, nodes);
        CHECK_EQUAL(chased(indices, nodes, nodes), 0);
        CHECK_EQUAL(chased(indices, nodes, 1), indices[0]);
        free(indices);
    }
}

static void a_seed_names_a_chain(void)
{
    uint64_t *one = new_chain(1000, 1), *again = new_chain(1000, 1), *two = new_chain(1000, 2);
    CHECK(memcmp(one, again, 8000) == 0);
    CHECK(memcmp(one, two, 8000) != 0);
    free(one);
    free(again);
    free(two);
}

static void a_chase_names_the_first_index_out_of_range(void)
{
    uint64_t *indices = new_chain(1000, 1);
    gp_chase chase;
    indices[777] = 1000;
    indices[778] = UINT64_MAX;
    gp_chase_init(&chase, indices, 1000, 5);
    CHECK(gp_work_step(&chase.work, quiet()));
    CHECK_EQUAL(chase.broken, 777);
    free(indices);
}

/* The buffer belongs to the caller, whose other threads may write to it after the check. */
static void a_chase_never_leaves_a_buffer_that_turns_bad_meanwhile(void)
{
    uint64_t *indices = new_chain(1000, 1);
    gp_chase chase;
    gp_chase_init(&chase, indices, 1000, 500);
    CHECK(gp_work_step(&chase.work, quiet()));
    indices[chase.index] = UINT64_MAX / 8;
    chase.steps_left = 10;
    CHECK(gp_work_step(&chase.work, quiet()));
    CHECK_EQUAL(chase.broken, chase.index);
    free(indices);
}

static void sleep_lasts_its_time_even_when_interrupted(void)
{
    gp_interrupt_watch watch = changed();
    gp_sleep sleep;
    uint64_t start = gp_clock_monotonic_ns();
    gp_sleep_init(&sleep, 60000000);
    CHECK(!gp_work_step(&sleep.work, &watch));
    gp_interrupt_rearm(&watch);
    CHECK(gp_work_step(&sleep.work, &watch));
    CHECK(gp_clock_monotonic_ns() - start >= 60000000);
    gp_interrupt_end(&watch);
}

static struct {
    bool held;
    unsigned releases, acquisitions, disorders;
    unsigned interrupt_at; /* the release that raises SIGINT; 0: none */
} fake;

static void *fake_release(void)
{
    fake.disorders += !fake.held;
    fake.held = false;
    if (++fake.releases == fake.interrupt_at)
        raise(SIGINT);
    return &fake;
}

static void fake_acquire(void *token)
{
    fake.disorders += fake.held || token != &fake;
    fake.held = true;
    fake.acquisitions++;
}

static const gp_work_lock fake_lock = {fake_release, fake_acquire};

static uint64_t total_ns(const gp_alternate *alternate)
{
    return alternate->held_ns + alternate->release_ns + alternate->released_ns + alternate->reacquire_ns;
}

static void alternate_lets_go_and_takes_back_once_a_cycle(void)
{
    gp_alternate alternate;
    fake.held = true;
    fake.releases = fake.acquisitions = fake.disorders = fake.interrupt_at = 0;
    uint64_t start = gp_clock_monotonic_ns();
    gp_alternate_init(&alternate, &fake_lock, 50, 20000, 30000);
    CHECK(gp_work_step(&alternate.work, quiet()));
    uint64_t elapsed = gp_clock_monotonic_ns() - start;
    CHECK(fake.held);
    CHECK_EQUAL(fake.disorders, 0);
    CHECK_EQUAL(fake.releases, 50);
    CHECK_EQUAL(fake.acquisitions, 50);
    CHECK(alternate.held_ns >= 50 * 20000);
    CHECK(alternate.released_ns >= 50 * 30000);
    CHECK(total_ns(&alternate) <= elapsed);
}

static void alternate_without_a_lock_holds_all_the_time(void)
{
    gp_alternate alternate;
    gp_alternate_init(&alternate, NULL, 10, 20000, 30000);
    CHECK(gp_work_step(&alternate.work, quiet()));
    CHECK(alternate.held_ns >= 10 * 50000);
    CHECK_EQUAL(total_ns(&alternate), alternate.held_ns);
}

static void an_interrupted_alternate_has_its_lock_and_finishes_its_phase(void)
{
    gp_alternate alternate;
    gp_interrupt_watch watch;
    gp_interrupt_begin(&watch, UINT64_MAX, true);
    fake.held = true;
    fake.releases = fake.acquisitions = fake.disorders = 0;
    fake.interrupt_at = 3;
    gp_alternate_init(&alternate, &fake_lock, 5, 0, 1000000);
    CHECK(!gp_work_step(&alternate.work, &watch));
    CHECK(fake.held);
    CHECK_EQUAL(fake.releases, 3);
    CHECK_EQUAL(alternate.cycles_left, 3);
    gp_interrupt_rearm(&watch);
    CHECK(gp_work_step(&alternate.work, &watch));
    CHECK_EQUAL(fake.releases, 6); /* the cut phase took two */
    CHECK_EQUAL(fake.disorders, 0);
    CHECK(alternate.released_ns >= 5 * 1000000);
    gp_interrupt_end(&watch);
}

static void cycle_lets_go_and_takes_back_as_often_as_told(void)
{
    gp_cycle cycle;
    fake.held = true;
    fake.releases = fake.acquisitions = fake.disorders = fake.interrupt_at = 0;
    gp_cycle_init(&cycle, &fake_lock, 1003);
    CHECK(gp_work_step(&cycle.work, quiet()));
    CHECK(fake.held);
    CHECK_EQUAL(fake.disorders, 0);
    CHECK_EQUAL(fake.releases, 1003);
    CHECK_EQUAL(fake.acquisitions, 1003);
    CHECK(cycle.elapsed_ns > 0);
}

static void an_interrupted_cycle_has_its_lock_and_goes_on(void)
{
    gp_cycle cycle;
    gp_interrupt_watch watch;
    gp_interrupt_begin(&watch, UINT64_MAX, true);
    fake.held = true;
    fake.releases = fake.acquisitions = fake.disorders = 0;
    fake.interrupt_at = 3;
    gp_cycle_init(&cycle, &fake_lock, 1000);
    CHECK(!gp_work_step(&cycle.work, &watch));
    CHECK(fake.held);
    CHECK_EQUAL(fake.releases + cycle.left, 1000);
    gp_interrupt_rearm(&watch);
    CHECK(gp_work_step(&cycle.work, &watch));
    CHECK_EQUAL(fake.releases, 1000);
    CHECK_EQUAL(fake.disorders, 0);
    gp_interrupt_end(&watch);
}

static uint64_t ground(const gp_work_lock *lock, uint64_t iterations, uint64_t every)
{
    gp_grain grain;
    fake.held = true;
    fake.releases = fake.acquisitions = fake.disorders = fake.interrupt_at = 0;
    gp_grain_init(&grain, lock, iterations, every);
    CHECK(gp_work_step(&grain.work, quiet()));
    CHECK(fake.held);
    CHECK_EQUAL(fake.disorders, 0);
    CHECK_EQUAL(fake.releases, fake.acquisitions);
    return grain.checksum;
}

static void grains_do_what_spin_does_and_let_go_for_each(void)
{
    CHECK(ground(&fake_lock, 1000, 300) == spun(1000));
    CHECK_EQUAL(fake.releases, 4);
    CHECK(ground(&fake_lock, 1000, 500) == spun(1000));
    CHECK_EQUAL(fake.releases, 2);
    CHECK(ground(&fake_lock, 3000000, 2000000) == spun(3000000)); /* longer than a piece */
    CHECK_EQUAL(fake.releases, 2);
    CHECK(ground(&fake_lock, 1000, UINT64_MAX) == spun(1000));
    CHECK_EQUAL(fake.releases, 1);
    CHECK(ground(&fake_lock, 0, 1) == spun(0));
    CHECK_EQUAL(fake.releases, 0);
    CHECK(ground(NULL, 1000, 300) == spun(1000));
    CHECK_EQUAL(fake.releases, 0);
}

static void an_interrupted_grain_has_its_lock_and_is_finished(void)
{
    gp_grain grain;
    gp_interrupt_watch watch;
    gp_interrupt_begin(&watch, UINT64_MAX, true);
    fake.held = true;
    fake.releases = fake.acquisitions = fake.disorders = 0;
    fake.interrupt_at = 3;
    gp_grain_init(&grain, &fake_lock, 1000, 200);
    CHECK(!gp_work_step(&grain.work, &watch));
    CHECK(fake.held);
    CHECK_EQUAL(fake.releases, 3);
    CHECK_EQUAL(grain.left, 600);
    gp_interrupt_rearm(&watch);
    CHECK(gp_work_step(&grain.work, &watch));
    CHECK_EQUAL(fake.releases, 6); /* the cut grain took two */
    CHECK_EQUAL(fake.disorders, 0);
    CHECK(grain.checksum == spun(1000));
    gp_interrupt_end(&watch);
}

static void *spin_apart(void *checksum)
{
    *(uint64_t *)checksum = spun(3000000);
    return NULL;
}

static void kernels_share_nothing_between_threads(void)
{
    uint64_t checksums[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, spin_apart, &checksums[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK(checksums[0] == checksums[1] && checksums[1] == checksums[2]);
}

static void the_guess_of_a_huge_piece_of_work_does_not_wrap(void)
{
    gp_alternate alternate;
    gp_chase chase;
    gp_grain grain;
    gp_alternate_init(&alternate, &fake_lock, UINT64_MAX, UINT64_MAX, UINT64_MAX);
    CHECK(alternate.work.nominal_ns == UINT64_MAX);
    gp_chase_init(&chase, "", UINT64_MAX, UINT64_MAX);
    CHECK(chase.work.nominal_ns == UINT64_MAX);
    gp_grain_init(&grain, &fake_lock, UINT64_MAX, 1);
    CHECK(grain.work.nominal_ns == UINT64_MAX);
}

int main(void)
{
    struct sigaction action = {.sa_flags = 0};
    action.sa_handler = handle;
    sigaction(SIGINT, &action, NULL);
    spin_depends_on_its_iterations_alone();
    an_interrupted_step_stops_and_the_next_goes_on();
    stream_sums_every_byte_and_no_other();
    a_chain_is_one_cycle_through_all_nodes();
    a_seed_names_a_chain();
    a_chase_names_the_first_index_out_of_range();
    a_chase_never_leaves_a_buffer_that_turns_bad_meanwhile();
    sleep_lasts_its_time_even_when_interrupted();
    alternate_lets_go_and_takes_back_once_a_cycle();
    alternate_without_a_lock_holds_all_the_time();
    an_interrupted_alternate_has_its_lock_and_finishes_its_phase();
    cycle_lets_go_and_takes_back_as_often_as_told();
    an_interrupted_cycle_has_its_lock_and_goes_on();
    grains_do_what_spin_does_and_let_go_for_each();
    an_interrupted_grain_has_its_lock_and_is_finished();
    kernels_share_nothing_between_threads();
    the_guess_of_a_huge_piece_of_work_does_not_wrap();
    return gp_test_status();
}
