#include "books/gp_gil_state.h"

#include <string.h>

#include "books/gp_folding.h"

/* Opens those that the thread has not got. */
#define GP_EACH_ACCOUNT(gil, thread, session, account)                                                       \
    for (gp_session *session = (gil)->sessions; session != NULL; session = session->next)                    \
        for (gp_account *account = gp_gil_state_account(gil, session, thread); account != NULL;              \
             account = NULL)

gp_account *gp_gil_state_account(const gp_gil_state *gil, gp_session *session, gp_thread *thread)
{
    gp_account *account = gp_account_of(session, thread);
    bool placed = account == NULL || account->last_place != GP_ROW_NONE;
    if (__builtin_expect(!placed && session->wants_sites, 0))
        gp_attribution_place(session, account, &gil->places, thread->last_place);
    return account;
}

enum {
    CHARGES_TRIED = 8, /* rows of the list, for one to which a hold can be added */
};

static void settle(gp_gil_state *gil, gp_thread *thread, uint64_t asked)
{
    GP_EACH_ACCOUNT (gil, thread, session, account) {
        gp_account_book_off(session, account, thread->since, asked);
        gp_tag_state_book(session, thread, GP_OFF, asked);
    }
}

uint64_t gp_gil_state_wanted_since(const gp_gil_state *gil, const gp_thread *holder)
{
    const gp_thread *first = gil->first_waiter;
    uint64_t earliest = first != NULL ? first->since : UINT64_MAX;
    return earliest > holder->since ? earliest : holder->since;
}

/* How long until `to` the hold has been wanted inside the session. Whoever exits wants it no longer. */
static uint64_t wanted_ticks(const gp_gil_state *gil, const gp_session *session, const gp_thread *holder,
                             uint64_t to)
{
    uint64_t ticks = 0, from = holder->since > session->start ? holder->since : session->start;
    for (const gp_thread *waiter = gil->first_waiter; waiter != NULL && from < to;
         waiter = waiter->previous_waiter) {
        uint64_t end = gp_thread_end_of(waiter, to);
        from = waiter->since > from ? waiter->since : from;
        ticks += end > from ? end - from : 0;
        from = end > from ? end : from;
    }
    return ticks;
}

static void book_contended(gp_gil_state *gil, const gp_thread *holder, uint64_t to)
{
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        session->contended += wanted_ticks(gil, session, holder, to);
}

/* ---- who waits, and behind whom ---- */

/* The holds for which somebody waits are kept in a list. A waiter is charged with those that came since it
 * began to wait when it has the GIL, or when somebody wants to read. A thread that releases and gets the GIL
 * again a thousand times in its turn has one row in the list, to which its holds are added up. */

static uint64_t latest_wait(const gp_gil_state *gil)
{
    return gil->waiters != NULL ? gil->waiters->since : 0;
}

/* What of it the thread has waited for that waits since then. Only of a single hold, or of none, that is not
 * all: see may_add. */
static gp_charge since_asking(const gp_charge *charge, uint64_t asked)
{
    gp_charge part = *charge;
    if (asked <= charge->from)
        return part;
    part.longest = part.ticks =
        asked - charge->from < charge->ticks ? charge->ticks - (asked - charge->from) : 0;
    part.longest_from = asked;
    return part;
}

static bool is_worse(const gp_charge *charge, const gp_charge *other)
{
    return charge->longest > other->longest ||
           (charge->longest == other->longest && charge->longest_from < other->longest_from);
}

/* Charge the waiter with all holds so far. */
static void settle_charges(gp_session *session, gp_account *account, uint64_t asked)
{
    gp_charge worst = {.longest = 0};
    for (uint32_t i = account->charges_seen; i < session->charge_count; i++) {
        gp_charge charge = since_asking(&session->charges[i], asked);
        if (charge.ticks != 0)
            gp_attribution_charge(session, account, &charge);
        if (is_worse(&charge, &worst))
            worst = charge;
    }
    gp_attribution_suspect(account, &worst);
    account->charges_seen = session->charge_count;
}

/* Charge all waiters, and begin a new list. */
static void share_out(const gp_gil_state *gil, gp_session *session)
{
    if (session->charge_count == 0)
        return;
    for (gp_thread *waiter = gil->waiters; waiter != NULL; waiter = waiter->next_waiter) {
        gp_account *account = gp_gil_state_account(gil, session, waiter);
        if (account == NULL)
            continue;
        settle_charges(session, account, waiter->since);
        account->charges_seen = 0;
    }
    session->charge_count = session->charges_closed = 0;
}

static void share_out_all(const gp_gil_state *gil)
{
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        share_out(gil, session);
}

