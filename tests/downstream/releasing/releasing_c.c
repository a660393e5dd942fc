/* What extensions do with the GIL, well and badly: a foreign extension, as its author would write it. It does not
 * say that it can do without the GIL, so a free-threaded interpreter switches it on. */

#include <Python.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

static void compute(long us)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - start.tv_sec) * 1000000 + (now.tv_nsec - start.tv_nsec) / 1000 < us);
}

static PyObject *hold(PyObject *self, PyObject *args)
{
    long us;
    (void)self;
    if (!PyArg_ParseTuple(args, "l", &us))
        return NULL;
    compute(us);
    Py_RETURN_NONE;
}

/* Hold for some time, release for some, hold again, so many times. */
static PyObject *turns(PyObject *self, PyObject *args)
{
    long before, released, after, times = 1;
    (void)self;
    if (!PyArg_ParseTuple(args, "lll|l", &before, &released, &after, &times))
        return NULL;
    for (long i = 0; i < times; i++) {
        compute(before);
        Py_BEGIN_ALLOW_THREADS
        compute(released);
        Py_END_ALLOW_THREADS
        compute(after);
    }
    Py_RETURN_NONE;
}

/* Block in the kernel, with the GIL. */
static PyObject *block(PyObject *self, PyObject *args)
{
    long us;
    char byte;
    int ends[2];
    (void)self;
    if (!PyArg_ParseTuple(args, "l", &us))
        return NULL;
    usleep((useconds_t)us);
    if (pipe(ends) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    if (write(ends[1], "!", 1) != 1 || read(ends[0], &byte, 1) != 1)
        PyErr_SetFromErrno(PyExc_OSError);
    close(ends[0]);
    close(ends[1]);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static void *call_it(void *function)
{
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *result = PyObject_CallNoArgs(function);
    if (result == NULL)
        PyErr_Clear();
    Py_XDECREF(result);
    PyGILState_Release(state);
    return NULL;
}

/* Wait without the GIL for a native thread that calls back with it. */
static PyObject *call_back(PyObject *self, PyObject *function)
{
    pthread_t thread;
    (void)self;
    if (pthread_create(&thread, NULL, call_it, function) != 0)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"hold", hold, METH_VARARGS, NULL},
    {"turns", turns, METH_VARARGS, NULL},
    {"block", block, METH_VARARGS, NULL},
    {"call_back", call_back, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "releasing_c",
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_releasing_c(void)
{
    return PyModule_Create(&module);
}
