#include "locks/gp_lock_table.h"

#include <string.h>

#include "base/gp_hash.h"
#include "base/gp_memory.h"

enum {
    FIRST_ROOM = 64,
    SLOTS_PER_ROW = 2, /* at most half full: probes stay short */
};

static size_t size_for(size_t room)
{
    return room * (sizeof(gp_lock_row) + SLOTS_PER_ROW * sizeof(uint32_t));
}

static uint32_t *slot_of(const gp_lock_table *table, const gp_lock_row_key *key)
{
    uint64_t words[3];
    memcpy(words, key, sizeof words);
    size_t last = SLOTS_PER_ROW * table->room - 1;
    size_t at = gp_mix(gp_mix(words[0] ^ words[2] * GP_GOLDEN) ^ words[1]) & last;
    while (table->slots[at] != 0 && memcmp(&table->rows[table->slots[at] - 1].key, key, sizeof *key) != 0)
        at = (at + 1) & last;
    return &table->slots[at];
}

static bool grow(gp_lock_table *table)
{
    gp_lock_table larger = {.count = table->count, .room = table->room != 0 ? 2 * table->room : FIRST_ROOM};
    larger.rows = larger.room <= GP_LOCK_ROWS_MAX ? gp_memory_map(size_for(larger.room)) : NULL;
    if (larger.rows == NULL)
        return false;
    if (larger.count != 0)
        memcpy(larger.rows, table->rows, larger.count * sizeof *larger.rows);
    larger.slots = (uint32_t *)(larger.rows + larger.room);
    for (size_t i = 0; i < larger.count; i++)
        *slot_of(&larger, &larger.rows[i].key) = (uint32_t)i + 1;
    gp_lock_table_clear(table);
    *table = larger;
    return true;
}

gp_lock_row *gp_lock_table_row(gp_lock_table *table, gp_lock_row_key key)
{
    uint32_t row = table->room != 0 ? *slot_of(table, &key) : 0;
    if (row != 0)
        return &table->rows[row - 1];
    if (table->count == table->room && !grow(table))
        return NULL;
    table->rows[table->count] = (gp_lock_row){.key = key};
    *slot_of(table, &key) = (uint32_t)table->count + 1;
    return &table->rows[table->count++];
}

void gp_lock_table_clear(gp_lock_table *table)
{
    gp_memory_unmap(table->rows, size_for(table->room));
    *table = (gp_lock_table){0};
}
