#include "locks/gp_lock_history.h"

#include <string.h>

#include "base/gp_buffer.h"
#include "base/gp_hash.h"
#include "base/gp_memory.h"
#include "locks/gp_lock_table.h"

enum {
    FIRST_SLOTS = 64,
};

/* ---- locks ---- */

static uint32_t *slot_of(const gp_lock_history *history, uintptr_t key)
{
    size_t last = history->slot_count - 1; /* of a power of 2 */
    size_t at = gp_mix(key) & last;
    while (history->slots[at] != 0 && history->pasts[history->slots[at] - 1].key != key)
        at = (at + 1) & last;
    return &history->slots[at];
}

static void fill_slots(gp_lock_history *history)
{
    memset(history->slots, 0, history->slot_count * sizeof *history->slots);
    for (size_t i = 0; i < history->count; i++)
        *slot_of(history, history->pasts[i].key) = (uint32_t)i + 1;
}

static bool grow_slots(gp_lock_history *history)
{
    size_t larger = history->slot_count != 0 ? 2 * history->slot_count : FIRST_SLOTS;
    uint32_t *slots = gp_memory_map(larger * sizeof *slots);
    if (slots == NULL)
        return false;
    gp_memory_unmap(history->slots, history->slot_count * sizeof *slots);
    history->slots = slots;
    history->slot_count = larger;
    fill_slots(history);
    return true;
}

gp_lock_past *gp_lock_history_of(const gp_lock_history *history, uintptr_t key)
{
    uint32_t found = history->slot_count != 0 ? *slot_of(history, key) : 0;
    return found != 0 ? &history->pasts[found - 1] : NULL;
}

static gp_lock_past *past_of(gp_lock_history *history, uintptr_t key)
{
    gp_lock_past *past = gp_lock_history_of(history, key);
    if (past != NULL)
        return past;
    if (2 * history->count >= history->slot_count && !grow_slots(history))
        return NULL;
    gp_lock_past *pasts =
        gp_array_enlarge(history->pasts, sizeof *pasts, history->count, history->count + 1, &history->room);
    if (pasts == NULL)
        return NULL;
    history->pasts = pasts;
    pasts[history->count] = (gp_lock_past){.key = key, .needed = UINT64_MAX};
    *slot_of(history, key) = (uint32_t)history->count + 1;
    return &pasts[history->count++];
}

/* ---- steps ---- */

bool gp_lock_history_add(gp_lock_history *history, uintptr_t key, const gp_lock_step *step)
{
    gp_lock_past *past = history->steps < GP_LOCK_STEPS_MAX ? past_of(history, key) : NULL;
    if (past == NULL)
        return false;
    gp_lock_step *steps =
        gp_array_enlarge(past->steps, sizeof *steps, past->count, past->count + 1, &past->room);
    if (steps == NULL)
        return false;
    past->steps = steps;
    size_t at = past->count++;
    for (; at > 0 && steps[at - 1].at > step->at; at--)
        steps[at] = steps[at - 1];
    steps[at] = *step;
    history->steps++;
    return true;
}

