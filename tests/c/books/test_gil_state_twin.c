/* The state of a GIL against a slow twin: random threads take and give up a GIL as CPython does, and note it
 * in their journals as the hooks do (trace/gp_wrappers.c); the stream is read at random moments, up to random
 * limits, in single steps or in whole cycles; sessions begin and end among all this. What has been booked
 * must be what the twin finds by writing every interval down and adding them up at the end: thread by thread,
 * and all that were folded (gp_folding.h) together. */

#include "books/gp_gil_state.h"

#include <stdlib.h>
#include <string.h>

#include "gp_test.h"
#include "journals.h"
#include "recording/gp_chunk.h"
#include "recording/gp_reader.h"

enum {
    ACTORS = 12,
    SESSIONS = 3,
    LOG = 4096,
    ALL_LOG = 2 * LOG,
    STEPS = 800,
    BIRTHS = 6,
    STACKS = 6,
    TAGS = 4
};

/* All on one thread, of which TSan has nothing to say; with a sanitizer it takes up to ten times as long. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SCHEDULES = 300 };
#else
enum { SCHEDULES = 3000 };
#endif

/* Where threads let the GIL go: no Python frame, some stacks, one that is cut. Innermost level first. */
static const char code_a, code_b;
static const gp_site_key levels_a[] = {{&code_a, 2}, {&code_b, 4}, {&code_a, 8}};
static const gp_site_key levels_b[] = {{&code_b, 4}, {&code_b, 4}, {&code_a, 8}};
static const gp_call_stack stacks[STACKS] = {
    {NULL, 0, false},     {levels_a, 1, false}, {levels_a, 3, false},
    {levels_b, 1, false}, {levels_b, 3, false}, {levels_b, 2, true},
};

/* ---- the twin's diary ---- */

typedef enum { AWAY, WAITING, HOLDING } span_kind;

/* How much of a stack was noted. */
typedef enum { NOTHING, SITE, WHOLE } noted_as;

typedef struct {
    span_kind kind;
    uint64_t from, to; /* to: not yet valid in the last one */
    unsigned stack;    /* where a hold ended, or the last one before a wait */
    noted_as noted;
} twin_span;

typedef struct {
    unsigned at;
    bool take, waited, forced; /* not a take: a release */
} twin_turn;

/* What is held or wanted, whoever does so; `ended` numbers the event, 0: not yet. */
typedef struct {
    uint64_t from, to;
    unsigned ended;
    unsigned actor, stack;
} stretch;

typedef enum {
    UNBORN,
    OUT,
    MUST_TAKE,
    TELLS_LATE, /* it has looked at the clock, to say that it waits */
    ASKS_TO_TAKE,
    WAITS,
    IN,
    ASKS_TO_DROP,
    TO_SWITCH,
    SWITCHES,
    GONE
} place;

typedef struct {
    gp_thread thread; /* first: found from its address */
    place place;
    bool early, seen, registered, forced;
    uint64_t ask; /* when it looked at the clock */
    uint64_t birth, ended;
    unsigned retired; /* the event; 0: not yet */
    unsigned stack;   /* of its last release */
    noted_as noted;
    size_t wait; /* the open entry in `wants` */
    twin_span spans[LOG];
    twin_turn turns[LOG];
    size_t span_count, turn_count;
    struct {
        uint64_t from;
        uint32_t tag;
    } tags[LOG];
    size_t tag_count;
} twin_actor;

typedef struct {
    gp_session *session;
    unsigned begun;
    uint64_t recorded[2], last; /* of its timeline: ticks of each kind, and the last end */
} twin_watch;

static struct {
    uint64_t now, random;
    unsigned event;
    gp_gil_state gil;
    twin_actor actors[ACTORS];
    gp_thread *threads[ACTORS];
    size_t thread_count;
    twin_actor *holder, *last_holder;
    twin_watch watches[SESSIONS];
    uint64_t last_id;
    uint32_t generation;
    unsigned mortality;    /* one step in so many, of threads without the GIL, is their last */
    unsigned restlessness; /* one in so many, of threads with it, begins, reads or ends a session */
    unsigned curiosity;    /* before one step in so many somebody reads */
    stretch holds[ALL_LOG], wants[ALL_LOG];
    uint64_t drops[ALL_LOG];
    unsigned handed[ALL_LOG];
    bool swapped; /* the two code objects have gone, and come again each at the other's address */
    size_t hold_count, want_count, drop_count, handed_count;
    uint64_t booked_until; /* the last release that was read */
} world;

static size_t folded_rows, retired_threads, late_askings, overtaken_askings; /* in all schedules */

static uint64_t draw(uint64_t below)
{
    world.random ^= world.random << 13;
    world.random ^= world.random >> 7;
    world.random ^= world.random << 17;
    return world.random % below;
}

/* One stamp in three equals the one before. */
static uint64_t tick(void)
{
    world.now += draw(3) == 0 ? 0 : draw(200);
    return world.now;
}

/* As the GIL's state has it: the same code at the addresses of now. Valid until the next call. */
static gp_call_stack *addressed(unsigned stack)
{
    static gp_site_key keys[3];
    static gp_call_stack is;
    is = stacks[stack];
    for (size_t i = 0; i < is.depth; i++) {
        keys[i] = is.keys[i];
        if (world.swapped)
            keys[i].code = keys[i].code == &code_a ? &code_b : &code_a;
    }
    is.keys = keys;
    return &is;
}

