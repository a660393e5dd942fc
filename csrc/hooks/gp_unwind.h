#ifndef GP_UNWIND_H
#define GP_UNWIND_H

/* Steps up the stack by the compiler's tables (.eh_frame), inside one loaded object, whose tables are found
 * beforehand. The C library's unwinder may ask the loader for them, and a thread that waits for our lock can
 * hold the loader's. Knows what compilers make of C code, and stops where it meets something else.
 *
 * 64-bit Linux on x86-64. Elsewhere gp_unwind_find answers GP_EUNSUPPORTED. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_status.h"

/* The table of an object's functions, sorted by address (.eh_frame_hdr). */
typedef struct {
    const uint8_t *header, *rows;
    size_t count;
} gp_unwind_tables;

/* A frame of the stack: a function that has called another, and where it goes on. */
typedef struct {
    uintptr_t address; /* where it goes on */
    uintptr_t start;   /* of the function; 0: it is not in the object, and no step leads on */
    uintptr_t cfa;  /* canonical frame address of the called function, right above `address` on the stack */
    uintptr_t base; /* its rbp (frame pointer) */
} gp_unwind_frame;

/* Find the tables of the object that contains `code`, which is never unloaded. Asks the loader: see
 * gp_hooks_find. */
gp_status gp_unwind_find(const void *code, gp_unwind_tables *tables);

/* The same for an object whose header of tables is known (PT_GNU_EH_FRAME); NULL: it has none. */
gp_status gp_unwind_open(const uint8_t *header, gp_unwind_tables *tables);

/* The caller of the function whose __builtin_frame_address(0) is `frame`. This and gp_unwind_step take no
 * lock and allocate nothing. */
gp_unwind_frame gp_unwind_begin(const gp_unwind_tables *tables, const char *frame);

/* Look for the function anew, after a step that left an object, in the tables of another. */
void gp_unwind_enter(const gp_unwind_tables *tables, gp_unwind_frame *frame);

/* Go on to the next caller. False if the tables don't lead there. */
bool gp_unwind_step(const gp_unwind_tables *tables, gp_unwind_frame *frame);

#endif
