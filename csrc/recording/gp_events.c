#include "recording/gp_events.h"

#include "recording/gp_chunk.h"

enum {
    EVENT_MAX = 4 * GP_NUMBER_MAX, /* bytes */
};

static size_t count_intervals(const gp_event *events, size_t count)
{
    size_t intervals = 0;
    for (size_t i = 0; i < count; i++)
        intervals += (events[i].words[0] & ((1u << GP_EVENT_KIND_BITS) - 1)) < GP_EVENT_BASE;
    return intervals;
}

static uint8_t *put_interval(uint8_t *at, const gp_interval *interval, uint64_t end_before)
{
    at = gp_number_put(at, (uint64_t)interval->account << 1 | interval->kind);
    at = gp_number_put(at, gp_number_zigzag((int64_t)(interval->end - end_before)));
    at = gp_number_put(at, interval->end - interval->start);
    return gp_number_put(at, (uint32_t)(interval->place + 1)); /* GP_NOWHERE becomes 0 */
}

size_t gp_events_encode(gp_events_encoder *encoder, const gp_event *events, size_t count,
                        uint32_t interpreter, uint64_t dropped, gp_buffer *out)
{
    size_t intervals = count_intervals(events, count);
    size_t begin = out->size;
    if (intervals != 0) {
        gp_chunk_begin(out, "EVNT");
        gp_buffer_number(out, interpreter);
        gp_buffer_number(out, intervals);
        gp_buffer_number(out, dropped);
        gp_buffer_number(out, encoder->end);
    }
    if (!gp_buffer_reserve(out, intervals * EVENT_MAX))
        return 0;
    uint8_t *at = out->bytes + out->size;
    gp_interval interval;
    for (size_t i = 0; i < count; i++)
        if (gp_ring_decode(&encoder->decoder, &events[i], &interval)) {
            at = put_interval(at, &interval, encoder->end);
            encoder->end = interval.end;
        }
    if (intervals == 0)
        return 0; /* only the decoder has moved */
    out->size = (size_t)(at - out->bytes);
    gp_chunk_end(out, begin);
    return intervals;
}
