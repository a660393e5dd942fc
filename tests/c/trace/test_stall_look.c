#include "trace/gp_stall_look.h"

#include <string.h>

#include "gp_test.h"

enum { THREADS = 12 };

/* Threads and a GIL, whose steps come as they are read from its stream. */
static gp_gil_state gil;
static gp_thread threads[THREADS];
static gp_thread *const holder = &threads[0], *const waiter = &threads[1], *const third = &threads[2];
static const gp_stall_look_hold none;

static void begin(void)
{
    memset(&gil, 0, sizeof gil);
    memset(threads, 0, sizeof threads);
    for (int i = 0; i < THREADS; i++)
        threads[i].native_id = 11 + i;
    holder->label = 3;
    gp_thread_write_name(holder, (char[16]){"holder"});
    gp_thread_write_name(waiter, (char[16]){"waiter"});
}

static void take(gp_thread *thread, uint64_t now)
{
    gp_gil_state_take(&gil, thread, GP_ASKED_AT_ONCE, now);
}

static void drop(gp_thread *thread, uint64_t now)
{
    gp_gil_state_release(&gil, thread, GP_ROW_NONE, false, (gp_cpu_span){0}, now);
}

static void wait(gp_thread *thread, uint64_t asked)
{
    gp_gil_state_ask(&gil, thread, asked);
}

static bool seen(uint64_t limit, uint64_t now, gp_stall_look *stall)
{
    return gp_stall_look_take(&gil, &none, limit, now, stall);
}

static void a_hold_is_seen_once_somebody_has_waited_for_long(void)
{
    gp_stall_look stall;
    begin();
    CHECK(!seen(10, 1000, &stall)); /* nobody has it */
    take(holder, 100);
    CHECK(!seen(10, 1000, &stall)); /* nobody waits for it */
    wait(waiter, 1000);
    CHECK(!seen(10, 999, &stall));  /* by a clock that is behind */
    CHECK(!seen(10, 1009, &stall)); /* not for long */
    CHECK(seen(10, 1010, &stall));
    CHECK(stall.hold.thread == holder);
    CHECK_EQUAL(stall.hold.since, 100);
    CHECK_EQUAL(stall.holder.native_id, 11);
    CHECK_EQUAL(stall.holder.label, 3);
    CHECK(strcmp(stall.holder.os_name, "holder") == 0);
    CHECK_EQUAL(stall.waiter_count, 1);
    CHECK_EQUAL(stall.waiters[0].native_id, 12);
    CHECK(strcmp(stall.waiters[0].os_name, "waiter") == 0);
    gp_stall_look_hold first = stall.hold;
    CHECK(!gp_stall_look_take(&gil, &first, 10, 2000, &stall)); /* once only */
    first.since--;
    CHECK(gp_stall_look_take(&gil, &first, 10, 2000, &stall)); /* another hold of the same thread */
    drop(holder, 2500);
    CHECK(!seen(10, 3000, &stall));
}

static void the_end_of_a_hold_is_known_until_its_thread_has_the_gil_again(void)
{
    gp_stall_look stall;
    uint64_t ended_at;
    begin();
    take(holder, 100);
    wait(waiter, 1000);
    CHECK(seen(10, 1010, &stall));
    const gp_stall_look_hold *hold = &stall.hold;
    CHECK_EQUAL(gp_stall_look_follow(&gil, hold, 2000, &ended_at), GP_STALL_LOOK_GOES_ON);
    CHECK_EQUAL(ended_at, 2000);
    drop(holder, 2500);
    CHECK_EQUAL(gp_stall_look_follow(&gil, hold, 3000, &ended_at), GP_STALL_LOOK_ENDED);
    CHECK_EQUAL(ended_at, 2500);
    take(waiter, 3000);
    CHECK_EQUAL(gp_stall_look_follow(&gil, hold, 3100, &ended_at), GP_STALL_LOOK_ENDED);
    CHECK_EQUAL(ended_at, 2500);
    drop(waiter, 3200);
    take(holder, 3300);
    CHECK_EQUAL(gp_stall_look_follow(&gil, hold, 4100, &ended_at), GP_STALL_LOOK_LONG_OVER);
    CHECK_EQUAL(ended_at, 4100);
}

/* A thread that waits when another one takes it makes the new hold contended from its start. */
static void who_waited_before_a_hold_waits_from_its_start(void)
{
    gp_stall_look stall;
    begin();
    take(waiter, 3000);
    wait(holder, 3200);
    wait(third, 3300);
    drop(waiter, 4000);
    take(holder, 4000);
    CHECK(!seen(10, 4009, &stall));
    CHECK(seen(10, 4010, &stall));
    CHECK_EQUAL(stall.hold.since, 4000);
    CHECK_EQUAL(stall.waiters[0].native_id, 13);
}

static void of_many_who_wait_the_first_are_told_and_all_are_counted(void)
{
    gp_stall_look stall;
    begin();
    take(holder, 100);
    for (int i = 1; i < THREADS; i++)
        wait(&threads[i], 200 + (uint64_t)i);
    CHECK(seen(10, 1000, &stall));
    CHECK_EQUAL(stall.waiter_count, THREADS - 1);
    for (int i = 0; i < GP_STALL_LOOK_WAITERS; i++)
        for (int k = 0; k < i; k++)
            CHECK(stall.waiters[i].native_id > 11 &&
                  stall.waiters[i].native_id != stall.waiters[k].native_id);
}

int main(void)
{
    a_hold_is_seen_once_somebody_has_waited_for_long();
    the_end_of_a_hold_is_known_until_its_thread_has_the_gil_again();
    who_waited_before_a_hold_waits_from_its_start();
    of_many_who_wait_the_first_are_told_and_all_are_counted();
    return gp_test_status();
}