/* In order of time, which may not be that in which we hear of it. */
static void link_waiter(gp_gil_state *gil, gp_thread *thread)
{
    gp_thread *before = NULL, *after = gil->waiters;
    for (; after != NULL && after->since > thread->since; after = after->next_waiter)
        before = after;
    thread->previous_waiter = before;
    thread->next_waiter = after;
    *(before != NULL ? &before->next_waiter : &gil->waiters) = thread;
    *(after != NULL ? &after->previous_waiter : &gil->first_waiter) = thread;
    gil->waiter_count++;
}

static void join_waiters(gp_gil_state *gil, gp_thread *thread)
{
    GP_EACH_ACCOUNT (gil, thread, session, account)
        account->charges_seen = session->charges_closed = session->charge_count;
    /* it may have exited before its asking was read */
    gil->waiter_exited |= atomic_load_explicit(&thread->exited, memory_order_relaxed);
    if (gil->wanting_tags != 0)
        gp_tag_state_join(gil, thread);
    link_waiter(gil, thread);
}

static void leave_waiters(gp_gil_state *gil, gp_thread *thread)
{
    GP_EACH_ACCOUNT (gil, thread, session, account)
        settle_charges(session, account, thread->since);
    gp_tag_state_settle(gil);
    *(thread->next_waiter != NULL ? &thread->next_waiter->previous_waiter : &gil->first_waiter) =
        thread->previous_waiter;
    *(thread->previous_waiter != NULL ? &thread->previous_waiter->next_waiter : &gil->waiters) =
        thread->next_waiter;
    gil->waiter_count--;
    if (gil->waiters == NULL)
        share_out_all(gil);
}

static void forget_waiters(gp_gil_state *gil)
{
    gil->waiters = gil->first_waiter = NULL;
    gil->waiter_count = 0;
    gil->waiter_exited = false;
}

/* A thread that exits while it waits, as daemons do at the interpreter's end, stays among the waiters. */
static bool is_one_of_them_gone(gp_gil_state *gil)
{
    uint64_t exits = atomic_load_explicit(&gp_thread_exits, memory_order_acquire);
    if (__builtin_expect(exits == gil->exits_seen, 1))
        return gil->waiter_exited;
    gil->exits_seen = exits;
    for (const gp_thread *waiter = gil->waiters; waiter != NULL; waiter = waiter->next_waiter)
        gil->waiter_exited |= atomic_load_explicit(&waiter->exited, memory_order_relaxed);
    return gil->waiter_exited;
}

uint64_t gp_gil_state_waiting(gp_gil_state *gil, uint64_t time)
{
    uint64_t count = 0;
    if (!is_one_of_them_gone(gil))
        return gil->waiter_count;
    for (const gp_thread *waiter = gil->waiters; waiter != NULL; waiter = waiter->next_waiter)
        count += gp_thread_end_of(waiter, UINT64_MAX) > time;
    return count;
}

uint64_t gp_gil_state_waited_for(const gp_session *session, const gp_thread *holder, const gp_thread *waiter,
                                 uint64_t to)
{
    uint64_t from = waiter->since > holder->since ? waiter->since : holder->since;
    return gp_ticks_after(session->start, from, gp_thread_end_of(waiter, to));
}

/* Charge each with its part of this hold. */
static void charge_each(const gp_gil_state *gil, gp_session *session, gp_charge charge,
                        const gp_thread *holder, uint64_t to)
{
    share_out(gil, session);
    for (gp_thread *waiter = gil->waiters; waiter != NULL; waiter = waiter->next_waiter) {
        charge.ticks = charge.longest = gp_gil_state_waited_for(session, holder, waiter, to);
        gp_account *account = charge.ticks != 0 ? gp_gil_state_account(gil, session, waiter) : NULL;
        if (account == NULL)
            continue;
        gp_attribution_charge(session, account, &charge);
        gp_attribution_suspect(account, &charge);
    }
}

/* Whoever waits for a hold of the row waits for all that come to it, from begin to end. */
static bool may_add(const gp_gil_state *gil, const gp_session *session, uint32_t row, const gp_charge *charge)
{
    const gp_charge *sum = &session->charges[row];
    return sum->place == charge->place && sum->holder == charge->holder && row >= session->charges_closed &&
           sum->from >= latest_wait(gil);
}

static gp_charge *find_charge(const gp_gil_state *gil, gp_session *session, const gp_charge *charge)
{
    uint32_t count = session->charge_count;
    for (uint32_t row = count; row-- > 0 && row + CHARGES_TRIED >= count;)
        if (may_add(gil, session, row, charge))
            return &session->charges[row];
    if (count == GP_CHARGES_MAX)
        share_out(gil, session);
    gp_charge *added = &session->charges[session->charge_count++];
    *added = (gp_charge){.from = charge->from, .holder = charge->holder, .place = charge->place};
    return added;
}

