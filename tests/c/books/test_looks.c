/* Looks among the steps of a GIL: in whose hold each falls, and what becomes of it. The random schedules are
 * in tests/tracing/test_report_twin.py. */

#include "books/gp_looks.h"

#include <string.h>

#include "books/gp_gil_state.h"
#include "gp_test.h"
#include "journals.h"
#include "recording/gp_format.h"

enum { THREADS = 3, SITES = 400 };

static gp_gil_state gil;
static gp_places looked;
static gp_thread threads[THREADS];
static gp_thread *const table[THREADS] = {&threads[0], &threads[1], &threads[2]};
static gp_thread *const main_thread = &threads[0], *const other = &threads[1], *const third = &threads[2];
static uint64_t last_id;
static uint32_t sites[SITES];

static uint32_t site(uint64_t line)
{
    gp_buffer text = {0};
    gp_buffer_number(&text, GP_PLACE_PYTHON);
    gp_buffer_number(&text, line);
    gp_buffer_string(&text, "f", 1);
    gp_buffer_string(&text, "app.py", 6);
    uint32_t number = gp_places_described(&looked, &text);
    gp_buffer_free(&text);
    return number;
}

static gp_session *start(uint64_t now, bool looks)
{
    gp_session *session = gp_session_new(++last_id, now);
    session->wants_sites = true;
    session->wants_looks = looks;
    gp_gil_state_read(&gil, now);
    gp_gil_state_start(&gil, session, main_thread);
    return session;
}

/* A GIL that is watched from 1000 on: the main thread has it. */
static gp_session *begin(void)
{
    gp_stream_clear(&gil.stream);
    gp_places_clear(&looked);
    memset(&gil, 0, sizeof gil);
    memset(threads, 0, sizeof threads);
    gil.generation = 1;
    gil.looked = &looked;
    for (uint32_t i = 0; i < SITES; i++)
        sites[i] = site(i);
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].index = i;
        gp_gil_state_adopt(&gil, &threads[i], 0, i == 0);
    }
    return start(1000, true);
}

static void end(gp_session *session, uint64_t now)
{
    gp_gil_state_read(&gil, now);
    gp_gil_state_stop(&gil, session, table, THREADS, GP_NO_FRAME, now);
}

static void look(uint32_t place, uint64_t now)
{
    gp_look taken = {
        .time = now, .site = place, .stack = place, .stands_for = 3, .generation = gil.generation};
    CHECK(journals_look(&gil, &taken));
}

static void take(gp_thread *thread, uint64_t now)
{
    thread->journal.asking = GP_ASKED_AT_ONCE;
    journals_take(&gil, thread, GP_NO_FRAME, now);
}

static void drop(gp_thread *thread, uint64_t now)
{
    journals_release(&gil, thread, GP_NO_FRAME, false, now);
}

static uint32_t number_of(gp_session *session, gp_thread *thread)
{
    return gp_account_of(session, thread)->number;
}

/* The looks at a thread. */
static gp_look_sums of(gp_session *session, gp_thread *thread)
{
    gp_look_sums sums = {0};
    for (size_t i = 0; i < session->tallies.count; i++)
        if (((gp_tally *)session->tallies.rows)[i].holder == number_of(session, thread))
            gp_look_sums_add(&sums, &((gp_tally *)session->tallies.rows)[i].sums);
    return sums;
}

static void a_look_belongs_to_the_hold_of_its_time(void)
{
    gp_session *session = begin();
    look(sites[0], 1010);
    drop(main_thread, 1020);
    take(other, 1030);
    look(sites[0], 1030); /* at the moment of the taking: already its */
    look(sites[1], 1040);
    drop(other, 1050);
    take(main_thread, 1060);
    gp_gil_state_read(&gil, 1060);
    CHECK_EQUAL(of(session, main_thread).looks, 1);
    CHECK_EQUAL(of(session, other).looks, 2);
    CHECK_EQUAL(session->tallies.count, 3); /* the other thread's two saw two places */
    end(session, 1070);
    gp_session_free(session);
}

