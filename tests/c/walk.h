#ifndef WALK_H
#define WALK_H

/* Reads a whole recording in memory with every function of gp_reader.h, for the tests and the fuzzer. */

#include <stdlib.h>
#include <string.h>

#include "recording/gp_reader.h"

enum {
    WALK_INTERPRETERS = 8,
    WALK_THREADS = 256,
    WALK_PLACES = 1024,
};

typedef struct {
    uint32_t number;
    uint32_t *threads, *places; /* of the file, by the interpreter's own numbers */
    size_t thread_count, place_count;
    bool seen_snapshot;
} walk_interpreter;

typedef struct {
    const char *wrong; /* NULL: nothing */
    size_t offset;     /* where it was wrong or ended */
    bool cut;
    size_t metas, labels, names, snapshots, finals, accounts, unknown, event_chunks;
    uint64_t events, dropped, handoffs, looks, seen, pauses, lock_waits;
    gp_events_sum sums[WALK_THREADS];
    uint32_t thread_total, place_total;
    walk_interpreter interpreters[WALK_INTERPRETERS];
    size_t interpreter_count;
} walk_result;

static walk_interpreter *walk_interpreter_of(walk_result *walk, uint32_t number)
{
    for (size_t i = 0; i < walk->interpreter_count; i++)
        if (walk->interpreters[i].number == number)
            return &walk->interpreters[i];
    if (walk->interpreter_count == WALK_INTERPRETERS)
        return NULL;
    walk_interpreter *made = &walk->interpreters[walk->interpreter_count++];
    made->number = number;
    made->threads = malloc(WALK_THREADS * sizeof *made->threads);
    made->places = malloc(WALK_PLACES * sizeof *made->places);
    return made;
}

static const char *walk_names(gp_cursor *cursor, void (*read)(gp_cursor *, gp_name_row *), size_t *count)
{
    for (gp_name_row row; !gp_cursor_at_end(cursor) && cursor->wrong == NULL; *count += 1)
        read(cursor, &row);
    return cursor->wrong;
}

static const char *walk_threads(walk_result *walk, gp_cursor *cursor)
{
    walk_interpreter *in = walk_interpreter_of(walk, gp_read_interpreter(cursor));
    if (in == NULL)
        return "too many interpreters for this test";
    while (!gp_cursor_at_end(cursor)) {
        gp_thread_row row;
        gp_read_thread(cursor, &row);
        if (cursor->wrong != NULL)
            break;
        if (row.number >= WALK_THREADS || walk->thread_total == WALK_THREADS)
            return "too many threads for this test";
        while (in->thread_count <= row.number)
            in->threads[in->thread_count++] = GP_NOWHERE;
        if (in->threads[row.number] == GP_NOWHERE)
            in->threads[row.number] = walk->thread_total++;
    }
    return cursor->wrong;
}

static const char *walk_places(walk_result *walk, gp_cursor *cursor)
{
    walk_interpreter *in = walk_interpreter_of(walk, gp_read_interpreter(cursor));
    if (in == NULL)
        return "too many interpreters for this test";
    while (!gp_cursor_at_end(cursor)) {
        gp_place_row row;
        gp_read_place(cursor, (uint32_t)in->place_count, &row);
        if (cursor->wrong != NULL)
            break;
        if (in->place_count == WALK_PLACES)
            return "too many places for this test";
        in->places[in->place_count++] = walk->place_total++;
    }
    return cursor->wrong;
}

/* Both ways of reading events must agree. */
static const char *walk_columns(gp_events events, const gp_described *described)
{
    size_t room = events.count != 0 ? (size_t)events.count : 1;
    gp_columns columns = {
        malloc(room),
        malloc(room * sizeof(uint32_t)),
        malloc(room * sizeof(uint32_t)),
        malloc(room * sizeof(int64_t)),
        malloc(room * sizeof(int64_t)),
    };
    const char *wrong = gp_events_columns(&events, described, (gp_clock_rate){(uint64_t)1 << 31}, &columns);
    for (size_t i = 0; wrong == NULL && i < events.count; i++)
        if (columns.kinds[i] > 1 || columns.starts_ns[i] < 0 || columns.durations_ns[i] < 0)
            abort();
    free(columns.kinds);
    free(columns.threads);
    free(columns.places);
    free(columns.starts_ns);
    free(columns.durations_ns);
    return wrong;
}

static const char *walk_events(walk_result *walk, const uint8_t *payload, size_t size)
{
    gp_events events = gp_events_over(payload, size);
    if (events.cursor.wrong != NULL)
        return events.cursor.wrong;
    walk_interpreter *in = walk_interpreter_of(walk, events.interpreter);
    if (in == NULL)
        return "too many interpreters for this test";
    if (!in->seen_snapshot)
        return "no snapshot before the first event";
    gp_described described = {in->threads, in->places, in->thread_count, in->place_count};
    const char *wrong = walk_columns(events, &described);
    walk->events += events.count;
    walk->dropped = events.dropped;
    walk->event_chunks++;
    const char *also = gp_events_add(&events, &described, walk->sums, walk->thread_total);
    if (also != NULL && wrong == NULL)
        abort();
    return wrong;
}