/* What the code is, whatever its address. */
static void met(gp_site_key key, gp_buffer *description)
{
    gp_buffer_number(description, key.code != NULL ? GP_PLACE_PYTHON : GP_PLACE_DEEPER);
    if (key.code == NULL)
        return;
    gp_buffer_number(description, (key.code == &code_b) != world.swapped);
    gp_buffer_number(description, (uint64_t)key.instruction);
}

static void swap_codes(void)
{
    gp_places_forget(&world.gil.places, &code_a);
    gp_places_forget(&world.gil.places, &code_b);
    gp_gil_state_change(&world.gil);
    world.swapped = !world.swapped;
}

static bool hooked(void)
{
    return gp_gil_state_running(&world.gil);
}

static unsigned number_of(const twin_actor *actor)
{
    return (unsigned)(actor - world.actors);
}

static void turn_to(twin_actor *actor, span_kind kind, uint64_t from)
{
    if (actor->span_count != 0)
        actor->spans[actor->span_count - 1].to = from;
    actor->spans[actor->span_count++] = (twin_span){kind, from, 0, actor->stack, actor->noted};
}

static twin_span *open_span(twin_actor *actor)
{
    return &actor->spans[actor->span_count - 1];
}

static void want(twin_actor *actor, uint64_t from)
{
    actor->wait = world.want_count;
    world.wants[world.want_count++] = (stretch){from, 0, 0, number_of(actor), 0};
}

/* ---- readings ---- */

static void apply(const gp_step *step)
{
    gp_thread *thread = gp_thread_of(step->journal);
    if (step->kind == GP_STEP_TAKE && step->unseen_before)
        thread->last_place = step->place;
    if (step->kind == GP_STEP_RELEASE)
        gp_gil_state_release(&world.gil, thread, step->place, step->forced, (gp_cpu_span){0}, step->time);
    else if (step->kind == GP_STEP_ASK)
        gp_gil_state_ask(&world.gil, thread, step->asked);
    else if (step->kind == GP_STEP_TAG)
        gp_tag_state_change(&world.gil, thread, step->place, step->time);
    else
        gp_gil_state_take(&world.gil, thread, step->asked, step->time);
}

/* What gp_gil_state_read does, without a hurry. */
static void read_step_by_step(uint64_t limit)
{
    gp_step step;
    CHECK(gp_stream_begin(&world.gil.stream, limit));
    while (gp_stream_next(&world.gil.stream, &step))
        apply(&step);
    gp_stream_end(&world.gil.stream);
}

/* As the recorder does: what comes first ended first. */
static void record(twin_watch *watch)
{
    gp_timeline taken = {0};
    gp_buffer out = {0};
    uint64_t end = watch->last;
    gp_timeline_take(&watch->session->timeline, &taken);
    if (gp_timeline_put(&taken, &end, 0, &out) != 0) {
        gp_events events = gp_events_over(out.bytes + GP_CHUNK_HEADER, out.size - GP_CHUNK_HEADER);
        for (uint64_t i = 0; i < events.count; i++) {
            gp_interval event;
            gp_events_next(&events, &event);
            CHECK(event.end >= watch->last);
            watch->last = event.end;
            watch->recorded[event.kind] += event.end - event.start;
        }
    }
    gp_buffer_free(&taken.events);
    gp_buffer_free(&out);
}

static void read_up_to(uint64_t limit)
{
    if (!hooked())
        return;
    for (size_t i = 0; i < world.drop_count; i++)
        if (world.drops[i] <= limit && world.drops[i] > world.booked_until)
            world.booked_until = world.drops[i];
    if (draw(2) == 0)
        read_step_by_step(limit);
    else
        gp_gil_state_read(&world.gil, limit);
    for (int i = 0; i < SESSIONS; i++)
        if (world.watches[i].session != NULL && world.watches[i].session->wants_timeline)
            record(&world.watches[i]);
}

/* Somebody reads without the GIL. */
static void peep(void)
{
    uint64_t limits[] = {gp_stream_known_until(&world.gil.stream), world.now, world.now - draw(1000)};
    read_up_to(limits[draw(3)]);
}

/* ---- what the hooks do ---- */

/* `asked` as in a note. */
static void see(twin_actor *actor, uint64_t asked, bool holds)
{
    if (actor->seen)
        return;
    actor->seen = true;
    actor->birth = actor->early ? 0 : tick();
    actor->span_count = actor->turn_count = 0;
    actor->noted = NOTHING;
    turn_to(actor, AWAY, actor->birth);
    if (!actor->registered) {
        actor->registered = true;
        actor->thread.index = (uint32_t)world.thread_count;
        world.threads[world.thread_count++] = &actor->thread;
    }
    gp_gil_state_adopt(&world.gil, &actor->thread, actor->birth, holds);
    actor->thread.journal.asking = asked;
    actor->thread.tag = 1 + (uint32_t)draw(TAGS); /* each has one, so that all is booked for some tag */
    actor->tags[0].from = 0;
    actor->tags[0].tag = actor->thread.tag;
    actor->tag_count = 1;
}

/* With the GIL. */
static void change_tag(twin_actor *actor)
{
    if (!hooked() || actor->tag_count == LOG)
        return;
    uint64_t now = tick();
    uint32_t tag = 1 + (uint32_t)draw(TAGS);
    actor->tags[actor->tag_count].from = now;
    actor->tags[actor->tag_count++].tag = tag;
    if (!gp_journal_has_room(&actor->thread.journal))
        read_up_to(now);
    gp_journal_tag(&actor->thread.journal, tag, now);
}

