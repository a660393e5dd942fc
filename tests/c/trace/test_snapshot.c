/* A snapshot that is taken without the GIL: between two accounts the books may go on. */

#include "trace/gp_snapshot.h"

#include <string.h>

#include "books/gp_gil_state.h"
#include "recording/gp_reader.h"
#include "gp_test.h"

enum { THREADS = 3, ROWS_MAX = 8 };

static gp_gil_state gil;
static gp_thread threads[THREADS];
static gp_session *session;
static uint64_t clock_now;

static bool held;
static size_t locked;
static void (*meanwhile)(void); /* what is booked before the lock is had once more */

static uint64_t lock(const gp_session *of)
{
    CHECK(of == session);
    CHECK(!held);
    locked++;
    clock_now += 1000;
    if (meanwhile != NULL)
        meanwhile();
    held = true;
    return clock_now;
}

static void unlock(const gp_session *of)
{
    CHECK(of == session);
    CHECK(held);
    held = false;
}

static void begin(void)
{
    gp_session_free(session);
    memset(&gil, 0, sizeof gil);
    memset(threads, 0, sizeof threads);
    meanwhile = NULL;
    locked = 0;
    clock_now = 1000000;
    gil.generation = 1;
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].index = i;
        gp_gil_state_adopt(&gil, &threads[i], 0, i == 0);
    }
    session = gp_session_new(1, clock_now);
    session->rate = (gp_clock_rate){(uint64_t)1 << 32};
    gp_gil_state_start(&gil, session, &threads[0]);
    for (int i = 0; i < THREADS; i++)
        gp_account_of(session, &threads[i]);
}

static void drop(gp_thread *thread)
{
    gp_gil_state_release(&gil, thread, GP_ROW_NONE, false, (gp_cpu_span){0}, clock_now);
}

static void take(gp_thread *thread)
{
    gp_gil_state_take(&gil, thread, GP_ASKED_AT_ONCE, clock_now);
}

typedef struct {
    gp_totals_row totals;
    size_t count;
    gp_account_row rows[ROWS_MAX];
    uint64_t held_ns;
} reading;

static reading read_snapshot(const gp_snapshot_lock *how, uint64_t now)
{
    const gp_snapshot_facts facts = {.rate = {(uint64_t)1 << 32}};
    gp_buffer buffer = {0};
    reading read = {.count = 0};
    gp_snapshot_write(session, &facts, how, GP_ROW_NONE, now, &buffer);
    CHECK(!held && !buffer.failed);
    gp_cursor cursor = gp_cursor_over(buffer.bytes, buffer.size);
    gp_read_totals(&cursor, &read.totals);
    read.count = (size_t)gp_cursor_number(&cursor);
    CHECK(read.count <= ROWS_MAX);
    for (size_t i = 0; i < read.count && i < ROWS_MAX; i++) {
        gp_read_account(&cursor, &read.totals, &read.rows[i]);
        read.held_ns += read.rows[i].hold_ns;
        for (int histogram = 0; histogram < 2; histogram++) {
            uint32_t index = GP_NOWHERE;
            uint64_t number;
            for (uint64_t left = gp_cursor_number(&cursor); left > 0 && cursor.wrong == NULL; left--)
                gp_read_bucket(&cursor, &index, &number);
        }
    }
    CHECK(cursor.wrong == NULL);
    gp_buffer_free(&buffer);
    return read;
}

static reading read_while_running(void)
{
    reading read = read_snapshot(&(gp_snapshot_lock){lock, unlock}, session->start);
    CHECK(locked > THREADS); /* for each account, so that nobody waits long for it */
    return read;
}

static void check_possible(const reading *read)
{
    CHECK_EQUAL(read->count, THREADS);
    CHECK(read->held_ns <= read->totals.elapsed_ns);
    CHECK(read->totals.contended_ns <= read->held_ns);
    for (size_t i = 0; i < read->count; i++) {
        CHECK_EQUAL(read->rows[i].imbalance_ticks, 0);
        CHECK(read->rows[i].first_ns + read->rows[i].lifetime_ns <= read->totals.elapsed_ns);
    }
}

static void accounts_that_are_read_one_by_one_fit_the_length_of_the_session(void)
{
    begin();
    reading read = read_while_running();
    check_possible(&read);
    CHECK(read.rows[0].hold_ns > 0);
    drop(&threads[0]);
    read = read_while_running();
    check_possible(&read);
    CHECK_EQUAL(read.totals.elapsed_ns, clock_now - session->start - 1000); /* but for the last unlocking */
}

static void pass_it_on(void)
{
    for (int i = 0; i < THREADS; i++)
        if (threads[i].state == GP_HOLD) {
            drop(&threads[i]);
            clock_now += 10;
            take(&threads[(i + 1) % THREADS]);
            return;
        }
}

