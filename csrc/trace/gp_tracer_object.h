#ifndef GP_TRACER_OBJECT_H
#define GP_TRACER_OBJECT_H

/* The tracer's one object: whatever it keeps for the whole process, and changes. What is a thread's own is in
 * gp_wrappers.c and gp_gil_table.c, what is the looker's in gp_looker.c.
 *
 * Only the files of trace/ use it, each as its fields say. "With the GIL" is the main interpreter's GIL, and
 * "hooks" are the wrappers in whatever thread. */

#include "books/gp_threads.h"
#include "hooks/gp_hooks.h"
#include "trace/gp_gil_table.h"
#include "trace/gp_tracer.h"
#include "trace/gp_wrappers.h"

extern __attribute__((visibility("hidden"))) struct gp_tracer {
    /* Hooks read these without a lock. Written with the GIL, before a first trace and after a last one. What
     * each cycle needs is in one cache line, since all are cold after a system call. */
    _Alignas(GP_JOURNAL_LINE) int (*try_lock)(pthread_mutex_t *mutex); /* EBUSY also where `next` must see the
                                                                          lock: relaxed */
    const void *(*instruction)(const void *thread_state);              /* the host's */
    const int *taken;               /* above 0: a thread has the main GIL, as far as is known; not NULL */
    const void *const *last_holder; /* of the main GIL, see gp_tracer_host; NULL: not known */
    const char *in_one_thread;      /* whether the process has one thread, as the C library knows; not NULL */
    void *next[GP_CALLS];           /* of the hooks; may change meanwhile: relaxed */

    gp_hook hooks[GP_CALLS];
    gp_gil_locks known; /* the main GIL's, from the first handshake on */
    const gp_tracer_host *host;
    gp_wrappers_recognise *recognise;
    uint64_t blocked_ticks;   /* a lock that takes longer has waited for another thread */
    uint64_t patience_ticks;  /* how long to spin for a GIL's mutex */
    uint64_t courtesy_ticks;  /* how long to let a holder finish */
    uint32_t other_count;     /* rows of other_gils that may be in use; written under table_lock */
    bool releases_told_apart; /* whether forced and voluntary ones can be, as the handshake has shown */

    gp_gil main_gil; /* its locks: what hooks look for, all NULL in a handshake. Its state: gp_gil_state.h */

    /* Written under table_lock. Hooks compare their locks without. */
    gp_gil other_gils[GP_OTHER_GILS_MAX];
    pthread_mutex_t table_lock;
    uint64_t close_ended_at; /* ticks: when to ask again which interpreters have ended */

    gp_places looked; /* the looker's places, which it alone adds to (gp_looker.c) */

    /* Of the last watching of a GIL. Under table_lock, or with the GIL before a trace runs. */
    uint32_t generation;
    uint64_t last_session_id; /* atomic, any thread */

    gp_threads threads; /* under its own lock, if gp_threads.h says nothing else */

    /* with the GIL */
    bool prepared;          /* gp_tracer_prepare has succeeded */
    const char *unprepared; /* why not; NULL: it was not called */
    bool learnt;            /* gp_tracer_learn has succeeded */
    pid_t handshaking; /* the process in which a handshake goes on: after a fork nobody ends it. 0: none */
    uint32_t forks;    /* from the process that loaded us to this one */
} gp_tracer;

#endif
