#include "books/gp_attribution.h"

#include "books/gp_folding.h"

enum {
    NATIVE_PLACES_MAX = 4096, /* of single threads, once accounts are folded */
};

/* ---- places ---- */

static bool has_come_to_its_end(const gp_thread *thread)
{
    return (atomic_load_explicit(&thread->label, memory_order_relaxed) & GP_LABEL_ENDED) != 0;
}

/* Once accounts are folded, the ended threads' place serves threads at their end as well; and all, if there
 * have been very many. */
gp_site_key gp_attribution_native_key(const gp_session *session, const gp_account *account)
{
    bool shared = session->ended != NULL &&
                  (session->native_places >= NATIVE_PLACES_MAX || has_come_to_its_end(account->thread));
    uint32_t number = shared ? session->ended->number : account->number;
    return (gp_site_key){NULL, GP_KEY_NATIVE - (int32_t)number};
}

/* By its description, which stays if it is new. */
static uint32_t describe_place(gp_session *session, uint32_t parent, gp_site_key key, gp_met *met)
{
    gp_buffer *texts = &session->described;
    size_t before = texts->size;
    uint32_t next = (uint32_t)session->places.count, place = GP_ROW_NONE;
    gp_buffer_number(texts, next);
    gp_buffer_number(texts, (uint32_t)(parent + 1));
    size_t from = texts->size;
    met(key, texts);
    if (!texts->failed && texts->size <= GP_DESCRIBED_MAX)
        place = gp_places_number(&session->places, parent, texts, from);
    if (place == next) {
        session->native_places += key.code == NULL;
    } else {
        texts->size = before;
        texts->failed = false;
    }
    return place;
}

/* One with code must be known by it, to be forgotten with it: the accounts remember it by address, too. */
static uint32_t find_place(gp_session *session, uint32_t parent, gp_site_key key, gp_met *met)
{
    if (key.code == NULL)
        return describe_place(session, parent, key, met);
    uint32_t place = gp_known_find(&session->known, parent, key);
    if (place != GP_ROW_NONE)
        return place;
    place = describe_place(session, parent, key, met);
    bool known = place != GP_ROW_NONE && gp_known_add(&session->known, parent, key, place);
    return known ? place : GP_ROW_NONE;
}

/* A thread's places are often instructions of one function. */
static size_t recent_index(gp_site_key key)
{
    return (((uintptr_t)key.code >> 5) + ((uintptr_t)key.instruction >> 1)) % GP_RECENT_PLACES;
}

/* Not remembered by its key. */
static uint32_t callers_site(gp_session *session, gp_account *account, gp_site_key caller, gp_met *met)
{
    account->last_key = (gp_site_key){NULL, 0};
    account->last_place = find_place(session, GP_ROW_NONE, caller, met);
    return account->last_place;
}

uint32_t gp_attribution_site(gp_session *session, gp_account *account, gp_site_key key,
                             const gp_naming *naming)
{
    gp_recent_place *recent = &account->recent[recent_index(key)];
    /* native places may come to be shared, and one without memory for it is asked for again */
    if (key.code == NULL || !gp_site_same(recent->key, key) || recent->place == GP_ROW_NONE) {
        gp_site_key caller = key;
        if (key.code != NULL && naming->stands_for_caller != NULL && naming->stands_for_caller(&caller))
            return callers_site(session, account, caller, naming->met);
        *recent = (gp_recent_place){key, find_place(session, GP_ROW_NONE, key, naming->met)};
    }
    account->last_key = key;
    account->last_place = recent->place;
    return recent->place;
}

/* How many levels, from the outermost, are as they were at the thread's last release. */
static size_t unchanged_levels(const gp_path *path, const gp_call_stack *stack)
{
    if (path->truncated != stack->truncated)
        return 0;
    size_t most = path->depth < stack->depth ? path->depth : stack->depth;
    for (size_t level = 0; level < most; level++)
        if (!gp_site_same(path->keys[level], stack->keys[stack->depth - 1 - level]))
            return level;
    return most;
}

