#include "trace/gp_stall_look.h"

#include <string.h>

enum {
    COUNTED = 10000, /* waiters at most: everybody wants the GIL's mutex */
};

static bool holds(const gp_thread *thread, uint64_t *since)
{
    *since = thread->since;
    return thread->state == GP_HOLD;
}

static void note_thread(gp_stall_look_thread *noted, const gp_thread *thread)
{
    noted->native_id = thread->native_id;
    noted->label = atomic_load_explicit(&thread->label, memory_order_relaxed);
    gp_thread_read_name(thread, noted->os_name);
}

bool gp_stall_look_take(const gp_gil_state *gil, const gp_stall_look_hold *but, uint64_t limit, uint64_t now,
                        gp_stall_look *stall)
{
    const gp_thread *holder = gil->holder;
    uint64_t since;
    if (holder == NULL || gil->waiters == NULL || !holds(holder, &since))
        return false;
    uint64_t wanted = gp_gil_state_wanted_since(gil, holder);
    if (now <= wanted || now - wanted < limit || (holder == but->thread && since == but->since))
        return false;
    stall->hold = (gp_stall_look_hold){holder, since};
    note_thread(&stall->holder, holder);
    stall->waiter_count = 0;
    for (const gp_thread *waiter = gil->waiters; waiter != NULL && stall->waiter_count < COUNTED;
         waiter = waiter->next_waiter) {
        if (stall->waiter_count < GP_STALL_LOOK_WAITERS)
            note_thread(&stall->waiters[stall->waiter_count], waiter);
        stall->waiter_count++;
    }
    return true;
}

gp_stall_look_end gp_stall_look_follow(const gp_gil_state *gil, const gp_stall_look_hold *hold, uint64_t now,
                                       uint64_t *ended_at)
{
    uint64_t since;
    bool holding = holds(hold->thread, &since);
    *ended_at = now;
    if (gil->holder == hold->thread && holding && since == hold->since)
        return GP_STALL_LOOK_GOES_ON;
    if (holding || gil->holder == hold->thread || since < hold->since)
        return GP_STALL_LOOK_LONG_OVER;
    *ended_at = since;
    return GP_STALL_LOOK_ENDED;
}