static void charge_hold(gp_gil_state *gil, gp_session *session, const gp_thread *holder, uint32_t number,
                        uint32_t place, uint64_t to)
{
    uint64_t from = holder->since > session->start ? holder->since : session->start;
    gp_looks_settle(session, to);
    gp_charge charge = {.from = from, .holder = number, .place = place, .looked = gp_looks_most(session)};
    uint64_t ticks = to > from ? to - from : 0;
    if (__builtin_expect(is_one_of_them_gone(gil), 0)) {
        charge_each(gil, session, charge, holder, to);
        return;
    }
    if (ticks == 0)
        return;
    gp_charge *sum = find_charge(gil, session, &charge);
    sum->ticks += ticks;
    if (ticks > sum->longest) {
        sum->longest = ticks;
        sum->longest_from = from;
        sum->looked = charge.looked;
    }
}

void gp_gil_state_share_out(gp_gil_state *gil, gp_session *session)
{
    share_out(gil, session);
}

uint32_t gp_gil_state_place(gp_gil_state *gil, gp_session *session, uint32_t here)
{
    gp_thread *holder = gil->holder;
    share_out(gil, session);
    if (!session->wants_sites || holder == NULL || holder->state != GP_HOLD)
        return GP_ROW_NONE;
    gp_account *account = gp_gil_state_account(gil, session, holder);
    return account != NULL ? gp_attribution_place(session, account, &gil->places, here) : GP_ROW_NONE;
}

/* The hold that is under way is charged up to `now`, and no further. Returns its place. */
static uint32_t end_charges(gp_gil_state *gil, gp_session *session, uint32_t here, uint64_t now)
{
    uint32_t place = gp_gil_state_place(gil, session, here);
    if (place == GP_ROW_NONE)
        return place;
    uint32_t number = gp_gil_state_account(gil, session, gil->holder)->number;
    charge_hold(gil, session, gil->holder, number, place, now);
    share_out(gil, session);
    return place;
}

void gp_gil_state_charge_tags(gp_gil_state *gil, const gp_session *session, uint64_t now)
{
    if (session->tags == NULL || !session->running)
        return;
    if (gil->holder != NULL && gil->holder->state == GP_HOLD)
        gp_tag_state_hold(gil, gil->holder, now);
    gp_tag_state_settle(gil);
}

static void book_cpu(gp_session *session, gp_thread *thread, gp_account *account, gp_cpu_span cpu)
{
    uint64_t spent = gp_account_hold_cpu(session, thread, cpu.since, cpu.until);
    account->hold_cpu += spent;
    if (session->wants_sites && account->last_place != GP_ROW_NONE)
        session->places[account->last_place].hold_cpu += spent;
    if (session->starter == thread)
        session->starter = NULL;
}

static void fold_where_due(gp_gil_state *gil)
{
    for (gp_session *session = gil->sessions; session != NULL; session = session->next) {
        if (__builtin_expect(!gp_folding_is_due(session), 1))
            continue;
        share_out(gil, session); /* while those that hold still have their own numbers */
        gp_folding_run(session, gil->sessions, &gil->folding);
    }
}

/* The holder's looks belong to the place where it lets go. */
static void end_looks(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    if (gil->holder != thread) {
        gp_looks_forget_hold(gil);
        return;
    }
    for (gp_session *session = gil->sessions; session != NULL; session = session->next) {
        const gp_account *account = gp_gil_state_account(gil, session, thread);
        gp_looks_end_hold(session, account, account != NULL ? account->last_place : GP_ROW_NONE, now);
    }
    gil->looks_under_way = false;
}

/* ---- the steps ---- */

/* Book the end of a hold for its place, and charge it to those who waited for it. */
static inline void attribute(gp_gil_state *gil, gp_session *session, const gp_thread *thread,
                             gp_account *account, uint32_t number, uint64_t from, uint64_t to)
{
    uint32_t place = gp_attribution_place(session, account, &gil->places, number);
    gp_attribution_book_hold(session, place, gp_ticks_after(session->start, from, to));
    if (__builtin_expect(gil->waiters != NULL, 0))
        charge_hold(gil, session, thread, account->number, place, to);
}

static inline void book_hold(gp_gil_state *gil, gp_session *session, const gp_thread *thread,
                             gp_account *account, uint32_t place, uint64_t from, uint64_t to)
{
    gp_account_book_hold(session, account, from, to);
    gp_tag_state_book_end(session, thread, GP_HOLD, to);
    if (session->wants_sites)
        attribute(gil, session, thread, account, place, from, to);
    gp_account_record(session, GP_EVENT_HOLD, account, from, to);
}

/* The thread's taking was not seen: it can't have come before the last release, unless that is one of which
 * was known earlier. */
