#include "recording/gp_events.h"

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
        .account = i % 10 == 9 ? GP_RING_ACCOUNTS - 1 : (uint32_t)(i % 7),
        .place = i % 3 == 0 ? GP_NOWHERE : (uint32_t)(i % 5),
        .start = end - (length < end ? length : end),
        .end = end,
    };
}

static const gp_interval *all_events(void)
{
    static gp_interval events[EVENTS];
    for (uint64_t i = 0; i < EVENTS; i++)
        events[i] = interval_of(i);
    return events;
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

static void what_is_encoded_is_read_back_however_it_is_cut(void)
{
    const gp_interval *events = all_events();
    for (size_t piece = 1; piece <= EVENTS; piece = piece * 3 + 1) {
        gp_buffer out = {0};
        uint64_t encoded = 0, end = 0;
        for (size_t at = 0; at < EVENTS; at += piece) {
            size_t some = EVENTS - at < piece ? EVENTS - at : piece;
            encoded += gp_events_encode(&end, events + at, some, INTERPRETER, 12, &out);
        }
        CHECK_EQUAL(encoded, EVENTS);
        CHECK_EQUAL(check_chunks(&out), EVENTS);
        gp_buffer_free(&out);
    }
}

static void nothing_makes_no_chunk(void)
{
    gp_buffer out = {0};
    uint64_t end = 0;
    CHECK_EQUAL(gp_events_encode(&end, NULL, 0, INTERPRETER, 0, &out), 0);
    CHECK_EQUAL(out.size, 0);
    gp_buffer_free(&out);
}

static void without_memory_the_buffer_is_failed(void)
{
    gp_buffer out = {.failed = true};
    uint64_t end = 0;
    CHECK_EQUAL(gp_events_encode(&end, all_events(), EVENTS, INTERPRETER, 0, &out), 0);
    CHECK(out.failed);
    CHECK_EQUAL(out.size, 0);
}

int main(void)
{
    what_is_encoded_is_read_back_however_it_is_cut();
    nothing_makes_no_chunk();
    without_memory_the_buffer_is_failed();
    return gp_test_status();
}
