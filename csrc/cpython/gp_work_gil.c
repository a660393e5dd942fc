#include <Python.h>

#include "cpython/gp_work_gil.h"

static void *release(void)
{
    return PyEval_SaveThread();
}

static void acquire(void *token)
{
    PyEval_RestoreThread(token);
}

const gp_work_lock gp_work_gil = {release, acquire};

bool gp_work_in_main(void)
{
    return PyInterpreterState_Get() == PyInterpreterState_Main();
}
