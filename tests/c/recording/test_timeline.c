#include "recording/gp_timeline.h"

#include "gp_test.h"
#include "recording/gp_chunk.h"
#include "recording/gp_reader.h"

enum { EVENTS = 1000, INTERPRETER = 3 };

/* With durations and gaps that are short, long and very long, places that are known or not, and accounts up
 * to the last. */
static gp_interval interval_of(uint64_t i)
{
    uint64_t end = i * 50 + (i >= 300 ? (uint64_t)1 << 44 : 0);
    uint64_t length = i % 97 == 0 ? 0 : i == 400 ? (uint64_t)1 << 43 : i % 40;
    return (gp_interval){
        .kind = i & 1 ? GP_EVENT_WAIT : GP_EVENT_HOLD,
        .account = i % 10 == 9 ? GP_INTERVAL_ACCOUNTS - 1 : (uint32_t)(i % 7),
        .place = i % 3 == 0 ? GP_NOWHERE : (uint32_t)(i % 5),
        .start = end - (length < end ? length : end),
        .end = end,
    };
}

/* Read the chunks back. Returns how many intervals there were. */
static uint64_t check_chunks(const gp_buffer *out)
{
    uint64_t seen = 0;
    for (size_t at = 0, size = 0; at < out->size; at += GP_CHUNK_HEADER + size) {
        const char *wrong = NULL;
        CHECK_EQUAL(gp_chunk_look(out->bytes + at, out->size - at, &size, &wrong), GP_CHUNK_WHOLE);
        gp_events events = gp_events_over(out->bytes + at + GP_CHUNK_HEADER, size);
        CHECK_EQUAL(events.interpreter, INTERPRETER);
        CHECK_EQUAL(events.dropped, 12);
        for (uint64_t left = events.count; left > 0; left--, seen++) {
            gp_interval one, expected = interval_of(seen);
            gp_events_next(&events, &one);
            CHECK(one.kind == expected.kind && one.account == expected.account);
            CHECK(one.place == expected.place && one.start == expected.start && one.end == expected.end);
        }
        CHECK(events.cursor.wrong == NULL && gp_cursor_at_end(&events.cursor));
    }
    return seen;
}

/* As the recorder does it. Returns how many events were written. */
static uint64_t write_out(gp_timeline *timeline, gp_timeline *taken, uint64_t *end, gp_buffer *out)
{
    gp_timeline_take(timeline, taken);
    CHECK_EQUAL(gp_timeline_count(timeline), 0);
    return gp_timeline_put(taken, end, INTERPRETER, out);
}

static void what_is_added_is_read_back_however_it_is_cut(void)
{
    for (size_t piece = 1; piece <= EVENTS; piece = piece * 3 + 1) {
        gp_timeline timeline = {.dropped = 12}, taken = {0};
        gp_buffer out = {0};
        uint64_t written = 0, end = 0;
        for (size_t i = 0; i < EVENTS; i++) {
            CHECK(gp_timeline_add(&timeline, interval_of(i)));
            if (i % piece == piece - 1)
                written += write_out(&timeline, &taken, &end, &out);
        }
        written += write_out(&timeline, &taken, &end, &out);
        CHECK_EQUAL(written, EVENTS);
        CHECK_EQUAL(check_chunks(&out), EVENTS);
        gp_buffer_free(&timeline.events);
        gp_buffer_free(&taken.events);
        gp_buffer_free(&out);
    }
}

