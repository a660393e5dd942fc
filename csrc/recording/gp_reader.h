#ifndef GP_READER_H
#define GP_READER_H

/* The reader of a recording (docs/recording-format.md), over memory that somebody may have made up: nothing
 * is used as an index, a length or a count before it has been checked. Pure: no allocation, no state.
 *
 * A cursor that has met an error gives zeros from then on: check cursor->wrong once, before you use what was
 * read. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "recording/gp_chunk.h"
#include "base/gp_clock.h"
#include "recording/gp_format.h"
#include "base/gp_hist.h"
#include "base/gp_interval.h"
#include "base/gp_status.h"

enum {
    GP_READER_PLACES = 1 << 24, /* places of one interpreter */
    GP_READER_TAGS = 1 << 16,
    GP_READER_ACCOUNTS = GP_INTERVAL_ACCOUNTS,
    GP_READER_REASONS = 2, /* of SEEN */
    GP_READER_STATES = 4,
    GP_READER_GENERATIONS = 3, /* of garbage */
};

/* ---- header and chunks ---- */

/* Whether these bytes are a recording's header: GP_OK; GP_EINVAL if not; GP_EUNSUPPORTED if of another
 * version. */
gp_status gp_recording_check(const uint8_t header[GP_RECORDING_HEADER]);

typedef enum {
    GP_CHUNK_WHOLE,
    GP_CHUNK_CUT,   /* the end of the file cuts it */
    GP_CHUNK_WRONG, /* it breaks the rules */
} gp_chunk_state;

/* Check the header of a chunk before its payload is read; `left` bytes are left in the file. Gives the
 * payload's length if the chunk is whole. On GP_CHUNK_WRONG *wrong is the rule that was broken. */
gp_chunk_state gp_chunk_look(const uint8_t header[GP_CHUNK_HEADER], uint64_t left, size_t *payload_size,
                             const char **wrong);

/* ---- payloads ---- */

typedef struct {
    const uint8_t *at, *end;
    const char *wrong; /* the rule that was broken; NULL: none so far */
} gp_cursor;

static inline gp_cursor gp_cursor_over(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    return (gp_cursor){at, at + size, NULL};
}

/* Stop here: `wrong` is the rule that was broken; the first one is kept. */
static inline void gp_cursor_fail(gp_cursor *cursor, const char *wrong)
{
    if (cursor->wrong == NULL)
        cursor->wrong = wrong;
    cursor->at = cursor->end;
}

static inline bool gp_cursor_at_end(const gp_cursor *cursor)
{
    return cursor->at == cursor->end;
}

uint64_t gp_cursor_long_number(gp_cursor *cursor);

static inline uint64_t gp_cursor_number(gp_cursor *cursor)
{
    if (__builtin_expect(cursor->at != cursor->end && *cursor->at < 0x80, 1))
        return *cursor->at++;
    return gp_cursor_long_number(cursor);
}

/* A number that must be below `limit`; `wrong` if it isn't. */
static inline uint64_t gp_cursor_below(gp_cursor *cursor, uint64_t limit, const char *wrong)
{
    uint64_t value = gp_cursor_number(cursor);
    if (__builtin_expect(value < limit, 1))
        return value;
    gp_cursor_fail(cursor, wrong);
    return 0;
}

int64_t gp_cursor_signed(gp_cursor *cursor);

/* Read the number of rows that follow, of at least `row` bytes each; an error if the payload is too short for
 * them. */
uint64_t gp_cursor_rows(gp_cursor *cursor, size_t row);

typedef struct {
    const char *bytes;
    size_t size;
} gp_text;

/* A string: it points into the payload and has no zero byte at its end. */
gp_text gp_cursor_string(gp_cursor *cursor);

/* LABL (number) and NAME (signed number). */
typedef struct {
    int64_t number;
    gp_text name;
} gp_name_row;

void gp_read_label(gp_cursor *cursor, gp_name_row *row);
void gp_read_name(gp_cursor *cursor, gp_name_row *row);

/* The number of the interpreter: THRD, PLAC and EVNT begin with it. */
uint32_t gp_read_interpreter(gp_cursor *cursor);

typedef struct {
    uint32_t number;
    int64_t native_id;
    uint32_t label;
    gp_text os_name;
    uint64_t first; /* tick */
} gp_thread_row;

void gp_read_thread(gp_cursor *cursor, gp_thread_row *row);

typedef struct {
    uint32_t number;
    uint32_t parent; /* or GP_NOWHERE */
    gp_place_kind kind;
    uint32_t line_or_thread; /* a line of Python; for native code the number of an account */
    gp_text function, file;
} gp_place_row;

/* Place number `expected`. */
void gp_read_place(gp_cursor *cursor, uint32_t expected, gp_place_row *row);

/* A hold that was seen under way; times in ticks. */
typedef struct {
    uint32_t reason, holder, state;
    uint32_t place; /* or GP_NOWHERE */
    uint64_t since, at;
} gp_seen_row;

