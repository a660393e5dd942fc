/* The state of a GIL against a slow twin: random threads take and give up a GIL as CPython does
 * (gp_gil_state.h), sessions begin and end among them, and what it has booked must be what the twin
 * finds by writing every interval down and adding them up at the end: thread by thread, and all that were
 * folded (gp_folding.h) together. */

#include "books/gp_gil_state.h"

#include <stdlib.h>
#include <string.h>

#include "gp_test.h"

enum { ACTORS = 12, SESSIONS = 3, LOG = 2048, STEPS = 800, BIRTHS = 6, STACKS = 6 };

/* All on one thread, of which TSan has nothing to say, but takes ten times as long. */
#ifdef __SANITIZE_THREAD__
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

typedef struct {
    span_kind kind;
    uint64_t from, to; /* to: not yet valid in the last one */
    unsigned stack;    /* where a hold ended, or the last one before a wait */
} twin_span;

typedef struct {
    unsigned at;
    bool take, waited, forced; /* not a take: a drop */
} twin_turn;

/* What is held or wanted, whoever does so; `begun` and `ended` number the events, ended 0: not yet. */
typedef struct {
    uint64_t from, to;
    unsigned begun, ended;
    unsigned actor, stack;
} stretch;

typedef enum {
    UNBORN,
    OUT,
    MUST_TAKE,
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
    bool early, seen, registered, forced, ask_seen;
    bool blocked;   /* the call under way */
    uint64_t ask;   /* its stamp */
    uint64_t asked; /* what the twin knows of it */
    uint64_t birth, ended;
    unsigned retired; /* the event; 0: not yet */
    unsigned stack;   /* of its last release */
    size_t wait;      /* the open entry in `wants` */
    twin_span spans[LOG];
    twin_turn turns[LOG];
    size_t span_count, turn_count;
} twin_actor;

typedef struct {
    gp_session *session;
    unsigned begun;
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
    unsigned mortality;    /* one step in so many, of threads without the GIL, is their last */
    unsigned restlessness; /* one in so many, of threads with it, begins, reads or ends a session */
    stretch holds[LOG], wants[LOG];
    uint64_t drops[LOG];
    unsigned handed[LOG];
    const twin_actor *locating;
    bool swapped; /* the two code objects have gone, and come again each at the other's address */
    size_t hold_count, want_count, drop_count, handed_count;
} world;

static size_t folded_rows, retired_threads; /* in all schedules */

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
    if (world.swapped && key.code != NULL)
        key.code = key.code == &code_a ? &code_b : &code_a;
    gp_buffer_raw(description, &key.code, sizeof key.code);
    gp_buffer_raw(description, &key.instruction, sizeof key.instruction);
}

static void swap_codes(void)
{
    for (int i = 0; i < SESSIONS; i++)
        if (world.watches[i].session != NULL) {
            gp_session_forget_code(world.watches[i].session, &code_a, ++world.last_id);
            gp_session_forget_code(world.watches[i].session, &code_b, ++world.last_id);
        }
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
    actor->spans[actor->span_count++] = (twin_span){kind, from, 0, actor->stack};
}

static twin_span *open_span(twin_actor *actor)
{
    return &actor->spans[actor->span_count - 1];
}

static void want(twin_actor *actor, uint64_t from)
{
    actor->wait = world.want_count;
    world.wants[world.want_count++] = (stretch){from, 0, world.event, 0, number_of(actor), 0};
}

/* ---- what the hooks do ---- */

static void see(twin_actor *actor, uint64_t now)
{
    if (actor->seen)
        return;
    actor->seen = true;
    actor->birth = actor->early ? 0 : now;
    actor->asked = GP_ASKED_UNSEEN;
    actor->span_count = actor->turn_count = 0;
    turn_to(actor, AWAY, actor->birth);
    if (!actor->registered) {
        actor->registered = true;
        actor->thread.index = (uint32_t)world.thread_count;
        world.threads[world.thread_count++] = &actor->thread;
    }
    gp_gil_state_adopt(&world.gil, &actor->thread, actor->birth);
}

static void enter_mutex(twin_actor *actor)
{
    if (!hooked() || !actor->ask_seen)
        return;
    see(actor, actor->ask > GP_ASKED_AT_ONCE ? actor->ask : tick());
    actor->asked = actor->ask;
    gp_gil_state_lock(&actor->thread, actor->ask, actor->blocked);
}

