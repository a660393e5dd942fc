#include "base/gp_hist.h"

void gp_hist_bounds(size_t index, uint64_t *low, uint64_t *high)
{
    const size_t sub_buckets = (size_t)1 << GP_HIST_SUB_BITS;
    if (index < sub_buckets) {
        *low = index;
        *high = index + 1;
        return;
    }
    unsigned shift = (unsigned)(index / sub_buckets) - 1;
    *low = (uint64_t)(sub_buckets + index % sub_buckets) << shift;
    *high = *low + ((uint64_t)1 << shift);
}

void gp_hist_merge(gp_hist *into, const gp_hist *from)
{
    for (size_t i = 0; i < GP_HIST_BUCKETS; i++)
        into->counts[i] += from->counts[i];
}

void gp_hist_move(gp_hist *into, gp_hist *from, size_t last)
{
    for (size_t i = 0; i <= last; i++) {
        if (from->counts[i] == 0)
            continue;
        into->counts[i] += from->counts[i];
        from->counts[i] = 0;
    }
}

uint64_t gp_hist_count_to(const gp_hist *hist, size_t last)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= last; i++)
        count += hist->counts[i];
    return count;
}

uint64_t gp_hist_count(const gp_hist *hist)
{
    return gp_hist_count_to(hist, GP_HIST_BUCKETS - 1);
}
