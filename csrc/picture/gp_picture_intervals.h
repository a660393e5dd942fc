#ifndef GP_PICTURE_INTERVALS_H
#define GP_PICTURE_INTERVALS_H

/* The input of the report's picture: holds and waits of a timeline in columns, which threads have a row of
 * their own, and the names of places. The columns come from a file that somebody may have made up: numbers
 * are checked before they index anything, times are cut to the picture's extent. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_place.h"
#include "base/gp_interval.h"
#include "base/gp_status.h"

/* `count` intervals in the order of their ends within one interpreter; kinds are gp_event_kind. */
typedef struct {
    const uint8_t *kinds;
    const uint32_t *threads, *places;
    const int64_t *starts_ns, *durations_ns;
    size_t count;
} gp_picture_intervals;

/* The rows of threads and the names of places. Threads without a row share the number `row_count`. A thread
 * whose GIL has no row has the gil GP_NOWHERE. The name 0 stands for no known place. */
typedef struct {
    const uint32_t *rows, *gils; /* of each thread */
    const uint32_t *names;       /* of each place, from 1 on */
    size_t thread_count, place_count;
    uint32_t row_count, gil_count;
    uint64_t extent_ns;
} gp_rows;

/* One interval, looked up. */
typedef struct {
    bool is_wait;
    uint32_t row, gil, place;
    uint64_t begin, end;
} gp_span;

/* Cut [start, start + duration) to [0, extent). An interval outside is empty, at one of the ends. */
static inline void gp_span_cut(int64_t start, int64_t duration, uint64_t extent, uint64_t *begin,
                               uint64_t *end)
{
    int64_t stop;
    if (duration < 0)
        duration = 0;
    if (__builtin_add_overflow(start, duration, &stop))
        stop = INT64_MAX;
    *begin = start < 0 ? 0 : (uint64_t)start;
    *end = stop < 0 ? 0 : (uint64_t)stop;
    if (*begin > extent)
        *begin = extent;
    if (*end > extent)
        *end = extent;
}

/* Look up interval `i`. False if it refers to an unknown thread or place. */
static inline bool gp_span_get(const gp_picture_intervals *intervals, size_t i, const gp_rows *rows,
                               gp_span *found)
{
    uint32_t thread = intervals->threads[i], place = intervals->places[i];
    if (thread >= rows->thread_count || (place >= rows->place_count && place != GP_NOWHERE))
        return false;
    found->is_wait = intervals->kinds[i] == GP_EVENT_WAIT;
    found->row = rows->rows[thread];
    found->gil = rows->gils[thread];
    found->place = place == GP_NOWHERE ? 0 : rows->names[place];
    gp_span_cut(intervals->starts_ns[i], intervals->durations_ns[i], rows->extent_ns, &found->begin,
                &found->end);
    return true;
}

/* The sums of a thread's intervals. */
typedef struct {
    uint64_t hold_ns, wait_ns, count;
    uint64_t first_ns, last_ns; /* begin of the first, end of the last; valid if count > 0 */
} gp_interval_sum;

/* Add intervals to the sums of their threads, and holds to those of their places. GP_EINVAL if one refers to
 * an unknown thread or place; those before it have been added. */
gp_status gp_picture_intervals_survey(const gp_picture_intervals *intervals, uint64_t extent_ns,
                                      gp_interval_sum *threads, size_t thread_count, uint64_t *place_holds_ns,
                                      size_t place_count);

#endif
