#ifndef GP_STACK_DEPTH_H
#define GP_STACK_DEPTH_H

/* How many objects lie on a frame's stack before an instruction. The interpreter counts them in a register,
 * where no other thread can read. But the number is the same each time the instruction runs, so it can be
 * found from the code alone, as the compiler does to size the frame (calculate_stackdepth in
 * Python/flowgraph.c, in 3.11 stackdepth in Python/compile.c). */

#include <Python.h>

#include <stdbool.h>
#include <stdint.h>

#include "base/gp_safe_read.h"

typedef struct {
    uint32_t argument;
    int16_t depth;    /* before the instruction; -1: no way leads there */
    uint8_t opcode;   /* as it was compiled: neither specialised nor instrumented */
    uint8_t cache;    /* which of the code units after the instruction this is; 0: the instruction itself */
    bool specialised; /* now; the interpreter thinks that it always deals with the same kind of objects */
} gp_instruction;

/* Find the instruction `at` bytes from the first one, or that a cache there belongs to. `copy` has what
 * stands before the instructions of the code object `code`, which may be gone. False if its instructions
 * can't be read. Needs no GIL. Of what was found some is kept (at most some 2 MiB): by one thread at a time.
 */
bool gp_stack_depth_find(gp_safe_reader *reader, const void *code, const PyCodeObject *copy,
                         const char *first_instruction, int32_t at, gp_instruction *found);

/* Forget all, after a thread was torn out of the function above by a fork. */
void gp_stack_depth_forget(void);

#endif
