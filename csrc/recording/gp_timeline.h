#ifndef GP_TIMELINE_H
#define GP_TIMELINE_H

/* The timeline of a session on its way into a recording: every hold and wait, until the recorder takes them.
 * What one reading of the stream adds need not be in order: see gp_stream_calm.
 * Events that find no room are dropped and counted: losing one is preferred to unlimited memory.
 *
 * Whoever keeps the books adds, whoever writes the recording takes; both under the lock of the books. */

#include <stdbool.h>
#include <string.h>

#include "base/gp_buffer.h"
#include "base/gp_interval.h"

enum {
    GP_TIMELINE_SIZE = 1 << 24, /* bytes of events that wait for the recorder, at most */
    GP_TIMELINE_MAX = GP_TIMELINE_SIZE / sizeof(gp_interval),
};

/* Zeroed memory is an empty one. */
typedef struct {
    gp_buffer events; /* gp_interval */
    uint64_t dropped; /* so far */
} gp_timeline;

static inline uint64_t gp_timeline_count(const gp_timeline *timeline)
{
    return timeline->events.size / sizeof(gp_interval);
}

/* Slow path of gp_timeline_add. */
bool gp_timeline_make_room(gp_timeline *timeline);

/* Add an event. False, and a drop is counted, when there are too many or there is no memory. */
static inline bool gp_timeline_add(gp_timeline *timeline, gp_interval event)
{
    gp_buffer *events = &timeline->events;
    if (__builtin_expect(events->room - events->size < sizeof event, 0) && !gp_timeline_make_room(timeline))
        return false;
    memcpy(events->bytes + events->size, &event, sizeof event);
    events->size += sizeof event;
    return true;
}

/* For how many of `count` events there is room already. They may be written from gp_timeline_next on; then
 * gp_timeline_added, with the end of those that were. */
static inline size_t gp_timeline_room(const gp_timeline *timeline, size_t count)
{
    size_t room = (timeline->events.room - timeline->events.size) / sizeof(gp_interval);
    return count < room ? count : room;
}

static inline gp_interval *gp_timeline_next(const gp_timeline *timeline)
{
    return (gp_interval *)(void *)(timeline->events.bytes + timeline->events.size);
}

static inline void gp_timeline_added(gp_timeline *timeline, const gp_interval *end)
{
    timeline->events.size = (size_t)((const uint8_t *)end - timeline->events.bytes);
}

/* Move all events to `taken`, whose own have been written; its memory serves the next ones. */
void gp_timeline_take(gp_timeline *timeline, gp_timeline *taken);

/* Append an EVNT chunk (docs/recording-format.md) with the events, in the order of their ends, into which
 * they are brought; nothing if there are none. *end is when the last one of the session ended; 0 at the
 * start. Returns how many were written: without memory out->failed is set. */
uint64_t gp_timeline_put(gp_timeline *timeline, uint64_t *end, uint32_t interpreter, gp_buffer *out);

#endif