uint32_t gp_attribution_stack(gp_session *session, gp_account *account, const gp_call_stack *stack,
                              const gp_naming *naming)
{
    gp_path *path = &account->path;
    if (stack->depth == 0) {
        path->depth = 0;
        return gp_attribution_site(session, account, gp_attribution_key(session, account, stack), naming);
    }
    size_t level = unchanged_levels(path, stack);
    uint32_t place = GP_ROW_NONE;
    if (level != 0)
        place = path->places[level - 1];
    else if (stack->truncated)
        place = find_place(session, GP_ROW_NONE, (gp_site_key){NULL, GP_KEY_TRUNCATED}, naming->met);
    path->depth = (uint32_t)level;
    path->truncated = stack->truncated;
    for (; level < stack->depth; level++) {
        gp_site_key key = stack->keys[stack->depth - 1 - level];
        place = find_place(session, place, key, naming->met);
        if (place == GP_ROW_NONE)
            break; /* the levels so far stay known; the next release tries again */
        path->keys[level] = key;
        path->places[level] = place;
        path->depth = (uint32_t)level + 1;
    }
    account->last_place = place;
    return place;
}

/* ---- waits ---- */

/* Put a stall where it belongs in the heap below it. */
static void settle_stall(gp_stall *stalls, size_t at)
{
    gp_stall stall = stalls[at];
    for (size_t child; (child = 2 * at + 1) < GP_STALLS_MAX; at = child) {
        if (child + 1 < GP_STALLS_MAX && stalls[child + 1].ticks < stalls[child].ticks)
            child++;
        if (stall.ticks <= stalls[child].ticks)
            break;
        stalls[at] = stalls[child];
    }
    stalls[at] = stall;
}

/* Once there is no more room the stalls are a heap with the shortest first, which the next one replaces: in
 * the first seconds of a trace that is every other wait. */
static void keep_stall(gp_session *session, const gp_stall *stall)
{
    gp_stall *stalls = session->stalls;
    if (session->stall_count < GP_STALLS_MAX) {
        stalls[session->stall_count++] = *stall;
        if (session->stall_count < GP_STALLS_MAX)
            return;
        for (size_t at = GP_STALLS_MAX / 2; at-- > 0;)
            settle_stall(stalls, at);
    } else {
        stalls[0] = *stall;
        settle_stall(stalls, 0);
    }
    session->stall_floor = stalls[0].ticks;
}

static void note_stall(gp_session *session, const gp_account *waiter, uint64_t from, uint64_t ticks)
{
    bool held = waiter->culprit_ticks != 0;
    keep_stall(session, &(gp_stall){
                            .waiter = waiter->number,
                            .waiter_place = waiter->last_place,
                            .holder = held ? waiter->culprit : GP_ROW_NONE,
                            .holder_place = held ? waiter->culprit_place : GP_ROW_NONE,
                            .start = from,
                            .ticks = ticks,
                            .holder_ticks = waiter->culprit_ticks,
                        });
}

void gp_attribution_book_wait(gp_session *session, gp_account *account, uint64_t from, uint64_t to)
{
    uint64_t ticks = gp_ticks_after(session->start, from, to);
    if (account->last_place != GP_ROW_NONE)
        session->places.rows[account->last_place].wait += ticks;
    if (ticks > session->stall_floor)
        note_stall(session, account, from > session->start ? from : session->start, ticks);
    account->culprit_ticks = 0;
}

/* Whether it was charged last. The row may have another number by now. */
static bool is_blame_row(const gp_session *session, const gp_account *waiter, const gp_charge *charge)
{
    if (waiter->blame_row >= session->blame.count)
        return false;
    const gp_blame *row = &session->blame.rows[waiter->blame_row];
    return row->waiter == waiter->number && row->holder == charge->holder && row->place == charge->place;
}

static uint32_t find_blame_row(gp_session *session, const gp_account *waiter, const gp_charge *charge)
{
    if (gp_blame_is_full(&session->blame))
        gp_folding_compact_blame(session);
    return gp_blame_number(&session->blame, waiter->number, charge->holder, charge->place);
}

void gp_attribution_charge(gp_session *session, gp_account *waiter, const gp_charge *charge)
{
    if (!is_blame_row(session, waiter, charge))
        waiter->blame_row = find_blame_row(session, waiter, charge);
    if (waiter->blame_row == GP_ROW_NONE)
        session->sites_lost += charge->ticks;
    else
        session->blame.rows[waiter->blame_row].wait += charge->ticks;
    waiter->blamed += charge->ticks;
}