void gp_read_seen(gp_cursor *cursor, gp_seen_row *row);

/* ---- EVNT ---- */

typedef struct {
    gp_cursor cursor;
    uint32_t interpreter;
    uint64_t count, dropped;
    uint64_t end; /* tick: end of the last interval */
} gp_events;

/* Read the head of a payload; check events->cursor.wrong. */
gp_events gp_events_over(const void *payload, size_t size);

/* The next of `count` intervals. */
static inline void gp_events_next(gp_events *events, gp_interval *interval)
{
    gp_cursor *cursor = &events->cursor;
    uint64_t who =
        gp_cursor_below(cursor, (uint64_t)GP_READER_ACCOUNTS << 1, "an account's number is too large");
    uint64_t folded = gp_cursor_number(cursor);
    uint64_t duration = gp_cursor_number(cursor);
    uint64_t link = gp_cursor_below(cursor, (uint64_t)GP_READER_PLACES + 1, "a place's number is too large");
    events->end += folded >> 1 ^ (folded & 1 ? UINT64_MAX : 0);
    if (__builtin_expect(duration > events->end, 0)) {
        gp_cursor_fail(cursor, "an event must not begin before the recording");
        duration = 0;
    }
    interval->kind = who & 1 ? GP_EVENT_WAIT : GP_EVENT_HOLD;
    interval->account = (uint32_t)(who >> 1);
    interval->place = (uint32_t)link - 1; /* 0 becomes GP_NOWHERE */
    interval->start = events->end - duration;
    interval->end = events->end;
}

/* The numbers in the whole file for the numbers of one interpreter, as described so far. */
typedef struct {
    const uint32_t *threads, *places; /* GP_NOWHERE: not described */
    size_t thread_count, place_count;
} gp_described;

/* Where to put `count` events, each array as long. */
typedef struct {
    uint8_t *kinds;
    uint32_t *threads, *places; /* numbers of the whole file; GP_NOWHERE if the place is not known */
    int64_t *starts_ns, *durations_ns;
} gp_columns;

/* Read all intervals. Returns NULL, or the rule that was broken: then the columns are useless. */
const char *gp_events_columns(gp_events *events, const gp_described *described, gp_clock_rate rate,
                              gp_columns *columns);

/* The sums of one thread's intervals; times in ticks. */
typedef struct {
    uint64_t hold, wait, holds, waits;
} gp_events_sum;

/* Add all intervals to `sums`, which has an entry for each thread of the file (`sum_count`). Returns NULL, or
 * the rule that was broken. */
const char *gp_events_add(gp_events *events, const gp_described *described, gp_events_sum *sums,
                          size_t sum_count);

/* ---- SNAP ---- */

/* Times from here on are nanoseconds. */
typedef struct {
    uint32_t flags, interpreter;
    gp_clock_rate rate;
    uint64_t most; /* ticks: the largest number whose nanoseconds fit 63 bits */
    uint64_t elapsed_ns, contended_ns, handoffs, lost, sites_lost_ns, dropped;
} gp_totals_row;

void gp_read_totals(gp_cursor *cursor, gp_totals_row *row);

typedef struct {
    uint32_t number;
    int64_t native_id;
    uint32_t label;
    bool ended;
    uint64_t merged;
    gp_text os_name;
    uint64_t first_ns, lifetime_ns;
    uint64_t hold_ns, wait_ns, off_ns, longest_hold_ns, longest_wait_ns;
    int64_t imbalance_ticks;
    uint64_t acquisitions, contended_acquisitions, releases, forced_releases;
    uint64_t blamed_ns;
    uint64_t hold_cpu_ns; /* 0 without GP_SNAPSHOT_CPU */
} gp_account_row;

/* Everything before its histograms. */
void gp_read_account(gp_cursor *cursor, const gp_totals_row *totals, gp_account_row *row);

/* One bucket; `index` starts as GP_NOWHERE. */
void gp_read_bucket(gp_cursor *cursor, uint32_t *index, uint64_t *count);

typedef struct {
    uint32_t place;
    uint64_t releases, hold_ns, wait_ns;
    uint64_t hold_cpu_ns; /* 0 without GP_SNAPSHOT_CPU */
} gp_site_row;

/* `row` holds the last one; its place starts as GP_NOWHERE. */
void gp_read_site(gp_cursor *cursor, const gp_totals_row *totals, gp_site_row *row);

typedef struct {
    uint32_t waiter, holder;
    uint32_t place; /* or GP_NOWHERE */
    uint64_t wait_ns;
} gp_blame_row;

void gp_read_blame(gp_cursor *cursor, const gp_totals_row *totals, gp_blame_row *row);

typedef struct {
    uint32_t waiter, waiter_place; /* places may be GP_NOWHERE */
    uint32_t holder, holder_place; /* so may the holder: nobody */
    uint64_t start_ns, wait_ns, holder_ns;
    uint32_t holder_looked; /* place; GP_NOWHERE without GP_SNAPSHOT_LOOKED */
} gp_stall_row;

