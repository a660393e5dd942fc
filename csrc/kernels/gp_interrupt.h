#ifndef GP_INTERRUPT_H
#define GP_INTERRUPT_H

/* Lets long native work notice Ctrl-C, without the GIL and without disturbing other threads.
 *
 * Python's own SIGINT handler only sets a flag, which code outside CPython may not read. Without the GIL a
 * kernel would have to take the GIL now and then to ask, in the middle of what gilprobe measures. Instead,
 * while any long piece of work runs, our handler is installed: it calls the earlier one and counts. */

#include <stdbool.h>
#include <stdint.h>

/* 0: there is no sigaction (Windows). Work with the GIL stops every 50 ms to ask Python; work without it is
 * not interrupted. */
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

/* Prepare for forks: else watches of other threads go on in a child. May be called again. Hold no lock that a
 * thread that forks may want, such as the GIL (pthread_atfork). */
void gp_interrupt_prepare(void);

/* Start to watch for SIGINT for work that should take `nominal_ns`. Never fails: where SIGINT is ignored, has
 * its default action or can't be observed, the watch reports nothing. Any thread; needs no GIL; takes a leaf
 * mutex. Between begin and end the action of SIGINT is ours when the work is long. If somebody replaces it
 * meanwhile, theirs stays, and running watches report nothing from then on. `released`: the work runs without
 * the GIL. */
void gp_interrupt_begin(gp_interrupt_watch *watch, uint64_t nominal_ns, bool released);

/* End the watch, on the thread that began it. The last one puts the earlier action back if ours is still
 * installed. */
void gp_interrupt_end(gp_interrupt_watch *watch);

/* Whether a SIGINT arrived since the watch began or was rearmed. Any thread; wait-free. */
bool gp_interrupt_changed(const gp_interrupt_watch *watch);

/* Forget the signals so far. Call it before you act on them, so that the next SIGINT is not lost. */
void gp_interrupt_rearm(gp_interrupt_watch *watch);

/* Install our handler again if a handler that ran meanwhile has replaced the action, as one does that makes
 * the next Ctrl-C fatal. Signals since then are not counted. Otherwise as gp_interrupt_begin. */
void gp_interrupt_renew(gp_interrupt_watch *watch);

#endif