static void the_books_may_go_on_between_two_accounts(void)
{
    begin();
    meanwhile = pass_it_on;
    for (int i = 0; i < 5; i++) {
        reading read = read_while_running();
        check_possible(&read);
        CHECK(read.held_ns > 0);
        CHECK(read.rows[0].releases + read.rows[1].releases + read.rows[2].releases > (uint64_t)i);
    }
}

static void wait_for_the_holder(void)
{
    if (threads[1].state == GP_OFF)
        gp_gil_state_ask(&gil, &threads[1], clock_now - 500);
}

/* The totals come first, with what is under way then. */
static void no_total_is_more_than_the_sum_of_the_accounts(void)
{
    begin();
    meanwhile = wait_for_the_holder;
    reading read = read_while_running();
    check_possible(&read);
    CHECK(read.totals.contended_ns > 0);
    CHECK(read.totals.contended_ns <= read.rows[1].wait_ns);
    CHECK(read.totals.contended_ns < read.rows[0].hold_ns);
}

static size_t late_at; /* at which locking it is heard of */
static bool taken_at_once;

static void hear_late_of_a_hand_over(void)
{
    if (locked != late_at)
        return;
    uint64_t now = clock_now;
    clock_now = now - 4800;
    drop(&threads[0]);
    clock_now = now - 4700;
    if (taken_at_once)
        gp_gil_state_take(&gil, &threads[1], GP_ASKED_AT_ONCE, clock_now);
    clock_now = now;
}

/* A thread notes its release some time after it looked at the clock. */
static void a_hand_over_that_is_heard_of_late_fits(void)
{
    for (size_t i = 0; i < 2 * (THREADS + 3); i++) {
        begin();
        late_at = i / 2;
        taken_at_once = i % 2;
        clock_now += 5000;
        gp_gil_state_ask(&gil, &threads[1], session->start);
        meanwhile = hear_late_of_a_hand_over;
        reading read = read_while_running();
        check_possible(&read);
        CHECK(read.totals.contended_ns > 0);
    }
}

static void open_one_more(void)
{
    static gp_thread late;
    if (locked < 3 || late.lane.generation != 0)
        return;
    late.index = THREADS;
    gp_gil_state_adopt(&gil, &late, clock_now, false);
    gp_account_of(session, &late);
}

static void an_account_that_is_opened_meanwhile_is_in_the_next_snapshot(void)
{
    begin();
    meanwhile = open_one_more;
    reading read = read_while_running();
    check_possible(&read);
    meanwhile = NULL;
    read = read_while_running();
    CHECK_EQUAL(read.count, THREADS + 1);
}

static bool folding_waited;

static void look_at_folding(void)
{
    folding_waited |= session->folding_waits;
}

static void nothing_is_folded_from_the_first_account_to_the_last(void)
{
    begin();
    meanwhile = look_at_folding;
    read_while_running();
    CHECK(folding_waited && !session->folding_waits);
    folding_waited = false;
    read_snapshot(NULL, clock_now);
    CHECK(!folding_waited && !session->folding_waits);
}

static void a_stamp_of_another_core_that_is_ahead_makes_the_session_longer(void)
{
    begin();
    threads[0].since = clock_now + 3000000000u; /* of a core that is far ahead */
    gp_account_of(session, &threads[0])->off = threads[0].since - session->start;
    reading read = read_while_running();
    check_possible(&read);
    CHECK_EQUAL(read.totals.elapsed_ns, 3000000000u);
}

/* With the GIL. */
static void without_a_lock_all_is_of_one_moment(void)
{
    begin();
    clock_now += 500;
    reading read = read_snapshot(NULL, clock_now + 7);
    check_possible(&read);
    CHECK_EQUAL(locked, 0);
    CHECK_EQUAL(read.totals.elapsed_ns, 507);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(read.rows[i].first_ns + read.rows[i].lifetime_ns, 507);
    CHECK_EQUAL(read.rows[0].hold_ns, 507);
}

int main(void)
{
    gp_clock_init();
    accounts_that_are_read_one_by_one_fit_the_length_of_the_session();
    the_books_may_go_on_between_two_accounts();
    no_total_is_more_than_the_sum_of_the_accounts();
    a_hand_over_that_is_heard_of_late_fits();
    an_account_that_is_opened_meanwhile_is_in_the_next_snapshot();
    nothing_is_folded_from_the_first_account_to_the_last();
    a_stamp_of_another_core_that_is_ahead_makes_the_session_longer();
    without_a_lock_all_is_of_one_moment();
    gp_session_free(session);
    return gp_test_status();
}
