#include <Python.h>

#include "cpython/gp_agent_functions.h"

void gp_agent_functions(gp_agent_order *order)
{
    *order = (gp_agent_order){
        .is_initialized = (uint64_t)(uintptr_t)&Py_IsInitialized,
        .ensure = (uint64_t)(uintptr_t)&PyGILState_Ensure,
        .release = (uint64_t)(uintptr_t)&PyGILState_Release,
        .new_dict = (uint64_t)(uintptr_t)&PyDict_New,
        .run_string = (uint64_t)(uintptr_t)&PyRun_String,
        .clear_error = (uint64_t)(uintptr_t)&PyErr_Clear,
        .drop = (uint64_t)(uintptr_t)&Py_DecRef,
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x030E0000
        .yields_in_vain = 1,
#endif
    };
}
