#ifndef GP_PLACE_H
#define GP_PLACE_H

/* Where a thread is, without words: cheap to take, to compare and to keep. */

#include <stdint.h>

/* A code object of the interpreter's and where in it: the distance of the instruction from the first one, in
 * bytes, as f_lasti and co_lines() count. `code` is NULL where there is no Python frame. */
typedef struct {
    const void *code;
    int32_t instruction;
} gp_site_key;

#endif
