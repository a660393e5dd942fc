#ifndef GP_ACCOUNT_H
#define GP_ACCOUNT_H

/* Accounts: what a session (one trace) has booked for each thread.
 *
 * The state of a GIL (gp_gil_state.h) turns events into intervals [from, to) of ticks and books each with
 * every running session, which keeps the part after its own start. Everything here is guarded by the lock of
 * the stream of the GIL that is traced ("under the lock"). Memory comes from mmap, since the thread that
 * keeps the books may hold malloc's locks. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_buffer.h"
#include "base/gp_clock.h"
#include "base/gp_hist.h"
#include "books/gp_blame.h"
#include "books/gp_callbacks.h"
#include "books/gp_natives.h"
#include "books/gp_pause_sums.h"
#include "books/gp_tags.h"
#include "books/gp_tallies.h"
#include "books/gp_thread.h"
#include "base/gp_status.h"
#include "recording/gp_timeline.h"

typedef struct gp_session gp_session;
typedef struct gp_account gp_account;

/* Who a thread is. */
typedef struct {
    int64_t native_id;
    char os_name[16];
    uint32_t label; /* what the caller of gp_tracer_label gave; 0: none */
    bool exited;
} gp_identity;

/* One thread's books in one session. Times are ticks; the histograms count nanoseconds. */
struct gp_account {
    /* what each release and each acquisition touches: one cache line */
    _Alignas(GP_JOURNAL_LINE) uint64_t hold;
    uint64_t off;
    uint64_t longest_hold;
    uint64_t acquisitions;
    uint32_t last_place; /* of the last release; GP_ROW_NONE: not seen */
    uint32_t number;     /* in order of opening, for one thread only */
    uint64_t forced_releases;

    /* what those do that have to wait */
    uint64_t wait;
    uint64_t longest_wait;
    uint64_t contended_acquisitions; /* in `waits`; the others count there as 0 once the account is closed */
    uint64_t hold_cpu;               /* nanoseconds of CPU time while it held; 0 unless wanted */
    uint64_t blamed;                 /* ticks of wait that are charged to somebody */
    uint64_t culprit_ticks;          /* in the wait that is under way, the longest hold without a break ... */
    uint32_t culprit, culprit_place; /* ... whose it was, and where it ended ... */
    uint32_t culprit_looked;         /* ... and what looks saw, as in a stall */
    uint32_t charges_seen; /* of the session's: it has been charged with them, or waits since later */

    gp_thread *thread;    /* while the session runs: afterwards its memory may serve another thread. NULL: of
                             ended threads */
    uint64_t merged;      /* threads in it: one, or all that were folded into it; 0: the slot is free */
    gp_identity identity; /* set when the account is closed */
    uint64_t first;       /* the thread's first moment in the session */
    uint64_t last;        /* its last; set when the account is closed */
    uint64_t releases;    /* set when the account is closed: until then each booked hold is one */
    uint32_t introduced_label; /* as `introduced` has it */
    bool kept;                 /* among `largest` of the session */
    uint32_t native_place;     /* where it has no Python frame; GP_ROW_NONE: not met */
    gp_account *next_spare;    /* of a free slot */

    gp_hist holds, waits;
};

/* What a session has booked for a place: half a cache line. */
typedef struct {
    uint64_t releases;
    uint64_t hold;     /* ticks of holds that ended here */
    uint64_t wait;     /* ticks of waits that followed a release here */
    uint64_t hold_cpu; /* nanoseconds of CPU time in the holds; 0 unless the session wants it */
} gp_place;

/* One long wait. */
typedef struct {
    uint32_t waiter, waiter_place; /* number of an account, of a place; GP_ROW_NONE: none */
    uint32_t holder,
        holder_place;       /* who held the GIL longest meanwhile without a break; GP_ROW_NONE: nobody */
    uint32_t holder_looked; /* what most looks at that hold saw: a place; GP_ROW_NONE: there were none */
    uint64_t start, ticks, holder_ticks;
} gp_stall;

