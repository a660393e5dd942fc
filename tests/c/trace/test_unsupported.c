/* What stands for the tracer, the native threads and the unwinder where they can't work. Linked in their
 * place, so that every platform tests it. */
#include "base/gp_helper.h"
#include "base/gp_sampler.h"
#include "gp_test.h"
#include "hooks/gp_unwind.h"
#include "locks/gp_lock_trace.h"
#include "recording/gp_guard.h"
#include "trace/gp_tracer.h"
#include "trace/gp_watchdog.h"

static void test_tracer(void)
{
    const char *learn_reason = NULL, *start_reason = NULL;
    gp_tracer_wishes wishes = {.sites = true};
    gp_session *session = (gp_session *)&wishes;
    CHECK_EQUAL(gp_tracer_learn(NULL, &learn_reason), GP_EUNSUPPORTED);
    CHECK(learn_reason != NULL);
    CHECK_EQUAL(gp_tracer_start(NULL, &wishes, &session, &start_reason), GP_EUNSUPPORTED);
    CHECK(start_reason == learn_reason);
    CHECK(session == NULL);
    CHECK_EQUAL(gp_tracer_sessions(), 0);
}

static void test_tracer_of_locks(void)
{
    const char *reason = NULL;
    gp_lock_session *session = (gp_lock_session *)&reason;
    CHECK_EQUAL(gp_lock_start(&session, &(gp_lock_wishes){0}, &reason), GP_EUNSUPPORTED);
    CHECK(reason != NULL && session == NULL);
    CHECK_EQUAL(gp_lock_sessions(), 0);
}

static void test_begins_nothing(void)
{
    gp_recorder *recorder = NULL;
    gp_watchdog *watchdog = NULL;
    gp_sampler *sampler = NULL;
    int error = 0;
    CHECK_EQUAL(gp_recorder_open("recording", 0, &recorder, &error), GP_EUNSUPPORTED);
    CHECK_EQUAL(gp_watchdog_start(1, 2, NULL, NULL, 0, &watchdog, &error), GP_EUNSUPPORTED);
    CHECK_EQUAL(gp_sampler_start(NULL, NULL, 0, 1000, 0, &sampler, &error), GP_EUNSUPPORTED);
    CHECK(recorder == NULL && watchdog == NULL && sampler == NULL && error == 0);
    CHECK(!gp_guard_begin(NULL));
    CHECK(!gp_helpers_pause() && !gp_helpers_are_paused());
}

static void test_unwinder(void)
{
    gp_unwind_tables tables = {0};
    CHECK_EQUAL(gp_unwind_find(&tables, &tables), GP_EUNSUPPORTED);
    gp_unwind_frame frame = gp_unwind_begin(&tables, __builtin_frame_address(0));
    CHECK_EQUAL(frame.start, 0);
    CHECK(!gp_unwind_step(&tables, &frame));
}

int main(void)
{
    test_tracer();
    test_tracer_of_locks();
    test_begins_nothing();
    test_unwinder();
    return gp_test_status();
}
