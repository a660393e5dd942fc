/* Folding: many short threads, of whose accounts a few remain; test_gil_state_twin.c has the random
 * schedules.
 */

#include "books/gp_folding.h"

#include <string.h>

#include "books/gp_gil_state.h"
#include "recording/gp_reader.h"
#include "trace/gp_snapshot.h"
#include "gp_test.h"
#include "journals.h"

enum { THREADS = 600, KEEP = 8, LARGEST = 3, LIVES = 100 };

static gp_gil_state gil;
static gp_thread threads[THREADS];
static uint64_t now, last_id;
static bool still_there; /* threads that exited have not gone yet */
static size_t retired;
static bool seldom; /* the stream is read when somebody wants to know, not at each step */

static bool gone(const gp_thread *thread)
{
    (void)thread;
    return !still_there;
}

static void retire(gp_thread *thread)
{
    thread->journal.generation -= 2;
    retired++;
}

static void read_all(void)
{
    gp_gil_state_read(&gil, now);
}

static void read_often(void)
{
    if (!seldom)
        read_all();
}

static gp_session *start(void)
{
    gp_session *session = gp_session_new(++last_id, now);
    session->keep = KEEP;
    session->keep_largest = LARGEST;
    session->wants_sites = true;
    read_all();
    gp_gil_state_start(&gil, session, &threads[0]);
    return session;
}

/* Thread 0 has the GIL; the others are not born yet. */
static gp_session *begin(void)
{
    now = 1000;
    retired = 0;
    still_there = false;
    seldom = false;
    gp_stream_clear(&gil.stream);
    memset(&gil, 0, sizeof gil);
    memset(threads, 0, sizeof threads);
    gil.generation = 1;
    gil.folding = (gp_folding_host){gone, retire};
    for (uint32_t i = 0; i < THREADS; i++)
        threads[i].index = i;
    gp_gil_state_adopt(&gil, &threads[0], 0, true);
    return start();
}

static void drop(gp_thread *thread)
{
    journals_release(&gil, thread, GP_NO_FRAME, false, now);
    read_often();
}

static void take(gp_thread *thread)
{
    journals_take(&gil, thread, GP_NO_FRAME, now);
    read_often();
}

static void wait_for(gp_thread *thread)
{
    journals_ask(&gil, thread, now);
    read_often();
}

static void end(gp_thread *thread)
{
    gp_thread_exit(thread, now);
}

/* A thread is born 7 ticks before it gets the GIL, for which it waits 5, and keeps it for `hold`. */
static void live(gp_thread *thread, uint64_t hold)
{
    gp_gil_state_adopt(&gil, thread, now, false);
    now += 2;
    wait_for(thread);
    now += 5;
    drop(&threads[0]);
    take(thread);
    now += hold;
    drop(thread);
    now += 3;
    journals_begin_to_take(&threads[0]);
    take(&threads[0]);
}

static void live_and_end(gp_thread *thread, uint64_t hold)
{
    live(thread, hold);
    end(thread);
}

