#ifndef GP_LOCK_HOST_H
#define GP_LOCK_HOST_H

/* What the tracer of locks must know of this interpreter. */

#include "locks/gp_lock_trace.h"

/* Find the slots and all else that needs the loader. Once, without the GIL, before all else here. */
void gp_lock_host_prepare(void);

/* Whether threads' frames may be read (gp_frames_check). Before that no place is known. */
void gp_lock_host_use_frames(void);

#endif
