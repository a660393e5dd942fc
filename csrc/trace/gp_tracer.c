#include "trace/gp_tracer.h"

#include <unistd.h>

#include "recording/gp_format.h"
#include "trace/gp_loop_watch.h"
#include "trace/gp_trace_parts.h"
#include "trace/gp_tracer_object.h"

struct gp_tracer gp_tracer = {
    .table_lock = PTHREAD_MUTEX_INITIALIZER,
    .threads.lock = PTHREAD_MUTEX_INITIALIZER,
};

static gp_gil *const main_gil = &gp_tracer.main_gil;

enum {
    ACCOUNTS_OF_TOTALS = 128, /* from this number on those of ended threads become one */
};

/* ---- places ---- */

static void met_place(gp_site_key key, gp_buffer *description)
{
    if (key.code != NULL) {
        gp_buffer_number(description, GP_PLACE_PYTHON);
        gp_tracer.host->describe(key, description);
    } else {
        gp_buffer_number(description, GP_PLACE_DEEPER);
    }
}

/* The number of a place of the calling thread, which has the main GIL. */
static uint32_t place_here(const gp_session *session, const gp_call_stack *here)
{
    gp_places *places = &main_gil->state.places;
    bool lasting;
    if (!session->wants_sites)
        return GP_ROW_NONE;
    if (session->wants_stacks)
        return gp_places_stack(places, here);
    return here->depth != 0 ? gp_places_site(places, here->keys[0], &lasting) : GP_NO_FRAME;
}

/* ---- learning ---- */

/* A handshake gives up the GIL, so another thread may come to want one before it is over: one at a time. */
static void begin_handshake(const gp_tracer_host *host)
{
    while (gp_tracer.handshaking == getpid())
        host->cycle_gil();
    gp_tracer.handshaking = getpid();
}

static void end_handshake(void)
{
    gp_tracer.handshaking = 0;
}

static void retire_thread(gp_thread *thread)
{
    gp_threads_retire(&gp_tracer.threads, thread);
}

static gp_status learn(const gp_tracer_host *host, const char **reason)
{
    if (gp_tracer.learnt)
        return GP_OK;
    if (!gp_tracer.prepared) {
        *reason = gp_tracer.unprepared != NULL ? gp_tracer.unprepared : "the tracer has not been prepared";
        return GP_EUNSUPPORTED;
    }
    gp_wrappers_notes taken = {.count = 0};
    gp_gil_locks found;
    gp_status status = gp_wrappers_handshake(host, &taken);
    if (status != GP_OK) {
        *reason = "the interpreter's import slots can't be made writable";
        return status;
    }
    if (taken.count == 0) {
        *reason = "a release and re-acquisition of the GIL locks nothing: the GIL is off";
        return GP_EUNSUPPORTED;
    }
    if (taken.count > GP_HANDSHAKE_MAX || gp_handshake_recognise(taken.steps, taken.count, &found) != GP_OK) {
        *reason = "this interpreter releases and takes its GIL in a way that gilprobe does not know";
        return GP_EUNSUPPORTED;
    }
    gp_clock_init();
    gp_wrappers_prepare(host, &found, gp_trace_parts_recognise);
    main_gil->state.places.naming = (gp_naming){met_place, host->stands_for_caller, host->walk};
    main_gil->state.folding = (gp_folding_host){gp_threads_gone, retire_thread};
    main_gil->state.looked = &gp_tracer.looked;
    gp_tracer.learnt = true;
    return GP_OK;
}

gp_status gp_tracer_learn(const gp_tracer_host *host, const char **reason)
{
    begin_handshake(host);
    gp_status status = learn(host, reason);
    end_handshake();
    return status;
}

/* ---- sessions ---- */

/* Whether the calling thread is known to have the main GIL, in a trace. */
static bool has_gil(const gp_thread *self)
{
    const gp_gil_state *gil = &main_gil->state;
    return self != NULL && self->journal.generation == gil->generation && gp_journal_holds(&self->journal) &&
           gp_gil_state_running(gil);
}

static void about_to_fork(void)
{
    if (has_gil(gp_wrappers_current()))
        gp_gil_table_about_to_fork();
}

