#ifndef GP_RACE_H
#define GP_RACE_H

/* Counters for threads to race on. They are no reference counts: a lost update does no harm. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_status.h"
#include "kernels/gp_work.h"

enum {
    /* Bytes from one padded counter to the next: two of them must not share a cache line, nor a pair of lines
     * that some processors fetch together. */
    GP_RACE_STRIDE = 128,
};

typedef struct gp_race gp_race;

/* Make `slots` counters, all 0: each on a cache line of its own if `padded`, else side by side from the start
 * of a line, so that eight share one of 64 bytes. GP_EINVAL if `slots` is 0 or too large to count their
 * bytes; GP_ENOMEM. */
gp_status gp_race_new(size_t slots, bool padded, gp_race **race);

/* Not before the last gp_bump on it has ended. NULL is fine. */
void gp_race_free(gp_race *race);

/* How many counters there are. */
size_t gp_race_slots(const gp_race *race);

/* The value of the counter `slot` (< slots) now. Any thread; wait-free. */
uint64_t gp_race_value(const gp_race *race, size_t slot);

/* Increments of one counter. One thread at a time for each gp_bump, any number of them for each counter. */
typedef struct {
    gp_work work;
    _Atomic uint64_t *cell;
    uint64_t left;
    bool atomic;
} gp_bump;

/* An atomic increment is a single step. A plain one loads, adds and stores, as `count++` does: what another
 * thread stores between load and store is lost. It always makes these two accesses: the compiler merges
 * neither them nor several increments. `race` must outlive the work. */
void gp_bump_init(gp_bump *bump, gp_race *race, size_t slot, uint64_t times, bool atomic);

#endif