static uint32_t where(twin_actor *actor)
{
    gp_gil_state *gil = &world.gil;
    const gp_call_stack *stack = addressed(actor->stack);
    bool lasting;
    actor->noted = gil->wanting_stacks != 0 ? WHOLE : gil->wanting_sites != 0 ? SITE : NOTHING;
    if (actor->noted == NOTHING)
        return GP_ROW_NONE;
    if (stack->depth == 0)
        return GP_NO_FRAME;
    if (actor->noted == SITE)
        return gp_places_site(&gil->places, stack->keys[0], &lasting);
    return gp_places_stack(&gil->places, stack);
}

static void tell_of_wait(twin_actor *actor, uint64_t asked)
{
    bool stale = !hooked() || !actor->seen;
    uint64_t booked = world.booked_until;
    journals_ask(&world.gil, &actor->thread, asked);
    overtaken_askings += stale;
    if (stale || open_span(actor)->kind == WAITING)
        return;
    late_askings += asked != GP_ASKED_EARLIER && asked < booked;
    uint64_t from = asked > booked ? asked : booked;
    turn_to(actor, WAITING, asked == GP_ASKED_EARLIER ? actor->birth : from);
    want(actor, from);
}

/* The thread finds the GIL taken. */
static void wait_for_gil(twin_actor *actor)
{
    actor->place = WAITS;
    if (!hooked())
        return;
    see(actor, GP_ASKED_UNSEEN, false);
    uint64_t asking = actor->thread.journal.asking;
    if (asking <= GP_ASKED_AT_ONCE)
        tell_of_wait(actor, asking == GP_ASKED_UNSEEN ? GP_ASKED_EARLIER : tick());
}

static void note_handoff(uint64_t since)
{
    for (size_t i = 0; i < world.drop_count; i++)
        if (world.drops[i] > since) {
            world.handed[world.handed_count++] = world.event;
            return;
        }
}

/* Openings make it due, but there are not enough of them in a schedule. */
static void make_folding_due(void)
{
    for (int i = 0; i < SESSIONS; i++) {
        gp_session *session = world.watches[i].session;
        if (session != NULL && session->keep != GP_ACCOUNTS_KEPT)
            session->opened++;
    }
}

static void take_gil(twin_actor *actor)
{
    /* no two threads take it in one tick of the clock: what comes between takes longer */
    uint64_t now = tick() + (world.last_holder != actor);
    world.now = now;
    actor->place = IN;
    world.holder = world.last_holder = actor;
    if (!hooked())
        return;
    world.event++;
    see(actor, GP_ASKED_UNSEEN, false);
    bool waited = true;
    uint64_t asking = actor->thread.journal.asking;
    if (open_span(actor)->kind == WAITING) {
        world.wants[actor->wait].ended = world.event;
        world.wants[actor->wait].to = now;
    } else {
        waited = asking == GP_ASKED_UNSEEN;
        if (waited)
            turn_to(actor, WAITING, actor->birth);
    }
    uint32_t at = actor->thread.journal.fresh ? where(actor) : GP_ROW_NONE;
    open_span(actor)->noted = actor->noted;
    if (waited)
        note_handoff(open_span(actor)->from);
    turn_to(actor, HOLDING, now);
    actor->turns[actor->turn_count++] = (twin_turn){.at = world.event, .take = true, .waited = waited};
    world.holds[world.hold_count++] = (stretch){now, 0, 0, number_of(actor), 0};
    make_folding_due();
    if (!gp_journal_has_room(&actor->thread.journal))
        read_up_to(now);
    journals_take(&world.gil, &actor->thread, at, now);
}

static bool somebody_waits(void)
{
    for (int i = 0; i < ACTORS; i++)
        if (world.actors[i].place == WAITS)
            return true;
    return false;
}

/* Before it asks for the mutex. */
static void note_release(twin_actor *actor)
{
    uint64_t now = tick();
    actor->forced = draw(3) == 0;
    actor->stack = (unsigned)draw(STACKS);
    if (!hooked())
        return;
    world.event++;
    uint32_t at = where(actor);
    open_span(actor)->stack = actor->stack;
    open_span(actor)->noted = actor->noted;
    turn_to(actor, actor->forced ? WAITING : AWAY, now);
    if (actor->forced)
        want(actor, now);
    actor->turns[actor->turn_count++] = (twin_turn){.at = world.event, .forced = actor->forced};
    world.holds[world.hold_count - 1].to = now;
    world.holds[world.hold_count - 1].ended = world.event;
    world.holds[world.hold_count - 1].stack = actor->stack;
    world.drops[world.drop_count++] = now;
    journals_release(&world.gil, &actor->thread, at, actor->forced, now);
}

static void drop_gil(twin_actor *actor)
{
    actor->place = somebody_waits() && draw(2) == 0 ? TO_SWITCH : actor->forced ? MUST_TAKE : OUT;
    world.holder = NULL;
}

static void let_go(twin_actor *actor)
{
    note_release(actor);
    if (draw(3) == 0)
        actor->place = ASKS_TO_DROP;
    else
        drop_gil(actor);
}

static void go_on_taking(twin_actor *actor)
{
    (world.holder == NULL ? take_gil : wait_for_gil)(actor);
}

