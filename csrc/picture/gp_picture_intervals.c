#include "picture/gp_picture_intervals.h"

static void add(gp_interval_sum *sum, bool is_wait, uint64_t begin, uint64_t end)
{
    *(is_wait ? &sum->wait_ns : &sum->hold_ns) += end - begin;
    if (sum->count == 0 || begin < sum->first_ns)
        sum->first_ns = begin;
    if (end > sum->last_ns)
        sum->last_ns = end;
    sum->count++;
}

gp_status gp_picture_intervals_survey(const gp_picture_intervals *intervals, uint64_t extent_ns,
                                      gp_interval_sum *threads, size_t thread_count, uint64_t *place_holds_ns,
                                      size_t place_count)
{
    for (size_t i = 0; i < intervals->count; i++) {
        uint32_t thread = intervals->threads[i], place = intervals->places[i];
        bool is_wait = intervals->kinds[i] == GP_EVENT_WAIT;
        uint64_t begin, end;
        if (thread >= thread_count || (place >= place_count && place != GP_NOWHERE))
            return GP_EINVAL;
        gp_span_cut(intervals->starts_ns[i], intervals->durations_ns[i], extent_ns, &begin, &end);
        add(&threads[thread], is_wait, begin, end);
        if (!is_wait && place != GP_NOWHERE)
            place_holds_ns[place] += end - begin;
    }
    return GP_OK;
}
