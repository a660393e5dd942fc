/* The table of tallies, against a plain list of what should be in it. */

#include "books/gp_tallies.h"

#include <string.h>

#include "gp_test.h"

enum { THREADS = 12, PLACES = 7, RECORDS = 20000 };

static gp_look_sums twin[THREADS][PLACES][PLACES];

static void check_tallies(const gp_rows *table)
{
    gp_look_sums seen[THREADS][PLACES][PLACES] = {{{{0}}}};
    for (size_t i = 0; i < table->count; i++) {
        const gp_tally *row = (const gp_tally *)table->rows + i;
        CHECK(row->holder < THREADS && row->ended < PLACES && row->looked < PLACES);
        CHECK_EQUAL(seen[row->holder][row->ended][row->looked].looks, 0); /* each comes once */
        seen[row->holder][row->ended][row->looked] = row->sums;
    }
    CHECK_EQUAL(memcmp(seen, twin, sizeof twin), 0);
}

static void add(gp_rows *table, uint32_t i)
{
    uint32_t holder = i * 7 % THREADS, ended = i * 5 / 3 % PLACES, looked = i / 11 % PLACES;
    gp_tally *row = gp_tally_of(table, holder, ended, looked);
    CHECK(row != NULL);
    gp_look_sums look = gp_look_sums_of(3, i), *sums = &twin[holder][ended][looked];
    gp_look_sums_add(&row->sums, &look);
    *sums = (gp_look_sums){sums->looks + 1, sums->waiting + i, sums->time + 3, sums->waited + 3 * i,
                           sums->squares + (uint64_t)9 * i * i};
}

static void rename_in_twin(uint64_t renamed, uint32_t number)
{
    for (uint32_t holder = 0; holder < THREADS; holder++)
        for (uint32_t i = 0; i < PLACES * PLACES && (renamed >> holder & 1) != 0; i++) {
            gp_look_sums *from = &twin[holder][i / PLACES][i % PLACES];
            gp_look_sums moved = *from;
            *from = (gp_look_sums){0};
            gp_look_sums_add(&twin[number][i / PLACES][i % PLACES], &moved);
        }
}

static void looks_add_up_under_any_names(void)
{
    gp_rows table = {0};
    const uint64_t renamed[] = {1 << 5 | 1 << 11};
    CHECK(gp_rows_are_full(&table));
    gp_rows_rename(&table, &gp_tally_rows, renamed, 2); /* nothing yet */
    for (uint32_t i = 0; i < RECORDS; i++)
        add(&table, i);
    check_tallies(&table);
    size_t before = table.count;
    gp_rows_rename(&table, &gp_tally_rows, renamed, 2);
    rename_in_twin(renamed[0], 2);
    check_tallies(&table);
    CHECK(table.count < before);
    for (uint32_t i = 0; i < RECORDS; i++) /* and new ones find their rows */
        add(&table, i);
    check_tallies(&table);
    gp_rows_clear(&table, &gp_tally_rows);
    CHECK_EQUAL(table.room, 0);
}

static void squares_are_as_large_as_can_be_at_most(void)
{
    gp_look_sums sums = {0}, look = gp_look_sums_of(UINT32_MAX, 1);
    gp_look_sums_add(&sums, &look);
    CHECK_EQUAL(sums.squares, GP_LOOK_SQUARES_MAX);
    look = gp_look_sums_of(UINT32_MAX, UINT32_MAX);
    CHECK_EQUAL(look.squares, GP_LOOK_SQUARES_MAX);
    gp_look_sums_add(&sums, &look);
    CHECK_EQUAL(sums.squares, GP_LOOK_SQUARES_MAX);
    CHECK_EQUAL(sums.looks, 2);
}

static void a_full_table_refuses_new_rows_only(void)
{
    gp_rows table = {0};
    uint32_t made = 0;
    while (gp_tally_of(&table, 0, made, made) != NULL)
        made++;
    CHECK_EQUAL(made, GP_TALLIES_MAX);
    CHECK(gp_tally_of(&table, 0, 1, 1) != NULL);
    CHECK(gp_tally_of(&table, 1, 0, 0) == NULL);
    gp_rows_clear(&table, &gp_tally_rows);
}

int main(void)
{
    looks_add_up_under_any_names();
    squares_are_as_large_as_can_be_at_most();
    a_full_table_refuses_new_rows_only();
    return gp_test_status();
}
