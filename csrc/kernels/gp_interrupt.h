#ifndef GP_INTERRUPT_H
#define GP_INTERRUPT_H

/* Lets long native work notice Ctrl-C, without the GIL and without disturbing other threads.
 *
 * Python's own SIGINT handler only sets a flag that nobody outside CPython may read, so a released kernel
 * would have to take the GIL now and then to ask: a periodic acquisition in the middle of what gilprobe
 * measures. Instead, while at least one long piece of work runs, a handler of ours stands before the earlier
 * one, calls it and counts. */

#include <stdbool.h>
#include <stdint.h>

/* 0: no sigaction here (Windows); a held piece of work is interrupted every 50 ms to ask Python, a released
 * one is not interrupted. */
#ifndef GP_INTERRUPT_SIGNALS
#if defined(_WIN32)
#define GP_INTERRUPT_SIGNALS 0
#else
#define GP_INTERRUPT_SIGNALS 1
#endif
#endif

enum {
    /* Work shorter than this pays nothing: Ctrl-C waits for its end. */
    GP_INTERRUPT_WORTH_NS = 20000000,
    /* The longest that a watched piece of work may go without looking. */
    GP_INTERRUPT_PERIOD_NS = 50000000,
};

typedef struct {
    unsigned seen;
    bool watching;
} gp_interrupt_watch;

/* Be told of forks: without it watches of other threads go on in a child. As often as you like; not with a
 * lock held that who forks may want, as the GIL is. */
void gp_interrupt_prepare(void);

/* Start to watch for SIGINT on behalf of work that should take `nominal_ns`. Never fails: where SIGINT is
 * ignored, has its default action or can't be observed, the watch stays silent. Any thread; needs no GIL;
 * takes a leaf mutex. Between begin and end the action of SIGINT is ours when the work is long; whoever
 * replaces it meanwhile wins, and running watches stay silent from then on. `released` says that the work
 * runs without the GIL. */
void gp_interrupt_begin(gp_interrupt_watch *watch, uint64_t nominal_ns, bool released);

/* End the watch, on the thread that began it. The last one puts the earlier action back if ours still stands.
 */
void gp_interrupt_end(gp_interrupt_watch *watch);

/* Whether a SIGINT arrived since the watch began or was rearmed. Any thread; wait-free. */
bool gp_interrupt_changed(const gp_interrupt_watch *watch);

/* Forget what has arrived so far. Call it before acting on it, so that the next SIGINT is not lost. */
void gp_interrupt_rearm(gp_interrupt_watch *watch);

/* Stand before the earlier handler again, if one that ran meanwhile has replaced the action, as a handler
 * does that makes the next Ctrl-C fatal. What arrived since the replacement is not counted. As
 * gp_interrupt_begin otherwise. */
void gp_interrupt_renew(gp_interrupt_watch *watch);

#endif