static void a_look_counts_who_waits_then(void)
{
    gp_session *session = begin();
    look(sites[0], 1005);
    journals_ask(&gil, other, 1010);
    look(sites[0], 1015);
    journals_ask(&gil, third, 1020);
    look(sites[0], 1025);
    gp_thread_exit(third, 1030);
    look(sites[0], 1035);
    drop(main_thread, 1040);
    journals_take(&gil, other, GP_NO_FRAME, 1050);
    gp_gil_state_read(&gil, 1050);
    CHECK_EQUAL(of(session, main_thread).looks, 4);
    CHECK_EQUAL(of(session, main_thread).waiting, 0 + 1 + 2 + 1);
    CHECK_EQUAL(of(session, main_thread).time, 4 * 3);
    CHECK_EQUAL(of(session, main_thread).waited, 3 * (0 + 1 + 2 + 1));
    CHECK_EQUAL(of(session, main_thread).squares, 9 * (0 + 1 + 4 + 1));
    end(session, 1070);
    gp_session_free(session);
}

static void a_look_while_nobody_holds_or_that_saw_nothing_is_counted(void)
{
    gp_session *session = begin();
    look(GP_UNSEEN, 1010);
    drop(main_thread, 1020);
    look(GP_LOOK_FREE, 1025);
    look(sites[0], 1027); /* the GIL's lock was taken before the thread noted it */
    look(GP_UNSEEN, 1028);
    take(other, 1030);
    gp_gil_state_read(&gil, 1030);
    CHECK_EQUAL(session->looks_unseen, 1);
    CHECK_EQUAL(session->looks_free, 3);
    CHECK_EQUAL(of(session, main_thread).looks + of(session, other).looks, 0);
    end(session, 1070);
    gp_session_free(session);
}

static void a_look_that_comes_after_its_hold_was_booked_is_not_seen(void)
{
    gp_session *session = begin();
    drop(main_thread, 1020);
    take(other, 1030);
    gp_gil_state_read(&gil, 1040);
    look(sites[0], 1010);
    gp_gil_state_read(&gil, 1050);
    CHECK_EQUAL(session->looks_unseen, 1);
    drop(other, 1060);
    gp_gil_state_read(&gil, 1065);
    look(sites[0], 1055);
    gp_gil_state_read(&gil, 1070);
    CHECK_EQUAL(session->looks_unseen, 2);
    end(session, 1080);
    CHECK_EQUAL(session->tallies.count, 0);
    gp_session_free(session);
}

/* A look that began at one time, and had found what it saw at a later one. */
static void long_look(uint32_t place, uint64_t begin, uint64_t until)
{
    gp_look taken = {.time = begin,
                     .site = place,
                     .stack = place,
                     .stands_for = 3,
                     .generation = gil.generation,
                     .until = until};
    CHECK(journals_look(&gil, &taken));
}

/* How many looks saw the place where their hold ended. */
static uint64_t at_the_end(gp_session *session)
{
    uint64_t looks = 0;
    for (size_t i = 0; i < session->tallies.count; i++) {
        const gp_tally *tally = &((gp_tally *)session->tallies.rows)[i];
        looks += tally->ended == tally->looked ? tally->sums.looks : 0;
    }
    return looks;
}

static void a_look_at_a_short_hold_counts_for_it_whatever_it_saw(void)
{
    gp_session *session = begin();
    long_look(sites[0], 1010, 1010); /* it was there before, and after */
    drop(main_thread, 1020);
    take(other, 1025);
    long_look(sites[0], 1030, 1050); /* somebody was seen who held later */
    drop(other, 1045);
    take(main_thread, 1046);
    long_look(GP_UNSEEN, 1060, 1070); /* it has moved on */
    drop(main_thread, 1069);
    take(other, 1075);
    long_look(GP_LOOK_FREE, 1080, 1090); /* the hold was over when the look came to it */
    drop(other, 1085);
    gp_gil_state_read(&gil, 1090);
    CHECK_EQUAL(of(session, main_thread).looks, 2);
    CHECK_EQUAL(of(session, other).looks, 2);
    CHECK_EQUAL(at_the_end(session), 3);
    CHECK_EQUAL(session->looks_unseen + session->looks_free, 0);
    end(session, 1100);
    gp_session_free(session);
}

/* The looker may not run for long when a look has begun: its holder holds again, elsewhere. */
static void what_a_thread_does_in_its_next_hold_is_not_told_of_the_last(void)
{
    gp_session *session = begin();
    long_look(sites[0], 1010, 1500);
    drop(main_thread, 1400);
    take(main_thread, 1410);
    gp_gil_state_read(&gil, 1600);
    CHECK_EQUAL(of(session, main_thread).looks, 1);
    CHECK_EQUAL(at_the_end(session), 1);
    end(session, 1700);
    gp_session_free(session);
}

