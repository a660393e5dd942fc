#ifndef GP_COUNTS_H
#define GP_COUNTS_H

/* Reference counts as the interpreter that this is compiled for keeps them: read, and changed by
 * gp_counts_lend only. No state.
 *
 * Whoever asks has a reference of its own, or keeps away whoever could drop the last one. Unless said
 * otherwise a function here may then be called on any thread, without the GIL, while others count: each load
 * is atomic. On a free-threaded build a count is the sum of two loads, which may fall on both sides of a
 * change that moves references from one to the other. */

#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GP_COUNTS_IMMORTAL = -1, /* instead of the count of an object whose references are not counted */
};

/* The references to `object` that are counted: all, whoever's they are; but not what a free-threaded build
 * adds to the count of a deferred object to keep it alive. GP_COUNTS_IMMORTAL if none is. */
int64_t gp_counts_of(const void *object);

/* Is `object` never freed, and so not counted (PEP 683, from 3.12 on)? */
bool gp_counts_is_immortal(const void *object);

/* Are references from the stacks of threads not counted, and the object left to the cycle collector? On
 * free-threaded builds; not said of immortal objects. */
bool gp_counts_is_deferred(const void *object);

/* A biased count (PEP 703). */
typedef struct {
    uintptr_t owner; /* the thread that counts without atomic operations, by its thread pointer; 0: none */
    int64_t local;   /* its count; 0 for an immortal object, whose field has a mark */
    int64_t shared;  /* that of all others; may be negative */
} gp_counts_parts;

/* Read the parts, as they are stored. Returns false on a build whose counts have none. With the GIL, or
 * attached: a collector that has stopped all threads keeps links of its own in place of the owner. */
bool gp_counts_split(const void *object, gp_counts_parts *parts);

/* The same less `own` references in the width of an array's items: INT32_MAX if it is larger, and
 * GP_COUNTS_IMMORTAL as it is. A million counts take as long as the memory does, so half of it is better; and
 * only 3.11 and free-threaded builds can count so far, given as many pointers. */
int32_t gp_counts_narrow(const void *object, int32_t own);

/* The counts, in that width, of as many items of a list or a tuple as there is room for. Returns how many
 * items there are: with the GIL, or attached, nobody can change them meanwhile. */
size_t gp_counts_of_items(PyObject *sequence, int32_t *counts, size_t room);

/* Add `references` to the count of an object, as if somebody had taken and kept them; fewer than zero are
 * given back. Does nothing for an immortal object. For a hunt that must outlive a function that gives back
 * what it never took. With the GIL, or attached. The caller sees to it that the count stays above zero and
 * fits. */
void gp_counts_lend(void *object, int32_t references);

#endif
