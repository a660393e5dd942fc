/* Who sleeps on which semaphore, and the table of sums. */

#include "locks/gp_lock_waiters.h"

#include <pthread.h>
#include <stddef.h>

#include "gp_test.h"
#include "locks/gp_lock_table.h"

enum { CROWD = 20, ROUNDS = 20000 };

static gp_lock_waiters waiters;

static void wait_for(gp_lock_journal *journal, uintptr_t key, uintptr_t sem)
{
    atomic_store(&journal->waiting.key, key);
    atomic_store(&journal->waiting.sem, sem);
    journal->token = gp_lock_waiters_enter(&waiters, journal, sem);
}

static void leave(gp_lock_journal *journal)
{
    uintptr_t sem = atomic_load(&journal->waiting.sem);
    atomic_store(&journal->waiting.sem, 0);
    gp_lock_waiters_leave(&waiters, sem, journal->token);
}

static void a_post_finds_the_lock_of_who_waits(void)
{
    static gp_lock_journal one, other;
    bool known;
    uintptr_t sem = (uintptr_t)&one;
    CHECK(!gp_lock_anybody(&waiters, sem));
    CHECK_EQUAL(gp_lock_waiters_key(&waiters, sem, &known), 0);
    wait_for(&one, 77, sem);
    wait_for(&other, 88, sem + 8 * GP_LOCK_BUCKETS);
    CHECK(gp_lock_anybody(&waiters, sem));
    CHECK_EQUAL(gp_lock_waiters_key(&waiters, sem, &known), 77);
    CHECK(known);
    atomic_store(&one.waiting.lock, 5);
    CHECK_EQUAL(gp_lock_waiters_lock(&waiters, sem), 5);
    CHECK_EQUAL(gp_lock_waiters_lock(&waiters, sem + 8), GP_ROW_NONE);
    CHECK_EQUAL(gp_lock_waiters_key(&waiters, sem + 8 * GP_LOCK_BUCKETS, &known), 88);
    leave(&one);
    leave(&other);
    CHECK(!gp_lock_anybody(&waiters, sem));
    CHECK_EQUAL(gp_lock_waiters_key(&waiters, sem, &known), 0);
}

static void a_crowd_on_one_semaphore_is_still_seen(void)
{
    static gp_lock_journal crowd[CROWD];
    bool known;
    uintptr_t sem = (uintptr_t)crowd;
    for (int i = 0; i < CROWD; i++)
        wait_for(&crowd[i], sem, sem);
    CHECK_EQUAL(gp_lock_waiters_key(&waiters, sem, &known), sem);
    CHECK(known);
    for (int i = 0; i < GP_LOCK_BUCKET_ROOM; i++)
        leave(&crowd[i]);
    CHECK_EQUAL(gp_lock_waiters_key(&waiters, sem, &known), sem); /* those without room */
    CHECK(!known);
    for (int i = GP_LOCK_BUCKET_ROOM; i < CROWD; i++)
        leave(&crowd[i]);
    CHECK(!gp_lock_anybody(&waiters, sem));
    CHECK_EQUAL(gp_lock_waiters_key(&waiters, sem, &known), 0);
}

static void *come_and_go(void *sem)
{
    static __thread gp_lock_journal journal;
    for (int i = 0; i < ROUNDS; i++) {
        bool known;
        wait_for(&journal, (uintptr_t)sem, (uintptr_t)sem);
        CHECK_EQUAL(gp_lock_waiters_key(&waiters, (uintptr_t)sem, &known), (uintptr_t)sem);
        leave(&journal);
    }
    return NULL;
}

static void threads_do_not_disturb_each_other(void)
{
    pthread_t threads[4];
    static uint64_t sems[4];
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, come_and_go, &sems[i / 2]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++)
        CHECK(!gp_lock_anybody(&waiters, (uintptr_t)&sems[i]));
}

static void sums_have_one_row_a_key(void)
{
    gp_rows table = {0};
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 1000; i++) {
            gp_lock_row *row = gp_lock_table_row(
                &table, (gp_lock_row_key){i % 3, i / 7, i % 5, i, i % 2 != 0 ? GP_LOCK_NOBODY : i, 3});
            CHECK(row != NULL);
            row->ticks += i;
            CHECK_EQUAL(row->ticks, (uint64_t)i * (round + 1));
        }
    CHECK_EQUAL(table.count, 1000);
    gp_rows_clear(&table, &gp_lock_rows);
    uint32_t made = 0;
    while (gp_lock_table_row(&table, (gp_lock_row_key){.lock = made}) != NULL)
        made++;
    CHECK_EQUAL(made, GP_LOCK_ROWS_MAX);
    CHECK(gp_lock_table_row(&table, (gp_lock_row_key){.lock = 5}) != NULL);
    gp_rows_clear(&table, &gp_lock_rows);
}

int main(void)
{
    a_post_finds_the_lock_of_who_waits();
    a_crowd_on_one_semaphore_is_still_seen();
    threads_do_not_disturb_each_other();
    sums_have_one_row_a_key();
    return gp_test_status();
}
