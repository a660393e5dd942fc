/* Pauses among the steps of a GIL: how much of them was held, and what others waited meanwhile. */

#include "books/gp_pauses.h"

#include <string.h>

#include "books/gp_gil_state.h"
#include "gp_test.h"
#include "journals.h"
#include "recording/gp_format.h"

enum { THREADS = 3, SITES = GP_PAUSE_ROWS + 10 };

static gp_gil_state gil;
static gp_places looked;
static gp_thread threads[THREADS];
static gp_thread *const table[THREADS] = {&threads[0], &threads[1], &threads[2]};
static gp_thread *const main_thread = &threads[0], *const other = &threads[1], *const third = &threads[2];
static uint64_t last_id;
static uint32_t sites[SITES];

static uint32_t site(gp_places *places, uint64_t line)
{
    gp_buffer text = {0};
    gp_buffer_number(&text, GP_PLACE_PYTHON);
    gp_buffer_number(&text, line);
    gp_buffer_string(&text, "f", 1);
    gp_buffer_string(&text, "app.py", 6);
    uint32_t number = gp_places_described(places, &text);
    gp_buffer_free(&text);
    return number;
}

static gp_session *start(uint64_t now)
{
    gp_session *session = gp_session_new(++last_id, now);
    session->wants_sites = session->wants_stacks = true;
    session->wants_looks = session->wants_pauses = true;
    gp_gil_state_read(&gil, now);
    gp_gil_state_start(&gil, session, main_thread);
    return session;
}

/* A GIL that is watched from 1000 on: the main thread has it. */
static gp_session *begin(void)
{
    gp_stream_clear(&gil.stream);
    gp_places_clear(&looked);
    gp_places_clear(&gil.places);
    memset(&gil, 0, sizeof gil);
    memset(threads, 0, sizeof threads);
    gil.generation = 1;
    gil.looked = &looked;
    for (uint32_t i = 0; i < SITES; i++)
        sites[i] = site(&gil.places, i + 1);
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].index = i;
        gp_gil_state_adopt(&gil, &threads[i], 0, i == 0);
    }
    return start(1000);
}

static void end(gp_session *session, uint64_t now)
{
    gp_gil_state_read(&gil, now);
    gp_gil_state_stop(&gil, session, table, THREADS, GP_NO_FRAME, now);
}

static void starts_at(gp_thread *thread, uint32_t place, uint32_t generation, uint64_t now)
{
    gp_pause_note note = {
        .time = now, .thread = thread, .watching = gil.generation, .place = place, .generation = generation};
    CHECK(gp_pauses_push(&gil.pauses, &note));
}

static void starts(gp_thread *thread, uint64_t now)
{
    starts_at(thread, sites[0], 2, now);
}

