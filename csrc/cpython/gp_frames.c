#include "cpython/gp_frames_layout.h"

#include <string.h>

#include "cpython/gp_frames.h"
#include "cpython/gp_frames_runtime.h"
#include "cpython/gp_linetable.h"
#include "cpython/gp_opcodes.h"
#include "base/gp_utf8.h"

#define Py_BUILD_CORE 1
#include <internal/pycore_gil.h>
#undef Py_BUILD_CORE

enum {
    LOOKS = 256, /* for the frames that are the same as last time: more than it takes to look up all */
};

static const gp_frame *innermost(void)
{
    /* Then the states of all threads but the finalizing one are freed, while those threads still take and
     * drop the GIL as they end (take_gil in Python/ceval_gil.c, bpo-36475). */
    if (gp_frames_is_finalizing())
        return NULL;
    /* thread-local, and still set when the thread state is detached (Python/pystate.c) */
    const PyThreadState *state = gp_frames_own_state();
    return state == NULL ? NULL : GP_FRAMES_INNERMOST(state);
}

static const char *first_instruction(const gp_frame *frame, const PyCodeObject *code)
{
#if defined(GP_FRAMES_COPIED_CODE)
    return code->co_tlbc->entries[frame->tlbc_index];
#else
    (void)frame;
    return code->co_code_adaptive;
#endif
}

/* Tell where a frame is. False if it is not a Python frame. */
static bool locate(const gp_frame *frame, gp_site_key *key)
{
    if (frame->owner >= GP_FRAMES_NOT_PYTHON)
        return false;
    const PyCodeObject *code = gp_frame_executable(frame);
    if (code == NULL || !PyCode_Check((PyObject *)code))
        return false;
    ptrdiff_t distance = (const char *)frame->GP_FRAMES_INSTRUCTION - first_instruction(frame, code);
    if (gp_frame_incomplete(frame, distance, code))
        return false;
    *key = (gp_site_key){code, (int32_t)distance};
    return true;
}

const void *const *gp_frames_last_holder(const void *cond)
{
    const char *gil = (const char *)cond - offsetof(struct _gil_runtime_state, cond);
    const void *const *member =
        (const void *const *)(const void *)(gil + offsetof(struct _gil_runtime_state, last_holder));
    return *member == PyThreadState_Get() ? member : NULL;
}

const int *gp_frames_gil_taken(const void *cond)
{
    const char *gil = (const char *)cond - offsetof(struct _gil_runtime_state, cond);
    const int *member = (const int *)(const void *)(gil + offsetof(struct _gil_runtime_state, locked));
    return gp_frames_last_holder(cond) != NULL && __atomic_load_n(member, __ATOMIC_RELAXED) == 1 ? member
                                                                                                 : NULL;
}

const size_t gp_frames_code_begins = offsetof(PyCodeObject, co_code_adaptive);

__attribute__((hot)) const void *gp_frames_instruction(const void *thread_state)
{
    const gp_frame *frame = GP_FRAMES_INNERMOST((const PyThreadState *)thread_state);
    while (frame != NULL && __builtin_expect(frame->owner >= GP_FRAMES_NOT_PYTHON, 0))
        frame = frame->previous;
    return __builtin_expect(frame != NULL, 1) ? frame->GP_FRAMES_INSTRUCTION : NULL;
}

gp_site_key gp_frames_here(void)
{
    gp_site_key key = {NULL, 0};
    for (const gp_frame *frame = innermost(); frame != NULL && !locate(frame, &key);)
        frame = frame->previous;
    return key;
}

static gp_utf8_source text_of(PyObject *string)
{
#if PY_VERSION_HEX < 0x030C0000
    /* a string of the old API that nobody has used has no units yet (PEP 623) */
    if (!PyUnicode_IS_READY(string))
        return (gp_utf8_source){"?", 1, 1};
#endif
    return (gp_utf8_source){
        .units = PyUnicode_DATA(string),
        .length = (size_t)PyUnicode_GET_LENGTH(string),
        .width = (unsigned)PyUnicode_KIND(string),
    };
}

/* The same rule as in places.py. Both modules of the import system are frozen (Lib/importlib). */
static bool imports(const PyCodeObject *code)
{
    static const char name[] = "<frozen importlib._bootstrap"; /* and ..._external */
    gp_utf8_source file = text_of(code->co_filename);
    return file.width == 1 && file.length >= sizeof name - 1 &&
           memcmp(file.units, name, sizeof name - 1) == 0;
}

/* Whether a function has only begun, or been resumed: RESUME is where the interpreter looks whether it has to
 * let go (Python/bytecodes.c). What came before was the caller's. */
