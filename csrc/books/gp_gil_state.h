#ifndef GP_GIL_STATE_H
#define GP_GIL_STATE_H

/* The state of one GIL: who has it and who waits. Turns the steps of its stream (gp_stream.h) into holds,
 * waits and off time, and books them (gp_account.h). Knows no hook, no clock and no Python: every step
 * carries its time, so that tests can feed it any sequence.
 *
 * A thread that lets the GIL go because another asked for it (forced) wants it back at once: all is wait
 * until it has it again. One that lets go because its code does is off until it asks, or until it has the GIL
 * again if nobody saw it ask.
 *
 * What hooks read is written with the GIL; all else is guarded by the lock of the stream ("under the lock").
 */

#include "books/gp_attribution.h"
#include "books/gp_folding.h"
#include "books/gp_looks.h"
#include "books/gp_pauses.h"
#include "books/gp_tag_state.h"
#include "stream/gp_stream.h"

#define GP_NOT_WATCHED UINT32_MAX /* instead of a generation: no session runs */

struct gp_gil_state {
    /* what hooks read without a lock, and what changes seldom */
    _Alignas(GP_JOURNAL_LINE) gp_session *sessions; /* running; written under the lock with the GIL */
    _Atomic uint32_t generation; /* changes when watching begins anew, which makes earlier states void */
    _Atomic uint32_t changes; /* grows when a code object goes by which places are known, or anything changes
                                 that hooks must look at; never 0 while a session runs */
    _Atomic uint32_t wanting_sites, wanting_stacks, wanting_cpu, wanting_looks; /* how many of the sessions */

    gp_stream stream;
    gp_places places; /* with the GIL */

    uint64_t notes_lost; /* takings that threads had no room to note; with the GIL */

    /* the books' */
    uint64_t losses_told;    /* of them, to the sessions */
    gp_thread *holder;       /* who has the GIL; NULL: nobody, or not known */
    uint64_t last_release;   /* when it was last given up */
    gp_thread *waiters;      /* threads in GP_WAIT, the one that waits longest last */
    gp_thread *first_waiter; /* that one */
    uint64_t waiter_count;
    uint64_t exits_seen;     /* of gp_thread_exits */
    bool waiter_exited;      /* one of the waiters, maybe */
    bool looks_under_way;    /* there are looks in the hold that is under way */
    gp_folding_host folding; /* set once */
    const gp_places *looked; /* the looker's, to which looks refer; set once */
    gp_look_queue looks;
    bool pauses_under_way; /* there was a pause in the hold that is under way, or there is one */
    gp_pause_under_way pause;
    gp_pause_queue pauses;
    uint32_t wanting_tags; /* how many of the sessions */
    gp_tag_charge tag_charge;
};

static inline bool gp_gil_state_running(const gp_gil_state *gil)
{
    return __atomic_load_n(&gil->sessions, __ATOMIC_RELAXED) != NULL;
}

/* Tell the hooks that something has changed. With the GIL. */
static inline void gp_gil_state_change(gp_gil_state *gil)
{
    uint32_t next = gil->changes + 1;
    /* relaxed: who does not see it yet has not got the GIL yet */
    __atomic_store_n(&gil->changes, next != 0 ? next : 1, __ATOMIC_RELAXED);
}

/* Make it that of another GIL, with no session. Under the lock, with that GIL. */
void gp_gil_state_reset(gp_gil_state *gil);

/* Read the stream and book all its steps up to `limit` (gp_stream_begin). Under the lock. False without
 * memory: then some threads' steps wait for the next reading. */
bool gp_gil_state_read(gp_gil_state *gil, uint64_t limit);

/* Start a session: under the lock, with the GIL, after a reading up to now. `holder`, the calling thread, has
 * the GIL; NULL where that is not known. */
void gp_gil_state_start(gp_gil_state *gil, gp_session *session, gp_thread *holder);

/* Stop a session: books what is under way up to `now`, closes its accounts and unlinks it. Under the lock,
 * with the GIL, after a reading up to `now`. `threads` are all that have been seen, so that one that did
 * nothing meanwhile is accounted for too. `here` is where the calling thread is: a number of its places. */
void gp_gil_state_stop(gp_gil_state *gil, gp_session *session, gp_thread *const *threads, size_t count,
                       uint32_t here, uint64_t now);

/* Prepare a snapshot: charge what has been summed up. Returns the place in the session of the thread that has
 * the GIL, which is at `here`; GP_ROW_NONE: nobody has it, or no sites are wanted. Under the lock. */
uint32_t gp_gil_state_place(gp_gil_state *gil, gp_session *session, uint32_t here);

/* The same, without asking where the holder is. */
void gp_gil_state_share_out(gp_gil_state *gil, gp_session *session);

/* The same for tags: charge what is under way up to `now`, once and for all. Under the lock. */
void gp_gil_state_charge_tags(gp_gil_state *gil, const gp_session *session, uint64_t now);

/* How many threads wait at `time`, up to which the steps are booked. Under the lock. */
uint64_t gp_gil_state_waiting(gp_gil_state *gil, uint64_t time);

/* How long the waiter has waited until `to` for the hold that is under way. Under the lock. */
uint64_t gp_gil_state_waited_for(const gp_session *session, const gp_thread *holder, const gp_thread *waiter,
                                 uint64_t to);

/* The thread's account, opened now if it has none. NULL without memory. Under the lock. */
gp_account *gp_gil_state_account(const gp_gil_state *gil, gp_session *session, gp_thread *thread);

/* Whether the thread was alive at some moment of the session. Under the lock. */
bool gp_gil_state_concerns(const gp_gil_state *gil, const gp_session *session, const gp_thread *thread);

/* Copy an account to one whose histograms are empty, with all that is under way booked up to `now` if the
 * session runs. Under the lock. */
void gp_gil_state_copy_account(const gp_session *session, const gp_account *account, uint64_t now,
                               gp_account *copy);

/* Since when the hold that is under way is wanted by others; after all times: it is not. Under the lock. */
uint64_t gp_gil_state_wanted_since(const gp_gil_state *gil, const gp_thread *holder);

/* Contended time of `session` so far. Under the lock. */
uint64_t gp_gil_state_contended(const gp_session *session, uint64_t now);

/* Begin to follow a thread, or follow it again after a break. `now` is when it appeared; 0: it was alive
 * before anything was watched. Owner thread, before its first note. */
void gp_gil_state_adopt(const gp_gil_state *gil, gp_thread *thread, uint64_t now, bool holds);

/* In a forked child: only `self` (NULL if the tracer does not know it) lives on; the others end at `now`.
 * `here` is where it is. */
void gp_gil_state_forked(gp_gil_state *gil, gp_thread *self, gp_thread *const *threads, size_t count,
                         uint32_t here, uint64_t now);

/* The steps. Under the lock. */

/* The thread lets the GIL go, at `place` of the GIL's. `cpu`: its CPU time in the hold, if that is wanted. */
void gp_gil_state_release(gp_gil_state *gil, gp_thread *thread, uint32_t place, bool forced, gp_cpu_span cpu,
                          uint64_t now);

/* It has to wait for the GIL. */
void gp_gil_state_ask(gp_gil_state *gil, gp_thread *thread, uint64_t asked);

/* It has the GIL, after it asked for it at `asked` (see gp_note). */
void gp_gil_state_take(gp_gil_state *gil, gp_thread *thread, uint64_t asked, uint64_t now);

#endif
