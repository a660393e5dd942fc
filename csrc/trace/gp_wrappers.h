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

/* Of which other GIL these are the mutex and the forced-switching mutex, which the calling thread has locked
 * in this order, and so takes it. It is traced from now on. NULL: of none. Under them. */
typedef struct gp_gil *gp_wrappers_recognise(const void *mutex, const void *switch_mutex);

/* Tell the wrappers the main GIL's locks, and whom to ask about unknown ones. */
void gp_wrappers_prepare(const gp_tracer_host *host, const gp_gil_locks *locks,
                         gp_wrappers_recognise *recognise);

/* Put the wrappers in place that stay while traces run; take them out. */
gp_status gp_wrappers_install(const gp_tracer_host *host);
void gp_wrappers_remove(void);

/* Whether all of them still stand in their slots. Any thread. */
bool gp_wrappers_in_place(void);

/* The calling thread's record at the main GIL. `current`: NULL if it has none. `follow`: made now if it has
 * none, as of a thread that has the GIL; NULL without memory; under the lock of the stream. */
gp_thread *gp_wrappers_current(void);
gp_thread *gp_wrappers_follow(void);

/* Whether it is known to have the main GIL, in a trace. */
bool gp_wrappers_have_gil(void);

/* The calling thread's records at the other GILs that it has taken, linked by next_elsewhere; NULL: none. */
const gp_thread *gp_wrappers_elsewhere(void);

/* Where the calling thread, which has the GIL, is: a number of its places; GP_ROW_NONE if nobody wants it. */
uint32_t gp_wrappers_where(gp_gil *gil);

#endif
