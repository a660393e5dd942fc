#include "books/gp_pause_sums.h"

#include <string.h>

#include "base/gp_hash.h"
#include "base/gp_memory.h"

enum {
    FIRST_ROOM = 32,
    SLOTS_PER_ROW = 2, /* at most half full: probes stay short */
};

static size_t slots_for(size_t room)
{
    return SLOTS_PER_ROW * room;
}

static size_t size_for(size_t room)
{
    return room * sizeof(gp_pause_sum) + slots_for(room) * sizeof(uint32_t);
}

static bool is_same(const gp_pause_sum *row, const gp_pause_sum *sum)
{
    return row->holder == sum->holder && row->ended == sum->ended && row->place == sum->place &&
           row->generation == sum->generation;
}

static uint32_t *slot_of(const gp_pause_table *table, const gp_pause_sum *sum)
{
    size_t last = slots_for(table->room) - 1;
    uint64_t places = (uint64_t)sum->ended << 32 | sum->place;
    size_t at =
        gp_mix(places ^ ((uint64_t)sum->holder * GP_GENERATIONS + sum->generation) * GP_GOLDEN) & last;
    while (table->slots[at] != 0 && !is_same(&table->rows[table->slots[at] - 1], sum))
        at = (at + 1) & last;
    return &table->slots[at];
}

static void clear(gp_pause_table *table)
{
    gp_memory_unmap(table->rows, size_for(table->room));
    *table = (gp_pause_table){0};
}

static bool grow(gp_pause_table *table)
{
    gp_pause_table larger = {.count = table->count, .room = table->room != 0 ? 2 * table->room : FIRST_ROOM};
    larger.rows = larger.room <= GP_PAUSE_SUMS_MAX ? gp_memory_map(size_for(larger.room)) : NULL;
    if (larger.rows == NULL)
        return false;
    if (larger.count != 0)
        memcpy(larger.rows, table->rows, larger.count * sizeof *larger.rows);
    larger.slots = (uint32_t *)(larger.rows + larger.room);
    for (size_t i = 0; i < larger.count; i++)
        *slot_of(&larger, &larger.rows[i]) = (uint32_t)i + 1;
    clear(table);
    *table = larger;
    return true;
}

static gp_pause_sum *row_of(gp_pause_table *table, const gp_pause_sum *sum)
{
    uint32_t row = table->room != 0 ? *slot_of(table, sum) : 0;
    if (row != 0)
        return &table->rows[row - 1];
    if (gp_pause_sums_are_full(table) && !grow(table))
        return NULL;
    gp_pause_sum *added = &table->rows[table->count];
    *added = (gp_pause_sum){sum->holder, sum->ended, sum->place, sum->generation, .count = 0};
    *slot_of(table, sum) = (uint32_t)++table->count;
    return added;
}

void gp_pause_sum_up(gp_pause_sum *row, const gp_pause_sum *sum)
{
    row->held += sum->held;
    row->wait += sum->wait;
    row->count += sum->count;
    row->ticks += sum->ticks;
    row->longest = sum->longest > row->longest ? sum->longest : row->longest;
    row->collected += sum->collected;
    row->uncollectable += sum->uncollectable;
}

bool gp_pause_sums_add(gp_pause_table *table, const gp_pause_sum *sum)
{
    gp_pause_sum *row = row_of(table, sum);
    if (row != NULL)
        gp_pause_sum_up(row, sum);
    return row != NULL;
}

void gp_pause_sums_rename(gp_pause_table *table, const uint64_t *renamed, uint32_t number)
{
    size_t count = table->count;
    if (count == 0)
        return;
    memset(table->slots, 0, slots_for(table->room) * sizeof *table->slots);
    table->count = 0;
    for (size_t i = 0; i < count; i++) {
        gp_pause_sum row = table->rows[i]; /* which a row before it may take the place of */
        if ((renamed[row.holder / 64] >> row.holder % 64 & 1) != 0)
            row.holder = number;
        (void)gp_pause_sums_add(table, &row); /* there is room */
    }
}

void gp_pause_write(const gp_pause *pause, uint64_t origin, gp_buffer *buffer)
{
    gp_buffer_number(buffer, pause->holder);
    gp_buffer_number(buffer, (uint32_t)(pause->place + 1)); /* GP_ROW_NONE becomes 0 */
    gp_buffer_number(buffer, pause->generation);
    gp_buffer_number(buffer, pause->start > origin ? pause->start - origin : 0);
    gp_buffer_number(buffer, pause->ticks);
    gp_buffer_number(buffer, pause->held);
    gp_buffer_number(buffer, pause->wait);
    gp_buffer_number(buffer, pause->collected);
    gp_buffer_number(buffer, pause->uncollectable);
}

static gp_pause *shortest(gp_pauses *pauses)
{
    gp_pause *least = pauses->longest;
    for (size_t i = 1; i < pauses->longest_count; i++)
        if (pauses->longest[i].ticks < least->ticks)
            least = &pauses->longest[i];
    return least;
}

void gp_pauses_keep_longest(gp_pauses *pauses, const gp_pause *pause)
{
    if (pauses->longest_count < GP_PAUSES_LONGEST) {
        pauses->longest[pauses->longest_count++] = *pause;
        return;
    }
    if (pause->ticks <= pauses->floor)
        return;
    *shortest(pauses) = *pause;
    pauses->floor = shortest(pauses)->ticks;
}

void gp_pauses_free(gp_pauses *pauses)
{
    clear(&pauses->sums);
    gp_buffer_free(&pauses->told);
}