static void a_hold_that_outlasts_a_look_is_as_that_saw_it(void)
{
    gp_session *session = begin();
    journals_ask(&gil, other, 1005);
    long_look(sites[0], 1010, 1020);
    long_look(GP_UNSEEN, 1030, 1040);
    long_look(GP_UNSEEN, 1050, 1060);
    gp_gil_state_read(&gil, 1065);
    CHECK_EQUAL(session->looks_unseen, 2);
    long_look(sites[0], 1066, 1069);
    drop(main_thread, 1070);
    journals_take(&gil, other, GP_NO_FRAME, 1072);
    gp_gil_state_read(&gil, 1075);
    CHECK_EQUAL(of(session, main_thread).looks, 2);
    CHECK_EQUAL(at_the_end(session), 0);
    CHECK_EQUAL(session->looks_unseen, 2);
    end(session, 1100);
    gp_session_free(session);
}

static void a_long_wait_is_told_of_a_look_that_was_the_last_in_its_hold(void)
{
    gp_session *session = begin();
    journals_ask(&gil, other, 1005);
    long_look(sites[0], 1010, 1020);
    drop(main_thread, 1030);
    journals_take(&gil, other, GP_NO_FRAME, 1040);
    gp_gil_state_read(&gil, 1050);
    const gp_tally *tally = session->tallies.rows;
    CHECK_EQUAL(session->stall_count, 1);
    CHECK_EQUAL(session->stalls[0].holder_looked, tally->looked);
    end(session, 1100);
    gp_session_free(session);
}

static void a_look_under_way_is_waited_for_until_its_hold_ends(void)
{
    gp_session *session = begin();
    gp_look taken = {.time = 1010, .generation = gil.generation, .stands_for = 3};
    CHECK(gp_looks_begin(&gil.looks, &taken));
    gp_gil_state_read(&gil, 1020);
    taken.site = taken.stack = sites[0];
    taken.until = 1025;
    CHECK(gp_looks_end(&gil.looks, &taken));
    gp_gil_state_read(&gil, 1030);
    taken.time = 1040;
    CHECK(gp_looks_begin(&gil.looks, &taken));
    drop(main_thread, 1050);
    gp_gil_state_read(&gil, 1060);
    CHECK(!gp_looks_end(&gil.looks, &taken));
    CHECK_EQUAL(of(session, main_thread).looks, 2);
    CHECK_EQUAL(at_the_end(session), 1);
    taken.time = 1070;
    CHECK(gp_looks_begin(&gil.looks, &taken));
    gp_gil_state_read(&gil, 1080);
    CHECK(!gp_looks_end(&gil.looks, &taken));
    CHECK_EQUAL(session->looks_free, 1);
    end(session, 1100);
    CHECK_EQUAL(session->looks_unseen, 0);
    gp_session_free(session);
}

static void a_look_of_an_earlier_watching_is_nothing(void)
{
    gp_session *session = begin();
    gp_look old = {.time = 1010, .site = sites[0], .stack = sites[0], .generation = gil.generation - 1};
    CHECK(journals_look(&gil, &old));
    end(session, 1070);
    CHECK_EQUAL(session->tallies.count + session->looks_unseen + session->looks_free, 0);
    gp_session_free(session);
}

static void each_session_has_the_looks_of_its_time(void)
{
    gp_session *first = begin();
    look(sites[0], 1010);
    gp_session *second = start(1020, true), *blind = start(1020, false);
    look(sites[0], 1030);
    end(first, 1040); /* in the middle of the hold */
    look(sites[1], 1050);
    drop(main_thread, 1060);
    gp_gil_state_read(&gil, 1060);
    CHECK_EQUAL(of(first, main_thread).looks, 2);
    CHECK_EQUAL(of(second, main_thread).looks, 2);
    CHECK_EQUAL(blind->tallies.count, 0);
    CHECK_EQUAL(gil.wanting_looks, 1);
    take(main_thread, 1065);
    end(second, 1070);
    end(blind, 1070);
    gp_session_free(first);
    gp_session_free(second);
    gp_session_free(blind);
}