static void hold_since_last_release(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    uint64_t last = gil->last_release < now ? gil->last_release : now;
    uint64_t from = last > thread->since ? last : thread->since;
    if (thread->state == GP_WAIT)
        leave_waiters(gil, thread);
    settle(gil, thread, from);
    thread->since = from;
}

/* Threads may be read one by one. */
static inline void note_release(gp_gil_state *gil, uint64_t now)
{
    gil->last_release = now > gil->last_release ? now : gil->last_release;
}

void gp_gil_state_release(gp_gil_state *gil, gp_thread *thread, uint32_t place, bool forced, gp_cpu_span cpu,
                          uint64_t now)
{
    bool held = thread->state == GP_HOLD; /* else its taking was not seen */
    if (__builtin_expect(!held, 0))
        hold_since_last_release(gil, thread, now);
    GP_EACH_ACCOUNT (gil, thread, session, account) {
        book_hold(gil, session, thread, account, place, thread->since, now);
        account->forced_releases += forced;
        if (__builtin_expect(session->wants_cpu, 0))
            book_cpu(session, thread, account, cpu);
    }
    if (gil->waiters != NULL)
        book_contended(gil, thread, now);
    if (gil->wanting_tags != 0)
        gp_tag_state_hold(gil, thread, now);
    if (__builtin_expect(gil->looks_under_way, 0))
        end_looks(gil, thread, now);
    if (__builtin_expect(gil->pauses_under_way, 0))
        gp_pauses_end_hold(gil, thread, now);
    if (gil->holder == thread || !held)
        gil->holder = NULL;
    note_release(gil, now);
    thread->last_place = place;
    thread->state = forced ? GP_WAIT : GP_OFF;
    thread->since = now;
    if (forced)
        join_waiters(gil, thread);
}

/* What it waited for, if we hear of it late, is booked already, and can't be charged to it any more. */
static uint64_t not_charged_since(const gp_gil_state *gil, const gp_thread *thread, uint64_t asked)
{
    if (asked == GP_ASKED_EARLIER)
        return thread->since;
    return asked > gil->last_release ? asked : gil->last_release;
}

void gp_gil_state_ask(gp_gil_state *gil, gp_thread *thread, uint64_t asked)
{
    if (thread->state == GP_WAIT)
        return;
    asked = not_charged_since(gil, thread, asked);
    settle(gil, thread, asked);
    thread->state = GP_WAIT;
    thread->since = asked;
    join_waiters(gil, thread);
}

/* Open the accounts of the thread that takes the GIL. Where it let go before anybody wanted to know, nobody
 * has looked. */
static void open_accounts(gp_gil_state *gil, gp_thread *thread)
{
    uint32_t place = thread->last_place != GP_ROW_NONE ? thread->last_place : GP_UNSEEN;
    GP_EACH_ACCOUNT (gil, thread, session, account) {
        if (__builtin_expect(session->wants_sites && account->last_place == GP_ROW_NONE, 0))
            gp_attribution_place(session, account, &gil->places, place);
    }
}

/* It waited since thread->since. */
static void book_wait(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    bool handed = gil->last_release > thread->since;
    GP_EACH_ACCOUNT (gil, thread, session, account) {
        gp_account_book_wait(session, account, thread->since, now);
        gp_tag_state_end_wait(session, thread, now);
        account->acquisitions++;
        if (session->wants_sites)
            gp_attribution_book_wait(session, account, thread->since, now);
        gp_account_record(session, GP_EVENT_WAIT, account, thread->since, now);
        account->contended_acquisitions++;
        session->handoffs += handed;
    }
}

static void book_off(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    GP_EACH_ACCOUNT (gil, thread, session, account) {
        gp_account_book_off(session, account, thread->since, now);
        gp_tag_state_book(session, thread, GP_OFF, now);
        account->acquisitions++;
    }
}

void gp_gil_state_take(gp_gil_state *gil, gp_thread *thread, uint64_t asked, uint64_t now)
{
    open_accounts(gil, thread);
    if (__builtin_expect(gil->looks_under_way, 0) && thread->state != GP_HOLD)
        gp_looks_forget_hold(gil);
    if (__builtin_expect(gil->pauses_under_way, 0) && thread->state != GP_HOLD)
        gp_pauses_forget_hold(gil);
    gil->holder = thread;
    if (thread->state == GP_WAIT)
        leave_waiters(gil, thread);
    if (thread->state == GP_OFF && asked == GP_ASKED_AT_ONCE)
        book_off(gil, thread, now);
    else if (thread->state == GP_HOLD)
        now = thread->since; /* in a forked child, which takes the new GIL over the old one */
    else
        book_wait(gil, thread, now);
    thread->since = now;
    thread->state = GP_HOLD;
}

