#include "kernels/gp_interrupt.h"

#if GP_INTERRUPT_SIGNALS

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

enum { EARLIER_MAX = 8 };

static atomic_uint interrupts;

/* All earlier handlers that ours has called. An entry is written once, before `earlier` names it, and never
 * changes: a handler may still run on another thread long after the action was restored. */
static struct sigaction earlier_actions[EARLIER_MAX];
static atomic_int earlier;

/* All below is guarded by the mutex. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned watches;
static int earlier_count;
static bool installed;
static bool displaced; /* somebody replaced our handler, and may call it or put it back at any time */
static struct sigaction replaced;

/* This thread's share of `watches`: a forked child keeps only this. With initial-exec glibc has room for it
 * in every thread; otherwise an access might ask the loader for memory. */
#if defined(__GLIBC__)
__attribute__((tls_model("initial-exec")))
#endif
static _Thread_local unsigned own_watches;

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void on_sigint(int number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    /* acquire: pairs with the store in `install`, the entry is complete */
    const struct sigaction *action = &earlier_actions[atomic_load_explicit(&earlier, memory_order_acquire)];
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(number, info, context);
    else
        action->sa_handler(number);
    /* Count after the earlier handler has run. Release: a thread that sees the count asks Python, and must
     * find Python's flag set. */
    atomic_fetch_add_explicit(&interrupts, 1, memory_order_release);
    errno = saved_errno;
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_sigint;
}

static bool same_handler(const struct sigaction *a, const struct sigaction *b)
{
    if ((a->sa_flags & SA_SIGINFO) != (b->sa_flags & SA_SIGINFO))
        return false;
    if (a->sa_flags & SA_SIGINFO)
        return a->sa_sigaction == b->sa_sigaction;
    return a->sa_handler == b->sa_handler;
}

/* In place of SIG_DFL or SIG_IGN a handler would change what Ctrl-C does. SA_RESETHAND promises a single
 * call: a handler in between can't keep that. */
static bool can_chain(const struct sigaction *action)
{
    if (action->sa_flags & SA_RESETHAND)
        return false;
    return (action->sa_flags & SA_SIGINFO) ||
           (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

/* The entry of `earlier_actions` for this action, or -1 if ours must not be installed over it. */
static int remember(const struct sigaction *action)
{
    for (int i = 0; i < earlier_count; i++)
        if (same_handler(&earlier_actions[i], action))
            return i;
    /* A handler installed after ours may call ours. If ours called it, that would never end. */
    if (displaced || earlier_count == EARLIER_MAX)
        return -1;
    earlier_actions[earlier_count] = *action;
    return earlier_count++;
}

static void install(void)
{
    struct sigaction current;
    if (sigaction(SIGINT, NULL, &current) != 0)
        return;
    if (is_ours(&current)) {
        installed = true;
        return;
    }
    if (installed)
        displaced = true;
    installed = false;
    if (!can_chain(&current))
        return;
    int entry = remember(&current);
    if (entry < 0)
        return;
    atomic_store_explicit(&earlier, entry, memory_order_release);
    replaced = current;
    struct sigaction ours = current;
    ours.sa_flags |=
        SA_SIGINFO | SA_ONSTACK; /* ONSTACK as CPython's own (Python/pylifecycle.c, PyOS_setsig) */
    ours.sa_sigaction = on_sigint;
    installed = sigaction(SIGINT, &ours, NULL) == 0;
}

static void uninstall(void)
{
    struct sigaction current;
    if (!installed || sigaction(SIGINT, NULL, &current) != 0)
        return;
    if (is_ours(&current))
        sigaction(SIGINT, &replaced, NULL);
    else
        displaced = true;
    installed = false;
}

/* The other threads, and their watches, do not exist here. One may have held the mutex: it is made anew. It
 * is not taken before the fork, since it would be held while other libraries' actions run. */
static void after_fork_in_child(void)
{
    struct sigaction current;
    pthread_mutex_init(&mutex, NULL);
    watches = own_watches;
    installed |= sigaction(SIGINT, NULL, &current) == 0 && is_ours(&current);
    if (watches == 0)
        uninstall();
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, after_fork_in_child);
}

void gp_interrupt_prepare(void)
{
    pthread_once(&fork_once, watch_forks);
}

void gp_interrupt_begin(gp_interrupt_watch *watch, uint64_t nominal_ns, bool released)
{
    (void)released;
    watch->watching = nominal_ns > GP_INTERRUPT_WORTH_NS;
    if (watch->watching) {
        pthread_mutex_lock(&mutex);
        watches++;
        own_watches++;
        install();
        pthread_mutex_unlock(&mutex);
    }
    gp_interrupt_rearm(watch);
}

void gp_interrupt_renew(gp_interrupt_watch *watch)
{
    if (!watch->watching)
        return;
    pthread_mutex_lock(&mutex);
    install();
    pthread_mutex_unlock(&mutex);
}

void gp_interrupt_end(gp_interrupt_watch *watch)
{
    if (!watch->watching)
        return;
    watch->watching = false;
    pthread_mutex_lock(&mutex);
    own_watches--;
    if (--watches == 0)
        uninstall();
    pthread_mutex_unlock(&mutex);
}

static unsigned count(void)
{
    /* acquire: pairs with the increment in the handler; Python's flag is set */
    return atomic_load_explicit(&interrupts, memory_order_acquire);
}

#else /* !GP_INTERRUPT_SIGNALS */

#include "base/gp_clock.h"

void gp_interrupt_prepare(void)
{
}

void gp_interrupt_begin(gp_interrupt_watch *watch, uint64_t nominal_ns, bool released)
{
    watch->watching = nominal_ns > GP_INTERRUPT_WORTH_NS && !released;
    gp_interrupt_rearm(watch);
}

void gp_interrupt_renew(gp_interrupt_watch *watch)
{
    (void)watch;
}

void gp_interrupt_end(gp_interrupt_watch *watch)
{
    watch->watching = false;
}

static unsigned count(void)
{
    return (unsigned)(gp_clock_monotonic_ns() / GP_INTERRUPT_PERIOD_NS);
}

#endif

bool gp_interrupt_changed(const gp_interrupt_watch *watch)
{
#if !GP_INTERRUPT_SIGNALS
    if (!watch->watching)
        return false;
#endif
    return count() != watch->seen;
}

void gp_interrupt_rearm(gp_interrupt_watch *watch)
{
    watch->seen = count();
}
