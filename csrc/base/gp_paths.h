#ifndef GP_PATHS_H
#define GP_PATHS_H

/* The call stacks that a thread was in lately, frame by frame, to be recognised where they are: without
 * naming or copying a level.
 *
 * A stack is the same if each of its frames is where it was, at the same instruction, and called by the next
 * one. Less is not enough: the innermost frames may be the same while a caller is another, or is at another
 * line. The code need not be compared, since an instruction is a part of it; but a code object that goes
 * makes all paths void. Owner thread only. */

#include <stddef.h>
#include <string.h>

#include "base/gp_hash.h"
#include "base/gp_place.h"

enum {
    GP_STACK_MAX = 128, /* levels of a stack that are followed, from the innermost */
    GP_FRAMES_MAX = 2 *
        (GP_STACK_MAX + 1), /* of it: a level has at most one frame more, which is not shown */
    GP_PATH_FRAMES = 1024,  /* of all paths of a thread */
    GP_PATHS = 64,          /* a power of 2 */
};

/* One frame, as the interpreter has it. After the outermost frame of a path comes one more entry: it has no
 * frame's address, what called the outermost (NULL: nothing) as its instruction, and the place that stands
 * for levels beyond, if there are some. */
typedef struct {
    const void *frame, *instruction;
    uint32_t place; /* of the stack from the outermost level to this one */
} gp_path_frame;

/* Zeroed memory holds no path. */
typedef struct {
    uint16_t recent[GP_PATHS]; /* where each path begins, with its innermost frame; 0: none */
    uint32_t last, used; /* the path of the stack that was met last; entries in use, of those from 1 on */
    gp_path_frame frames[GP_PATH_FRAMES]; /* the first stays empty */
} gp_paths;

#define GP_PATH_END ((const void *)1) /* no frame's address */

/* Where the path is kept that begins at this frame, whose caller is at that instruction (NULL: no caller). A
 * thread often calls one function from several lines. */
static inline unsigned gp_paths_slot(const void *frame, const void *instruction, const void *caller)
{
    uint64_t mixed = ((uint64_t)(uintptr_t)frame + (uintptr_t)instruction) * GP_GOLDEN + (uintptr_t)caller;
    return (unsigned)(mixed * GP_GOLDEN >> 32) % GP_PATHS;
}

/* What a walk over the stack has found: `count` frames and the end. The innermost `fresh` of these have no
 * place yet but the number of their key, or GP_ROW_NONE if they are not shown; the end has one where levels
 * are missing. The others are as in the path that was met last. The first key is the innermost level's. */
typedef struct {
    size_t count, fresh;
    bool lasting; /* the frames show the same levels as long as they and their code objects stay */
} gp_walked;

/* Where no stack is wanted nothing is written, which would cost each thread a page. */
static inline void gp_paths_clear(gp_paths *paths)
{
    if (paths->used != 0)
        memset(paths, 0, offsetof(gp_paths, frames));
}

#endif
