#ifndef GP_HELPER_H
#define GP_HELPER_H

/* Native threads of ours, inside a process that knows nothing of them: they block all signals, never take the
 * GIL, and can be made to be gone for the time of a fork.
 *
 * From CPython 3.12 on, os.fork() warns if the operating system counts more than one thread in the process,
 * in the parent and after the fork (Modules/posixmodule.c, warn_about_fork_with_threads). A program that is
 * alone but for our threads must not be told so: gp_helpers_pause before, gp_helpers_resume when the count is
 * over. On every version, a child of such a program is then one of a process without threads, and no lock of
 * an allocator that minds forks less than glibc's can be held in it. Linux. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/gp_descriptors.h"

typedef struct gp_helper gp_helper;

/* The owner fills in the upper part, zeroes the lower one, and keeps all until gp_helper_stop has returned.
 */
struct gp_helper {
    void *context;
    void (*run)(void *context);    /* the thread; called again after a pause. Returns soon after `halt` */
    void (*halt)(void *context);   /* have `run` return, also the one that is about to be called */
    void (*forked)(void *context); /* in a forked child, which has no such thread. Async-signal-safe */
    int *fd;                       /* a descriptor of the owner's, -1 or NULL for none: see below */

    pthread_t thread;
    _Atomic pid_t id; /* of the thread, or of the one before a pause */
    _Atomic bool alive;
    bool started;
    gp_helper *next;
    _Atomic uint32_t table; /* of descriptors, the thread's */
    gp_descriptors_box box; /* where the thread leaves its descriptor */
};

/* The descriptor is the thread's alone while it runs, where the system can do that: no other thread, no child
 * and no listing of the process's descriptors has it, and the thread has none of the program's. During a
 * pause it is in the process's table, perhaps under another number, and -1 if that has failed. After the end
 * it is closed and -1, unless the thread was paused. */

/* Start the thread. Returns 0 or an errno. This, the stop and the resuming wait for locks of the C library
 * and for each other: not with a lock held that another thread may want meanwhile, as the GIL is. */
int gp_helper_start(gp_helper *helper);

/* Whether a thread could be made now: 0 or an errno. One is made, and gone again. */
int gp_helper_try(void);

/* Halt it and wait for its end; it will not be resumed. Nothing in a forked child, and the second time. */
void gp_helper_stop(gp_helper *helper);

/* Whether the thread runs now: not before its start, around a fork, in a forked child. Async-signal-safe. */
bool gp_helper_runs(const gp_helper *helper);

/* Whether the calling thread is the helper. Async-signal-safe. */
bool gp_helper_is_here(const gp_helper *helper);

/* Whether the process has no other thread than the calling one and helpers, as far as the system tells. */
bool gp_helpers_alone(void);

/* If the calling thread is alone in the process but for helpers, end these, until the system does not count
 * them any more. Returns whether they are paused. Waits for no lock: nobody else could have one then. */
bool gp_helpers_pause(void);

/* Start them again, if they are paused. */
void gp_helpers_resume(void);

bool gp_helpers_are_paused(void);

#endif
