#ifndef GP_HELPER_H
#define GP_HELPER_H

/* Our native threads in a process that knows nothing of them. They block all signals, never take the GIL, and
 * can be ended for the time of a fork.
 *
 * From CPython 3.12 on, os.fork() warns if the operating system counts more than one thread in the process,
 * in the parent and after the fork (Modules/posixmodule.c, warn_about_fork_with_threads). A program whose
 * only other threads are ours must not get that warning: call gp_helpers_pause before, and gp_helpers_resume
 * after the count. On every version the child then comes from a process with one thread, and inherits no held
 * lock, also from an allocator that handles forks less well than glibc's. Linux. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/gp_descriptors.h"

typedef struct gp_helper gp_helper;

/* The owner fills in the upper part, zeroes the lower one, and keeps both until gp_helper_stop returns. */
struct gp_helper {
    void *context;
    void (*run)(void *context);    /* the thread; called again after a pause. Returns soon after `halt` */
    void (*halt)(void *context);   /* makes `run` return, also if it is only about to be called */
    void (*forked)(void *context); /* in a forked child, which has no such thread. Async-signal-safe */
    int *fd;                       /* the owner's descriptor, see below; NULL or -1: none */
    const char *name;              /* for the system, at most 15 bytes; NULL: "gilprobe" */

    pthread_t thread;
    _Atomic pid_t id; /* of the thread, or of the last one before a pause */
    _Atomic bool alive;
    bool started;
    gp_helper *next;
    _Atomic uint32_t table; /* whose table of descriptors the thread uses */
    gp_descriptors_box box; /* where the thread leaves its descriptor */
};

/* While the thread runs, the descriptor is the thread's alone, where the system can do that: no other thread,
 * no child and no list of the process's descriptors has it, and the thread has none of the program's. During
 * a pause it is in the process's table, perhaps under another number; -1 if that failed. After the end it is
 * closed and -1, unless the thread was paused. */

/* Start the thread. Returns 0 or an errno. This, gp_helper_stop and gp_helpers_resume wait for locks of the C
 * library and for each other: hold no lock that another thread may want meanwhile, such as the GIL. */
int gp_helper_start(gp_helper *helper);

/* The same for a thread of the program, which must not wait long: EBUSY if another helper is being started or
 * ended. */
int gp_helper_start_at_once(gp_helper *helper);

/* Try whether a thread can be made now: make one and end it. Returns 0 or an errno. */
int gp_helper_try(void);

/* Halt it for good and wait for its end. Does nothing in a forked child, and the second time. */
void gp_helper_stop(gp_helper *helper);

/* If the process has no other threads than one and helpers: take the calling thread away from its helper,
 * which its owner may then start anew; the thread returns from `run` at once. False: go on. */
bool gp_helper_leave(gp_helper *helper);

/* Whether the thread runs now: not before its start, around a fork, in a forked child. Async-signal-safe. */
bool gp_helper_runs(const gp_helper *helper);

/* Whether the calling thread is the helper. Async-signal-safe. */
bool gp_helper_is_here(const gp_helper *helper);

/* Whether the process has no other threads than the calling one and helpers. False if the system does not
 * tell. */
bool gp_helpers_alone(void);

/* The same without waiting for anything: while a helper begins or ends the answer may be wrong. */
bool gp_helpers_seem_alone(void);

/* If the process has no other threads than the calling one and helpers, end the helpers, and wait until the
 * system no longer counts them. Returns whether they are paused. Waits for no lock: whoever holds one is
 * another thread. */
bool gp_helpers_pause(void);

/* Start them again, if they are paused. */
void gp_helpers_resume(void);

bool gp_helpers_are_paused(void);

#endif
