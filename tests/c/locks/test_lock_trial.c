/* What the trial of locks finds out, on a stand-in for the interpreter's locks. */

#include "locks/gp_lock_state.h"

#include "gp_test.h"
#include "parking_object.h"

static uint8_t lock;
static uint32_t told_phase;

static void *new_lock(void)
{
    return &lock;
}

static void free_lock(void *of)
{
    (void)of;
}

static uint32_t spin_phase(void)
{
    return told_phase;
}

static gp_lock_rhythm rhythm_of(parking_manner manner)
{
    const char *reason = "";
    parking_use(manner);
    CHECK_EQUAL(gp_lock_trial_run(&reason), GP_OK);
    CHECK_EQUAL(lock, 0);
    return gp_lock_spins();
}

static void who_looks_only_at_the_end_is_found(void)
{
    gp_lock_rhythm found = rhythm_of((parking_manner){.spins = 40});
    CHECK_EQUAL(found.every, 0);
    CHECK_EQUAL(found.all, 40);
}

static void who_looks_meanwhile_is_found_in_each_phase(void)
{
    for (told_phase = 100; told_phase < 104; told_phase++) {
        gp_lock_rhythm found = rhythm_of((parking_manner){40, 4, told_phase});
        CHECK_EQUAL(found.every, 4);
        CHECK_EQUAL(found.all, 40);
    }
}

static void who_has_another_phase_counts_as_looking_always(void)
{
    told_phase = 101;
    gp_lock_rhythm found = rhythm_of((parking_manner){40, 4, 103});
    CHECK_EQUAL(found.every, 1);
    CHECK_EQUAL(found.all, 40);
}

static void who_does_not_spin_has_no_rhythm(void)
{
    gp_lock_rhythm found = rhythm_of((parking_manner){.spins = 0});
    CHECK_EQUAL(found.every, 0);
    CHECK_EQUAL(found.all, 0);
}

int main(void)
{
    gp_lock_host host = {.interpreter = (const void *)parking_lock,
                         .parks = true,
                         .spin_phase = spin_phase,
                         .new_lock = new_lock,
                         .acquire = parking_lock,
                         .release = parking_unlock,
                         .free_lock = free_lock};
    gp_clock_init();
    gp_lock_prepare(&host);
    CHECK(gp_lock_state.prepared);
    who_looks_only_at_the_end_is_found();
    who_looks_meanwhile_is_found_in_each_phase();
    who_has_another_phase_counts_as_looking_always();
    who_does_not_spin_has_no_rhythm();
    return gp_test_status();
}