/* Holds of one thread that ended at one place, while others waited (gp_gil_state.c). */
typedef struct {
    uint64_t from, ticks;           /* when the first of them began; the length of all */
    uint64_t longest, longest_from; /* and of the longest; when that began */
    uint32_t holder, place;         /* number of an account, of a place */
    uint32_t looked;                /* what most looks at the longest saw, as in a stall */
} gp_charge;

enum {
    GP_CHARGES_MAX = 512,
    GP_SEEN_MAX = 4096, /* holds that a session remembers to have seen in stalls */
};

/* Looks at one place in the hold that is under way. */
typedef struct {
    uint32_t place;
    bool in_pause; /* the collector ran (gp_pauses.h) */
    gp_look_sums sums;
} gp_look_row;

/* The last look in the hold that is under way, if it depends on that hold's end what it saw (gp_looks.c). */
typedef struct {
    gp_look_row row; /* counts for its place if the hold lasts longer than `until`; no looks: there is none */
    uint64_t until;
    bool free; /* no place, since nobody had the GIL */
} gp_open_look;

enum {
    GP_LOOK_ROWS = 256,
};

/* A session's numbers for places of somebody else's. */
typedef struct {
    uint32_t *place_of; /* by number of gp_places.h: its number here + 1; 0: not met */
    size_t room;
} gp_place_map;

enum {
    GP_NUMBERS_MAX = GP_INTERVAL_ACCOUNTS, /* accounts that one session can tell apart */
    GP_ACCOUNTS_KEPT = 2048,               /* from this number on, those of ended threads are folded ... */
    GP_LARGEST_KEPT = 128,                 /* ... but for those with most hold and wait */
    GP_FOLDED_SIZE = GP_NUMBERS_MAX / 8,   /* bytes: a bit for each */
    GP_STALLS_MAX = 1024,                  /* the longest waits, which a session remembers one by one */
};

/* An ended thread's account that is not folded, and its hold and wait together. */
typedef struct {
    gp_account *account;
    uint64_t weight;
} gp_largest;

/* One trace. `next` links the running sessions of a GIL. */
struct gp_session {
    /* what each release touches: one cache line, and the place's */
    gp_session *next;
    uint64_t id;                    /* never reused, never 0 */
    uint64_t start;                 /* what comes before is not booked */
    gp_clock_rate rate;             /* for the histograms, known in advance */
    bool wants_timeline;            /* every hold and wait one by one */
    bool wants_sites, wants_stacks; /* where, if that is wanted */
    bool wants_cpu;                 /* CPU time of holds */
    bool wants_looks;               /* needs sites */
    bool wants_pauses;
    uint32_t opened;      /* accounts, since some were folded (gp_folding.h) */
    gp_place *places;     /* each with a number of its own */
    uint64_t stall_floor; /* a wait must be longer to be among the longest */

    /* what each touches while others wait */
    _Alignas(GP_JOURNAL_LINE) uint64_t contended; /* ticks in which the GIL was held and wanted */
    uint64_t handoffs;
    uint32_t charge_count;   /* of `charges`, below */
    uint32_t charges_closed; /* so many are not added to any more */

    uint64_t
        origin; /* what is written counts from here: the trace's start, before that of a GIL found later */
    uint64_t stop;
    gp_clock_anchor start_anchor, stop_anchor;
    uint32_t interpreter; /* whose GIL this is about */
    struct gp_gil *gil;   /* its row; NULL when the interpreter has ended */
    gp_session *others;   /* the same trace at the other GILs, linked */
    size_t other_count;
    bool others_missed, others_unrecorded; /* more of them could not be traced, or not be recorded */
    uint64_t lost_before;                  /* gp_threads_lost when it began */
    struct gp_recorder *recorder;          /* NULL: none */
    bool running;
    const gp_gil_state *gil_state; /* of its GIL, while it runs */
    bool hooks_lost; /* a wrapper was not in its slot any more: what it would have told is missing */
    uint64_t lost;   /* intervals that found no memory for an account */

