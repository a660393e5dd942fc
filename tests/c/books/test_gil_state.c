/* The state of a GIL, case by case; test_gil_state_twin.c has the random schedules. */

#include "books/gp_gil_state.h"

#include <string.h>

#include "gp_test.h"

enum { THREADS = 4 };

static gp_gil_state gil;
static gp_thread threads[THREADS];
static gp_thread *const table[THREADS] = {&threads[0], &threads[1], &threads[2], &threads[3]};
static gp_thread *const main_thread = &threads[0], *const other = &threads[1], *const third = &threads[2];
static uint64_t last_id;
static const gp_call_stack nowhere = {NULL, 0, false};

static gp_session *start(uint64_t now)
{
    gp_session *session = gp_session_new(++last_id, now);
    gp_gil_state_start(&gil, session, main_thread);
    return session;
}

static void stop(gp_session *session, uint64_t now)
{
    gp_gil_state_stop(&gil, session, table, THREADS, &nowhere, now);
}

/* A GIL that is watched from 1000 on, its threads known: the main thread has the GIL. */
static gp_session *begin(void)
{
    memset(&gil, 0, sizeof gil);
    memset(threads, 0, sizeof threads);
    gil.generation = 1;
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].index = i;
        gp_gil_state_adopt(&gil, &threads[i], 0);
    }
    return start(1000);
}

static void drop(gp_thread *thread, bool forced, uint64_t now)
{
    gp_gil_state_lock(thread, GP_ASKED_AT_ONCE, false);
    gp_gil_state_drop(&gil, thread, forced, &nowhere, now);
}

/* Both halves of getting the GIL, at one time. */
static void get(gp_thread *thread, uint64_t now)
{
    gp_gil_state_acquire(&gil, thread);
    gp_gil_state_take(&gil, thread, now);
}

static void take(gp_thread *thread, uint64_t now)
{
    gp_gil_state_lock(thread, GP_ASKED_AT_ONCE, false);
    get(thread, now);
}

static void wait_for(gp_thread *thread, uint64_t now)
{
    gp_gil_state_lock(thread, GP_ASKED_AT_ONCE, false);
    gp_gil_state_wait(&gil, thread, now);
}

/* Get the GIL after gp_gil_state_wait. */
static void take_waited(gp_thread *thread, uint64_t now)
{
    get(thread, now);
}

static const gp_account *account(gp_session *session, gp_thread *thread)
{
    return gp_account_of(session, thread);
}

static void check_whole(const gp_account *is)
{
    CHECK_EQUAL(is->hold + is->wait + is->off, is->last - is->first);
}

static void check_times(gp_session *session, gp_thread *thread, uint64_t hold, uint64_t wait, uint64_t off)
{
    const gp_account *is = account(session, thread);
    CHECK_EQUAL(is->hold, hold);
    CHECK_EQUAL(is->wait, wait);
    CHECK_EQUAL(is->off, off);
    check_whole(is);
}

static void an_uncontended_thread_holds_and_is_off(void)
{
    gp_session *session = begin();
    drop(main_thread, false, 1100);
    take(main_thread, 1130);
    drop(main_thread, false, 1135);
    take(main_thread, 1200);
    stop(session, 1250);
    const gp_account *is = account(session, main_thread);
    check_times(session, main_thread, 100 + 5 + 50, 0, 30 + 65);
    CHECK_EQUAL(is->longest_hold, 100);
    CHECK_EQUAL(is->acquisitions, 2);
    CHECK_EQUAL(is->contended_acquisitions, 0);
    CHECK_EQUAL(is->releases, 2);
    CHECK_EQUAL(is->forced_releases, 0);
    CHECK_EQUAL(gp_hist_count(&is->holds), 3);
    CHECK_EQUAL(session->contended, 0);
    CHECK_EQUAL(session->handoffs, 0);
    gp_session_free(session);
}