static bool is_entry(gp_site_key key)
{
    const PyCodeObject *code = key.code;
    const uint8_t *instructions = (const uint8_t *)code->co_code_adaptive;
    return key.instruction <= code->_co_firsttraceable * (int32_t)sizeof(_Py_CODEUNIT) ||
           gp_opcodes_original(instructions[key.instruction]) == RESUME;
}

/* The next frame that is shown, from this one on. */
static const gp_frame *find_shown(const gp_frame *frame, gp_site_key *key)
{
    while (frame != NULL && !locate(frame, key))
        frame = frame->previous;
    return frame;
}

const void *gp_frames_innermost(gp_site_key *key)
{
    return find_shown(innermost(), key);
}

const void *gp_frames_outer(const void *frame, gp_site_key *key)
{
    return find_shown(((const gp_frame *)frame)->previous, key);
}

bool gp_frames_stands_for_caller(gp_site_key *key)
{
    bool entry = is_entry(*key);
    if (!entry && !imports(key->code))
        return false;
    gp_site_key at = {NULL, 0};
    const gp_frame *frame = find_shown(innermost(), &at);
    while (frame != NULL && !gp_site_same(at, *key))
        frame = find_shown(frame->previous, &at);
    if (entry && frame != NULL && (frame = find_shown(frame->previous, &at)) != NULL)
        *key = at;
    while (frame != NULL && imports(at.code))
        frame = find_shown(frame->previous, &at);
    if (frame != NULL)
        *key = at;
    return true;
}

/* Go on along a path as far as the stack is the same, from a frame that is. Returns the end of the path, or
 * the last entry with the same frame. Each frame is read at the address that is remembered, once the one
 * before has confirmed it: so the processor need not wait for one frame to know where the next one is. */
static inline const gp_path_frame *follow(const gp_frame *frame, const gp_path_frame *entry)
{
    for (const gp_frame *same; frame == (same = entry->frame); entry++) {
        if (same->GP_FRAMES_INSTRUCTION != entry->instruction)
            return entry;
        frame = same->previous;
    }
    return entry->frame == GP_PATH_END && entry->instruction == frame ? entry : entry - 1;
}

static inline uint32_t compare(const gp_frame *frame, const gp_path_frame *path)
{
    bool same = frame == path->frame && follow(frame, path)->frame == GP_PATH_END;
    return same ? path->place : GP_ROW_NONE;
}

__attribute__((noinline)) static uint32_t recognise_another(const gp_frame *frame, gp_paths *paths)
{
    const gp_frame *caller = frame->previous;
    const void *called_at = caller != NULL ? caller->GP_FRAMES_INSTRUCTION : NULL;
    uint32_t path = paths->recent[gp_paths_slot(frame, frame->GP_FRAMES_INSTRUCTION, called_at)];
    uint32_t place = compare(frame, &paths->frames[path]);
    if (place != GP_ROW_NONE)
        paths->last = path;
    return place;
}

__attribute__((hot)) uint32_t gp_frames_recognise(gp_paths *paths, const void *thread_state)
{
    const PyThreadState *state = thread_state;
    const gp_frame *frame = state != NULL ? GP_FRAMES_INNERMOST(state) : innermost();
    if (frame == NULL)
        return GP_ROW_NONE;
    uint32_t place = compare(frame, &paths->frames[paths->last]);
    return __builtin_expect(place != GP_ROW_NONE, 1) ? place : recognise_another(frame, paths);
}

/* Whether a frame that is not shown never will be, at this instruction. The interpreter's own code around
 * `__init__` (_Py_InitCleanup in Python/specialize.c) always seems incomplete, and never goes. */
static bool stays_hidden(const gp_frame *frame)
{
#if PY_VERSION_HEX >= 0x030C0000
    const int generators = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR; /* the owner of theirs changes */
    const PyCodeObject *code = gp_frame_executable(frame);
    return frame->owner >= GP_FRAMES_NOT_PYTHON ||
           (code != NULL && PyCode_Check((PyObject *)code) && _Py_IsImmortal((PyObject *)code) &&
            (code->co_flags & generators) == 0);
#else
    (void)frame;
    return false;
#endif
}

/* The frames from which on the stack is as a path is. */
typedef struct {
    const gp_path_frame *next;  /* the entries from here on may be the same */
    const gp_frame *last_tried; /* not before this one */
    size_t looks;               /* so many are left */
} search;

static const gp_path_frame *find_frame(search *found, const gp_frame *frame)
{
    for (const gp_path_frame *entry = found->next; entry->frame != GP_PATH_END; entry++, found->looks--)
        if (found->looks == 0 || entry->frame == frame)
            return found->looks != 0 ? entry : NULL;
    return NULL;
}

/* Take over the frames from this one on if there is a path that goes on as the stack does, with their places.
 * Returns how many; 0: none. */