static uint64_t wanted_since(const twin_actor *actor)
{
    if (actor->asked == GP_ASKED_AT_ONCE)
        return world.now;
    return actor->asked == GP_ASKED_UNSEEN ? actor->birth : actor->asked;
}

static void wait_for_gil(twin_actor *actor)
{
    uint64_t now = tick();
    actor->place = WAITS;
    if (!hooked())
        return;
    world.event++;
    see(actor, now);
    if (open_span(actor)->kind != WAITING) {
        turn_to(actor, WAITING, wanted_since(actor));
        want(actor, open_span(actor)->from);
    }
    gp_gil_state_wait(&world.gil, &actor->thread, now);
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
            session->folding_due++;
    }
}

static void take_gil(twin_actor *actor)
{
    uint64_t now = tick();
    actor->place = IN;
    world.holder = world.last_holder = actor;
    if (!hooked())
        return;
    world.event++;
    see(actor, now);
    bool waited = true;
    if (open_span(actor)->kind == WAITING) {
        world.wants[actor->wait].ended = world.event;
    } else {
        waited = actor->asked == GP_ASKED_UNSEEN || (actor->asked != GP_ASKED_AT_ONCE && actor->blocked);
        if (actor->asked != GP_ASKED_AT_ONCE)
            turn_to(actor, WAITING, wanted_since(actor));
    }
    if (waited)
        note_handoff(open_span(actor)->from);
    turn_to(actor, HOLDING, now);
    actor->turns[actor->turn_count++] = (twin_turn){.at = world.event, .take = true, .waited = waited};
    world.holds[world.hold_count++] = (stretch){now, 0, world.event, 0, number_of(actor), 0};
    world.locating = actor;
    make_folding_due();
    gp_gil_state_acquire(&world.gil, &actor->thread);
    gp_gil_state_take(&world.gil, &actor->thread, now);
}

static bool somebody_waits(void)
{
    for (int i = 0; i < ACTORS; i++)
        if (world.actors[i].place == WAITS)
            return true;
    return false;
}

static void drop_gil(twin_actor *actor)
{
    bool forced = draw(3) == 0, pending = somebody_waits();
    enter_mutex(actor);
    uint64_t now = tick();
    actor->forced = forced;
    actor->place = pending && draw(2) == 0 ? TO_SWITCH : forced ? MUST_TAKE : OUT;
    world.holder = NULL;
    actor->stack = (unsigned)draw(STACKS);
    if (!hooked())
        return;
    world.event++;
    open_span(actor)->stack = actor->stack;
    uint64_t end = actor->ask > GP_ASKED_AT_ONCE ? actor->ask : now;
    turn_to(actor, forced ? WAITING : AWAY, end);
    if (forced)
        want(actor, end);
    actor->turns[actor->turn_count++] = (twin_turn){.at = world.event, .forced = forced};
    world.holds[world.hold_count - 1].to = end;
    world.holds[world.hold_count - 1].ended = world.event;
    world.holds[world.hold_count - 1].stack = actor->stack;
    world.drops[world.drop_count++] = end;
    gp_gil_state_drop(&world.gil, &actor->thread, forced, addressed(actor->stack), now);
}

