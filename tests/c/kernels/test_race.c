#include "kernels/gp_race.h"

#include <pthread.h>
#include <signal.h>

#include "gp_test.h"

enum { TIMES = 300000, THREADS = 2 };

static void handle(int number)
{
    (void)number;
}

static void bump(gp_race *race, size_t slot, uint64_t times, bool atomic)
{
    gp_interrupt_watch watch;
    gp_bump work;
    gp_interrupt_begin(&watch, 0, true);
    gp_bump_init(&work, race, slot, times, atomic);
    CHECK(gp_work_step(&work.work, &watch));
    gp_interrupt_end(&watch);
}

static gp_race *new_race_of(size_t slots, bool padded)
{
    gp_race *race = NULL;
    CHECK_EQUAL(gp_race_new(slots, padded, &race), GP_OK);
    CHECK_EQUAL(gp_race_slots(race), slots);
    return race;
}

static gp_race *new_race(size_t slots)
{
    return new_race_of(slots, true);
}

static void one_thread_loses_nothing(void)
{
    gp_race *race = new_race(1);
    CHECK_EQUAL(gp_race_value(race, 0), 0);
    bump(race, 0, TIMES, false);
    CHECK_EQUAL(gp_race_value(race, 0), TIMES);
    bump(race, 0, TIMES + 1, true);
    CHECK_EQUAL(gp_race_value(race, 0), 2 * TIMES + 1);
    bump(race, 0, 0, false);
    CHECK_EQUAL(gp_race_value(race, 0), 2 * TIMES + 1);
    gp_race_free(race);
}

static void slots_count_apart(bool padded)
{
    gp_race *race = new_race_of(1000, padded);
    for (size_t slot = 0; slot < 1000; slot++)
        bump(race, slot, slot, slot % 2 == 0);
    for (size_t slot = 0; slot < 1000; slot++)
        CHECK_EQUAL(gp_race_value(race, slot), slot);
    gp_race_free(race);
}

typedef struct {
    pthread_t thread;
    gp_race *race;
    size_t slot;
    bool atomic;
} racer;

static void *run(void *argument)
{
    const racer *self = argument;
    bump(self->race, self->slot, TIMES, self->atomic);
    return NULL;
}

/* Thread i on slot i % slots. */
static void run_racers(gp_race *race, size_t slots, bool atomic)
{
    racer racers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        racers[i] = (racer){.race = race, .slot = i % slots, .atomic = atomic};
        CHECK_EQUAL(pthread_create(&racers[i].thread, NULL, run, &racers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(racers[i].thread, NULL);
}

static void atomic_racers_lose_nothing(void)
{
    gp_race *race = new_race(1);
    run_racers(race, 1, true);
    CHECK_EQUAL(gp_race_value(race, 0), THREADS * TIMES);
    gp_race_free(race);
}

static void racers_on_slots_of_their_own_lose_nothing(bool padded)
{
    gp_race *race = new_race_of(THREADS, padded);
    run_racers(race, THREADS, false);
    for (size_t slot = 0; slot < THREADS; slot++)
        CHECK_EQUAL(gp_race_value(race, slot), TIMES);
    gp_race_free(race);
}

/* Whether one is lost is chance: that none is invented holds always, and that TSan sees no data race. */
static void plain_racers_count_no_more_than_there_was(void)
{
    gp_race *race = new_race(1);
    run_racers(race, 1, false);
    CHECK(gp_race_value(race, 0) <= THREADS * TIMES);
    CHECK(gp_race_value(race, 0) > 0);
    gp_race_free(race);
}

static void an_interrupted_bump_goes_on(void)
{
    gp_race *race = new_race(1);
    gp_interrupt_watch watch;
    gp_bump work;
    gp_interrupt_begin(&watch, UINT64_MAX, true);
    raise(SIGINT);
    gp_bump_init(&work, race, 0, TIMES, false);
    CHECK(!gp_work_step(&work.work, &watch));
    CHECK_EQUAL(gp_race_value(race, 0) + work.left, TIMES);
    gp_interrupt_rearm(&watch);
    CHECK(gp_work_step(&work.work, &watch));
    CHECK_EQUAL(gp_race_value(race, 0), TIMES);
    gp_interrupt_end(&watch);
    gp_race_free(race);
}

static void what_can_not_be_made_is_refused(void)
{
    gp_race *race = NULL;
    CHECK_EQUAL(gp_race_new(0, true, &race), GP_EINVAL);
    CHECK_EQUAL(gp_race_new(SIZE_MAX / 2, true, &race), GP_EINVAL);
    CHECK_EQUAL(gp_race_new(SIZE_MAX / 256, true, &race), GP_ENOMEM);
    CHECK_EQUAL(gp_race_new(SIZE_MAX / 8, false, &race), GP_EINVAL);
    CHECK_EQUAL(gp_race_new(SIZE_MAX / 16, false, &race), GP_ENOMEM);
    CHECK(race == NULL);
    gp_race_free(NULL);
}

int main(void)
{
    struct sigaction action = {.sa_flags = 0};
    action.sa_handler = handle;
    sigaction(SIGINT, &action, NULL);
    one_thread_loses_nothing();
    slots_count_apart(true);
    slots_count_apart(false);
    atomic_racers_lose_nothing();
    racers_on_slots_of_their_own_lose_nothing(true);
    racers_on_slots_of_their_own_lose_nothing(false);
    plain_racers_count_no_more_than_there_was();
    an_interrupted_bump_goes_on();
    what_can_not_be_made_is_refused();
    return gp_test_status();
}