static void stops(gp_thread *thread, uint64_t now)
{
    gp_pause_note note = {.time = now,
                          .thread = thread,
                          .watching = gil.generation,
                          .stops = true,
                          .collected = 7,
                          .uncollectable = 1};
    CHECK(gp_pauses_push(&gil.pauses, &note));
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

/* All rows of a session together. */
static gp_pause_sum total(const gp_session *session)
{
    gp_pause_sum sum = {.count = 0};
    for (size_t i = 0; i < session->pauses.sums.count; i++)
        gp_pause_sum_up(&sum, (const gp_pause_sum *)session->pauses.sums.rows + i);
    return sum;
}

static uint64_t blamed(const gp_session *session)
{
    uint64_t ticks = 0;
    for (size_t i = 0; i < session->blame.count; i++)
        ticks += ((gp_blame *)session->blame.rows)[i].wait;
    return ticks;
}

static void a_pause_counts_those_who_wait_meanwhile(void)
{
    gp_session *session = begin();
    journals_ask(&gil, other, 1010);
    starts(main_thread, 1020);
    journals_ask(&gil, third, 1050);
    stops(main_thread, 1100);
    drop(main_thread, 1200);
    journals_take(&gil, other, GP_NO_FRAME, 1200);
    end(session, 1210);
    gp_pause_sum sum = total(session);
    CHECK_EQUAL(session->pauses.sums.count, 1);
    CHECK_EQUAL(sum.count, 1);
    CHECK_EQUAL(sum.ticks, 80);
    CHECK_EQUAL(sum.longest, 80);
    CHECK_EQUAL(sum.held, 80);
    CHECK_EQUAL(sum.wait, 80 + 50);
    CHECK_EQUAL(sum.collected, 7);
    CHECK_EQUAL(sum.uncollectable, 1);
    CHECK_EQUAL(session->pauses.longest_count, 1);
    CHECK_EQUAL(session->pauses.longest[0].start, 1020);
    CHECK_EQUAL(session->pauses.longest[0].wait, 130);
    CHECK(sum.wait <= blamed(session));
    gp_session_free(session);
}

/* A finalizer lets the GIL go: what another thread does meanwhile is not the pause's. */
static void a_pause_is_held_only_in_its_own_holds(void)
{
    gp_session *session = begin();
    starts(main_thread, 1010);
    drop(main_thread, 1020);
    take(other, 1030);
    journals_ask(&gil, main_thread, 1035);
    journals_ask(&gil, third, 1036);
    drop(other, 1040);
    journals_take(&gil, main_thread, GP_NO_FRAME, 1042);
    stops(main_thread, 1052);
    drop(main_thread, 1060);
    journals_take(&gil, third, GP_NO_FRAME, 1061);
    end(session, 1070);
    gp_pause_sum sum = total(session);
    CHECK_EQUAL(sum.count, 1);
    CHECK_EQUAL(sum.ticks, 42);
    CHECK_EQUAL(sum.held, 10 + 10);
    CHECK_EQUAL(sum.wait, 10); /* the third thread's; behind the other one it waited for no pause */
    gp_session_free(session);
}

static void a_pause_that_ends_as_its_hold_does_belongs_to_it(void)
{
    gp_session *session = begin();
    starts(main_thread, 1000);
    stops(main_thread, 1020);
    journals_release(&gil, main_thread, sites[3], false, 1020);
    take(other, 1020);
    end(session, 1030);
    CHECK_EQUAL(session->pauses.sums.count, 1);
    const gp_pause_sum *sum = session->pauses.sums.rows;
    CHECK(sum->ended != GP_ROW_NONE);
    CHECK(sum->ended != sum->place);
    CHECK_EQUAL(total(session).held, 20);
    gp_session_free(session);
}

static void a_session_that_ends_in_a_pause_has_its_part(void)
{
    gp_session *session = begin();
    starts(main_thread, 1010);
    gp_session *late = start(1020); /* it was not there when the pause began */
    end(session, 1050);
    CHECK_EQUAL(total(session).count, 1);
    CHECK_EQUAL(total(session).held, 40);
    CHECK_EQUAL(total(session).ticks, 40);
    stops(main_thread, 1060);
    end(late, 1070);
    CHECK_EQUAL(total(late).count, 0);
    gp_session_free(session);
    gp_session_free(late);
}

static void what_is_under_way_is_told_and_not_booked(void)
{
    gp_session *session = begin();
    gp_pause_sum part;
    journals_ask(&gil, other, 1005);
    starts(main_thread, 1010);
    gp_gil_state_read(&gil, 1040);
    for (int again = 0; again < 2; again++) {
        CHECK(gp_pauses_under_way(&gil, session, 1040, &part));
        CHECK_EQUAL(part.count, 1);
        CHECK_EQUAL(part.held, 30);
        CHECK_EQUAL(part.wait, 30);
    }
    stops(main_thread, 1050);
    gp_gil_state_read(&gil, 1060);
    CHECK(!gp_pauses_under_way(&gil, session, 1060, &part));
    end(session, 1070);
    CHECK_EQUAL(total(session).held, 40);
    gp_session_free(session);
}

/* Its thread ends in a finalizer, or the note was lost. */
static void a_pause_without_a_stop_ends_somewhere(void)
{
    gp_session *session = begin();
    starts(main_thread, 1010);
    starts(main_thread, 1030);
    stops(main_thread, 1035);
    stops(main_thread, 1037); /* of nothing */
    starts(main_thread, 1040);
    drop(main_thread, 1050);
    gp_thread_exit(main_thread, 1060);
    take(other, 1070);
    end(session, 1080);
    CHECK_EQUAL(total(session).count, 3);
    CHECK_EQUAL(total(session).ticks, 20 + 5 + 20);
    CHECK_EQUAL(total(session).held, 20 + 5 + 10);
    CHECK(gil.pause.thread == NULL);
    gp_session_free(session);
}

#if defined(__linux__)
static bool stops_and_exits;

uint64_t __real_gp_thread_end_of(const gp_thread *thread, uint64_t now);
uint64_t __wrap_gp_thread_end_of(const gp_thread *thread, uint64_t now);

/* Before it is asked whether the thread has exited. */
uint64_t __wrap_gp_thread_end_of(const gp_thread *thread, uint64_t now)
{
    if (stops_and_exits) {
        stops_and_exits = false;
        stops(main_thread, 1100);
        gp_thread_exit(main_thread, 1200);
    }
    return __real_gp_thread_end_of(thread, now);
}

static void a_pause_that_stops_before_its_thread_exits_is_whole(void)
{
    gp_session *session = begin();
    starts(main_thread, 1020);
    stops_and_exits = true;
    gp_gil_state_read(&gil, 1300);
    gp_gil_state_read(&gil, 1300);
    CHECK(!stops_and_exits);
    CHECK_EQUAL(session->pauses.longest[0].ticks, 80);
    CHECK_EQUAL(session->pauses.longest[0].collected, 7);
    end(session, 1310);
    CHECK_EQUAL(total(session).count, 1);
    gp_session_free(session);
}
#endif

static void a_pause_of_an_earlier_watching_is_nothing(void)
{
    gp_session *session = begin();
    gp_pause_note old = {.time = 1010, .thread = main_thread, .watching = gil.generation - 1};
    CHECK(gp_pauses_push(&gil.pauses, &old));
    end(session, 1070);
    CHECK_EQUAL(total(session).count, 0);
    gp_session_free(session);
}

/* Cycles of a thread that is alone are booked many at once. */
static void pauses_among_many_cycles_find_their_holds(void)
{
    gp_session *session = begin();
    uint64_t now = 1000;
    for (int i = 0; i < 100; i++) {
        if (i % 10 == 5) {
            starts_at(main_thread, sites[i / 50], 0, now + 2);
            stops(main_thread, now + 5);
        }
        drop(main_thread, now += 10);
        take(main_thread, now += 2);
    }
    gp_gil_state_read(&gil, now);
    CHECK_EQUAL(session->pauses.sums.count, 2);
    CHECK_EQUAL(total(session).count, 10);
    CHECK_EQUAL(total(session).held, 30);
    CHECK_EQUAL(gp_account_of(session, main_thread)->hold, 1000);
    end(session, now);
    gp_session_free(session);
}

static void more_places_than_a_hold_has_room_for_lose_only_where_it_ended(void)
{
    gp_session *session = begin();
    uint64_t now = 1000;
    for (uint32_t i = 0; i < SITES; i++) {
        starts_at(main_thread, sites[i], 1, now += 1);
        stops(main_thread, now += 2);
    }
    drop(main_thread, now += 10);
    take(other, now);
    end(session, now + 10);
    CHECK_EQUAL(total(session).count, SITES);
    CHECK_EQUAL(total(session).held, 2 * SITES);
    CHECK_EQUAL(session->pauses.lost, 0);
    gp_session_free(session);
}

static void the_longest_are_kept_one_by_one(void)
{
    gp_session *session = begin();
    uint64_t now = 1000, sum = 0;
    for (uint64_t i = 0; i < 2 * GP_PAUSES_LONGEST; i++) {
        starts_at(main_thread, sites[0], 0, now += 1);
        stops(main_thread, now += i * 7 % (2 * GP_PAUSES_LONGEST));
        gp_gil_state_read(&gil, now);
    }
    end(session, now + 10);
    CHECK_EQUAL(session->pauses.longest_count, GP_PAUSES_LONGEST);
    for (size_t i = 0; i < GP_PAUSES_LONGEST; i++)
        sum += session->pauses.longest[i].ticks;
    /* all lengths from 0 on, each once: the upper half */
    CHECK_EQUAL(sum, (uint64_t)GP_PAUSES_LONGEST * (3 * GP_PAUSES_LONGEST - 1) / 2);
    gp_session_free(session);
}

static void a_look_in_a_pause_is_kept_apart(void)
{
    gp_session *session = begin();
    uint32_t seen = site(&looked, 1);
    gp_look look = {.site = seen, .stack = seen, .generation = gil.generation};
    starts(main_thread, 1010);
    for (uint64_t time = 1005; time < 1040; time += 10) {
        look.time = time;
        CHECK(journals_look(&gil, &look));
    }
    stops(main_thread, 1030);
    end(session, 1050);
    CHECK_EQUAL(session->pause_tallies.count, 1);
    CHECK_EQUAL(((gp_tally *)session->pause_tallies.rows)[0].sums.looks, 2);
    CHECK_EQUAL(((gp_tally *)session->tallies.rows)[0].sums.looks, 2);
    gp_session_free(session);
}

static void a_full_queue_takes_no_more_until_it_is_read(void)
{
    gp_session *session = begin();
    gp_pause_note note = {.time = 1010, .thread = main_thread, .watching = gil.generation, .stops = true};
    for (int i = 0; i < GP_PAUSE_NOTES_MAX; i++)
        CHECK(gp_pauses_push(&gil.pauses, &note));
    CHECK(!gp_pauses_push(&gil.pauses, &note));
    gp_gil_state_read(&gil, 1009);
    CHECK_EQUAL(gp_pauses_unread(&gil.pauses), GP_PAUSE_NOTES_MAX);
    gp_gil_state_read(&gil, 1010);
    CHECK_EQUAL(gp_pauses_unread(&gil.pauses), 0);
    end(session, 1020);
    gp_session_free(session);
}

static void rows_of_ended_threads_become_one(void)
{
    gp_pauses pauses = {.row_count = 0};
    uint64_t renamed[2] = {(uint64_t)1 << 5 | (uint64_t)1 << 9};
    for (uint32_t holder = 0; holder < 100; holder++)
        CHECK(gp_pause_sums_add(&pauses.sums, &(gp_pause_sum){holder, 1, 2, 0, .held = holder, .count = 1}));
    gp_rows_rename(&pauses.sums, &gp_pause_sum_rows, renamed, 3);
    CHECK_EQUAL(pauses.sums.count, 98);
    const gp_pause_sum *sums = pauses.sums.rows;
    for (size_t i = 0; i < pauses.sums.count; i++)
        if (sums[i].holder == 3) {
            CHECK_EQUAL(sums[i].count, 3);
            CHECK_EQUAL(sums[i].held, 3 + 5 + 9);
        }
    gp_pauses_free(&pauses);
}

int main(void)
{
    a_pause_counts_those_who_wait_meanwhile();
    a_pause_is_held_only_in_its_own_holds();
    a_pause_that_ends_as_its_hold_does_belongs_to_it();
    a_session_that_ends_in_a_pause_has_its_part();
    what_is_under_way_is_told_and_not_booked();
    a_pause_without_a_stop_ends_somewhere();
#if defined(__linux__)
    a_pause_that_stops_before_its_thread_exits_is_whole();
#endif
    a_pause_of_an_earlier_watching_is_nothing();
    pauses_among_many_cycles_find_their_holds();
    more_places_than_a_hold_has_room_for_lose_only_where_it_ended();
    the_longest_are_kept_one_by_one();
    a_look_in_a_pause_is_kept_apart();
    a_full_queue_takes_no_more_until_it_is_read();
    rows_of_ended_threads_become_one();
    return gp_test_status();
}
