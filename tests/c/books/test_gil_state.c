/* The state of a GIL, case by case, each fed with steps and by journals that a stream reads;
 * test_gil_state_twin.c has the random schedules. */

#include "books/gp_gil_state.h"

#include <string.h>

#include "gp_test.h"
#include "journals.h"

enum { THREADS = 4 };

static gp_gil_state gil;
static gp_thread threads[THREADS];
static gp_thread *const table[THREADS] = {&threads[0], &threads[1], &threads[2], &threads[3]};
static gp_thread *const main_thread = &threads[0], *const other = &threads[1], *const third = &threads[2];
static uint64_t last_id;
static bool by_journals; /* else by steps */

static void read_up_to(uint64_t now)
{
    if (by_journals)
        gp_gil_state_read(&gil, now);
}

static void begin_session(gp_session *session)
{
    read_up_to(session->start);
    gp_gil_state_start(&gil, session, main_thread);
}

static gp_session *start(uint64_t now)
{
    gp_session *session = gp_session_new(++last_id, now);
    begin_session(session);
    return session;
}

static void stop(gp_session *session, uint64_t now)
{
    read_up_to(now);
    gp_gil_state_stop(&gil, session, table, THREADS, GP_NO_FRAME, now);
}

static void adopt(gp_thread *thread, uint64_t born, bool holds)
{
    gp_gil_state_adopt(&gil, thread, born, holds);
    thread->journal.asking = GP_ASKED_UNSEEN;
}

/* A GIL that is watched from 1000 on, its threads known: the main thread has the GIL. */
static gp_session *begin(void)
{
    gp_stream_clear(&gil.stream);
    memset(&gil, 0, sizeof gil);
    memset(threads, 0, sizeof threads);
    gil.generation = 1;
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].index = i;
        adopt(&threads[i], 0, i == 0);
    }
    return start(1000);
}

static gp_session *begin_with_sites(void)
{
    gp_session *session = begin();
    session->wants_sites = true;
    gil.wanting_sites = 1;
    return session;
}

static void drop_after(gp_thread *thread, bool forced, gp_cpu_span cpu, uint64_t now)
{
    if (!by_journals) {
        gp_gil_state_release(&gil, thread, GP_NO_FRAME, forced, cpu, now);
        return;
    }
    atomic_store(&thread->journal.cpu_since, cpu.since);
    atomic_store(&thread->journal.cpu_until, cpu.until);
    journals_release(&gil, thread, GP_NO_FRAME, forced, now);
}

static void drop(gp_thread *thread, bool forced, uint64_t now)
{
    drop_after(thread, forced, (gp_cpu_span){0}, now);
}

/* It asks at this moment, and has to wait. */
static void wait_for(gp_thread *thread, uint64_t now)
{
    thread->journal.asking = now;
    if (by_journals)
        journals_ask(&gil, thread, now);
    else
        gp_gil_state_ask(&gil, thread, now);
}

/* Get the GIL, after wait_for or without a word. */
static void take_waited(gp_thread *thread, uint64_t now)
{
    if (by_journals)
        journals_take(&gil, thread, GP_NO_FRAME, now);
    else
        gp_gil_state_take(&gil, thread, thread->journal.asking, now);
}

