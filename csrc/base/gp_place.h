#ifndef GP_PLACE_H
#define GP_PLACE_H

/* Where a thread is, as numbers: cheap to take, to compare and to keep. */

#include <stdint.h>

/* A code object and an instruction in it: its distance from the first one in bytes, as f_lasti and co_lines()
 * count. `code` is NULL where there is no Python frame. */
typedef struct {
    const void *code;
    int32_t instruction;
} gp_site_key;

#endif
