#define _GNU_SOURCE
#include "attach/gp_dormant.h"

#include "gp_test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SIGNAL = SIGUSR2,
    AGAIN_MS = 10,
    PATIENCE = 12000, /* times AGAIN_MS */
};

/* TSan reports what the handler may do only where gp_dormant.c looks first, which is the point here. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);

const char *__tsan_default_options(void)
{
    return "report_signal_unsafe=0";
}

/* ---- an interpreter that writes into a pipe what it is to run ---- */

static int ran[2];

static int is_initialized(void)
{
    return 1;
}

static int ensure(void)
{
    return 7;
}

static void give_back(int state)
{
    CHECK_EQUAL(state, 7);
}

static void *new_dict(void)
{
    return ran;
}

static void *run_string(const char *code, int start, void *globals, void *locals)
{
    CHECK(start == 257 && globals == ran && locals == ran);
    CHECK_EQUAL(write(ran[1], code, 1), 1);
    return NULL;
}

static void clear_error(void)
{
}

static void drop(void *object)
{
    CHECK(object == NULL || object == ran);
}

static gp_agent_order order = {.is_initialized = (uintptr_t)is_initialized,
                               .ensure = (uintptr_t)ensure,
                               .release = (uintptr_t)give_back,
                               .new_dict = (uintptr_t)new_dict,
                               .run_string = (uintptr_t)run_string,
                               .clear_error = (uintptr_t)clear_error,
                               .drop = (uintptr_t)drop};

/* The first letter of what has run, waiting for it for `timeout_ms`; 0: nothing. */
static char next_run(int timeout_ms)
{
    struct pollfd readable = {.fd = ran[0], .events = POLLIN};
    char letter = 0;
    if (poll(&readable, 1, timeout_ms) == 1)
        CHECK_EQUAL(read(ran[0], &letter, 1), 1);
    return letter;
}

/* ---- what the tool does ---- */

static void write_code(const char *path, char letter)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputc(letter, file) == letter && fclose(file) == 0);
}

static void put_code(uint64_t ticket, char letter, mode_t mode)
{
    char folder[64], path[80];
    snprintf(folder, sizeof folder, GP_DORMANT_FOLDER, (unsigned long long)ticket);
    snprintf(path, sizeof path, GP_DORMANT_CODE, (unsigned long long)ticket);
    CHECK_EQUAL(mkdir(folder, 0700), 0);
    CHECK_EQUAL(chmod(folder, mode), 0);
    write_code(path, letter);
}

static void take_away(uint64_t ticket)
{
    char path[80];
    snprintf(path, sizeof path, GP_DORMANT_CODE, (unsigned long long)ticket);
    CHECK_EQUAL(unlink(path), 0);
    *strrchr(path, '/') = '\0';
    CHECK_EQUAL(rmdir(path), 0);
}

/* Send the signal to a thread until something has run; return its letter. */
static char wake(pid_t thread, uint64_t ticket)
{
    char letter = 0;
    for (int i = 0; i < PATIENCE && letter == 0; i++) {
        CHECK_EQUAL(gp_dormant_wake(getpid(), thread, SIGNAL, ticket), 0);
        letter = next_run(AGAIN_MS);
    }
    return letter;
}

/* ---- a thread that waits, or runs the interpreter ---- */

static _Atomic pid_t known;
static atomic_bool over, busy;
static _Atomic uint64_t turns;
static int stop[2];

static void *live(void *unused)
{
    struct pollfd readable = {.fd = stop[0], .events = POLLIN};
    atomic_store(&known, (pid_t)syscall(SYS_gettid));
    while (!atomic_load(&over))
        if (atomic_load(&busy))
            atomic_fetch_add(&turns, 1);
        else
            poll(&readable, 1, -1); /* a signal ends it with EINTR */
    return unused;
}

static bool is_marked(void)
{
    char line[512], wanted[64];
    bool found = false;
    snprintf(wanted, sizeof wanted, GP_DORMANT_NAME "-%d-3.99.1", SIGNAL);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        found |= strstr(line, wanted) != NULL;
    if (maps != NULL)
        fclose(maps);
    return found;
}

