#include "cpython/gp_frames_layout.h"

#include <string.h>

#include "cpython/gp_frames.h"
#include "cpython/gp_frames_runtime.h"
#include "cpython/gp_linetable.h"
#include "base/gp_utf8.h"

#define Py_BUILD_CORE 1
#include <internal/pycore_gil.h>
#undef Py_BUILD_CORE

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

const size_t gp_frames_code_begins = offsetof(PyCodeObject, co_code_adaptive);

const void *gp_frames_instruction(const void *thread_state)
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

bool gp_frames_importer(gp_site_key *key)
{
    if (!imports(key->code))
        return false;
    bool seen = false;
    gp_site_key at;
    for (const gp_frame *frame = innermost(); frame != NULL; frame = frame->previous) {
        if (!locate(frame, &at))
            continue;
        seen |= at.code == key->code && at.instruction == key->instruction;
        if (seen && !imports(at.code)) {
            *key = at;
            break;
        }
    }
    return true;
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