static void a_contended_thread_waits_from_its_request_on(void)
{
    gp_session *session = begin();
    wait_for(other, 1050);
    gp_gil_state_wait(&gil, other, 1055); /* once round the interpreter's loop */
    drop(main_thread, false, 1100);
    take_waited(other, 1110);
    stop(session, 1200);
    check_times(session, main_thread, 100, 0, 100);
    check_times(session, other, 90, 60, 50);
    CHECK_EQUAL(account(session, other)->longest_wait, 60);
    CHECK_EQUAL(account(session, other)->contended_acquisitions, 1);
    CHECK_EQUAL(gp_hist_count(&account(session, other)->waits), 1);
    CHECK_EQUAL(session->contended, 50);
    CHECK_EQUAL(session->handoffs, 1);
    gp_session_free(session);
}

static void a_forced_release_is_wait_until_the_thread_is_back(void)
{
    gp_session *session = begin();
    wait_for(other, 1020);
    drop(main_thread, true, 1100);
    take_waited(other, 1110);
    wait_for(main_thread, 1120);
    drop(other, false, 1200);
    take_waited(main_thread, 1210);
    stop(session, 1250);
    check_times(session, main_thread, 100 + 40, 110, 0);
    check_times(session, other, 90, 90, 20 + 50);
    CHECK_EQUAL(account(session, main_thread)->forced_releases, 1);
    CHECK_EQUAL(account(session, main_thread)->longest_wait, 110);
    CHECK_EQUAL(gp_hist_count(&account(session, main_thread)->waits), 1);
    CHECK_EQUAL(session->contended, 80 + 90); /* the main thread wants it back at once */
    CHECK_EQUAL(session->handoffs, 2);
    gp_session_free(session);
}

static void getting_a_free_gil_is_a_wait_of_its_own_length_if_stamped_and_of_none_if_not(void)
{
    gp_session *session = begin();
    drop(main_thread, false, 1010);
    take(main_thread, 1020);
    drop(main_thread, false, 1030);
    gp_gil_state_lock(main_thread, 1100, false);
    get(main_thread, 1107);
    stop(session, 1200);
    check_times(session, main_thread, 10 + 10 + 93, 7, 10 + 70);
    CHECK_EQUAL(account(session, main_thread)->acquisitions, 2);
    CHECK_EQUAL(account(session, main_thread)->contended_acquisitions, 0);
    CHECK_EQUAL(gp_hist_count(&account(session, main_thread)->waits), 2);
    CHECK(account(session, main_thread)->waits.counts[0] >= 1);
    CHECK_EQUAL(session->handoffs, 0);
    gp_session_free(session);
}

static void a_thread_first_seen_inside_a_wait_has_waited_all_along(void)
{
    gp_session *session = begin();
    gp_gil_state_wait(&gil, other, 1050); /* its lock(mutex) came before the first hook */
    drop(main_thread, false, 1100);
    take_waited(other, 1110);
    gp_gil_state_lock(other, GP_ASKED_AT_ONCE, false);
    gp_gil_state_drop(&gil, other, false, &nowhere, 1120);
    take_waited(third, 1130); /* and this one's wait ended before it came round */
    stop(session, 1200);
    check_times(session, other, 10, 110, 80);
    check_times(session, third, 70, 130, 0);
    CHECK_EQUAL(account(session, third)->contended_acquisitions, 1);
    CHECK_EQUAL(session->contended, 100);
    CHECK_EQUAL(session->handoffs, 2);
    gp_session_free(session);
}

static void a_thread_born_meanwhile_counts_from_its_birth(void)
{
    gp_session *session = begin();
    gp_gil_state_adopt(&gil, other, 1040);
    wait_for(other, 1050);
    stop(session, 1100);
    CHECK_EQUAL(account(session, other)->first, 1040);
    check_times(session, other, 0, 50, 10);
    gp_session_free(session);
}

static void a_thread_born_inside_a_wait_has_waited_since_its_birth(void)
{
    gp_session *session = begin();
    gp_gil_state_adopt(&gil, other, 1040);
    gp_gil_state_wait(&gil, other, 1050);
    drop(main_thread, false, 1100);
    take_waited(other, 1110);
    gp_gil_state_adopt(&gil, third, 1120);
    stop(session, 1200);
    check_times(session, other, 90, 70, 0);
    check_times(session, third, 0, 0, 80);
    CHECK_EQUAL(session->contended, 60);
    gp_session_free(session);
}

