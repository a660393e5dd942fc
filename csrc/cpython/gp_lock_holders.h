#ifndef GP_LOCK_HOLDERS_H
#define GP_LOCK_HOLDERS_H

/* What the program calls an object: the local variable, the attribute of one, or the global variable by which
 * the calling thread can reach it. The thread's own frames are read directly, all else by safe reads. */

#include <stdbool.h>
#include <stdint.h>

enum {
    GP_LOCK_HOLDER_MAX = 96, /* bytes of a name */
};

typedef struct {
    uintptr_t object;
    char name[GP_LOCK_HOLDER_MAX];  /* `lock`, `self._lock`, `REGISTRY` */
    char owner[GP_LOCK_HOLDER_MAX]; /* of an attribute the type that has it, of a global variable its module;
                                       empty for a local one */
} gp_lock_holder;

/* Find the object at this address, or, where that is 0, one that points to a lock on the heap at `lock`.
 * `frame` is where the calling thread waits; NULL: nothing is found. False leaves *holder empty. */
bool gp_lock_holders_find(uintptr_t wanted, uintptr_t lock, const void *frame, gp_lock_holder *holder);

#endif
