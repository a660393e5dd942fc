#include "base/gp_rows.h"

#include <string.h>

#include "base/gp_hash.h"
#include "base/gp_memory.h"

enum {
    SLOTS_PER_ROW = 2, /* at most half full: probes stay short */
};

static size_t size_for(const gp_rows_kind *kind, size_t room)
{
    return room * (kind->size + SLOTS_PER_ROW * sizeof(uint32_t));
}

static void *nth(const gp_rows *table, const gp_rows_kind *kind, size_t number)
{
    return (char *)table->rows + number * kind->size;
}

/* A key is read two numbers at a time, but for the first one if their number is odd. */
static uint64_t two_at(const uint32_t *key, size_t i)
{
    uint64_t two;
    memcpy(&two, key + i, sizeof two);
    return two;
}

static bool is_same(const uint32_t *a, const uint32_t *b, size_t numbers)
{
    size_t i = numbers % 2;
    if (i != 0 && a[0] != b[0])
        return false;
    while (i < numbers && two_at(a, i) == two_at(b, i))
        i += 2;
    return i >= numbers;
}

static uint64_t hash_of(const uint32_t *key, size_t numbers)
{
    uint64_t hash = numbers % 2 != 0 ? key[0] * GP_GOLDEN : 0;
    for (size_t i = numbers % 2; i < numbers; i += 2)
        hash = (hash ^ two_at(key, i)) * GP_GOLDEN;
    return gp_mix(hash);
}

static uint32_t *slot_of(const gp_rows *table, const gp_rows_kind *kind, const uint32_t *key)
{
    size_t last = SLOTS_PER_ROW * table->room - 1, at = hash_of(key, kind->numbers) & last;
    while (table->slots[at] != 0 && !is_same(nth(table, kind, table->slots[at] - 1), key, kind->numbers))
        at = (at + 1) & last;
    return &table->slots[at];
}

static bool grow(gp_rows *table, const gp_rows_kind *kind)
{
    gp_rows larger = {.count = table->count, .room = table->room != 0 ? 2 * table->room : kind->first};
    larger.rows = larger.room <= kind->most ? gp_memory_map(size_for(kind, larger.room)) : NULL;
    if (larger.rows == NULL)
        return false;
    if (larger.count != 0)
        memcpy(larger.rows, table->rows, larger.count * kind->size);
    larger.slots = nth(&larger, kind, larger.room);
    for (size_t i = 0; i < larger.count; i++)
        *slot_of(&larger, kind, nth(&larger, kind, i)) = (uint32_t)i + 1;
    gp_rows_clear(table, kind);
    *table = larger;
    return true;
}

void *gp_rows_find(const gp_rows *table, const gp_rows_kind *kind, const uint32_t *key)
{
    uint32_t row = table->room != 0 ? *slot_of(table, kind, key) : 0;
    return row != 0 ? nth(table, kind, row - 1) : NULL;
}

void *gp_rows_make(gp_rows *table, const gp_rows_kind *kind, const uint32_t *key)
{
    void *row = gp_rows_find(table, kind, key);
    if (row != NULL || (gp_rows_are_full(table) && !grow(table, kind)))
        return row;
    row = nth(table, kind, table->count);
    memset(row, 0, kind->size); /* there may be one that was renamed */
    memcpy(row, key, kind->numbers * sizeof *key);
    *slot_of(table, kind, key) = (uint32_t)++table->count;
    return row;
}

void gp_rows_rename(gp_rows *table, const gp_rows_kind *kind, const uint64_t *renamed, uint32_t number)
{
    size_t count = table->count;
    if (count == 0)
        return;
    memset(table->slots, 0, SLOTS_PER_ROW * table->room * sizeof *table->slots);
    table->count = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t *row = nth(table, kind, i);
        for (size_t k = 0; k < kind->accounts; k++)
            row[k] = (renamed[row[k] / 64] >> row[k] % 64 & 1) != 0 ? number : row[k];
        uint32_t *slot = slot_of(table, kind, row);
        if (*slot != 0) {
            kind->add(nth(table, kind, *slot - 1), row);
            continue;
        }
        memmove(nth(table, kind, table->count), row, kind->size);
        *slot = (uint32_t)++table->count;
    }
}

void gp_rows_clear(gp_rows *table, const gp_rows_kind *kind)
{
    gp_memory_unmap(table->rows, size_for(kind, table->room));
    *table = (gp_rows){0};
}
