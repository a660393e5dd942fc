#ifndef GP_COUNTS_H
#define GP_COUNTS_H

/* Reference counts, as the interpreter that this is compiled for keeps them. Only gp_counts_lend and
 * gp_counts_exempt change one. No state.
 *
 * The caller has a reference of its own, or keeps others from dropping the last one. Unless said otherwise a
 * function here may then be called on any thread, without the GIL, while others count: each load is atomic.
 * On a free-threaded build a count is the sum of two loads. A change between them may move references from
 * one part to the other. */

#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GP_COUNTS_IMMORTAL = -1, /* instead of the count of an object whose references are not counted */
};

/* The number of references to `object`, whoever has them; without what a free-threaded build adds to the
 * count of a deferred object to keep it alive. GP_COUNTS_IMMORTAL if they are not counted. */
int64_t gp_counts_of(const void *object);

/* Is `object` never freed, and so not counted (PEP 683, from 3.12 on)? */
bool gp_counts_is_immortal(const void *object);

/* Are references from the stacks of threads not counted, and is the object left to the cycle collector? Only
 * on free-threaded builds; false for immortal objects. */
bool gp_counts_is_deferred(const void *object);

/* A biased count (PEP 703). */
typedef struct {
    uintptr_t owner; /* the thread that counts without atomic operations, by its thread pointer; 0: none */
    int64_t local;   /* its count; 0 for an immortal object, whose field holds a mark */
    int64_t shared;  /* that of all others; may be negative */
} gp_counts_parts;

/* Read the parts as they are stored. False on a build whose counts have no parts. Needs the GIL, or an
 * attached thread: a collector that has stopped all threads keeps links of its own in the owner's field. */
bool gp_counts_split(const void *object, gp_counts_parts *parts);

/* gp_counts_of less `own` references, in 32 bits: INT32_MAX if it is larger; GP_COUNTS_IMMORTAL stays. For
 * many counts memory is what takes time, so half the width is better. Only 3.11 and free-threaded builds can
 * count beyond 32 bits, with as many pointers. */
int32_t gp_counts_narrow(const void *object, int32_t own);

/* The counts, in 32 bits, of the first `room` items of a list or a tuple. Returns how many items there are.
 * Needs the GIL, or an attached thread, so that nobody changes them meanwhile. */
size_t gp_counts_of_items(PyObject *sequence, int32_t *counts, size_t room);

/* Add `references` to the count of an object, as if somebody had taken and kept them; a negative number gives
 * them back. Does nothing for an immortal object. For the hunt for leaks, which must survive a function that
 * drops references that it never took. Needs the GIL, or an attached thread. The caller keeps the count above
 * zero and in range. */
void gp_counts_lend(void *object, int32_t references);

/* From now on references to `object` are not counted, as if it were immortal: threads that share it no longer
 * write to it for that. Returns false, and changes nothing, if they are not counted anyway, or on a build
 * with a GIL. `local` is for gp_counts_admit.
 *
 * What was not counted meanwhile is unknown, so the count gets GP_COUNTS_SPARE references more: an object
 * that was exempted once is never freed. A collector that runs meanwhile no longer tracks it
 * (Python/gc_free_threading.c, update_refs). Needs an attached thread; no other thread may count meanwhile.
 */
bool gp_counts_exempt(void *object, uint32_t *local);

/* Count again. Under the same conditions. */
void gp_counts_admit(void *object, uint32_t local);

enum {
    GP_COUNTS_SPARE = 1 << 24,
};

/* What sweeps over objects have seen of one. */
typedef struct {
    uint32_t counted; /* how often its shared count was another one than at the sweep before */
    uint32_t locked;  /* how often its own lock was held */
    int64_t shared;   /* of the last sweep, as it is stored */
} gp_counts_traffic;

/* Look once at each of `size` objects, and add to their traffic what was seen. The first sweep, `first`, only
 * sets the shared counts. Does nothing on a build with a GIL. The caller keeps the objects alive. */
void gp_counts_sweep(void *const *objects, size_t size, gp_counts_traffic *traffic, bool first);

#endif
