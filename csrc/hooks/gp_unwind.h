#ifndef GP_UNWIND_H
#define GP_UNWIND_H

/* Steps up the stack by the tables that the compiler made for it (.eh_frame), inside one loaded object whose
 * tables are found beforehand: an unwinder of the C library may ask the loader for them, whose lock can be
 * held by who waits for what we hold. Knows what compilers make of C code; where it does not, it stops.
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

/* A function that has been called and has called another: the way back to it, and how it was called. */
typedef struct {
    uintptr_t address; /* where it goes on */
    uintptr_t start;   /* of the function; 0: it is none of the object's, and no step leads on */
    uintptr_t
        cfa; /* right above the place where `address` stands: canonical frame address of the called one */
    uintptr_t base; /* its rbp */
} gp_unwind_frame;

/* Find the tables of the object that contains `code`, which is never unloaded. Asks the loader: see
 * gp_hooks_find. */
gp_status gp_unwind_find(const void *code, gp_unwind_tables *tables);

/* The caller of the function whose __builtin_frame_address(0) is `frame`. Takes no lock and allocates
 * nothing, as the next. */
gp_unwind_frame gp_unwind_begin(const gp_unwind_tables *tables, const char *frame);

/* Go on to the caller's caller; false if the tables don't lead there. */
bool gp_unwind_step(const gp_unwind_tables *tables, gp_unwind_frame *frame);

#endif