static void a_hold_with_more_places_than_there_is_room_for_loses_the_rest(void)
{
    gp_session *session = begin();
    for (uint32_t i = 0; i < SITES; i++)
        look(sites[i], 1001 + i);
    drop(main_thread, 2000);
    gp_gil_state_read(&gil, 2000);
    CHECK_EQUAL(of(session, main_thread).looks, GP_LOOK_ROWS);
    CHECK_EQUAL(session->looks_unseen, SITES - GP_LOOK_ROWS);
    take(main_thread, 2010);
    end(session, 2020);
    gp_session_free(session);
}

static void a_hold_whose_end_was_not_seen_loses_its_looks(void)
{
    gp_session *session = begin();
    look(sites[0], 1010);
    gp_gil_state_read(&gil, 1020);
    CHECK(gil.looks_under_way);
    gp_gil_state_take(&gil, other, GP_ASKED_AT_ONCE, 1030);
    CHECK(!gil.looks_under_way);
    CHECK_EQUAL(session->looks_unseen, 1);
    end(session, 1040);
    CHECK_EQUAL(session->tallies.count, 0);
    gp_session_free(session);
}

/* Cycles of a thread that is alone are booked many at once. */
static void a_look_among_many_cycles_finds_its_hold(void)
{
    gp_session *session = begin();
    uint64_t now = 1000;
    for (int i = 0; i < 100; i++) {
        if (i == 50)
            look(sites[0], now + 5);
        drop(main_thread, now += 10);
        if (i == 70)
            look(sites[0], now + 1); /* between two holds */
        take(main_thread, now += 2);
    }
    gp_gil_state_read(&gil, now);
    CHECK_EQUAL(of(session, main_thread).looks, 1);
    CHECK_EQUAL(session->looks_free, 1);
    CHECK_EQUAL(gp_account_of(session, main_thread)->hold, 1000);
    end(session, now);
    gp_session_free(session);
}

static void a_fork_leaves_the_looks_of_the_forking_thread_alone(void)
{
    gp_session *session = begin();
    look(sites[0], 1010);
    gp_gil_state_read(&gil, 1020);
    for (int i = 0; i < THREADS; i++)
        gp_gil_state_forked(&gil, main_thread, &table[i], 1, GP_NO_FRAME, 1030);
    gp_stream_restart(&gil.stream, &main_thread->journal, gil.generation);
    look(sites[0], 1040);
    end(session, 1050);
    CHECK_EQUAL(of(session, main_thread).looks, 2);
    CHECK_EQUAL(session->looks_unseen, 0);
    gp_session_free(session);
}

static void a_full_queue_takes_no_more_until_it_is_read(void)
{
    gp_session *session = begin();
    gp_look taken = {.time = 1010, .site = GP_UNSEEN, .stack = GP_UNSEEN, .generation = gil.generation};
    for (int i = 0; i < GP_LOOKS_MAX; i++)
        CHECK(journals_look(&gil, &taken));
    CHECK(!journals_look(&gil, &taken));
    gp_gil_state_read(&gil, 1009);
    CHECK_EQUAL(gp_looks_unread(&gil.looks), GP_LOOKS_MAX);
    gp_gil_state_read(&gil, 1010);
    CHECK_EQUAL(gp_looks_unread(&gil.looks), 0);
    CHECK(journals_look(&gil, &taken));
    gp_looks_discard(&gil.looks);
    end(session, 1020);
    CHECK_EQUAL(session->looks_unseen, GP_LOOKS_MAX);
    gp_session_free(session);
}

int main(void)
{
    a_look_belongs_to_the_hold_of_its_time();
    a_look_counts_who_waits_then();
    a_look_while_nobody_holds_or_that_saw_nothing_is_counted();
    a_look_that_comes_after_its_hold_was_booked_is_not_seen();
    a_look_at_a_short_hold_counts_for_it_whatever_it_saw();
    what_a_thread_does_in_its_next_hold_is_not_told_of_the_last();
    a_hold_that_outlasts_a_look_is_as_that_saw_it();
    a_long_wait_is_told_of_a_look_that_was_the_last_in_its_hold();
    a_look_under_way_is_waited_for_until_its_hold_ends();
    a_look_of_an_earlier_watching_is_nothing();
    each_session_has_the_looks_of_its_time();
    a_hold_with_more_places_than_there_is_room_for_loses_the_rest();
    a_hold_whose_end_was_not_seen_loses_its_looks();
    a_look_among_many_cycles_finds_its_hold();
    a_fork_leaves_the_looks_of_the_forking_thread_alone();
    a_full_queue_takes_no_more_until_it_is_read();
    return gp_test_status();
}
