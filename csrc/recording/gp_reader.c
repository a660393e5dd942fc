#include "recording/gp_reader.h"

#include <string.h>

static const char number_too_long[] = "a number must have at most 64 bits";
static const char ends_early[] = "it ends too early";
static const char account_too_large[] = "an account's number is too large";
static const char place_too_large[] = "a place's number is too large";
static const char too_large[] = "a number is too large";
static const char too_many[] = "a number of looks must be below 2^63";
static const char too_late[] = "a time is too large";

/* ---- header and chunks ---- */

gp_status gp_recording_check(const uint8_t header[GP_RECORDING_HEADER])
{
    if (memcmp(header, "GILPROBE", 8) != 0 || gp_crc32(0, header, 12) != gp_chunk_get32(header + 12))
        return GP_EINVAL;
    return gp_chunk_get32(header + 8) == GP_RECORDING_VERSION ? GP_OK : GP_EUNSUPPORTED;
}

static bool is_type(const uint8_t *bytes)
{
    for (int i = 0; i < 4; i++) {
        uint8_t letter = bytes[i] & (uint8_t)~0x20; /* as a capital */
        if (letter < 'A' || letter > 'Z')
            return false;
    }
    return true;
}

gp_chunk_state gp_chunk_look(const uint8_t header[GP_CHUNK_HEADER], uint64_t left, size_t *payload_size,
                             const char **wrong)
{
    if (left < GP_CHUNK_HEADER)
        return GP_CHUNK_CUT;
    uint32_t size = gp_chunk_get32(header + 4);
    if (!is_type(header)) {
        *wrong = "a chunk's type must be four letters";
        return GP_CHUNK_WRONG;
    }
    if (size > GP_CHUNK_PAYLOAD_MAX) {
        *wrong = "a chunk must have at most 64 MiB";
        return GP_CHUNK_WRONG;
    }
    if (size > left - GP_CHUNK_HEADER)
        return GP_CHUNK_CUT;
    *payload_size = size;
    return GP_CHUNK_WHOLE;
}

/* ---- cursor ---- */

uint64_t gp_cursor_long_number(gp_cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; cursor->at != cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;
        if (shift == 63 && byte > 1) {
            gp_cursor_fail(cursor, number_too_long);
            return 0;
        }
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return value;
    }
    gp_cursor_fail(cursor, ends_early);
    return 0;
}

int64_t gp_cursor_signed(gp_cursor *cursor)
{
    uint64_t folded = gp_cursor_number(cursor);
    return (int64_t)(folded >> 1 ^ (folded & 1 ? UINT64_MAX : 0));
}

uint64_t gp_cursor_rows(gp_cursor *cursor, size_t row)
{
    uint64_t count = gp_cursor_number(cursor);
    if (count <= (uint64_t)(cursor->end - cursor->at) / row)
        return count;
    gp_cursor_fail(cursor, "there must be as many rows as it says");
    return 0;
}

gp_text gp_cursor_string(gp_cursor *cursor)
{
    uint64_t size = gp_cursor_below(cursor, GP_STRING_MAX + 1, "a string must have at most 64 KiB");
    if (size > (uint64_t)(cursor->end - cursor->at)) {
        gp_cursor_fail(cursor, ends_early);
        size = 0;
    }
    gp_text text = {(const char *)cursor->at, (size_t)size};
    cursor->at += size;
    return text;
}

static uint32_t read32(gp_cursor *cursor)
{
    return (uint32_t)gp_cursor_below(cursor, (uint64_t)UINT32_MAX + 1, too_large);
}

static uint32_t read_account_number(gp_cursor *cursor)
{
    return (uint32_t)gp_cursor_below(cursor, GP_READER_ACCOUNTS, account_too_large);
}

/* A number + 1, or 0 for none, which becomes GP_NOWHERE. */
static uint32_t read_link(gp_cursor *cursor, uint32_t limit, const char *wrong)
{
    return (uint32_t)gp_cursor_below(cursor, (uint64_t)limit + 1, wrong) - 1;
}