static void walk_histogram(gp_cursor *cursor)
{
    uint64_t count;
    uint32_t index = GP_NOWHERE;
    for (uint64_t left = gp_cursor_rows(cursor, GP_ROW_BUCKET); left != 0; left--) {
        gp_read_bucket(cursor, &index, &count);
        if (index >= GP_HIST_BUCKETS)
            abort();
    }
}

static void walk_looks(walk_result *walk, gp_cursor *cursor, const gp_totals_row *totals)
{
    gp_looks_row counts;
    gp_tally_row tally;
    gp_read_looks(cursor, &counts);
    for (uint64_t left = gp_cursor_rows(cursor, GP_ROW_TALLY); left != 0; left--) {
        gp_read_tally(cursor, totals, &tally);
        if (tally.looked >= GP_READER_PLACES || tally.looks > INT64_MAX || tally.squares > INT64_MAX)
            abort();
        walk->looks += tally.looks;
    }
}

static void walk_pause(walk_result *walk, gp_cursor *cursor, const gp_totals_row *totals)
{
    gp_pause_row row;
    gp_read_pause(cursor, totals, &row);
    if (row.generation >= GP_READER_GENERATIONS || row.pause_ns > INT64_MAX || row.collected > INT64_MAX)
        abort();
    walk->pauses += cursor->wrong == NULL;
}

static void walk_pauses(walk_result *walk, gp_cursor *cursor, const gp_totals_row *totals)
{
    gp_pause_sum_row sum;
    gp_tally_row tally;
    gp_read_pauses_lost(cursor);
    for (uint64_t left = gp_cursor_rows(cursor, GP_ROW_PAUSE_SUM); left != 0; left--) {
        gp_read_pause_sum(cursor, totals, &sum);
        if (sum.generation >= GP_READER_GENERATIONS || sum.pauses_ns > INT64_MAX || sum.count > INT64_MAX)
            abort();
    }
    for (uint64_t left = gp_cursor_rows(cursor, GP_ROW_PAUSE); left != 0; left--)
        walk_pause(walk, cursor, totals);
    for (uint64_t left = gp_cursor_rows(cursor, GP_ROW_TALLY); left != 0; left--)
        gp_read_tally(cursor, totals, &tally);
}

static const char *walk_snapshot(walk_result *walk, gp_cursor *cursor)
{
    gp_totals_row totals;
    gp_account_row account;
    gp_site_row site = {.place = GP_NOWHERE};
    gp_blame_row blame;
    gp_stall_row stall;
    gp_read_totals(cursor, &totals);
    walk->handoffs = totals.handoffs;
    walk->snapshots++;
    walk->finals += (totals.flags & GP_SNAPSHOT_FINAL) != 0;
    walk_interpreter *in = walk_interpreter_of(walk, totals.interpreter);
    if (in == NULL)
        return "too many interpreters for this test";
    in->seen_snapshot = true;
    walk->accounts = 0;
    for (uint64_t left = gp_cursor_rows(cursor, GP_ROW_ACCOUNT); left != 0; left--) {
        gp_read_account(cursor, &totals, &account);
        walk_histogram(cursor);
        walk_histogram(cursor);
        walk->accounts++;
    }
    for (uint64_t left = gp_cursor_rows(cursor, GP_ROW_SITE); left != 0; left--) {
        gp_read_site(cursor, &totals, &site);
        if (cursor->wrong == NULL && site.place >= in->place_count)
            return "a site that was not described";
    }
    for (uint64_t left = gp_cursor_rows(cursor, GP_ROW_BLAME); left != 0; left--)
        gp_read_blame(cursor, &totals, &blame);
    for (uint64_t left = gp_cursor_rows(cursor, GP_ROW_STALL); left != 0; left--)
        gp_read_stall(cursor, &totals, &stall);
    if ((totals.flags & GP_SNAPSHOT_LOOKS) != 0)
        walk_looks(walk, cursor, &totals);
    if ((totals.flags & GP_SNAPSHOT_PAUSES) != 0)
        walk_pauses(walk, cursor, &totals);
    if (cursor->wrong == NULL && !gp_cursor_at_end(cursor))
        return "something behind a snapshot";
    return cursor->wrong;
}

static const char *walk_seen(walk_result *walk, gp_cursor *cursor)
{
    walk_interpreter *in = walk_interpreter_of(walk, gp_read_interpreter(cursor));
    if (in == NULL)
        return "too many interpreters for this test";
    if (!in->seen_snapshot)
        return "no snapshot before the first hold that was seen";
    while (!gp_cursor_at_end(cursor)) {
        gp_seen_row row;
        gp_read_seen(cursor, &row);
        if (cursor->wrong != NULL)
            break;
        if (row.reason >= GP_READER_REASONS || row.state >= GP_READER_STATES || row.at < row.since)
            abort();
        if (row.place != GP_NOWHERE && row.place >= in->place_count)
            return "a hold seen at a place that was not described";
        walk->seen++;
    }
    return cursor->wrong;
}

