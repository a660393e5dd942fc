#define _GNU_SOURCE
#include <Python.h>

#include "cpython/gp_interpreter.h"

#include "cpython/gp_codes.h"
#include "cpython/gp_frames.h"
#include "cpython/gp_frames_look.h"
#include "cpython/gp_loop_callbacks.h"
#include "cpython/gp_tasks.h"
#include "base/gp_memory.h"
#include "base/gp_safe_read.h"
#include "trace/gp_seen_hold.h"

#include <string.h>

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

enum {
    FUNCTIONS_MAX = 16,
};

static const void *voluntary[FUNCTIONS_MAX];
static const void *forced[FUNCTIONS_MAX];

/* Functions that give the GIL up because the code asked for it. PyEval_ReleaseThread and PyThreadState_Swap
 * may end by a tail call and so be missing on the stack: their callers in Python/parking_lot.c (locks, 3.13+)
 * and Python/pystate.c (3.12) are listed too, and what begins, ends and enters other interpreters. */
static const char *const voluntary_names[] = {
    "PyEval_SaveThread",   "PyEval_ReleaseThread",        "PyThreadState_Swap",
    "_PyThreadState_Swap", "PyGILState_Release",          "_PySemaphore_Wait",
    "_PyParkingLot_Park",  "PyThreadState_DeleteCurrent", "Py_NewInterpreterFromConfig",
    "Py_EndInterpreter",   "PyInterpreterState_Delete",   "_PyXI_Enter",
    "_PyXI_Exit",
};

/* Functions that give the GIL up because another thread asked: _Py_HandlePending in Python/ceval_gil.c
 * (exported since 3.13), else the evaluation loop. */
static const char *const forced_names[] = {"_Py_HandlePending", "_PyEval_EvalFrameDefault"};

static void cycle_gil(void)
{
    Py_BEGIN_ALLOW_THREADS Py_END_ALLOW_THREADS
}

/* By name, since not every version exports all of them. */
static void look_up(const char *const *names, size_t count, const void **functions)
{
    size_t found = 0;
#if !defined(_WIN32)
    for (size_t i = 0; i < count; i++) {
        const void *function = dlsym(RTLD_DEFAULT, names[i]);
        if (function != NULL)
            functions[found++] = function;
    }
#else
    (void)names, (void)count;
#endif
    functions[found] = NULL;
}

/* From 3.12 a GIL is part of its interpreter's state (Include/internal/pycore_interp.h), always at the same
 * offset; before that there is only one GIL. */
static uint32_t identify(const void *mutex, const void *main_mutex)
{
    const char *state = (const char *)PyInterpreterState_Main();
    int64_t id = PyInterpreterState_GetID(
        (PyInterpreterState *)(state + ((const char *)mutex - (const char *)main_mutex)));
    return (uint32_t)id;
}

/* Offsets + 1 of the identifier and of the next interpreter in an interpreter's state; 0: not known. The
 * interpreter's own functions tell them: they read a made-up state, whose words hold their own offsets. */
static struct {
    size_t id, next;
} state_has;

enum {
    STATE_MAX = 4 << 20,  /* no state is as long */
    STATE_HEAD = 1 << 17, /* bytes of it that are filled for the search */
    LOOKS = 3,            /* how often the interpreters are listed if they change meanwhile */
};

static void find_in_state(void)
{
    int64_t *state = gp_memory_map(STATE_MAX);
    if (state == NULL)
        return;
    for (size_t i = 0; i < STATE_HEAD / sizeof *state; i++)
        state[i] = (int64_t)(i * sizeof *state + 1);
    state_has.id = (size_t)PyInterpreterState_GetID((PyInterpreterState *)state);
    state_has.next = (size_t)PyInterpreterState_Next((PyInterpreterState *)state);
    gp_memory_unmap(state, STATE_MAX);
}