/* A number, stored as the distance from the last one. `before` is GP_NOWHERE for the first, which counts from
 * 0. */
static uint32_t read_ascending(gp_cursor *cursor, uint32_t before, uint32_t limit, const char *wrong)
{
    uint64_t distance = gp_cursor_below(cursor, limit, wrong);
    if (before == GP_NOWHERE)
        return (uint32_t)distance;
    if (cursor->wrong == NULL && distance == 0)
        gp_cursor_fail(cursor, "numbers must ascend");
    if (distance >= limit - before) {
        gp_cursor_fail(cursor, wrong);
        return 0;
    }
    return before + (uint32_t)distance;
}

/* ---- names, threads, places ---- */

void gp_read_label(gp_cursor *cursor, gp_name_row *row)
{
    row->number = read32(cursor);
    row->name = gp_cursor_string(cursor);
}

void gp_read_name(gp_cursor *cursor, gp_name_row *row)
{
    row->number = gp_cursor_signed(cursor);
    row->name = gp_cursor_string(cursor);
}

uint32_t gp_read_interpreter(gp_cursor *cursor)
{
    return read32(cursor);
}

void gp_read_thread(gp_cursor *cursor, gp_thread_row *row)
{
    row->number = read_account_number(cursor);
    row->native_id = gp_cursor_signed(cursor);
    row->label = read32(cursor);
    row->os_name = gp_cursor_string(cursor);
    row->first = gp_cursor_number(cursor);
}

void gp_read_place(gp_cursor *cursor, uint32_t expected, gp_place_row *row)
{
    *row = (gp_place_row){0};
    row->number = (uint32_t)gp_cursor_below(cursor, GP_READER_PLACES, place_too_large);
    if (cursor->wrong == NULL && row->number != expected)
        gp_cursor_fail(cursor, "places must come in the order of their numbers");
    row->parent = read_link(cursor, row->number, "a place's parent must come before it");
    row->kind = (gp_place_kind)gp_cursor_below(cursor, GP_PLACE_TASK + 1, "a place must be of a known kind");
    if (row->kind == GP_PLACE_PYTHON) {
        row->line_or_thread = read32(cursor);
        row->function = gp_cursor_string(cursor);
        row->file = gp_cursor_string(cursor);
    } else if (row->kind == GP_PLACE_NATIVE)
        row->line_or_thread = read_account_number(cursor);
    else if (row->kind == GP_PLACE_TASK)
        row->function = gp_cursor_string(cursor);
}

void gp_read_seen(gp_cursor *cursor, gp_seen_row *row)
{
    row->reason =
        (uint32_t)gp_cursor_below(cursor, GP_READER_REASONS, "a hold must be seen for a known reason");
    row->holder = read_account_number(cursor);
    row->since = gp_cursor_below(cursor, (uint64_t)INT64_MAX + 1, too_late);
    row->at = gp_cursor_below(cursor, (uint64_t)INT64_MAX + 1, too_late);
    row->place = read_link(cursor, GP_READER_PLACES, place_too_large);
    row->state = (uint32_t)gp_cursor_below(cursor, GP_READER_STATES, "a thread must be in a known state");
    if (cursor->wrong == NULL && row->at < row->since)
        gp_cursor_fail(cursor, "a hold must begin before it is seen");
}

/* ---- EVNT ---- */

gp_events gp_events_over(const void *payload, size_t size)
{
    gp_events events = {.cursor = gp_cursor_over(payload, size)};
    gp_cursor *cursor = &events.cursor;
    events.interpreter = gp_read_interpreter(cursor);
    events.count = gp_cursor_below(cursor, GP_CHUNK_EVENTS_MAX + 1, "a chunk must have at most 2^20 events");
    events.dropped = gp_cursor_number(cursor);
    events.end = gp_cursor_number(cursor);
    if (events.count > (uint64_t)(cursor->end - cursor->at) / GP_ROW_EVENT)
        gp_cursor_fail(cursor, "there must be as many events as it says");
    if (cursor->wrong != NULL)
        events.count = 0;
    return events;
}

