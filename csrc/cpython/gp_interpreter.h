#ifndef GP_INTERPRETER_H
#define GP_INTERPRETER_H

#include "trace/gp_tracer.h"
#include "trace/gp_watchdog.h"

/* Call gp_tracer_prepare, and all else that needs the loader. Once, without the GIL, before all else here. */
void gp_interpreter_prepare(void);

/* What the tracer must know of this interpreter. Any thread, after gp_interpreter_prepare; valid for ever. */
const gp_tracer_host *gp_interpreter_host(void);

/* How a watchdog looks at its threads. Any thread; valid for ever. */
const gp_watchdog_eyes *gp_interpreter_eyes(void);

#endif
