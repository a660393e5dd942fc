#ifndef GP_WRAPPERS_H
#define GP_WRAPPERS_H

/* The wrappers that stand in the interpreter's import slots while traces run: they see what threads do with
 * the locks of GILs, and feed the states of the GILs (gp_gil_state.h). They run in every thread, in the
 * middle of the interpreter's own calls: nothing there allocates with malloc, blocks on what a thread with
 * the GIL may hold, or changes errno.
 *
 * Part of the tracer (gp_tracer.h). All functions must be called with the main GIL, unless they say
 * otherwise.
 */

#include "trace/gp_tracer.h"
#include "trace/gp_gil_table.h"

/* What a release and re-acquisition of the GIL called. */
typedef struct {
    gp_handshake_step steps[GP_HANDSHAKE_MAX];
    size_t count; /* more than GP_HANDSHAKE_MAX: it is no handshake */
} gp_wrappers_notes;

/* Find the slots, once. On GP_EUNSUPPORTED *reason says why not. Not with the GIL: see gp_hooks_find. */
gp_status gp_wrappers_find(const gp_tracer_host *host, const char **reason);

/* Note what one release and re-acquisition of the GIL calls. GP_ESYSTEM. */
gp_status gp_wrappers_handshake(const gp_tracer_host *host, gp_wrappers_notes *taken);

/* Whether a thread that signals this condition, after it has locked those mutexes, takes the GIL of another
 * interpreter. If so, that GIL is traced from now on. Under its mutex. */
typedef bool gp_wrappers_recognise(const void *const locked[2], const void *cond);

/* Tell the wrappers the main GIL's locks, and whom to ask about unknown ones. */
void gp_wrappers_prepare(const gp_tracer_host *host, const gp_gil_locks *locks,
                         gp_wrappers_recognise *recognise);

/* Put the wrappers in place that stay while traces run; take them out. */
gp_status gp_wrappers_install(const gp_tracer_host *host);
void gp_wrappers_remove(void);

/* Whether all of them still stand in their slots. Any thread. */
bool gp_wrappers_in_place(void);

/* The calling thread's record at the main GIL. `current`: NULL if it has none. `follow`: made now if it has
 * none, NULL without memory; under the GIL's mutex. */
gp_thread *gp_wrappers_current(void);
gp_thread *gp_wrappers_follow(void);

/* The calling thread's records at the other GILs that it has taken, linked by next_elsewhere; NULL: none. */
const gp_thread *gp_wrappers_elsewhere(void);

/* Where the calling thread is; `keys` has room for GP_STACK_MAX, to which the stack refers. */
void gp_wrappers_locate(gp_call_stack *stack, gp_site_key *keys, bool whole);

#endif