static void a_full_timeline_keeps_the_old_and_counts_the_new(void)
{
    enum { MORE = 24 };
    gp_timeline timeline = {0}, taken = {0};
    gp_buffer out = {0};
    uint64_t end = 0;
    for (uint64_t i = 0; i < (uint64_t)GP_TIMELINE_MAX + MORE; i++)
        CHECK_EQUAL(gp_timeline_add(&timeline, (gp_interval){GP_EVENT_HOLD, 0, 0, i, i + 1}),
                    i < GP_TIMELINE_MAX);
    CHECK_EQUAL(timeline.dropped, MORE);
    CHECK_EQUAL(write_out(&timeline, &taken, &end, &out), GP_TIMELINE_MAX);
    gp_events events = gp_events_over(out.bytes + GP_CHUNK_HEADER, out.size - GP_CHUNK_HEADER);
    CHECK_EQUAL(events.count, GP_TIMELINE_MAX);
    CHECK_EQUAL(events.dropped, MORE);
    gp_buffer_clear(&out);
    CHECK(gp_timeline_add(&timeline, (gp_interval){GP_EVENT_HOLD, 0, 0, 1 << 20, 1 << 21}));
    CHECK_EQUAL(write_out(&timeline, &taken, &end, &out), 1);
    events = gp_events_over(out.bytes + GP_CHUNK_HEADER, out.size - GP_CHUNK_HEADER);
    CHECK_EQUAL(events.end, GP_TIMELINE_MAX); /* of the last one before */
    CHECK_EQUAL(events.dropped, MORE);
    gp_buffer_free(&timeline.events);
    gp_buffer_free(&taken.events);
    gp_buffer_free(&out);
}

/* Threads of which none waits are booked one by one: their holds come in runs. */
static void events_are_written_in_the_order_of_their_ends(void)
{
    enum { RUNS = 7 };
    for (uint64_t length = 1; length <= 129; length = 2 * length + 1) {
        gp_timeline timeline = {0}, taken = {0};
        gp_buffer out = {0};
        uint64_t end = 0;
        for (uint32_t run = 0; run < RUNS; run++) /* some ends are the same */
            for (uint64_t i = 0; i < length + run; i++)
                gp_timeline_add(&timeline,
                                (gp_interval){GP_EVENT_HOLD, run, 0, i, run / 3 + i * (run % 3 + 1)});
        uint64_t count = gp_timeline_count(&timeline);
        CHECK_EQUAL(write_out(&timeline, &taken, &end, &out), count);
        gp_events events = gp_events_over(out.bytes + GP_CHUNK_HEADER, out.size - GP_CHUNK_HEADER);
        uint64_t next[RUNS] = {0};
        gp_interval before = {0}, one;
        for (uint64_t i = 0; i < count; i++, before = one) {
            gp_events_next(&events, &one);
            CHECK(one.end > before.end || (one.end == before.end && one.account >= before.account));
            CHECK_EQUAL(one.start, next[one.account]++); /* none is missing, and none comes twice */
        }
        for (uint32_t run = 0; run < RUNS; run++)
            CHECK_EQUAL(next[run], length + run);
        gp_buffer_free(&timeline.events);
        gp_buffer_free(&taken.events);
        gp_buffer_free(&out);
    }
}

static void nothing_makes_no_chunk(void)
{
    gp_buffer out = {0};
    uint64_t end = 0;
    CHECK_EQUAL(gp_timeline_put(&(gp_timeline){0}, &end, INTERPRETER, &out), 0);
    CHECK_EQUAL(out.size, 0);
    gp_buffer_free(&out);
}

static void without_memory_an_event_is_dropped_and_a_chunk_fails(void)
{
    gp_timeline timeline = {.events = {.failed = true}};
    CHECK(!gp_timeline_add(&timeline, interval_of(1)));
    CHECK_EQUAL(timeline.dropped, 1);
    CHECK(gp_timeline_add(&timeline, interval_of(2))); /* the next one may find memory */
    gp_buffer out = {.failed = true};
    uint64_t end = 0;
    CHECK_EQUAL(gp_timeline_put(&timeline, &end, INTERPRETER, &out), 0);
    CHECK(out.failed);
    CHECK_EQUAL(out.size, 0);
    gp_buffer_free(&timeline.events);
}

int main(void)
{
    what_is_added_is_read_back_however_it_is_cut();
    a_full_timeline_keeps_the_old_and_counts_the_new();
    events_are_written_in_the_order_of_their_ends();
    nothing_makes_no_chunk();
    without_memory_an_event_is_dropped_and_a_chunk_fails();
    return gp_test_status();
}