/* A new interpreter is put before the others and gets the next identifier (Python/pystate.c); the main one is
 * the last. The memory of one that ends meanwhile may hold anything: then the identifiers do not descend. */
static size_t list_living(uint32_t *identifiers, size_t room)
{
    const char *state = (const char *)PyInterpreterState_Head();
    int64_t id, before = INT64_MAX;
    for (size_t count = 0; count < room; before = id) {
        if (!gp_safe_read_once(state + state_has.id - 1, &id, sizeof id) ||
            !gp_safe_read_once(state + state_has.next - 1, &state, sizeof state) || id < 0 || id >= before)
            return 0;
        identifiers[count++] = (uint32_t)id;
        if (id == 0)
            return state == NULL ? count : 0;
    }
    return 0;
}

static size_t living(uint32_t *identifiers, size_t room)
{
    size_t count = 0;
    for (int i = 0; count == 0 && i < LOOKS && state_has.id != 0 && state_has.next != 0; i++)
        count = list_living(identifiers, room);
    return count;
}

static void describe(gp_site_key key, gp_buffer *buffer)
{
    gp_frames_text function, file;
    int32_t line;
    gp_frames_describe(key, &function, &file, &line);
    gp_buffer_number(buffer, line > 0 ? (uint64_t)line : 0);
    gp_buffer_string(buffer, function.bytes, function.size);
    gp_buffer_string(buffer, file.bytes, file.size);
}

/* The code of `gilprobe record` that runs a program is not shown (gilprobe/tracing/places.py leaves it out of
 * reports). */
static bool is_launcher(gp_text file)
{
    static const char end[] = "gilprobe/programs/program.py";
    size_t size = sizeof end - 1;
    return file.size >= size && memcmp(file.bytes + file.size - size, end, size) == 0;
}

typedef struct {
    gp_looker_tell *tell;
    void *context;
    bool launches; /* all further levels do */
} program_levels;

static void tell_level(void *context, gp_text function, gp_text file, uint64_t line)
{
    program_levels *levels = context;
    levels->launches |= is_launcher(file);
    if (!levels->launches)
        levels->tell(levels->context, function, file, line);
}

static gp_look see(gp_looker_tell *tell, void *context)
{
    return gp_tracer_see(tell_level, &(program_levels){tell, context, false});
}

static void watch_loops(bool watch)
{
    if (watch)
        gp_tasks_prepare();
    gp_loop_callbacks_watch(watch);
}

const gp_watchdog_eyes *gp_interpreter_eyes(void)
{
    static const gp_watchdog_eyes eyes = {
        .look = gp_tracer_look, .follow = gp_tracer_follow, .see = see, .keep = gp_seen_hold_in_stall};
    return &eyes;
}

const gp_tracer_host *gp_interpreter_host(void)
{
    static gp_tracer_host host;
    if (host.cycle_gil == NULL) {
        find_in_state();
        host.interpreter = (const void *)PyEval_SaveThread;
        host.voluntary = voluntary;
        host.forced = forced;
        host.identify = identify;
        host.living = living;
        host.instruction = gp_frames_instruction;
        host.code_begins = gp_frames_code_begins;
        host.last_holder = gp_frames_last_holder;
        host.taken = gp_frames_gil_taken;
        host.here = gp_frames_here;
        host.stands_for_caller = gp_frames_stands_for_caller;
        host.recognise = gp_frames_recognise;
        host.walk = gp_frames_walk;
        host.describe = describe;
        host.watch_code = gp_codes_watch;
        host.looker_eyes = &gp_frames_look_eyes;
        host.watch_loops = watch_loops;
        host.cycle_gil = cycle_gil;
    }
    return &host;
}

void gp_interpreter_prepare(void)
{
    look_up(voluntary_names, sizeof voluntary_names / sizeof *voluntary_names, voluntary);
    look_up(forced_names, sizeof forced_names / sizeof *forced_names, forced);
    gp_frames_prepare();
    gp_tracer_prepare(gp_interpreter_host());
}
