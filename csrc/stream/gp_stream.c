#include "stream/gp_stream.h"

#include <string.h>

#include "base/gp_memory.h"

enum {
    FIRST_ROOM = 256, /* lanes in the heap: a page */
};

void gp_lane_begin(gp_lane *lane, gp_note *notes, gp_cpu_span *cpu_spans, uint32_t generation, bool holds)
{
    bool listed = atomic_load(&lane->listed); /* since an earlier watching */
    gp_lane *next = lane->next_listed;
    /* notes of an earlier watching must not be taken for new ones: their numbers don't come again */
    uint64_t number = atomic_load_explicit(&lane->noted, memory_order_relaxed) + 1;
    memset(lane, 0, sizeof *lane);
    lane->next_listed = next;
    atomic_store(&lane->listed, listed);
    atomic_store_explicit(&lane->noted, number, memory_order_relaxed);
    atomic_store_explicit(&lane->read, number, memory_order_relaxed);
    lane->due = number + GP_LANE_DUE;
    lane->asking = GP_ASKED_AT_ONCE;
    lane->notes = notes;
    lane->cpu_spans = cpu_spans;
    lane->generation = generation;
    lane->doing = holds ? GP_LANE_HOLDS : GP_LANE_OFF;
    lane->fresh = lane->begins_off = !holds;
    lane->next = GP_STEP_RELEASE;
}

/* ---- the next step of a lane ---- */

static const gp_cpu_span no_cpu;

static gp_step release_step(gp_lane *lane, const gp_note *note, uint64_t release, gp_cpu_span cpu)
{
    return (gp_step){.lane = lane,
                     .kind = GP_STEP_RELEASE,
                     .time = atomic_load_explicit(&note->released, memory_order_relaxed),
                     .place = gp_release_place(release),
                     .forced = gp_release_is_forced(release),
                     .cpu = cpu};
}

static void step_of_note(gp_lane *lane, uint64_t number, gp_step *step)
{
    const gp_note *note = gp_lane_note(lane, number);
    uint64_t release = atomic_load_explicit(&note->release, memory_order_relaxed);
    bool seen = gp_release_is_of(release, number);
    if (lane->next == GP_STEP_RELEASE && !seen)
        lane->next = GP_STEP_ASK;
    if (lane->next == GP_STEP_ASK &&
        (note->asked <= GP_ASKED_AT_ONCE || (seen && gp_release_is_forced(release))))
        lane->next = GP_STEP_TAKE;
    if (lane->next == GP_STEP_RELEASE)
        *step = release_step(lane, note, release,
                             lane->cpu_spans != NULL ? lane->cpu_spans[note - lane->notes] : no_cpu);
    else
        *step = (gp_step){.lane = lane,
                          .kind = lane->next,
                          .time = lane->next == GP_STEP_ASK ? note->asked : note->taken,
                          .asked = note->asked,
                          .place = gp_release_place(release),
                          .unseen_before = !seen};
}

/* From what is not published yet; it is valid if the note with that number is not published afterwards. */
static bool step_under_way(gp_lane *lane, uint64_t number, gp_step *step)
{
    const gp_note *note = gp_lane_note(lane, number);
    uint64_t release = atomic_load_explicit(&note->release, memory_order_acquire);
    uint64_t asked = atomic_load_explicit(&lane->asked, memory_order_acquire);
    bool released = gp_release_is_of(release, number);
    if (lane->begins_off && !released && asked != 0)
        lane->next = GP_STEP_ASK;
    switch (lane->next) {
    case GP_STEP_RELEASE:
        *step = release_step(lane, note, release,
                             (gp_cpu_span){atomic_load_explicit(&lane->cpu_since, memory_order_acquire),
                                           atomic_load_explicit(&lane->cpu_until, memory_order_acquire)});
        return released;
    case GP_STEP_ASK:
        *step = (gp_step){.lane = lane, .kind = GP_STEP_ASK, .time = asked, .asked = asked};
        return asked != 0; /* it is of this cycle: a taking makes it 0 before it is published */
    default:
        return false;
    }
}

static bool next_step(gp_lane *lane, gp_step *step)
{
    uint64_t number = atomic_load_explicit(&lane->read, memory_order_relaxed);
    if (atomic_load_explicit(&lane->noted, memory_order_acquire) == number) {
        bool known = step_under_way(lane, number, step);
        if (atomic_load_explicit(&lane->noted, memory_order_acquire) == number)
            return known;
    }
    step_of_note(lane, number, step);
    return true;
}

/* The step was read. */
static void advance(gp_lane *lane, const gp_step *step)
{
    lane->begins_off = false;
    switch (step->kind) {
    case GP_STEP_RELEASE:
        lane->next = step->forced ? GP_STEP_TAKE : GP_STEP_ASK;
        return;
    case GP_STEP_ASK:
        lane->next = GP_STEP_TAKE;
        return;
    case GP_STEP_TAKE:
        lane->next = GP_STEP_RELEASE;
        /* release: the owner may write the slot again */
        atomic_store_explicit(&lane->read, atomic_load_explicit(&lane->read, memory_order_relaxed) + 1,
                              memory_order_release);
        return;
    }
}