/* The next interval, with the numbers of the whole file. False if there is none; the cursor says why. */
static inline bool next_described(gp_events *events, const gp_described *described, gp_interval *interval)
{
    gp_events_next(events, interval);
    if (interval->account >= described->thread_count || described->threads[interval->account] == GP_NOWHERE) {
        gp_cursor_fail(&events->cursor, "an event's account must have been described before");
        return false;
    }
    interval->account = described->threads[interval->account];
    if (interval->place != GP_NOWHERE) {
        if (interval->place >= described->place_count) {
            gp_cursor_fail(&events->cursor, "an event's place must have been described before");
            return false;
        }
        interval->place = described->places[interval->place];
    }
    return events->cursor.wrong == NULL;
}

static const char *end_of(gp_cursor *cursor)
{
    if (!gp_cursor_at_end(cursor))
        gp_cursor_fail(cursor, "there must be nothing behind its last event");
    return cursor->wrong;
}

/* The largest number of ticks whose nanoseconds fit 63 bits. */
static uint64_t most_ticks(gp_clock_rate rate)
{
    unsigned __int128 most = ((unsigned __int128)INT64_MAX << 32) / (rate.factor != 0 ? rate.factor : 1);
    return most > INT64_MAX ? INT64_MAX : (uint64_t)most;
}

const char *gp_events_columns(gp_events *events, const gp_described *described, gp_clock_rate rate,
                              gp_columns *columns)
{
    uint64_t most = most_ticks(rate);
    gp_interval interval;
    for (uint64_t i = 0; i < events->count; i++) {
        if (!next_described(events, described, &interval))
            break;
        if (interval.end > most) {
            gp_cursor_fail(&events->cursor, too_late);
            break;
        }
        /* round the ends, not the duration: intervals that abut in ticks abut in nanoseconds */
        uint64_t start_ns = gp_clock_to_ns(rate, interval.start);
        columns->kinds[i] = (uint8_t)interval.kind;
        columns->threads[i] = interval.account;
        columns->places[i] = interval.place;
        columns->starts_ns[i] = (int64_t)start_ns;
        columns->durations_ns[i] = (int64_t)(gp_clock_to_ns(rate, interval.end) - start_ns);
    }
    return end_of(&events->cursor);
}

const char *gp_events_add(gp_events *events, const gp_described *described, gp_events_sum *sums,
                          size_t sum_count)
{
    gp_interval interval;
    for (uint64_t i = 0; i < events->count; i++) {
        if (!next_described(events, described, &interval))
            break;
        if (interval.account >= sum_count) {
            gp_cursor_fail(&events->cursor, account_too_large);
            break;
        }
        gp_events_sum *sum = &sums[interval.account];
        uint64_t ticks = interval.end - interval.start;
        uint64_t is_wait = interval.kind == GP_EVENT_WAIT;
        sum->hold += is_wait ? 0 : ticks;
        sum->wait += is_wait ? ticks : 0;
        sum->holds += !is_wait;
        sum->waits += is_wait;
    }
    return end_of(&events->cursor);
}

/* ---- SNAP ---- */

static uint64_t read_ticks(gp_cursor *cursor, const gp_totals_row *totals)
{
    return gp_cursor_below(cursor, totals->most + 1, too_late);
}

static uint64_t read_ns(gp_cursor *cursor, const gp_totals_row *totals)
{
    return gp_clock_to_ns(totals->rate, read_ticks(cursor, totals));
}

/* A number that is there only with the flag. It is in nanoseconds, not in ticks. */
static uint64_t read_cpu_ns(gp_cursor *cursor, const gp_totals_row *totals)
{
    if ((totals->flags & GP_SNAPSHOT_CPU) == 0)
        return 0;
    return gp_cursor_below(cursor, (uint64_t)INT64_MAX + 1, too_late);
}

