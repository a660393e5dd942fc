#include "books/gp_known.h"

#include <string.h>

#include "base/gp_hash.h"
#include "base/gp_memory.h"

enum {
    FIRST_ROOM = 128,
    WHOLE = INT32_MIN, /* no instruction: the row that begins the list of a code object's rows */
};

static size_t size_for(size_t room)
{
    return room * (sizeof(gp_known) + sizeof(uint32_t));
}

static uint32_t *head_of(const gp_known_table *table, gp_site_key key)
{
    uint64_t hash = gp_mix((uint64_t)(uintptr_t)key.code ^ (uint32_t)key.instruction * GP_GOLDEN);
    return &table->heads[hash & (table->room - 1)];
}

static uint32_t find(const gp_known_table *table, gp_site_key key)
{
    uint32_t at = table->room != 0 ? *head_of(table, key) : 0;
    while (at != 0 && !gp_site_same(table->rows[at - 1].key, key))
        at = table->rows[at - 1].next;
    return at;
}

static void link_row(gp_known_table *table, uint32_t at)
{
    gp_known *row = &table->rows[at - 1];
    uint32_t *head = head_of(table, row->key);
    row->next = *head;
    *head = at;
}

static bool grow(gp_known_table *table)
{
    gp_known_table larger = {.count = table->count, .room = table->room != 0 ? 2 * table->room : FIRST_ROOM};
    larger.rows = larger.room <= GP_KNOWN_MAX ? gp_memory_map(size_for(larger.room)) : NULL;
    if (larger.rows == NULL)
        return false;
    larger.heads = (uint32_t *)(larger.rows + larger.room);
    if (table->count != 0)
        memcpy(larger.rows, table->rows, table->count * sizeof *table->rows);
    for (size_t i = 0; i < larger.count; i++) /* none is free, else it would not grow */
        link_row(&larger, (uint32_t)i + 1);
    gp_known_clear(table);
    *table = larger;
    return true;
}

/* A row that nobody uses; 0 without memory. */
static uint32_t free_row(gp_known_table *table)
{
    uint32_t at = table->spares;
    if (at != 0) {
        table->spares = table->rows[at - 1].next;
        return at;
    }
    if (table->count == table->room && !grow(table))
        return 0;
    return (uint32_t)++table->count;
}

static uint32_t add(gp_known_table *table, gp_known known)
{
    uint32_t at = free_row(table);
    if (at == 0)
        return 0;
    table->rows[at - 1] = known;
    link_row(table, at);
    return at;
}

uint32_t gp_known_find(const gp_known_table *table, gp_site_key key)
{
    uint32_t at = find(table, key);
    return at != 0 ? table->rows[at - 1].place : GP_ROW_NONE;
}

bool gp_known_add(gp_known_table *table, gp_site_key key, uint32_t place)
{
    const gp_site_key whole = {key.code, WHOLE};
    uint32_t first = find(table, whole);
    if (first == 0)
        first = add(table, (gp_known){.key = whole, .place = GP_ROW_NONE});
    uint32_t at = first != 0 ? add(table, (gp_known){.key = key, .place = place}) : 0;
    if (at == 0)
        return false;
    table->rows[at - 1].sibling = table->rows[first - 1].sibling;
    table->rows[first - 1].sibling = at;
    return true;
}

static void free_again(gp_known_table *table, uint32_t at)
{
    gp_known *row = &table->rows[at - 1];
    uint32_t *link = head_of(table, row->key);
    while (*link != at)
        link = &table->rows[*link - 1].next;
    *link = row->next;
    row->next = table->spares;
    table->spares = at;
}

bool gp_known_forget(gp_known_table *table, const void *code)
{
    uint32_t at = find(table, (gp_site_key){code, WHOLE});
    bool known = at != 0;
    while (at != 0) {
        uint32_t next = table->rows[at - 1].sibling;
        free_again(table, at);
        at = next;
    }
    return known;
}

void gp_known_clear(gp_known_table *table)
{
    gp_memory_unmap(table->rows, size_for(table->room));
    *table = (gp_known_table){0};
}