static void ask_for_gil(twin_actor *actor)
{
    if (hooked()) {
        see(actor, GP_ASKED_AT_ONCE, false);
        journals_begin_to_take(&actor->thread);
    }
    if (draw(3) != 0) {
        go_on_taking(actor);
        return;
    }
    actor->place = ASKS_TO_TAKE; /* the mutex is taken */
    if (!hooked())
        return;
    actor->ask = tick();
    if (draw(3) == 0)
        actor->place = TELLS_LATE;
    else
        tell_of_wait(actor, actor->ask);
}

/* Many cycles while nobody asks for it: of a few ticks each. */
static void spin(twin_actor *actor)
{
    size_t room = LOG - actor->span_count;
    for (uint64_t cycles = room > 400 && world.hold_count < LOG ? draw(80) : 0; cycles > 0; cycles--) {
        note_release(actor);
        drop_gil(actor);
        if (hooked())
            journals_begin_to_take(&actor->thread);
        take_gil(actor);
    }
}

static void begin_switch(twin_actor *actor)
{
    if (world.last_holder != actor) {
        actor->place = actor->forced ? MUST_TAKE : OUT;
        return;
    }
    actor->place = SWITCHES;
}

static void end_switch(twin_actor *actor)
{
    if (world.last_holder != actor)
        actor->place = actor->forced ? MUST_TAKE : OUT;
}

static void leave(twin_actor *actor)
{
    actor->place = GONE;
    actor->ended = tick();
    if (!actor->registered)
        return;
    gp_thread_exit(&actor->thread, actor->ended);
}

/* ---- the comparison ---- */

/* Returns whether it times an acquisition. */
static bool add_span(gp_account *sum, const gp_session *session, const twin_span *span, uint64_t to,
                     bool open)
{
    uint64_t from = span->from > session->start ? span->from : session->start;
    uint64_t length = to > from ? to - from : 0;
    if (span->kind == AWAY) {
        sum->off += length;
    } else if (span->kind == HOLDING) {
        sum->hold += length;
        sum->longest_hold = length > sum->longest_hold ? length : sum->longest_hold;
        sum->holds.counts[gp_hist_index(length)]++;
    } else if (open || to > session->start) {
        sum->wait += length;
        sum->longest_wait = length > sum->longest_wait ? length : sum->longest_wait;
        sum->waits.counts[gp_hist_index(length)]++;
        return !open;
    }
    return false;
}

/* A hold that ended before the session began is none of its business, however late the books are opened. */
static bool is_over(const twin_actor *actor, size_t n, const twin_watch *watch)
{
    if (actor->spans[n].kind != HOLDING || n + 1 == actor->span_count)
        return false;
    size_t drops = 0, wanted = 0;
    for (size_t i = 0; i <= n; i++)
        wanted += actor->spans[i].kind == HOLDING;
    /* the thread that began the first session had its first hold without a take */
    for (size_t i = 0; i < actor->turn_count; i++)
        if (!actor->turns[i].take && ++drops == wanted)
            return actor->turns[i].at <= watch->begun;
    return false;
}

static void twin_account(const twin_actor *actor, const twin_watch *watch, uint64_t now, gp_account *sum)
{
    const gp_session *session = watch->session;
    memset(sum, 0, sizeof *sum);
    sum->first = actor->birth > session->start ? actor->birth : session->start;
    sum->last = actor->place == GONE ? actor->ended : now;
    uint64_t timed = 0;
    for (size_t i = 0; i < actor->span_count; i++) {
        bool open = i + 1 == actor->span_count;
        if (!is_over(actor, i, watch))
            timed += add_span(sum, session, &actor->spans[i], open ? sum->last : actor->spans[i].to, open);
    }
    for (size_t i = 0; i < actor->turn_count; i++) {
        const twin_turn *turn = &actor->turns[i];
        if (turn->at <= watch->begun)
            continue;
        sum->acquisitions += turn->take;
        sum->contended_acquisitions += turn->waited;
        sum->releases += !turn->take;
        sum->forced_releases += turn->forced;
    }
    /* acquisitions that were not timed count as waits of 0 */
    sum->waits.counts[0] += sum->acquisitions - timed;
}

static void compare_accounts(const gp_account *is, const gp_account *should)
{
    CHECK_EQUAL(is->first, should->first);
    CHECK_EQUAL(is->last, should->last);
    CHECK_EQUAL(is->hold, should->hold);
    CHECK_EQUAL(is->wait, should->wait);
    CHECK_EQUAL(is->off, should->off);
    CHECK_EQUAL(is->hold + is->wait + is->off, is->last - is->first);
    CHECK_EQUAL(is->longest_hold, should->longest_hold);
    CHECK_EQUAL(is->longest_wait, should->longest_wait);
    CHECK_EQUAL(is->acquisitions, should->acquisitions);
    CHECK_EQUAL(is->contended_acquisitions, should->contended_acquisitions);
    CHECK_EQUAL(is->releases, should->releases);
    CHECK_EQUAL(is->forced_releases, should->forced_releases);
    CHECK(memcmp(&is->holds, &should->holds, sizeof is->holds) == 0);
    CHECK(memcmp(&is->waits, &should->waits, sizeof is->waits) == 0);
}

/* Whether the GIL was wanted while it was held. What is not over lasts until `now`. */
static bool overlap_in_time(const stretch *hold, const stretch *wait, uint64_t now)
{
    return wait->from < (hold->ended != 0 ? hold->to : now) && (wait->ended == 0 || wait->to > hold->from);
}

