/* Plays made-up schedules of threads to the tracer's real stream, books, recorder and reports, on a clock of
 * its own: tests/tracing/test_report_twin.py makes them, and says what a line means. All on one thread: the
 * order of the lines is that in which other threads would see what was written.
 *
 * Standard input: a letter and numbers a line; a schedule ends with X. Standard output: for each reading the
 * session, the sizes of the places and of the snapshot, and both (PLAC and SNAP of
 * docs/recording-format.md). */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recording/gp_format.h"
#include "recording/gp_recorder.h"
#include "trace/gp_trace_parts.h"
#include "trace/gp_tracer_object.h"

enum { ACTORS = 64, SESSIONS = 4, LEVELS = 3, STACKS = 6 };

uint64_t __wrap_gp_clock_slow_ticks(void);

static uint64_t now;
static gp_thread *actors[ACTORS];
static gp_session *sessions[SESSIONS];
static gp_recorder *recorders[SESSIONS];
static char path[4096];

static gp_gil_state *const gil = &gp_tracer.main_gil.state;

uint64_t __wrap_gp_clock_slow_ticks(void)
{
    return now;
}

/* ---- places ---- */

/* Each is a function of the same number, and its instruction a line. */
static const char codes[4];
static const gp_site_key stacks[STACKS][LEVELS] = {
    {{NULL, 0}},
    {{&codes[0], 2}},
    {{&codes[0], 2}, {&codes[1], 4}, {&codes[2], 8}},
    {{&codes[1], 4}, {&codes[1], 4}, {&codes[2], 8}},
    {{&codes[0], 2}, {&codes[3], 4}, {&codes[2], 8}},
    {{&codes[3], 6}, {&codes[0], 2}},
};

static gp_call_stack stack_of(unsigned number)
{
    gp_call_stack stack = {stacks[number], 0, number == STACKS - 1};
    while (stack.depth < LEVELS && stack.keys[stack.depth].code != NULL)
        stack.depth++;
    return stack;
}

static void describe(gp_site_key key, gp_buffer *description)
{
    char name[2] = {(char)('a' + ((const char *)key.code - codes)), 0};
    gp_buffer_number(description, key.code != NULL ? GP_PLACE_PYTHON : GP_PLACE_DEEPER);
    if (key.code == NULL)
        return;
    gp_buffer_number(description, (uint64_t)key.instruction);
    gp_buffer_string(description, name, 1);
    gp_buffer_string(description, "made_up.py", strlen("made_up.py"));
}

/* As the wrappers find it. */
static uint32_t where(unsigned number)
{
    gp_call_stack stack = stack_of(number);
    bool lasting;
    if (gil->wanting_sites == 0)
        return GP_ROW_NONE;
    if (gil->wanting_stacks != 0)
        return gp_places_stack(&gil->places, &stack);
    return stack.depth != 0 ? gp_places_site(&gil->places, stack.keys[0], &lasting) : GP_NO_FRAME;
}

/* ---- threads ---- */

static void require(bool is)
{
    if (!is)
        abort();
}

static gp_thread *follow(unsigned actor, bool early, uint64_t asked, bool holds)
{
    gp_thread *thread = actors[actor] = gp_threads_register(&gp_tracer.threads);
    require(thread != NULL);
    thread->gil = &gp_tracer.main_gil;
    thread->native_id = 1000 + actor;
    gp_gil_state_adopt(gil, thread, early ? 0 : asked > GP_ASKED_AT_ONCE ? asked : now, holds);
    thread->journal.asking = asked;
    return thread;
}

static void ask(unsigned actor, uint64_t asked)
{
    gp_journal_ask(&actors[actor]->journal, asked);
    gp_stream_list(&gil->stream, &actors[actor]->journal);
}

