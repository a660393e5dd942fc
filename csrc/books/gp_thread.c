#include "books/gp_thread.h"

static uint64_t ticks(uint64_t from, uint64_t to)
{
    return to > from ? to - from : 0;
}

/* As the books do it. */
static void add_up(gp_own_times *own, const gp_note *note)
{
    uint64_t released = atomic_load_explicit(&note->released, memory_order_relaxed);
    uint64_t release = atomic_load_explicit(&note->release, memory_order_relaxed);
    if (note->asked == GP_ASKED_TAG)
        return;
    bool seen = gp_release_is_of(release, own->counted);
    if (!seen) /* nor is the hold before: it counts as off */
        released = own->since;
    uint64_t asked = note->asked > GP_ASKED_EARLIER ? note->asked : note->taken;
    if ((seen && gp_release_is_forced(release)) || asked < released)
        asked = released;
    own->hold += ticks(own->since, released);
    own->off += ticks(released, asked);
    own->wait += ticks(asked, note->taken);
    own->since = note->taken;
}

void gp_thread_add_up(gp_thread *thread)
{
    gp_own_times *own = &thread->own;
    uint64_t noted = atomic_load_explicit(&thread->journal.noted, memory_order_relaxed);
    for (; own->counted != noted; own->counted++)
        add_up(own, gp_journal_note(&thread->journal, own->counted));
}

_Atomic uint64_t gp_thread_exits;

void gp_thread_exit(gp_thread *thread, uint64_t now)
{
    atomic_store_explicit(&thread->ended_at, now, memory_order_relaxed);
    /* release: whoever sees that it has exited sees when */
    atomic_store_explicit(&thread->exited, true, memory_order_release);
    atomic_fetch_add_explicit(&gp_thread_exits, 1, memory_order_release);
}

uint64_t gp_thread_end_of(const gp_thread *thread, uint64_t now)
{
    if (!atomic_load_explicit(&thread->exited, memory_order_acquire))
        return now;
    uint64_t ended = atomic_load_explicit(&thread->ended_at, memory_order_relaxed);
    if (ended < thread->since) /* its destructors were not the last: it may have the GIL, or want it */
        ended = thread->state == GP_OFF ? thread->since : now;
    return ended < now ? ended : now; /* it may have exited since the caller looked at the clock */
}
