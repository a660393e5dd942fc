#include "cpython/gp_frames_layout.h"

#include "cpython/gp_collections.h"

#include "cpython/gp_callee.h"
#include "trace/gp_collector.h"

/* All with the GIL. One interpreter's collector is followed: others can't load us. */
static PyObject *function; /* ours */
static PyObject *generation_key, *collected_key, *uncollectable_key;

/* Which of the two calls of a collection it is: "start" and "stop" differ in the third letter. */
static bool is_phase(PyObject *phase, Py_ssize_t length, Py_UCS4 letter)
{
    return PyUnicode_CheckExact(phase) && PyUnicode_GET_LENGTH(phase) == length &&
           PyUnicode_READ_CHAR(phase, 2) == letter;
}

/* A number in the dictionary that comes with a call; 0 if it is not there. */
static uint64_t number_in(PyObject *info, PyObject *key)
{
    PyObject *value = PyDict_GetItemWithError(info, key); /* borrowed */
    if (value == NULL)
        PyErr_Clear(); /* by a foreign key that was compared with ours */
    if (value == NULL || !PyLong_CheckExact(value))
        return 0;
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    return number > 0 ? (uint64_t)number : 0;
}

/* Called by the collector as (phase, info), by anybody as anything. */
static PyObject *call(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)self;
    if (count != 2 || !PyDict_CheckExact(arguments[1]))
        Py_RETURN_NONE;
    if (is_phase(arguments[0], 5, 'a')) {
        const PyThreadState *state = PyThreadState_Get();
        gp_callee_collects(state->interp, GP_FRAMES_INNERMOST(state));
        gp_collector_starts((uint32_t)number_in(arguments[1], generation_key));
    } else if (is_phase(arguments[0], 4, 'o')) {
        gp_collector_stops(number_in(arguments[1], collected_key),
                           number_in(arguments[1], uncollectable_key));
        gp_callee_collects(NULL, NULL);
    }
    Py_RETURN_NONE;
}

static PyMethodDef definition = {
    "note_collection", (PyCFunction)(void (*)(void))call, METH_FASTCALL,
    PyDoc_STR("gilprobe, while it traces: tells when the garbage collector starts and stops.")};

static bool prepare(void)
{
    if (function != NULL)
        return true;
    generation_key = PyUnicode_InternFromString("generation");
    collected_key = PyUnicode_InternFromString("collected");
    uncollectable_key = PyUnicode_InternFromString("uncollectable");
    if (generation_key == NULL || collected_key == NULL || uncollectable_key == NULL)
        return false;
    function = PyCFunction_New(&definition, NULL);
    return function != NULL;
}

/* Where our function is; -1: nowhere. */
static Py_ssize_t find(PyObject *callbacks)
{
    for (Py_ssize_t at = PyList_GET_SIZE(callbacks); at-- > 0;)
        if (PyList_GET_ITEM(callbacks, at) == function)
            return at;
    return -1;
}

static bool change(PyObject *callbacks, bool follow)
{
    if (!follow && function == NULL)
        return true;
    if (!prepare())
        return false;
    Py_ssize_t at = find(callbacks);
    if (follow)
        return at >= 0 || PyList_Append(callbacks, function) == 0;
    gp_callee_collects(NULL, NULL);
    return at < 0 || PyList_SetSlice(callbacks, at, at + 1, NULL) == 0;
}

bool gp_collections_follow(void *callbacks, bool follow)
{
    bool done = PyList_CheckExact((PyObject *)callbacks) && change(callbacks, follow);
    if (!done)
        PyErr_Clear();
    return done;
}
