#include "trace/gp_tracer.h"

#include <unistd.h>

#include "recording/gp_format.h"
#include "trace/gp_trace_parts.h"
#include "books/gp_threads.h"

static gp_gil *const main_gil = &gp_gil_table[0];
static gp_gil_state *const machine = &gp_gil_table[0].machine;
static gp_status prepared = GP_EUNSUPPORTED;
static const char *unprepared = "the tracer has not been prepared"; /* why */
static bool learnt;
static uint32_t forks; /* that this process is away from where we were loaded */

/* ---- places ---- */

static void met_place(gp_site_key key, gp_buffer *description)
{
    if (key.code != NULL) {
        gp_buffer_number(description, GP_PLACE_PYTHON);
        gp_wrappers_host->describe(key, description);
    } else if (key.instruction == GP_KEY_TRUNCATED) {
        gp_buffer_number(description, GP_PLACE_DEEPER);
    } else if (key.instruction == GP_KEY_UNSEEN) {
        gp_buffer_number(description, GP_PLACE_UNSEEN);
    } else {
        gp_buffer_number(description, GP_PLACE_NATIVE);
        gp_buffer_number(description, (uint32_t)(GP_KEY_NATIVE - key.instruction));
    }
}

/* ---- learning ---- */

/* A handshake gives up the GIL, so that another thread may come to want one before it is over: one at a time.
 * Guarded by the GIL. A process, since a fork in the middle leaves nobody to end it in the child. */
static pid_t handshaking;

static void begin_handshake(const gp_tracer_host *host)
{
    while (handshaking == getpid())
        host->cycle_gil();
    handshaking = getpid();
}

static void end_handshake(void)
{
    handshaking = 0;
}

