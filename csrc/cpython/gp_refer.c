#include "cpython/gp_refer.h"

#include <stdatomic.h>

#include "kernels/gp_kernel.h"

enum {
    /* Pieces of a few milliseconds when all threads contend: a check for Ctrl-C after each costs nothing. */
    REFER_PIECE = 1 << 16,
    REFER_NS = 20, /* between the cost on one thread and the cost when all contend */
};

/* The fences emit no instruction: without them a compiler may cancel the two operations out. */
static GP_OPAQUE void refer_some(PyObject *object, uint64_t times)
{
    while (times-- > 0) {
        Py_INCREF(object);
        atomic_signal_fence(memory_order_seq_cst);
        Py_DECREF(object);
        atomic_signal_fence(memory_order_seq_cst);
    }
}

static bool refer_step(gp_work *work, const gp_interrupt_watch *watch)
{
    gp_refer *refer = (gp_refer *)work;
    while (refer->left > 0) {
        if (gp_interrupt_changed(watch))
            return false;
        uint64_t times = gp_kernel_least(refer->left, REFER_PIECE);
        refer_some(refer->object, times);
        refer->left -= times;
    }
    return true;
}

void gp_refer_init(gp_refer *refer, PyObject *object, uint64_t times)
{
    *refer = (gp_refer){
        .work = {refer_step, gp_kernel_product(times, REFER_NS)},
        .object = object,
        .left = times,
    };
}