/* Until when a wait lasted: a thread that is gone waits no longer. */
static uint64_t twin_end_of(const stretch *want, uint64_t now)
{
    const twin_actor *actor = &world.actors[want->actor];
    if (want->ended != 0)
        return want->to;
    return actor->place == GONE ? actor->ended : now;
}

/* How much of [from, to) somebody wanted it: piece by piece, each of which the same threads waited for. */
static uint64_t twin_wanted(uint64_t from, uint64_t to, uint64_t now)
{
    uint64_t sum = 0;
    for (uint64_t next; from < to; from = next) {
        bool wanted = false;
        next = to;
        for (size_t w = 0; w < world.want_count; w++) {
            uint64_t begin = world.wants[w].from, end = twin_end_of(&world.wants[w], now);
            wanted |= begin <= from && from < end;
            next = begin > from && begin < next ? begin : next;
            next = end > from && end < next ? end : next;
        }
        sum += wanted ? next - from : 0;
    }
    return sum;
}

static uint64_t twin_contended(const twin_watch *watch, uint64_t now)
{
    uint64_t sum = 0;
    for (size_t h = 0; h < world.hold_count; h++) {
        const stretch *hold = &world.holds[h];
        uint64_t to = hold->ended != 0 ? hold->to : now, start = watch->session->start;
        sum += twin_wanted(hold->from > start ? hold->from : start, to, now);
    }
    return sum;
}

static size_t twin_handoffs(const twin_watch *watch)
{
    size_t count = 0;
    for (size_t i = 0; i < world.handed_count; i++)
        count += world.handed[i] > watch->begun;
    return count;
}

static bool concerned(const twin_actor *actor, const twin_watch *watch)
{
    return actor->seen && (actor->place != GONE || actor->ended >= watch->session->start) &&
           (actor->retired == 0 || actor->retired > watch->begun);
}

static gp_account *account_of(const gp_session *session, const gp_thread *thread)
{
    for (size_t n = 0; n < session->account_count; n++)
        if (gp_account_nth(session, n)->merged != 0 && gp_account_nth(session, n)->thread == thread)
            return gp_account_nth(session, n);
    return NULL;
}

static bool is_folded(const twin_actor *actor, const twin_watch *watch)
{
    const gp_session *session = watch->session;
    if (session->ended == NULL || !concerned(actor, watch))
        return false;
    return actor->retired != 0 || gp_account_entry(session, &actor->thread) == session->ended;
}

static void add_account(gp_account *sum, const gp_account *one)
{
    sum->merged++;
    sum->last += one->last - one->first;
    sum->hold += one->hold;
    sum->wait += one->wait;
    sum->off += one->off;
    sum->longest_hold = one->longest_hold > sum->longest_hold ? one->longest_hold : sum->longest_hold;
    sum->longest_wait = one->longest_wait > sum->longest_wait ? one->longest_wait : sum->longest_wait;
    sum->acquisitions += one->acquisitions;
    sum->contended_acquisitions += one->contended_acquisitions;
    sum->releases += one->releases;
    sum->forced_releases += one->forced_releases;
    gp_hist_merge(&sum->holds, &one->holds);
    gp_hist_merge(&sum->waits, &one->waits);
}

static void compare_ended(const gp_session *session, uint64_t now, const gp_account *should)
{
    static gp_account is;
    CHECK_EQUAL(session->ended != NULL, should->merged != 0);
    if (session->ended == NULL)
        return;
    memset(&is, 0, sizeof is);
    gp_gil_state_copy_account(session, session->ended, now, &is);
    CHECK_EQUAL(is.merged, should->merged);
    is.last -= is.first;
    is.first = 0;
    compare_accounts(&is, should);
}

/* Each hold and wait is in the timeline. */
static void compare_timeline(twin_watch *watch)
{
    uint64_t hold = 0, wait = 0;
    if (!watch->session->wants_timeline)
        return;
    record(watch);
    for (size_t n = 0; n < watch->session->account_count; n++) {
        hold += gp_account_nth(watch->session, n)->hold;
        wait += gp_account_nth(watch->session, n)->wait;
    }
    CHECK_EQUAL(watch->recorded[GP_EVENT_HOLD], hold);
    CHECK_EQUAL(watch->recorded[GP_EVENT_WAIT], wait);
}

/* What is booked on a session, running or just stopped at `now`, against the diary. */
static void compare(const twin_watch *watch, uint64_t now)
{
    static gp_account is, should, ended;
    gp_session *session = watch->session;
    memset(&ended, 0, sizeof ended);
    CHECK_EQUAL(gp_gil_state_contended(session, now), twin_contended(watch, now));
    CHECK_EQUAL(session->handoffs, twin_handoffs(watch));
    CHECK_EQUAL(session->lost, 0);
    for (int i = 0; i < ACTORS; i++) {
        const twin_actor *actor = &world.actors[i];
        const gp_account *account = account_of(session, &actor->thread);
        bool folded = is_folded(actor, watch);
        if (!session->running)
            CHECK_EQUAL(account != NULL || folded, concerned(actor, watch));
        CHECK(!(account != NULL && folded));
        twin_account(actor, watch, now, &should);
        if (folded)
            add_account(&ended, &should);
        if (account == NULL)
            continue;
        memset(&is, 0, sizeof is);
        gp_gil_state_copy_account(session, account, now, &is);
        compare_accounts(&is, &should);
    }
    compare_ended(session, now, &ended);
}

/* ---- places and blame ---- */

