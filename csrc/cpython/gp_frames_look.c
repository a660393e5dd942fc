#include "cpython/gp_frames_layout.h"

#include "cpython/gp_frames_look.h"

#include <string.h>

#include "base/gp_clock.h"
#include "base/gp_hash.h"
#include "base/gp_safe_read.h"
#include "cpython/gp_callee.h"
#include "cpython/gp_frames.h"
#include "cpython/gp_frames_read_safely.h"
#include "cpython/gp_frames_runtime.h"
#include "cpython/gp_tasks.h"
#include "recording/gp_format.h"

#define Py_BUILD_CORE 1
#include <internal/pycore_gil.h>
#undef Py_BUILD_CORE

/* All here is the looker's: one thread at a time. Nothing that another thread may free or change is
 * dereferenced. */

enum {
    PAGE = 4096,
    CODES = 256,      /* code objects that need not be read again; a power of 2 */
    HIDDEN_MAX = 192, /* frames that are not shown: others may change them into a circle meanwhile */
    RESUMED_MAX = 8,  /* times that a stack is found to end in a generator */
};

static gp_safe_reader reader;
static bool reader_is_open;

/* ---- the GIL ---- */

/* These members of a GIL's state follow each other. */
enum {
    GIL_FROM = offsetof(struct _gil_runtime_state, last_holder),
    GIL_LOCKED = offsetof(struct _gil_runtime_state, locked) - GIL_FROM,
    GIL_SWITCHES = offsetof(struct _gil_runtime_state, switch_number) - GIL_FROM,
    GIL_SIZE = GIL_SWITCHES + sizeof(unsigned long),
    GIL_COND = offsetof(struct _gil_runtime_state, cond) - GIL_FROM,
};

/* Who has it. All the same before and after means: nobody else has had it meanwhile. */
typedef struct {
    const void *holder;
    int locked;
    unsigned long switches;
} gil_view;

static bool view_gil(const void *cond, gil_view *view)
{
    char bytes[GIL_SIZE];
    const void *current = NULL;
    const gp_safe_part parts[] = {
        {(const char *)cond - GIL_COND, bytes, sizeof bytes},
        {gp_frames_found.current, &current, gp_frames_found.current != NULL ? sizeof current : 0},
    };
    if (!gp_safe_read_parts(&reader, parts, sizeof parts / sizeof *parts))
        return false;
    memcpy(&view->holder, bytes, sizeof view->holder);
    if (current != NULL)
        view->holder = current;
    memcpy(&view->locked, bytes + GIL_LOCKED, sizeof view->locked);
    memcpy(&view->switches, bytes + GIL_SWITCHES, sizeof view->switches);
    return true;
}

/* Whether nobody else has had it between the two. */
static bool is_same_holder(const gil_view *a, const gil_view *b)
{
    return a->holder == b->holder && a->switches == b->switches;
}

static bool is_still(const void *cond, const gil_view *before)
{
    gil_view now;
    return view_gil(cond, &now) && is_same_holder(&now, before) && now.locked == before->locked;
}

/* ---- frames ---- */

/* Callers' frames mostly lie below, in the same page: it is read at once. */
static struct {
    uintptr_t from;
    size_t size;
    char bytes[2 * PAGE];
} window;

static bool read_frame(const void *at, gp_frame *frame)
{
    enum { SIZE = offsetof(gp_frame, localsplus) };
    uintptr_t begin = (uintptr_t)at & ~(uintptr_t)(PAGE - 1);
    size_t offset = (uintptr_t)at - window.from;
    if (offset > window.size || window.size - offset < SIZE) {
        offset = (uintptr_t)at - begin;
        window.size = 0;
        if (!gp_safe_read(&reader, (const void *)begin, window.bytes, offset + SIZE))
            return false;
        window.from = begin;
        window.size = offset + SIZE;
    }
    memcpy(frame, window.bytes + offset, SIZE);
    return true;
}

