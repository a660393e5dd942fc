#include "trace/gp_stall_look.h"

#include <string.h>

#include "gp_test.h"

/* Two threads and a GIL, driven as the hooks do. */
static gp_gil_state gil;
static gp_thread holder = {.generation = 1, .native_id = 11, .label = 3};
static gp_thread waiter = {.generation = 1, .native_id = 12};
static const gp_call_stack nowhere;

static void take(gp_thread *thread, uint64_t now)
{
    gp_gil_state_lock(thread, GP_ASKED_AT_ONCE, false);
    gp_gil_state_acquire(&gil, thread);
    gp_gil_state_take(&gil, thread, now);
}

static void drop(gp_thread *thread, uint64_t now)
{
    gp_gil_state_lock(thread, GP_ASKED_AT_ONCE, false);
    gp_gil_state_drop(&gil, thread, false, &nowhere, now);
}

static void wait(gp_thread *thread, uint64_t now)
{
    gp_gil_state_lock(thread, GP_ASKED_AT_ONCE, false);
    gp_gil_state_wait(&gil, thread, now);
}

static bool seen(uint64_t limit, uint64_t now, gp_stall_look *stall)
{
    static const gp_stall_look_hold none;
    return gp_stall_look_take(&gil, &none, limit, now, stall);
}

int main(void)
{
    gp_thread_write_name(&holder, (char[16]){"holder"});
    gp_thread_write_name(&waiter, (char[16]){"waiter"});
    gp_stall_look stall;
    uint64_t ended_at;
    CHECK(!seen(10, 1000, &stall)); /* nobody has it */
    take(&holder, 100);
    CHECK(!seen(10, 1000, &stall)); /* nobody waits for it */
    wait(&waiter, 1000);
    CHECK(!seen(10, 1009, &stall)); /* not for long */
    CHECK(seen(10, 1010, &stall));
    CHECK_EQUAL(stall.hold.since, 100);
    CHECK_EQUAL(stall.holder.native_id, 11);
    CHECK_EQUAL(stall.holder.label, 3);
    CHECK(strcmp(stall.holder.os_name, "holder") == 0);
    CHECK_EQUAL(stall.waiter_count, 1);
    CHECK_EQUAL(stall.waiters[0].native_id, 12);
    gp_stall_look_hold first = stall.hold;
    CHECK(!gp_stall_look_take(&gil, &first, 10, 2000, &stall)); /* once only */
    CHECK_EQUAL(gp_stall_look_follow(&gil, &first, 2000, &ended_at), GP_STALL_LOOK_GOES_ON);

    drop(&holder, 2500);
    CHECK(!seen(10, 3000, &stall));
    CHECK_EQUAL(gp_stall_look_follow(&gil, &first, 3000, &ended_at), GP_STALL_LOOK_ENDED);
    CHECK_EQUAL(ended_at, 2500);
    take(&waiter, 3000);
    CHECK_EQUAL(gp_stall_look_follow(&gil, &first, 3100, &ended_at), GP_STALL_LOOK_ENDED);
    CHECK_EQUAL(ended_at, 2500);

    /* a thread that waits when another one takes it makes a new hold contended from its start */
    wait(&holder, 3200);
    gp_thread third = {.generation = 1, .native_id = 13};
    wait(&third, 3300);
    drop(&waiter, 4000);
    take(&holder, 4000);
    CHECK(!seen(10, 4009, &stall));
    CHECK(seen(10, 4010, &stall));
    CHECK_EQUAL(stall.hold.since, 4000);
    CHECK_EQUAL(stall.waiters[0].native_id, 13);
    CHECK_EQUAL(gp_stall_look_follow(&gil, &first, 4100, &ended_at), GP_STALL_LOOK_LONG_OVER);
    CHECK_EQUAL(ended_at, 4100);
    return gp_test_status();
}