enum {
    SHORT_BITS = 32, /* ticks: about a second */
};

/* The place where the next holds end; NULL: none, without memory. */
static inline gp_place *find_place(const gp_gil_state *gil, gp_session *session, gp_account *account,
                                   uint32_t number)
{
    uint32_t place = gp_attribution_place(session, account, &gil->places, number);
    return __builtin_expect(place != GP_ROW_NONE, 1) ? &session->places[place] : NULL;
}

/* Book the first of the cycles, at most `most`, for which there is room in the timeline, up to one that does
 * not go forward in short steps without a wait, as nearly all do. As the steps do it, with less to ask;
 * `since` is in the session. Returns how many. Compiled for each case. */
static inline size_t book_cycles_for(const gp_gil_state *gil, gp_session *session, gp_account *account,
                                     uint64_t since, const gp_cycles *cycles, size_t most, bool sites,
                                     bool timeline)
{
    const gp_note *note = cycles->first, *end = note + most;
    const uint64_t begin = since, until = cycles->until, origin = session->origin;
    const gp_clock_rate rate = session->rate;
    uint64_t hold = 0, longest = account->longest_hold, at = UINT64_MAX;
    uint32_t number = (uint32_t)cycles->number;
    gp_interval event = {GP_EVENT_HOLD, account->number, account->last_place, 0, 0};
    uint64_t whose; /* the first two members of the event in one */
    memcpy(&whose, &event, sizeof whose);
    gp_interval *next = timeline ? gp_timeline_next(&session->timeline) : NULL;
    gp_place *place = NULL;
    for (; note != end; note++, number++) {
        uint64_t release = atomic_load_explicit(&note->release, memory_order_relaxed);
        uint64_t released = atomic_load_explicit(&note->released, memory_order_relaxed);
        uint64_t ticks = released - since, taken = note->taken;
        if (!gp_note_is_cycle(note, release, number) || (ticks - 1) >> SHORT_BITS != 0 || taken < released ||
            taken > until)
            break;
        if (sites && gp_release_place(release) != at) {
            at = gp_release_place(release);
            place = find_place(gil, session, account, gp_release_place(release));
            event.place = account->last_place;
            memcpy(&whose, &event, sizeof whose);
        }
        if (timeline) {
            memcpy(next, &whose, sizeof whose);
            next->start = since - origin;
            next++->end = released - origin;
        }
        hold += ticks;
        longest = ticks > longest ? ticks : longest;
        gp_hist_record_short(&account->holds, gp_clock_to_ns(rate, ticks));
        if (sites && __builtin_expect(place != NULL, 1)) {
            place->hold += ticks;
            place->releases++;
        } else if (sites) {
            session->sites_lost += ticks;
        }
        since = taken;
    }
    size_t count = (size_t)(note - cycles->first);
    if (timeline)
        gp_timeline_added(&session->timeline, next);
    account->longest_hold = longest;
    account->hold += hold;
    account->off += since - begin - hold;
    account->acquisitions += count;
    gp_tag_state_book_cycles(session, gp_thread_of(cycles->journal), hold, since - begin - hold, count);
    return count;
}

static size_t book_cycles(const gp_gil_state *gil, gp_session *session, gp_account *account, uint64_t since,
                          const gp_cycles *cycles, size_t most)
{
    if (session->wants_timeline)
        return session->wants_sites
                   ? book_cycles_for(gil, session, account, since, cycles, most, true, true)
                   : book_cycles_for(gil, session, account, since, cycles, most, false, true);
    return session->wants_sites ? book_cycles_for(gil, session, account, since, cycles, most, true, false)
                                : book_cycles_for(gil, session, account, since, cycles, most, false, false);
}

/* When the next look was taken, or the next pause began or ended. */
static inline uint64_t next_mark(const gp_gil_state *gil)
{
    uint64_t look = gp_looks_next(&gil->looks), pause = gp_pauses_next(&gil->pauses);
    return look < pause ? look : pause;
}

/* Book what was before the step. A pause that ends as the hold does belongs to it. */
static void book_marks(gp_gil_state *gil, const gp_step *step)
{
    gp_looks_book(gil, step->time - 1, step->kind == GP_STEP_RELEASE);
    gp_pauses_book(gil, step->kind == GP_STEP_RELEASE ? step->time : step->time - 1);
}

/* Whether nobody waits, nor wants to know more of a cycle than most do. */
static bool is_calm(const gp_gil_state *gil)
{
    return gil->waiters == NULL && gil->wanting_cpu == 0 && !gil->looks_under_way && !gil->pauses_under_way;
}

