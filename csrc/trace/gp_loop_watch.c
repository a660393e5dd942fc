#include "trace/gp_loop_watch.h"

#include "trace/gp_looker.h"
#include "trace/gp_tracer_object.h"
#include "trace/gp_wrappers.h"

_Atomic uint64_t gp_loop_watch_floor = UINT64_MAX;

static uint64_t least_ticks(const gp_session *session)
{
    uint64_t least = GP_CALLBACK_LEAST_NS, factor = session->rate.factor;
    return (uint64_t)(((unsigned __int128)least << 32) / (factor != 0 ? factor : 1));
}

static uint64_t floor_of(const gp_session *session)
{
    return session->callbacks.floor != 0 ? session->callbacks.floor : least_ticks(session);
}

/* The least of all sessions' floors. Under the lock of the stream. */
static void find_floor(const gp_gil_state *gil)
{
    uint64_t least = UINT64_MAX;
    for (const gp_session *session = gil->sessions; session != NULL; session = session->next)
        if (session->wants_sites && floor_of(session) < least)
            least = floor_of(session);
    /* relaxed: who does not see it yet tells of a callback that nobody keeps, or misses one at the begin */
    atomic_store_explicit(&gp_loop_watch_floor, least, memory_order_relaxed);
}

void gp_loop_watch_begin(void)
{
    gp_gil_lock(&gp_tracer.main_gil);
    find_floor(&gp_tracer.main_gil.state);
    gp_gil_unlock(&gp_tracer.main_gil);
}

static bool has_main_gil(const gp_thread *self)
{
    const gp_gil_state *gil = &gp_tracer.main_gil.state;
    return self != NULL && self->journal.generation == gil->generation && gp_journal_holds(&self->journal);
}

void gp_loop_watch_tell(gp_callback *callback, const void *thread_state)
{
    gp_gil_state *gil = &gp_tracer.main_gil.state;
    gp_thread *self = gp_wrappers_current();
    if (!has_main_gil(self))
        return;
    gp_gil_lock(&gp_tracer.main_gil);
    gp_looker_tell_callback(callback, thread_state);
    for (gp_session *session = gil->sessions; session != NULL; session = session->next) {
        bool kept =
            session->wants_sites && callback->start >= session->start && callback->ticks > floor_of(session);
        gp_account *account = kept ? gp_gil_state_account(gil, session, self) : NULL;
        if (account == NULL)
            continue;
        callback->account = account->number;
        gp_callbacks_keep(&session->callbacks, callback);
    }
    find_floor(gil);
    gp_gil_unlock(&gp_tracer.main_gil);
}
