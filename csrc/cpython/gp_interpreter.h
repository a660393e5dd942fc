#ifndef GP_INTERPRETER_H
#define GP_INTERPRETER_H

#include "gp_gil.h"

/* What the tracer must know of the interpreter that this is compiled for. */
const gp_gil_host *gp_interpreter_host(void);

#endif