/* Book them for all sessions. Returns how many, as above. */
static size_t book_for_all(gp_gil_state *gil, gp_thread *thread, const gp_cycles *cycles, size_t count)
{
    for (const gp_session *session = gil->sessions; session != NULL; session = session->next)
        count = session->wants_timeline ? gp_timeline_room(&session->timeline, count) : count;
    GP_EACH_ACCOUNT (gil, thread, session, account)
        count = book_cycles(gil, session, account, thread->since, cycles, count);
    if (count != 0) {
        const gp_note *last = &cycles->first[count - 1];
        thread->since = last->taken;
        note_release(gil, atomic_load_explicit(&last->released, memory_order_relaxed));
    }
    return count;
}

/* Whether all sessions know the thread, and what it does now began in all of them. */
static bool is_known_to_all(const gp_gil_state *gil, const gp_thread *thread)
{
    for (const gp_session *session = gil->sessions; session != NULL; session = session->next)
        if (thread->since < session->start || gp_account_entry(session, thread) == NULL)
            return false;
    return gil->sessions != NULL;
}

static bool read_cycles(gp_gil_state *gil)
{
    gp_cycles cycles;
    if (!is_calm(gil))
        return false;
    size_t count = gp_stream_cycles(&gil->stream, &cycles);
    uint64_t mark = next_mark(gil);
    if (__builtin_expect(mark < cycles.until, 0))
        cycles.until = mark; /* the step after it must not be booked before */
    gp_thread *thread = count != 0 ? gp_thread_of(cycles.journal) : NULL;
    if (count == 0 || !is_known_to_all(gil, thread) ||
        (count = book_for_all(gil, thread, &cycles, count)) == 0)
        return false;
    gp_stream_skip(&gil->stream, &cycles, count);
    return true;
}

static void apply(gp_gil_state *gil, const gp_step *step)
{
    gp_thread *thread = gp_thread_of(step->journal);
    switch (step->kind) {
    case GP_STEP_RELEASE:
        gp_gil_state_release(gil, thread, step->place, step->forced,
                             gil->wanting_cpu != 0 ? *step->cpu : (gp_cpu_span){0}, step->time);
        return;
    case GP_STEP_ASK:
        gp_gil_state_ask(gil, thread, step->asked);
        return;
    case GP_STEP_TAKE:
        if (step->unseen_before)
            thread->last_place = step->place;
        gp_gil_state_take(gil, thread, step->asked, step->time);
        return;
    case GP_STEP_TAG:
        gp_tag_state_change(gil, thread, step->place, step->time);
        return;
    }
}

static void read_thread(gp_gil_state *gil, gp_thread *thread, uint64_t until)
{
    gp_step step;
    gp_cycles cycles;
    for (;;) {
        size_t count = gp_stream_cycles_of(&thread->journal, until, &cycles);
        if (count != 0)
            count = book_for_all(gil, thread, &cycles, count);
        if (count != 0)
            gp_stream_skip_of(&cycles, count);
        else if (gp_stream_next_of(&thread->journal, until, &step))
            apply(gil, &step);
        else
            return;
    }
}

/* Whether what several journals tell can be booked one by one. */
static bool may_read_by_thread(const gp_gil_state *gil)
{
    if (gil->stream.heap_size < 2 || !is_calm(gil))
        return false;
    for (size_t i = 0; i < gil->stream.heap_size; i++)
        if (!is_known_to_all(gil, gp_thread_of(gil->stream.heap[i].journal)))
            return false;
    return true;
}

/* As long as nobody waits, and nobody has looked: which costs a third of what steps cost. */
static void read_by_thread(gp_gil_state *gil)
{
    gp_stream *stream = &gil->stream;
    uint64_t until = gp_stream_calm(stream), mark = next_mark(gil), last = 0;
    gp_thread *holder = gil->holder;
    until = mark <= until ? mark - 1 : until;
    for (size_t i = 0; i < stream->heap_size; i++) {
        gp_thread *thread = gp_thread_of(stream->heap[i].journal);
        read_thread(gil, thread, until);
        last = thread->since > last ? thread->since : last;
        if (thread->state == GP_HOLD && (holder == NULL || thread->since > holder->since))
            holder = thread;
    }
    gil->holder = holder != NULL && holder->state == GP_HOLD ? holder : NULL;
    gp_stream_calmed(stream, gil->holder != NULL ? &gil->holder->journal : NULL, last);
}

/* A reader without the GIL may tell of them later. */
static void tell_losses(gp_gil_state *gil)
{
    uint64_t lost = __atomic_load_n(&gil->notes_lost, __ATOMIC_RELAXED);
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        session->lost += lost - gil->losses_told;
    gil->losses_told = lost;
}