static bool innermost(const void *thread_state, const void **frame, unsigned long *native_id)
{
    const char *state = thread_state, *id = state + offsetof(PyThreadState, native_thread_id);
#if PY_VERSION_HEX >= 0x030D0000
    const gp_safe_part parts[] = {{state + offsetof(PyThreadState, current_frame), frame, sizeof *frame},
                                  {id, native_id, sizeof *native_id}};
    return gp_safe_read_parts(&reader, parts, 2);
#else
    const char *place;
    const gp_safe_part parts[] = {{state + offsetof(PyThreadState, cframe), &place, sizeof place},
                                  {id, native_id, sizeof *native_id}};
    return gp_safe_read_parts(&reader, parts, 2) &&
           gp_safe_read(&reader, place + offsetof(_PyCFrame, current_frame), frame, sizeof *frame);
#endif
}

/* Where the holder was when its levels were begun to be read. */
typedef struct {
    const void *frame; /* NULL: it runs no Python */
    const void *instruction;
    unsigned long native_id;
} whereabouts;

static bool find(const void *thread_state, whereabouts *at)
{
    const char *frame;
    if (!innermost(thread_state, &at->frame, &at->native_id))
        return false;
    frame = at->frame;
    at->instruction = NULL;
    return frame == NULL || gp_safe_read(&reader, frame + offsetof(gp_frame, GP_FRAMES_INSTRUCTION),
                                         &at->instruction, sizeof at->instruction);
}

static bool is_same_place(const whereabouts *a, const whereabouts *b)
{
    return a->frame == b->frame && a->instruction == b->instruction && a->native_id == b->native_id;
}

/* Whether it is there still. A thread does not move without the GIL: whoever calls C code that lets go of the
 * GIL again and again stays at one place all the time. */
static bool stays(const void *thread_state, const whereabouts *before)
{
    whereabouts now;
    return find(thread_state, &now) && is_same_place(&now, before);
}

/* ---- code objects ---- */

/* What is known of one while its number of deaths is the same. */
typedef struct {
    const void *code;
    uint32_t deaths;
    bool runs_callbacks;
    PyCodeObject head;
} known_code;

static known_code codes[CODES];

/* Whether the code runs the callbacks of asyncio's event loops, one by one (Lib/asyncio/events.py). */
static bool runs_callbacks(const PyCodeObject *head)
{
    gp_frames_line name;
    static const char module[] = "/asyncio/events.py";
    if (head->co_argcount != 1)
        return false;
    gp_frames_safe_string(&reader, head->co_qualname, name.function, sizeof name.function);
    if (strcmp(name.function, "Handle._run") != 0)
        return false;
    gp_frames_safe_string(&reader, head->co_filename, name.file, sizeof name.file);
    size_t length = strlen(name.file);
    return length >= sizeof module - 1 && strcmp(name.file + length - (sizeof module - 1), module) == 0;
}

/* NULL if it can't be read. An object of another type is of size 0. */
static const known_code *meet(const void *code)
{
    known_code *entry = &codes[gp_mix((uintptr_t)code) & (CODES - 1)];
    uint32_t deaths = gp_looker_deaths(code);
    if (entry->code == code && entry->deaths == deaths)
        return entry;
    entry->code = NULL;
    entry->runs_callbacks = false;
    if (!gp_safe_read(&reader, code, &entry->head, sizeof(PyObject)))
        return NULL;
    if (Py_TYPE(&entry->head) != &PyCode_Type) {
        memset(&entry->head, 0, sizeof entry->head);
        return entry; /* nobody tells when it goes */
    }
    if (!gp_safe_read(&reader, code, &entry->head, offsetof(PyCodeObject, co_code_adaptive)))
        return NULL;
    entry->runs_callbacks = runs_callbacks(&entry->head);
    entry->code = code;
    entry->deaths = deaths;
    return entry;
}

static bool first_instruction(const gp_frame *frame, const char *code, const PyCodeObject *head,
                              const char **first)
{
#if defined(GP_FRAMES_COPIED_CODE)
    (void)code;
    if (frame->tlbc_index < 0)
        return false;
    const char *copies = (const char *)head->co_tlbc;
    return gp_safe_read(&reader, copies + offsetof(_PyCodeArray, entries) + frame->tlbc_index * sizeof *first,
                        first, sizeof *first);
#else
    (void)frame, (void)head;
    *first = code + offsetof(PyCodeObject, co_code_adaptive);
    return true;
#endif
}

