#ifndef GP_PLACE_H
#define GP_PLACE_H

/* Where a thread is, without words: cheap to take, to compare and to keep. */

#include <stdbool.h>
#include <stdint.h>

/* Number of no place, of no row of a table. */
#define GP_ROW_NONE UINT32_MAX

/* A code object of the interpreter's and where in it: the distance of the instruction from the first one, in
 * bytes, as f_lasti and co_lines() count. `code` is NULL where there is no Python frame. */
typedef struct {
    const void *code;
    int32_t instruction;
} gp_site_key;

static inline bool gp_site_same(gp_site_key a, gp_site_key b)
{
    return a.code == b.code && a.instruction == b.instruction;
}

#endif