/* ---- lanes in order of their next steps ---- */

static void put(gp_stream *stream, size_t at, gp_stream_entry entry)
{
    stream->heap[at] = entry;
    entry.lane->heap_place = (uint32_t)at + 1;
}

static void rise(gp_stream *stream, size_t at, gp_stream_entry entry)
{
    for (size_t parent; at != 0 && stream->heap[parent = (at - 1) / 2].due > entry.due; at = parent)
        put(stream, at, stream->heap[parent]);
    put(stream, at, entry);
}

static void sink(gp_stream *stream, size_t at, gp_stream_entry entry)
{
    for (size_t child; (child = 2 * at + 1) < stream->heap_size; at = child) {
        if (child + 1 < stream->heap_size && stream->heap[child + 1].due < stream->heap[child].due)
            child++;
        if (entry.due <= stream->heap[child].due)
            break;
        put(stream, at, stream->heap[child]);
    }
    put(stream, at, entry);
}

static void drop_first(gp_stream *stream)
{
    stream->heap[0].lane->heap_place = 0;
    if (--stream->heap_size != 0)
        sink(stream, 0, stream->heap[stream->heap_size]);
}

static bool has_room(gp_stream *stream)
{
    if (stream->heap_size < stream->heap_room)
        return true;
    size_t room = stream->heap_room != 0 ? 2 * stream->heap_room : FIRST_ROOM;
    gp_stream_entry *larger = gp_memory_map(room * sizeof *larger);
    if (larger == NULL)
        return false;
    if (stream->heap_size != 0)
        memcpy(larger, stream->heap, stream->heap_size * sizeof *larger);
    gp_memory_unmap(stream->heap, stream->heap_room * sizeof *stream->heap);
    stream->heap = larger;
    stream->heap_room = room;
    return true;
}

/* The first lane has another next step now, or none that is known. */
static void reorder_first(gp_stream *stream)
{
    gp_lane *lane = stream->heap[0].lane;
    gp_step step;
    if (next_step(lane, &step) && step.time <= stream->limit)
        sink(stream, 0, (gp_stream_entry){lane, step.time});
    else
        drop_first(stream);
}

/* Its thread noted something in an earlier watching, and lists it now. */
static bool is_stale(const gp_stream *stream, const gp_lane *lane)
{
    return lane->generation != stream->generation;
}

static bool add(gp_stream *stream, gp_lane *lane)
{
    gp_step step;
    if (is_stale(stream, lane) || lane->heap_place != 0 || !next_step(lane, &step) ||
        step.time > stream->limit)
        return true;
    if (!has_room(stream))
        return false;
    stream->heap_size++;
    rise(stream, stream->heap_size - 1, (gp_stream_entry){lane, step.time});
    return true;
}

/* ---- reading ---- */

void gp_stream_list(gp_stream *stream, gp_lane *lane)
{
    /* seq_cst, here and in unlist: either we see that it was taken off the list, or the reader sees what we
     * have noted before */
    if (atomic_exchange(&lane->listed, true))
        return;
    lane->next_listed = atomic_load_explicit(&stream->listed, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&stream->listed, &lane->next_listed, lane))
        ;
}

uint64_t gp_stream_known_until(const gp_stream *stream)
{
    gp_lane *latest = atomic_load_explicit(&stream->latest, memory_order_acquire);
    if (latest == NULL || is_stale(stream, latest))
        return stream->limit;
    uint64_t noted = atomic_load_explicit(&latest->noted, memory_order_acquire);
    if (noted == atomic_load_explicit(&latest->read, memory_order_relaxed))
        return stream->limit; /* and the owner may write its last note over */
    return gp_lane_note(latest, noted - 1)->taken;
}

uint64_t gp_stream_now(const gp_stream *stream, uint64_t now)
{
    /* Who takes the GIL next notes that before it lets go: of two takings before `now` none is missing. */
    gp_lane *latest = atomic_load_explicit(&stream->latest, memory_order_acquire);
    bool more = latest != NULL && !is_stale(stream, latest) &&
                atomic_load_explicit(&latest->noted, memory_order_acquire) !=
                    atomic_load_explicit(&latest->read, memory_order_relaxed);
    return more ? stream->last : now;
}

bool gp_stream_begin(gp_stream *stream, uint64_t limit)
{
    stream->limit = limit;
    bool whole = true;
    for (gp_lane *lane = atomic_load(&stream->listed); lane != NULL; lane = lane->next_listed)
        whole &= add(stream, lane);
    return whole;
}

