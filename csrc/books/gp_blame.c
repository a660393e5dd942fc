#include "books/gp_blame.h"

#include <string.h>

#include "base/gp_hash.h"
#include "base/gp_memory.h"

enum {
    FIRST_ROOM = 128,
    SLOTS_PER_ROW = 2, /* at most half full: probes stay short */
};

static size_t slots_for(size_t room)
{
    return SLOTS_PER_ROW * room;
}

static size_t size_for(size_t room)
{
    return room * sizeof(gp_blame) + slots_for(room) * sizeof(uint32_t);
}

static uint32_t *blame_slot(const gp_blame_table *table, uint32_t waiter, uint32_t holder, uint32_t place)
{
    size_t last = slots_for(table->room) - 1;
    uint64_t threads = (uint64_t)waiter << 32 | holder;
    size_t at = gp_mix(threads ^ place * GP_GOLDEN) & last;
    for (; table->slots[at] != 0; at = (at + 1) & last) {
        const gp_blame *row = &table->rows[table->slots[at] - 1];
        if (row->waiter == waiter && row->holder == holder && row->place == place)
            break;
    }
    return &table->slots[at];
}

static bool grow_blame(gp_blame_table *table)
{
    gp_blame_table larger = {.count = table->count, .room = table->room != 0 ? 2 * table->room : FIRST_ROOM};
    larger.rows = larger.room <= GP_BLAME_MAX ? gp_memory_map(size_for(larger.room)) : NULL;
    if (larger.rows == NULL)
        return false;
    if (larger.count != 0)
        memcpy(larger.rows, table->rows, larger.count * sizeof *larger.rows);
    larger.slots = (uint32_t *)(larger.rows + larger.room);
    for (size_t i = 0; i < larger.count; i++) {
        const gp_blame *row = &larger.rows[i];
        *blame_slot(&larger, row->waiter, row->holder, row->place) = (uint32_t)i + 1;
    }
    gp_blame_clear(table);
    *table = larger;
    return true;
}

uint32_t gp_blame_find(const gp_blame_table *table, uint32_t waiter, uint32_t holder, uint32_t place)
{
    uint32_t row = table->room != 0 ? *blame_slot(table, waiter, holder, place) : 0;
    return row != 0 ? row - 1 : GP_ROW_NONE;
}

uint32_t gp_blame_number(gp_blame_table *table, uint32_t waiter, uint32_t holder, uint32_t place)
{
    uint32_t found = gp_blame_find(table, waiter, holder, place);
    if (found != GP_ROW_NONE)
        return found;
    if (table->count == table->room && !grow_blame(table))
        return GP_ROW_NONE;
    table->rows[table->count] = (gp_blame){.waiter = waiter, .holder = holder, .place = place};
    *blame_slot(table, waiter, holder, place) = (uint32_t)table->count + 1;
    return (uint32_t)table->count++;
}

static uint32_t renamed_thread(uint32_t thread, const uint64_t *renamed, uint32_t number)
{
    return (renamed[thread / 64] >> thread % 64 & 1) != 0 ? number : thread;
}

void gp_blame_rename(gp_blame_table *table, const uint64_t *renamed, uint32_t number)
{
    size_t count = table->count;
    if (count == 0)
        return;
    memset(table->slots, 0, slots_for(table->room) * sizeof *table->slots);
    table->count = 0;
    for (size_t i = 0; i < count; i++) {
        gp_blame row = table->rows[i]; /* which a row before it may take the place of */
        row.waiter = renamed_thread(row.waiter, renamed, number);
        row.holder = renamed_thread(row.holder, renamed, number);
        table->rows[gp_blame_number(table, row.waiter, row.holder, row.place)].wait += row.wait;
    }
}

void gp_blame_clear(gp_blame_table *table)
{
    gp_memory_unmap(table->rows, size_for(table->room));
    *table = (gp_blame_table){0};
}
