#ifndef GP_PICTURE_EXACT_H
#define GP_PICTURE_EXACT_H

/* Every interval of a timeline, packed row by row, for the report's picture.
 *
 * The rows of threads come first; then one row for each GIL, with the holds of all threads that have no row.
 * An interval is three numbers (gp_buffer.h): the signed distance from the end of the row's last interval to
 * its begin, times two, plus 1 if it is a wait; its length; its place's name. */

#include "base/gp_buffer.h"
#include "picture/gp_picture_intervals.h"

typedef struct gp_picture_exact gp_picture_exact;

/* `rows` must outlive the result. GP_ENOMEM. */
gp_status gp_picture_exact_new(const gp_rows *rows, gp_picture_exact **exact);

/* Add intervals. GP_EINVAL if one refers to an unknown thread or place; GP_ENOMEM. */
gp_status gp_picture_exact_add(gp_picture_exact *exact, const gp_picture_intervals *intervals);

/* A row's bytes, below row_count + gil_count; valid until more is added. */
const gp_buffer *gp_picture_exact_row(const gp_picture_exact *exact, size_t row);

/* NULL is fine. */
void gp_picture_exact_free(gp_picture_exact *exact);

#endif