enum { HERE = 2, UNKNOWN = STACKS, PLACES }; /* the stack of who ends a session; nobody could look */

/* Which stack a place stands for, in the eyes of a session: its innermost level may be all that counts. */
static unsigned seen_as(const gp_session *session, unsigned stack, noted_as noted)
{
    const gp_call_stack *is = &stacks[stack];
    if (noted == NOTHING)
        return UNKNOWN;
    if ((session->wants_stacks && noted == WHOLE) || is->depth == 0)
        return stack;
    for (unsigned i = 1; i < stack; i++)
        if (gp_site_same(stacks[i].keys[0], is->keys[0]))
            return i;
    return stack;
}

/* As a session describes them. */
typedef struct {
    uint64_t kind;
    uint32_t parent;
    gp_site_key key;
} twin_place;

static twin_place described[LOG];

static void read_places(const gp_session *session)
{
    gp_cursor cursor = gp_cursor_over(session->described.bytes, session->described.size);
    size_t count = 0;
    for (; !gp_cursor_at_end(&cursor) && cursor.wrong == NULL; count++) {
        twin_place *is = &described[count];
        CHECK_EQUAL(gp_cursor_number(&cursor), count);
        is->parent = (uint32_t)gp_cursor_number(&cursor) - 1;
        is->kind = gp_cursor_number(&cursor);
        is->key = (gp_site_key){0};
        if (is->kind == GP_PLACE_NATIVE)
            (void)gp_cursor_number(&cursor);
        if (is->kind != GP_PLACE_PYTHON)
            continue;
        is->key.code = gp_cursor_number(&cursor) != 0 ? &code_b : &code_a;
        is->key.instruction = (int32_t)gp_cursor_number(&cursor);
    }
    CHECK(cursor.wrong == NULL);
    CHECK_EQUAL(count, session->place_count);
}

/* PLACES: the inner level of a stack, where nobody let go. */
static unsigned stack_of(uint32_t row)
{
    if (described[row].kind != GP_PLACE_PYTHON)
        return described[row].kind == GP_PLACE_NATIVE   ? 0
               : described[row].kind == GP_PLACE_UNSEEN ? UNKNOWN
                                                        : PLACES;
    for (unsigned i = 1; i < STACKS; i++) {
        size_t level = 0;
        uint32_t at = row;
        for (; level < stacks[i].depth && at != GP_ROW_NONE &&
               gp_site_same(described[at].key, stacks[i].keys[level]);
             level++)
            at = described[at].parent;
        bool cut = at != GP_ROW_NONE && described[at].kind == GP_PLACE_DEEPER;
        if (level == stacks[i].depth &&
            (cut ? stacks[i].truncated : at == GP_ROW_NONE && !stacks[i].truncated))
            return i;
    }
    return PLACES;
}

static uint64_t overlap(const gp_session *session, uint64_t from, uint64_t to)
{
    from = from > session->start ? from : session->start;
    return to > from ? to - from : 0;
}

static void compare_places(const twin_watch *watch, uint64_t now)
{
    const gp_session *session = watch->session;
    uint64_t hold[PLACES + 1] = {0}, wait[PLACES + 1] = {0}, releases[PLACES + 1] = {0};
    read_places(session);
    for (int i = 0; i < ACTORS; i++) {
        const twin_actor *actor = &world.actors[i];
        const gp_account *account = account_of(session, &actor->thread);
        bool folded = is_folded(actor, watch);
        if (account == NULL && !folded)
            continue;
        for (size_t n = 0; n < actor->span_count; n++) {
            const twin_span *span = &actor->spans[n];
            bool open = n + 1 == actor->span_count;
            uint64_t length = overlap(session, span->from, open ? now : span->to);
            unsigned at = seen_as(session, open && span->kind == HOLDING ? HERE : span->stack,
                                  open && span->kind == HOLDING ? WHOLE : span->noted);
            if (span->kind == HOLDING) {
                hold[at] += length;
                releases[at] += !open && !is_over(actor, n, watch);
            } else if (span->kind == WAITING && (folded || account->last_place != GP_ROW_NONE)) {
                wait[at] += length;
            }
        }
    }
    for (size_t i = 0; i < session->place_count; i++) {
        unsigned stack = stack_of((uint32_t)i);
        hold[stack] -= session->places[i].hold;
        wait[stack] -= session->places[i].wait;
        releases[stack] -= session->places[i].releases;
    }
    for (unsigned i = 0; i <= PLACES; i++) {
        CHECK_EQUAL(hold[i], 0);
        CHECK_EQUAL(wait[i], 0);
        CHECK_EQUAL(releases[i], 0);
    }
}

enum { ENDED = ACTORS, SIDES }; /* of blame: an actor, or all that were folded */

/* Whom the number of an account means. */
static unsigned side_of(const gp_session *session, uint32_t number)
{
    for (size_t n = 0; n < session->account_count; n++) {
        const gp_account *account = gp_account_nth(session, n);
        if (account->merged != 0 && account != session->ended && account->number == number)
            return number_of((const twin_actor *)(const void *)account->thread);
    }
    CHECK(session->ended != NULL);
    CHECK(number == session->ended->number || (session->folded[number / 64] >> number % 64 & 1) != 0);
    return ENDED;
}

