#include "stream/gp_stream.h"

#include <string.h>

#include "base/gp_buffer.h"
#include "base/gp_memory.h"

void gp_journal_begin(gp_journal *journal, gp_note *notes, gp_cpu_span *cpu_spans, uint32_t generation,
                      bool holds)
{
    /* notes of an earlier watching must not be taken for new ones: their numbers don't come again */
    uint64_t number = atomic_load_explicit(&journal->noted, memory_order_relaxed) + 1;
    bool listed = atomic_load(&journal->listed);
    gp_journal *next_listed = journal->next_listed;
    memset(journal, 0, sizeof *journal);
    atomic_store(&journal->listed, listed); /* the list stays whole */
    journal->next_listed = next_listed;
    atomic_store_explicit(&journal->noted, number, memory_order_relaxed);
    atomic_store_explicit(&journal->read, number, memory_order_relaxed);
    journal->due = number + GP_JOURNAL_DUE;
    journal->asking = GP_ASKED_AT_ONCE;
    journal->notes = notes;
    journal->cpu_spans = cpu_spans;
    journal->generation = generation;
    journal->doing = holds ? GP_JOURNAL_HOLDS : GP_JOURNAL_OFF;
    journal->fresh = journal->begins_off = !holds;
    journal->next = GP_STEP_RELEASE;
}

/* ---- the next step of a journal ---- */

/* What comes next in a note that is published. */
static inline gp_step_kind kind_in(gp_journal *journal, const gp_note *note, bool release_seen)
{
    if (__builtin_expect(note->asked == GP_ASKED_TAG, 0))
        return GP_STEP_TAG;
    if (journal->next == GP_STEP_RELEASE && !release_seen)
        journal->next = GP_STEP_ASK;
    if (journal->next == GP_STEP_ASK && note->asked <= GP_ASKED_AT_ONCE)
        journal->next = GP_STEP_TAKE;
    return journal->next;
}

static inline uint64_t time_in(const gp_note *note, gp_step_kind kind)
{
    if (kind == GP_STEP_RELEASE)
        return atomic_load_explicit(&note->released, memory_order_relaxed);
    return kind == GP_STEP_ASK ? note->asked : note->taken;
}

static inline void step_of_note(gp_journal *journal, uint64_t number, gp_step *step)
{
    const gp_note *note = gp_journal_note(journal, number);
    uint64_t release = atomic_load_explicit(&note->release, memory_order_relaxed);
    bool seen = gp_release_is_of(release, number);
    step->journal = journal;
    step->kind = kind_in(journal, note, seen);
    step->time = time_in(note, step->kind);
    step->asked = note->asked;
    step->place = gp_release_place(release);
    step->forced = gp_release_is_forced(release);
    step->unseen_before = !seen;
    step->cpu = journal->cpu_spans != NULL ? &journal->cpu_spans[note - journal->notes] : NULL;
}

/* From what is not published yet; it is valid if the note with that number is not published afterwards. */
static bool step_under_way(gp_journal *journal, uint64_t number, gp_step *step)
{
    const gp_note *note = gp_journal_note(journal, number);
    uint64_t release = atomic_load_explicit(&note->release, memory_order_acquire);
    uint64_t asked = atomic_load_explicit(&journal->asked, memory_order_acquire);
    bool released = gp_release_is_of(release, number);
    if (journal->begins_off && !released && asked != 0)
        journal->next = GP_STEP_ASK;
    switch (journal->next) {
    case GP_STEP_RELEASE:
        journal->cpu_read = (gp_cpu_span){atomic_load_explicit(&journal->cpu_since, memory_order_acquire),
                                          atomic_load_explicit(&journal->cpu_until, memory_order_acquire)};
        *step = (gp_step){.journal = journal,
                          .kind = GP_STEP_RELEASE,
                          .time = time_in(note, GP_STEP_RELEASE),
                          .place = gp_release_place(release),
                          .forced = gp_release_is_forced(release),
                          .cpu = &journal->cpu_read};
        return released;
    case GP_STEP_ASK:
        *step = (gp_step){.journal = journal, .kind = GP_STEP_ASK, .time = asked, .asked = asked};
        return asked != 0; /* it is of this cycle: a taking makes it 0 before it is published */
    default:
        return false;
    }
}

