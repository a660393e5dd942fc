#ifndef GP_PICTURE_PYRAMID_H
#define GP_PICTURE_PYRAMID_H

/* A timeline of any length as rows of equal cells, for the report's picture: of each cell the share that was
 * held, the share that was waited, and who leads it. There is a row for each thread that has one, whose
 * leaders are places, and behind them one for each GIL, whose leaders are rows of threads + 1. Memory goes
 * with the cells, not with the intervals.
 *
 * A leader is found in one pass (Boyer and Moore's majority vote, weighted by time): who held more than half
 * of what was held in a cell leads it for certain; where nobody did, it is one of those who held. */

#include "base/gp_buffer.h"
#include "picture/gp_picture_intervals.h"

enum {
    GP_PICTURE_PYRAMID_SHARES =
        63, /* a share is packed as so many parts of one; none that is more than 0 as 0 */
};

typedef struct gp_picture_pyramid gp_picture_pyramid;

/* `cells` > 0 a row at the finest level. `rows` must stay as long as what was made of it. GP_ENOMEM. */
gp_status gp_picture_pyramid_new(const gp_rows *rows, uint32_t cells, gp_picture_pyramid **pyramid);

/* Take intervals in. Of one that begins before the end of another of its row and kind, which only rounding or
 * a made-up file brings about, what comes after that end. GP_EINVAL if one refers to what is not there. */
gp_status gp_picture_pyramid_add(gp_picture_pyramid *pyramid, const gp_picture_intervals *intervals);

/* Nanoseconds in a cell of the finest level; the last one is cut by the extent. */
uint64_t gp_picture_pyramid_cell_ns(const gp_picture_pyramid *pyramid);

/* Append a row (below row_count + gil_count), 2**level (< 2**32) cells in one. Each is a number (gp_buffer.h)
 * whose lowest two bits say: 0: (waited << 6 | held) is above them; 1: the same, and the number of a new
 * leader follows; 2: the cell before is repeated as often as the number above them says. Before the first all
 * is 0. A cell in which nothing was held has the leader of the one before. Look at buffer->failed. */
void gp_picture_pyramid_pack(const gp_picture_pyramid *pyramid, size_t row, unsigned level,
                             gp_buffer *buffer);

/* NULL is fine. */
void gp_picture_pyramid_free(gp_picture_pyramid *pyramid);

#endif
