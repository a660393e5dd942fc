#include "trace/gp_tracer.h"

#include <errno.h>
#include <time.h>

#include "trace/gp_seen_hold.h"
#include "trace/gp_trace_parts.h"
#include "trace/gp_tracer_object.h"

static gp_gil *const main_gil = &gp_tracer.main_gil;

enum {
    LIVING_MAX = 1024, /* interpreters; with more it is not known which have ended */
    UNHURRIED = 64,    /* asking who lives takes a 64th of a thread's time at most */
};

static uint64_t new_id(void)
{
    return __atomic_add_fetch(&gp_tracer.last_session_id, 1, __ATOMIC_RELAXED);
}

uint64_t gp_trace_parts_catch_up(gp_gil *gil)
{
    gp_stream *stream = &gil->state.stream;
    gp_gil_state_read(&gil->state, gp_stream_known_until(stream));
    uint64_t now = gp_stream_now(stream, gp_clock_ticks());
    gp_gil_state_read(&gil->state, now); /* who has asked since the last taking */
    return now;
}

gp_snapshot_facts gp_trace_parts_facts(gp_session *session)
{
    gp_clock_anchor last = session->running ? gp_clock_anchor_now() : session->stop_anchor;
    session->hooks_lost |= session->running && !gp_wrappers_in_place();
    return (gp_snapshot_facts){
        .interpreter = session->interpreter,
        .rate = gp_clock_rate_between(session->start_anchor, last),
        .lost = session->interpreter == 0 ? gp_threads_lost(&gp_tracer.threads) - session->lost_before : 0,
        .others_missed = __atomic_load_n(&session->others_missed, __ATOMIC_RELAXED),
        .dropped = session->timeline.dropped,
        .hooks_lost = session->hooks_lost,
        .releases_told_apart = gp_tracer.releases_told_apart,
        .timeline = session->wants_timeline,
    };
}

/* The session's interpreter may end meanwhile, and its row be given to another. */
uint64_t gp_trace_parts_lock(const gp_session *session)
{
    if (session->interpreter == 0) {
        gp_gil_lock(main_gil);
        return gp_trace_parts_catch_up(main_gil);
    }
    gp_gil_table_lock();
    if (session->gil == NULL)
        return session->stop;
    gp_gil_lock(session->gil);
    return gp_trace_parts_catch_up(session->gil);
}

void gp_trace_parts_unlock(const gp_session *session)
{
    if (session->interpreter == 0) {
        gp_gil_unlock(main_gil);
        return;
    }
    if (session->gil != NULL)
        gp_gil_unlock(session->gil);
    gp_gil_table_unlock();
}

/* Introduce again the threads that have another label now. */
static void introduce_labels(gp_session *session)
{
    for (size_t n = 0; n < session->account_count; n++) {
        gp_account *account = gp_account_nth(session, n);
        if (account->merged != 0 && account != session->ended &&
            atomic_load_explicit(&account->thread->label, memory_order_relaxed) != account->introduced_label)
            gp_account_introduce(session, account);
    }
}

static void copy_new(const gp_buffer *from, size_t *copied, gp_buffer *to)
{
    if (from->size > *copied)
        gp_buffer_raw(to, from->bytes + *copied, from->size - *copied);
    to->failed |= from->failed;
    *copied = from->size;
}

/* `place`: where the holder is. */
static void write_snapshot(gp_session *session, gp_news_wish wish, uint32_t place, uint64_t now,
                           gp_news *news)
{
    gp_snapshot_facts facts = gp_trace_parts_facts(session);
    facts.final = wish == GP_NEWS_FINAL && !session->running;
    facts.others_missed |= __atomic_load_n(&session->others_unrecorded, __ATOMIC_RELAXED);
    gp_snapshot_write(session, &facts, place, session->running ? now : session->stop, &news->snapshot);
    session->cpu_now = 0;
}