static bool next_under_way(gp_journal *journal, uint64_t number, gp_step *step)
{
    bool known = step_under_way(journal, number, step);
    if (atomic_load_explicit(&journal->noted, memory_order_acquire) == number)
        return known;
    step_of_note(journal, number, step);
    return true;
}

static inline bool next_step(gp_journal *journal, gp_step *step)
{
    uint64_t number = atomic_load_explicit(&journal->read, memory_order_relaxed);
    if (atomic_load_explicit(&journal->noted, memory_order_acquire) == number)
        return next_under_way(journal, number, step);
    step_of_note(journal, number, step);
    return true;
}

/* When the next step is. */
static inline bool next_time(gp_journal *journal, uint64_t *time)
{
    gp_step step;
    uint64_t number = atomic_load_explicit(&journal->read, memory_order_relaxed);
    if (atomic_load_explicit(&journal->noted, memory_order_acquire) == number) {
        bool known = next_under_way(journal, number, &step);
        *time = step.time;
        return known;
    }
    const gp_note *note = gp_journal_note(journal, number);
    uint64_t release = atomic_load_explicit(&note->release, memory_order_relaxed);
    *time = time_in(note, kind_in(journal, note, gp_release_is_of(release, number)));
    return true;
}

/* release: the owner may write the slot again */
static void finish_note(gp_journal *journal)
{
    atomic_store_explicit(&journal->read, atomic_load_explicit(&journal->read, memory_order_relaxed) + 1,
                          memory_order_release);
}

/* The step was read. */
static void advance(gp_journal *journal, const gp_step *step)
{
    journal->begins_off = false;
    switch (step->kind) {
    case GP_STEP_RELEASE:
        journal->next = step->forced ? GP_STEP_TAKE : GP_STEP_ASK;
        return;
    case GP_STEP_ASK:
        journal->next = GP_STEP_TAKE;
        return;
    case GP_STEP_TAKE:
        journal->next = GP_STEP_RELEASE;
        finish_note(journal);
        return;
    case GP_STEP_TAG:
        finish_note(journal);
        return;
    }
}

/* ---- journals in order of their next steps ---- */

static void put(gp_stream *stream, size_t at, gp_stream_entry entry)
{
    stream->heap[at] = entry;
    entry.journal->heap_place = (uint32_t)at + 1;
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
    stream->heap[0].journal->heap_place = 0;
    if (--stream->heap_size != 0)
        sink(stream, 0, stream->heap[stream->heap_size]);
}

static bool has_room(gp_stream *stream)
{
    gp_stream_entry *heap = gp_array_enlarge(stream->heap, sizeof *heap, stream->heap_size,
                                             stream->heap_size + 1, &stream->heap_room);
    if (heap != NULL)
        stream->heap = heap;
    return heap != NULL;
}

/* The first journal has another next step now, or none that is known. */
static void reorder_first(gp_stream *stream)
{
    gp_journal *journal = stream->heap[0].journal;
    uint64_t time;
    if (next_time(journal, &time) && time <= stream->limit)
        sink(stream, 0, (gp_stream_entry){journal, time});
    else
        drop_first(stream);
}

/* Its thread noted something in an earlier watching, and lists it now. */
static bool is_stale(const gp_stream *stream, const gp_journal *journal)
{
    return journal->generation != stream->generation;
}

static bool add(gp_stream *stream, gp_journal *journal)
{
    uint64_t time;
    if (is_stale(stream, journal) || journal->heap_place != 0 || !next_time(journal, &time) ||
        time > stream->limit)
        return true;
    if (!has_room(stream))
        return false;
    stream->heap_size++;
    rise(stream, stream->heap_size - 1, (gp_stream_entry){journal, time});
    return true;
}

/* ---- reading ---- */

void gp_stream_list(gp_stream *stream, gp_journal *journal)
{
    /* seq_cst, here and in unlist: either we see that it was taken off the list, or the reader sees what we
     * have noted before */
    if (atomic_exchange(&journal->listed, true))
        return;
    journal->next_listed = atomic_load_explicit(&stream->listed, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&stream->listed, &journal->next_listed, journal))
        ;
}

uint64_t gp_stream_known_until(const gp_stream *stream)
{
    gp_journal *latest = atomic_load_explicit(&stream->latest, memory_order_acquire);
    if (latest == NULL || is_stale(stream, latest))
        return stream->limit;
    uint64_t noted = atomic_load_explicit(&latest->noted, memory_order_acquire);
    if (noted == atomic_load_explicit(&latest->read, memory_order_relaxed))
        return stream->limit; /* and the owner may write its last note over */
    return gp_journal_note(latest, noted - 1)->taken;
}