static void blocking_on_the_mutex_is_part_of_the_wait(void)
{
    gp_session *session = begin();
    drop(main_thread, false, 1100);
    gp_gil_state_lock(other, 1090, true);
    take_waited(other, 1120); /* free by the time it had the mutex */
    gp_gil_state_lock(main_thread, 1130, true);
    gp_gil_state_wait(&gil, main_thread, 1145);
    stop(session, 1200);
    check_times(session, other, 80, 30, 90);
    check_times(session, main_thread, 100, 70, 30);
    CHECK_EQUAL(account(session, other)->contended_acquisitions, 1);
    CHECK_EQUAL(session->handoffs, 1);
    CHECK_EQUAL(session->contended, 70);
    gp_session_free(session);
}

static void blocking_on_the_mutex_is_no_part_of_the_hold(void)
{
    gp_session *session = begin();
    wait_for(other, 1050);
    gp_gil_state_lock(main_thread, 1080, true);
    gp_gil_state_drop(&gil, main_thread, false, &nowhere, 1100);
    take_waited(other, 1110);
    stop(session, 1200);
    check_times(session, main_thread, 80, 0, 120);
    check_times(session, other, 90, 60, 50);
    CHECK_EQUAL(session->contended, 30);
    gp_session_free(session);
}

static void contention_counts_from_whoever_asked_first(void)
{
    gp_session *session = begin();
    gp_gil_state_lock(third, GP_ASKED_AT_ONCE, false);
    gp_gil_state_wait(&gil, third, 1050);
    gp_gil_state_lock(other, 1030, true); /* asked earlier, got the mutex later */
    gp_gil_state_wait(&gil, other, 1060);
    drop(main_thread, false, 1100);
    CHECK_EQUAL(session->contended, 70);
    CHECK_EQUAL(gp_gil_state_contended(session, 1150), 70);
    take_waited(other, 1150);
    CHECK_EQUAL(gp_gil_state_contended(session, 1180), 70 + 30);
    stop(session, 1200);
    CHECK_EQUAL(session->contended, 70 + 50);
    CHECK_EQUAL(gp_gil_state_contended(session, 5000), 70 + 50);
    gp_session_free(session);
}

static void a_holder_never_seen_to_take_holds_since_the_last_release(void)
{
    gp_session *session = begin();
    drop(main_thread, false, 1100);
    drop(other, false, 1150);
    stop(session, 1200);
    check_times(session, other, 50, 0, 150);
    gp_session_free(session);
}

static void every_session_keeps_what_comes_after_its_own_start(void)
{
    gp_session *outer = begin();
    drop(main_thread, false, 1100);
    take(main_thread, 1150);
    gp_session *inner = start(1200);
    wait_for(other, 1240);
    gp_session *late = start(1250);
    stop(outer, 1300);
    drop(main_thread, false, 1310);
    take_waited(other, 1320);
    stop(inner, 1350);
    stop(late, 1360);
    check_times(outer, main_thread, 100 + 150, 0, 50);
    check_times(outer, other, 0, 60, 240);
    check_times(inner, main_thread, 110, 0, 40);
    check_times(inner, other, 30, 80, 40);
    check_times(late, main_thread, 60, 0, 50);
    check_times(late, other, 40, 70, 0);
    CHECK_EQUAL(account(outer, main_thread)->longest_hold, 150);
    CHECK_EQUAL(account(inner, main_thread)->longest_hold, 110);
    CHECK_EQUAL(account(late, main_thread)->longest_hold, 60);
    CHECK_EQUAL(account(inner, other)->longest_wait, 80);
    CHECK_EQUAL(account(late, other)->longest_wait, 70);
    CHECK_EQUAL(outer->contended, 60);
    CHECK_EQUAL(inner->contended, 70);
    CHECK_EQUAL(late->contended, 60);
    CHECK_EQUAL(outer->handoffs, 0);
    CHECK_EQUAL(inner->handoffs, 1);
    CHECK(!gp_gil_state_running(&gil));
    gp_session_free(outer);
    gp_session_free(inner);
    gp_session_free(late);
}

