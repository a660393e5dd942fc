#include "books/gp_attribution.h"

#include <string.h>

#include "books/gp_folding.h"
#include "books/gp_natives.h"
#include "recording/gp_format.h"

enum {
    NATIVE_PLACES_MAX = 4096, /* of single threads, once accounts are folded */
};

/* ---- places ---- */

static bool make_room(gp_session *session)
{
    gp_place *places = gp_array_enlarge(session->places, sizeof *places, session->place_count,
                                        session->place_count + 1, &session->place_room);
    if (places != NULL)
        session->places = places;
    return places != NULL;
}

/* Give a place the next number, with its description. */
static uint32_t add_place(gp_session *session, uint32_t parent, const uint8_t *text, size_t size)
{
    gp_buffer *described = &session->described;
    size_t before = described->size;
    if (!make_room(session))
        return GP_ROW_NONE;
    gp_buffer_number(described, session->place_count);
    gp_buffer_number(described, (uint32_t)(parent + 1));
    gp_buffer_raw(described, text, size);
    if (described->failed) {
        described->size = before;
        described->failed = false;
        return GP_ROW_NONE;
    }
    return (uint32_t)session->place_count++;
}

static bool has_come_to_its_end(const gp_thread *thread)
{
    return (atomic_load_explicit(&thread->label, memory_order_relaxed) & GP_LABEL_ENDED) != 0;
}

/* Once accounts are folded, the ended threads' place serves threads at their end as well; and all, if there
 * have been very many. */
static gp_account *whose_native_place(const gp_session *session, gp_account *account)
{
    bool shared = session->ended != NULL &&
                  (session->native_places >= NATIVE_PLACES_MAX || has_come_to_its_end(account->thread));
    return shared ? session->ended : account;
}

static uint32_t meet_named(gp_session *session, uint32_t number)
{
    uint32_t *place = &session->named_places[number - GP_NATIVE_FIRST];
    if (*place != 0)
        return *place - 1;
    const char *name = gp_native_name(number);
    gp_buffer description = {.bytes = NULL};
    gp_buffer_number(&description, GP_PLACE_PYTHON);
    gp_buffer_number(&description, 0);
    gp_buffer_string(&description, name, strlen(name));
    gp_buffer_string(&description, "", 0);
    if (!description.failed)
        *place = add_place(session, GP_ROW_NONE, description.bytes, description.size) + 1;
    gp_buffer_free(&description);
    return *place - 1;
}

/* The thread runs no Python code. */
static uint32_t meet_native(gp_session *session, gp_account *account)
{
    /* acquire: who finds the number finds the name */
    uint32_t number = atomic_load_explicit(&account->thread->native, memory_order_acquire);
    gp_account *whose = whose_native_place(session, account);
    gp_buffer description = {.bytes = NULL};
    if (number != 0)
        return meet_named(session, number);
    if (whose->native_place != GP_ROW_NONE)
        return whose->native_place;
    gp_buffer_number(&description, GP_PLACE_NATIVE);
    gp_buffer_number(&description, whose->number);
    if (!description.failed)
        whose->native_place = add_place(session, GP_ROW_NONE, description.bytes, description.size);
    session->native_places += whose->native_place != GP_ROW_NONE;
    gp_buffer_free(&description);
    return whose->native_place;
}

static uint32_t meet_unseen(gp_session *session)
{
    const uint8_t kind = GP_PLACE_UNSEEN;
    if (session->unseen_place == 0)
        session->unseen_place = add_place(session, GP_ROW_NONE, &kind, sizeof kind) + 1;
    return session->unseen_place - 1;
}

/* Where the session's number of a place stands. */
static uint32_t *slot_of(gp_place_map *map, uint32_t number)
{
    uint32_t *place_of =
        gp_array_enlarge(map->place_of, sizeof *place_of, map->room, (size_t)number + 1, &map->room);
    if (place_of == NULL)
        return NULL;
    map->place_of = place_of;
    return &place_of[number];
}

static uint32_t meet(gp_session *session, gp_place_map *map, const gp_places *places, uint32_t number);

