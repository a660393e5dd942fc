#ifndef GP_PAUSE_SUMS_H
#define GP_PAUSE_SUMS_H

/* What is summed up of pauses (gp_pauses.h): by who collected, in holds that ended where, at which line, of
 * which generation. And the longest pauses, one by one. Times are ticks. */

#include "base/gp_buffer.h"
#include "base/gp_rows.h"

enum {
    GP_PAUSE_SUMS_MAX = 1 << 16, /* rows in one session: 6 MiB */
    GP_PAUSE_ROWS = 64,          /* of the hold that is under way */
    GP_PAUSES_LONGEST = 256,
    GP_GENERATIONS = 3,
};

/* The part of pauses that lies in holds of their own thread counts as held, and what others waited for such a
 * hold meanwhile as wait: a finalizer may let the GIL go. `count` and all behind it count where a pause
 * ended.
 */
typedef struct {
    uint32_t holder;            /* the number of an account: who collected */
    uint32_t ended;             /* place: where the hold ended */
    uint32_t place, generation; /* place: the line that made the collector run */
    uint64_t held, wait;
    uint64_t count, ticks, longest;
    uint64_t collected, uncollectable; /* objects */
} gp_pause_sum;

/* One pause. Ticks; `start` since the process's clock began. */
typedef struct {
    uint32_t holder, place, generation;
    uint64_t start, ticks, held, wait, collected, uncollectable;
} gp_pause;

/* What a session has of pauses. Zeroed memory has none. */
typedef struct {
    gp_rows sums;
    uint64_t lost;                    /* pauses without a row: there was no memory */
    gp_pause_sum rows[GP_PAUSE_ROWS]; /* of the hold that is under way, whose end is not known */
    uint32_t row_count;
    bool open;          /* a pause is under way, and the session has run since it began */
    gp_pause under_way; /* what is booked of it */
    gp_pause longest[GP_PAUSES_LONGEST];
    size_t longest_count;
    uint64_t floor; /* once they are full a pause must be longer than that */
    gp_buffer told; /* for the recorder: pauses of a timeline (docs/recording-format.md, PAUS) */
} gp_pauses;

extern const gp_rows_kind gp_pause_sum_rows;

/* Add the numbers of one row to those of another. */
void gp_pause_sum_up(gp_pause_sum *row, const gp_pause_sum *sum);

/* Add to the row with the same holder, places and generation. False without room. */
bool gp_pause_sums_add(gp_rows *table, const gp_pause_sum *sum);

/* Append a pause, as a recording has it (docs/recording-format.md); times count from `origin`. */
void gp_pause_write(const gp_pause *pause, uint64_t origin, gp_buffer *buffer);

/* Keep a pause if it is among the longest. */
void gp_pauses_keep_longest(gp_pauses *pauses, const gp_pause *pause);

/* Give up all memory. */
void gp_pauses_free(gp_pauses *pauses);

#endif
