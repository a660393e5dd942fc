#include "cpython/gp_linetable.h"

#include <stdlib.h>
#include <string.h>

#include "gp_test.h"

/* The first byte of an entry about `units` code units. */
#define ENTRY(kind, units) (uint8_t)(0x80 | (kind) << 3 | ((units) - 1))

enum { SHORT = 3, ONE_LINE = 10, NO_COLUMNS = 13, LONG = 14, NOWHERE = 15 };

#define LINE(table, first_line, instruction) gp_linetable_line(table, sizeof table, first_line, instruction)

static void every_kind_of_entry_is_understood(void)
{
    const uint8_t table[] = {
        ENTRY(SHORT, 2),
        0x11, /* the first line */
        ENTRY(ONE_LINE + 2, 1),
        1,
        2,                 /* +2 */
        ENTRY(NOWHERE, 3), /* no line */
        ENTRY(NO_COLUMNS, 1),
        3, /* -1 */
        ENTRY(LONG, 8),
        0x40 | (200 & 0x3F),
        200 >> 6,
        0,
        1,
        1, /* +100 */
        ENTRY(ONE_LINE, 1),
        0,
        0, /* the same */
    };
    const int32_t lines[] = {10, 10, 12, 0, 0, 0, 11, 111, 111, 111, 111, 111, 111, 111, 111, 111};
    for (int32_t unit = 0; unit < 16; unit++) {
        CHECK_EQUAL(LINE(table, 10, 2 * unit), lines[unit]);
        CHECK_EQUAL(LINE(table, 10, 2 * unit + 1), lines[unit]); /* inside a code unit */
    }
    CHECK_EQUAL(LINE(table, 10, 32), 0);
    CHECK_EQUAL(LINE(table, 10, INT32_MAX), 0);
}

static void a_frame_that_has_not_begun_is_at_the_first_line(void)
{
    const uint8_t table[] = {ENTRY(ONE_LINE + 1, 1), 0, 0};
    CHECK_EQUAL(LINE(table, 10, -2), 10);
    CHECK_EQUAL(LINE(table, 10, INT32_MIN), 10);
    CHECK_EQUAL(gp_linetable_line(table, 0, 10, -1), 10);
}

static void lines_that_cannot_be_are_none(void)
{
    const uint8_t up[] = {ENTRY(NO_COLUMNS, 1), 2};
    const uint8_t down[] = {ENTRY(NO_COLUMNS, 1), 3};
    CHECK_EQUAL(LINE(up, INT32_MAX, 0), 0);
    CHECK_EQUAL(LINE(down, 1, 0), 0);
    CHECK_EQUAL(LINE(down, INT32_MIN, 0), 0);
    CHECK_EQUAL(LINE(down, -5, -2), 0);
}

static void what_is_no_table_gives_no_line(void)
{
    const uint8_t none[] = {0, 1, 2, ENTRY(ONE_LINE, 8), 0, 0};
    const uint8_t endless[] = {
        ENTRY(NO_COLUMNS, 1), 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F, 0x7F};
    CHECK_EQUAL(LINE(none, 10, 0), 0);
    CHECK_EQUAL(gp_linetable_line(NULL, 0, 10, 0), 0);
    CHECK_EQUAL(LINE(endless, 10, 0), 0);
}

static int32_t line_by_pieces(const uint8_t *table, size_t size, int32_t first_line, int32_t instruction)
{
    gp_linetable_search search;
    gp_linetable_begin(&search, first_line, instruction);
    for (size_t at = 0, used = 1; at < size && used != 0 && !search.found; at += used) {
        size_t piece = size - at < GP_LINETABLE_PIECE ? size - at : GP_LINETABLE_PIECE;
        uint8_t *copy = malloc(piece); /* for the sanitizers to watch its ends */
        memcpy(copy, table + at, piece);
        used = gp_linetable_feed(&search, copy, piece, at + piece == size);
        free(copy);
    }
    return search.found ? search.answer : 0;
}

/* Entries of any kind with at most 8 bytes behind each: what fits into a piece. */
static size_t scribble(uint8_t *table, size_t room)
{
    size_t size = 0, rest = 0;
    while (size < room) {
        table[size++] = (uint8_t)(rest == 0 ? 0x80 | rand() : rand() & 0x7F);
        rest = rest == 0 ? (size_t)rand() % 9 : rest - 1;
    }
    return size;
}

static void a_table_reads_the_same_in_pieces(void)
{
    uint8_t table[500];
    srand(11);
    for (int round = 0; round < 3000; round++) {
        size_t size = scribble(table, (size_t)rand() % sizeof table);
        int32_t first_line = rand() % 1000, instruction = rand() % 1500;
        CHECK_EQUAL(line_by_pieces(table, size, first_line, instruction),
                    gp_linetable_line(table, size, first_line, instruction));
    }
}

static void any_bytes_at_all_are_read_to_an_end(void)
{
    srand(13);
    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)rand() % 100;
        uint8_t *table = malloc(size + 1);
        for (size_t i = 0; i < size; i++)
            table[i] = (uint8_t)rand();
        CHECK(gp_linetable_line(table, size, rand(), rand() % 200 - 10) >= 0);
        CHECK(line_by_pieces(table, size, rand(), rand() % 200 - 10) >= 0);
        free(table);
    }
}

int main(void)
{
    every_kind_of_entry_is_understood();
    a_frame_that_has_not_begun_is_at_the_first_line();
    lines_that_cannot_be_are_none();
    what_is_no_table_gives_no_line();
    a_table_reads_the_same_in_pieces();
    any_bytes_at_all_are_read_to_an_end();
    return gp_test_status();
}
