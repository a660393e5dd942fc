#ifndef GP_GIL_H
#define GP_GIL_H

/* The exact GIL tracer: hooks the import slots through which the interpreter reaches its locks, learns by a
 * handshake which of them are the GIL's, and feeds the state machine (gp_machine.h). Knows no Python: what it
 * needs of the interpreter comes in a gp_gil_host.
 *
 * All functions must be called with the GIL held, which makes them exclude each other, unless they say
 * otherwise. All state is in this unit: link it into one extension module only. */

#include "gp_account.h"
#include "gp_status.h"

/* What the tracer must be told of the interpreter. Everything is static. */
typedef struct {
    const void *interpreter; /* an address inside the object that contains the interpreter */
    void (*cycle_gil)(void); /* release the GIL and take it again */
    /* Functions that give the GIL up because the code asked for it, and functions that run Python code and
     * give it up because another thread asked. Starts of functions, ended by NULL. */
    const void *const *voluntary;
    const void *const *forced;
} gp_gil_host;

/* Whether the GIL of this interpreter can be traced. Learns it at the first call, and again after a "no",
 * since a free-threaded build may switch its GIL on. On GP_EUNSUPPORTED *reason says why in one line, and
 * nothing is changed. */
gp_status gp_gil_learn(const gp_gil_host *host, const char **reason);

/* Begin a session, with hooks installed if it is the first. GP_EUNSUPPORTED, GP_ENOMEM, GP_ESYSTEM. */
gp_status gp_gil_start(const gp_gil_host *host, gp_session **session, const char **reason);

/* End it; hooks are removed with the last. Its accounts stay readable until gp_gil_forget. Nothing if it has
 * ended. */
void gp_gil_stop(gp_session *session);

/* End it if need be, and free it. NULL is fine. */
void gp_gil_forget(gp_session *session);

/* What a session has booked, up to now if it runs. */
typedef struct {
    uint64_t elapsed;
    uint64_t contended;
    uint64_t handoffs;
    uint64_t lost; /* intervals without an account: out of memory */
    size_t account_count;
    gp_clock_rate rate;       /* exact over the session, for conversion to nanoseconds */
    bool hooks_lost;          /* another library has replaced ours: the session misses what came after */
    bool releases_told_apart; /* false: unwinding fails here, and every release counts as voluntary */
} gp_gil_summary;

void gp_gil_summarise(gp_session *session, gp_gil_summary *summary);

/* Copy account number `n` (< account_count). */
void gp_gil_account(const gp_session *session, size_t n, gp_account *copy);

/* Attach a number to the calling thread, for the caller to find its name by later. Nothing if it is not known
 * (yet). */
void gp_gil_label(uint32_t label);

/* Number of sessions that run. */
size_t gp_gil_sessions(void);

#endif
