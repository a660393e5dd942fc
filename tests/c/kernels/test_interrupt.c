#include "kernels/gp_interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gp_test.h"

enum { LONG_NS = 10 * GP_INTERRUPT_WORTH_NS };

/* lock-free, so that a handler may; signals may be handled by several threads at once */
static _Atomic int calls;
static _Atomic int told_signal;

static void plain_handler(int number)
{
    (void)number;
    calls = calls + 1;
}

static void informed_handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    calls = calls + 1;
    told_signal = info != NULL && info->si_signo == number;
}

static void set_plain(void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_flags = flags};
    action.sa_handler = handler;
    sigaction(SIGINT, &action, NULL);
}

static struct sigaction now_set(void)
{
    struct sigaction action;
    sigaction(SIGINT, NULL, &action);
    return action;
}

static void a_long_watch_sees_the_signal_after_the_earlier_handler_ran(void)
{
    gp_interrupt_watch watch;
    set_plain(plain_handler, 0);
    calls = 0;
    gp_interrupt_begin(&watch, LONG_NS, true);
    CHECK(!gp_interrupt_changed(&watch));
    raise(SIGINT);
    CHECK(gp_interrupt_changed(&watch));
    CHECK_EQUAL(calls, 1);
    gp_interrupt_rearm(&watch);
    CHECK(!gp_interrupt_changed(&watch));
    raise(SIGINT);
    CHECK(gp_interrupt_changed(&watch));
    gp_interrupt_end(&watch);
}

static void a_short_watch_leaves_the_action_alone(void)
{
    gp_interrupt_watch watch;
    set_plain(plain_handler, 0);
    gp_interrupt_begin(&watch, GP_INTERRUPT_WORTH_NS, true);
    CHECK(now_set().sa_handler == plain_handler);
    gp_interrupt_end(&watch);
    CHECK(now_set().sa_handler == plain_handler);
}

static void the_earlier_action_comes_back_whole(void)
{
    gp_interrupt_watch outer, inner;
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
    action.sa_sigaction = informed_handler;
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaction(SIGINT, &action, NULL);
    calls = told_signal = 0;
    gp_interrupt_begin(&outer, LONG_NS, true);
    gp_interrupt_begin(&inner, LONG_NS, false);
    CHECK(now_set().sa_flags & SA_RESTART);
    CHECK(now_set().sa_flags & SA_ONSTACK);
    gp_interrupt_end(&outer);
    raise(SIGINT);
    CHECK(gp_interrupt_changed(&inner));
    CHECK_EQUAL(calls, 1);
    CHECK_EQUAL(told_signal, 1);
    gp_interrupt_end(&inner);
    CHECK(now_set().sa_sigaction == informed_handler);
    CHECK(now_set().sa_flags & SA_RESTART);
    CHECK(!(now_set().sa_flags & SA_ONSTACK));
    action = now_set();
    CHECK_EQUAL(sigismember(&action.sa_mask, SIGUSR1), 1);
}

static void an_ignored_or_default_signal_stays_so(void)
{
    void (*const actions[])(int) = {SIG_IGN, SIG_DFL};
    for (int i = 0; i < 2; i++) {
        gp_interrupt_watch watch;
        set_plain(actions[i], 0);
        gp_interrupt_begin(&watch, LONG_NS, true);
        CHECK(now_set().sa_handler == actions[i]);
        gp_interrupt_end(&watch);
        CHECK(now_set().sa_handler == actions[i]);
    }
}

static void *watch_until_told(void *pipe_ends)
{
    int *ends = pipe_ends;
    gp_interrupt_watch watch;
    char byte = 'x';
    gp_interrupt_begin(&watch, LONG_NS, true);
    CHECK_EQUAL(write(ends[1], &byte, 1), 1);
    CHECK_EQUAL(read(ends[2], &byte, 1), 1);
    gp_interrupt_end(&watch);
    return NULL;
}