static void ask(twin_actor *actor, place blocked)
{
    actor->ask_seen = hooked();
    actor->ask = draw(2) == 0 ? GP_ASKED_AT_ONCE : tick();
    actor->blocked = draw(3) == 0;
    if (actor->blocked) {
        actor->ask = actor->ask == GP_ASKED_AT_ONCE ? tick() : actor->ask;
        actor->place = blocked;
    } else if (blocked == ASKS_TO_DROP) {
        drop_gil(actor);
    } else {
        enter_mutex(actor);
        (world.holder == NULL ? take_gil : wait_for_gil)(actor);
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

static uint64_t twin_contended(const twin_watch *watch, uint64_t now)
{
    uint64_t sum = 0;
    for (size_t h = 0; h < world.hold_count; h++) {
        const stretch *hold = &world.holds[h];
        uint64_t first = UINT64_MAX, to = hold->ended != 0 ? hold->to : now;
        for (size_t w = 0; w < world.want_count; w++) {
            const stretch *wait = &world.wants[w];
            bool meanwhile = (hold->ended == 0 || wait->begun < hold->ended) &&
                             (wait->ended == 0 || wait->ended > hold->begun);
            if (meanwhile && wait->from < first)
                first = wait->from;
        }
        first = first > hold->from ? first : hold->from;
        first = first > watch->session->start ? first : watch->session->start;
        sum += to > first ? to - first : 0;
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
    gp_gil_state_copy_account(session, session->ended, now, &is);
    CHECK_EQUAL(is.merged, should->merged);
    is.last -= is.first;
    is.first = 0;
    compare_accounts(&is, should);
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
        gp_gil_state_copy_account(session, account, now, &is);
        compare_accounts(&is, &should);
    }
    compare_ended(session, now, &ended);
}

/* ---- places and blame ---- */

enum { HERE = 2 }; /* the stack of who ends a session */

static void locate(gp_call_stack *stack, gp_site_key *keys, bool whole)
{
    (void)keys, (void)whole;
    *stack = *addressed(world.locating->stack);
}

/* Which stack a place stands for, in the eyes of a session: its innermost level may be all that counts. */
static unsigned seen_as(const gp_session *session, unsigned stack)
{
    const gp_call_stack *is = &stacks[stack];
    if (session->wants_stacks || is->depth == 0)
        return stack;
    for (unsigned i = 1; i < stack; i++)
        if (gp_site_same(stacks[i].keys[0], is->keys[0]))
            return i;
    return stack;
}

static gp_site_key key_of(const gp_session *session, uint32_t row)
{
    const uint8_t *text = session->described.bytes + session->places.rows[row].text;
    gp_site_key key;
    memcpy(&key.code, text, sizeof key.code);
    memcpy(&key.instruction, text + sizeof key.code, sizeof key.instruction);
    return key;
}

static unsigned stack_of(const gp_session *session, uint32_t row)
{
    const gp_place *rows = session->places.rows;
    if (key_of(session, row).code == NULL)
        return key_of(session, row).instruction == GP_KEY_TRUNCATED ? STACKS : 0;
    for (unsigned i = 1; i < STACKS; i++) {
        size_t depth = session->wants_stacks ? stacks[i].depth : 1, level = 0;
        uint32_t at = row;
        while (level < depth && at != GP_ROW_NONE &&
               gp_site_same(key_of(session, at), stacks[i].keys[level])) {
            at = rows[at].parent;
            level++;
        }
        bool cut = at != GP_ROW_NONE && key_of(session, at).instruction == GP_KEY_TRUNCATED;
        if (level == depth && (cut ? stacks[i].truncated
                                   : at == GP_ROW_NONE && !(session->wants_stacks && stacks[i].truncated)))
            return i;
    }
    return STACKS; /* the inner level of a stack: nobody let go there */
}

static uint64_t overlap(const gp_session *session, uint64_t from, uint64_t to)
{
    from = from > session->start ? from : session->start;
    return to > from ? to - from : 0;
}

static void compare_places(const twin_watch *watch, uint64_t now)
{
    const gp_session *session = watch->session;
    uint64_t hold[STACKS + 1] = {0}, wait[STACKS + 1] = {0};
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
            if (span->kind == HOLDING)
                hold[seen_as(session, open ? HERE : span->stack)] += length;
            else if (span->kind == WAITING && (folded || account->last_place != GP_ROW_NONE))
                wait[seen_as(session, span->stack)] += length;
        }
    }
    for (size_t i = 0; i < session->places.count; i++) {
        unsigned stack = stack_of(session, (uint32_t)i);
        hold[stack] -= session->places.rows[i].hold;
        wait[stack] -= session->places.rows[i].wait;
    }
    for (unsigned i = 0; i <= STACKS; i++) {
        CHECK_EQUAL(hold[i], 0);
        CHECK_EQUAL(wait[i], 0);
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
            bool meanwhile =
                (open || want->begun < held->ended) && (want->ended == 0 || want->ended > held->begun);
            uint64_t from = held->from > want->from ? held->from : want->from;
            unsigned stack = seen_as(session, open ? HERE : held->stack);
            if (meanwhile)
                blame[side[want->actor]][side[held->actor]][stack] +=
                    overlap(session, from, open ? now : held->to);
        }
    for (size_t i = 0; i < session->blame.count; i++) {
        const gp_blame *row = &session->blame.rows[i];
        unsigned stack = stack_of(session, row->place);
        CHECK(stack < STACKS);
        blame[side_of(session, row->waiter)][side_of(session, row->holder)][stack % STACKS] -= row->wait;
    }
    for (unsigned i = 0; i < SIDES * SIDES * STACKS; i++)
        CHECK_EQUAL((&blame[0][0][0])[i], 0);
}

