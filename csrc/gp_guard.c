#define _GNU_SOURCE
#include "gp_guard.h"

#if defined(__linux__)

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "gp_clock.h"

static const int signals[] = {SIGTERM, SIGHUP};

enum {
    SIGNALS = sizeof signals / sizeof *signals,
    NAP_NS = 1000000,
    STUCK_NAPS = 50, /* that one question of the recorder may take before we step aside */
};

static const uint64_t patience_ns = UINT64_C(2000000000);

static _Atomic(gp_recorder *) guarded;
static _Atomic pid_t process;
static atomic_uint handlers;      /* that are running */
static _Atomic uint64_t asked_ns; /* when a signal came first that could not be answered at once; 0: none */
static atomic_bool deferred;      /* a signal has been taken that is answered after a fork */

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* By that signal, now: as if there had been no handler. On any thread. */
static void die(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    sigaction(number, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    raise(number);
}

static void nap(void)
{
    static const struct timespec duration = {0, NAP_NS};
    nanosleep(&duration, NULL);
}

/* Wait for the recorder's thread to end the process. Returns where we must go on for it to do so: this thread
 * may have the GIL's mutex, which the recorder wants; or it forks, and the recorder is paused. */
static void wait_for_recorder(const gp_recorder *recorder, int number)
{
    uint64_t begin = gp_clock_monotonic_ns();
    uint32_t seen = gp_recorder_questions(recorder);
    for (int naps = 0; naps < STUCK_NAPS; naps++) {
        if (!gp_recorder_runs(recorder) && !atomic_exchange(&deferred, true))
            return;
        if (!gp_recorder_runs(recorder) || gp_clock_monotonic_ns() - begin >= patience_ns)
            die(number); /* who asks again while it is paused means now */
        nap();
        uint32_t questions = gp_recorder_questions(recorder);
        if (questions != seen || (questions & 1) == 0)
            naps = 0;
        seen = questions;
    }
}

/* Have the same signal once more, in a moment: what it has interrupted has to go on first. */
static void come_again(int number)
{
    uint64_t none = 0, now = gp_clock_monotonic_ns();
    if (!atomic_compare_exchange_strong(&asked_ns, &none, now) && now - none >= patience_ns)
        die(number);
    static int timer;
    static bool made; /* signals of ours do not interrupt each other */
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = number};
    const struct itimerspec soon = {.it_value = {0, NAP_NS}};
    if (made)
        syscall(SYS_timer_delete, timer);
    made = syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) == 0;
    if (!made || syscall(SYS_timer_settime, timer, 0, &soon, NULL) != 0)
        die(number);
}

static void answer(gp_recorder *recorder, int number)
{
    if (recorder == NULL) {
        die(number);
    } else if (gp_recorder_has_no_thread(recorder)) {
        gp_recorder_end_here_by_signal(recorder, number, die);
        come_again(number);
    } else {
        gp_recorder_end_by_signal(recorder, number, die);
        wait_for_recorder(recorder, number);
    }
}

static void on_signal(int number)
{
    int saved = errno;
    if (getpid() != atomic_load(&process)) {
        die(number); /* a child that shares nothing with us but this handler */
        return;
    }
    atomic_fetch_add(&handlers, 1);
    answer(atomic_load(&guarded), number);
    atomic_fetch_sub(&handlers, 1);
    errno = saved;
}

static bool stands(int number, void (*handler)(int))
{
    struct sigaction current;
    return sigaction(number, NULL, &current) == 0 && (current.sa_flags & SA_SIGINFO) == 0 &&
           current.sa_handler == handler;
}

static void install(void)
{
    struct sigaction ours = {.sa_handler = on_signal};
    /* ONSTACK as CPython's own; RESTART since where we step aside no call should seem to have failed */
    ours.sa_flags = SA_ONSTACK | SA_RESTART;
    for (int i = 0; i < SIGNALS; i++)
        sigaddset(&ours.sa_mask, signals[i]);
    for (int i = 0; i < SIGNALS; i++)
        if (stands(signals[i], SIG_DFL))
            sigaction(signals[i], &ours, NULL);
}

static void uninstall(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int i = 0; i < SIGNALS; i++)
        if (stands(signals[i], on_signal))
            sigaction(signals[i], &action, NULL);
}

static void forked_in_child(void)
{
    if (atomic_load(&process) == 0)
        return;
    uninstall();
    atomic_store(&guarded, NULL);
    atomic_store(&handlers, 0);
    atomic_store(&process, 0);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forked_in_child);
}

bool gp_guard_begin(gp_recorder *recorder)
{
    if (getpid() == 1 || atomic_load(&guarded) != NULL)
        return false;
    pthread_once(&fork_once, watch_forks);
    atomic_store(&process, getpid());
    atomic_store(&deferred, false);
    atomic_store(&asked_ns, 0);
    atomic_store(&guarded, recorder);
    install();
    return true;
}

void gp_guard_end(const gp_recorder *recorder)
{
    if (recorder == NULL || atomic_load(&guarded) != recorder || getpid() != atomic_load(&process))
        return;
    uninstall();
    atomic_store(&guarded, NULL);
    while (atomic_load(&handlers) != 0)
        nap();
}

#else

bool gp_guard_begin(gp_recorder *recorder)
{
    (void)recorder;
    return false;
}

void gp_guard_end(const gp_recorder *recorder)
{
    (void)recorder;
}

#endif