bool gp_gil_state_read(gp_gil_state *gil, uint64_t limit)
{
    gp_step step;
    bool whole = gp_stream_begin(&gil->stream, limit);
    for (size_t steps = 0;; steps++) {
        if (steps % (gil->stream.heap_size + 1) == 0 && may_read_by_thread(gil))
            read_by_thread(gil);
        if (read_cycles(gil))
            continue;
        if (!gp_stream_next(&gil->stream, &step))
            break;
        if (__builtin_expect(next_mark(gil) <= step.time, 0))
            book_marks(gil, &step);
        apply(gil, &step);
    }
    gp_looks_book(gil, limit, false);
    if (__builtin_expect(gil->pauses_under_way || gp_pauses_next(&gil->pauses) <= limit, 0))
        gp_pauses_book(gil, limit);
    gp_stream_end(&gil->stream);
    tell_losses(gil);
    fold_where_due(gil);
    return whole;
}

/* ---- sessions ---- */

uint64_t gp_gil_state_contended(const gp_session *session, uint64_t now)
{
    const gp_gil_state *gil = session->gil_state;
    if (!session->running || gil->holder == NULL)
        return session->contended;
    return session->contended + wanted_ticks(gil, session, gil->holder, now);
}

void gp_gil_state_adopt(const gp_gil_state *gil, gp_thread *thread, uint64_t now, bool holds)
{
    gp_journal_begin(&thread->journal, thread->notes, thread->cpu_spans, gil->generation, holds);
    thread->places_since = 0;
    thread->gil_state = gil;
    thread->state = GP_OFF;
    thread->last_place = GP_ROW_NONE;
    thread->tag = GP_TAG_NONE;
    thread->tag_since = 0;
    thread->born = now;
    thread->since = now;
}

void gp_gil_state_reset(gp_gil_state *gil)
{
    gp_stream_restart(&gil->stream, NULL, GP_NOT_WATCHED);
    gp_places_clear(&gil->places);
    gil->wanting_sites = gil->wanting_stacks = gil->wanting_cpu = gil->wanting_looks = 0;
    gil->wanting_tags = 0;
    gil->looks_under_way = false;
    gp_looks_discard(&gil->looks);
    gp_pauses_forget(gil);
    gil->holder = NULL;
    gil->last_release = 0;
    forget_waiters(gil);
}

void gp_gil_state_start(gp_gil_state *gil, gp_session *session, gp_thread *holder)
{
    if (gil->sessions == NULL) {
        gp_stream_restart(&gil->stream, holder != NULL ? &holder->journal : NULL, gil->generation);
        forget_waiters(gil);
        gil->wanting_sites = 0;
        gil->wanting_stacks = 0;
        gil->wanting_cpu = 0;
        gil->wanting_looks = 0;
        gil->wanting_tags = 0;
        gil->looks_under_way = false;
        gp_pauses_forget(gil);
        gil->last_release = session->start; /* at the earliest */
        gil->holder = holder;
        if (holder != NULL) {
            holder->state = GP_HOLD;
            holder->since = session->start;
        }
    }
    if (session->tags != NULL)
        gp_tag_state_start(gil, session->start);
    session->running = true;
    session->gil_state = gil;
    gil->wanting_sites += session->wants_sites;
    gil->wanting_stacks += session->wants_stacks;
    gil->wanting_cpu += session->wants_cpu;
    gil->wanting_looks += session->wants_looks;
    gil->wanting_tags += session->tags != NULL;
    session->next = gil->sessions;
    __atomic_store_n(&gil->sessions, session, __ATOMIC_RELAXED);
    gp_gil_state_change(gil);
    if (holder != NULL)
        (void)gp_account_of(session, holder); /* accounts come in the order in which threads are met */
}

bool gp_gil_state_concerns(const gp_gil_state *gil, const gp_session *session, const gp_thread *thread)
{
    /* not later than: a thread whose last stamp equals the start may have an account, to be closed */
    return thread->gil_state == gil && thread->journal.generation == gil->generation &&
           gp_thread_end_of(thread, UINT64_MAX) >= session->start;
}

/* What is under way, for the places and the timeline. `place` is the holder's. */
static void close_places(gp_session *session, const gp_thread *thread, gp_account *account, uint32_t place,
                         uint64_t until)
{
    if (thread->state == GP_OFF)
        return;
    gp_account_record(session, thread->state == GP_HOLD ? GP_EVENT_HOLD : GP_EVENT_WAIT, account,
                      thread->since, until);
    if (!session->wants_sites)
        return;
    if (thread->state == GP_WAIT)
        gp_attribution_book_wait(session, account, thread->since, until);
    else if (place != GP_ROW_NONE) {
        session->places[place].hold += gp_ticks_after(session->start, thread->since, until);
        session->places[place].hold_cpu +=
            gp_account_hold_cpu(session, thread, gp_journal_cpu_since(&thread->journal), session->cpu_now);
    }
}