/* Without a trace, too: a later one may meet the threads that have been seen. */
static void forked_in_child(void)
{
    gp_gil_state *gil = &main_gil->state;
    gp_thread *self = gp_wrappers_current();
    bool holds = has_gil(self), whole = gp_gil_table_forked_in_child();
    gp_trace_parts_end_timelines();
    gp_tracer.forks++;
    uint64_t now = gp_clock_ticks();
    gp_threads_forked(&gp_tracer.threads, self);
    if (whole)
        (void)gp_gil_state_read(gil, now);
    uint32_t here = holds ? gp_wrappers_where(main_gil) : GP_NO_FRAME;
    for (size_t i = 0; i < gp_threads_count(&gp_tracer.threads); i++) {
        gp_thread *thread = gp_threads_at(&gp_tracer.threads, i);
        gp_gil_state_forked(gil, self, &thread, 1, here, now);
        if (thread->gil == main_gil) /* nor is it in a list that was just being read, or made longer */
            atomic_store(&thread->journal.listed, false);
    }
    gp_stream_restart(&gil->stream, holds ? &self->journal : NULL, gil->generation);
    if (holds) {
        self->journal.doing = GP_JOURNAL_OFF; /* it takes the new GIL over the old one ... */
        self->journal.changes = 0;
        self->journal.fresh = true; /* ... or, forked behind the interpreter's back, lets the old one go */
        self->own.generation--;     /* its notes tell less than the books */
    }
    gp_trace_parts_forked();
    gp_looker_forked();
}

void gp_tracer_prepare(const gp_tracer_host *host)
{
    if (gp_tracer.prepared || gp_wrappers_find(host, &gp_tracer.unprepared) != GP_OK)
        return;
    gp_tracer.prepared = gp_threads_prepare(&gp_tracer.threads) == GP_OK &&
                         pthread_atfork(about_to_fork, gp_gil_table_forked_in_parent, forked_in_child) == 0;
    if (!gp_tracer.prepared)
        gp_tracer.unprepared =
            "the process has no room for one more thread-local value, or one more action at a fork";
}

/* Install the hooks if nobody has yet. */
static gp_status begin_watching(const gp_tracer_host *host, bool *first, const char **reason)
{
    begin_handshake(host);
    *first = !gp_gil_state_running(&main_gil->state);
    gp_status status = *first ? gp_wrappers_install(host) : GP_OK;
    end_handshake();
    if (status != GP_OK) {
        *reason = "the interpreter's import slots can't be made writable";
    } else if (*first) {
        gp_threads_list_alive(&gp_tracer.threads);
        host->watch_code(gp_trace_parts_forget_code);
    }
    return status;
}

static void begin_generation(void)
{
    gp_threads_collect_spares(&gp_tracer.threads, gp_tracer.generation);
    atomic_store(&main_gil->state.generation, ++gp_tracer.generation);
}

static void end_watching(void)
{
    gp_tracer.host->watch_code(NULL);
    if (gp_tracer.host->watch_loops != NULL)
        gp_tracer.host->watch_loops(false);
    gp_wrappers_remove();
}

static gp_status begin_session(gp_session *session, bool first)
{
    session->start_anchor = gp_clock_anchor_now();
    gp_gil_table_lock(); /* a thread that discovers a GIL goes through the sessions */
    gp_gil_lock(main_gil);
    if (first)
        begin_generation();
    else
        (void)gp_gil_state_read(&main_gil->state, gp_clock_ticks());
    gp_thread *self = gp_wrappers_follow();
    if (self != NULL) {
        session->start = session->origin = gp_clock_ticks();
        session->starter = self;
        session->starter_cpu = session->wants_cpu ? gp_clock_thread_cpu_ns() : 0;
        gp_gil_state_start(&main_gil->state, session, self);
    }
    gp_gil_unlock(main_gil);
    gp_gil_table_unlock();
    if (self == NULL && first)
        end_watching();
    return self != NULL ? GP_OK : GP_ENOMEM;
}

