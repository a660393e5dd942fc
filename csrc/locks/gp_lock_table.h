#ifndef GP_LOCK_TABLE_H
#define GP_LOCK_TABLE_H

/* Sums by up to five numbers: who waited for which lock, where, behind whom. Guarded by the lock of the
 * books. */

#include "base/gp_place.h"
#include "base/gp_rows.h"

enum {
    GP_LOCK_ROWS_MAX = 1 << 18, /* 20 MiB */
};

typedef enum {
    GP_LOCK_ROW_WAITS,  /* lock, waiter, place: number, ticks, longest, ticks spun */
    GP_LOCK_ROW_BLAME,  /* lock, waiter, place, holder, its place: ticks */
    GP_LOCK_ROW_LENGTH, /* lock, bucket of gp_hist.h: number */
    GP_LOCK_ROW_STACK,  /* in a table of their own: place, and instead of the lock the stack that called it */
} gp_lock_row_kind;

/* Instead of a holder. */
#define GP_LOCK_NOBODY (UINT32_MAX - 1) /* it was free; the waiter did not run yet */
#define GP_LOCK_UNSEEN UINT32_MAX       /* nobody released it, or nobody saw who did */

typedef struct {
    uint32_t kind, lock, waiter, place, holder, holder_place;
} gp_lock_row_key;

typedef struct {
    gp_lock_row_key key;
    uint64_t count, ticks, longest, spun;
} gp_lock_row;

extern const gp_rows_kind gp_lock_rows;

/* The row with this key, which is made if it is not there. NULL if there is no memory or no more room. Valid
 * until the next call. */
static inline gp_lock_row *gp_lock_table_row(gp_rows *table, gp_lock_row_key key)
{
    return gp_rows_make(table, &gp_lock_rows, (const uint32_t *)&key);
}

#endif
