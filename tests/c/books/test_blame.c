/* The table of blame, against a plain list of what should be in it. */

#include "books/gp_blame.h"

#include <string.h>

#include "gp_test.h"

enum { THREADS = 12, PLACES = 5, RECORDS = 20000 };

static uint64_t twin[THREADS][THREADS][PLACES];

static void check_blame(const gp_rows *table)
{
    uint64_t seen[THREADS][THREADS][PLACES] = {{{0}}};
    for (size_t i = 0; i < table->count; i++) {
        const gp_blame *row = (const gp_blame *)table->rows + i;
        CHECK(row->waiter < THREADS && row->holder < THREADS && row->place < PLACES);
        CHECK_EQUAL(seen[row->waiter][row->holder][row->place], 0); /* each comes once */
        seen[row->waiter][row->holder][row->place] = row->wait;
    }
    CHECK_EQUAL(memcmp(seen, twin, sizeof twin), 0);
}

static void charge(gp_rows *table, uint32_t i)
{
    uint32_t waiter = i * 7 % THREADS, holder = i * 5 / 3 % THREADS, place = i / 11 % PLACES;
    gp_blame_of(table, waiter, holder, place)->wait += i + 1;
    twin[waiter][holder][place] += i + 1;
}

static void rename_in_twin(uint64_t renamed, uint32_t number)
{
    uint64_t after[THREADS][THREADS][PLACES] = {{{0}}};
    for (uint32_t waiter = 0; waiter < THREADS; waiter++)
        for (uint32_t holder = 0; holder < THREADS; holder++)
            for (uint32_t place = 0; place < PLACES; place++)
                after[renamed >> waiter & 1 ? number : waiter][renamed >> holder & 1 ? number : holder]
                     [place] += twin[waiter][holder][place];
    memcpy(twin, after, sizeof twin);
}

static void who_waited_behind_whom_adds_up_under_any_names(void)
{
    gp_rows table = {0};
    const uint64_t renamed[] = {1 << 2 | 1 << 5 | 1 << 11};
    CHECK(gp_rows_are_full(&table));
    gp_rows_rename(&table, &gp_blame_rows, renamed, 2); /* nothing yet */
    for (uint32_t i = 0; i < RECORDS; i++)
        charge(&table, i);
    check_blame(&table);
    size_t before = table.count;
    gp_rows_rename(&table, &gp_blame_rows, renamed, 2);
    rename_in_twin(renamed[0], 2);
    check_blame(&table);
    CHECK(table.count < before);
    for (uint32_t i = 0; i < RECORDS; i++) /* and new ones find their rows */
        charge(&table, i);
    check_blame(&table);
    gp_rows_clear(&table, &gp_blame_rows);
}

static uint64_t *wait_of(gp_rows *table, uint32_t waiter, uint32_t holder)
{
    return &gp_blame_of(table, waiter, holder, 0)->wait;
}

static void any_number_may_be_renamed(void)
{
    gp_rows table = {0};
    const uint64_t renamed[] = {0, 1 << 6};
    *wait_of(&table, 70, 6) = 10;
    *wait_of(&table, 6, 70) = 20;
    gp_rows_rename(&table, &gp_blame_rows, renamed, 2);
    CHECK_EQUAL(table.count, 2);
    CHECK_EQUAL(*wait_of(&table, 2, 6), 10);
    CHECK_EQUAL(*wait_of(&table, 6, 2), 20);
    gp_rows_clear(&table, &gp_blame_rows);
}

static void a_full_table_refuses_new_rows_and_keeps_the_old_ones(void)
{
    gp_rows table = {0};
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < GP_BLAME_MAX; i++)
        wrong += gp_blame_of(&table, i, i + 1, 0) != (gp_blame *)table.rows + i;
    CHECK_EQUAL(wrong, 0);
    CHECK(gp_rows_are_full(&table));
    CHECK(gp_blame_of(&table, GP_BLAME_MAX, 0, 0) == NULL);
    CHECK_EQUAL(table.count, GP_BLAME_MAX);
    CHECK(gp_blame_of(&table, 4711, 4712, 0) == (gp_blame *)table.rows + 4711);
    gp_rows_clear(&table, &gp_blame_rows);
}

int main(void)
{
    who_waited_behind_whom_adds_up_under_any_names();
    any_number_may_be_renamed();
    a_full_table_refuses_new_rows_and_keeps_the_old_ones();
    return gp_test_status();
}