    /* CPU time, if that is wanted */
    const gp_thread *starter; /* in the hold in which the session began; NULL once that is over */
    uint64_t starter_cpu;     /* its CPU time then, nanoseconds */
    uint64_t cpu_now;         /* of the thread that holds, while what is under way is booked; 0: not known */

    /* folding (gp_folding.h) */
    size_t keep, keep_largest; /* GP_ACCOUNTS_KEPT, GP_LARGEST_KEPT; less in tests, but not 0 largest */
    gp_account *ended;         /* into which others are folded; NULL: none yet */
    uint64_t *folded;          /* a bit for each number that has gone into it */
    uint32_t folded_since;     /* how many since the blame table was compacted */

    /* where */
    gp_rows blame;
    size_t place_count, place_room;
    gp_place_map met;       /* the GIL's places */
    gp_place_map looked;    /* the looker's */
    uint32_t unseen_place;  /* where nobody could look, + 1; 0: not met */
    gp_buffer described;    /* the places, as a recording has them (docs/recording-format.md, PLAC) */
    uint32_t native_places; /* of single threads */
    uint32_t named_places[GP_NATIVES_MAX]; /* of native code that has a name, + 1; 0: not met */
    uint64_t sites_lost; /* ticks of hold without a place, and of wait without blame: out of memory */
    size_t stall_count, largest_count;
    uint64_t largest_floor; /* the least weight in `largest` */

    gp_timeline timeline;     /* for the recorder: events that it has not got */
    gp_buffer introduced;     /* for the recorder: accounts it has not got (docs/recording-format.md, THRD) */
    size_t described_written; /* the recorder's: how much of the places it has */
    gp_buffer seen; /* for the recorder: holds that were seen under way (docs/recording-format.md, SEEN) */
    uint32_t seen_count; /* how many of them since it began, but for those at snapshots */

    /* looks (gp_looks.h) */
    gp_rows tallies;
    gp_rows pause_tallies; /* of looks in pauses, which are not among the others */
    uint64_t looks_unseen, looks_free;
    uint32_t look_row_count;
    gp_open_look open_look;
    gp_pauses pauses;

    gp_tag_books *tags; /* NULL: not wanted */
    bool totals_only;   /* of the main GIL, and in as little memory as can be */

    gp_callback_list callbacks; /* of event loops, the longest */

    size_t account_count; /* slots, some of them free */
    size_t spare_count;   /* free ones */
    gp_account *spares;   /* they, linked */
    uint32_t next_number;
    gp_account **chunks;     /* the slots, GP_ACCOUNT_CHUNK each */
    gp_account ***by_thread; /* two levels, by gp_thread.index; `ended` where the account was folded */
    gp_buffer closed;        /* the last snapshot, instead of all that the books were */

    gp_charge charges[GP_CHARGES_MAX]; /* the holds for which some of the GIL's waiters have waited */
    gp_look_row look_rows[GP_LOOK_ROWS];
    gp_largest largest[GP_LARGEST_KEPT];
    gp_stall stalls[GP_STALLS_MAX];
};

enum {
    GP_ACCOUNT_CHUNK = 16,
};

/* A session without accounts that starts at `start`, or NULL without memory. Not linked to a GIL yet. */
gp_session *gp_session_new(uint64_t id, uint64_t start);

/* Unlinked sessions only; NULL is fine. */
void gp_session_free(gp_session *session);

/* The looker's places begin anew, with other numbers. */
void gp_session_forget_looked(gp_session *session);

/* Give up the books of a session that has ended: `closed` tells what they said. */
void gp_session_close_books(gp_session *session, gp_buffer closed);

/* The thread's account, opened now if it has none: slow path of gp_account_of. NULL without memory, which is
 * counted. Under the lock. */
gp_account *gp_account_open(gp_session *session, gp_thread *thread);

/* Forget whose account it was, or that it was folded into `instead`. */
void gp_account_disown(gp_session *session, gp_thread *thread, gp_account *instead);

/* Make the slot of an account whose histograms are empty free for another. */
void gp_account_recycle(gp_session *session, gp_account *account);

