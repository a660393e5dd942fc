#ifndef SAMPLE_H
#define SAMPLE_H

/* A small recording with every kind of chunk, made in memory. */

#include <stdlib.h>

#include "recording/gp_chunk.h"
#include "recording/gp_timeline.h"
#include "base/gp_hist.h"
#include "recording/gp_reader.h"

enum {
    SAMPLE_THREADS = 3,
    SAMPLE_PLACES = 5,
    SAMPLE_EVENTS = 40, /* of each of the two interpreters */
};

static inline void sample_numbers(gp_buffer *out, size_t count, const uint64_t *numbers)
{
    for (size_t i = 0; i < count; i++)
        gp_buffer_number(out, numbers[i]);
}

#define SAMPLE_NUMBERS(out, ...)                                                                             \
    sample_numbers(out, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (uint64_t[]){__VA_ARGS__})

static inline void sample_names(gp_buffer *out)
{
    size_t begin = gp_chunk_begin(out, "META");
    gp_buffer_raw(out, "{\"pid\": 1}", 10);
    gp_chunk_end(out, begin);
    begin = gp_chunk_begin(out, "LABL");
    gp_buffer_number(out, 1);
    gp_buffer_string(out, "worker \xED\xA0\x80", 10); /* with a lone surrogate */
    gp_buffer_number(out, 2);
    gp_buffer_string(out, "", 0);
    gp_chunk_end(out, begin);
    begin = gp_chunk_begin(out, "NAME");
    gp_buffer_signed(out, 4711);
    gp_buffer_string(out, "MainThread", 10);
    gp_buffer_signed(out, -1);
    gp_buffer_string(out, "?", 1);
    gp_chunk_end(out, begin);
}

static inline void sample_threads(gp_buffer *out, uint32_t interpreter)
{
    size_t begin = gp_chunk_begin(out, "THRD");
    gp_buffer_number(out, interpreter);
    for (uint64_t i = 0; i < SAMPLE_THREADS; i++) {
        gp_buffer_number(out, i);
        gp_buffer_signed(out, 4711 + (int64_t)i);
        gp_buffer_number(out, i);
        gp_buffer_string(out, "python", 6);
        gp_buffer_number(out, 100 * i);
    }
    gp_chunk_end(out, begin);
}

static inline void sample_places(gp_buffer *out, uint32_t interpreter)
{
    size_t begin = gp_chunk_begin(out, "PLAC");
    gp_buffer_number(out, interpreter);
    SAMPLE_NUMBERS(out, 0, 0, GP_PLACE_DEEPER);
    for (uint64_t i = 1; i < SAMPLE_PLACES - 1; i++) {
        SAMPLE_NUMBERS(out, i, i, GP_PLACE_PYTHON, 10 * i); /* the one before is its parent */
        gp_buffer_string(out, "f", 1);
        gp_buffer_string(out, "app.py", 6);
    }
    SAMPLE_NUMBERS(out, SAMPLE_PLACES - 1, 0, GP_PLACE_NATIVE, 2);
    gp_chunk_end(out, begin);
}

static inline void sample_account(gp_buffer *out, uint64_t number)
{
    gp_buffer_number(out, number);
    gp_buffer_signed(out, 4711 + (int64_t)number);
    SAMPLE_NUMBERS(out, number, 1, 1);
    gp_buffer_string(out, "python", 6);
    SAMPLE_NUMBERS(out, 10, 1010, 600, 300, 100, 60, 30, 9, 5, 10, 3, 290);
    SAMPLE_NUMBERS(out, 2, 0, 4, GP_HIST_BUCKETS - 1, 1); /* the first bucket and the last */
    SAMPLE_NUMBERS(out, 1, 700, 9);
}

