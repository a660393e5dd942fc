#ifndef GP_PICTURE_LONGEST_H
#define GP_PICTURE_LONGEST_H

/* The longest holds and the longest waits of a timeline, and who held the GIL during each of these waits: in
 * one pass and in bounded memory, whatever the number of intervals. */

#include "picture/gp_picture_intervals.h"

enum {
    GP_PICTURE_LONGEST_HOLDERS = 4,
};

/* A thread that held the GIL during a wait, at one place. */
typedef struct {
    uint32_t row, place;
    uint64_t ns;
} gp_holder;

typedef struct {
    uint64_t begin, end; /* nanoseconds */
    uint32_t row, place;
    uint32_t holder_count;                         /* 0 for a hold */
    gp_holder holders[GP_PICTURE_LONGEST_HOLDERS]; /* those who held most during the wait, the most first */
    uint64_t others_ns;                            /* all others together */
} gp_long;

typedef struct gp_picture_longest gp_picture_longest;

/* Keep up to `keep` holds and as many waits, of threads that have a row. After `looks` holds were looked at,
 * no more holders are found: a made-up file could have every wait last through all holds. `rows` must stay as
 * long as what was made of it. GP_ENOMEM. */
gp_status gp_picture_longest_new(const gp_rows *rows, size_t keep, uint64_t looks,
                                 gp_picture_longest **longest);

/* Take intervals in. GP_EINVAL if one refers to what is not there, GP_ENOMEM. */
gp_status gp_picture_longest_add(gp_picture_longest *longest, const gp_picture_intervals *intervals);

/* Those kept, in no order. Valid until more is added. */
const gp_long *gp_picture_longest_holds(const gp_picture_longest *longest, size_t *count);
const gp_long *gp_picture_longest_waits(const gp_picture_longest *longest, size_t *count);

/* NULL is fine. */
void gp_picture_longest_free(gp_picture_longest *longest);

#endif