static size_t take_over(search *found, const gp_frame *frame, gp_path_frame *frames, size_t room)
{
    const gp_path_frame *entry = found->last_tried == NULL ? find_frame(found, frame) : NULL;
    if (entry == NULL) {
        found->last_tried = frame == found->last_tried ? NULL : found->last_tried;
        return 0;
    }
    const gp_path_frame *end = follow(frame, entry);
    size_t count = (size_t)(end - entry);
    if (end->frame == GP_PATH_END && end->place == GP_ROW_NONE && count <= room) {
        memcpy(frames, entry, (count + 1) * sizeof *frames);
        return count;
    }
    found->next = end->frame != GP_PATH_END ? end + 1 : end;
    found->last_tried = end->frame != frame ? end->frame : NULL;
    return 0;
}

/* Whether the innermost level stands for its caller: only one does. */
static bool leave_out(const gp_frame *frame, gp_site_key key, bool *left_out)
{
    gp_site_key caller;
    if (*left_out || !is_entry(key) || find_shown(frame->previous, &caller) == NULL)
        return false;
    return *left_out = true;
}

gp_walked gp_frames_walk(const gp_paths *paths, gp_path_frame *frames, gp_site_key *keys)
{
    const gp_frame *frame = innermost();
    search known = {.next = &paths->frames[paths->last], .looks = paths->last != 0 ? LOOKS : 0};
    gp_walked walked = {.count = 0, .lasting = true};
    uint32_t shown = 0;
    bool left_out = false;
    for (; frame != NULL && walked.count < GP_FRAMES_MAX && shown <= GP_STACK_MAX; frame = frame->previous) {
        gp_path_frame *entry = &frames[walked.count];
        size_t same = walked.count < GP_STACK_MAX && known.looks != 0
                          ? take_over(&known, frame, entry, GP_STACK_MAX - walked.count)
                          : 0;
        if (same != 0) {
            walked.fresh = walked.count;
            walked.count += same;
            while (shown == 0 && frame != NULL && !locate(frame, &keys[0]))
                frame = frame->previous;
            return walked;
        }
        bool is_shown = locate(frame, &keys[shown]) && !(shown == 0 && leave_out(frame, keys[0], &left_out));
        *entry = (gp_path_frame){frame, frame->GP_FRAMES_INSTRUCTION, is_shown ? shown : GP_ROW_NONE};
        walked.lasting &= is_shown || stays_hidden(frame);
        walked.count++;
        shown += is_shown;
    }
    bool truncated = frame != NULL || shown > GP_STACK_MAX;
    if (shown > GP_STACK_MAX) /* this frame shows that levels are missing, and is not itself shown */
        frames[walked.count - 1].place = GP_ROW_NONE;
    keys[GP_STACK_MAX] = (gp_site_key){NULL, GP_KEY_TRUNCATED};
    frames[walked.count] = (gp_path_frame){GP_PATH_END, frame, truncated ? GP_STACK_MAX : GP_ROW_NONE};
    walked.fresh = walked.count + 1;
    return walked;
}

static size_t walk(const gp_frame *frame, gp_site_key *keys, size_t room, bool *truncated)
{
    size_t depth = 0;
    gp_site_key key;
    *truncated = false;
    for (; frame != NULL; frame = frame->previous) {
        if (!locate(frame, &key))
            continue;
        if (depth == room) {
            *truncated = true;
            break;
        }
        keys[depth++] = key;
    }
    return depth;
}

size_t gp_frames_stack(gp_site_key *keys, size_t room, bool *truncated)
{
    return walk(innermost(), keys, room, truncated);
}

size_t gp_frames_stack_above(const void *frame, gp_site_key *keys, size_t room, bool *truncated)
{
    bool is_frame = frame != NULL && PyFrame_Check((PyObject *)frame);
    return walk(is_frame ? ((const PyFrameObject *)frame)->f_frame : NULL, keys, room, truncated);
}

void gp_frames_describe(gp_site_key key, gp_frames_text *function, gp_frames_text *file, int32_t *line)
{
    function->size = file->size = 0;
    *line = 0;
    const PyCodeObject *code = key.code;
    if (code == NULL)
        return;
    function->size = gp_utf8_head(text_of(code->co_qualname), function->bytes, sizeof function->bytes);
    file->size = gp_utf8_tail(text_of(code->co_filename), file->bytes, sizeof file->bytes);
    /* Not PyCode_Addr2Line, which since 3.12 reads what sys.monitoring keeps and another thread may change
     * (Objects/codeobject.c). */
    *line = gp_linetable_line((const uint8_t *)PyBytes_AS_STRING(code->co_linetable),
                              (size_t)PyBytes_GET_SIZE(code->co_linetable), code->co_firstlineno,
                              key.instruction);
}