static inline void sample_snapshot(gp_buffer *out, uint32_t interpreter, uint64_t flags)
{
    size_t begin = gp_chunk_begin(out, "SNAP");
    SAMPLE_NUMBERS(out, flags, interpreter, (uint64_t)1 << 31, 2000, 300, 7, 0, 5, 2);
    gp_buffer_number(out, SAMPLE_THREADS);
    for (uint64_t i = 0; i < SAMPLE_THREADS; i++)
        sample_account(out, i);
    SAMPLE_NUMBERS(out, 2, 1, 4, 500, 200, 3, 1, 100, 50); /* places 1 and 4 */
    SAMPLE_NUMBERS(out, 2, 1, 0, 5, 280, 0, 2, 0, 10);
    SAMPLE_NUMBERS(out, 2, 1, 2, 1, 5, 400, 120, 110, 2, 0, 0, 0, 700, 20, 0);
    if ((flags & GP_SNAPSHOT_LOOKS) != 0)
        SAMPLE_NUMBERS(out, 3, 4, 2, 0, 2, 3, 17, 5, 2, 0, 1, 1, 0);
    if ((flags & GP_SNAPSHOT_PAUSES) != 0) {
        SAMPLE_NUMBERS(out, 1, 2); /* one was lost; two sums */
        SAMPLE_NUMBERS(out, 0, 2, 3, 2, 60, 40, 1, 70, 70, 9, 1, 2, 0, 0, 0, 5, 0, 3, 5, 2, 0, 0);
        SAMPLE_NUMBERS(out, 1, 0, 3, 2, 100, 70, 60, 40, 9, 1); /* the longest */
        SAMPLE_NUMBERS(out, 1, 0, 2, 1, 3, 2);                  /* looks */
    }
    gp_chunk_end(out, begin);
}

static inline void sample_events(gp_buffer *out, uint32_t interpreter)
{
    enum { HALF = SAMPLE_EVENTS / 2 };
    gp_timeline timeline = {.dropped = 1}, taken = {0};
    uint64_t last = 0;
    for (uint64_t i = 0; i < SAMPLE_EVENTS; i++) {
        uint64_t end = i * 50 + (i == 30 ? (uint64_t)1 << 43 : 0);
        gp_timeline_add(&timeline,
                        (gp_interval){i & 1 ? GP_EVENT_WAIT : GP_EVENT_HOLD, (uint32_t)(i % SAMPLE_THREADS),
                                      i % 4 != 0 ? (uint32_t)(i % SAMPLE_PLACES) : GP_NOWHERE,
                                      end - (i != 0 ? 40 : 0), end});
        if (i != HALF - 1 && i != SAMPLE_EVENTS - 1)
            continue;
        gp_timeline_take(&timeline, &taken);
        gp_timeline_put(&taken, &last, interpreter, out);
        timeline.dropped++;
    }
    gp_buffer_free(&timeline.events);
    gp_buffer_free(&taken.events);
}

static inline void sample_seen(gp_buffer *out, uint32_t interpreter)
{
    size_t begin = gp_chunk_begin(out, "SEEN");
    gp_buffer_number(out, interpreter);
    SAMPLE_NUMBERS(out, 0, 1, 10, 1990, 2, 1, 1, 2, 100, 700, 0, 3);
    gp_chunk_end(out, begin);
}

static inline void sample_pauses(gp_buffer *out, uint32_t interpreter)
{
    size_t begin = gp_chunk_begin(out, "PAUS");
    gp_buffer_number(out, interpreter);
    SAMPLE_NUMBERS(out, 0, 3, 2, 100, 70, 60, 40, 9, 1, 2, 0, 0, 300, 5, 5, 0, 0, 0);
    gp_chunk_end(out, begin);
}

/* Two waits: one that thread 2 ended, and one that failed. */
static inline void sample_lock_waits(gp_buffer *out)
{
    size_t begin = gp_chunk_begin(out, "LWAT");
    SAMPLE_NUMBERS(out, (uint64_t)1 << 31, 1, 2);
    SAMPLE_NUMBERS(out, 1, 400, 100, 1, 3, 2, 10, 0, 3, 4, 20);
    SAMPLE_NUMBERS(out, 2, 100, 30, 0, 2, 0, 0, 2, 0);
    gp_chunk_end(out, begin);
}

/* Free with gp_buffer_free. */
static inline gp_buffer sample_recording(void)
{
    gp_buffer out = {0};
    gp_chunk_put_header(&out);
    sample_names(&out);
    for (uint32_t interpreter = 0; interpreter <= 3; interpreter += 3) {
        sample_threads(&out, interpreter);
        sample_places(&out, interpreter);
        sample_snapshot(&out, interpreter, 0);
        sample_seen(&out, interpreter);
        sample_pauses(&out, interpreter);
        sample_events(&out, interpreter);
        sample_lock_waits(&out);
        gp_chunk_end(&out, gp_chunk_begin(&out, "LATR")); /* of a later version */
        sample_snapshot(&out, interpreter,
                        GP_SNAPSHOT_FINAL | GP_SNAPSHOT_SITES | GP_SNAPSHOT_LOOKS | GP_SNAPSHOT_PAUSES);
    }
    if (out.failed)
        abort();
    return out;
}

#endif
