#include "books/gp_known.h"

#include <string.h>

#include "base/gp_hash.h"
#include "base/gp_memory.h"

enum {
    FIRST_ROOM = 128,
};

static size_t size_for(size_t room)
{
    return room * (sizeof(gp_known) + sizeof(uint32_t));
}

/* A code object has few places: they share a list, and are forgotten together. */
static uint32_t *head_of(const gp_known_table *table, const void *code)
{
    return &table->heads[gp_mix((uint64_t)(uintptr_t)code) & (table->room - 1)];
}

static void link_row(gp_known_table *table, uint32_t at)
{
    gp_known *row = &table->rows[at - 1];
    uint32_t *head = head_of(table, row->key.code);
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

uint32_t gp_known_find(const gp_known_table *table, gp_site_key key)
{
    uint32_t at = table->room != 0 ? *head_of(table, key.code) : 0;
    while (at != 0 && !gp_site_same(table->rows[at - 1].key, key))
        at = table->rows[at - 1].next;
    return at != 0 ? table->rows[at - 1].place : GP_ROW_NONE;
}

bool gp_known_add(gp_known_table *table, gp_site_key key, uint32_t place)
{
    uint32_t at = free_row(table);
    if (at == 0)
        return false;
    table->rows[at - 1] = (gp_known){.key = key, .place = place};
    link_row(table, at);
    return true;
}

bool gp_known_forget(gp_known_table *table, const void *code)
{
    bool known = false;
    uint32_t none = 0, *link = table->room != 0 ? head_of(table, code) : &none;
    while (*link != 0) {
        uint32_t at = *link;
        gp_known *row = &table->rows[at - 1];
        if (row->key.code != code) {
            link = &row->next;
            continue;
        }
        *link = row->next;
        row->next = table->spares;
        table->spares = at;
        known = true;
    }
    return known;
}

void gp_known_clear(gp_known_table *table)
{
    gp_memory_unmap(table->rows, size_for(table->room));
    *table = (gp_known_table){0};
}
