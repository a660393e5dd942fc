#ifndef GP_LOCK_HOLDERS_H
#define GP_LOCK_HOLDERS_H

/* What the program calls an object: the local variable, the attribute of one, or the global variable by which
 * the calling thread can reach it. The thread's own frames are read directly, all else by safe reads.
 *
 * A lock of the standard library's belongs to an object that the program has: of the mutex of a queue the
 * queue is found. So the search goes from the innermost frame outward: as long as a frame is the library's,
 * the object whose method it runs is what is looked for from then on, if that has the lock. */

#include <stdbool.h>
#include <stdint.h>

enum {
    GP_LOCK_HOLDER_MAX = 96, /* bytes of a name */
};

typedef struct {
    uintptr_t object;              /* what is named */
    char type[GP_LOCK_HOLDER_MAX]; /* of the object of the library's that has the lock; empty: the lock itself
                                      is named */
    bool synchronizer;             /* that object is there for nothing else, as a queue */
    char part[GP_LOCK_HOLDER_MAX]; /* its attribute that has the lock, or has what has it; may be empty */
    char name[GP_LOCK_HOLDER_MAX]; /* `lock`, `self._lock`, `REGISTRY`, `LOCKS[...]` */
    char owner[GP_LOCK_HOLDER_MAX]; /* of an attribute the type that has it, of a global variable its module;
                                       empty for a local one. Without a name the module of the library's type
                                     */
    char imported[GP_LOCK_HOLDER_MAX]; /* the lock is that of a module that is imported; else empty */
} gp_lock_holder;

/* Find the object at this address, or, where that is 0, one that points to a lock on the heap at `lock`.
 * `frame` is the calling thread's innermost; NULL: nothing is found. False leaves *holder empty. */
bool gp_lock_holders_find(uintptr_t wanted, uintptr_t lock, const void *frame, gp_lock_holder *holder);

/* Whether the calling thread imports: its innermost frame is the import system's. */
bool gp_lock_holders_imports(const void *frame);

/* Learn where the standard library is. With the GIL. */
void gp_lock_holders_prepare(void);

#endif