static void check_copy(gp_session *session, gp_thread *thread, uint64_t now)
{
    static gp_account before, seen, after;
    gp_account *is = gp_account_of(session, thread);
    before = *is;
    gp_gil_state_copy_account(session, is, now, &seen);
    after = *is;
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    CHECK_EQUAL(seen.last, now);
    check_whole(&seen);
}

static void a_look_in_any_state_is_whole_and_changes_nothing(void)
{
    gp_session *session = begin();
    for (uint64_t now = 1001; now < 1010; now++)
        check_copy(session, main_thread, now); /* holds */
    wait_for(other, 1050);
    check_copy(session, other, 1060); /* waits */
    check_copy(session, third, 1060); /* never heard of since */
    drop(main_thread, false, 1100);
    check_copy(session, main_thread, 1101); /* off */
    take_waited(other, 1110);
    check_copy(session, main_thread, 1120); /* off again */
    drop(other, true, 1130);
    check_copy(session, other, 1135); /* forced out */
    stop(session, 1140);
    gp_account copy;
    gp_gil_state_copy_account(session, account(session, other), 9999, &copy);
    CHECK(memcmp(&copy, account(session, other), sizeof copy) == 0);
    gp_session_free(session);
}

static void end(gp_thread *thread, uint64_t now)
{
    gp_thread_exit(thread, now);
}

static void an_exited_thread_counts_until_its_end(void)
{
    gp_session *session = begin();
    drop(main_thread, false, 1010);
    take(other, 1020);
    drop(other, false, 1030);
    end(other, 1050);
    take(main_thread, 1060);
    gp_session *later = start(1100);
    stop(session, 1200);
    stop(later, 1300);
    check_times(session, other, 10, 0, 40);
    CHECK_EQUAL(account(session, other)->last, 1050);
    CHECK_EQUAL(later->account_count, 3); /* it was gone */
    gp_session_free(session);
    gp_session_free(later);
}

/* CPython drops the GIL after the thread's destructors have run. */
static void a_thread_that_goes_on_after_its_end_is_still_whole(void)
{
    gp_session *session = begin();
    drop(main_thread, false, 1010);
    take(other, 1020);
    end(other, 1030);
    check_copy(session, main_thread, 1035);
    drop(other, false, 1040);
    stop(session, 1100);
    CHECK_EQUAL(account(session, other)->last, 1040);
    check_times(session, other, 20, 0, 20);
    gp_session_free(session);
}

static void a_forked_child_keeps_only_the_thread_that_forked(void)
{
    gp_session *session = begin();
    wait_for(other, 1040);
    gp_gil_state_forked(&gil, main_thread, table, THREADS, 1100);
    CHECK_EQUAL(session->contended, 60);
    get(main_thread, 1110); /* the new GIL, over the old one */
    drop(main_thread, false, 1150);
    take(main_thread, 1160);
    stop(session, 1200);
    check_times(session, main_thread, 190, 0, 10);
    CHECK_EQUAL(account(session, other)->last, 1100);
    check_times(session, other, 0, 60, 40);
    CHECK_EQUAL(session->contended, 60); /* nobody is left to want it */
    gp_session_free(session);
}

static void a_child_forked_by_a_thread_without_the_gil_has_no_holder(void)
{
    gp_session *session = begin();
    take(main_thread, 1010);
    gp_gil_state_forked(&gil, other, table, THREADS, 1100);
    CHECK(gil.holder == NULL);
    wait_for(other, 1110); /* what the holder left behind is taken: for ever, as in any such child */
    stop(session, 1200);
    CHECK_EQUAL(session->contended, 0);
    check_times(session, main_thread, 100, 0, 0);
    check_times(session, other, 0, 90, 110);
    gp_session_free(session);
}

