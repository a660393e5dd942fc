#ifndef GP_TALLIES_H
#define GP_TALLIES_H

/* Tallies: how many looks at whom, in holds that ended where, saw what. A total that is booked for the place
 * where holds ended is shared out by them when a report is made.
 *
 * A hash table in one array, as that of blame (gp_blame.h), and guarded like it. */

#include <stddef.h>
#include <stdint.h>

#include "base/gp_place.h"

enum {
    GP_TALLIES_MAX = 1 << 18, /* rows in one session: 12 MiB */
};

typedef struct {
    uint32_t holder; /* the number of an account */
    uint32_t ended;  /* place: where the hold ended */
    uint32_t looked; /* place: what was seen */
    uint64_t looks;
    uint64_t waiting; /* the threads that waited, added up over the looks */
} gp_tally;

/* Zeroed memory is an empty table. */
typedef struct {
    gp_tally *rows;
    uint32_t *slots; /* in the memory behind the rows: row number + 1; 0: free */
    size_t count, room;
} gp_tally_table;

/* The row for these three, made now if it is new; NULL without room. */
gp_tally *gp_tallies_row(gp_tally_table *table, uint32_t holder, uint32_t ended, uint32_t looked);

/* Whether the next new row will need a larger table. */
static inline bool gp_tallies_are_full(const gp_tally_table *table)
{
    return table->count == table->room;
}

/* Let `number` stand for all threads whose bit is set in `renamed`, and add up rows that become equal. */
void gp_tallies_rename(gp_tally_table *table, const uint64_t *renamed, uint32_t number);

/* Give up the table's memory. */
void gp_tallies_clear(gp_tally_table *table);

#endif