static void stop(gp_session *session)
{
    static gp_thread *all[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        all[i] = &threads[i];
    read_all();
    gp_gil_state_stop(&gil, session, all, THREADS, GP_NO_FRAME, now);
}

static size_t open_accounts(const gp_session *session)
{
    return session->account_count - session->spare_count;
}

static bool has_own_account(const gp_session *session, const gp_thread *thread)
{
    const gp_account *entry = gp_account_entry(session, thread);
    return entry != NULL && entry != session->ended;
}

static void what_is_folded_adds_up(void)
{
    gp_session *session = begin();
    for (size_t i = 1; i <= LIVES; i++)
        live_and_end(&threads[i], 11);
    CHECK(open_accounts(session) <= KEEP + 2);
    stop(session);
    uint64_t merged = 0, hold = 0, wait = 0, off = 0, lifetime = 0, acquisitions = 0, holds = 0, waits = 0;
    for (size_t n = 0; n < session->account_count; n++) {
        const gp_account *account = gp_account_nth(session, n);
        if (account->merged == 0 || account->thread == &threads[0])
            continue;
        merged += account->merged;
        hold += account->hold;
        wait += account->wait;
        off += account->off;
        lifetime += account->last - account->first;
        acquisitions += account->acquisitions;
        holds += gp_hist_count(&account->holds);
        waits += gp_hist_count(&account->waits);
    }
    CHECK_EQUAL(merged, LIVES);
    CHECK_EQUAL(hold, LIVES * 11);
    CHECK_EQUAL(wait, LIVES * 5);
    CHECK_EQUAL(off, LIVES * (2 + 3));
    CHECK_EQUAL(lifetime, hold + wait + off);
    CHECK_EQUAL(acquisitions, LIVES);
    CHECK_EQUAL(holds, LIVES);
    CHECK_EQUAL(waits, LIVES);
    CHECK_EQUAL(session->ended->longest_hold, 11);
    CHECK_EQUAL(session->ended->longest_wait, 5);
    CHECK_EQUAL(session->next_number, LIVES + 1);
    CHECK_EQUAL(session->lost, 0);
    gp_session_free(session);
}

static void few_threads_keep_their_accounts(void)
{
    gp_session *session = begin();
    for (size_t i = 1; i < KEEP; i++)
        live_and_end(&threads[i], 11);
    CHECK_EQUAL(open_accounts(session), KEEP);
    CHECK(session->ended == NULL);
    gp_session_free(session);
}

static void living_threads_are_never_folded(void)
{
    gp_session *session = begin();
    for (size_t i = 1; i <= LIVES; i++)
        live(&threads[i], 11);
    still_there = true;
    for (size_t i = 1; i <= LIVES; i++)
        end(&threads[i]);
    for (size_t i = LIVES + 1; i <= 2 * LIVES; i++)
        live(&threads[i], 11);
    CHECK_EQUAL(open_accounts(session), 2 * LIVES + 1);
    CHECK(session->ended == NULL);
    gp_session_free(session);
}

static void the_largest_keep_their_accounts(void)
{
    gp_session *session = begin();
    for (size_t i = 1; i <= LIVES; i++)
        live_and_end(&threads[i], i == 5 || i == 50 || i == 70 ? 1000 : 10 + i);
    CHECK(has_own_account(session, &threads[5]));
    CHECK(has_own_account(session, &threads[50]));
    CHECK(has_own_account(session, &threads[70]));
    CHECK(!has_own_account(session, &threads[60]));
    gp_session_free(session);
}

/* It stays among the waiters, as daemon threads do at the interpreter's end. */
static void a_thread_that_ended_while_it_waited_is_never_folded(void)
{
    gp_session *session = begin();
    gp_gil_state_adopt(&gil, &threads[1], now, false);
    wait_for(&threads[1]);
    end(&threads[1]);
    for (size_t i = 2; i <= LIVES; i++)
        live_and_end(&threads[i], 11);
    CHECK(session->ended != NULL);
    CHECK(has_own_account(session, &threads[1]));
    gp_session_free(session);
}

static void all_that_end_at_a_time_are_folded_at_the_next_opening(void)
{
    gp_session *session = begin();
    for (size_t i = 1; i <= LIVES; i++)
        live(&threads[i], 11);
    for (size_t i = 1; i <= LIVES; i++)
        end(&threads[i]);
    CHECK_EQUAL(open_accounts(session), LIVES + 1);
    live_and_end(&threads[LIVES + 1], 11);
    CHECK(open_accounts(session) <= KEEP + 2);
    gp_session_free(session);
}

/* Its record may serve another thread, which must not find what it left. */
static void a_folded_thread_is_handed_back_once_no_session_knows_it(void)
{
    gp_session *session = begin(), *second = start();
    second->keep = THREADS;
    for (size_t i = 1; i <= LIVES; i++)
        live_and_end(&threads[i], 11);
    CHECK(session->ended->merged > LIVES / 2);
    CHECK_EQUAL(retired, 0);
    stop(second);
    size_t before = session->ended->merged;
    for (size_t i = LIVES + 1; i <= 2 * LIVES; i++)
        live_and_end(&threads[i], 11);
    CHECK(retired > 0 && retired <= session->ended->merged - before);
    size_t without = 0;
    for (size_t i = 1; i <= 2 * LIVES; i++)
        without += gp_account_entry(session, &threads[i]) == NULL;
    CHECK_EQUAL(without, retired);
    gp_session_free(session);
    gp_session_free(second);
}

/* Of threads that are long gone when their lives are read. */
static void what_is_read_late_adds_up_and_is_handed_back(void)
{
    enum { READINGS = 40 };
    gp_session *session = begin();
    seldom = true;
    for (size_t i = 1; i < THREADS; i++) {
        live(&threads[i], 11);
        journals_begin_to_take(&threads[0]);
        for (int cycle = 0; cycle < 3; cycle++) {
            drop(&threads[0]);
            journals_begin_to_take(&threads[i]);
            take(&threads[i]);
            drop(&threads[i]);
            take(&threads[0]);
        }
        end(&threads[i]);
        if (i % READINGS == 0)
            read_all();
    }
    read_all();
    for (size_t i = 0; i < LIVES; i++) {
        drop(&threads[0]);
        take(&threads[0]);
        read_all();
    }
    CHECK(open_accounts(session) <= KEEP + READINGS);
    CHECK(retired + KEEP + READINGS >= THREADS);
    stop(session);
    uint64_t releases = 0, acquisitions = 0;
    for (size_t n = 0; n < session->account_count; n++) {
        const gp_account *account = gp_account_nth(session, n);
        releases += account->merged != 0 ? account->releases : 0;
        acquisitions += account->merged != 0 ? account->acquisitions : 0;
    }
    CHECK_EQUAL(releases, acquisitions);
    CHECK_EQUAL(acquisitions, (THREADS - 1) * 2 * 4 + LIVES);
    gp_session_free(session);
}

static void a_slot_that_is_free_is_clean(void)
{
    gp_session *session = begin();
    for (size_t i = 1; i <= LIVES; i++)
        live_and_end(&threads[i], 10 * i);
    for (size_t i = LIVES + 1; session->spares == NULL && i < THREADS; i++)
        live_and_end(&threads[i], 1);
    CHECK(session->spares != NULL);
    for (gp_account *spare = session->spares; spare != NULL; spare = spare->next_spare) {
        CHECK_EQUAL(gp_hist_count(&spare->holds) + gp_hist_count(&spare->waits), 0);
        CHECK_EQUAL(spare->hold + spare->wait + spare->off + spare->first + spare->merged, 0);
        CHECK(spare->thread == NULL && !spare->kept);
    }
    gp_session_free(session);
}

/* The millionth thread is still booked. */
static void threads_beyond_the_last_number_count_as_ended(void)
{
    gp_session *session = begin();
    for (size_t i = 1; i <= LIVES; i++)
        live_and_end(&threads[i], 11);
    session->next_number = GP_NUMBERS_MAX - 1;
    live(&threads[LIVES + 1], 11);
    live(&threads[LIVES + 2], 11);
    const gp_account *last = gp_account_of(session, &threads[LIVES + 1]);
    const gp_account *nameless = gp_account_of(session, &threads[LIVES + 2]);
    CHECK_EQUAL(last->number, GP_NUMBERS_MAX - 1);
    CHECK(!gp_account_is_nameless(session, last));
    CHECK(nameless != session->ended && gp_account_is_nameless(session, nameless));
    CHECK_EQUAL(nameless->hold, 11);
    uint64_t before = session->ended->merged;
    for (size_t i = LIVES + 1; i < THREADS; i++)
        live_and_end(&threads[i], 11);
    CHECK(session->ended->merged > before + LIVES);
    CHECK_EQUAL(session->lost, 0);
    gp_session_free(session);
}

typedef struct {
    uint64_t rows, merged, hold_ns, wait_ns, holds, waits;
} sums;

static uint64_t read_histogram(gp_cursor *cursor)
{
    uint64_t sum = 0, count;
    uint32_t index = GP_NOWHERE;
    for (uint64_t left = gp_cursor_number(cursor); left > 0 && cursor->wrong == NULL; left--) {
        gp_read_bucket(cursor, &index, &count);
        sum += count;
    }
    return sum;
}

static sums read_snapshot(gp_session *session)
{
    gp_buffer buffer = {0};
    const gp_snapshot_facts facts = {.rate = {(uint64_t)1 << 32}};
    gp_snapshot_write(session, &facts, GP_ROW_NONE, now, &buffer);
    gp_cursor cursor = gp_cursor_over(buffer.bytes, buffer.size);
    gp_totals_row totals;
    gp_read_totals(&cursor, &totals);
    sums all = {.rows = gp_cursor_number(&cursor)};
    for (uint64_t i = 0; i < all.rows; i++) {
        gp_account_row row;
        gp_read_account(&cursor, &totals, &row);
        CHECK_EQUAL(row.imbalance_ticks, 0);
        all.merged += row.merged;
        all.hold_ns += row.hold_ns;
        all.wait_ns += row.wait_ns;
        all.holds += read_histogram(&cursor);
        all.waits += read_histogram(&cursor);
    }
    CHECK(cursor.wrong == NULL);
    gp_buffer_free(&buffer);
    return all;
}

static void check_snapshot(gp_session *session, uint64_t lives)
{
    sums read = read_snapshot(session);
    CHECK(read.rows <= KEEP + 3);
    CHECK_EQUAL(read.merged, lives + 1);
    CHECK_EQUAL(read.hold_ns, now - 1000 - 3 * lives);
    CHECK_EQUAL(read.wait_ns, 5 * lives);
}

static void a_snapshot_has_everything(void)
{
    gp_session *session = begin();
    for (size_t i = 1; i <= LIVES; i++)
        live_and_end(&threads[i], 11);
    check_snapshot(session, LIVES);
    session->next_number = GP_NUMBERS_MAX;
    live(&threads[LIVES + 1], 11);
    live(&threads[LIVES + 2], 11);
    check_snapshot(session, LIVES + 2);
    stop(session);
    check_snapshot(session, LIVES + 2);
    gp_session_free(session);
}

static uint64_t blamed(const gp_session *session)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < session->blame.count; i++)
        sum += ((gp_blame *)session->blame.rows)[i].wait;
    return sum;
}

static void blame_and_native_places_stay_few(void)
{
    gp_session *session = begin();
    for (uint32_t i = 1; i < THREADS; i++) {
        gp_gil_state_adopt(&gil, &threads[i], now, false);
        atomic_store(&threads[i].label, GP_LABEL_ENDED);
        live_and_end(&threads[i], 11);
    }
    CHECK_EQUAL(blamed(session), (THREADS - 1) * 5);
    CHECK(session->blame.count <= 128); /* the first table's room */
    CHECK(session->place_count <= 2 * KEEP);
    gp_session_free(session);
}

int main(void)
{
    what_is_folded_adds_up();
    few_threads_keep_their_accounts();
    living_threads_are_never_folded();
    the_largest_keep_their_accounts();
    a_thread_that_ended_while_it_waited_is_never_folded();
    all_that_end_at_a_time_are_folded_at_the_next_opening();
    a_folded_thread_is_handed_back_once_no_session_knows_it();
    what_is_read_late_adds_up_and_is_handed_back();
    a_slot_that_is_free_is_clean();
    threads_beyond_the_last_number_count_as_ended();
    a_snapshot_has_everything();
    blame_and_native_places_stay_few();
    gp_stream_clear(&gil.stream);
    return gp_test_status();
}