void gp_read_stall(gp_cursor *cursor, const gp_totals_row *totals, gp_stall_row *row);

/* With GP_SNAPSHOT_LOOKS. */
typedef struct {
    uint64_t unseen, free;
} gp_looks_row;

void gp_read_looks(gp_cursor *cursor, gp_looks_row *row);

typedef struct {
    uint32_t holder;
    uint32_t ended, looked; /* places; the first may be GP_NOWHERE */
    uint64_t looks, waiting;
    uint64_t time, waited, squares; /* without GP_SNAPSHOT_LOOKED all looks of the row are alike */
} gp_tally_row;

void gp_read_tally(gp_cursor *cursor, const gp_totals_row *totals, gp_tally_row *row);

/* With GP_SNAPSHOT_PAUSES. */
uint64_t gp_read_pauses_lost(gp_cursor *cursor);

typedef struct {
    uint32_t holder;
    uint32_t ended, place; /* or GP_NOWHERE */
    uint32_t generation;
    uint64_t held_ns, wait_ns, count, pauses_ns, longest_ns, collected, uncollectable;
} gp_pause_sum_row;

void gp_read_pause_sum(gp_cursor *cursor, const gp_totals_row *totals, gp_pause_sum_row *row);

typedef struct {
    uint32_t holder;
    uint32_t place; /* or GP_NOWHERE */
    uint32_t generation;
    uint64_t start_ns, pause_ns, held_ns, wait_ns, collected, uncollectable;
} gp_pause_row;

/* Also in a PAUS, whose times are those of the interpreter's snapshots. */
void gp_read_pause(gp_cursor *cursor, const gp_totals_row *totals, gp_pause_row *row);

/* The totals of a factor, for gp_read_pause. */
gp_totals_row gp_totals_with_factor(uint64_t factor);

/* ---- LWAT ---- */

typedef struct {
    gp_cursor cursor;
    gp_totals_row totals; /* the rate */
    uint64_t count, dropped;
    uint64_t end; /* tick: end of the last wait */
} gp_lock_waits;

enum {
    GP_READER_LOCK_FAILED = 2, /* flags of a wait, as in gp_lock_journal.h */
    GP_READER_LOCK_GOES_ON = 4,
    GP_READER_LOCK_SPUN = 8,
};

/* Of an LNAM are the numbers of threads, locks (+ 1), stacks (0: none) and places (+ 3: see LOCK). */
typedef struct {
    uint32_t thread, lock, place, stack, flags;
    uint32_t holder; /* + 1; 0: nobody was seen to release the lock, and then the next are 0 */
    uint32_t holder_place;
    uint64_t released_ns;
    uint64_t start_ns, wait_ns, spun_ns;
} gp_lock_wait_row;

/* Read the head of a payload; check waits->cursor.wrong. Then the next of `count` waits. */
gp_lock_waits gp_lock_waits_over(const void *payload, size_t size);
void gp_lock_waits_next(gp_lock_waits *waits, gp_lock_wait_row *row);

/* A place by name. */
typedef struct {
    uint32_t line;
    gp_text function, file;
} gp_named_row;

/* With GP_SNAPSHOT_CALLBACKS. */
typedef struct {
    uint32_t account;
    uint64_t start_ns, duration_ns;
    gp_text task, callee;
    gp_named_row what, where;
    uint64_t looks, seen;
} gp_callback_row;

void gp_read_callback(gp_cursor *cursor, const gp_totals_row *totals, gp_callback_row *row);

/* With GP_SNAPSHOT_TAGS. */
typedef struct {
    uint32_t tag;
    gp_text name; /* empty: it stands for several */
    uint64_t hold_ns, wait_ns, off_ns, holds, waits;
} gp_tag_totals_row;

void gp_read_tag(gp_cursor *cursor, const gp_totals_row *totals, gp_tag_totals_row *row);

typedef struct {
    uint32_t waiter, holder; /* tags; 0: none */
    uint64_t wait_ns;
} gp_tag_blame_row;

void gp_read_tag_blame(gp_cursor *cursor, const gp_totals_row *totals, gp_tag_blame_row *row);

/* Least bytes of a row, for gp_cursor_rows. */
enum {
    GP_ROW_ACCOUNT = 20,
    GP_ROW_BUCKET = 2,
    GP_ROW_SITE = 4,
    GP_ROW_BLAME = 4,
    GP_ROW_STALL = 7,
    GP_ROW_EVENT = 4,
    GP_ROW_TALLY = 5,
    GP_ROW_PAUSE_SUM = 11,
    GP_ROW_PAUSE = 9,
    GP_ROW_CALLBACK = 13,
    GP_ROW_TAG = 7,
    GP_ROW_TAG_BLAME = 3,
    GP_ROW_LOCK_WAIT = 9,
};

#endif