/* A session without stacks knows the sites alone. The looker has told them apart. */
static uint32_t meet_new(gp_session *session, gp_place_map *map, const gp_places *places, uint32_t number)
{
    const gp_place_name *name = gp_places_at(places, number);
    uint32_t parent = GP_ROW_NONE;
    if (!session->wants_stacks && map == &session->met && name->site != number)
        return name->site != GP_ROW_NONE ? meet(session, map, places, name->site) : GP_ROW_NONE;
    if (name->parent != GP_ROW_NONE && (parent = meet(session, map, places, name->parent)) == GP_ROW_NONE)
        return GP_ROW_NONE;
    return add_place(session, parent, name->text, name->size);
}

static uint32_t meet(gp_session *session, gp_place_map *map, const gp_places *places, uint32_t number)
{
    uint32_t *slot = slot_of(map, number);
    if (slot == NULL)
        return GP_ROW_NONE;
    if (*slot != 0)
        return *slot - 1;
    uint32_t place = meet_new(session, map, places, number);
    map->place_of[number] = place + 1; /* it may have moved */
    return place;
}

uint32_t gp_attribution_meet(gp_session *session, gp_account *account, const gp_places *places,
                             uint32_t number)
{
    if (gp_is_native(number))
        return meet_named(session, number);
    if (number == GP_NO_FRAME)
        return meet_native(session, account);
    if (number == GP_UNSEEN)
        return meet_unseen(session);
    return number != GP_ROW_NONE ? meet(session, &session->met, places, number) : GP_ROW_NONE;
}

uint32_t gp_attribution_looked(gp_session *session, gp_account *account, const gp_places *looked,
                               uint32_t number)
{
    if (number == GP_NO_FRAME)
        return meet_native(session, account);
    if (number == GP_UNSEEN)
        return meet_unseen(session);
    return number != GP_ROW_NONE ? meet(session, &session->looked, looked, number) : GP_ROW_NONE;
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
static void keep_stall(gp_session *session, gp_stall stall)
{
    gp_stall *stalls = session->stalls;
    if (session->stall_count < GP_STALLS_MAX) {
        stalls[session->stall_count++] = stall;
        if (session->stall_count < GP_STALLS_MAX)
            return;
        for (size_t at = GP_STALLS_MAX / 2; at-- > 0;)
            settle_stall(stalls, at);
    } else {
        stalls[0] = stall;
        settle_stall(stalls, 0);
    }
    session->stall_floor = stalls[0].ticks;
}

gp_stall gp_attribution_stall(const gp_account *waiter, uint64_t from, uint64_t ticks)
{
    bool held = waiter->culprit_ticks != 0;
    return (gp_stall){
        .waiter = waiter->number,
        .waiter_place = waiter->last_place,
        .holder = held ? waiter->culprit : GP_ROW_NONE,
        .holder_place = held ? waiter->culprit_place : GP_ROW_NONE,
        .holder_looked = held ? waiter->culprit_looked : GP_ROW_NONE,
        .start = from,
        .ticks = ticks,
        .holder_ticks = waiter->culprit_ticks,
    };
}

void gp_attribution_book_wait(gp_session *session, gp_account *account, uint64_t from, uint64_t to)
{
    uint64_t ticks = gp_ticks_after(session->start, from, to);
    if (account->last_place != GP_ROW_NONE)
        session->places[account->last_place].wait += ticks;
    if (ticks > session->stall_floor)
        keep_stall(session,
                   gp_attribution_stall(account, from > session->start ? from : session->start, ticks));
    account->culprit_ticks = 0;
}

void gp_attribution_charge(gp_session *session, gp_account *waiter, const gp_charge *charge)
{
    if (gp_rows_are_full(&session->blame))
        gp_folding_compact(session);
    gp_blame *row = gp_blame_of(&session->blame, waiter->number, charge->holder, charge->place);
    *(row != NULL ? &row->wait : &session->sites_lost) += charge->ticks;
    waiter->blamed += charge->ticks;
}