/* What the holder does next is to let the GIL go, before anybody else takes it. */
static bool holder_lets_go(gp_stream *stream, const gp_step *taking, gp_step *step)
{
    gp_lane *holder = stream->holder;
    if (holder == NULL || holder == taking->lane || holder->next != GP_STEP_RELEASE)
        return false;
    return next_step(holder, step) && step->kind == GP_STEP_RELEASE;
}

/* Where the first lane is known by now to come later, put it where it belongs. */
static bool first_is_due(gp_stream *stream, gp_step *step)
{
    gp_stream_entry first = stream->heap[0];
    if (next_step(first.lane, step) && step->time <= first.due)
        return true;
    reorder_first(stream);
    return false;
}

bool gp_stream_next(gp_stream *stream, gp_step *step)
{
    do {
        if (stream->heap_size == 0)
            return false;
    } while (!first_is_due(stream, step));
    gp_step release;
    if (step->kind == GP_STEP_TAKE && holder_lets_go(stream, step, &release)) {
        *step = release; /* its lane is put in its place when its turn comes */
        advance(release.lane, step);
        (void)add(stream, release.lane);
        stream->holder = NULL;
        stream->last = step->time;
        return true;
    }
    advance(step->lane, step);
    stream->last = step->time;
    if (step->kind == GP_STEP_TAKE)
        stream->holder = step->lane;
    else if (stream->holder == step->lane)
        stream->holder = NULL;
    reorder_first(stream);
    return true;
}

/* Until when the first lane is before all others. */
static uint64_t before_others(const gp_stream *stream)
{
    uint64_t until = stream->limit;
    for (size_t child = 1; child < 3 && child < stream->heap_size; child++)
        if (stream->heap[child].due < until)
            until = stream->heap[child].due;
    return until;
}

size_t gp_stream_cycles(gp_stream *stream, gp_cycles *cycles)
{
    if (stream->heap_size == 0)
        return 0;
    gp_lane *lane = stream->heap[0].lane;
    if (lane->next != GP_STEP_RELEASE || stream->holder != lane)
        return 0;
    uint64_t number = atomic_load_explicit(&lane->read, memory_order_relaxed);
    uint64_t noted = atomic_load_explicit(&lane->noted, memory_order_acquire);
    uint64_t whole = (number | (GP_LANE_NOTES - 1)) + 1; /* up to the end of the ring */
    const gp_note *first = gp_lane_note(lane, number);
    if (number == noted || atomic_load_explicit(&first->released, memory_order_relaxed) > stream->heap[0].due)
        return 0;
    *cycles = (gp_cycles){.lane = lane, .first = first, .number = number, .until = before_others(stream)};
    return (size_t)((noted < whole ? noted : whole) - number);
}

void gp_stream_skip(gp_stream *stream, const gp_cycles *cycles, size_t count)
{
    stream->last = cycles->first[count - 1].taken;
    /* release: the owner may write the notes again */
    atomic_store_explicit(&cycles->lane->read, cycles->number + count, memory_order_release);
    reorder_first(stream);
}

/* A lane is idle when all is read and its thread neither has the GIL nor waits for it. */
static bool is_idle(const gp_stream *stream, const gp_lane *lane)
{
    bool at_rest = atomic_load(&lane->noted) == atomic_load_explicit(&lane->read, memory_order_relaxed) &&
                   lane->next == GP_STEP_ASK && atomic_load(&lane->asked) == 0;
    return (at_rest || is_stale(stream, lane)) && atomic_load(&stream->latest) != lane;
}

/* It may have noted something meanwhile, and believed that it was on the list. */
static void unlist(gp_stream *stream, gp_lane *lane)
{
    atomic_exchange(&lane->listed, false);
    if (!is_idle(stream, lane))
        gp_stream_list(stream, lane);
}

void gp_stream_end(gp_stream *stream)
{
    while (stream->heap_size != 0) /* read before they are all */
        drop_first(stream);
    gp_lane *lane = atomic_exchange(&stream->listed, NULL);
    while (lane != NULL) {
        gp_lane *next = lane->next_listed;
        unlist(stream, lane);
        lane = next;
    }
}

void gp_stream_restart(gp_stream *stream, gp_lane *holder, uint32_t generation)
{
    gp_lane *lane = atomic_exchange(&stream->listed, NULL);
    while (lane != NULL) {
        gp_lane *next = lane->next_listed;
        lane->heap_place = 0; /* in a forked child */
        atomic_store(&lane->listed, false);
        lane = next;
    }
    atomic_store(&stream->latest, holder);
    stream->holder = holder;
    stream->generation = generation;
    stream->heap_size = 0;
    stream->limit = stream->last = 0;
    if (holder != NULL)
        gp_stream_list(stream, holder);
}

void gp_stream_clear(gp_stream *stream)
{
    gp_memory_unmap(stream->heap, stream->heap_room * sizeof *stream->heap);
    stream->heap = NULL;
    stream->heap_size = stream->heap_room = 0;
}