static void compare_blame(const twin_watch *watch, uint64_t now)
{
    static uint64_t blame[SIDES][SIDES][STACKS];
    const gp_session *session = watch->session;
    unsigned side[ACTORS];
    memset(blame, 0, sizeof blame);
    for (unsigned i = 0; i < ACTORS; i++)
        side[i] = is_folded(&world.actors[i], watch) ? ENDED : i;
    for (size_t h = 0; h < world.hold_count; h++)
        for (size_t w = 0; w < world.want_count; w++) {
            const stretch *held = &world.holds[h], *want = &world.wants[w];
            bool open = held->ended == 0;
            uint64_t from = held->from > want->from ? held->from : want->from;
            unsigned stack = seen_as(session, open ? HERE : held->stack, WHOLE);
            if (overlap_in_time(held, want, now))
                blame[side[want->actor]][side[held->actor]][stack] +=
                    overlap(session, from, open ? now : held->to);
        }
    for (size_t i = 0; i < session->blame.count; i++) {
        const gp_blame *row = (const gp_blame *)session->blame.rows + i;
        unsigned stack = stack_of(row->place);
        CHECK(stack < STACKS);
        blame[side_of(session, row->waiter)][side_of(session, row->holder)][stack % STACKS] -= row->wait;
    }
    for (unsigned i = 0; i < SIDES * SIDES * STACKS; i++)
        CHECK_EQUAL((&blame[0][0][0])[i], 0);
}

/* ---- tags ---- */

typedef struct {
    uint64_t of[3][TAGS + 1];   /* by kind of span, and tag */
    uint64_t charged[TAGS + 1]; /* by the waiter's */
} twin_tags;

/* The part of [from, to) in which the actor had each of its tags. */
static void share(const twin_actor *actor, const gp_session *session, uint64_t from, uint64_t to,
                  uint64_t by_tag[TAGS + 1])
{
    for (size_t i = 0; i < actor->tag_count; i++) {
        uint64_t begin = actor->tags[i].from > from ? actor->tags[i].from : from;
        uint64_t end =
            i + 1 < actor->tag_count && actor->tags[i + 1].from < to ? actor->tags[i + 1].from : to;
        by_tag[actor->tags[i].tag] += overlap(session, begin, end);
    }
}

static uint32_t tag_at(const twin_actor *actor, uint64_t time)
{
    size_t i = actor->tag_count;
    while (i > 1 && actor->tags[i - 1].from > time)
        i--;
    return actor->tags[i - 1].tag;
}

static void twin_shares(const twin_watch *watch, uint64_t now, twin_tags *should)
{
    const gp_session *session = watch->session;
    for (int i = 0; i < ACTORS; i++) {
        const twin_actor *actor = &world.actors[i];
        if (account_of(session, &actor->thread) == NULL && !is_folded(actor, watch))
            continue;
        uint64_t last = actor->place == GONE ? actor->ended : now;
        for (size_t n = 0; n < actor->span_count; n++) {
            const twin_span *span = &actor->spans[n];
            share(actor, session, span->from, n + 1 == actor->span_count ? last : span->to,
                  should->of[span->kind]);
        }
    }
}

static void compare_tags(const twin_watch *watch, uint64_t now)
{
    static gp_tag_row rows[GP_TAGS];
    gp_session *session = watch->session;
    twin_tags is = {0}, should = {0};
    gp_gil_state_charge_tags(&world.gil, session, now);
    gp_tag_state_rows(session, now, rows);
    twin_shares(watch, now, &should);
    for (size_t h = 0; h < world.hold_count; h++)
        for (size_t w = 0; w < world.want_count; w++) {
            const stretch *held = &world.holds[h], *want = &world.wants[w];
            uint64_t from = held->from > want->from ? held->from : want->from;
            if (overlap_in_time(held, want, now))
                should.charged[tag_at(&world.actors[want->actor], want->from)] +=
                    overlap(session, from, held->ended == 0 ? now : held->to);
        }
    for (size_t i = 0; i < session->tags->pairs.count; i++)
        is.charged[((gp_blame *)session->tags->pairs.rows)[i].waiter] +=
            ((gp_blame *)session->tags->pairs.rows)[i].wait;
    for (unsigned tag = 1; tag <= TAGS; tag++) {
        CHECK_EQUAL(rows[tag].off, should.of[AWAY][tag]);
        CHECK_EQUAL(rows[tag].wait, should.of[WAITING][tag]);
        CHECK_EQUAL(rows[tag].hold, should.of[HOLDING][tag]);
        CHECK_EQUAL(is.charged[tag], should.charged[tag]);
    }
}

/* ---- the schedule ---- */

static bool gone(const gp_thread *thread)
{
    return ((const twin_actor *)(const void *)thread)->place == GONE;
}

static void retire(gp_thread *thread)
{
    ((twin_actor *)(void *)thread)->retired = world.event;
    thread->journal.generation -= 2;
    retired_threads++;
}

static void begin_generation(twin_actor *self)
{
    world.gil.generation = ++world.generation;
    world.hold_count = world.want_count = world.drop_count = world.handed_count = 0;
    world.booked_until = 0;
    for (int i = 0; i < ACTORS; i++) {
        world.actors[i].seen = false;
        world.actors[i].early = world.actors[i].place != UNBORN;
    }
    see(self, GP_ASKED_AT_ONCE, true);
}

