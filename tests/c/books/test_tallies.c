/* The table of tallies, against a plain list of what should be in it. */

#include "books/gp_tallies.h"

#include <string.h>

#include "gp_test.h"

enum { THREADS = 12, PLACES = 7, RECORDS = 20000 };

typedef struct {
    uint64_t looks, waiting;
} sums;

static sums twin[THREADS][PLACES][PLACES];

static void check_tallies(const gp_tally_table *table)
{
    sums seen[THREADS][PLACES][PLACES] = {{{{0}}}};
    for (size_t i = 0; i < table->count; i++) {
        const gp_tally *row = &table->rows[i];
        CHECK(row->holder < THREADS && row->ended < PLACES && row->looked < PLACES);
        CHECK_EQUAL(seen[row->holder][row->ended][row->looked].looks, 0); /* each comes once */
        seen[row->holder][row->ended][row->looked] = (sums){row->looks, row->waiting};
    }
    CHECK_EQUAL(memcmp(seen, twin, sizeof twin), 0);
}

static void add(gp_tally_table *table, uint32_t i)
{
    uint32_t holder = i * 7 % THREADS, ended = i * 5 / 3 % PLACES, looked = i / 11 % PLACES;
    gp_tally *row = gp_tallies_row(table, holder, ended, looked);
    CHECK(row != NULL);
    row->looks += 1;
    row->waiting += i;
    twin[holder][ended][looked].looks += 1;
    twin[holder][ended][looked].waiting += i;
}

static void rename_in_twin(uint64_t renamed, uint32_t number)
{
    for (uint32_t holder = 0; holder < THREADS; holder++)
        for (uint32_t i = 0; i < PLACES * PLACES && (renamed >> holder & 1) != 0; i++) {
            sums *from = &twin[holder][i / PLACES][i % PLACES], *to = &twin[number][i / PLACES][i % PLACES];
            sums moved = *from;
            *from = (sums){0};
            to->looks += moved.looks;
            to->waiting += moved.waiting;
        }
}

static void looks_add_up_under_any_names(void)
{
    gp_tally_table table = {0};
    const uint64_t renamed[] = {1 << 5 | 1 << 11};
    CHECK(gp_tallies_are_full(&table));
    gp_tallies_rename(&table, renamed, 2); /* nothing yet */
    for (uint32_t i = 0; i < RECORDS; i++)
        add(&table, i);
    check_tallies(&table);
    size_t before = table.count;
    gp_tallies_rename(&table, renamed, 2);
    rename_in_twin(renamed[0], 2);
    check_tallies(&table);
    CHECK(table.count < before);
    for (uint32_t i = 0; i < RECORDS; i++) /* and new ones find their rows */
        add(&table, i);
    check_tallies(&table);
    gp_tallies_clear(&table);
    CHECK_EQUAL(table.room, 0);
}

static void a_full_table_refuses_new_rows_only(void)
{
    gp_tally_table table = {0};
    uint32_t made = 0;
    while (gp_tallies_row(&table, 0, made, made) != NULL)
        made++;
    CHECK_EQUAL(made, GP_TALLIES_MAX);
    CHECK(gp_tallies_row(&table, 0, 1, 1) != NULL);
    CHECK(gp_tallies_row(&table, 1, 0, 0) == NULL);
    gp_tallies_clear(&table);
}

int main(void)
{
    looks_add_up_under_any_names();
    a_full_table_refuses_new_rows_only();
    return gp_test_status();
}
