#ifndef GP_ROWS_H
#define GP_ROWS_H

/* Rows that are found by a few numbers: a hash table in one array, which grows.
 *
 * A row begins with its key, which is 32-bit numbers. Rows are numbered in order of appearance and may be
 * read in that order. Memory comes from mmap (gp_memory.h). A table is guarded by whoever has it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What all rows of a table have in common. */
typedef struct {
    size_t size;        /* of a row, bytes */
    size_t numbers;     /* in its key */
    size_t first, most; /* how many rows the first memory has room for, and the last: powers of 2 */
    size_t accounts; /* how many numbers, from the key's first on, stand for accounts: see gp_rows_rename */
    /* Add what another row has besides its key. */
    void (*add)(void *row, const void *other);
} gp_rows_kind;

/* Zeroed memory is an empty table. */
typedef struct {
    void *rows;
    uint32_t *slots; /* in the memory behind the rows: a row's number + 1; 0: free */
    size_t count, room;
} gp_rows;

/* The row with this key; NULL: there is none. */
void *gp_rows_find(const gp_rows *table, const gp_rows_kind *kind, const uint32_t *key);

/* The same, made now if it is new, and zero but for its key; NULL if there is no memory, or no more room.
 * Valid until the next call. */
void *gp_rows_make(gp_rows *table, const gp_rows_kind *kind, const uint32_t *key);

/* Whether the next new row will need a larger table. */
static inline bool gp_rows_are_full(const gp_rows *table)
{
    return table->count == table->room;
}

/* Let `number` stand for all accounts whose bit is set in `renamed`, and add up rows that become equal. The
 * rows' numbers change. */
void gp_rows_rename(gp_rows *table, const gp_rows_kind *kind, const uint64_t *renamed, uint32_t number);

/* Give up the table's memory. */
void gp_rows_clear(gp_rows *table, const gp_rows_kind *kind);

#endif
