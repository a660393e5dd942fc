#ifndef GP_WORK_GIL_H
#define GP_WORK_GIL_H

#include "gp_work.h"

/* The GIL as gp_alternate's lock: PyEval_SaveThread and PyEval_RestoreThread. On a free-threaded build they
 * detach and attach the thread state. */
extern const gp_work_lock gp_work_gil;

#endif
