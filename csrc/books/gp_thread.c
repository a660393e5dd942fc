#include "books/gp_thread.h"

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
