#ifndef GP_RACE_H
#define GP_RACE_H

/* Counters for threads to race on: memory of their own and nobody's reference count, so that an update may be
 * lost without harm. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_status.h"
#include "kernels/gp_work.h"

enum {
    /* From one counter to the next, bytes: what two processors write must not share a cache line, nor the
     * pair of them that some processors fetch together. */
    GP_RACE_STRIDE = 128,
};

typedef struct gp_race gp_race;

/* Make `slots` counters, all 0. GP_EINVAL if their bytes can't be counted or there are none, GP_ENOMEM if
 * there is no room. */
gp_status gp_race_new(size_t slots, gp_race **race);

/* Not before the last gp_bump on it has ended. NULL is fine. */
void gp_race_free(gp_race *race);

/* How many counters there are. */
size_t gp_race_slots(const gp_race *race);

/* What the counter `slot` (< slots) shows now. Any thread; wait-free. */
uint64_t gp_race_value(const gp_race *race, size_t slot);

/* Increments of one counter. One thread at a time for each gp_bump, any number of them for each counter. */
typedef struct {
    gp_work work;
    void *cell;
    uint64_t left;
    bool atomic;
} gp_bump;

/* Atomic increments are single steps. Others load, add and store, as `count++` does: what another processor
 * or the thread that is let in meanwhile stores between load and store is lost. Each is two accesses of its
 * own in any case; no compiler makes one of them, or one addition of many. `race` must outlive the work. */
void gp_bump_init(gp_bump *bump, gp_race *race, size_t slot, uint64_t times, bool atomic);

#endif