gp_status gp_tracer_start(const gp_tracer_host *host, const gp_tracer_wishes *wishes, gp_session **session,
                          const char **reason)
{
    bool first;
    *reason = "";
    gp_status status = gp_tracer_learn(host, reason);
    if (status != GP_OK)
        return status;
    gp_session *started = gp_trace_parts_new(main_gil, wishes->sites || wishes->stacks, wishes->stacks,
                                             wishes->timeline, wishes->recorder);
    if (started == NULL)
        return GP_ENOMEM;
    started->wants_cpu = wishes->cpu;
    started->wants_looks = wishes->looks && started->wants_sites && host->looker_eyes != NULL;
    started->wants_pauses = wishes->pauses;
    started->tags = wishes->tags ? gp_tag_books_new() : NULL;
    if (wishes->tags && started->tags == NULL) {
        gp_session_free(started);
        return GP_ENOMEM;
    }
    if (wishes->totals) {
        started->totals_only = true;
        started->keep = ACCOUNTS_OF_TOTALS;
        started->keep_largest = 1;
    }
    started->lost_before = gp_threads_lost(&gp_tracer.threads);
    status = begin_watching(host, &first, reason);
    if (status == GP_OK)
        status = begin_session(started, first);
    if (status != GP_OK) {
        gp_session_free(started);
        return status;
    }
    if (started->wants_sites && host->watch_loops != NULL) {
        gp_loop_watch_begin();
        host->watch_loops(true);
    }
    gp_trace_parts_extend(started);
    *session = started;
    return gp_trace_parts_record(started);
}

/* CPU time of the calling thread, which holds the main GIL. */
static uint64_t holders_cpu(const gp_session *session)
{
    return session->wants_cpu && session->interpreter == 0 ? gp_clock_thread_cpu_ns() : 0;
}

void gp_tracer_stop(gp_session *session, const gp_call_stack *here)
{
    if (!session->running)
        return;
    gp_threads_name_alive(&gp_tracer.threads);
    session->hooks_lost |= !gp_wrappers_in_place();
    gp_trace_parts_stop_others(session); /* first, so that none of them lasts longer than the trace */
    gp_gil_table_lock();                 /* as at the start */
    gp_gil_lock(main_gil);
    session->cpu_now = holders_cpu(session);
    uint64_t now = gp_clock_ticks();
    session->lost += !gp_gil_state_read(&main_gil->state, now);
    gp_trace_parts_end(session, place_here(session, here), now);
    gp_gil_unlock(main_gil);
    gp_gil_table_unlock();
    gp_trace_parts_stop_others(session); /* found in between */
    if (!gp_gil_state_running(&main_gil->state)) {
        end_watching();
        gp_places_clear(&main_gil->state.places);
        gp_trace_parts_forget_others();
    }
}

void gp_tracer_forget(gp_session *session)
{
    if (session == NULL)
        return;
    gp_tracer_stop(session, &(gp_call_stack){.depth = 0});
    while (session != NULL) {
        gp_session *next = session->others;
        gp_session_free(session);
        session = next;
    }
}

uint64_t gp_tracer_origin(const gp_session *session)
{
    return session->origin;
}

size_t gp_tracer_parts(const gp_session *session)
{
    size_t parts = 0;
    for (; session != NULL; session = __atomic_load_n(&session->others, __ATOMIC_ACQUIRE))
        parts++;
    return parts;
}

/* Threads that did nothing since the session began have a row too. */
static void open_accounts(gp_session *session)
{
    gp_gil_state *gil = &session->gil->state;
    for (size_t i = 0; i < gp_threads_count(&gp_tracer.threads); i++)
        if (gp_gil_state_concerns(gil, session, gp_threads_at(&gp_tracer.threads, i)))
            (void)gp_gil_state_account(gil, session, gp_threads_at(&gp_tracer.threads, i));
}

/* New parts come second in the list, so the others keep their places from its end. */
static gp_session *find_part(gp_session *session, size_t part)
{
    if (part == 0)
        return session;
    session = __atomic_load_n(&session->others, __ATOMIC_ACQUIRE);
    for (size_t left = gp_tracer_parts(session); left > part; left--)
        session = session->others;
    return session;
}

