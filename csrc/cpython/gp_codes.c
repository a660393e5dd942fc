#include <Python.h>

#include "cpython/gp_codes.h"

#include <stdbool.h>

static destructor destroy; /* the type's own destructor */
static bool in_place;      /* also if another library has put its function before ours, and calls ours */
static gp_codes_gone *told;

static void destroyed(PyObject *code)
{
    /* relaxed: it orders nothing. A thread with another GIL may call it once more, which does no harm */
    gp_codes_gone *tell = __atomic_load_n(&told, __ATOMIC_RELAXED);
    if (tell != NULL)
        tell(code);
    destroy(code);
}

/* release: a thread that calls ours sees `destroy` */
static void put(destructor function)
{
    __atomic_store_n(&PyCode_Type.tp_dealloc, function, __ATOMIC_RELEASE);
}

void gp_codes_watch(gp_codes_gone *gone)
{
    __atomic_store_n(&told, gone, __ATOMIC_RELAXED);
    if (gone != NULL && !in_place) {
        destroy = PyCode_Type.tp_dealloc;
        put(destroyed);
        in_place = true;
    } else if (gone == NULL && PyCode_Type.tp_dealloc == destroyed) {
        put(destroy);
        in_place = false;
    }
}