static void take(gp_thread *thread, uint64_t now)
{
    journals_begin_to_take(thread);
    take_waited(thread, now);
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

static void check_copy(gp_session *session, gp_thread *thread, uint64_t now)
{
    static gp_account before, seen, after;
    read_up_to(now);
    gp_account *is = gp_account_of(session, thread);
    before = *is;
    seen = (gp_account){0};
    gp_gil_state_copy_account(session, is, now, &seen);
    after = *is;
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    CHECK_EQUAL(seen.last, now);
    check_whole(&seen);
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
    if (!by_journals)
        gp_gil_state_ask(&gil, other, 1055); /* who waits already waits on */
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

static void getting_a_free_gil_is_no_wait_and_no_handoff(void)
{
    gp_session *session = begin();
    drop(main_thread, false, 1010);
    take(main_thread, 1020);
    drop(main_thread, false, 1030);
    wait_for(main_thread, 1100); /* the mutex was taken, not the GIL */
    take_waited(main_thread, 1107);
    stop(session, 1200);
    check_times(session, main_thread, 10 + 10 + 93, 7, 10 + 70);
    CHECK_EQUAL(account(session, main_thread)->acquisitions, 2);
    CHECK_EQUAL(account(session, main_thread)->contended_acquisitions, 1);
    CHECK_EQUAL(gp_hist_count(&account(session, main_thread)->waits), 2);
    CHECK_EQUAL(account(session, main_thread)->waits.counts[0], 1);
    CHECK_EQUAL(session->handoffs, 0);
    CHECK_EQUAL(session->contended, 0);
    gp_session_free(session);
}

static void a_thread_first_seen_inside_a_wait_has_waited_all_along(void)
{
    gp_session *session = begin();
    wait_for(other, GP_ASKED_EARLIER); /* its lock(mutex) came before the first hook */
    read_up_to(1060);
    CHECK_EQUAL(gp_gil_state_contended(session, 1060), 60);
    check_copy(session, other, 1060);
    drop(main_thread, false, 1100);
    take_waited(other, 1110);
    drop(other, false, 1120);
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
    adopt(other, 1040, false);
    wait_for(other, 1050);
    stop(session, 1100);
    CHECK_EQUAL(account(session, other)->first, 1040);
    check_times(session, other, 0, 50, 10);
    gp_session_free(session);
}

static void a_thread_born_inside_a_wait_has_waited_since_its_birth(void)
{
    gp_session *session = begin();
    adopt(other, 1040, false);
    wait_for(other, GP_ASKED_EARLIER);
    drop(main_thread, false, 1100);
    take_waited(other, 1110);
    read_up_to(1115);
    adopt(third, 1120, false);
    stop(session, 1200);
    check_times(session, other, 90, 70, 0);
    check_times(session, third, 0, 0, 80);
    CHECK_EQUAL(session->contended, 60);
    gp_session_free(session);
}

static void blocking_on_the_mutex_is_part_of_the_wait(void)
{
    gp_session *session = begin();
    wait_for(other, 1090);
    drop(main_thread, false, 1100);
    take_waited(other, 1120); /* free by the time it had the mutex */
    wait_for(main_thread, 1130);
    stop(session, 1200);
    check_times(session, other, 80, 30, 90);
    check_times(session, main_thread, 100, 70, 30);
    CHECK_EQUAL(account(session, other)->contended_acquisitions, 1);
    CHECK_EQUAL(session->handoffs, 1);
    CHECK_EQUAL(session->contended, 10 + 70);
    gp_session_free(session);
}

static void blocking_on_the_mutex_is_no_part_of_the_hold(void)
{
    gp_session *session = begin();
    wait_for(other, 1050);
    drop(main_thread, false, 1080); /* and blocks until 1100 */
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
    wait_for(third, 1050);
    read_up_to(1055);
    wait_for(other, 1030); /* asked earlier, was heard of later */
    drop(main_thread, false, 1100);
    read_up_to(1150);
    CHECK_EQUAL(session->contended, 70);
    CHECK_EQUAL(gp_gil_state_contended(session, 1150), 70);
    take_waited(other, 1150);
    read_up_to(1180);
    CHECK_EQUAL(gp_gil_state_contended(session, 1180), 70 + 30);
    stop(session, 1200);
    CHECK_EQUAL(session->contended, 70 + 50);
    CHECK_EQUAL(gp_gil_state_contended(session, 5000), 70 + 50);
    gp_session_free(session);
}

/* What it waited for was booked without it, and is not charged again. */
static void who_is_heard_of_after_a_release_waits_from_that_on(void)
{
    gp_session *session = begin_with_sites();
    drop(main_thread, false, 1100);
    take(third, 1102);
    read_up_to(1105);
    wait_for(other, 1090); /* its processor stopped it before it could say so */
    drop(third, false, 1200);
    take_waited(other, 1210);
    stop(session, 1300);
    check_times(session, other, 90, 110, 100);
    CHECK_EQUAL(account(session, other)->blamed, 200 - 102);
    CHECK_EQUAL(session->contended, 200 - 102);
    CHECK_EQUAL(session->handoffs, 1);
    gp_session_free(session);
}

static void contention_ends_with_the_last_who_lives(void)
{
    gp_session *session = begin();
    wait_for(other, 1030);
    read_up_to(1050);
    gp_thread_exit(other, 1070);
    CHECK_EQUAL(gp_gil_state_contended(session, 1090), 40);
    wait_for(third, 1100);
    drop(main_thread, false, 1150);
    take_waited(third, 1160);
    drop(third, false, 1170); /* nobody wants it but the dead */
    stop(session, 1200);
    CHECK_EQUAL(session->contended, 40 + 50);
    gp_session_free(session);
}

/* It stays among the waiters, before one that lives or behind it. */
static void who_exits_while_it_waits_is_charged_up_to_its_end(void)
{
    gp_session *session = begin_with_sites();
    wait_for(third, 1020);
    wait_for(other, 1030);
    wait_for(&threads[3], 1040);
    read_up_to(1050);
    gp_thread_exit(other, 1070);
    drop(main_thread, false, 1100);
    take_waited(third, 1110);
    drop(third, false, 1120);
    take_waited(&threads[3], 1130);
    stop(session, 1200);
    CHECK_EQUAL(account(session, other)->last, 1070);
    CHECK_EQUAL(account(session, other)->blamed, 40);
    CHECK_EQUAL(account(session, third)->blamed, 80);
    CHECK_EQUAL(account(session, &threads[3])->blamed, 60 + 10);
    gp_session_free(session);
}

/* Of several that are equal the first. */
static void the_longest_hold_of_a_wait_is_its_culprit(void)
{
    gp_session *session = begin_with_sites();
    wait_for(other, 1010);
    drop(main_thread, false, 1020);
    take(third, 1030);
    drop(third, false, 1050);
    take(main_thread, 1060);
    drop(main_thread, false, 1080);
    take(third, 1085);
    drop(third, false, 1105);
    take_waited(other, 1110);
    stop(session, 1200);
    CHECK_EQUAL(session->stall_count, 1);
    CHECK_EQUAL(session->stalls[0].ticks, 100);
    CHECK_EQUAL(session->stalls[0].holder, account(session, third)->number);
    CHECK_EQUAL(session->stalls[0].holder_ticks, 20);
    CHECK_EQUAL(account(session, other)->blamed, 10 + 20 + 20 + 20);
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
    gp_account copy = {0};
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

/* As gp_tracer.c does it. */
static void fork_child(gp_thread *self, bool holds, uint64_t now)
{
    read_up_to(now);
    gp_gil_state_forked(&gil, self, table, THREADS, GP_NO_FRAME, now);
    gp_stream_restart(&gil.stream, holds ? &self->journal : NULL, gil.generation);
    self->journal.fresh |= holds;
}

static void a_forked_child_keeps_only_the_thread_that_forked(void)
{
    gp_session *session = begin();
    wait_for(other, 1040);
    gp_journal_begin_cpu(&main_thread->journal, 700);
    fork_child(main_thread, true, 1100);
    CHECK_EQUAL(gp_journal_cpu_since(&main_thread->journal), 1);
    CHECK_EQUAL(session->contended, 60);
    take(main_thread, 1110); /* the new GIL, over the old one */
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
    drop(main_thread, false, 1010);
    take(other, 1020);
    drop(other, false, 1030);
    take(main_thread, 1040);
    fork_child(other, false, 1100);
    CHECK(gil.holder == NULL);
    wait_for(other, 1110); /* what the holder left behind is taken: for ever, as in any such child */
    stop(session, 1200);
    CHECK_EQUAL(session->contended, 0);
    check_times(session, main_thread, 70, 0, 30);
    check_times(session, other, 10, 90, 100);
    gp_session_free(session);
}

static void a_child_forked_by_a_thread_that_waits_goes_on_waiting(void)
{
    gp_session *session = begin();
    wait_for(other, 1050);
    fork_child(other, false, 1100);
    adopt(third, 1102, false);
    take(third, 1105);
    drop(third, false, 1115);
    take_waited(other, 1120);
    drop(other, false, 1150);
    take(other, 1160);
    stop(session, 1200);
    CHECK_EQUAL(session->contended, 50 + 10);
    check_times(session, other, 70, 70, 60);
    gp_session_free(session);
}

static void a_first_session_forgets_what_came_before(void)
{
    gp_session *session = begin();
    wait_for(other, 1050);
    stop(session, 1100);
    gp_session_free(session);
    gil.generation++;
    adopt(main_thread, 0, true);
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
    gp_account copy = {0};
    session->wants_cpu = true;
    session->starter = main_thread;
    session->starter_cpu = 500;
    begin_session(session);
    CHECK_EQUAL(gil.wanting_cpu, 1);
    drop_after(main_thread, false, (gp_cpu_span){400, 560}, 1100); /* it began before the session */
    read_up_to(1150);
    CHECK_EQUAL(account(session, main_thread)->hold_cpu, 60);
    take(main_thread, 1200);
    drop_after(main_thread, false, (gp_cpu_span){570, 580}, 1210);
    take(main_thread, 1220);
    drop_after(main_thread, false, (gp_cpu_span){590, 615}, 1230);
    take(main_thread, 1240);
    gp_journal_begin_cpu(&main_thread->journal, 620);
    read_up_to(1250);
    session->cpu_now = 650;
    gp_gil_state_copy_account(session, account(session, main_thread), 1300, &copy);
    CHECK_EQUAL(copy.hold_cpu, 60 + 10 + 25 + 30);
    CHECK_EQUAL(account(session, main_thread)->hold_cpu, 60 + 10 + 25);
    session->cpu_now = 700;
    stop(session, 1300);
    CHECK_EQUAL(account(session, main_thread)->hold_cpu, 60 + 10 + 25 + 80);
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
    drop_after(main_thread, false, (gp_cpu_span){0, 560}, 1100);
    read_up_to(1150);
    CHECK_EQUAL(account(session, main_thread)->hold_cpu, 0);
    gp_session_free(session);
}

static void all(void)
{
    the_cpu_time_of_holds_is_booked_for_sessions_that_want_it();
    a_hold_whose_beginning_was_not_seen_has_no_cpu_time();
    an_uncontended_thread_holds_and_is_off();
    a_contended_thread_waits_from_its_request_on();
    a_forced_release_is_wait_until_the_thread_is_back();
    getting_a_free_gil_is_no_wait_and_no_handoff();
    a_thread_first_seen_inside_a_wait_has_waited_all_along();
    a_thread_born_meanwhile_counts_from_its_birth();
    a_thread_born_inside_a_wait_has_waited_since_its_birth();
    blocking_on_the_mutex_is_part_of_the_wait();
    blocking_on_the_mutex_is_no_part_of_the_hold();
    contention_counts_from_whoever_asked_first();
    contention_ends_with_the_last_who_lives();
    who_is_heard_of_after_a_release_waits_from_that_on();
    who_exits_while_it_waits_is_charged_up_to_its_end();
    the_longest_hold_of_a_wait_is_its_culprit();
    a_holder_never_seen_to_take_holds_since_the_last_release();
    every_session_keeps_what_comes_after_its_own_start();
    a_look_in_any_state_is_whole_and_changes_nothing();
    an_exited_thread_counts_until_its_end();
    a_thread_that_goes_on_after_its_end_is_still_whole();
    a_forked_child_keeps_only_the_thread_that_forked();
    a_child_forked_by_a_thread_without_the_gil_has_no_holder();
    a_child_forked_by_a_thread_that_waits_goes_on_waiting();
    a_first_session_forgets_what_came_before();
}

int main(void)
{
    all();
    by_journals = true;
    all();
    gp_stream_clear(&gil.stream);
    return gp_test_status();
}