void gp_read_totals(gp_cursor *cursor, gp_totals_row *row)
{
    row->flags = (uint32_t)gp_cursor_below(cursor, GP_SNAPSHOT_FLAGS + 1, "a flag is not known");
    row->interpreter = gp_read_interpreter(cursor);
    row->rate.factor = gp_cursor_number(cursor);
    row->most = most_ticks(row->rate);
    if (row->rate.factor == 0)
        gp_cursor_fail(cursor, "a tick must take time");
    row->elapsed_ns = read_ns(cursor, row);
    row->contended_ns = read_ns(cursor, row);
    row->handoffs = gp_cursor_number(cursor);
    row->lost = gp_cursor_number(cursor);
    row->sites_lost_ns = read_ns(cursor, row);
    row->dropped = gp_cursor_number(cursor);
}

void gp_read_account(gp_cursor *cursor, const gp_totals_row *totals, gp_account_row *row)
{
    row->number = read_account_number(cursor);
    row->native_id = gp_cursor_signed(cursor);
    row->label = read32(cursor);
    row->ended = gp_cursor_below(cursor, 2, "ended must be 0 or 1") != 0;
    row->merged = gp_cursor_number(cursor);
    row->os_name = gp_cursor_string(cursor);
    uint64_t first = read_ticks(cursor, totals), last = read_ticks(cursor, totals);
    uint64_t hold = read_ticks(cursor, totals), wait = read_ticks(cursor, totals);
    uint64_t off = read_ticks(cursor, totals);
    if (last < first)
        last = first; /* stamps of two processors may disagree by some ticks */
    row->first_ns = gp_clock_to_ns(totals->rate, first);
    row->lifetime_ns = gp_clock_to_ns(totals->rate, last - first);
    row->hold_ns = gp_clock_to_ns(totals->rate, hold);
    row->wait_ns = gp_clock_to_ns(totals->rate, wait);
    row->off_ns = gp_clock_to_ns(totals->rate, off);
    row->imbalance_ticks = (int64_t)(hold + wait + off - (last - first));
    row->longest_hold_ns = read_ns(cursor, totals);
    row->longest_wait_ns = read_ns(cursor, totals);
    row->acquisitions = gp_cursor_number(cursor);
    row->contended_acquisitions = gp_cursor_number(cursor);
    row->releases = gp_cursor_number(cursor);
    row->forced_releases = gp_cursor_number(cursor);
    row->blamed_ns = read_ns(cursor, totals);
    row->hold_cpu_ns = read_cpu_ns(cursor, totals);
}

void gp_read_bucket(gp_cursor *cursor, uint32_t *index, uint64_t *count)
{
    *index = read_ascending(cursor, *index, GP_HIST_BUCKETS, "a bucket's number is too large");
    *count = gp_cursor_number(cursor);
}

void gp_read_site(gp_cursor *cursor, const gp_totals_row *totals, gp_site_row *row)
{
    row->place = read_ascending(cursor, row->place, GP_READER_PLACES, place_too_large);
    row->releases = gp_cursor_number(cursor);
    row->hold_ns = read_ns(cursor, totals);
    row->wait_ns = read_ns(cursor, totals);
    row->hold_cpu_ns = read_cpu_ns(cursor, totals);
}

void gp_read_blame(gp_cursor *cursor, const gp_totals_row *totals, gp_blame_row *row)
{
    row->waiter = read_account_number(cursor);
    row->holder = read_account_number(cursor);
    row->place = read_link(cursor, GP_READER_PLACES, place_too_large);
    row->wait_ns = read_ns(cursor, totals);
}

void gp_read_stall(gp_cursor *cursor, const gp_totals_row *totals, gp_stall_row *row)
{
    row->waiter = read_account_number(cursor);
    row->waiter_place = read_link(cursor, GP_READER_PLACES, place_too_large);
    row->holder = read_link(cursor, GP_READER_ACCOUNTS, account_too_large);
    row->holder_place = read_link(cursor, GP_READER_PLACES, place_too_large);
    row->start_ns = read_ns(cursor, totals);
    row->wait_ns = read_ns(cursor, totals);
    row->holder_ns = read_ns(cursor, totals);
    row->holder_looked = (totals->flags & GP_SNAPSHOT_LOOKED) != 0
                             ? read_link(cursor, GP_READER_PLACES, place_too_large)
                             : GP_NOWHERE;
    if (row->holder_ns == 0) /* for a tick or two: nobody */
        row->holder = row->holder_place = row->holder_looked = GP_NOWHERE;
}

