#include "recording/gp_events.h"

#include "recording/gp_chunk.h"

enum {
    EVENT_MAX = 4 * GP_NUMBER_MAX, /* bytes */
};

static uint8_t *put_event(uint8_t *at, const gp_interval *event, uint64_t end_before)
{
    at = gp_number_put(at, (uint64_t)event->account << 1 | event->kind);
    at = gp_number_put(at, gp_number_zigzag((int64_t)(event->end - end_before)));
    at = gp_number_put(at, event->end - event->start);
    return gp_number_put(at, (uint32_t)(event->place + 1)); /* GP_NOWHERE becomes 0 */
}

size_t gp_events_encode(uint64_t *end, const gp_interval *events, size_t count, uint32_t interpreter,
                        uint64_t dropped, gp_buffer *out)
{
    size_t begin = out->size;
    if (count == 0)
        return 0;
    gp_chunk_begin(out, "EVNT");
    gp_buffer_number(out, interpreter);
    gp_buffer_number(out, count);
    gp_buffer_number(out, dropped);
    gp_buffer_number(out, *end);
    if (!gp_buffer_reserve(out, count * EVENT_MAX))
        return 0;
    uint8_t *at = out->bytes + out->size;
    for (size_t i = 0; i < count; i++) {
        at = put_event(at, &events[i], *end);
        *end = events[i].end;
    }
    out->size = (size_t)(at - out->bytes);
    gp_chunk_end(out, begin);
    return count;
}
