#ifndef GP_TRACER_H
#define GP_TRACER_H

/* The exact GIL tracer: hooks the import slots through which the interpreter reaches its locks, learns by a
 * handshake which of them are the GIL's, and feeds the GIL's state (gp_gil_state.h). Knows no Python: what
 * it needs of the interpreter comes in a gp_tracer_host.
 *
 * All functions must be called with the GIL held, which makes them exclude each other, unless they say
 * otherwise. All state is in one object (gp_tracer_object.h): link it into one extension module only. */

#include "books/gp_attribution.h"
#include "recording/gp_recorder.h"
#include "trace/gp_looker.h"
#include "trace/gp_stall_look.h"
#include "trace/gp_totals.h"
#include "base/gp_status.h"

/* What the tracer must be told of the interpreter. All stays valid. */
typedef struct {
    const void *interpreter; /* an address inside the object that contains the interpreter */
    void (*cycle_gil)(void); /* release the GIL and take it again */
    /* Functions that give the GIL up because the code asked for it, and functions that run Python code and
     * give it up because another thread asked. Starts of functions, ended by NULL. */
    const void *const *voluntary;
    const void *const *forced;

    /* The identifier of the interpreter whose GIL has `mutex`; the main one's has `main_mutex`. Reads only.
     */
    uint32_t (*identify)(const void *mutex, const void *main_mutex);
    /* The identifiers of all interpreters; a process uses none twice. Returns how many; 0: not known just
     * now, or more than `room`. Takes no lock; any thread. */
    size_t (*living)(uint32_t *identifiers, size_t room);
    /* Where the calling thread is, which is about to release the GIL or has just got it: the innermost level
     * of its Python stack; and the place of the whole stack if it is one of these, GP_ROW_NONE if it is not.
     */
    gp_site_key (*here)(void);
    uint32_t (*recognise)(gp_paths *paths, const void *thread_state);
    bool (*stands_for_caller)(gp_site_key *key); /* see gp_naming */
    gp_walked (*walk)(const gp_paths *paths, gp_path_frame *frames, gp_site_key *keys);
    /* The instruction where the thread with this state is, not NULL; NULL: it has no frame. An instruction
     * is in its code object, from this distance on, or belongs to no place that is remembered. */
    const void *(*instruction)(const void *thread_state);
    size_t code_begins;
    /* Where the GIL with this condition has the state of the thread that took it last, which is right while
     * the first of the voluntary functions lets it go. NULL: not known. */
    const void *const *(*last_holder)(const void *cond);
    /* Where that GIL says whether a thread has it: above 0 if so. Atomic. NULL: not known. */
    const int *(*taken)(const void *cond);
    /* Append line, function and file of a place with code, as a recording has them (PLAC). */
    void (*describe)(gp_site_key key, gp_buffer *buffer);
    /* From now on call `gone` for each code object of any interpreter that is about to be destroyed, with the
     * GIL that guards it; NULL: no more. */
    void (*watch_code)(void (*gone)(const void *code));
    const gp_looker_eyes *looker_eyes; /* NULL: nobody can look */
    /* From now on call gp_loop_watch_tell for each long callback of an event loop; or no more. NULL: nobody
     * can. */
    void (*watch_loops)(bool watch);
} gp_tracer_host;

/* Once, before all else here. Without the GIL: this takes locks of the C library, whose holder may want the
 * GIL. */
void gp_tracer_prepare(const gp_tracer_host *host);

/* Whether the GIL of this interpreter can be traced. Learns it at the first call, and again after a "no",
 * since a free-threaded build may switch its GIL on. On GP_EUNSUPPORTED *reason says why in one line, and
 * nothing is changed. */
gp_status gp_tracer_learn(const gp_tracer_host *host, const char **reason);

/* What a session is to record. */
typedef struct {
    bool sites;
    bool stacks;   /* whole stacks; needs sites */
    bool timeline; /* every hold and wait one by one; needs a recorder */
    bool cpu;      /* CPU time of holds: two system calls each */
    bool looks;    /* look at the holder at random times (gp_looker.h); only with sites. After its end:
                      gp_looker_end */
    bool tags;     /* by what the code runs for, too (gp_tags.h) */
    bool totals;   /* only those of the main GIL, in constant memory: gp_tracer_totals is to read it */
    bool pauses;   /* the collector tells of its pauses (gp_collector.h) */
    gp_recorder
        *recorder; /* where to; NULL: nowhere. To be finished after the stop, before gp_tracer_forget */
} gp_tracer_wishes;

/* Begin a session, with hooks installed if it is the first. GP_EUNSUPPORTED, GP_ENOMEM, GP_ESYSTEM. */
gp_status gp_tracer_start(const gp_tracer_host *host, const gp_tracer_wishes *wishes, gp_session **session,
                          const char **reason);

/* End it; hooks are removed with the last. What it has booked stays readable until gp_tracer_forget. `here`
 * is where the calling thread is, in whose hold that happens. Nothing if it has ended. */
void gp_tracer_stop(gp_session *session, const gp_call_stack *here);

/* End it if need be, and free it. NULL is fine. */
void gp_tracer_forget(gp_session *session);

/* How many parts a session has: one for each GIL that it met, the main one's first. Their number may grow
 * while the session runs. */
size_t gp_tracer_parts(const gp_session *session);

/* When the session's recording begins, ticks. */
uint64_t gp_tracer_origin(const gp_session *session);

/* What a part (< gp_tracer_parts) has booked, up to now if the session runs: all places that were met, as in
 * PLAC without the leading number, and a snapshot (SNAP, docs/recording-format.md). GP_ENOMEM. */
gp_status gp_tracer_read(gp_session *session, size_t part, const gp_call_stack *here, gp_buffer *places,
                         gp_buffer *snapshot);

/* What the session has booked for the main GIL, up to now if it runs. GP_ENOMEM. */
gp_status gp_tracer_totals(gp_session *session, gp_totals *totals);

/* The calling thread runs for this from now on (gp_tags.h); also if no session runs. And for what it runs. */
void gp_tracer_tag(uint32_t tag);
uint32_t gp_tracer_tagged(void);

/* How long the calling thread has had the main GIL, waited for it, and neither, in nanoseconds, since the
 * begin of the oldest session, or its own. */
typedef struct {
    uint64_t hold, wait, off;
} gp_thread_times;

/* False: no session runs, or it is not known to have the GIL. */
bool gp_tracer_thread_times(gp_thread_times *times);

/* Attach a number to the calling thread, for the caller to find its name by later. Nothing if the tracer has
 * not met the thread. */
void gp_tracer_label(uint32_t label);

/* Leave the calling thread, one of ours that must take the GIL, out of all sessions that begin from now on.
 */
void gp_tracer_hide(void);

/* Number of sessions that run. */
size_t gp_tracer_sessions(void);

/* gp_looker_see at the main GIL. */
gp_look gp_tracer_see(gp_looker_tell *tell, void *context);

/* gp_stall_look_take and gp_stall_look_follow for the main GIL. Without a trace: false,
 * GP_STALL_LOOK_LONG_OVER. Any thread, without the GIL; takes the GIL's mutex, so not in a hook or a signal
 * handler. */
bool gp_tracer_look(const gp_stall_look_hold *but, uint64_t limit, gp_stall_look *stall, uint64_t *now);
gp_stall_look_end gp_tracer_follow(const gp_stall_look_hold *hold, uint64_t *ended_at);

#endif
