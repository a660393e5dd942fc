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

/* ---- releases ---- */

bool gp_lock_history_add(gp_lock_history *history, uintptr_t key, const gp_lock_release *release)
{
    gp_lock_past *past = history->releases < GP_LOCK_RELEASES_MAX ? past_of(history, key) : NULL;
    if (past == NULL)
        return false;
    gp_lock_release *releases =
        gp_array_enlarge(past->releases, sizeof *releases, past->count, past->count + 1, &past->room);
    if (releases == NULL)
        return false;
    past->releases = releases;
    size_t at = past->count++;
    for (; at > 0 && releases[at - 1].at > release->at; at--)
        releases[at] = releases[at - 1];
    releases[at] = *release;
    history->releases++;
    return true;
}

void gp_lock_history_woke(gp_lock_past *past, uintptr_t sem, uint32_t account, uint64_t at)
{
    for (size_t i = past->count; i-- > 0;) {
        gp_lock_release *release = &past->releases[i];
        if (release->at > at || release->sem != sem)
            continue;
        if (release->woken_at == 0) {
            release->woken = account;
            release->woken_at = at;
        }
        return;
    }
}

/* The first release after a moment. */
static size_t first_after(const gp_lock_past *past, uint64_t moment)
{
    size_t low = 0, high = past->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (past->releases[middle].at > moment)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* A wait while it is being divided. */
typedef struct {
    uint64_t at;
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

/* From a release until the thread that it woke runs nobody has the lock, unless another came first. */
static void go_to_release(division *of, const gp_lock_release *before, const gp_lock_release *release)
{
    if (before != NULL && before->woken_at != 0 && before->woken == release->account)
        go_to(of, before->woken_at < release->at ? before->woken_at : release->at, GP_LOCK_NOBODY,
              GP_ROW_NONE);
    go_to(of, release->at, release->account, release->place);
}

void gp_lock_history_divide(const gp_lock_past *past, uint64_t since, uint64_t until, bool failed,
                            gp_lock_charge *charge, void *context)
{
    division of = {since, charge, context};
    size_t first = past != NULL ? first_after(past, since) : 0, i = first;
    for (; past != NULL && i < past->count && past->releases[i].at <= until; i++)
        go_to_release(&of, i > 0 ? &past->releases[i - 1] : NULL, &past->releases[i]);
    go_to(&of, until, i > first && !failed ? GP_LOCK_NOBODY : GP_LOCK_UNSEEN, GP_ROW_NONE);
}

/* ---- what is not needed any more ---- */

void gp_lock_history_forget_all_needs(gp_lock_history *history)
{
    for (size_t i = 0; i < history->count; i++)
        history->pasts[i].needed = UINT64_MAX;
}

static void free_past(gp_lock_history *history, gp_lock_past *past)
{
    history->releases -= past->count;
    gp_memory_unmap(past->releases, past->room * sizeof *past->releases);
}

/* One release before those that are needed stays: whom it woke had the lock afterwards. */
static void shorten(gp_lock_history *history, gp_lock_past *past)
{
    size_t first = first_after(past, past->needed);
    size_t gone = first > 0 ? first - 1 : 0;
    memmove(past->releases, past->releases + gone, (past->count - gone) * sizeof *past->releases);
    past->count -= gone;
    history->releases -= gone;
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