/* The first step after a moment. */
static size_t first_after(const gp_lock_past *past, uint64_t moment)
{
    size_t low = 0, high = past->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (past->steps[middle].at > moment)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* A wait while it is being divided: up to when, and who has the lock from then on as far as is known. */
typedef struct {
    uint64_t at;
    uint32_t holder, place;
    gp_lock_charge *charge;
    void *context;
} division;

static void go_to(division *of, uint64_t until, uint32_t holder, uint32_t place)
{
    if (until <= of->at)
        return;
    of->charge(of->context, holder, place, of->at, until);
    of->at = until;
}

static void have(division *of, uint32_t holder, uint32_t place)
{
    of->holder = holder;
    of->place = place;
}

/* Who releases the lock had it, also if another was expected: that one has released it unseen, or has not run
 * yet. Until the next one is seen with it nobody has it. */
static void go_to_step(division *of, const gp_lock_step *step)
{
    switch (step->kind) {
    case GP_LOCK_RELEASED:
        go_to(of, step->at, step->account, step->place);
        have(of, GP_LOCK_NOBODY, GP_ROW_NONE);
        break;
    case GP_LOCK_TAKEN:
        go_to(of, step->at, of->holder, of->place);
        have(of, step->account, step->place);
        break;
    case GP_LOCK_ASKED:
        if (step->account != of->holder)
            break;
        go_to(of, step->at, of->holder, of->place);
        have(of, GP_LOCK_UNSEEN, GP_ROW_NONE);
        break;
    }
}

/* The last step before this one that is more than an asking; NULL: there is none. */
static const gp_lock_step *step_before(const gp_lock_past *past, size_t i)
{
    while (i > 0 && past->steps[i - 1].kind == GP_LOCK_ASKED)
        i--;
    return i > 0 ? &past->steps[i - 1] : NULL;
}

static bool asked_since(const gp_lock_step *step, const gp_lock_step *end)
{
    uint32_t account = step->account;
    while (++step < end)
        if (step->account == account)
            return true;
    return false;
}

static const gp_lock_step *next_taking(const gp_lock_past *past, size_t i)
{
    while (i < past->count && past->steps[i].kind == GP_LOCK_ASKED)
        i++;
    return i < past->count && past->steps[i].kind == GP_LOCK_TAKEN ? &past->steps[i] : NULL;
}

/* Who has the lock when the wait begins. After a release it is on its way to the thread that this woke, if
 * that is what comes next; else somebody has taken it unseen. */
static void begin(division *of, const gp_lock_past *past, size_t first, uint32_t waiter)
{
    const gp_lock_step *before = step_before(past, first), *next = next_taking(past, first);
    if (before == NULL)
        return;
    if (before->kind == GP_LOCK_RELEASED && next != NULL && next->sem == before->sem)
        have(of, GP_LOCK_NOBODY, GP_ROW_NONE);
    else if (before->kind == GP_LOCK_TAKEN && before->account != waiter &&
             !asked_since(before, &past->steps[first]))
        have(of, before->account, before->place);
}

static bool is_within(const gp_lock_past *past, size_t i, const gp_lock_waited *wait)
{
    return i < past->count && (past->steps[i].at < wait->until ||
                               (past->steps[i].at == wait->until && past->steps[i].kind == GP_LOCK_RELEASED));
}

void gp_lock_history_divide(const gp_lock_past *past, gp_lock_waited wait, gp_lock_charge *charge,
                            void *context)
{
    division of = {wait.since, GP_LOCK_UNSEEN, GP_ROW_NONE, charge, context};
    size_t first = past != NULL ? first_after(past, wait.since) : 0, i = first;
    if (wait.own)
        have(&of, wait.account, wait.place);
    else if (past != NULL)
        begin(&of, past, first, wait.account);
    uint64_t begun = of.at;
    for (; past != NULL && is_within(past, i, &wait); i++)
        go_to_step(&of, &past->steps[i]);
    if (of.holder == GP_LOCK_NOBODY && (wait.failed || of.at == begun))
        have(&of, GP_LOCK_UNSEEN, GP_ROW_NONE);
    go_to(&of, wait.until, of.holder, of.place);
}

const gp_lock_step *gp_lock_history_release(const gp_lock_past *past, uint64_t since, uint64_t until)
{
    for (size_t i = past != NULL ? first_after(past, until) : 0; i > 0 && past->steps[i - 1].at >= since; i--)
        if (past->steps[i - 1].kind == GP_LOCK_RELEASED)
            return &past->steps[i - 1];
    return NULL;
}

/* ---- what is not needed any more ---- */

void gp_lock_history_forget_all_needs(gp_lock_history *history)
{
    for (size_t i = 0; i < history->count; i++)
        history->pasts[i].needed = UINT64_MAX;
}

static void free_past(gp_lock_history *history, gp_lock_past *past)
{
    history->steps -= past->count;
    gp_memory_unmap(past->steps, past->room * sizeof *past->steps);
}

/* What tells who had the lock before stays. */
static void shorten(gp_lock_history *history, gp_lock_past *past)
{
    const gp_lock_step *before = step_before(past, first_after(past, past->needed));
    size_t gone = before != NULL ? (size_t)(before - past->steps) : 0;
    memmove(past->steps, past->steps + gone, (past->count - gone) * sizeof *past->steps);
    past->count -= gone;
    history->steps -= gone;
}

void gp_lock_history_prune(gp_lock_history *history)
{
    size_t kept = 0;
    for (size_t i = 0; i < history->count; i++) {
        gp_lock_past past = history->pasts[i];
        if (past.needed == UINT64_MAX) {
            free_past(history, &past);
            continue;
        }
        shorten(history, &past);
        history->pasts[kept++] = past;
    }
    history->count = kept;
    if (history->slot_count != 0)
        fill_slots(history);
}

void gp_lock_history_clear(gp_lock_history *history)
{
    for (size_t i = 0; i < history->count; i++)
        free_past(history, &history->pasts[i]);
    gp_memory_unmap(history->pasts, history->room * sizeof *history->pasts);
    gp_memory_unmap(history->slots, history->slot_count * sizeof *history->slots);
    *history = (gp_lock_history){0};
}