static bool handles(void (*handler)(int))
{
    struct sigaction now;
    return sigaction(SIGNAL, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
           now.sa_handler == handler;
}

/* ---- tests ---- */

static uint64_t tickets; /* the first of a few that nobody else has */

static void only_a_signal_without_a_handler_is_taken(void)
{
    CHECK_EQUAL(gp_dormant_arm(SIGKILL, "3.99.1", &order), GP_ESYSTEM);
    CHECK_EQUAL(gp_dormant_arm(9999, "3.99.1", &order), GP_EINVAL);
    signal(SIGNAL, SIG_IGN);
    CHECK_EQUAL(gp_dormant_arm(SIGNAL, "3.99.1", &order), GP_EINVAL);
    CHECK(handles(SIG_IGN) && !is_marked() && gp_dormant_signal() == 0);
    signal(SIGNAL, SIG_DFL);
    gp_agent_order nowhere = order;
    nowhere.ensure = 8;
    CHECK_EQUAL(gp_dormant_arm(SIGNAL, "3.99.1", &nowhere), GP_EUNSUPPORTED);
    CHECK(handles(SIG_DFL) && !is_marked());
}

static char by_hand[] = "/tmp/gilprobe-test-XXXXXX"; /* what a signal without a ticket runs */

static void it_is_armed_once(void)
{
    int fd = mkstemp(by_hand);
    CHECK(fd >= 0 && close(fd) == 0);
    write_code(by_hand, 'g');
    snprintf(order.path, sizeof order.path, "%s", by_hand);
    CHECK_EQUAL(gp_dormant_arm(SIGNAL, "3.99.1", &order), GP_OK);
    CHECK_EQUAL(gp_dormant_arm(SIGNAL, "3.99.1", &order), GP_OK);
    CHECK_EQUAL(gp_dormant_arm(SIGUSR1, "3.99.1", &order), GP_EINVAL);
    CHECK_EQUAL(gp_dormant_signal(), SIGNAL);
    CHECK(is_marked());
}

static void a_thread_that_waits_runs_a_ticket_once(pid_t thread)
{
    put_code(tickets + 1, 'a', 0700);
    put_code(tickets + 2, 'b', 0700);
    CHECK_EQUAL(wake(thread, tickets + 1), 'a');
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(gp_dormant_wake(getpid(), thread, SIGNAL, tickets + 1), 0);
        CHECK_EQUAL(next_run(AGAIN_MS), 0);
    }
    CHECK_EQUAL(wake(thread, tickets + 2), 'b');
    take_away(tickets + 1);
    take_away(tickets + 2);
}

static void a_folder_that_others_can_enter_is_left_alone(pid_t thread)
{
    put_code(tickets + 3, 'c', 0755);
    put_code(tickets + 4, 'd', 0700);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(gp_dormant_wake(getpid(), thread, SIGNAL, tickets + 3), 0);
    CHECK_EQUAL(wake(thread, tickets + 4), 'd');
    take_away(tickets + 3);
    take_away(tickets + 4);
}

/* A signal that a thread sends to itself comes as its call of the C library ends, which may hold locks. */
static void a_thread_in_the_c_library_does_nothing(pid_t thread)
{
    put_code(tickets + 5, 'e', 0700);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(gp_dormant_wake(getpid(), getpid(), SIGNAL, tickets + 5), 0);
        CHECK_EQUAL(next_run(0), 0);
    }
    CHECK_EQUAL(wake(thread, tickets + 5), 'e'); /* nor is it used up */
    take_away(tickets + 5);
}

static void a_thread_that_runs_the_interpreter_is_used(pid_t thread)
{
    put_code(tickets + 6, 'f', 0700);
    atomic_store(&busy, true);
    CHECK_EQUAL(write(stop[1], "x", 1), 1); /* poll ends */
    while (atomic_load(&turns) == 0)
        usleep(1000);
    CHECK_EQUAL(wake(thread, tickets + 6), 'f');
    char byte;
    CHECK_EQUAL(read(stop[0], &byte, 1), 1);
    atomic_store(&busy, false);
    take_away(tickets + 6);
}

static void a_signal_by_hand_comes_again_until_it_can_act(void)
{
    CHECK_EQUAL(syscall(SYS_tgkill, getpid(), getpid(), SIGNAL), 0); /* this thread, as above */
    char letter = 0;
    for (int i = 0; i < PATIENCE && letter == 0; i++)
        letter = next_run(AGAIN_MS);
    CHECK_EQUAL(letter, 'g');
    CHECK_EQUAL(unlink(by_hand), 0);
}

static void another_handler_is_not_taken_away(void)
{
    signal(SIGNAL, SIG_IGN);
    gp_dormant_disarm();
    gp_dormant_disarm();
    CHECK(handles(SIG_IGN) && !is_marked() && gp_dormant_signal() == 0);
    signal(SIGNAL, SIG_DFL);
    CHECK_EQUAL(gp_dormant_arm(SIGNAL, "3.99.1", &order), GP_OK);
    gp_dormant_disarm();
    CHECK(handles(SIG_DFL));
}

int main(void)
{
    pthread_t thread;
    tickets = ((uint64_t)getpid() << 32 | UINT64_C(0xD0E50000)) & INT64_MAX;
    CHECK(pipe(ran) == 0 && pipe(stop) == 0);
    only_a_signal_without_a_handler_is_taken();
    it_is_armed_once();
    CHECK_EQUAL(pthread_create(&thread, NULL, live, NULL), 0);
    while (atomic_load(&known) == 0)
        usleep(1000);
    pid_t waits = atomic_load(&known);
    a_thread_that_waits_runs_a_ticket_once(waits);
    a_folder_that_others_can_enter_is_left_alone(waits);
    a_thread_in_the_c_library_does_nothing(waits);
    a_thread_that_runs_the_interpreter_is_used(waits);
    a_signal_by_hand_comes_again_until_it_can_act();
    CHECK_EQUAL(gp_dormant_wake(getpid(), INT32_MAX, SIGNAL, 1), ESRCH);
    atomic_store(&over, true);
    CHECK_EQUAL(write(stop[1], "x", 1), 1);
    CHECK_EQUAL(pthread_join(thread, NULL), 0); /* with signals that may still wait for it */
    another_handler_is_not_taken_away();
    return gp_test_status();
}