static int status_in_child(void)
{
    if (now_set().sa_handler != plain_handler)
        return 1;
    gp_interrupt_watch watch;
    gp_interrupt_begin(&watch, LONG_NS, true);
    raise(SIGINT);
    if (!gp_interrupt_changed(&watch))
        return 2;
    gp_interrupt_end(&watch);
    return now_set().sa_handler == plain_handler ? 0 : 3;
}

static void a_forked_child_forgets_the_other_threads_watches(void)
{
    int ends[4];
    char byte;
    pthread_t other;
    set_plain(plain_handler, 0);
    CHECK_EQUAL(pipe(ends), 0);
    CHECK_EQUAL(pipe(ends + 2), 0);
    CHECK_EQUAL(pthread_create(&other, NULL, watch_until_told, ends), 0);
    CHECK_EQUAL(read(ends[0], &byte, 1), 1);
    pid_t child = fork();
    if (child == 0)
        _exit(status_in_child());
    int status = -1;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQUAL(WEXITSTATUS(status), 0);
    CHECK_EQUAL(write(ends[3], &byte, 1), 1);
    pthread_join(other, NULL);
    CHECK(now_set().sa_handler == plain_handler);
}

static void *begin_and_end(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2000; i++) {
        gp_interrupt_watch watch;
        gp_interrupt_begin(&watch, LONG_NS, true);
        if (i % 100 == 0) {
            raise(SIGINT);
            CHECK(gp_interrupt_changed(&watch));
        }
        gp_interrupt_end(&watch);
    }
    return NULL;
}

static void threads_may_begin_and_end_as_they_like(void)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    set_plain(plain_handler, 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, begin_and_end, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(now_set().sa_handler == plain_handler);
}

static void a_renewed_watch_is_back_after_a_replacement(void)
{
    gp_interrupt_watch watch;
    set_plain(plain_handler, 0);
    gp_interrupt_begin(&watch, LONG_NS, true);
    set_plain(plain_handler, 0);
    raise(SIGINT);
    CHECK(!gp_interrupt_changed(&watch));
    gp_interrupt_renew(&watch);
    raise(SIGINT);
    CHECK(gp_interrupt_changed(&watch));
    gp_interrupt_end(&watch);
    CHECK(now_set().sa_handler == plain_handler);
}

static struct sigaction saved;

static void wrapper(int number)
{
    calls = calls + 1;
    if (calls < 100)
        saved.sa_sigaction(number, NULL, NULL);
}

/* Once someone stood before ours, ours must never stand before them: each would call the other without end.
 */
static void whoever_replaces_the_action_meanwhile_wins(void)
{
    gp_interrupt_watch watch, next;
    set_plain(plain_handler, 0);
    gp_interrupt_begin(&watch, LONG_NS, true);
    saved = now_set();
    set_plain(wrapper, 0);
    gp_interrupt_end(&watch);
    CHECK(now_set().sa_handler == wrapper);

    gp_interrupt_begin(&next, LONG_NS, true);
    CHECK(now_set().sa_handler == wrapper);
    calls = 0;
    raise(SIGINT);
    CHECK_EQUAL(calls, 2);
    gp_interrupt_end(&next);

    set_plain(plain_handler, 0);
    gp_interrupt_begin(&next, LONG_NS, true);
    raise(SIGINT);
    CHECK(gp_interrupt_changed(&next));
    gp_interrupt_end(&next);
    CHECK(now_set().sa_handler == plain_handler);
}

int main(void)
{
    gp_interrupt_prepare();
    a_long_watch_sees_the_signal_after_the_earlier_handler_ran();
    a_short_watch_leaves_the_action_alone();
    the_earlier_action_comes_back_whole();
    an_ignored_or_default_signal_stays_so();
    a_forked_child_forgets_the_other_threads_watches();
    threads_may_begin_and_end_as_they_like();
    a_renewed_watch_is_back_after_a_replacement();
    whoever_replaces_the_action_meanwhile_wins();
    return gp_test_status();
}
