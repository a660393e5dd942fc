#ifndef GP_HOOKS_H
#define GP_HOOKS_H

/* Import-slot hooks: calls that one loaded object makes to a function of another go through a pointer in the
 * caller's global offset table; swapping that pointer redirects them. Knows nothing of Python or of any lock.
 *
 * ELF on x86-64 and aarch64. Elsewhere gp_hooks_find answers GP_EUNSUPPORTED. */

#include <stdbool.h>
#include <stddef.h>

#include "gp_status.h"

enum {
    GP_HOOK_SLOTS = 4, /* a function is imported through one slot, or two when its address is also taken */
};

typedef struct {
    void **address;
    void *saved; /* what stood there before, put back at removal */
    bool relro;  /* the page is read-only again after relocation */
    bool buried; /* at removal somebody else's pointer stood there: ours may still be called through it */
} gp_slot;

typedef struct {
    const char *name; /* the imported symbol */
    void *wrapper;    /* what to call instead */
    void *library;    /* the function itself, as our own object resolves it */
    void *next;       /* what the wrapper must call: `library`, or an earlier interposer's function */
    size_t slot_count;
    gp_slot slots[GP_HOOK_SLOTS];
} gp_hook;

/* Find the slots through which the object that contains `address` imports each hook's symbol.
 *
 * Fills slots and slot_count; changes nothing in the object. GP_EUNSUPPORTED on another platform or when no
 * loaded object contains `address`; a symbol without a slot is not an error: its slot_count is 0. */
gp_status gp_hooks_find(const void *address, gp_hook *hooks, size_t count);

/* Point every slot at its hook's wrapper, and set each hook's `next`.
 *
 * `still_called` says that wrappers left behind in somebody else's chain (a buried slot) are known to be
 * called through it, so that their slots must stay as they are: a second wrapper on top would call itself for
 * ever. On failure (GP_ESYSTEM, errno set: the page can't be made writable) everything is as before. One
 * caller at a time. */
gp_status gp_hooks_install(gp_hook *hooks, size_t count, bool still_called);

/* Put back what stood in each slot. A slot that somebody else has taken over since is left to them and marked
 * as buried. A thread may still be inside a wrapper when this returns. One caller at a time. */
void gp_hooks_remove(gp_hook *hooks, size_t count);

/* Whether any slot was left buried by an earlier removal. */
bool gp_hooks_buried(const gp_hook *hooks, size_t count);

/* Whether every slot that is not buried still leads to its wrapper. Only meaningful while installed. */
bool gp_hooks_in_place(const gp_hook *hooks, size_t count);

#endif