static uint64_t read_count(gp_cursor *cursor)
{
    return gp_cursor_below(cursor, (uint64_t)1 << 63, too_many);
}

void gp_read_looks(gp_cursor *cursor, gp_looks_row *row)
{
    row->unseen = read_count(cursor);
    row->free = read_count(cursor);
}

static uint64_t squares_alike(uint64_t looks, uint64_t waiting)
{
    unsigned __int128 squares = looks != 0 ? (unsigned __int128)waiting * waiting / looks : 0;
    return squares < INT64_MAX ? (uint64_t)squares : INT64_MAX;
}

void gp_read_tally(gp_cursor *cursor, const gp_totals_row *totals, gp_tally_row *row)
{
    bool timed = (totals->flags & GP_SNAPSHOT_LOOKED) != 0;
    row->holder = read_account_number(cursor);
    row->ended = read_link(cursor, GP_READER_PLACES, place_too_large);
    row->looked = (uint32_t)gp_cursor_below(cursor, GP_READER_PLACES, place_too_large);
    row->looks = read_count(cursor);
    row->waiting = read_count(cursor);
    row->time = timed ? read_count(cursor) : row->looks;
    row->waited = timed ? read_count(cursor) : row->waiting;
    row->squares = timed ? read_count(cursor) : squares_alike(row->looks, row->waiting);
}

static uint32_t read_generation(gp_cursor *cursor)
{
    return (uint32_t)gp_cursor_below(cursor, GP_READER_GENERATIONS, "a generation must be 0, 1 or 2");
}

/* A number of objects or pauses. */
static uint64_t read_number(gp_cursor *cursor)
{
    return gp_cursor_below(cursor, (uint64_t)1 << 63, too_large);
}

uint64_t gp_read_pauses_lost(gp_cursor *cursor)
{
    return read_number(cursor);
}

void gp_read_pause_sum(gp_cursor *cursor, const gp_totals_row *totals, gp_pause_sum_row *row)
{
    row->holder = read_account_number(cursor);
    row->ended = read_link(cursor, GP_READER_PLACES, place_too_large);
    row->place = read_link(cursor, GP_READER_PLACES, place_too_large);
    row->generation = read_generation(cursor);
    row->held_ns = read_ns(cursor, totals);
    row->wait_ns = read_ns(cursor, totals);
    row->count = read_number(cursor);
    row->pauses_ns = read_ns(cursor, totals);
    row->longest_ns = read_ns(cursor, totals);
    row->collected = read_number(cursor);
    row->uncollectable = read_number(cursor);
}

void gp_read_pause(gp_cursor *cursor, const gp_totals_row *totals, gp_pause_row *row)
{
    row->holder = read_account_number(cursor);
    row->place = read_link(cursor, GP_READER_PLACES, place_too_large);
    row->generation = read_generation(cursor);
    row->start_ns = read_ns(cursor, totals);
    row->pause_ns = read_ns(cursor, totals);
    row->held_ns = read_ns(cursor, totals);
    row->wait_ns = read_ns(cursor, totals);
    row->collected = read_number(cursor);
    row->uncollectable = read_number(cursor);
}

gp_totals_row gp_totals_with_factor(uint64_t factor)
{
    gp_totals_row totals = {.rate = {factor}};
    totals.most = most_ticks(totals.rate);
    return totals;
}

