#include "recording/gp_timeline.h"

#include "recording/gp_chunk.h"

enum {
    EVENT_MAX = 4 * GP_NUMBER_MAX, /* bytes */
    FEW = 8,                       /* events that are sorted by insertion */
    FIRST_SIZE = 1 << 16, /* bytes: what most threads do in one round of the recorder, without a copy */
};

_Static_assert((size_t)EVENT_MAX >= sizeof(gp_interval) + _Alignof(gp_interval), "there is room to sort");
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

/* ---- order: as long as nobody waits, the holds of one thread may come before those of another, so most of
 * them are in order. Equal ends stay as they are. ---- */

/* How many of the sorted events end before, or also at `end`. */
static size_t count_until(const gp_interval *events, size_t count, uint64_t end, bool also)
{
    size_t low = 0;
    while (low < count) {
        size_t middle = (low + count) / 2;
        if (events[middle].end < end + also)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

static void insert_all(gp_interval *events, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        size_t at = i;
        if (events[i].end >= events[i - 1].end)
            continue;
        gp_interval event = events[i];
        for (; at > 0 && events[at - 1].end > event.end; at--)
            events[at] = events[at - 1];
        events[at] = event;
    }
}

/* Two sorted parts; there is room for the first one in `spare`. */
static void merge(gp_interval *first, size_t count, gp_interval *second, size_t second_count,
                  gp_interval *spare)
{
    size_t stays = count_until(first, count, second->end, true);
    const gp_interval *end = second + count_until(second, second_count, first[count - 1].end, false);
    gp_interval *to = first + stays;
    const gp_interval *left = spare, *left_end = spare + (count - stays), *right = second;
    memcpy(spare, to, (count - stays) * sizeof *spare);
    while (left != left_end)
        *to++ = right != end && right->end < left->end ? *right++ : *left++;
}

static void sort(gp_interval *events, size_t count, gp_interval *spare)
{
    size_t half = count / 2;
    if (count <= FEW) {
        insert_all(events, count);
        return;
    }
    sort(events, half, spare);
    sort(events + half, count - half, spare);
    if (events[half - 1].end > events[half].end)
        merge(events, half, events + half, count - half, spare);
}

static uint8_t *put_event(uint8_t *at, const gp_interval *event, uint64_t end_before)
{
    at = gp_number_put(at, (uint64_t)event->account << 1 | event->kind);
    at = gp_number_put(at, gp_number_zigzag((int64_t)(event->end - end_before)));
    at = gp_number_put(at, event->end - event->start);
    return gp_number_put(at, (uint32_t)(event->place + 1)); /* GP_NOWHERE becomes 0 */
}

uint64_t gp_timeline_put(gp_timeline *timeline, uint64_t *end, uint32_t interpreter, gp_buffer *out)
{
    gp_interval *events = (gp_interval *)(void *)timeline->events.bytes;
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
    sort(events, count, (gp_interval *)(void *)(at + -(uintptr_t)at % _Alignof(gp_interval)));
    for (uint64_t i = 0; i < count; i++) {
        at = put_event(at, &events[i], *end);
        *end = events[i].end;
    }
    out->size = (size_t)(at - out->bytes);
    gp_chunk_end(out, begin);
    return count;
}
