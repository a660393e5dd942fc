#include "cpython/gp_frames_layout.h"

#include <stdio.h>
#include <string.h>

#include "cpython/gp_frames.h"
#include "cpython/gp_frames_runtime.h"

#if PY_VERSION_HEX >= 0x030E0000
#define Py_BUILD_CORE 1
#include <internal/pycore_debug_offsets.h>
#undef Py_BUILD_CORE
#elif PY_VERSION_HEX >= 0x030D0000
#define Py_BUILD_CORE 1
#include <internal/pycore_runtime.h>
#undef Py_BUILD_CORE
#endif

enum {
    LEVELS_MAX = 64, /* frames of the calling thread's stack that are compared */
};

static char difference[160];

static const char *version_differs(void)
{
    if (Py_Version >> 16 == PY_VERSION_HEX >> 16)
        return NULL;
    snprintf(difference, sizeof difference, "compiled for CPython %d.%d, run by %lu.%lu", PY_MAJOR_VERSION,
             PY_MINOR_VERSION, Py_Version >> 24, Py_Version >> 16 & 0xFF);
    return difference;
}

#if PY_VERSION_HEX >= 0x030D0000

enum {
#if defined(Py_GIL_DISABLED)
    FREE_THREADED = 1,
#else
    FREE_THREADED = 0,
#endif
};

typedef struct {
    const char *name;
    uint64_t compiled, running;
} field;

#define OFFSET(structure, member, published) {#structure "." #member, offsetof(structure, member), published}

static const char *fields_differ(const _Py_DebugOffsets *running)
{
    const field fields[] = {
        OFFSET(PyThreadState, current_frame, running->thread_state.current_frame),
        OFFSET(_PyInterpreterFrame, previous, running->interpreter_frame.previous),
        OFFSET(_PyInterpreterFrame, f_executable, running->interpreter_frame.executable),
        OFFSET(_PyInterpreterFrame, instr_ptr, running->interpreter_frame.instr_ptr),
        OFFSET(_PyInterpreterFrame, owner, running->interpreter_frame.owner),
        OFFSET(PyCodeObject, co_filename, running->code_object.filename),
        OFFSET(PyCodeObject, co_qualname, running->code_object.qualname),
        OFFSET(PyCodeObject, co_linetable, running->code_object.linetable),
        OFFSET(PyCodeObject, co_firstlineno, running->code_object.firstlineno),
        OFFSET(PyCodeObject, co_code_adaptive, running->code_object.co_code_adaptive),
        OFFSET(PyObject, ob_type, running->pyobject.ob_type),
        OFFSET(PyBytesObject, ob_sval, running->bytes_object.ob_sval),
        OFFSET(PyASCIIObject, length, running->unicode_object.length),
#if defined(GP_FRAMES_COPIED_CODE)
        OFFSET(_PyInterpreterFrame, tlbc_index, running->interpreter_frame.tlbc_index),
        OFFSET(PyCodeObject, co_tlbc, running->code_object.co_tlbc),
#endif
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (fields[i].compiled != fields[i].running) {
            snprintf(difference, sizeof difference, "%s is at %llu, compiled for %llu", fields[i].name,
                     (unsigned long long)fields[i].running, (unsigned long long)fields[i].compiled);
            return difference;
        }
    }
    return NULL;
}

/* The offsets stand at the start of _PyRuntime (PEP 768; Include/internal/pycore_debug_offsets.h, in 3.13
 * pycore_runtime.h). */
static const char *offsets_differ(void)
{
    const _Py_DebugOffsets *running = gp_frames_runtime_state;
    if (running == NULL || memcmp(running->cookie, _Py_Debug_Cookie, sizeof running->cookie) != 0)
        return "the interpreter does not publish the layout of its frames";
    if (running->version >> 16 != PY_VERSION_HEX >> 16)
        return "the interpreter publishes the layout of another version";
    if (running->free_threaded != FREE_THREADED)
        return FREE_THREADED ? "compiled for free-threaded CPython, run by one that is not"
                             : "compiled for CPython with a GIL, run by a free-threaded one";
    return fields_differ(running);
}

#else

static const char *offsets_differ(void)
{
    return NULL; /* not published before 3.13 */
}

#endif

static bool is_at(PyFrameObject *frame, gp_site_key key)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    Py_DECREF(code); /* the frame keeps it alive */
    return code == key.code && PyFrame_GetLasti(frame) == key.instruction;
}

/* Compare frame by frame with the public functions. *deeper: the interpreter has more frames. */
static size_t compare(PyFrameObject *innermost, const gp_site_key *keys, size_t depth, bool *deeper)
{
    size_t level = 0;
    PyFrameObject *frame = innermost;
    Py_XINCREF(frame);
    while (frame != NULL && level < depth && is_at(frame, keys[level])) {
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
        level++;
    }
    *deeper = frame != NULL;
    Py_XDECREF(frame);
    PyErr_Clear(); /* PyFrame_GetBack may have had no memory */
    return level;
}

static const char *walk_differs(void)
{
    static const char differs[] = "a walk over the frames gives another stack than the interpreter's";
    gp_site_key keys[LEVELS_MAX], above[LEVELS_MAX];
    bool truncated, truncated_above, deeper;
    PyFrameObject *innermost = PyEval_GetFrame(); /* first, since it may make the frame object */
    size_t depth = gp_frames_stack(keys, LEVELS_MAX, &truncated);
    if (compare(innermost, keys, depth, &deeper) != depth || deeper != truncated)
        return differs;
    if (gp_frames_stack_above(innermost, above, LEVELS_MAX, &truncated_above) != depth ||
        truncated_above != truncated)
        return differs;
    for (size_t level = 0; level < depth; level++)
        if (above[level].code != keys[level].code || above[level].instruction != keys[level].instruction)
            return differs;
    return NULL;
}

const char *gp_frames_check(void)
{
    const char *found = version_differs();
    if (found == NULL)
        found = offsets_differ();
    if (found == NULL) {
        gp_frames_find_runtime();
        found = walk_differs();
    }
    return found;
}