/* Append the account to `introduced`: once when it is opened, and when its thread's label has changed. */
void gp_account_introduce(gp_session *session, gp_account *account);

/* Book what is under way up to `until`, which is the end, and note who the thread is. */
void gp_account_close(const gp_session *session, gp_account *account, const gp_thread *thread,
                      uint64_t until);

/* The highest bucket of an account's histogram that is not empty, by the longest duration: pages above have
 * not been touched, and to read them costs a fault each. */
size_t gp_account_last_bucket(const gp_session *session, uint64_t longest);

/* Copy an account to one whose histograms are empty. */
void gp_account_copy(const gp_session *session, const gp_account *account, gp_account *copy);

/* Add a closed account, whose histograms are emptied, to that of several threads. */
void gp_account_merge(const gp_session *session, gp_account *into, gp_account *from);

/* What stands in by_thread: NULL, the thread's account, or `ended`. Under the lock. */
gp_account *gp_account_entry(const gp_session *session, const gp_thread *thread);

/* Whether the account is of a thread that came when there were no numbers left: it has that of `ended`, and
 * counts as part of it. */
static inline bool gp_account_is_nameless(const gp_session *session, const gp_account *account)
{
    return session->ended != NULL && account != session->ended && account->number == session->ended->number;
}

/* Slot `n` (< account_count). In order of opening until the first account is folded. */
static inline gp_account *gp_account_nth(const gp_session *session, size_t n)
{
    return &session->chunks[n / GP_ACCOUNT_CHUNK][n % GP_ACCOUNT_CHUNK];
}

/* Under the lock. */
static inline gp_account *gp_account_of(gp_session *session, gp_thread *thread)
{
    if (__builtin_expect(thread->account_session == session->id, 1))
        return thread->account;
    return gp_account_open(session, thread);
}

/* Length of the part of [from, to) that lies after `start`. Stamps of two cores may disagree by some
 * nanoseconds: an interval that would be negative is empty. */
static inline uint64_t gp_ticks_after(uint64_t start, uint64_t from, uint64_t to)
{
    if (__builtin_expect(from < start, 0))
        from = start;
    return to > from ? to - from : 0;
}

static inline void gp_account_book_hold(const gp_session *session, gp_account *account, uint64_t from,
                                        uint64_t to)
{
    uint64_t ticks = gp_ticks_after(session->start, from, to);
    account->hold += ticks;
    if (ticks > account->longest_hold)
        account->longest_hold = ticks;
    gp_hist_record(&account->holds, gp_clock_to_ns(session->rate, ticks));
}

/* CPU time that the thread has used in a hold inside the session, from `from` to `now`; 0: not known. */
static inline uint64_t gp_account_hold_cpu(const gp_session *session, const gp_thread *thread, uint64_t from,
                                           uint64_t now)
{
    if (thread == session->starter && from < session->starter_cpu)
        from = session->starter_cpu;
    return from != 0 && now > from ? now - from : 0;
}

static inline void gp_account_book_wait(const gp_session *session, gp_account *account, uint64_t from,
                                        uint64_t to)
{
    uint64_t ticks = gp_ticks_after(session->start, from, to);
    account->wait += ticks;
    if (ticks > account->longest_wait)
        account->longest_wait = ticks;
    gp_hist_record(&account->waits, gp_clock_to_ns(session->rate, ticks));
}

/* Hand an interval to the timeline. */
static inline void gp_account_record(gp_session *session, gp_event_kind kind, const gp_account *account,
                                     uint64_t from, uint64_t to)
{
    uint64_t start = from > session->start ? from : session->start;
    if (__builtin_expect(!session->wants_timeline || to <= start, 1))
        return;
    (void)gp_timeline_add(&session->timeline, (gp_interval){kind, account->number, account->last_place,
                                                            start - session->origin, to - session->origin});
}

static inline void gp_account_book_off(const gp_session *session, gp_account *account, uint64_t from,
                                       uint64_t to)
{
    account->off += gp_ticks_after(session->start, from, to);
}

#endif