static void take(gp_thread *thread, uint64_t asking, uint64_t taken, unsigned place)
{
    gp_journal *journal = &thread->journal;
    if (asking <= GP_ASKED_AT_ONCE)
        journal->asking = asking;
    if (!gp_journal_has_room(journal))
        gp_gil_state_read(gil, now);
    require(gp_journal_has_room(journal));
    if (journal->fresh)
        gp_journal_place(journal, where(place));
    journal->fresh = false;
    gp_stream_take(&gil->stream, journal);
    gp_journal_take(journal, taken);
}

/* ---- looks ---- */

enum { HELD, FREE, UNSEEN };

static uint32_t described(gp_site_key key)
{
    gp_buffer text = {0};
    describe(key, &text);
    uint32_t number = gp_places_described(&gp_tracer.looked, &text);
    gp_buffer_free(&text);
    return number;
}

/* As a looker finds it. */
static uint32_t with_callee(uint32_t place)
{
    gp_buffer text = {0};
    gp_buffer_number(&text, GP_PLACE_PYTHON);
    gp_buffer_number(&text, 0);
    gp_buffer_string(&text, "sorted", strlen("sorted"));
    gp_buffer_string(&text, "", 0);
    uint32_t number =
        gp_places_called(&gp_tracer.looked, place, gp_places_described(&gp_tracer.looked, &text));
    gp_buffer_free(&text);
    return number;
}

static gp_look look_at_place(unsigned number, bool callee)
{
    gp_call_stack stack = stack_of(number);
    gp_look look = {.site = GP_NO_FRAME, .stack = GP_NO_FRAME};
    if (stack.depth == 0)
        return look;
    look.site = described(stack.keys[0]);
    look.stack = stack.truncated ? described((gp_site_key){NULL, GP_KEY_TRUNCATED}) : GP_ROW_NONE;
    for (size_t i = stack.depth; i-- > 0;)
        look.stack = gp_places_called(&gp_tracer.looked, look.stack, described(stack.keys[i]));
    if (callee) {
        look.site = with_callee(look.site);
        look.stack = with_callee(look.stack);
    }
    return look;
}

static void look(unsigned what, unsigned number, bool callee)
{
    gp_look look = look_at_place(number, callee);
    if (what != HELD)
        look.site = look.stack = what == FREE ? GP_LOOK_FREE : GP_UNSEEN;
    look.time = now;
    look.generation = gil->generation;
    look.stands_for = 1 + (uint32_t)(now % 7);
    require(gp_looks_begin(&gil->looks, &look) && gp_looks_end(&gil->looks, &look));
}

static void retire(gp_thread *thread)
{
    gp_threads_retire(&gp_tracer.threads, thread);
}

static bool has_exited(const gp_thread *thread)
{
    return atomic_load(&thread->exited);
}

/* ---- sessions ---- */

/* The first of a schedule begins with the thread that has the GIL. */
static void begin(unsigned number, unsigned actor, bool early, unsigned flags, size_t keep)
{
    int error;
    bool first = !gp_gil_state_running(gil);
    require(gp_recorder_open(path, GP_RECORDER_NO_THREAD, &recorders[number], &error) == GP_OK);
    gp_session *session =
        gp_trace_parts_new(&gp_tracer.main_gil, (flags & 3) != 0, (flags & 2) != 0, true, recorders[number]);
    require(session != NULL);
    session->wants_looks = (flags & 4) != 0;
    session->keep = keep;
    session->keep_largest = 1;
    session->start_anchor = gp_clock_anchor_now();
    pthread_mutex_lock(&gil->stream.lock);
    if (first)
        __atomic_store_n(&gil->generation, ++gp_tracer.generation, __ATOMIC_RELAXED);
    else
        gp_gil_state_read(gil, now);
    session->start = session->origin = now;
    gp_gil_state_start(gil, session, first ? follow(actor, early, GP_ASKED_AT_ONCE, true) : actors[actor]);
    pthread_mutex_unlock(&gil->stream.lock);
    sessions[number] = session;
    require(gp_trace_parts_record(session) == GP_OK);
}

