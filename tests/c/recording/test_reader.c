#include "recording/gp_reader.h"

#include <string.h>

#include "gp_test.h"
#include "sample.h"
#include "walk.h"

static void the_checksum_is_that_of_zlib(void)
{
    static const char text[] = "123456789";
    CHECK_EQUAL(gp_crc32(0, text, 9), 0xCBF43926); /* the check value of CRC-32/ISO-HDLC */
    CHECK_EQUAL(gp_crc32(gp_crc32(0, text, 4), text + 4, 5), 0xCBF43926);
    CHECK_EQUAL(gp_crc32(0, NULL, 0), 0);
}

static void numbers_come_back_as_they_were_written(void)
{
    gp_buffer buffer = {0};
    for (unsigned bit = 0; bit < 64; bit++) {
        gp_buffer_number(&buffer, (uint64_t)1 << bit);
        gp_buffer_number(&buffer, ((uint64_t)1 << bit) - 1);
        gp_buffer_signed(&buffer, (int64_t)((uint64_t)1 << bit));
        gp_buffer_signed(&buffer, -(int64_t)(((uint64_t)1 << bit) - 1));
    }
    gp_cursor cursor = gp_cursor_over(buffer.bytes, buffer.size);
    for (unsigned bit = 0; bit < 64; bit++) {
        CHECK(gp_cursor_number(&cursor) == (uint64_t)1 << bit);
        CHECK(gp_cursor_number(&cursor) == ((uint64_t)1 << bit) - 1);
        CHECK(gp_cursor_signed(&cursor) == (int64_t)((uint64_t)1 << bit));
        CHECK(gp_cursor_signed(&cursor) == -(int64_t)(((uint64_t)1 << bit) - 1));
    }
    CHECK(gp_cursor_at_end(&cursor) && cursor.wrong == NULL);
    gp_buffer_free(&buffer);
}

static void a_number_that_ends_early_or_late_is_refused(void)
{
    static const uint8_t endless[11] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    static const uint8_t too_wide[10] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02};
    for (size_t size = 0; size <= sizeof endless; size++) {
        gp_cursor cursor = gp_cursor_over(endless, size);
        CHECK_EQUAL(gp_cursor_number(&cursor), 0);
        CHECK(cursor.wrong != NULL && gp_cursor_at_end(&cursor));
        CHECK_EQUAL(gp_cursor_number(&cursor), 0);
    }
    gp_cursor cursor = gp_cursor_over(too_wide, sizeof too_wide);
    CHECK_EQUAL(gp_cursor_number(&cursor), 0);
    CHECK(cursor.wrong != NULL);
}

static void a_length_beyond_the_end_is_refused(void)
{
    static const uint8_t string[] = {5, 'a', 'b'}, rows[] = {4, 1, 2, 3, 4, 5, 6, 7};
    gp_cursor cursor = gp_cursor_over(string, sizeof string);
    CHECK_EQUAL(gp_cursor_string(&cursor).size, 0);
    CHECK(cursor.wrong != NULL);
    cursor = gp_cursor_over(rows, sizeof rows);
    CHECK_EQUAL(gp_cursor_rows(&cursor, 2), 0);
    CHECK(cursor.wrong != NULL);
    cursor = gp_cursor_over(rows, sizeof rows);
    CHECK_EQUAL(gp_cursor_rows(&cursor, 1), 4);
    CHECK(cursor.wrong == NULL);
}

static void a_whole_recording_is_read(void)
{
    gp_buffer sample = sample_recording();
    walk_result *found = walk_recording(sample.bytes, sample.size, true);
    CHECK(found->wrong == NULL && !found->cut);
    CHECK_EQUAL(found->offset, sample.size);
    CHECK_EQUAL(found->metas, 1);
    CHECK_EQUAL(found->labels, 2);
    CHECK_EQUAL(found->names, 2);
    CHECK_EQUAL(found->unknown, 2);
    CHECK_EQUAL(found->snapshots, 4);
    CHECK_EQUAL(found->finals, 2);
    CHECK_EQUAL(found->looks, 2 * 18);
    CHECK_EQUAL(found->seen, 2 * 2);
    CHECK_EQUAL(found->pauses, 2 * (2 + 1));
    CHECK_EQUAL(found->lock_waits, 2 * 2);
    CHECK_EQUAL(found->events, 2 * SAMPLE_EVENTS);
    CHECK_EQUAL(found->event_chunks, 4);
    CHECK_EQUAL(found->thread_total, 2 * SAMPLE_THREADS);
    CHECK_EQUAL(found->place_total, 2 * SAMPLE_PLACES);
    gp_events_sum sum = {0};
    for (size_t i = 0; i < 2 * SAMPLE_THREADS; i++) {
        sum.hold += found->sums[i].hold;
        sum.wait += found->sums[i].wait;
        sum.holds += found->sums[i].holds;
        sum.waits += found->sums[i].waits;
    }
    CHECK_EQUAL(sum.holds, SAMPLE_EVENTS);
    CHECK_EQUAL(sum.waits, SAMPLE_EVENTS);
    CHECK_EQUAL(sum.wait, 40 * SAMPLE_EVENTS);
    CHECK_EQUAL(sum.hold, 40 * (SAMPLE_EVENTS - 2));
    walk_free(found);
    gp_buffer_free(&sample);
}