/* Another interpreter may end before the recording does. */
static void tell_news(void *context, gp_news_wish wish, gp_news *news)
{
    gp_session *session = context;
    gp_seen_hold seen = {.hold.thread = NULL};
    if (wish == GP_NEWS_SNAPSHOT)
        gp_seen_hold_look(session, &seen);
    uint64_t now = gp_trace_parts_lock(session);
    uint32_t place = wish != GP_NEWS_ALONE ? gp_seen_hold_book(session, &seen, now) : GP_ROW_NONE;
    news->ended = session->interpreter != 0 && !session->running;
    if (session->running)
        introduce_labels(session);
    copy_new(&session->introduced, &(size_t){0}, &news->threads);
    gp_buffer_clear(&session->introduced);
    copy_new(&session->described, &session->described_written, &news->places);
    gp_timeline_take(&session->timeline, &news->timeline);
    copy_new(&session->seen, &(size_t){0}, &news->seen);
    gp_buffer_clear(&session->seen);
    copy_new(&session->pauses.told, &(size_t){0}, &news->pauses);
    gp_buffer_clear(&session->pauses.told);
    if (wish != GP_NEWS_ALONE)
        write_snapshot(session, wish, place, now, news);
    gp_trace_parts_unlock(session);
}

static bool can_lock(gp_gil *gil)
{
    bool can = gp_gil_try_lock(gil);
    if (can)
        gp_gil_unlock(gil);
    return can;
}

static bool is_free(void *context)
{
    const gp_session *session = context;
    if (!gp_looker_is_free())
        return false;
    if (session->interpreter == 0)
        return can_lock(main_gil);
    if (!gp_gil_table_try_lock())
        return false;
    bool is = session->gil == NULL || can_lock(session->gil);
    gp_gil_table_unlock();
    return is;
}

gp_status gp_trace_parts_record(gp_session *session)
{
    if (session->recorder == NULL)
        return GP_OK;
    gp_source source = {
        .context = session,
        .interpreter = session->interpreter,
        .timeline = session->wants_timeline,
        .read = tell_news,
        .is_free = is_free,
    };
    return gp_recorder_add(session->recorder, &source);
}

/* ---- sessions, one for each GIL ---- */

gp_session *gp_trace_parts_new(gp_gil *gil, bool sites, bool stacks, bool timeline, gp_recorder *recorder)
{
    gp_session *session = gp_session_new(new_id(), 0);
    if (session == NULL)
        return NULL;
    session->gil = gil;
    session->interpreter = gil->interpreter;
    session->wants_sites = sites;
    session->wants_stacks = stacks;
    session->wants_timeline = timeline;
    session->recorder = recorder;
    session->stall_floor =
        gp_tracer.blocked_ticks; /* taking a free GIL is no stall: it must not fill the list */
    return session;
}

static gp_session *new_other(const gp_session *session, gp_gil *gil)
{
    if (session->other_count == GP_TRACE_PARTS_MAX)
        return NULL;
    return gp_trace_parts_new(gil, session->wants_sites, session->wants_stacks, session->wants_timeline,
                              session->recorder);
}

/* Begin a session at a GIL: what came before was not seen. */
static void begin_other(gp_session *other, gp_gil *gil)
{
    gp_gil_lock(gil);
    other->start = gp_trace_parts_catch_up(gil);
    if (other->start < other->origin) /* up to where is known without that GIL */
        other->start = other->origin;
    if (!gp_gil_state_running(&gil->state))
        atomic_store(&gil->state.generation, ++gp_tracer.generation);
    gp_gil_state_start(&gil->state, other, NULL);
    gp_gil_unlock(gil);
}

/* Let a trace take in one more GIL. With the lock of the table. */
static void extend(gp_session *session, gp_gil *gil)
{
    if (session->totals_only)
        return;
    for (const gp_session *known_part = session->others; known_part != NULL; known_part = known_part->others)
        if (known_part->gil == gil)
            return; /* found while the trace began */
    gp_session *other = new_other(session, gil);
    if (other == NULL) {
        __atomic_store_n(&session->others_missed, true, __ATOMIC_RELAXED);
        return;
    }
    other->wants_cpu = session->wants_cpu;
    other->wants_looks = session->wants_looks;
    other->origin = session->origin;
    other->start_anchor = session->start_anchor;
    other->rate = session->rate;
    begin_other(other, gil);
    other->others = session->others;
    __atomic_store_n(&session->others, other, __ATOMIC_RELEASE);
    session->other_count++;
    if (gp_trace_parts_record(other) != GP_OK)
        __atomic_store_n(&session->others_unrecorded, true, __ATOMIC_RELAXED);
}