gp_status gp_tracer_read(gp_session *session, size_t part, const gp_call_stack *here, gp_buffer *places,
                         gp_buffer *snapshot)
{
    session = find_part(session, part);
    if (part != 0)
        gp_trace_parts_close_ended();
    else if (session->running)
        gp_threads_name_alive(&gp_tracer.threads);
    uint64_t now = gp_trace_parts_lock(session);
    gp_snapshot_facts facts = gp_trace_parts_facts(session);
    uint32_t place = GP_ROW_NONE;
    if (session->running && part == 0) {
        now = gp_clock_ticks();
        (void)gp_gil_state_read(&main_gil->state, now);
    }
    if (session->running) {
        open_accounts(session);
        place = gp_gil_state_place(&session->gil->state, session,
                                   part == 0 ? place_here(session, here) : GP_UNSEEN);
    } else {
        now = session->stop;
    }
    facts.final = !session->running;
    gp_buffer_raw(places, session->described.bytes, session->described.size);
    session->cpu_now = holders_cpu(session);
    gp_snapshot_write(session, &facts, place, now, snapshot);
    session->cpu_now = 0;
    gp_trace_parts_unlock(session);
    return places->failed || snapshot->failed ? GP_ENOMEM : GP_OK;
}

gp_status gp_tracer_totals(gp_session *session, gp_totals *totals)
{
    uint64_t now = gp_trace_parts_lock(session);
    if (session->running) {
        now = gp_clock_ticks();
        (void)gp_gil_state_read(&main_gil->state, now);
        open_accounts(session);
    } else {
        now = session->stop;
    }
    gp_status status = gp_totals_read(&main_gil->state, session, now, totals);
    gp_trace_parts_unlock(session);
    return status;
}

/* From the books, as they are now. */
static void begin_to_add_up(gp_thread *self)
{
    gp_gil_lock(main_gil);
    (void)gp_gil_state_read(&main_gil->state, gp_clock_ticks());
    gp_session *oldest = main_gil->state.sessions;
    while (oldest->next != NULL)
        oldest = oldest->next;
    const gp_account *account = gp_gil_state_account(&main_gil->state, oldest, self);
    self->own = (gp_own_times){
        .since = self->since > oldest->start ? self->since : oldest->start,
        .counted = atomic_load_explicit(&self->journal.noted, memory_order_relaxed),
        .generation = self->journal.generation,
    };
    if (account != NULL) {
        self->own.hold = account->hold;
        self->own.wait = account->wait;
        self->own.off = account->off;
    }
    gp_gil_unlock(main_gil);
}

bool gp_tracer_thread_times(gp_thread_times *times)
{
    gp_thread *self = gp_wrappers_current();
    if (!gp_wrappers_have_gil())
        return false;
    if (__builtin_expect(!gp_thread_adds_up(self), 0))
        begin_to_add_up(self);
    gp_thread_add_up(self);
    uint64_t now = gp_clock_ticks();
    gp_clock_rate rate = gp_clock_rate_estimate();
    const gp_own_times *own = &self->own;
    times->hold = gp_clock_to_ns(rate, own->hold + (now > own->since ? now - own->since : 0));
    times->wait = gp_clock_to_ns(rate, own->wait);
    times->off = gp_clock_to_ns(rate, own->off);
    return true;
}

size_t gp_tracer_sessions(void)
{
    size_t count = 0;
    for (const gp_session *session = main_gil->state.sessions; session != NULL; session = session->next)
        count++;
    return count;
}

gp_look gp_tracer_see(gp_looker_tell *tell, void *context)
{
    return gp_looker_see(&main_gil->state, main_gil->locks.cond, tell, context);
}

bool gp_tracer_look(const gp_stall_look_hold *but, uint64_t limit, gp_stall_look *stall, uint64_t *now)
{
    if (!gp_gil_state_running(&main_gil->state))
        return false;
    gp_gil_lock(main_gil);
    *now = gp_trace_parts_catch_up(main_gil);
    bool seen = gp_gil_state_running(&main_gil->state) &&
                gp_stall_look_take(&main_gil->state, but, limit, *now, stall);
    gp_gil_unlock(main_gil);
    return seen;
}

gp_stall_look_end gp_tracer_follow(const gp_stall_look_hold *hold, uint64_t *ended_at)
{
    *ended_at = gp_clock_ticks();
    if (!gp_gil_state_running(&main_gil->state))
        return GP_STALL_LOOK_LONG_OVER;
    gp_gil_lock(main_gil);
    *ended_at = gp_trace_parts_catch_up(main_gil);
    gp_stall_look_end end = gp_stall_look_follow(&main_gil->state, hold, *ended_at, ended_at);
    gp_gil_unlock(main_gil);
    return end;
}