void gp_gil_state_stop(gp_gil_state *gil, gp_session *session, gp_thread *const *threads, size_t count,
                       uint32_t here, uint64_t now)
{
    uint32_t place = end_charges(gil, session, here, now);
    gp_looks_end_hold(session, place != GP_ROW_NONE ? gp_gil_state_account(gil, session, gil->holder) : NULL,
                      place, now);
    gp_pauses_stop(gil, session, place, now);
    gp_gil_state_charge_tags(gil, session, now);
    session->stop = now;
    gil->wanting_sites -= session->wants_sites;
    gil->wanting_stacks -= session->wants_stacks;
    gil->wanting_cpu -= session->wants_cpu;
    gil->wanting_looks -= session->wants_looks;
    gil->wanting_tags -= session->tags != NULL;
    gp_gil_state_change(gil);
    for (size_t i = 0; i < count; i++) {
        if (!gp_gil_state_concerns(gil, session, threads[i]))
            continue;
        gp_account *account = gp_gil_state_account(gil, session, threads[i]);
        if (account == NULL || account == session->ended)
            continue; /* it was folded */
        gp_account_close(session, account, threads[i], gp_thread_end_of(threads[i], now));
        gp_tag_state_book(session, threads[i], threads[i]->state, gp_thread_end_of(threads[i], now));
        close_places(session, threads[i], account, place, gp_thread_end_of(threads[i], now));
        if (account->last > session->stop)
            session->stop = account->last; /* by the stamp of another core */
    }
    session->contended = gp_gil_state_contended(session, now);
    session->running = false;
    if (gil->sessions == session) {
        __atomic_store_n(&gil->sessions, session->next, __ATOMIC_RELAXED);
        if (session->next == NULL)
            atomic_store(&gil->generation, GP_NOT_WATCHED);
        return;
    }
    for (gp_session *other = gil->sessions; other != NULL; other = other->next)
        if (other->next == session)
            other->next = session->next;
}

void gp_gil_state_copy_account(const gp_session *session, const gp_account *account, uint64_t now,
                               gp_account *copy)
{
    gp_account_copy(session, account, copy);
    if (session->running && account != session->ended)
        gp_account_close(session, copy, account->thread, gp_thread_end_of(account->thread, now));
}

/* The parent's threads wait for the forking one no longer. */
static void charge_at_fork(gp_gil_state *gil, const gp_thread *self, uint32_t here, uint64_t now)
{
    if (gil->waiters == NULL || gil->wanting_sites == 0 || gil->holder != self)
        return;
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        end_charges(gil, session, here, now);
}

/* It is charged, and waits for nothing that the child does. */
static void end_wait_at_fork(gp_gil_state *gil, gp_thread *thread, uint64_t now)
{
    GP_EACH_ACCOUNT (gil, thread, session, account) {
        if (account == session->ended)
            continue; /* it was folded */
        gp_account_book_wait(session, account, thread->since, now);
        gp_tag_state_book(session, thread, GP_WAIT, now);
        if (session->wants_sites)
            gp_attribution_book_wait(session, account, thread->since, now);
    }
    thread->state = GP_OFF;
    thread->since = now;
}

void gp_gil_state_forked(gp_gil_state *gil, gp_thread *self, gp_thread *const *threads, size_t count,
                         uint32_t here, uint64_t now)
{
    share_out_all(gil);
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        gp_gil_state_charge_tags(gil, session, now);
    charge_at_fork(gil, self, here, now);
    if (gil->waiters != NULL && gil->holder != NULL)
        book_contended(gil, gil->holder, now);
    for (gp_session *session = gil->sessions; session != NULL; session = session->next)
        session->starter = NULL;
    if (self != NULL && self->state == GP_HOLD)
        atomic_store_explicit(&self->journal.cpu_since, 1,
                              memory_order_relaxed); /* the child's CPU time begins anew */
    for (size_t i = 0; i < count; i++) {
        if (threads[i] == self || threads[i]->gil_state != gil ||
            threads[i]->journal.generation != gil->generation)
            continue;
        if (threads[i]->state == GP_WAIT)
            end_wait_at_fork(gil, threads[i], gp_thread_end_of(threads[i], now));
        if (atomic_load_explicit(&threads[i]->exited, memory_order_relaxed))
            continue;
        atomic_store_explicit(&threads[i]->ended_at, now, memory_order_relaxed);
        atomic_store_explicit(&threads[i]->exited, true, memory_order_release);
    }
    forget_waiters(gil);
    if (self != NULL && self->state == GP_WAIT) /* forked by a signal handler, perhaps */
        join_waiters(gil, self);
    if (gil->holder != self) {
        gil->holder = NULL;
        gp_looks_forget_hold(gil);
        gp_pauses_forget_hold(gil);
    }
}
