#ifndef GP_REFER_H
#define GP_REFER_H

#include <Python.h>

#include <stdint.h>

#include "kernels/gp_work.h"

/* Takes a reference to an object and drops it, again and again, by the interpreter's own Py_INCREF and
 * Py_DECREF (Include/refcount.h). Measures what counting costs: for an object of this thread's own, for a
 * shared one, for an immortal one. */
typedef struct {
    gp_work work;
    PyObject *object;
    uint64_t left;
} gp_refer;

/* The caller holds a reference to `object` until the work is over. Run it with the GIL; on a free-threaded
 * build with the thread attached. */
void gp_refer_init(gp_refer *refer, PyObject *object, uint64_t times);

#endif