static void end(unsigned number, unsigned actor, unsigned place)
{
    pthread_mutex_lock(&gil->stream.lock);
    gp_gil_state_read(gil, now);
    gp_trace_parts_end(sessions[number], where(place), now);
    pthread_mutex_unlock(&gil->stream.lock);
    gp_recorder_finish(recorders[number]);
    gp_recorder_free(recorders[number]);
    if (!gp_gil_state_running(gil)) {
        gp_places_clear(&gil->places);
        gp_places_clear(&gp_tracer.looked);
    }
}

static void read_live(unsigned number, unsigned place)
{
    gp_buffer places = {0}, snapshot = {0};
    gp_call_stack here = stack_of(place);
    require(gp_tracer_read(sessions[number], 0, &here, &places, &snapshot) == GP_OK);
    printf("%u %zu %zu\n", number, places.size, snapshot.size);
    fwrite(places.bytes, 1, places.size, stdout);
    fwrite(snapshot.bytes, 1, snapshot.size, stdout);
    gp_buffer_free(&places);
    gp_buffer_free(&snapshot);
}

static void end_schedule(void)
{
    for (unsigned i = 0; i < SESSIONS; i++) {
        gp_session_free(sessions[i]);
        sessions[i] = NULL;
    }
    for (unsigned i = 0; i < ACTORS; i++)
        if (actors[i] != NULL && !has_exited(actors[i]))
            gp_thread_exit(actors[i], now);
    memset(actors, 0, sizeof actors);
    gp_gil_state_reset(gil);
    gp_tracer.generation += 2; /* records can be used again */
    gp_threads_collect_spares(&gp_tracer.threads, gp_tracer.generation);
}

static void play(char what, const uint64_t v[6])
{
    unsigned actor = (unsigned)v[0];
    gp_thread *thread = actor < ACTORS ? actors[actor] : NULL;
    switch (what) {
    case 'N':
        now = v[0];
        return;
    case 'F':
        follow(actor, v[1] != 0, v[2], false);
        return;
    case 'A':
        ask(actor, v[1]);
        return;
    case 'T':
        take(thread, v[1], v[2], (unsigned)v[3]);
        return;
    case 'R':
        gp_journal_release(&thread->journal, now, where((unsigned)v[1]), v[2] != 0);
        return;
    case 'V':
        look(actor, (unsigned)v[1], v[2] != 0);
        return;
    case 'G':
        gp_thread_exit(thread, now);
        return;
    case 'K':
        gp_gil_state_read(gil, gp_stream_known_until(&gil->stream));
        return;
    case 'W':
        gp_recorder_flush(recorders[v[0]], 0);
        return;
    case 'B':
        begin((unsigned)v[0], (unsigned)v[1], v[2] != 0, (unsigned)v[3], v[4]);
        return;
    case 'E':
        end((unsigned)v[0], (unsigned)v[1], (unsigned)v[2]);
        return;
    case 'L':
        read_live((unsigned)v[0], (unsigned)v[1]);
        return;
    case 'X':
        end_schedule();
        return;
    default:
        abort();
    }
}

int main(void)
{
    char line[sizeof path];
    gp_clock_force(GP_CLOCK_MONOTONIC);
    require(gp_threads_prepare(&gp_tracer.threads) == GP_OK);
    gil->places.naming = (gp_naming){describe, NULL};
    gil->folding = (gp_folding_host){has_exited, retire};
    gil->looked = &gp_tracer.looked;
    pthread_mutex_init(&gil->stream.lock, NULL);
    gp_tracer.releases_told_apart = true;
    while (fgets(line, sizeof line, stdin) != NULL) {
        uint64_t v[6] = {0};
        line[strcspn(line, "\n")] = 0;
        if (line[0] == 'P') {
            snprintf(path, sizeof path, "%s", line + 2);
            continue;
        }
        char *at = line + 1;
        for (int i = 0; i < 6 && *at != 0; i++)
            v[i] = strtoull(at, &at, 10);
        play(line[0], v);
    }
    return 0;
}
