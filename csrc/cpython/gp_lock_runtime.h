#ifndef GP_LOCK_RUNTIME_H
#define GP_LOCK_RUNTIME_H

/* The interpreter's own locks, which are fields of _PyRuntime and of the interpreter's state. Offsets are
 * those of the headers that this was compiled with: use it only where gp_frames_check is content. */

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    GP_LOCK_NOT_OWN,  /* no lock of the interpreter's */
    GP_LOCK_OWN,      /* one of its locks */
    GP_LOCK_OWN_STOP, /* not a lock: the calling thread is stopped with all others */
} gp_lock_runtime_kind;

/* Whose lock it is that the calling thread waits for; *name is valid for GP_LOCK_OWN. */
gp_lock_runtime_kind gp_lock_runtime_find(uintptr_t key, const char **name);

#endif
