#ifndef GP_PICTURE_PYRAMID_H
#define GP_PICTURE_PYRAMID_H

/* A timeline of any length as rows of equal cells, for the report's picture. A cell has the share of its time
 * that was held, the share that was waited, and a leader. The rows of threads come first, with places as
 * leaders; then one row for each GIL, with rows of threads + 1 as leaders. Memory depends on the number of
 * cells, not of intervals.
 *
 * Leaders are found in one pass (Boyer and Moore's majority vote, weighted by time). Who held more than half
 * of the held time of a cell is its leader for certain; if nobody did, the leader is one of the holders. */

#include "base/gp_buffer.h"
#include "picture/gp_picture_intervals.h"

enum {
    GP_PICTURE_PYRAMID_SHARES = 63, /* a share is packed as a number of 63rds; only a share of 0 becomes 0 */
};

typedef struct gp_picture_pyramid gp_picture_pyramid;

/* `cells` > 0: cells in a row at the finest level. `rows` must outlive the result. GP_ENOMEM. */
gp_status gp_picture_pyramid_new(const gp_rows *rows, uint32_t cells, gp_picture_pyramid **pyramid);

/* Add intervals. If one begins before the end of the last one of its row and kind, which happens only by
 * rounding or in a made-up file, only the part after that end is added. GP_EINVAL if one refers to an unknown
 * thread or place. */
gp_status gp_picture_pyramid_add(gp_picture_pyramid *pyramid, const gp_picture_intervals *intervals);

/* Nanoseconds in a cell of the finest level; the last one is cut by the extent. */
uint64_t gp_picture_pyramid_cell_ns(const gp_picture_pyramid *pyramid);

/* Append a row (below row_count + gil_count) with 2**level (< 2**32) cells merged into one. Each is a number
 * (gp_buffer.h). Its two lowest bits are 0: (waited << 6 | held) is above them; 1: the same, and the number
 * of a new leader follows; 2: the number above them says how often the last cell is repeated. Before the
 * first cell all is 0. A cell in which nothing was held keeps the leader of the last one. Check
 * buffer->failed. */
void gp_picture_pyramid_pack(const gp_picture_pyramid *pyramid, size_t row, unsigned level,
                             gp_buffer *buffer);

/* NULL is fine. */
void gp_picture_pyramid_free(gp_picture_pyramid *pyramid);

#endif
