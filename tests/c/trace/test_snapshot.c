/* A snapshot that is taken while the threads run: a thread that has just got the GIL books without its mutex.
 */

#include "trace/gp_snapshot.h"

#include <string.h>

#include "books/gp_gil_state.h"
#include "recording/gp_reader.h"
#include "gp_test.h"

enum { THREADS = 3, ROWS_MAX = 8 };

static gp_gil_state gil;
static gp_thread threads[THREADS];
static gp_thread *const taker = &threads[1];
static gp_session *session;
static const gp_call_stack nowhere = {NULL, 0, false};

static size_t taken, rests, busy_rests;
static bool held;

static void take(const gp_session *locked)
{
    CHECK(locked == session);
    CHECK(!held);
    held = true;
    taken++;
}

static void give(const gp_session *locked)
{
    CHECK(locked == session);
    CHECK(held);
    held = false;
}

/* The thread that books gets on with it at the `busy_rests`th. */
static void rest(void)
{
    CHECK(!held);
    if (++rests != busy_rests)
        return;
    taker->state = GP_OFF; /* as it is until the end */
    session->chunks[0][1].off = 0;
    gp_gil_state_take(&gil, taker, gp_clock_ticks());
}

static void begin(void)
{
    memset(&gil, 0, sizeof gil);
    memset(threads, 0, sizeof threads);
    taken = rests = busy_rests = 0;
    gil.generation = 1;
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i].index = i;
        gp_gil_state_adopt(&gil, &threads[i], 0);
    }
    session = gp_session_new(1, gp_clock_ticks());
    gp_gil_state_start(&gil, session, &threads[0]);
    for (int i = 0; i < THREADS; i++)
        gp_account_of(session, &threads[i]);
}

static void drop(gp_thread *thread)
{
    gp_gil_state_lock(thread, GP_ASKED_AT_ONCE, false);
    gp_gil_state_drop(&gil, thread, false, &nowhere, gp_clock_ticks());
}

/* It has the GIL, and has booked the time before, but no more. */
static void get_halfway(gp_thread *thread)
{
    gp_gil_state_lock(thread, GP_ASKED_AT_ONCE, false);
    gp_gil_state_acquire(&gil, thread);
    gp_account_book_off(session, gp_account_of(session, thread), thread->since, gp_clock_ticks());
    thread->booking = true;
}

typedef struct {
    gp_totals_row totals;
    size_t count;
    gp_account_row rows[ROWS_MAX];
    uint64_t held_ns;
} reading;

static reading read_while_running(void)
{
    const gp_snapshot_lock lock = {take, give, rest};
    const gp_snapshot_facts facts = {.rate = {(uint64_t)1 << 32}};
    gp_buffer buffer = {0};
    reading read = {.count = 0};
    gp_snapshot_write(session, &facts, &lock, GP_ROW_NONE, session->start, &buffer);
    CHECK(!held && taken > 0 && !buffer.failed);
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
    CHECK_EQUAL(rests, 0);
    CHECK(read.rows[0].hold_ns > 0);
    drop(&threads[0]);
    read = read_while_running();
    check_possible(&read);
    gp_session_free(session);
}

static void a_thread_that_books_just_now_is_waited_for(void)
{
    begin();
    drop(&threads[0]);
    get_halfway(taker);
    busy_rests = 3;
    reading read = read_while_running();
    CHECK_EQUAL(rests, busy_rests);
    CHECK(!taker->booking && taker->state == GP_HOLD);
    check_possible(&read);
    CHECK_EQUAL(read.rows[1].acquisitions, 1);
    gp_session_free(session);
}

static void a_thread_that_seems_to_book_for_good_is_whole_at_last(void)
{
    begin();
    drop(&threads[0]);
    get_halfway(taker);
    reading read = read_while_running();
    CHECK(rests > 100);
    check_possible(&read);
    gp_session_free(session);
}

static void a_stamp_of_another_core_that_is_ahead_makes_the_session_longer(void)
{
    begin();
    threads[0].since = gp_clock_ticks() + 3000000000u; /* of a core that is far ahead */
    gp_account_of(session, &threads[0])->off = threads[0].since - session->start;
    reading read = read_while_running();
    check_possible(&read);
    gp_session_free(session);
}

int main(void)
{
    gp_clock_init();
    accounts_that_are_read_one_by_one_fit_the_length_of_the_session();
    a_thread_that_books_just_now_is_waited_for();
    a_thread_that_seems_to_book_for_good_is_whole_at_last();
    a_stamp_of_another_core_that_is_ahead_makes_the_session_longer();
    return gp_test_status();
}
