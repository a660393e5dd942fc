#include "books/gp_sites.h"

#include <string.h>

#include "base/gp_memory.h"

enum {
    FIRST_ROOM = 128,
    SLOTS_PER_ROW = 2, /* at most half full: probes stay short */
};

/* ---- memory: the rows of a table, and behind them its slots ---- */

static size_t slots_for(size_t room)
{
    return SLOTS_PER_ROW * room;
}

static size_t size_for(size_t room, size_t row_size)
{
    return room * row_size + slots_for(room) * sizeof(uint32_t);
}

/* The memory of a larger table, with the `count` rows of this one, and slots that are free. NULL, and the
 * room is as before, if there is no memory or the limit is reached. */
static void *enlarge(const void *rows, size_t row_size, size_t count, size_t *room, size_t limit)
{
    size_t larger = *room != 0 ? 2 * *room : FIRST_ROOM;
    void *memory = larger <= limit ? gp_memory_map(size_for(larger, row_size)) : NULL;
    if (memory == NULL)
        return NULL;
    if (count != 0)
        memcpy(memory, rows, count * row_size);
    *room = larger;
    return memory;
}

/* ---- places ---- */

static uint64_t hash_of(uint32_t parent, const uint8_t *text, size_t size)
{
    uint64_t hash = (uint64_t)parent << 32 | (uint32_t)size, part;
    for (; size >= sizeof part; text += sizeof part, size -= sizeof part) {
        memcpy(&part, text, sizeof part);
        hash = gp_mix(hash ^ part) * GP_GOLDEN;
    }
    part = 0;
    memcpy(&part, text, size);
    return gp_mix(hash ^ part);
}

static bool is_same_place(const gp_place *a, const gp_place *b, const uint8_t *texts)
{
    return a->hash == b->hash && a->parent == b->parent && a->size == b->size &&
           memcmp(texts + a->text, texts + b->text, a->size) == 0;
}

static uint32_t *place_slot(const gp_place_table *table, const gp_place *place, const uint8_t *texts)
{
    size_t last = slots_for(table->room) - 1; /* of a power of 2 */
    size_t at = place->hash & last;
    while (table->slots[at] != 0 && !is_same_place(&table->rows[table->slots[at] - 1], place, texts))
        at = (at + 1) & last;
    return &table->slots[at];
}

static bool grow_places(gp_place_table *table, const uint8_t *texts)
{
    gp_place_table larger = {.count = table->count, .room = table->room};
    larger.rows = enlarge(table->rows, sizeof *table->rows, table->count, &larger.room, GP_PLACES_MAX);
    if (larger.rows == NULL)
        return false;
    larger.slots = (uint32_t *)(larger.rows + larger.room);
    for (size_t i = 0; i < larger.count; i++)
        *place_slot(&larger, &larger.rows[i], texts) = (uint32_t)i + 1;
    gp_places_clear(table);
    *table = larger;
    return true;
}

uint32_t gp_places_number(gp_place_table *table, uint32_t parent, const gp_buffer *texts, size_t from)
{
    gp_place place = {.parent = parent, .text = (uint32_t)from, .size = (uint32_t)(texts->size - from)};
    place.hash = hash_of(parent, texts->bytes + from, place.size);
    if (table->room != 0) {
        uint32_t row = *place_slot(table, &place, texts->bytes);
        if (row != 0)
            return row - 1;
    }
    if (table->count == table->room && !grow_places(table, texts->bytes))
        return GP_ROW_NONE;
    table->rows[table->count] = place;
    *place_slot(table, &place, texts->bytes) = (uint32_t)table->count + 1;
    return (uint32_t)table->count++;
}

void gp_places_clear(gp_place_table *table)
{
    gp_memory_unmap(table->rows, size_for(table->room, sizeof *table->rows));
    *table = (gp_place_table){0};
}

/* ---- blame ---- */

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
    gp_blame_table larger = {.count = table->count, .room = table->room};
    larger.rows = enlarge(table->rows, sizeof *table->rows, table->count, &larger.room, GP_BLAME_MAX);
    if (larger.rows == NULL)
        return false;
    larger.slots = (uint32_t *)(larger.rows + larger.room);
    for (size_t i = 0; i < larger.count; i++) {
        const gp_blame *row = &larger.rows[i];
        *blame_slot(&larger, row->waiter, row->holder, row->place) = (uint32_t)i + 1;
    }
    gp_blame_clear(table);
    *table = larger;
    return true;
}

uint32_t gp_blame_number(gp_blame_table *table, uint32_t waiter, uint32_t holder, uint32_t place)
{
    if (table->room != 0) {
        uint32_t row = *blame_slot(table, waiter, holder, place);
        if (row != 0)
            return row - 1;
    }
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
    gp_memory_unmap(table->rows, size_for(table->room, sizeof *table->rows));
    *table = (gp_blame_table){0};
}
