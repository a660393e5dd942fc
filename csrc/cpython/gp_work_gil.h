#ifndef GP_WORK_GIL_H
#define GP_WORK_GIL_H

#include "kernels/gp_work.h"

/* The GIL as the lock of gp_alternate, gp_cycle and gp_grain: PyEval_SaveThread and PyEval_RestoreThread. On
 * a free-threaded build they detach and attach the thread state. */
extern const gp_work_lock gp_work_gil;

/* Whether the calling thread, which has the GIL, runs in the main interpreter: the one that signal handlers
 * belong to. */
bool gp_work_in_main(void);

#endif