/* ---- the schedule ---- */

static bool gone(const gp_thread *thread)
{
    return ((const twin_actor *)(const void *)thread)->place == GONE;
}

static void retire(gp_thread *thread)
{
    ((twin_actor *)(void *)thread)->retired = world.event;
    thread->generation -= 2;
    retired_threads++;
}

static void begin_generation(twin_actor *self)
{
    world.gil.generation++;
    world.hold_count = world.want_count = world.drop_count = world.handed_count = 0;
    for (int i = 0; i < ACTORS; i++) {
        world.actors[i].seen = false;
        world.actors[i].early = world.actors[i].place != UNBORN;
    }
    see(self, tick());
}

static void begin_session(twin_actor *self, twin_watch *watch)
{
    bool first = !hooked();
    if (first)
        begin_generation(self);
    watch->session = gp_session_new(++world.last_id, tick());
    watch->begun = world.event;
    watch->session->wants_sites = draw(4) != 0;
    watch->session->wants_stacks = watch->session->wants_sites && draw(2) == 0;
    if (draw(4) != 0) {
        watch->session->keep = draw(3);
        watch->session->keep_largest = 1 + (draw(4) == 0);
    }
    if (first) {
        turn_to(self, HOLDING, world.now);
        world.holds[world.hold_count++] = (stretch){world.now, 0, world.event, 0, number_of(self), 0};
    }
    gp_gil_state_start(&world.gil, watch->session, &self->thread);
}

static void end_session(twin_watch *watch)
{
    uint64_t now = tick();
    gp_gil_state_stop(&world.gil, watch->session, world.threads, world.thread_count, addressed(HERE), now);
    compare(watch, now);
    folded_rows += watch->session->ended != NULL && watch->session->ended->merged > 1;
    if (watch->session->wants_sites) {
        compare_places(watch, now);
        compare_blame(watch, now);
        watch->session->folded_since = ACTORS; /* else it would not be worth it */
        gp_folding_compact_blame(watch->session);
        compare_blame(watch, now);
    } else {
        CHECK_EQUAL(watch->session->places.count + watch->session->blame.count, 0);
    }
    gp_session_free(watch->session);
    watch->session = NULL;
}

static void trace(twin_actor *self)
{
    twin_watch *watch = &world.watches[draw(SESSIONS)];
    if (watch->session == NULL)
        begin_session(self, watch);
    else if (draw(2) == 0)
        compare(watch, tick());
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
            ask(actor, ASKS_TO_TAKE);
        break;
    case MUST_TAKE:
        ask(actor, ASKS_TO_TAKE);
        break;
    case ASKS_TO_TAKE:
        enter_mutex(actor);
        (world.holder == NULL ? take_gil : wait_for_gil)(actor);
        break;
    case WAITS:
        (world.holder == NULL ? take_gil : wait_for_gil)(actor);
        break;
    case IN:
        if (draw(8) == 0)
            swap_codes();
        if (draw(world.restlessness) == 0)
            trace(actor);
        else
            ask(actor, ASKS_TO_DROP);
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
    memset(&world, 0, sizeof world);
    world.now = 1000;
    world.gil.locate = locate;
    world.gil.naming.met = met;
    world.random = seed * 0x9e3779b97f4a7c15u;
    world.gil.folding = (gp_folding_host){gone, draw(2) == 0 ? retire : NULL};
    world.mortality = draw(2) == 0 ? 60 : 12;
    world.restlessness = draw(2) == 0 ? 6 : 30;
    unsigned before = (unsigned)atomic_load(&gp_test_failures);
    unsigned actors = 1 + (unsigned)draw(ACTORS);
    for (int i = 0; i < STEPS; i++)
        step(&world.actors[draw(actors)]);
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
}

int main(void)
{
    any_legal_schedule_books_what_the_slow_twin_finds();
    return gp_test_status();
}
