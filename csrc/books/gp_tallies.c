#include "books/gp_tallies.h"

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
    return room * sizeof(gp_tally) + slots_for(room) * sizeof(uint32_t);
}

static uint32_t *slot_of(const gp_tally_table *table, uint32_t holder, uint32_t ended, uint32_t looked)
{
    size_t last = slots_for(table->room) - 1;
    uint64_t places = (uint64_t)ended << 32 | looked;
    size_t at = gp_mix(places ^ holder * GP_GOLDEN) & last;
    for (; table->slots[at] != 0; at = (at + 1) & last) {
        const gp_tally *row = &table->rows[table->slots[at] - 1];
        if (row->holder == holder && row->ended == ended && row->looked == looked)
            break;
    }
    return &table->slots[at];
}

static bool grow(gp_tally_table *table)
{
    gp_tally_table larger = {.count = table->count, .room = table->room != 0 ? 2 * table->room : FIRST_ROOM};
    larger.rows = larger.room <= GP_TALLIES_MAX ? gp_memory_map(size_for(larger.room)) : NULL;
    if (larger.rows == NULL)
        return false;
    if (larger.count != 0)
        memcpy(larger.rows, table->rows, larger.count * sizeof *larger.rows);
    larger.slots = (uint32_t *)(larger.rows + larger.room);
    for (size_t i = 0; i < larger.count; i++) {
        const gp_tally *row = &larger.rows[i];
        *slot_of(&larger, row->holder, row->ended, row->looked) = (uint32_t)i + 1;
    }
    gp_tallies_clear(table);
    *table = larger;
    return true;
}

gp_tally *gp_tallies_row(gp_tally_table *table, uint32_t holder, uint32_t ended, uint32_t looked)
{
    if (table->room != 0) {
        uint32_t row = *slot_of(table, holder, ended, looked);
        if (row != 0)
            return &table->rows[row - 1];
    }
    if (gp_tallies_are_full(table) && !grow(table))
        return NULL;
    table->rows[table->count] = (gp_tally){.holder = holder, .ended = ended, .looked = looked};
    *slot_of(table, holder, ended, looked) = (uint32_t)table->count + 1;
    return &table->rows[table->count++];
}

void gp_tallies_rename(gp_tally_table *table, const uint64_t *renamed, uint32_t number)
{
    size_t count = table->count;
    if (count == 0)
        return;
    memset(table->slots, 0, slots_for(table->room) * sizeof *table->slots);
    table->count = 0;
    for (size_t i = 0; i < count; i++) {
        gp_tally row = table->rows[i]; /* which a row before it may take the place of */
        bool is_renamed = (renamed[row.holder / 64] >> row.holder % 64 & 1) != 0;
        gp_tally *sum = gp_tallies_row(table, is_renamed ? number : row.holder, row.ended, row.looked);
        gp_look_sums_add(&sum->sums, &row.sums);
    }
}

void gp_tallies_clear(gp_tally_table *table)
{
    gp_memory_unmap(table->rows, size_for(table->room));
    *table = (gp_tally_table){0};
}