/* When something last happened at the session's GIL. A thread that has only asked for its mutex has no part
 * in it: that is the mutex of another interpreter by now. */
static uint64_t last_event(const gp_session *session, gp_thread *const *threads, size_t count)
{
    uint64_t last = session->start;
    for (size_t i = 0; i < count; i++) {
        if (!gp_gil_state_concerns(&session->gil->state, session, threads[i]))
            continue;
        if (threads[i]->state == GP_OFF && threads[i]->since == threads[i]->born)
            threads[i]->journal.generation--;
        else if (threads[i]->since > last)
            last = threads[i]->since;
    }
    return last;
}

void gp_trace_parts_end(gp_session *session, uint32_t here, uint64_t now)
{
    size_t count;
    gp_thread **threads = gp_threads_all(&gp_tracer.threads, &count);
    session->lost += threads == NULL;
    if (now == 0)
        now = last_event(session, threads, count);
    gp_gil_state_stop(&session->gil->state, session, threads, count, here, now);
    if (session->recorder != NULL)
        introduce_labels(session); /* the recorder may not have come round since threads began or ended */
    gp_threads_free_all(threads, count);
    session->stop_anchor = gp_clock_anchor_now();
}

/* Keep of the books of an interpreter that is gone what a report needs: a process may start thousands. */
static void close_books(gp_session *session)
{
    gp_buffer closed = {.bytes = NULL};
    gp_snapshot_facts facts = gp_trace_parts_facts(session);
    facts.final = true;
    gp_snapshot_write(session, &facts, GP_ROW_NONE, session->stop, &closed);
    if (closed.failed)
        gp_buffer_free(&closed);
    else
        gp_session_close_books(session, closed);
}

/* End the sessions of an interpreter that is gone: since its last event, or, after a fork, since now. With
 * the lock of the table. */
static void close_gil(gp_gil *gil, bool at_last_event)
{
    gp_gil_lock(gil);
    uint64_t now = gp_trace_parts_catch_up(gil);
    while (gil->state.sessions != NULL) {
        gp_session *session = gil->state.sessions;
        gp_trace_parts_end(session, GP_UNSEEN, at_last_event ? 0 : now);
        session->gil = NULL;
        close_books(session);
    }
    gp_gil_unlock(gil);
    gp_gil_table_remove(gil);
}

static bool is_among(uint32_t identifier, const uint32_t *identifiers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (identifiers[i] == identifier)
            return true;
    return false;
}

/* With the lock of the table. */
static void close_ended(void)
{
    uint32_t living[LIVING_MAX], rows = gp_tracer.other_count;
    size_t count = rows != 0 ? gp_tracer.host->living(living, LIVING_MAX) : 0;
    for (uint32_t i = 0; i < rows && count != 0; i++)
        if (gp_tracer.other_gils[i].locks.mutex != NULL &&
            !is_among(gp_tracer.other_gils[i].interpreter, living, count))
            close_gil(&gp_tracer.other_gils[i], true);
}

/* The same, but seldom: an interpreter for which there is no room is found at each acquisition. */
static void close_ended_unhurried(void)
{
    uint64_t begin = gp_clock_ticks();
    if (begin < gp_tracer.close_ended_at)
        return;
    close_ended();
    uint64_t end = gp_clock_ticks();
    gp_tracer.close_ended_at = end + UNHURRIED * (end - begin);
}

void gp_trace_parts_close_ended(void)
{
    gp_gil_table_lock();
    close_ended();
    gp_gil_table_unlock();
}