static gp_status learn(const gp_tracer_host *host, const char **reason)
{
    if (learnt)
        return GP_OK;
    main_gil->releases.first = host->forced;
    main_gil->releases.second = host->voluntary;
    if (prepared != GP_OK) {
        *reason = unprepared;
        return prepared;
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
    machine->naming = (gp_naming){met_place, host->stands_for_caller};
    machine->locate = gp_wrappers_locate;
    machine->folding = (gp_folding_host){gp_threads_gone, gp_threads_retire};
    learnt = true;
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

/* Whether a trace runs or not: a later one may meet the threads that have been seen. */
static void forked_in_child(void)
{
    gp_trace_parts_detach_rings();
    gp_wrappers_watchers = 0;
    forks++;
    uint64_t now = gp_clock_ticks();
    gp_gil_table_forked();
    gp_threads_forked(gp_wrappers_current());
    for (size_t i = 0; i < gp_threads_count(); i++) {
        gp_thread *thread = gp_threads_at(i);
        gp_gil_state_forked(machine, gp_wrappers_current(), &thread, 1, now);
    }
    gp_trace_parts_forked();
}

void gp_tracer_prepare(const gp_tracer_host *host)
{
    if (prepared == GP_OK)
        return;
    prepared = gp_wrappers_find(host, &unprepared);
    if (prepared != GP_OK)
        return;
    if (gp_threads_prepare() != GP_OK || pthread_atfork(NULL, NULL, forked_in_child) != 0) {
        prepared = GP_EUNSUPPORTED;
        unprepared = "the process has no room for one more thread-local value, or one more action at a fork";
    }
}

/* Install the hooks if nobody has yet. */
static gp_status begin_watching(const gp_tracer_host *host, bool *first, const char **reason)
{
    begin_handshake(host);
    *first = !gp_gil_state_running(machine);
    gp_status status = *first ? gp_wrappers_install(host) : GP_OK;
    end_handshake();
    if (status != GP_OK) {
        *reason = "the interpreter's import slots can't be made writable";
    } else if (*first) {
        gp_threads_list_alive();
        host->watch_code(gp_trace_parts_forget_code);
    }
    return status;
}

static void begin_generation(void)
{
    gp_threads_collect_spares(gp_trace_parts_generation);
    /* relaxed: read without a lock only to be compared with a thread's own copy */
    __atomic_store_n(&machine->generation, ++gp_trace_parts_generation, __ATOMIC_RELAXED);
}

static void end_watching(void)
{
    gp_wrappers_host->watch_code(NULL);
    gp_wrappers_remove();
}

static gp_status begin_session(gp_session *session, bool first)
{
    session->start_anchor = gp_clock_anchor_now();
    gp_trace_parts_freeze();
    if (first)
        begin_generation();
    gp_thread *self = gp_wrappers_follow();
    if (self != NULL) {
        session->start = session->origin = gp_clock_ticks();
        session->starter = self;
        session->starter_cpu = session->wants_cpu ? gp_clock_thread_cpu_ns() : 0;
        gp_gil_state_start(machine, session, self);
    }
    gp_trace_parts_thaw();
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
    started->lost_before = gp_threads_lost();
    status = begin_watching(host, &first, reason);
    if (status == GP_OK)
        status = begin_session(started, first);
    if (status != GP_OK) {
        gp_session_free(started);
        return status;
    }
    gp_trace_parts_extend(started);
    *session = started;
    return gp_trace_parts_record(started);
}

/* CPU time of the calling thread, which holds the main GIL. */
static uint64_t holders_cpu(const gp_session *session)
{
    return session->wants_cpu && session->gil == main_gil ? gp_clock_thread_cpu_ns() : 0;
}

void gp_tracer_stop(gp_session *session, const gp_call_stack *here)
{
    if (!session->running)
        return;
    gp_threads_name_alive();
    session->hooks_lost |= !gp_wrappers_in_place();
    gp_trace_parts_stop_others(session); /* first, so that none of them lasts longer than the trace */
    gp_trace_parts_freeze();
    session->cpu_now = holders_cpu(session);
    gp_trace_parts_end(session, here);
    gp_trace_parts_thaw();
    gp_trace_parts_stop_others(session); /* found in between */
    if (!gp_gil_state_running(machine)) {
        end_watching();
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
    for (size_t i = 0; i < gp_threads_count(); i++)
        if (gp_gil_state_concerns(gp_trace_parts_machine(session), session, gp_threads_at(i)))
            (void)gp_account_of(session, gp_threads_at(i));
}

gp_status gp_tracer_read(gp_session *session, size_t part, const gp_call_stack *here, gp_buffer *places,
                         gp_buffer *snapshot)
{
    /* the list grows at its second place: the parts are counted from its end */
    for (size_t left = gp_tracer_parts(session); part != 0 && left > part; left--)
        session = session->others;
    if (part == 0 && session->running)
        gp_threads_name_alive();
    if (part != 0 && session->running)
        gp_trace_parts_close_ended();
    gp_snapshot_facts facts = gp_trace_parts_facts(session);
    gp_trace_parts_enter(session);
    uint64_t now = session->running ? gp_clock_ticks() : session->stop;
    uint32_t place = GP_ROW_NONE;
    if (session->running) {
        open_accounts(session);
        place = gp_gil_state_charge_under_way(gp_trace_parts_machine(session), session,
                                              part == 0 ? here : &gp_trace_parts_unseen, now);
    }
    gp_buffer_raw(places, session->described.bytes, session->described.size);
    session->cpu_now = holders_cpu(session);
    gp_snapshot_write(session, &facts, NULL, place, now, snapshot);
    session->cpu_now = 0;
    gp_trace_parts_leave(session);
    return places->failed || snapshot->failed ? GP_ENOMEM : GP_OK;
}

void gp_tracer_label(uint32_t label)
{
    gp_wrappers_label(label);
}

void gp_tracer_hide(void)
{
    gp_wrappers_hide();
}

size_t gp_tracer_sessions(void)
{
    size_t count = 0;
    for (const gp_session *session = machine->sessions; session != NULL; session = session->next)
        count++;
    return count;
}

uint32_t gp_tracer_watch_begin(void)
{
    gp_wrappers_watchers++;
    if (gp_wrappers_current() != NULL && gp_wrappers_host != NULL)
        gp_wrappers_current()->thread_state = gp_wrappers_host->thread_state();
    return forks;
}

void gp_tracer_watch_end(uint32_t begun)
{
    gp_wrappers_watchers -= begun == forks;
}

bool gp_tracer_look(const gp_stall_look_hold *but, uint64_t limit, gp_stall_look *sight, uint64_t *now)
{
    if (!gp_gil_state_running(machine))
        return false;
    gp_trace_parts_freeze();
    *now = gp_clock_ticks();
    bool seen = gp_gil_state_running(machine) && gp_stall_look_take(machine, but, limit, *now, sight);
    gp_trace_parts_thaw();
    return seen;
}

gp_stall_look_end gp_tracer_follow(const gp_stall_look_hold *hold, uint64_t *ended_at)
{
    *ended_at = gp_clock_ticks();
    if (!gp_gil_state_running(machine))
        return GP_STALL_LOOK_LONG_OVER;
    gp_trace_parts_freeze();
    gp_stall_look_end end = gp_stall_look_follow(machine, hold, *ended_at, ended_at);
    gp_trace_parts_thaw();
    return end;
}
