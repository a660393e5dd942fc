#ifndef GP_BLAME_H
#define GP_BLAME_H

/* Blame: who waited behind whom at which place. A table that is full to its limit refuses new rows; the
 * caller counts what it could not book. */

#include "base/gp_rows.h"

enum {
    GP_BLAME_MAX = 1 << 20, /* rows in one session: 32 MiB */
};

typedef struct {
    uint32_t waiter, holder; /* numbers of accounts */
    uint32_t place;          /* where the holder let go */
    uint64_t wait;           /* ticks */
} gp_blame;

extern const gp_rows_kind gp_blame_rows;

/* The row for these three, made now if it is new; NULL without room. */
static inline gp_blame *gp_blame_of(gp_rows *table, uint32_t waiter, uint32_t holder, uint32_t place)
{
    return gp_rows_make(table, &gp_blame_rows, (const uint32_t[]){waiter, holder, place});
}

#endif
