#ifndef GP_HIST_H
#define GP_HIST_H

/* A log-linear histogram of durations: HdrHistogram's scheme with 64 buckets in each power of two. A bucket
 * is at most 1/64 of its lower bound wide, so its middle is within 1/128 (0.8 %) of every value in it. Values
 * below 64 ns have a bucket each. Durations of 2**47 ns (39 hours) and more go to the last bucket. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GP_HIST_SUB_BITS = 6,
    GP_HIST_MAX_BITS = 47,
    GP_HIST_BUCKETS = (GP_HIST_MAX_BITS - GP_HIST_SUB_BITS + 1) << GP_HIST_SUB_BITS,
};

/* Zeroed memory is an empty histogram. The layout is visible because the hot path inlines gp_hist_record. */
typedef struct {
    uint64_t counts[GP_HIST_BUCKETS];
} gp_hist;

static inline size_t gp_hist_index_short(uint64_t ns)
{
    uint32_t msb = 63u ^ (uint32_t)__builtin_clzll(ns | ((uint64_t)1 << GP_HIST_SUB_BITS));
    uint32_t shift = msb - GP_HIST_SUB_BITS;
    return (size_t)((ns >> shift) + (shift << GP_HIST_SUB_BITS));
}

static inline size_t gp_hist_index(uint64_t ns)
{
    bool is_short = __builtin_expect(ns >> GP_HIST_MAX_BITS == 0, 1);
    return is_short ? gp_hist_index_short(ns) : GP_HIST_BUCKETS - 1;
}

/* Count one duration. One writer at a time; never allocates or blocks. */
static inline void gp_hist_record(gp_hist *hist, uint64_t ns)
{
    hist->counts[gp_hist_index(ns)]++;
}

/* The same for less than 2**47 ns. */
static inline void gp_hist_record_short(gp_hist *hist, uint64_t ns)
{
    hist->counts[gp_hist_index_short(ns)]++;
}

/* The range [*low, *high) of durations in ns that bucket `index` (< GP_HIST_BUCKETS) counts. */
void gp_hist_bounds(size_t index, uint64_t *low, uint64_t *high);

/* Add the counts of `from` to `into`. Exact. */
void gp_hist_merge(gp_hist *into, const gp_hist *from);

/* The same, and empty `from`, which has nothing above bucket `last`. Writes to no page of it that is zero. */
void gp_hist_move(gp_hist *into, gp_hist *from, size_t last);

/* Number of durations counted in the buckets up to `last`, and in all. */
uint64_t gp_hist_count_to(const gp_hist *hist, size_t last);
uint64_t gp_hist_count(const gp_hist *hist);

#endif