static void a_file_cut_anywhere_is_read_up_to_its_last_whole_chunk(void)
{
    gp_buffer sample = sample_recording();
    size_t before = 0;
    for (size_t size = 0; size <= sample.size; size++) {
        uint8_t *cut = malloc(size + 1); /* of its own, for sanitizers to see its end */
        memcpy(cut, sample.bytes, size);
        walk_result *found = walk_recording(cut, size, true);
        if (size < GP_RECORDING_HEADER) {
            CHECK(found->wrong != NULL);
        } else {
            CHECK(found->wrong == NULL);
            CHECK_EQUAL(found->cut, found->offset != size);
            CHECK(found->offset <= size && found->offset >= before);
            before = found->offset;
        }
        walk_free(found);
        free(cut);
    }
    CHECK_EQUAL(before, sample.size);
    gp_buffer_free(&sample);
}

static void a_flipped_bit_is_found(void)
{
    gp_buffer sample = sample_recording();
    for (size_t bit = 0; bit < 8 * sample.size; bit++) {
        sample.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        walk_result *found = walk_recording(sample.bytes, sample.size, true);
        /* in the length of a chunk it may look as if the end of the file cut that chunk */
        CHECK(found->wrong != NULL || found->cut);
        CHECK(found->offset <= bit / 8);
        walk_free(found);
        sample.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    gp_buffer_free(&sample);
}

/* EVNT of interpreter 0 after `dropped`: its only event. */
static const char *read_event(const uint64_t *numbers, size_t count)
{
    static const uint32_t threads[] = {0, GP_NOWHERE, 1}, places[] = {0, 1};
    const gp_described described = {threads, places, 3, 2};
    gp_buffer payload = {0};
    gp_events_sum sums[2] = {{0}};
    uint8_t kind;
    uint32_t thread, place;
    int64_t start, duration;
    gp_columns columns = {&kind, &thread, &place, &start, &duration};
    SAMPLE_NUMBERS(&payload, 0, 1, 0, 1000);
    sample_numbers(&payload, count, numbers);
    gp_events events = gp_events_over(payload.bytes, payload.size), again = events;
    const char *wrong = events.cursor.wrong;
    if (wrong == NULL)
        wrong = gp_events_columns(&events, &described, (gp_clock_rate){(uint64_t)1 << 32}, &columns);
    if (wrong == NULL) {
        CHECK(gp_events_add(&again, &described, sums, 2) == NULL);
        CHECK_EQUAL(start + duration, 1000);
    }
    gp_buffer_free(&payload);
    return wrong;
}

#define READ_EVENT(...)                                                                                      \
    read_event((uint64_t[]){__VA_ARGS__}, sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void an_event_refers_to_what_was_described_only(void)
{
    CHECK(READ_EVENT(0, 0, 1000, 2) == NULL);
    CHECK(READ_EVENT(5, 0, 0, 0) == NULL);
    CHECK(READ_EVENT(0, 0, 0, 3) != NULL); /* place 2 of 2 */
    CHECK(READ_EVENT(2, 0, 0, 0) != NULL); /* account 1: not described */
    CHECK(READ_EVENT(6, 0, 0, 0) != NULL); /* account 3 of 3 */
    CHECK(READ_EVENT(UINT64_MAX, 0, 0, 0) != NULL);
    CHECK(READ_EVENT(0, 0, 0, UINT64_MAX) != NULL);
    CHECK(READ_EVENT(0, 0, 1001, 0) != NULL);           /* begins before the recording */
    CHECK(READ_EVENT(0, UINT64_MAX - 1, 0, 0) != NULL); /* in 292 years */
    CHECK(READ_EVENT(0, 0, 0, 0, 0) != NULL);           /* one too many */
    CHECK(READ_EVENT(0, 0, 0) != NULL);                 /* one too few */
}

static void places_come_in_order_and_after_their_parents(void)
{
    static const struct {
        bool fine;
        uint8_t bytes[8];
        size_t size;
    } known[] = {
        {true, {7, 0, 1, 3}, 4},        {true, {7, 7, 2}, 3},        {true, {7, 0, 3}, 3},
        {false, {8, 0, 2}, 3},          {false, {6, 0, 2}, 3},       {false, {7, 8, 2}, 3},
        {false, {7, 0, 4}, 3},          {false, {7, 0}, 2},          {true, {7, 0, 0, 4, 0, 0}, 6},
        {false, {7, 0, 0, 4, 0, 1}, 6}, {false, {7, 0, 0, 4, 1}, 5},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        gp_place_row row;
        gp_cursor cursor = gp_cursor_over(known[i].bytes, known[i].size);
        gp_read_place(&cursor, 7, &row);
        CHECK_EQUAL(cursor.wrong == NULL, known[i].fine);
    }
}

static void a_bucket_and_a_place_must_ascend_within_their_range(void)
{
    static const uint8_t twice[] = {5, 1, 0, 1};
    gp_buffer far = {0};
    uint32_t index = GP_NOWHERE;
    uint64_t count;
    gp_cursor cursor = gp_cursor_over(twice, sizeof twice);
    gp_read_bucket(&cursor, &index, &count);
    CHECK(cursor.wrong == NULL && index == 5);
    gp_read_bucket(&cursor, &index, &count);
    CHECK(cursor.wrong != NULL);

    SAMPLE_NUMBERS(&far, GP_HIST_BUCKETS - 1, 1, 1, 1);
    cursor = gp_cursor_over(far.bytes, far.size);
    index = GP_NOWHERE;
    gp_read_bucket(&cursor, &index, &count);
    CHECK(cursor.wrong == NULL && index == GP_HIST_BUCKETS - 1);
    gp_read_bucket(&cursor, &index, &count);
    CHECK(cursor.wrong != NULL && index < GP_HIST_BUCKETS);
    gp_buffer_free(&far);
}

static void a_clock_that_stands_still_is_refused(void)
{
    gp_buffer payload = {0};
    gp_totals_row totals;
    SAMPLE_NUMBERS(&payload, 0, 0, 0, 1, 1, 1, 1, 1, 1);
    gp_cursor cursor = gp_cursor_over(payload.bytes, payload.size);
    gp_read_totals(&cursor, &totals);
    CHECK(cursor.wrong != NULL);
    gp_buffer_free(&payload);
}

static void a_time_that_is_no_time_is_refused(void)
{
    gp_buffer payload = {0};
    gp_totals_row totals;
    SAMPLE_NUMBERS(&payload, 0, 0, (uint64_t)1 << 40, (uint64_t)1 << 56, 1, 1, 1, 1, 1);
    gp_cursor cursor = gp_cursor_over(payload.bytes, payload.size);
    gp_read_totals(&cursor, &totals);
    CHECK(cursor.wrong != NULL);
    gp_buffer_free(&payload);
}

static void other_files_and_versions_are_told_apart(void)
{
    gp_buffer header = {0};
    gp_chunk_put_header(&header);
    CHECK_EQUAL(header.size, GP_RECORDING_HEADER);
    CHECK_EQUAL(gp_recording_check(header.bytes), GP_OK);
    header.bytes[8] = 2;
    CHECK_EQUAL(gp_recording_check(header.bytes), GP_EINVAL); /* as a flipped bit */
    uint32_t crc = gp_crc32(0, header.bytes, 12);
    memcpy(header.bytes + 12,
           (uint8_t[4]){(uint8_t)crc, (uint8_t)(crc >> 8), (uint8_t)(crc >> 16), (uint8_t)(crc >> 24)}, 4);
    CHECK_EQUAL(gp_recording_check(header.bytes), GP_EUNSUPPORTED);
    memcpy(header.bytes, "#!/bin/sh\n", 10);
    CHECK_EQUAL(gp_recording_check(header.bytes), GP_EINVAL);
    gp_buffer_free(&header);
}

int main(void)
{
    the_checksum_is_that_of_zlib();
    numbers_come_back_as_they_were_written();
    a_number_that_ends_early_or_late_is_refused();
    a_length_beyond_the_end_is_refused();
    a_whole_recording_is_read();
    a_file_cut_anywhere_is_read_up_to_its_last_whole_chunk();
    a_flipped_bit_is_found();
    an_event_refers_to_what_was_described_only();
    places_come_in_order_and_after_their_parents();
    a_bucket_and_a_place_must_ascend_within_their_range();
    a_clock_that_stands_still_is_refused();
    a_time_that_is_no_time_is_refused();
    other_files_and_versions_are_told_apart();
    return gp_test_status();
}