uint64_t gp_stream_now(const gp_stream *stream, uint64_t now)
{
    /* Who takes the GIL next notes that before it lets go: of two takings before `now` none is missing. */
    gp_journal *latest = atomic_load_explicit(&stream->latest, memory_order_acquire);
    bool more = latest != NULL && !is_stale(stream, latest) &&
                atomic_load_explicit(&latest->noted, memory_order_acquire) !=
                    atomic_load_explicit(&latest->read, memory_order_relaxed);
    return more ? stream->last : now;
}

bool gp_stream_begin(gp_stream *stream, uint64_t limit)
{
    stream->limit = limit;
    bool whole = true;
    for (gp_journal *journal = atomic_load(&stream->listed); journal != NULL; journal = journal->next_listed)
        whole &= add(stream, journal);
    return whole;
}

/* What the holder does next is to let the GIL go, before anybody else takes it. */
static bool holder_lets_go(gp_stream *stream, gp_step *step)
{
    gp_journal *holder = stream->holder;
    if (holder == NULL || holder->next != GP_STEP_RELEASE)
        return false;
    return next_step(holder, step) && (step->kind == GP_STEP_RELEASE || step->kind == GP_STEP_TAG);
}

/* Where the first journal is known by now to come later, put it where it belongs. */
static bool first_is_due(gp_stream *stream, gp_step *step)
{
    gp_stream_entry first = stream->heap[0];
    if (next_step(first.journal, step) && step->time <= first.due)
        return true;
    reorder_first(stream);
    return false;
}

/* Journals may be read one by one: their steps are then not in order of time. */
static void read_until(gp_stream *stream, uint64_t time)
{
    stream->last = time > stream->last ? time : stream->last;
}

bool gp_stream_next(gp_stream *stream, gp_step *step)
{
    do {
        if (stream->heap_size == 0)
            return false;
    } while (!first_is_due(stream, step));
    gp_step release;
    if (step->kind == GP_STEP_TAKE && holder_lets_go(stream, &release)) {
        *step = release; /* its journal is put in its place when its turn comes */
        advance(release.journal, step);
        (void)add(stream, release.journal);
        read_until(stream, step->time);
        return true;
    }
    advance(step->journal, step);
    read_until(stream, step->time);
    if (step->kind == GP_STEP_TAKE)
        stream->holder = step->journal;
    reorder_first(stream);
    return true;
}

/* Until when the first journal is before all others. */
static uint64_t before_others(const gp_stream *stream)
{
    uint64_t until = stream->limit;
    for (size_t child = 1; child < 3 && child < stream->heap_size; child++)
        if (stream->heap[child].due < until)
            until = stream->heap[child].due;
    return until;
}

static bool is_cycle(const gp_journal *journal, uint64_t number)
{
    const gp_note *note = gp_journal_note(journal, number);
    return gp_note_is_cycle(note, atomic_load_explicit(&note->release, memory_order_relaxed),
                            (uint32_t)number);
}

size_t gp_stream_cycles_of(gp_journal *journal, uint64_t until, gp_cycles *cycles)
{
    uint64_t number = atomic_load_explicit(&journal->read, memory_order_relaxed);
    uint64_t noted = atomic_load_explicit(&journal->noted, memory_order_acquire);
    uint64_t whole = (number | (GP_JOURNAL_NOTES - 1)) + 1; /* up to the end of the ring */
    *cycles = (gp_cycles){
        .journal = journal, .first = gp_journal_note(journal, number), .number = number, .until = until};
    if (journal->next != GP_STEP_RELEASE || number == noted || cycles->first->taken > until)
        return 0;
    return (size_t)((noted < whole ? noted : whole) - number);
}

size_t gp_stream_cycles(gp_stream *stream, gp_cycles *cycles)
{
    gp_journal *journal = stream->heap_size != 0 ? stream->heap[0].journal : NULL;
    if (journal == NULL || stream->holder != journal)
        return 0;
    return gp_stream_cycles_of(journal, before_others(stream), cycles);
}

