/* A snapshot of a session that runs: all of one moment, and the books stay as they are. */

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

static void begin(void)
{
    gp_session_free(session);
    memset(&gil, 0, sizeof gil);
    memset(threads, 0, sizeof threads);
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

static gp_buffer snapshot(void)
{
    const gp_snapshot_facts facts = {.rate = {(uint64_t)1 << 32}};
    gp_buffer buffer = {0};
    gp_snapshot_write(session, &facts, GP_ROW_NONE, clock_now, &buffer);
    CHECK(!buffer.failed);
    return buffer;
}

static reading read_snapshot(void)
{
    gp_buffer buffer = snapshot();
    reading read = {.count = 0};
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

static void all_is_of_one_moment(void)
{
    begin();
    clock_now += 507;
    reading read = read_snapshot();
    check_possible(&read);
    CHECK_EQUAL(read.totals.elapsed_ns, 507);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(read.rows[i].first_ns + read.rows[i].lifetime_ns, 507);
    CHECK_EQUAL(read.rows[0].hold_ns, 507);
}

static void what_is_under_way_is_in_the_snapshot(void)
{
    begin();
    clock_now += 500;
    gp_gil_state_ask(&gil, &threads[1], clock_now);
    clock_now += 1000;
    reading read = read_snapshot();
    check_possible(&read);
    CHECK_EQUAL(read.totals.contended_ns, 1000);
    CHECK_EQUAL(read.rows[0].hold_ns, 1500);
    CHECK_EQUAL(read.rows[1].wait_ns, 1000);
    CHECK_EQUAL(read.rows[1].off_ns, 500);
    drop(&threads[0]);
    clock_now += 10;
    take(&threads[1]);
    read = read_snapshot();
    check_possible(&read);
    CHECK_EQUAL(read.rows[0].releases, 1);
    CHECK_EQUAL(read.rows[1].wait_ns, 1010);
}

static void a_snapshot_changes_nothing(void)
{
    begin();
    session->wants_sites = true;
    drop(&threads[0]);
    take(&threads[1]);
    gp_gil_state_ask(&gil, &threads[0], clock_now);
    clock_now += 1000;
    gp_buffer first = snapshot(), second = snapshot();
    CHECK_EQUAL(first.size, second.size);
    CHECK(memcmp(first.bytes, second.bytes, first.size) == 0);
    gp_buffer_free(&first);
    gp_buffer_free(&second);
}

static void an_account_that_is_opened_later_is_in_the_next_snapshot(void)
{
    static gp_thread late;
    begin();
    reading read = read_snapshot();
    check_possible(&read);
    late.index = THREADS;
    gp_gil_state_adopt(&gil, &late, clock_now, false);
    gp_account_of(session, &late);
    read = read_snapshot();
    CHECK_EQUAL(read.count, THREADS + 1);
}

static void a_stamp_of_another_core_that_is_ahead_makes_the_session_longer(void)
{
    begin();
    threads[0].since = clock_now + 3000000000u; /* of a core that is far ahead */
    gp_account_of(session, &threads[0])->off = threads[0].since - session->start;
    reading read = read_snapshot();
    check_possible(&read);
    CHECK_EQUAL(read.totals.elapsed_ns, 3000000000u);
}

int main(void)
{
    gp_clock_init();
    all_is_of_one_moment();
    what_is_under_way_is_in_the_snapshot();
    a_snapshot_changes_nothing();
    an_account_that_is_opened_later_is_in_the_next_snapshot();
    a_stamp_of_another_core_that_is_ahead_makes_the_session_longer();
    gp_session_free(session);
    return gp_test_status();
}
