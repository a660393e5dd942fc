#ifndef GP_AGENT_H
#define GP_AGENT_H

/* What the tool tells the agent, the library that it loads into the process: where the interpreter's
 * functions are, since one that was loaded as a plug-in is not found by dlsym, and what to run. */

#include <stdint.h>

#define GP_AGENT_PATH_MAX 256
#define GP_AGENT_FUNCTION "gp_agent_start"

typedef struct {
    uint64_t is_initialized;      /* Py_IsInitialized */
    uint64_t ensure;              /* PyGILState_Ensure */
    uint64_t release;             /* PyGILState_Release */
    uint64_t new_dict;            /* PyDict_New */
    uint64_t run_string;          /* PyRun_String */
    uint64_t clear_error;         /* PyErr_Clear */
    uint64_t drop;                /* Py_DecRef */
    uint64_t yields_in_vain;      /* 1: the first part of the code is run without yielding the core */
    char path[GP_AGENT_PATH_MAX]; /* of the Python code: parts with a zero between, run one after the other */
} gp_agent_order;

/* Start the thread; returns 0 or an errno. It inherits the caller's mask, in which all signals are blocked.
 */
int gp_agent_start(const gp_agent_order *order);

#endif