static void a_first_session_forgets_what_came_before(void)
{
    gp_session *session = begin();
    wait_for(other, 1050);
    stop(session, 1100);
    gp_session_free(session);
    gil.generation++;
    gp_gil_state_adopt(&gil, main_thread, 0);
    session = start(2000);
    drop(main_thread, false, 2100);
    take(main_thread, 2110);
    stop(session, 2200);
    CHECK_EQUAL(session->contended, 0);
    CHECK_EQUAL(session->account_count, 1);
    check_times(session, main_thread, 190, 0, 10);
    gp_session_free(session);
}

/* CPU time is in nanoseconds and the thread's own; the session began in a hold at 500. */
static void the_cpu_time_of_holds_is_booked_for_sessions_that_want_it(void)
{
    gp_session *plain = begin();
    gp_session *session = gp_session_new(++last_id, 1000);
    gp_account copy;
    session->wants_cpu = true;
    session->starter = main_thread;
    session->starter_cpu = 500;
    gp_gil_state_start(&gil, session, main_thread);
    CHECK_EQUAL(gil.wanting_cpu, 1);
    main_thread->cpu_since = 400; /* before the session */
    drop(main_thread, false, 1100);
    gp_gil_state_book_cpu(&gil, main_thread, 560);
    CHECK_EQUAL(account(session, main_thread)->hold_cpu, 60);
    take(main_thread, 1200);
    main_thread->cpu_since = 570;
    session->cpu_now = 600;
    gp_gil_state_copy_account(session, account(session, main_thread), 1300, &copy);
    CHECK_EQUAL(copy.hold_cpu, 60 + 30);
    CHECK_EQUAL(account(session, main_thread)->hold_cpu, 60);
    session->cpu_now = 650;
    stop(session, 1300);
    CHECK_EQUAL(account(session, main_thread)->hold_cpu, 60 + 80);
    CHECK_EQUAL(gil.wanting_cpu, 0);
    stop(plain, 1300);
    CHECK_EQUAL(account(plain, main_thread)->hold_cpu, 0);
    gp_session_free(session);
    gp_session_free(plain);
}

/* Its acquisition was not seen: nobody knows what it had used by then. */
static void a_hold_whose_beginning_was_not_seen_has_no_cpu_time(void)
{
    gp_session *session = begin();
    session->wants_cpu = true;
    gil.wanting_cpu = 1;
    drop(main_thread, false, 1100);
    gp_gil_state_book_cpu(&gil, main_thread, 560);
    CHECK_EQUAL(account(session, main_thread)->hold_cpu, 0);
    gp_session_free(session);
}

int main(void)
{
    the_cpu_time_of_holds_is_booked_for_sessions_that_want_it();
    a_hold_whose_beginning_was_not_seen_has_no_cpu_time();
    an_uncontended_thread_holds_and_is_off();
    a_contended_thread_waits_from_its_request_on();
    a_forced_release_is_wait_until_the_thread_is_back();
    getting_a_free_gil_is_a_wait_of_its_own_length_if_stamped_and_of_none_if_not();
    a_thread_first_seen_inside_a_wait_has_waited_all_along();
    a_thread_born_meanwhile_counts_from_its_birth();
    a_thread_born_inside_a_wait_has_waited_since_its_birth();
    blocking_on_the_mutex_is_part_of_the_wait();
    blocking_on_the_mutex_is_no_part_of_the_hold();
    contention_counts_from_whoever_asked_first();
    a_holder_never_seen_to_take_holds_since_the_last_release();
    every_session_keeps_what_comes_after_its_own_start();
    a_look_in_any_state_is_whole_and_changes_nothing();
    an_exited_thread_counts_until_its_end();
    a_thread_that_goes_on_after_its_end_is_still_whole();
    a_forked_child_keeps_only_the_thread_that_forked();
    a_child_forked_by_a_thread_without_the_gil_has_no_holder();
    a_first_session_forgets_what_came_before();
    return gp_test_status();
}
