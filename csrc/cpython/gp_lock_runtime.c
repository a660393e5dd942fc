#include <Python.h>

#include "cpython/gp_lock_runtime.h"

#include <stddef.h>

#include "base/gp_safe_read.h"
#include "cpython/gp_frames_runtime.h"

/* until 3.12 public and internal headers define it differently (gh-105268) */
#undef _PyGC_FINALIZED
#define Py_BUILD_CORE 1
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#undef Py_BUILD_CORE

#if PY_VERSION_HEX >= 0x030D0000

/* A field, and what it is to a stranger. Of fields that lie in each other the inner one comes first. */
typedef struct {
    size_t from, size;
    const char *name;
} field;

#define FIELD(structure, member, name) {offsetof(structure, member), sizeof(((structure *)0)->member), name}

static const field of_runtime[] = {
    FIELD(_PyRuntimeState, interpreters.mutex, "list of threads"),
    FIELD(_PyRuntimeState, stoptheworld_mutex, "who may stop the world"),
    FIELD(_PyRuntimeState, stoptheworld, "stop the world: until all have stopped"),
    FIELD(_PyRuntimeState, xi, "data between interpreters"),
    FIELD(_PyRuntimeState, atexit, "exit functions"),
    FIELD(_PyRuntimeState, unicode_state, "interned strings"),
    FIELD(_PyRuntimeState, types, "static types"),
};

static const field of_interpreter[] = {
    FIELD(PyInterpreterState, types, "type lock"),
    FIELD(PyInterpreterState, stoptheworld.mutex, "who may stop the world"),
    FIELD(PyInterpreterState, stoptheworld, "stop the world: until all have stopped"),
    FIELD(PyInterpreterState, imports, "import lock"),
    FIELD(PyInterpreterState, code_state, "code constants"),
    FIELD(PyInterpreterState, ceval.pending, "pending calls"),
    FIELD(PyInterpreterState, warnings, "warnings"),
    FIELD(PyInterpreterState, gc, "garbage collector"),
    FIELD(PyInterpreterState, qsbr, "delayed freeing"),
    FIELD(PyInterpreterState, mem_free_queue, "delayed freeing"),
    FIELD(PyInterpreterState, func_state, "function versions"),
#if defined(Py_GIL_DISABLED)
    FIELD(PyInterpreterState, brc, "shared reference counts"),
    FIELD(PyInterpreterState, weakref_locks, "weak references"),
#endif
    FIELD(PyInterpreterState, cached_objects, "interned strings"),
};

static bool find(const field *fields, size_t count, uintptr_t at, const char **name)
{
    for (size_t i = 0; i < count; i++) {
        *name = fields[i].name;
        if (at - fields[i].from < fields[i].size)
            return true;
    }
    return false;
}

static bool find_in(const field *fields, size_t count, uintptr_t start, size_t size, uintptr_t key,
                    const char **name)
{
    if (start == 0 || key - start >= size)
        return false;
    if (!find(fields, count, key - start, name))
        *name = "another lock of the interpreter";
    return true;
}

gp_lock_runtime_kind gp_lock_runtime_find(uintptr_t key, const char **name)
{
    const PyThreadState *state = gp_frames_is_finalizing() ? NULL : gp_frames_own_state();
    if (state != NULL && key == (uintptr_t)&state->state)
        return GP_LOCK_OWN_STOP;
    /* the main interpreter's state lies in _PyRuntime */
    if (find_in(of_interpreter, sizeof of_interpreter / sizeof *of_interpreter,
                state != NULL ? (uintptr_t)state->interp : 0, sizeof(PyInterpreterState), key, name) ||
        find_in(of_runtime, sizeof of_runtime / sizeof *of_runtime, (uintptr_t)gp_frames_runtime_state,
                sizeof(_PyRuntimeState), key, name))
        return GP_LOCK_OWN;
    return GP_LOCK_NOT_OWN;
}

#else

/* They are locks on the heap, to which these structures point. */

typedef struct {
    size_t at;
    const char *name;
} field;

#define FIELD(structure, member, name) {offsetof(structure, member), name}

static const field of_runtime[] = {
    FIELD(_PyRuntimeState, interpreters.mutex, "list of threads"),
    FIELD(_PyRuntimeState, xidregistry.mutex, "data between interpreters"),
#if PY_VERSION_HEX >= 0x030C0000
    FIELD(_PyRuntimeState, allocators.mutex, "allocators"),
    FIELD(_PyRuntimeState, imports.extensions.mutex, "extension modules"),
    FIELD(_PyRuntimeState, atexit.mutex, "exit functions"),
#endif
};

static const field of_interpreter[] = {
    FIELD(PyInterpreterState, ceval.pending.lock, "pending calls"),
    FIELD(PyInterpreterState, id_mutex, "interpreters"),
#if PY_VERSION_HEX >= 0x030C0000
    FIELD(PyInterpreterState, imports.lock.mutex, "import lock"),
#endif
};

static bool find(const field *fields, size_t count, const void *structure, uintptr_t key, const char **name)
{
    for (size_t i = 0; structure != NULL && i < count; i++) {
        uintptr_t lock;
        *name = fields[i].name;
        if (gp_safe_read_once((const char *)structure + fields[i].at, &lock, sizeof lock) && lock == key)
            return true;
    }
    return false;
}

gp_lock_runtime_kind gp_lock_runtime_find(uintptr_t key, const char **name)
{
    const PyThreadState *state = gp_frames_is_finalizing() ? NULL : gp_frames_own_state();
    bool found =
        find(of_runtime, sizeof of_runtime / sizeof *of_runtime, gp_frames_runtime_state, key, name) ||
        (state != NULL &&
         find(of_interpreter, sizeof of_interpreter / sizeof *of_interpreter, state->interp, key, name));
    return found ? GP_LOCK_OWN : GP_LOCK_NOT_OWN;
}

#endif