void gp_stream_skip_of(const gp_cycles *cycles, size_t count)
{
    /* release: the owner may write the notes again */
    atomic_store_explicit(&cycles->journal->read, cycles->number + count, memory_order_release);
}

void gp_stream_skip(gp_stream *stream, const gp_cycles *cycles, size_t count)
{
    read_until(stream, cycles->first[count - 1].taken);
    gp_stream_skip_of(cycles, count);
    reorder_first(stream);
}

/* ---- calm ---- */

/* Whether what is not noted yet is a wait. */
static bool waits(const gp_journal *journal, uint64_t number)
{
    uint64_t release = atomic_load_explicit(&gp_journal_note(journal, number)->release, memory_order_acquire);
    return (gp_release_is_of(release, number) && gp_release_is_forced(release)) ||
           atomic_load_explicit(&journal->asked, memory_order_acquire) != 0;
}

/* Until when the journal of this entry has no wait and nothing else that is seldom. Looks at each note once.
 */
static uint64_t calm_until(gp_stream_entry entry)
{
    gp_journal *journal = entry.journal;
    uint64_t read = atomic_load_explicit(&journal->read, memory_order_relaxed);
    uint64_t noted = atomic_load_explicit(&journal->noted, memory_order_acquire);
    uint64_t number = journal->calm > read ? journal->calm : read, before;
    bool waiting;
    do {
        before = noted;
        while (number != noted && is_cycle(journal, number))
            number++;
        waiting = number != noted || waits(journal, number);
        /* A wait may have ended meanwhile, and be in a note now. */
        noted = atomic_load_explicit(&journal->noted, memory_order_acquire);
    } while (!waiting && noted != before);
    journal->calm = number;
    if (!waiting)
        return UINT64_MAX;
    return number == read ? entry.due - 1 : gp_journal_note(journal, number - 1)->taken;
}

uint64_t gp_stream_calm(const gp_stream *stream)
{
    uint64_t until = stream->limit;
    for (size_t i = 0; i < stream->heap_size; i++) {
        uint64_t calm = calm_until(stream->heap[i]);
        until = calm < until ? calm : until;
    }
    return until;
}

bool gp_stream_next_of(gp_journal *journal, uint64_t until, gp_step *step)
{
    uint64_t number = atomic_load_explicit(&journal->read, memory_order_relaxed);
    if (number >= journal->calm)
        return false;
    step_of_note(journal, number, step);
    if (step->time > until)
        return false;
    advance(journal, step);
    return true;
}

void gp_stream_calmed(gp_stream *stream, gp_journal *holder, uint64_t last)
{
    size_t count = stream->heap_size;
    stream->holder = holder;
    read_until(stream, last);
    stream->heap_size = 0;
    for (size_t i = 0; i < count; i++) { /* in the room of those that were put back */
        gp_journal *journal = stream->heap[i].journal;
        journal->heap_place = 0;
        (void)add(stream, journal);
    }
}

/* A journal is idle when all is read and its thread neither has the GIL nor waits for it. */
static bool is_idle(const gp_stream *stream, const gp_journal *journal)
{
    /* First who took the GIL last: if it was another after this one, this one's taking is noted, and is seen.
     * The other way round both could happen in between. */
    if (atomic_load(&stream->latest) == journal)
        return false;
    return is_stale(stream, journal) ||
           (atomic_load(&journal->noted) == atomic_load_explicit(&journal->read, memory_order_relaxed) &&
            journal->next == GP_STEP_ASK && atomic_load(&journal->asked) == 0);
}

/* It may have noted something meanwhile, and believed that it was on the list. */
static void unlist(gp_stream *stream, gp_journal *journal)
{
    atomic_exchange(&journal->listed, false);
    if (!is_idle(stream, journal))
        gp_stream_list(stream, journal);
}

void gp_stream_end(gp_stream *stream)
{
    gp_journal *journal = atomic_exchange(&stream->listed, NULL);
    while (journal != NULL) {
        gp_journal *next = journal->next_listed;
        unlist(stream, journal);
        journal = next;
    }
}

void gp_stream_restart(gp_stream *stream, gp_journal *holder, uint32_t generation)
{
    gp_journal *journal = atomic_exchange(&stream->listed, NULL);
    while (journal != NULL) {
        gp_journal *next = journal->next_listed;
        journal->heap_place = 0; /* in a forked child */
        atomic_store(&journal->listed, false);
        journal = next;
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