static const char *walk_told_pauses(walk_result *walk, gp_cursor *cursor)
{
    gp_totals_row totals = gp_totals_with_factor((uint64_t)1 << 31);
    if (walk_interpreter_of(walk, gp_read_interpreter(cursor)) == NULL)
        return "too many interpreters for this test";
    while (!gp_cursor_at_end(cursor) && cursor->wrong == NULL)
        walk_pause(walk, cursor, &totals);
    return cursor->wrong;
}

static const char *walk_lock_waits(walk_result *walk, const uint8_t *payload, size_t size)
{
    gp_lock_waits waits = gp_lock_waits_over(payload, size);
    gp_lock_wait_row row;
    for (uint64_t left = waits.count; left != 0 && waits.cursor.wrong == NULL; left--) {
        gp_lock_waits_next(&waits, &row);
        if (waits.cursor.wrong != NULL)
            break;
        if (row.start_ns + row.wait_ns > INT64_MAX || row.spun_ns > row.wait_ns + 1 || row.flags > 15 ||
            row.thread >= GP_READER_ACCOUNTS || row.stack >= GP_READER_PLACES ||
            (row.holder != 0 && row.released_ns < row.start_ns))
            abort();
        walk->lock_waits++;
    }
    if (waits.cursor.wrong == NULL && !gp_cursor_at_end(&waits.cursor))
        return "something behind waits for locks";
    return waits.cursor.wrong;
}

static const char *walk_chunk(walk_result *walk, const uint8_t *header, const uint8_t *payload, size_t size)
{
    gp_cursor cursor = gp_cursor_over(payload, size);
    if (memcmp(header, "META", 4) == 0)
        walk->metas++;
    else if (memcmp(header, "LABL", 4) == 0)
        return walk_names(&cursor, gp_read_label, &walk->labels);
    else if (memcmp(header, "NAME", 4) == 0)
        return walk_names(&cursor, gp_read_name, &walk->names);
    else if (memcmp(header, "THRD", 4) == 0)
        return walk_threads(walk, &cursor);
    else if (memcmp(header, "PLAC", 4) == 0)
        return walk_places(walk, &cursor);
    else if (memcmp(header, "EVNT", 4) == 0)
        return walk_events(walk, payload, size);
    else if (memcmp(header, "SNAP", 4) == 0)
        return walk_snapshot(walk, &cursor);
    else if (memcmp(header, "SEEN", 4) == 0)
        return walk_seen(walk, &cursor);
    else if (memcmp(header, "PAUS", 4) == 0)
        return walk_told_pauses(walk, &cursor);
    else if (memcmp(header, "LWAT", 4) == 0)
        return walk_lock_waits(walk, payload, size);
    else
        walk->unknown++;
    return NULL;
}

static void walk_chunks(walk_result *walk, const uint8_t *bytes, size_t size, bool check_sums)
{
    size_t payload_size = 0;
    while (walk->wrong == NULL && walk->offset != size) {
        const uint8_t *header = bytes + walk->offset, *payload = header + GP_CHUNK_HEADER;
        switch (gp_chunk_look(header, size - walk->offset, &payload_size, &walk->wrong)) {
        case GP_CHUNK_CUT:
            walk->cut = true;
            return;
        case GP_CHUNK_WRONG:
            return;
        case GP_CHUNK_WHOLE:
            break;
        }
        if (check_sums && gp_chunk_checksum(header, payload, payload_size) != gp_chunk_get32(header + 8))
            walk->wrong = "a checksum";
        else
            walk->wrong = walk_chunk(walk, header, payload, payload_size);
        if (walk->wrong == NULL)
            walk->offset += GP_CHUNK_HEADER + payload_size;
    }
}

/* Free with walk_free. Without `check_sums` the checksums may be anything, for the fuzzer to get past them.
 */
static walk_result *walk_recording(const uint8_t *bytes, size_t size, bool check_sums)
{
    walk_result *made = calloc(1, sizeof *made);
    if (size < GP_RECORDING_HEADER)
        made->wrong = "too short for a header";
    else if (check_sums && gp_recording_check(bytes) != GP_OK)
        made->wrong = "not a recording";
    else {
        made->offset = GP_RECORDING_HEADER;
        walk_chunks(made, bytes, size, check_sums);
    }
    return made;
}

static void walk_free(walk_result *walk)
{
    for (size_t i = 0; i < walk->interpreter_count; i++) {
        free(walk->interpreters[i].threads);
        free(walk->interpreters[i].places);
    }
    free(walk);
}

#endif