/* Trace a GIL from now on. Under its mutex, with the lock of the table. */
static gp_gil *discover(const gp_gil_locks *found, uint32_t id)
{
    close_ended_unhurried();
    gp_gil *gil = gp_gil_state_running(&main_gil->state) ? gp_gil_table_add(found, id) : NULL;
    for (gp_session *session = main_gil->state.sessions; session != NULL; session = session->next) {
        if (gil != NULL)
            extend(session, gil);
        else
            __atomic_store_n(&session->others_missed, true, __ATOMIC_RELAXED);
    }
    return gil;
}

/* A known GIL may be another by now: an interpreter that has ended leaves its place in memory to the next. */
gp_gil *gp_trace_parts_recognise(const void *mutex, const void *switch_mutex)
{
    gp_gil *known = gp_gil_table_with_switch_mutex(switch_mutex);
    gp_gil_locks found = gp_gil_table_laid_out(&gp_tracer.known, switch_mutex);
    uint32_t id = gp_tracer.host->identify(mutex, gp_tracer.known.mutex);
    if (known != NULL && __atomic_load_n(&known->interpreter, __ATOMIC_RELAXED) == id)
        return known;
    gp_gil_table_lock();
    gp_gil *gil = gp_gil_table_with_switch_mutex(switch_mutex); /* others may have closed it meanwhile */
    if (gil != NULL)
        close_gil(gil, true);
    gil = discover(&found, id);
    gp_gil_table_unlock();
    return gil;
}

void gp_trace_parts_stop_others(gp_session *session)
{
    gp_gil_table_lock();
    close_ended();
    for (gp_session *other = session->others; other != NULL; other = other->others) {
        gp_gil *gil = other->gil;
        if (gil == NULL || !other->running)
            continue;
        gp_gil_lock(gil);
        gp_trace_parts_end(other, GP_UNSEEN, gp_trace_parts_catch_up(gil));
        gp_gil_unlock(gil);
    }
    gp_gil_table_unlock();
}

void gp_trace_parts_forget_others(void)
{
    gp_gil_table_lock();
    for (uint32_t i = 0; i < GP_OTHER_GILS_MAX; i++)
        if (gp_tracer.other_gils[i].locks.mutex != NULL)
            gp_gil_table_remove(&gp_tracer.other_gils[i]);
    gp_gil_table_unlock();
}

/* ---- code objects that go ---- */

/* Whether the thread has the GIL that the record is about, as far as that is traced. */
static bool has_gil(const gp_thread *thread)
{
    return gp_journal_holds(&thread->journal) && thread->gil_state == &thread->gil->state &&
           thread->journal.generation == thread->gil->state.generation;
}

static void forget_code_at(gp_gil *gil, const void *code)
{
    if (gp_places_forget(&gil->state.places, code))
        gp_gil_state_change(&gil->state);
}

/* The calling thread has the main GIL, but if it is known to have another: see where_elsewhere. */
void gp_trace_parts_forget_code(const void *code)
{
    const gp_thread *thread = gp_wrappers_elsewhere();
    gp_looker_forget_code(code);
    while (thread != NULL && !has_gil(thread))
        thread = thread->next_elsewhere;
    if (thread == NULL) {
        forget_code_at(main_gil, code);
        return;
    }
    gp_gil_lock(thread->gil);
    if (has_gil(thread))
        forget_code_at(thread->gil, code);
    gp_gil_unlock(thread->gil);
}

void gp_trace_parts_extend(gp_session *session)
{
    gp_gil_table_lock();
    for (uint32_t i = 0; i < GP_OTHER_GILS_MAX; i++)
        if (gp_tracer.other_gils[i].locks.mutex != NULL)
            extend(session, &gp_tracer.other_gils[i]);
    gp_gil_table_unlock();
}

void gp_trace_parts_end_timelines(void)
{
    for (gp_session *session = main_gil->state.sessions; session != NULL; session = session->next)
        for (gp_session *part = session; part != NULL; part = part->others)
            part->wants_timeline = false;
}

void gp_trace_parts_forked(void)
{
    for (uint32_t i = 0; i < GP_OTHER_GILS_MAX; i++)
        if (gp_tracer.other_gils[i].locks.mutex != NULL)
            close_gil(&gp_tracer.other_gils[i], false);
}
