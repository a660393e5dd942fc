#ifndef GP_CALLERS_H
#define GP_CALLERS_H

/* Why is this function being called? Answers from the return addresses above it, which name the callers:
 * unwound once for each way of getting here, and recognised by a few comparisons afterwards.
 *
 * A function of the first list counts only if everything between it and here was called directly, by an
 * instruction that names its target. The evaluation loop is such a function: it gives the GIL up by functions
 * of its own, but it also calls every built-in function, through a pointer, and a compiler that optimises at
 * link time puts the release itself into some of these.
 *
 * 64-bit Linux on x86-64 and aarch64 only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    GP_CALLERS_NEITHER, /* no function of either list is near and counts */
    GP_CALLERS_FIRST,   /* a function of the first list is the nearer one */
    GP_CALLERS_SECOND,
} gp_callers_verdict;

enum {
    GP_CALLERS_DEPTH = 8,  /* frames looked at; 2 to 5 decide on every known interpreter */
    GP_CALLERS_PATHS = 64, /* paths remembered; further ones are unwound each time */
};

/* A way to get here: return addresses, innermost first, and where each stands relative to the frame asked
 * about. A call site leaves its frame always at the same size, so that with equal inner addresses the outer
 * one stands in the same place. */
typedef struct gp_callers_path {
    uint32_t depth;
    gp_callers_verdict verdict;
    struct {
        ptrdiff_t offset;
        uintptr_t address;
    } levels[GP_CALLERS_DEPTH];
} gp_callers_path;

/* Find what leads up the stack in the object that contains `code`, for good: the functions of both lists are
 * in it. Asks the loader: see gp_hooks_find. Without it, and where the nearest caller is a function of
 * another object, the C library's unwinder is used, which may ask the loader, too. */
void gp_callers_prepare(const void *code);

/* Zeroed memory plus the two lists: starts of functions, each ended by NULL. */
typedef struct {
    const void *const *first;
    const void *const *second;
    size_t count;
    size_t unwound; /* times that no remembered path matched */
    gp_callers_path paths[GP_CALLERS_PATHS];
} gp_callers;

static inline bool gp_callers_came_by(const gp_callers_path *path, const char *frame)
{
    for (size_t level = 0; level < path->depth; level++)
        if (*(const uintptr_t *)(frame + path->levels[level].offset) != path->levels[level].address)
            return false;
    return true;
}

/* Look through all remembered paths; if none matches unwind, and remember the path. Slow path of
 * gp_callers_judge. Leaves errno alone. */
gp_callers_verdict gp_callers_search(gp_callers *callers, const char *frame, const gp_callers_path **last);

/* Judge the callers of the function whose __builtin_frame_address(0) is `frame`. One caller at a time. `last`
 * keeps the path that matched last: the calling thread's own, as threads come by different ways, and in
 * turns. */
static inline gp_callers_verdict gp_callers_judge(gp_callers *callers, const char *frame,
                                                  const gp_callers_path **last)
{
    const gp_callers_path *path = *last;
    /* without a level: it has been forgotten since */
    if (__builtin_expect(path != NULL && path->depth != 0 && gp_callers_came_by(path, frame), 1))
        return path->verdict;
    return gp_callers_search(callers, frame, last);
}

#endif
