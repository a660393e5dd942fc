#define _GNU_SOURCE
#include "recording/gp_guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/gp_clock.h"
#include "hooks/gp_hooks.h"

static const int signals[] = {SIGTERM, SIGHUP};

enum {
    SIGNALS = sizeof signals / sizeof *signals,
    NAP_NS = 1000000,
    STUCK_NAPS = 50, /* that one question of the recorder to a source may last before we stop waiting */
};

static const uint64_t patience_ns = UINT64_C(2000000000);

static _Atomic(gp_recorder *) guarded;
static _Atomic pid_t process;
static atomic_uint handlers;      /* handlers that run now */
static _Atomic uint64_t asked_ns; /* when the first signal came that could not be handled at once; 0: none */
static atomic_bool deferred;      /* a signal has come that is handled after a fork */

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* End the process by that signal now, as if there were no handler. Any thread. */
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

static void leave(int status)
{
    _exit(status);
}

static void end_process(int ending)
{
    if (ending > 0)
        die(ending);
    else
        leave(gp_ending_status(ending));
}

static void nap(void)
{
    static const struct timespec duration = {0, NAP_NS};
    nanosleep(&duration, NULL);
}

typedef struct {
    const gp_recorder *recorder;
    uint64_t until;
    uint32_t seen;
    int naps; /* in one question */
} patience;

static patience patience_with(const gp_recorder *recorder)
{
    return (patience){recorder, gp_clock_monotonic_ns() + patience_ns, gp_recorder_questions(recorder), 0};
}

static bool is_late(const patience *left)
{
    return gp_clock_monotonic_ns() >= left->until;
}

/* Wait a moment. False if one question lasts too long: this thread may have the GIL's mutex, which the
 * recorder wants. */
static bool gets_on(patience *left)
{
    nap();
    uint32_t questions = gp_recorder_questions(left->recorder);
    bool stands = questions == left->seen && (questions & 1) != 0;
    left->seen = questions;
    left->naps = stands ? left->naps + 1 : 0;
    return left->naps < STUCK_NAPS;
}

/* Wait until the recorder's thread ends the process. Returns if this thread must go on first: the recorder
 * may wait for it, or be paused while this thread forks. */
static void wait_for_recorder(const gp_recorder *recorder, int number)
{
    patience left = patience_with(recorder);
    do {
        if (!gp_recorder_runs(recorder) && !atomic_exchange(&deferred, true))
            return;
        if (!gp_recorder_runs(recorder) || is_late(&left))
            die(number); /* a second signal while it is paused: end now */
    } while (gets_on(&left));
}

/* Send the same signal again in a moment: what it has interrupted must go on first. */
static void come_again(int number)
{
    uint64_t none = 0, now = gp_clock_monotonic_ns();
    if (!atomic_compare_exchange_strong(&asked_ns, &none, now) && now - none >= patience_ns)
        die(number);
    static int timer;
    static bool made; /* guarded: our signals block each other */
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
        gp_recorder_end_here(recorder, number, end_process);
        come_again(number);
    } else {
        gp_recorder_end(recorder, number, end_process);
        wait_for_recorder(recorder, number);
    }
}

static void on_signal(int number)
{
    int saved = errno;
    if (getpid() != atomic_load(&process)) {
        die(number); /* a child that has only this handler from us */
        return;
    }
    atomic_fetch_add(&handlers, 1);
    answer(atomic_load(&guarded), number);
    atomic_fetch_sub(&handlers, 1);
    errno = saved;
}

/* ---- the end by _exit ---- */

static void end_recording(gp_recorder *recorder, int status)
{
    if (gp_recorder_has_no_thread(recorder))
        gp_recorder_end_here(recorder, gp_ending_by_exit(status), end_process);
    gp_recorder_end(recorder, gp_ending_by_exit(status), end_process);
    patience left = patience_with(recorder);
    while (gp_recorder_runs(recorder) && !is_late(&left) && gets_on(&left))
        ;
}

/* In the interpreter's import slot. A child of vfork calls it too, in our memory: it must not write. */
static void on_exit_call(int status)
{
    if (getpid() == atomic_load(&process)) {
        atomic_fetch_add(&handlers, 1); /* first: so that the recorder stays, if there is one */
        gp_recorder *recorder = atomic_load(&guarded);
        if (recorder != NULL)
            end_recording(recorder, status);
    }
    leave(status);
}

/* After these calls the path may no longer lead to the file, or we may no longer open it. */

#define PIN_BEFORE(call, parameters, ...)                                                                    \
    static int on_##call parameters                                                                          \
    {                                                                                                        \
        gp_recorder_pin_files();                                                                             \
        return call(__VA_ARGS__);                                                                            \
    }
PIN_BEFORE(chroot, (const char *path), path)
PIN_BEFORE(setuid, (uid_t user), user)
PIN_BEFORE(seteuid, (uid_t effective), effective)
PIN_BEFORE(setreuid, (uid_t real, uid_t effective), real, effective)
PIN_BEFORE(setresuid, (uid_t real, uid_t effective, uid_t saved), real, effective, saved)

static gp_hook calls[] = {
    {.name = "_exit", .wrapper = (void *)on_exit_call, .library = (void *)leave},
    {.name = "chroot", .wrapper = (void *)on_chroot, .library = (void *)chroot},
    {.name = "setuid", .wrapper = (void *)on_setuid, .library = (void *)setuid},
    {.name = "seteuid", .wrapper = (void *)on_seteuid, .library = (void *)seteuid},
    {.name = "setreuid", .wrapper = (void *)on_setreuid, .library = (void *)setreuid},
    {.name = "setresuid", .wrapper = (void *)on_setresuid, .library = (void *)setresuid},
};
static pthread_once_t calls_once = PTHREAD_ONCE_INIT;
static const void *caller;

/* Without hooks a process that ends by _exit leaves what was written before, like one that is killed. */
static void watch_calls(void)
{
    enum { CALLS = sizeof calls / sizeof *calls };
    if (gp_hooks_find(caller, calls, CALLS) == GP_OK)
        (void)gp_hooks_install(calls, CALLS, false);
}

void gp_guard_watch_calls(const void *interpreter)
{
    caller = interpreter;
    pthread_once(&calls_once, watch_calls);
}

/* ---- the end by a signal ---- */

static bool stands(int number, void (*handler)(int))
{
    struct sigaction current;
    return sigaction(number, NULL, &current) == 0 && (current.sa_flags & SA_SIGINFO) == 0 &&
           current.sa_handler == handler;
}

static void install(void)
{
    struct sigaction ours = {.sa_handler = on_signal};
    /* ONSTACK as CPython's own handlers; RESTART so that no call fails with EINTR because of us */
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

void gp_guard_prepare(void)
{
    pthread_once(&fork_once, watch_forks);
}

bool gp_guard_begin(gp_recorder *recorder)
{
    gp_recorder *none = NULL;
    if (getpid() == 1)
        return false;
    atomic_store(&process, getpid()); /* first: a forked child must know that it has something to undo */
    if (!atomic_compare_exchange_strong(&guarded, &none, recorder))
        return false;
    atomic_store(&deferred, false);
    atomic_store(&asked_ns, 0);
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
