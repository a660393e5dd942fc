/* Functions with one planted mistake each in how they count references, and some that only look so.
 *
 * Every mistake is on objects that are private to the caller, or that got references to spare when the module
 * was loaded: nothing here brings a process down that calls it some million times. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

enum { SLOTS = 3000 };

static PyObject *error;             /* leaky.Error */
static PyObject *slots[SLOTS];      /* a bounded cache */
static PyObject *wave[64];          /* what `noisy` keeps for a while */
static PyObject *marker;            /* an object of this module's own */
static unsigned long calls, called; /* of every_tenth, of the caches */

/* ---- mistakes */

/* A list that is returned with one reference too many. */
static PyObject *missing_decref(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyObject *made = PyList_New(0);
    Py_XINCREF(made);
    return made;
}

/* The argument is counted up and never down. */
static PyObject *missing_decref_of_argument(PyObject *self, PyObject *argument)
{
    (void)self;
    Py_INCREF(argument);
    Py_RETURN_NONE;
}

/* The same, of text that nobody refers to: no object that the collector knows of. */
static PyObject *missing_decref_of_text(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyObject *made = PyUnicode_FromFormat("text number %lu", called++);
    if (made == NULL)
        return NULL;
    Py_RETURN_NONE;
}

/* Right on success; with anything but an integer the list is forgotten. */
static PyObject *missing_decref_on_error(PyObject *self, PyObject *argument)
{
    (void)self;
    PyObject *made = PyList_New(0);
    if (made == NULL)
        return NULL;
    long value = PyLong_AsLong(argument);
    if (value == -1 && PyErr_Occurred())
        return NULL; /* the mistake */
    PyObject *number = PyLong_FromLong(value);
    if (number == NULL || PyList_Append(made, number) < 0) {
        Py_XDECREF(number);
        Py_DECREF(made);
        return NULL;
    }
    Py_DECREF(number);
    return made;
}

/* Gives a borrowed reference to PyTuple_SET_ITEM, which steals it: the argument loses one each time. The
 * caller sees to it that there are some to spare (see `spare`). */
static PyObject *stolen_reference(PyObject *self, PyObject *argument)
{
    (void)self;
    PyObject *pair = PyTuple_New(1);
    if (pair == NULL)
        return NULL;
    PyTuple_SET_ITEM(pair, 0, argument);
    Py_DECREF(pair);
    Py_RETURN_NONE;
}

/* Drops a reference to None that it does not own: without effect from 3.12 on. The module has added some. */
static PyObject *extra_decref_of_immortal(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    Py_DECREF(Py_None);
    Py_RETURN_NONE;
}

/* Fetches an exception, and forgets it. */
static PyObject *leaked_exception(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyErr_SetString(error, "never seen");
    PyObject *kind, *value, *traceback;
    PyErr_Fetch(&kind, &value, &traceback);
    PyErr_NormalizeException(&kind, &value, &traceback);
    Py_XDECREF(kind);
    Py_XDECREF(traceback);
    Py_RETURN_NONE; /* the mistake: value */
}

/* Counts the argument up on every tenth call only. */
static PyObject *every_tenth(PyObject *self, PyObject *argument)
{
    (void)self;
    if (++calls % 10 == 0)
        Py_INCREF(argument);
    Py_RETURN_NONE;
}

/* One reference in ten calls, among objects that are kept for a while and dropped again. */
static PyObject *every_tenth_among_noise(PyObject *self, PyObject *argument)
{
    static unsigned long random = 1;
    (void)self;
    random = random * 6364136223846793005UL + 1442695040888963407UL;
    Py_ssize_t at = (Py_ssize_t)(random >> 40) % 64;
    PyObject *made = (random >> 50) % 3 ? PyTuple_Pack(1, argument) : NULL;
    PyErr_Clear();
    PyObject *before = wave[at];
    wave[at] = made;
    Py_XDECREF(before);
    if (++calls % 10 == 0)
        Py_INCREF(argument);
    Py_RETURN_NONE;
}

/* New text, interned, and a reference to it forgotten. */
static PyObject *leaked_interned(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyObject *made = PyUnicode_FromFormat("interned_%lu", called++);
    if (made == NULL)
        return NULL;
    PyUnicode_InternInPlace(&made);
    Py_RETURN_NONE;
}

/* ---- what only looks like a mistake */

/* One interned string, again and again. */
static PyObject *interned(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    return PyUnicode_InternFromString("leaky_interned_once");
}

/* A cache that is full after 3000 calls. */
static PyObject *filling_cache(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyObject **slot = &slots[called++ % SLOTS];
    if (*slot == NULL && (*slot = PyList_New(0)) == NULL)
        return NULL;
    Py_RETURN_NONE;
}

/* The same noise as above, without the mistake. */
static PyObject *noise(PyObject *self, PyObject *argument)
{
    unsigned long before = calls;
    calls = 0;
    PyObject *done = every_tenth_among_noise(self, argument);
    calls = before;
    return done;
}

static PyObject *returns_marker(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    Py_INCREF(marker);
    return marker;
}

/* Counts the object that every call returns up once too often. */
static PyObject *missing_decref_of_result(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    Py_INCREF(marker);
    Py_INCREF(marker);
    return marker;
}

static PyObject *raises(PyObject *self, PyObject *ignored)
{
    (void)self, (void)ignored;
    PyErr_SetString(error, "as always");
    return NULL;
}

/* Give an object references to spare, for those that lose some. */
static PyObject *spare(PyObject *self, PyObject *args)
{
    PyObject *object;
    Py_ssize_t number;
    (void)self;
    if (!PyArg_ParseTuple(args, "On", &object, &number))
        return NULL;
    while (number-- > 0)
        Py_INCREF(object);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"every_tenth", every_tenth, METH_O, NULL},
    {"every_tenth_among_noise", every_tenth_among_noise, METH_O, NULL},
    {"extra_decref_of_immortal", extra_decref_of_immortal, METH_NOARGS, NULL},
    {"filling_cache", filling_cache, METH_NOARGS, NULL},
    {"interned", interned, METH_NOARGS, NULL},
    {"leaked_exception", leaked_exception, METH_NOARGS, NULL},
    {"leaked_interned", leaked_interned, METH_NOARGS, NULL},
    {"missing_decref", missing_decref, METH_NOARGS, NULL},
    {"missing_decref_of_argument", missing_decref_of_argument, METH_O, NULL},
    {"missing_decref_of_result", missing_decref_of_result, METH_NOARGS, NULL},
    {"missing_decref_of_text", missing_decref_of_text, METH_NOARGS, NULL},
    {"missing_decref_on_error", missing_decref_on_error, METH_O, NULL},
    {"noise", noise, METH_O, NULL},
    {"raises", raises, METH_NOARGS, NULL},
    {"returns_marker", returns_marker, METH_NOARGS, NULL},
    {"spare", spare, METH_VARARGS, NULL},
    {"stolen_reference", stolen_reference, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "leaky", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_leaky(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL)
        return NULL;
#ifdef Py_GIL_DISABLED
    PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    error = PyErr_NewException("leaky.Error", NULL, NULL);
    marker = PyList_New(0);
    if (error == NULL || marker == NULL)
        return NULL;
    Py_INCREF(error);
    Py_INCREF(marker);
    PyModule_AddObject(module, "Error", error);
    PyModule_AddObject(module, "marker", marker);
    for (long times = 0; times < 100000000; times++)
        Py_INCREF(Py_None); /* to spare; immortal from 3.12 on, where it takes no time to speak of either */
    return module;
}
