#ifndef GP_INTERPRETER_H
#define GP_INTERPRETER_H

#include "trace/gp_tracer.h"
#include "trace/gp_watchdog.h"

/* gp_tracer_prepare, and what else needs the loader. Once, without the GIL, before all else here. */
void gp_interpreter_prepare(void);

/* What the tracer must know of the interpreter that this is compiled for. */
const gp_tracer_host *gp_interpreter_host(void);

/* What a watchdog sees it with. */
const gp_watchdog_eyes *gp_interpreter_eyes(void);

#endif
