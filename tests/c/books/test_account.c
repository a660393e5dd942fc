#define _GNU_SOURCE
#include "books/gp_account.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gp_test.h"

enum { MANY = 2500 };

/* What README and documentation promise for each thread. */
_Static_assert(sizeof(gp_account) + offsetof(gp_thread, paths) <= 64 * 1024,
               "a traced thread costs at most 64 KiB");
_Static_assert(sizeof(gp_paths) <= 25 * 1024, "and its call stacks at most 25 KiB");

static gp_thread *new_threads(size_t count)
{
    gp_thread *threads = calloc(count, sizeof *threads);
    for (size_t i = 0; i < count; i++)
        threads[i].index = (uint32_t)i;
    return threads;
}

/* Visits all numbers below MANY in an order of its own: 1,601 and MANY have no common factor. */
static size_t shuffled(size_t n)
{
    return n * 1601 % MANY;
}

static void accounts_stand_in_order_of_opening(void)
{
    gp_thread *threads = new_threads(MANY);
    gp_session *session = gp_session_new(1, 100);
    for (size_t n = 0; n < MANY; n++) {
        gp_account *account = gp_account_of(session, &threads[shuffled(n)]);
        CHECK(account != NULL && account == gp_account_nth(session, n));
    }
    CHECK_EQUAL(session->account_count, MANY);
    for (size_t n = 0; n < MANY; n++) {
        const gp_account *account = gp_account_nth(session, n);
        CHECK(account->thread == &threads[shuffled(n)]);
        CHECK_EQUAL(account->hold + account->wait + account->off + account->last, 0);
        CHECK_EQUAL(gp_hist_count(&account->holds), 0);
    }
    CHECK_EQUAL(session->lost, 0);
    gp_session_free(session);
    free(threads);
}

static void a_thread_has_one_account_in_each_session(void)
{
    gp_thread *threads = new_threads(MANY);
    gp_session *one = gp_session_new(1, 100), *two = gp_session_new(2, 100);
    for (size_t n = 0; n < MANY; n++) {
        gp_account *first = gp_account_of(one, &threads[n]), *second = gp_account_of(two, &threads[n]);
        CHECK(first != second);
        CHECK(gp_account_of(one, &threads[n]) == first);
        CHECK(gp_account_of(one, &threads[n]) == first);
        CHECK(gp_account_of(two, &threads[n]) == second);
    }
    CHECK_EQUAL(one->account_count, MANY);
    CHECK_EQUAL(two->account_count, MANY);
    gp_session_free(one);
    gp_session_free(two);
    free(threads);
}

static void an_account_begins_with_the_later_of_thread_and_session(void)
{
    gp_thread threads[3] = {{.index = 0, .born = 0}, {.index = 1, .born = 99}, {.index = 2, .born = 101}};
    gp_session *session = gp_session_new(1, 100);
    CHECK_EQUAL(gp_account_of(session, &threads[0])->first, 100);
    CHECK_EQUAL(gp_account_of(session, &threads[1])->first, 100);
    CHECK_EQUAL(gp_account_of(session, &threads[2])->first, 101);
    gp_session_free(session);
}

static void what_finds_no_memory_is_counted(void)
{
    gp_thread beyond = {.index = GP_THREADS_MAX}, last = {.index = GP_THREADS_MAX - 1};
    gp_session *session = gp_session_new(1, 100);
    CHECK(gp_account_of(session, &beyond) == NULL);
    CHECK(gp_account_of(session, &beyond) == NULL);
    CHECK_EQUAL(session->lost, 2);
    CHECK_EQUAL(session->account_count, 0);
    CHECK(gp_account_of(session, &last) != NULL);
    CHECK_EQUAL(session->lost, 2);
    CHECK_EQUAL(session->account_count, 1);
    gp_session_free(session);
}

/* A thread that lost its account in one session must not book into another's. */
static void a_thread_without_account_keeps_its_others(void)
{
    gp_thread thread = {.index = 0};
    gp_session *one = gp_session_new(1, 100), *two = gp_session_new(2, 100);
    gp_account *first = gp_account_of(one, &thread);
    thread.index = GP_THREADS_MAX;
    CHECK(gp_account_of(two, &thread) == NULL);
    CHECK(gp_account_of(one, &thread) == first);
    gp_session_free(one);
    gp_session_free(two);
}

static void booking_clips_to_the_sessions_start(void)
{
    gp_thread thread = {.index = 0};
    gp_session *session = gp_session_new(1, 100);
    gp_account *account = gp_account_of(session, &thread);
    gp_account_book_off(session, account, 50, 90);
    gp_account_book_off(session, account, 90, 110);
    gp_account_book_wait(session, account, 0, 100);
    gp_account_book_wait(session, account, 99, 105);
    gp_account_book_hold(session, account, 80, 130);
    gp_account_book_hold(session, account, 140, 139);
    CHECK_EQUAL(account->off, 10);
    CHECK_EQUAL(account->wait, 5);
    CHECK_EQUAL(account->longest_wait, 5);
    CHECK_EQUAL(gp_hist_count(&account->waits), 2); /* an empty interval is one, too */
    CHECK_EQUAL(account->hold, 30);
    CHECK_EQUAL(account->longest_hold, 30);
    CHECK_EQUAL(account->holds.counts[0], 1);
    gp_session_free(session);
}

static long mapped_pages(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%ld", &pages) != 1)
        pages = 0;
    fclose(file);
    return pages;
}

static void open_many_accounts(uint64_t id, gp_thread *threads)
{
    gp_session *session = gp_session_new(id, 100);
    for (size_t n = 0; n < MANY; n++)
        gp_account_of(session, &threads[n]);
    gp_session_free(session);
}

/* Each round maps 100 MiB: ten rounds that leave any of it behind can't be missed. */
static void a_freed_session_leaves_nothing_mapped(void)
{
    gp_thread *threads = new_threads(MANY);
    open_many_accounts(1, threads);
    long before = mapped_pages();
    for (uint64_t id = 2; id < 12; id++)
        open_many_accounts(id, threads);
    CHECK((mapped_pages() - before) * sysconf(_SC_PAGESIZE) < 4 << 20);
    gp_session_free(NULL);
    free(threads);
}

int main(void)
{
    accounts_stand_in_order_of_opening();
    a_thread_has_one_account_in_each_session();
    an_account_begins_with_the_later_of_thread_and_session();
    what_finds_no_memory_is_counted();
    a_thread_without_account_keeps_its_others();
    booking_clips_to_the_sessions_start();
    a_freed_session_leaves_nothing_mapped();
    return gp_test_status();
}
