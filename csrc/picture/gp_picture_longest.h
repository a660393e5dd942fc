#ifndef GP_PICTURE_LONGEST_H
#define GP_PICTURE_LONGEST_H

/* The longest holds and the longest waits of a timeline, and who held the GIL during each of these waits. One
 * pass, and bounded memory for any number of intervals. */

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
    gp_holder holders[GP_PICTURE_LONGEST_HOLDERS]; /* who held longest during the wait, the longest first */
    uint64_t others_ns;                            /* all others together */
} gp_long;

typedef struct gp_picture_longest gp_picture_longest;

/* Keep up to `keep` holds and as many waits, of threads that have a row. The search for holders ends after it
 * has looked at `looks` holds: in a made-up file every wait could last through all holds. `rows` must outlive
 * the result. GP_ENOMEM. */
gp_status gp_picture_longest_new(const gp_rows *rows, size_t keep, uint64_t looks,
                                 gp_picture_longest **longest);

/* Add intervals. GP_EINVAL if one refers to an unknown thread or place; GP_ENOMEM. */
gp_status gp_picture_longest_add(gp_picture_longest *longest, const gp_picture_intervals *intervals);

/* What was kept, in no order. Valid until more is added. */
const gp_long *gp_picture_longest_holds(const gp_picture_longest *longest, size_t *count);
const gp_long *gp_picture_longest_waits(const gp_picture_longest *longest, size_t *count);

/* NULL is fine. */
void gp_picture_longest_free(gp_picture_longest *longest);

#endif
