#include "recording/gp_timeline.h"

#include "recording/gp_chunk.h"

enum {
    EVENT_MAX = 4 * GP_NUMBER_MAX, /* bytes */
    FIRST_SIZE = 1 << 16, /* bytes: what most threads do in one round of the recorder, without a copy */
};

_Static_assert((int)GP_TIMELINE_MAX <= (int)GP_CHUNK_EVENTS_MAX, "all fit into one chunk");

bool gp_timeline_make_room(gp_timeline *timeline)
{
    bool has_room =
        timeline->events.room < GP_TIMELINE_SIZE && /* it is doubled each time */
        gp_buffer_reserve(&timeline->events, timeline->events.room == 0 ? FIRST_SIZE : sizeof(gp_interval));
    timeline->events.failed = false; /* what is there is whole */
    timeline->dropped += !has_room;
    return has_room;
}

void gp_timeline_take(gp_timeline *timeline, gp_timeline *taken)
{
    gp_buffer memory = taken->events;
    gp_buffer_clear(&memory);
    *taken = *timeline;
    timeline->events = memory;
}

static uint8_t *put_event(uint8_t *at, const gp_interval *event, uint64_t end_before)
{
    at = gp_number_put(at, (uint64_t)event->account << 1 | event->kind);
    at = gp_number_put(at, gp_number_zigzag((int64_t)(event->end - end_before)));
    at = gp_number_put(at, event->end - event->start);
    return gp_number_put(at, (uint32_t)(event->place + 1)); /* GP_NOWHERE becomes 0 */
}

uint64_t gp_timeline_put(const gp_timeline *timeline, uint64_t *end, uint32_t interpreter, gp_buffer *out)
{
    const gp_interval *events = (const gp_interval *)timeline->events.bytes;
    uint64_t count = gp_timeline_count(timeline);
    size_t begin = out->size;
    if (count == 0)
        return 0;
    gp_chunk_begin(out, "EVNT");
    gp_buffer_number(out, interpreter);
    gp_buffer_number(out, count);
    gp_buffer_number(out, timeline->dropped);
    gp_buffer_number(out, *end);
    if (!gp_buffer_reserve(out, count * EVENT_MAX))
        return 0;
    uint8_t *at = out->bytes + out->size;
    for (uint64_t i = 0; i < count; i++) {
        at = put_event(at, &events[i], *end);
        *end = events[i].end;
    }
    out->size = (size_t)(at - out->bytes);
    gp_chunk_end(out, begin);
    return count;
}
