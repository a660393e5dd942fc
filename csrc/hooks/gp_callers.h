#ifndef GP_CALLERS_H
#define GP_CALLERS_H

/* Why is a function being called? The return addresses above it name its callers. Each path of calls is
 * unwound once, and recognised by a few comparisons afterwards.
 *
 * A function of the first list counts only if every call between it and here is a direct one, whose
 * instruction names its target. The evaluation loop is such a function: it gives the GIL up by direct calls,
 * but it also calls every built-in function, through a pointer, and link-time optimisation may put the
 * release itself into some of these.
 *
 * 64-bit Linux on x86-64 and aarch64 only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    GP_CALLERS_NEITHER, /* no function of either list was found near by */
    GP_CALLERS_FIRST,   /* the nearest one found is of the first list */
    GP_CALLERS_SECOND,
} gp_callers_verdict;

enum {
    GP_CALLERS_DEPTH = 8,  /* frames looked at; 2 to 5 decide on every known interpreter */
    GP_CALLERS_PATHS = 64, /* paths remembered; further ones are unwound each time */
};

/* A path of calls: return addresses, innermost first, and where each stands relative to the frame asked
 * about. At one call site a frame always has the same size. So where the inner addresses are equal, the next
 * one stands at the same distance. */
typedef struct gp_callers_path {
    uint32_t depth;
    gp_callers_verdict verdict;
    uint32_t nth; /* of the list that was decisive */
    struct {
        ptrdiff_t offset;
        uintptr_t address;
    } levels[GP_CALLERS_DEPTH];
} gp_callers_path;

/* Find the unwind tables of the object that contains `code` and the functions of both lists; it is never
 * unloaded. Asks the loader: see gp_hooks_find. Without tables, and where the nearest caller is in another
 * object, the C library's unwinder is used, which may ask the loader, too. */
void gp_callers_prepare(const void *code);

/* Zeroed memory plus the two lists: starts of functions, each ended by NULL. */
typedef struct {
    const void *const *first;
    const void *const *second;
    const void *wrapper; /* whose call of ours may stand in between, where the compiler has left it one */
    size_t count;
    size_t unwound; /* how often no remembered path matched */
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

/* Judge the callers of the function whose __builtin_frame_address(0) is `frame`. One thread at a time. `last`
 * is the path that matched last for the calling thread: threads come by different paths, in turns. */
static inline gp_callers_verdict gp_callers_judge(gp_callers *callers, const char *frame,
                                                  const gp_callers_path **last)
{
    const gp_callers_path *path = *last;
    /* depth 0: the path has been forgotten since */
    if (__builtin_expect(path != NULL && path->depth != 0 && gp_callers_came_by(path, frame), 1))
        return path->verdict;
    return gp_callers_search(callers, frame, last);
}

#endif