/* ---- levels ---- */

typedef enum {
    SHOWN,
    HIDDEN,
    BROKEN, /* it was changed meanwhile */
} visibility;

static visibility locate(const gp_frame *frame, gp_site_key *key, bool *runs_callbacks)
{
    const char *code = gp_frame_executable(frame), *first;
    if ((unsigned char)frame->owner >= GP_FRAMES_NOT_PYTHON || code == NULL)
        return HIDDEN;
    const known_code *known = meet(code);
    if (known == NULL)
        return BROKEN;
    const PyCodeObject *head = &known->head;
    *runs_callbacks = known->runs_callbacks;
    if (Py_SIZE(head) == 0)
        return HIDDEN;
    if (!first_instruction(frame, code, head, &first))
        return BROKEN;
    intptr_t distance = (intptr_t)((uintptr_t)frame->GP_FRAMES_INSTRUCTION - (uintptr_t)first);
    if (distance >= (intptr_t)(Py_SIZE(head) * (Py_ssize_t)sizeof(_Py_CODEUNIT)) || distance < INT32_MIN)
        return BROKEN;
    *key = (gp_site_key){code, (int32_t)distance};
    return gp_frame_incomplete(frame, distance, head) ? HIDDEN : SHOWN;
}

/* The generators or coroutines that the levels seen belong to. */
static const void *generators[GP_STACK_MAX];

static void add_level(const void *address, const gp_frame *frame, gp_site_key key, bool runs_callbacks,
                      gp_looked *looked)
{
    bool generator = (unsigned char)frame->owner == FRAME_OWNED_BY_GENERATOR;
    generators[looked->depth] = generator ? (const char *)address - offsetof(PyGenObject, gi_iframe) : NULL;
    if (runs_callbacks && looked->callback == 0) /* what it calls may be in C */
        looked->callback = looked->depth != 0 ? looked->depth : 1;
    looked->keys[looked->depth++] = key;
}

static void drop_levels(size_t count, gp_looked *looked)
{
    looked->depth -= count;
    looked->callback = looked->callback > count ? looked->callback - count : 0;
    memmove(looked->keys, looked->keys + count, looked->depth * sizeof *looked->keys);
    memmove(generators, generators + count, looked->depth * sizeof *generators);
}

/* A generator's frame, while it is suspended, has no caller (gen_send_ex2 in Objects/genobject.c). So has
 * that of one that native code resumes, where nothing in Python has called that. */
static bool is_suspended(const gp_frame *frame)
{
    return (unsigned char)frame->owner == FRAME_OWNED_BY_GENERATOR && frame->previous == NULL;
}

/* Append the levels from a frame on. *last becomes the last frame if that is a suspended one. If `met` is
 * among them, what was there before goes: it is here again. */
static bool read_levels_from(const void *next, const void *met, gp_looked *looked, const void **last)
{
    gp_frame frame;
    size_t before = looked->depth;
    window.size = 0;
    *last = NULL;
    for (size_t hidden = 0; next != NULL; next = frame.previous) {
        gp_site_key key;
        bool callbacks = false;
        visibility is = read_frame(next, &frame) ? locate(&frame, &key, &callbacks) : BROKEN;
        if (is == BROKEN || (is == HIDDEN && ++hidden > HIDDEN_MAX))
            return false;
        if (next == met && before != 0) {
            drop_levels(before, looked);
            before = 0;
        }
        *last = is_suspended(&frame) ? next : NULL;
        if (is == HIDDEN)
            continue;
        looked->truncated = looked->depth == GP_STACK_MAX;
        if (looked->truncated)
            break;
        add_level(next, &frame, key, callbacks, looked);
    }
    return true;
}

/* Where a generator was suspended under the eyes, who resumed it is what the thread runs now. To look anew
 * instead would overlook generators that run for no longer than it takes to look. */
