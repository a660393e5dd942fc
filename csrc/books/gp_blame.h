#ifndef GP_BLAME_H
#define GP_BLAME_H

/* Blame: who waited behind whom at which place.
 *
 * A hash table in one array, which grows; guarded like the session that it belongs to. Memory comes from mmap
 * (gp_memory.h). A table that is full to its limit refuses new rows; the caller counts what it could not
 * book. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_place.h"

enum {
    GP_BLAME_MAX = 1 << 20, /* rows in one session: 32 MiB */
};

typedef struct {
    uint32_t waiter, holder; /* numbers of accounts */
    uint32_t place;          /* where the holder let go */
    uint64_t wait;           /* ticks */
} gp_blame;

/* Zeroed memory is an empty table. Rows are numbered in order of appearance. */
typedef struct {
    gp_blame *rows;
    uint32_t *slots; /* in the memory behind the rows: row number + 1; 0: free */
    size_t count, room;
} gp_blame_table;

/* The number of the row for these three, made now if it is new; GP_ROW_NONE without memory. */
uint32_t gp_blame_number(gp_blame_table *table, uint32_t waiter, uint32_t holder, uint32_t place);

/* The same, but a new row is not made. */
uint32_t gp_blame_find(const gp_blame_table *table, uint32_t waiter, uint32_t holder, uint32_t place);

/* Whether the next new row will need a larger table. */
static inline bool gp_blame_is_full(const gp_blame_table *table)
{
    return table->count == table->room;
}

/* Let `number` stand for all threads whose bit is set in `renamed`, and add up rows that become equal. The
 * numbers of rows change. */
void gp_blame_rename(gp_blame_table *table, const uint64_t *renamed, uint32_t number);

/* Give up the table's memory. */
void gp_blame_clear(gp_blame_table *table);

#endif
