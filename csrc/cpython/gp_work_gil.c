#include <Python.h>

#include "gp_work_gil.h"

static void *release(void)
{
    return PyEval_SaveThread();
}

static void acquire(void *token)
{
    PyEval_RestoreThread(token);
}

const gp_work_lock gp_work_gil = {release, acquire};