static void begin_session(twin_actor *self, twin_watch *watch)
{
    bool first = !hooked();
    read_up_to(world.now);
    if (first)
        begin_generation(self);
    watch->session = gp_session_new(++world.last_id, tick());
    watch->begun = world.event;
    watch->session->wants_sites = draw(4) != 0;
    watch->session->wants_timeline = draw(3) == 0;
    watch->recorded[GP_EVENT_HOLD] = watch->recorded[GP_EVENT_WAIT] = watch->last = 0;
    watch->session->wants_stacks = watch->session->wants_sites && draw(2) == 0;
    if (draw(4) != 0) {
        watch->session->keep = draw(3);
        watch->session->keep_largest = 1 + (draw(4) == 0);
    }
    watch->session->tags = gp_tag_books_new();
    if (first) {
        turn_to(self, HOLDING, world.now);
        world.holds[world.hold_count++] = (stretch){world.now, 0, 0, number_of(self), 0};
    }
    gp_gil_state_start(&world.gil, watch->session, &self->thread);
}

static uint32_t place_here(void)
{
    bool lasting;
    if (world.gil.wanting_stacks == 0)
        return gp_places_site(&world.gil.places, addressed(HERE)->keys[0], &lasting);
    return gp_places_stack(&world.gil.places, addressed(HERE));
}

static void end_session(twin_watch *watch)
{
    uint64_t now = tick();
    read_up_to(now);
    gp_gil_state_stop(&world.gil, watch->session, world.threads, world.thread_count, place_here(), now);
    compare(watch, now);
    compare_tags(watch, now);
    compare_timeline(watch);
    folded_rows += watch->session->ended != NULL && watch->session->ended->merged > 1;
    if (watch->session->wants_sites) {
        compare_places(watch, now);
        compare_blame(watch, now);
        watch->session->folded_since = ACTORS; /* else it would not be worth it */
        gp_folding_compact(watch->session);
        compare_blame(watch, now);
    } else {
        CHECK_EQUAL(watch->session->place_count + watch->session->blame.count, 0);
    }
    gp_session_free(watch->session);
    watch->session = NULL;
}

static void compare_now(const twin_watch *watch)
{
    uint64_t now = tick();
    read_up_to(now);
    compare(watch, now);
    compare_tags(watch, now);
}

static void trace(twin_actor *self)
{
    twin_watch *watch = &world.watches[draw(SESSIONS)];
    if (watch->session == NULL)
        begin_session(self, watch);
    else if (draw(2) == 0)
        compare_now(watch);
    else
        end_session(watch);
}

static void step(twin_actor *actor)
{
    switch (actor->place) {
    case UNBORN:
        if (draw(BIRTHS) == 0) {
            actor->place = OUT;
            actor->early = false;
        }
        break;
    case OUT:
        if (draw(world.mortality) == 0)
            leave(actor);
        else
            ask_for_gil(actor);
        break;
    case MUST_TAKE:
        ask_for_gil(actor);
        break;
    case TELLS_LATE: /* to a journal that may be of an earlier generation by now */
        actor->place = ASKS_TO_TAKE;
        tell_of_wait(actor, actor->ask);
        break;
    case ASKS_TO_TAKE:
    case WAITS:
        go_on_taking(actor);
        break;
    case IN:
        if (draw(8) == 0)
            swap_codes();
        if (draw(3) == 0)
            change_tag(actor);
        if (draw(world.restlessness) == 0)
            trace(actor);
        else if (draw(6) == 0)
            spin(actor);
        else
            let_go(actor);
        break;
    case ASKS_TO_DROP:
        drop_gil(actor);
        break;
    case TO_SWITCH:
        begin_switch(actor);
        break;
    case SWITCHES:
        end_switch(actor);
        break;
    case GONE:
        break;
    }
}

static void play(uint64_t seed)
{
    gp_stream_clear(&world.gil.stream);
    gp_places_clear(&world.gil.places);
    memset(&world, 0, sizeof world);
    world.now = 1000;
    world.gil.generation = GP_NOT_WATCHED;
    world.gil.places.naming.met = met;
    world.random = seed * 0x9e3779b97f4a7c15u;
    world.gil.folding = (gp_folding_host){gone, draw(2) == 0 ? retire : NULL};
    world.mortality = draw(2) == 0 ? 60 : 6;
    world.restlessness = draw(2) == 0 ? 6 : 30;
    world.curiosity = draw(2) == 0 ? 5 : 200;
    unsigned before = (unsigned)atomic_load(&gp_test_failures);
    unsigned actors = 1 + (unsigned)draw(ACTORS);
    for (int i = 0; i < STEPS; i++) {
        if (draw(world.curiosity) == 0)
            peep();
        step(&world.actors[draw(actors)]);
    }
    for (int i = 0; i < SESSIONS; i++)
        if (world.watches[i].session != NULL)
            end_session(&world.watches[i]);
    if ((unsigned)atomic_load(&gp_test_failures) != before)
        fprintf(stderr, "in the schedule of seed %u\n", (unsigned)seed);
}

static void any_legal_schedule_books_what_the_slow_twin_finds(void)
{
    for (uint64_t seed = 1; seed <= SCHEDULES && atomic_load(&gp_test_failures) == 0; seed++)
        play(seed);
    CHECK(folded_rows > SCHEDULES / 16); /* else the test has tested nothing */
    CHECK(retired_threads > SCHEDULES / 16);
    CHECK(late_askings > SCHEDULES / 16);
    CHECK(overtaken_askings > SCHEDULES / 100);
}

int main(void)
{
    any_legal_schedule_books_what_the_slow_twin_finds();
    gp_stream_clear(&world.gil.stream);
    gp_places_clear(&world.gil.places);
    return gp_test_status();
}
