#ifndef GP_PLACE_H
#define GP_PLACE_H

#include <stddef.h>
#include <stdint.h>

/* One level of a Python stack: a code object and the instruction it is at. Knows nothing of Python: a code
 * object is an address. */
typedef struct {
    const void *code; /* NULL: no Python frame */
    int32_t instruction;
} gp_site_key;

#endif
