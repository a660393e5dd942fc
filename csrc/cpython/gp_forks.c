#define _GNU_SOURCE
#include <Python.h>

#include "cpython/gp_forks.h"

#include <unistd.h>

#include "base/gp_clock.h"
#include "cpython/gp_frames.h"
#include "base/gp_helper.h"

enum {
    LEVELS = 128, /* of the stack that are searched for the fork */
};

static const uint64_t longest_ns = UINT64_C(1000000000);

static gp_site_key forking; /* where the fork is called */
static uint64_t forked_ns;
static pid_t requester; /* the process whose pending call has not come yet; 0: none */

/* Threads are started without the GIL: a thread that wants it may hold locks of the C library. */
static void resume_helpers(void)
{
    if (!gp_helpers_are_paused())
        return;
    Py_BEGIN_ALLOW_THREADS gp_helpers_resume();
    Py_END_ALLOW_THREADS
}

/* Whether this runs inside the fork, in a hook: then the code that forked is on the stack, at the same
 * instruction. */
static bool is_inside_fork(void)
{
    gp_site_key keys[LEVELS];
    bool truncated;
    size_t depth = forking.code != NULL ? gp_frames_stack(keys, LEVELS, &truncated) : 0;
    for (size_t i = 1; i < depth; i++)
        if (keys[i].code == forking.code && keys[i].instruction == forking.instruction)
            return true;
    return false;
}

static int resume(void *unused)
{
    (void)unused;
    bool early = gp_clock_monotonic_ns() - forked_ns < longest_ns && is_inside_fork();
    requester = early && Py_AddPendingCall(resume, NULL) == 0 ? getpid() : 0;
    if (requester == 0)
        resume_helpers();
    return 0;
}

void gp_forks_before(void)
{
    bool truncated;
    if (gp_helpers_pause() && gp_frames_stack(&forking, 1, &truncated) == 0)
        forking.code = NULL;
}

void gp_forks_after_in_parent(void)
{
    if (!gp_helpers_are_paused())
        return;
    forked_ns = gp_clock_monotonic_ns();
    if (requester == getpid())
        return;
    if (Py_AddPendingCall(resume, NULL) == 0)
        requester = getpid();
    else
        resume_helpers();
}
