/* CPU times of threads that wait for locks. */

#include "locks/gp_lock_cpu.h"

#include <string.h>

#include "base/gp_clock.h"
#include "locks/gp_lock_state.h"

#include "gp_test.h"

enum { SPENT = 700 };

static gp_lock_account accounts[2];

/* The thread ends while its clock is looked for, which is then gone. */
static uint64_t end_thread(int64_t native_id)
{
    CHECK_EQUAL(native_id, accounts[1].native_id);
    accounts[1].cpu_ns = SPENT;
    accounts[1].ended = true;
    return 0;
}

#define gp_clock_cpu_ns_of(native_id) end_thread(native_id)
#include "locks/gp_lock_cpu.c"

static void a_thread_that_ends_meanwhile_has_its_cpu_time(void)
{
    gp_lock_session session = {.start = 1};
    gp_buffer written = {.size = 0}, expected = {.size = 0};
    accounts[1].native_id = 5;
    gp_lock_state.accounts = accounts;
    gp_lock_state.account_count = 1;
    gp_lock_cpu_write(&session, &written);
    gp_buffer_number(&expected, 1);
    write_row(1, 5, SPENT, 0, &expected);
    CHECK_EQUAL(written.size, expected.size);
    CHECK(memcmp(written.bytes, expected.bytes, expected.size) == 0);
    gp_buffer_free(&written);
    gp_buffer_free(&expected);
}

int main(void)
{
    a_thread_that_ends_meanwhile_has_its_cpu_time();
    return gp_test_status();
}
