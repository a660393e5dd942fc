#include "cpython/gp_frames_layout.h"

#include "cpython/gp_loop_callbacks.h"

#include <string.h>

#include "base/gp_clock.h"
#include "base/gp_utf8.h"
#include "cpython/gp_frames.h"
#include "trace/gp_loop_watch.h"
#include "trace/gp_tracer.h"

typedef PyObject *run_method(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

static PyMethodDef *definition; /* of Context.run */
static run_method *method;      /* what stood there */
static bool in_place;           /* also if another library has put its function before ours */
static bool watched;            /* the callbacks of loops */
static gp_context_tag *tag_in;  /* NULL: tags do not follow contexts */

/* ---- exceptions ---- */

/* The callback may have ended with one, which nobody must see here. */
typedef struct {
#if PY_VERSION_HEX >= 0x030C0000
    PyObject *raised;
#else
    PyObject *type, *value, *traceback;
#endif
} exception;

static exception put_aside(void)
{
    exception error;
#if PY_VERSION_HEX >= 0x030C0000
    error.raised = PyErr_GetRaisedException();
#else
    PyErr_Fetch(&error.type, &error.value, &error.traceback);
#endif
    return error;
}

static void put_back(exception error)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error.raised);
#else
    PyErr_Restore(error.type, error.value, error.traceback);
#endif
}

/* ---- names ---- */

static void copy_head(char *to, size_t room, const char *text, size_t size)
{
    size = gp_utf8_cut(text, size, room - 1);
    memcpy(to, text, size);
    to[size] = '\0';
}

/* Of a long file name the end. */
static void copy_tail(char *to, size_t room, const char *text, size_t size)
{
    size_t from = size >= room ? size - room + 1 : 0;
    while (from < size && ((unsigned char)text[from] & 0xC0) == 0x80)
        from++;
    memcpy(to, text + from, size - from);
    to[size - from] = '\0';
}

static void describe(gp_site_key key, gp_callback_place *place)
{
    gp_frames_text function, file;
    int32_t line;
    gp_frames_describe(key, &function, &file, &line);
    copy_head(place->function, sizeof place->function, function.bytes, function.size);
    copy_tail(place->file, sizeof place->file, file.bytes, file.size);
    place->line = line > 0 ? (uint32_t)line : 0;
}

/* Whether an event loop of asyncio made the call (Lib/asyncio/events.py): others use contexts, too. */
static bool called_by_loop(void)
{
    static const char module[] = "/asyncio/events.py";
    gp_callback_place caller;
    describe(gp_frames_here(), &caller);
    size_t length = strlen(caller.file);
    return strcmp(caller.function, "Handle._run") == 0 && length >= sizeof module - 1 &&
           strcmp(caller.file + length - (sizeof module - 1), module) == 0;
}

/* ---- tasks ---- */

/* The class of tasks; NULL: asyncio has been removed, or is another one. */
static PyObject *task_class(void)
{
    PyObject *modules = PySys_GetObject("modules");
    PyObject *module =
        modules != NULL && PyDict_CheckExact(modules) ? PyDict_GetItemString(modules, "_asyncio") : NULL;
    PyObject *found = module != NULL && PyModule_CheckExact(module)
                          ? PyDict_GetItemString(PyModule_GetDict(module), "Task")
                          : NULL;
    return found != NULL && PyType_Check(found) ? found : NULL;
}

/* The task whose step a callback is: it is called by an object that has it as `__self__`
 * (Modules/_asynciomodule.c, task_call_step_soon and task_wakeup). A new reference; NULL: it is none. Only of
 * types in C, so no code of the program runs. */
static PyObject *task_of(PyObject *callback)
{
    static const char step[] = "TaskStepMethWrapper";
    const char *type = strrchr(Py_TYPE(callback)->tp_name, '.');
    type = type != NULL ? type + 1 : Py_TYPE(callback)->tp_name;
    PyObject *expected = task_class();
    if (expected == NULL || (!PyCFunction_CheckExact(callback) && strcmp(type, step) != 0))
        return NULL;
    PyObject *task = PyObject_GetAttrString(callback, "__self__");
    if (task != NULL && PyObject_TypeCheck(task, (PyTypeObject *)expected))
        return task;
    Py_XDECREF(task);
    PyErr_Clear();
    return NULL;
}

/* What a method in C of the class tells of the task, even if a class of the program's has another one. */
static PyObject *ask(PyObject *task, const char *name)
{
    PyObject *method_of = PyObject_GetAttrString(task_class(), name), *answer = NULL;
    if (method_of != NULL && Py_IS_TYPE(method_of, &PyMethodDescr_Type))
        answer = PyObject_CallOneArg(method_of, task);
    Py_XDECREF(method_of);
    PyErr_Clear();
    return answer;
}

static void name_task(PyObject *task, gp_callback *callback)
{
    PyObject *name = ask(task, "get_name"), *bytes = NULL;
    if (name != NULL && PyUnicode_CheckExact(name))
        bytes = PyUnicode_AsEncodedString(name, "utf-8", "surrogatepass");
    if (bytes != NULL)
        copy_head(callback->task, sizeof callback->task, PyBytes_AS_STRING(bytes),
                  strlen(PyBytes_AS_STRING(bytes)));
    else
        strcpy(callback->task, "?");
    Py_XDECREF(bytes);
    Py_XDECREF(name);
    PyErr_Clear();
}