gp_lock_waits gp_lock_waits_over(const void *payload, size_t size)
{
    gp_lock_waits waits = {.cursor = gp_cursor_over(payload, size)};
    gp_cursor *cursor = &waits.cursor;
    waits.totals = gp_totals_with_factor(gp_cursor_number(cursor));
    waits.dropped = read_number(cursor);
    waits.count = gp_cursor_rows(cursor, GP_ROW_LOCK_WAIT);
    if (waits.count > GP_CHUNK_LOCK_WAITS_MAX)
        gp_cursor_fail(cursor, "a chunk must have at most 2^18 waits for locks");
    if (cursor->wrong != NULL)
        waits.count = 0;
    return waits;
}

static uint32_t read_lock_place(gp_cursor *cursor)
{
    return (uint32_t)gp_cursor_below(cursor, GP_READER_PLACES, place_too_large);
}

/* A time within the wait that ends last. */
static uint64_t read_within(gp_lock_waits *waits, uint64_t ticks)
{
    return gp_cursor_below(&waits->cursor, ticks + 1, "what belongs to a wait must be within it");
}

void gp_lock_waits_next(gp_lock_waits *waits, gp_lock_wait_row *row)
{
    enum { FLAGS = 15 };
    gp_cursor *cursor = &waits->cursor;
    gp_clock_rate rate = waits->totals.rate;
    uint64_t released = 0;
    row->thread = read_account_number(cursor);
    waits->end += (uint64_t)gp_cursor_signed(cursor);
    uint64_t wait = gp_cursor_number(cursor);
    if (waits->end > waits->totals.most || wait > waits->end) {
        gp_cursor_fail(cursor, too_late);
        waits->end = wait = 0;
    }
    row->lock = read_lock_place(cursor);
    row->place = read_lock_place(cursor);
    row->stack = read_lock_place(cursor);
    uint64_t spun = read_within(waits, wait);
    row->flags = (uint32_t)gp_cursor_below(cursor, FLAGS + 1, "a flag is not known");
    row->holder = (uint32_t)gp_cursor_below(cursor, GP_READER_ACCOUNTS + 1, account_too_large);
    row->holder_place = row->holder != 0 ? read_lock_place(cursor) : 0;
    if (row->holder != 0)
        released = waits->end - read_within(waits, wait);
    row->start_ns = gp_clock_to_ns(rate, waits->end - wait);
    row->wait_ns = gp_clock_to_ns(rate, waits->end) - row->start_ns;
    row->spun_ns = gp_clock_to_ns(rate, spun);
    row->released_ns = gp_clock_to_ns(rate, released);
}

static void read_named(gp_cursor *cursor, gp_named_row *row)
{
    row->line = read32(cursor);
    row->function = gp_cursor_string(cursor);
    row->file = gp_cursor_string(cursor);
}

void gp_read_callback(gp_cursor *cursor, const gp_totals_row *totals, gp_callback_row *row)
{
    row->account = read_account_number(cursor);
    row->start_ns = read_ns(cursor, totals);
    row->duration_ns = read_ns(cursor, totals);
    row->task = gp_cursor_string(cursor);
    read_named(cursor, &row->what);
    row->looks = read_count(cursor);
    row->seen = read_count(cursor);
    if (row->seen > row->looks)
        gp_cursor_fail(cursor, "looks must be at least those that saw the same");
    read_named(cursor, &row->where);
    row->callee = gp_cursor_string(cursor);
}

static uint32_t read_tag(gp_cursor *cursor)
{
    return (uint32_t)gp_cursor_below(cursor, GP_READER_TAGS, "the number of a label is too large");
}

void gp_read_tag(gp_cursor *cursor, const gp_totals_row *totals, gp_tag_totals_row *row)
{
    row->tag = read_tag(cursor);
    row->name = gp_cursor_string(cursor);
    row->hold_ns = read_ns(cursor, totals);
    row->wait_ns = read_ns(cursor, totals);
    row->off_ns = read_ns(cursor, totals);
    row->holds = read_number(cursor);
    row->waits = read_number(cursor);
}

void gp_read_tag_blame(gp_cursor *cursor, const gp_totals_row *totals, gp_tag_blame_row *row)
{
    row->waiter = read_tag(cursor);
    row->holder = read_tag(cursor);
    row->wait_ns = read_ns(cursor, totals);
}
