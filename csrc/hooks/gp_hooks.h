#ifndef GP_HOOKS_H
#define GP_HOOKS_H

/* Import-slot hooks: calls that one loaded object makes to a function of another go through a pointer in the
 * caller's global offset table; swapping that pointer redirects them. Knows nothing of Python.
 *
 * Only gp_hooks_find takes a lock, the loader's. While hooks are removed, nothing here points into a library
 * that may be unloaded meanwhile.
 *
 * 64-bit Linux on x86-64 and aarch64 only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_status.h"

enum {
    GP_HOOK_SLOTS = 4, /* a function is imported through one slot, or two when its address is also taken */
};

typedef struct {
    void **address;
    void *saved;    /* what stood there before, put back at removal */
    bool relro;     /* the page is read-only again after relocation */
    bool installed; /* `saved` is to be put back */
    bool buried;    /* at removal it held another library's pointer, through which ours may still be called */
} gp_slot;

typedef struct {
    const char *name;    /* the imported symbol */
    void *wrapper;       /* what to call instead */
    void *library;       /* the function itself, as our own object resolves it */
    void **next;         /* where the wrapper finds what to call: `library`, or while installed an earlier
                            interposer's; NULL: it always calls the library */
    uintptr_t low, high; /* extent of the object that has the slots */
    size_t slot_count;
    gp_slot slots[GP_HOOK_SLOTS];
} gp_hook;

/* Find the slots through which the object that contains `address` imports each hook's symbol.
 *
 * Fills slots, slot_count and the extent; changes nothing in the object. GP_EUNSUPPORTED when no loaded
 * object contains `address`; a symbol without a slot is not an error: its slot_count is 0.
 *
 * Takes the loader's lock (dl_iterate_phdr), under which other threads run code of theirs: hold no lock that
 * such code may want, such as the GIL. */
gp_status gp_hooks_find(const void *address, gp_hook *hooks, size_t count);

/* Point every slot at its hook's wrapper, and set each hook's `next`.
 *
 * `still_called`: a wrapper that was left in another library's chain (a buried slot) is known to be called
 * through it. Its slot then stays as it is: a second wrapper on top would call itself for ever. GP_ESYSTEM
 * with errno if the page can't be made writable: everything is then as before. One caller at a time. */
gp_status gp_hooks_install(gp_hook *hooks, size_t count, bool still_called);

/* Put back what stood in each slot. A slot that another library has taken over since is left to it and marked
 * as buried. A thread may still be inside a wrapper when this returns, and that library may call the wrapper,
 * or put it back, at any later time. So from now on wrappers call the library itself: an earlier interposer
 * may be unloaded. One caller at a time. */
void gp_hooks_remove(gp_hook *hooks, size_t count);

/* Whether an earlier removal left any slot buried. */
bool gp_hooks_buried(const gp_hook *hooks, size_t count);

/* Whether every slot that is not buried still leads to its wrapper. Only meaningful while installed. */
bool gp_hooks_in_place(const gp_hook *hooks, size_t count);

#endif