/* Where a coroutine has stopped; its first line if it is over. */
static gp_site_key place_in(const PyGenObject *coroutine, const PyCodeObject *code)
{
    const gp_frame *frame = (const gp_frame *)((const char *)coroutine + offsetof(PyGenObject, gi_iframe));
#if defined(FRAME_STATE_SUSPENDED)
    bool suspended = FRAME_STATE_SUSPENDED(coroutine->gi_frame_state);
#else
    bool suspended = coroutine->gi_frame_state == FRAME_SUSPENDED;
#endif
    if (!suspended || gp_frame_executable(frame) != (const void *)code)
        return (gp_site_key){code, 0};
    const char *first = (const char *)code + gp_frames_code_begins;
    return (gp_site_key){code, (int32_t)((const char *)frame->GP_FRAMES_INSTRUCTION - first)};
}

static void describe_coroutine(PyObject *task, gp_callback *callback)
{
    PyObject *coroutine = ask(task, "get_coro"), *code = NULL;
    if (coroutine != NULL && PyCoro_CheckExact(coroutine))
        code = PyObject_GetAttrString(coroutine, "cr_code");
    if (code != NULL && PyCode_Check(code))
        describe(place_in((const PyGenObject *)coroutine, (const PyCodeObject *)code), &callback->what);
    else if (coroutine != NULL)
        copy_head(callback->what.function, sizeof callback->what.function, Py_TYPE(coroutine)->tp_name,
                  strlen(Py_TYPE(coroutine)->tp_name));
    Py_XDECREF(code);
    Py_XDECREF(coroutine);
    PyErr_Clear();
}

/* ---- other callbacks ---- */

static void describe_function(PyObject *function, gp_callback_place *place)
{
    const char *name = Py_TYPE(function)->tp_name;
    if (PyMethod_Check(function))
        function = PyMethod_GET_FUNCTION(function);
    if (PyFunction_Check(function)) {
        describe((gp_site_key){PyFunction_GET_CODE(function), 0}, place);
        return;
    }
    if (PyCFunction_Check(function))
        name = ((PyCFunctionObject *)function)->m_ml->ml_name;
    copy_head(place->function, sizeof place->function, name, strlen(name));
}

/* ---- the entry ---- */

static void tell(PyObject *called, uint64_t start, uint64_t ticks)
{
    exception error = put_aside();
    if (called_by_loop()) {
        gp_callback callback = {.start = start, .ticks = ticks};
        PyObject *task = task_of(called);
        if (task != NULL) {
            name_task(task, &callback);
            describe_coroutine(task, &callback);
        } else {
            describe_function(called, &callback.what);
        }
        Py_XDECREF(task);
        gp_loop_watch_tell(&callback, PyThreadState_Get());
    }
    put_back(error);
}

static PyObject *run_timed(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    uint64_t start = gp_clock_ticks();
    PyObject *result = method(self, args, count, names);
    uint64_t ticks = gp_clock_ticks() - start;
    /* the clocks of two processors may disagree by some ticks */
    if (__builtin_expect(ticks > atomic_load_explicit(&gp_loop_watch_floor, memory_order_relaxed), 0) &&
        ticks < UINT64_MAX / 2 && count > 0)
        tell(args[0], start, ticks);
    return result;
}

static PyObject *run(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    run_method *inner = watched ? run_timed : method;
    if (tag_in == NULL || PY_VERSION_HEX >= 0x030E0000 ||
        PyInterpreterState_Get() != PyInterpreterState_Main())
        return inner(self, args, count, names);
    uint32_t outside = gp_tracer_tagged(), inside = tag_in(self);
    if (inside != outside)
        gp_tracer_tag(inside);
    PyObject *result = inner(self, args, count, names);
    if (gp_tracer_tagged() != outside)
        gp_tracer_tag(outside);
    return result;
}

/* The definition of the method, as a descriptor has it; NULL: it is another one than is known. */
static PyMethodDef *find(void)
{
    PyObject *found = PyObject_GetAttrString((PyObject *)&PyContext_Type, "run");
    PyMethodDef *known = NULL;
    if (found != NULL && Py_IS_TYPE(found, &PyMethodDescr_Type))
        known = ((PyMethodDescrObject *)found)->d_method;
    Py_XDECREF(found);
    PyErr_Clear();
    return known != NULL && known->ml_flags == (METH_FASTCALL | METH_KEYWORDS) ? known : NULL;
}

/* release: a thread with another GIL that calls ours sees `method` */
static void put(run_method *function)
{
    __atomic_store_n(&definition->ml_meth, (PyCFunction)(void (*)(void))function, __ATOMIC_RELEASE);
}

static bool stand_in(bool wanted)
{
    if (definition == NULL && (!wanted || (definition = find()) == NULL))
        return false;
    if (wanted && !in_place) {
        method = (run_method *)(void (*)(void))definition->ml_meth;
        put(run);
        in_place = true;
    } else if (!wanted && definition->ml_meth == (PyCFunction)(void (*)(void))run) {
        put(method);
        in_place = false;
    }
    return in_place;
}

void gp_loop_callbacks_watch(bool watch)
{
    watched = watch;
    stand_in(watch || (tag_in != NULL && PY_VERSION_HEX < 0x030E0000));
}

#if PY_VERSION_HEX >= 0x030E0000
static int switched(PyContextEvent event, PyObject *context)
{
    if (event != Py_CONTEXT_SWITCHED)
        return 0;
    exception error = put_aside();
    uint32_t tag = context != NULL && PyContext_CheckExact(context) ? tag_in(context) : GP_TAG_NONE;
    if (tag != gp_tracer_tagged())
        gp_tracer_tag(tag);
    put_back(error);
    return 0;
}

bool gp_loop_callbacks_follow(gp_context_tag *tag)
{
    tag_in = tag;
    bool follows = PyContext_AddWatcher(switched) >= 0;
    tag_in = follows ? tag : NULL;
    PyErr_Clear();
    return follows;
}
#else
bool gp_loop_callbacks_follow(gp_context_tag *tag)
{
    bool follows = stand_in(true);
    tag_in = follows ? tag : NULL;
    return follows;
}
#endif