static bool read_levels(const void *thread_state, const void *now, gp_looked *looked)
{
    const void *suspended = NULL;
    unsigned long native_id;
    for (int tries = 0; tries < RESUMED_MAX && (tries == 0 || suspended != NULL); tries++)
        if ((tries != 0 && !innermost(thread_state, &now, &native_id)) ||
            !read_levels_from(now, suspended, looked, &suspended))
            return false;
    return true;
}

/* ---- what the looker is given ---- */

/* The callee, if the innermost level is where it was when that was read. */
static void read_callee(const void *thread_state, gp_looked *looked)
{
    gp_site_key at;
    bool named = gp_callee_read_at(&reader, thread_state, &at, looked->callee, sizeof looked->callee) &&
                 looked->depth != 0 && gp_site_same(at, looked->keys[0]);
    if (!named)
        looked->callee[0] = '\0';
}

/* The task, if its coroutine is among the levels. */
static void read_task(const void *thread_state, gp_looked *looked)
{
    size_t first = 0, level = looked->depth;
    while (first < looked->depth && generators[first] == NULL)
        first++;
    if (first < looked->depth)
        level = gp_tasks_read(&reader, thread_state, generators, looked->depth, looked->task,
                              sizeof looked->task);
    if (level < looked->depth)
        looked->callback = level + 1;
    else
        looked->task[0] = '\0';
}

/* Who had the GIL before the look, or had it last, and where that thread was. */
static struct {
    gil_view gil;
    whereabouts at;
    bool seen;
} glanced;

static void glance(const void *cond)
{
    if (!reader_is_open)
        gp_safe_reader_open(&reader);
    reader_is_open = true;
    glanced.seen = view_gil(cond, &glanced.gil) && find(glanced.gil.holder, &glanced.at);
}

static gp_looked_at look(const void *cond, gp_looked *looked)
{
    gil_view before;
    whereabouts at;
    looked->depth = 0;
    looked->truncated = false;
    looked->callee[0] = looked->task[0] = '\0';
    looked->callback = 0;
    if (!view_gil(cond, &before))
        return GP_LOOKED_UNSEEN;
    if (before.locked <= 0) /* below 0: it has not been made yet */
        return GP_LOOKED_FREE;
    looked->holder = before.holder;
    if (!find(before.holder, &at))
        return GP_LOOKED_UNSEEN;
    looked->found = gp_clock_ticks();
    looked->stays = glanced.seen && is_same_holder(&glanced.gil, &before) && is_same_place(&glanced.at, &at);
    if (!read_levels(before.holder, at.frame, looked))
        return GP_LOOKED_UNSEEN;
    read_task(before.holder, looked);
    if (!is_still(cond, &before) && !stays(before.holder, &at))
        return GP_LOOKED_UNSEEN;
    read_callee(before.holder, looked);
    if (looked->callee[0] != '\0' && !is_still(cond, &before) && !stays(before.holder, &at))
        looked->callee[0] = '\0'; /* the level was seen before that */
    return GP_LOOKED_AT_HOLDER;
}

/* As gp_frames_importer has it. */
static bool imports(const gp_frames_text *file)
{
    static const char name[] = "<frozen importlib._bootstrap";
    return file->size >= sizeof name - 1 && memcmp(file->bytes, name, sizeof name - 1) == 0;
}

static bool describe(gp_site_key key, gp_buffer *description, bool *stands_for_caller)
{
    gp_frames_text function, file;
    int32_t line;
    if (!gp_frames_describe_safely(&reader, key, &function, &file, &line))
        return false;
    gp_buffer_number(description, GP_PLACE_PYTHON);
    gp_buffer_number(description, line > 0 ? (uint64_t)line : 0);
    gp_buffer_string(description, function.bytes, function.size);
    gp_buffer_string(description, file.bytes, file.size);
    *stands_for_caller = imports(&file);
    return true;
}

static void forked(void)
{
    if (reader_is_open)
        gp_safe_reader_close(&reader);
}

const gp_looker_eyes gp_frames_look_eyes = {
    .glance = glance, .look = look, .describe = describe, .forked = forked};
