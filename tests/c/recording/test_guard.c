#define _GNU_SOURCE
#include "recording/gp_guard.h"

#include "gp_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "walk.h"

/* The guard under test is a copy, in which another thread goes on before one of its looks. */
static int looks_until_then;
static void end_guard(void);

static void may_go_on(void)
{
    if (looks_until_then != 0 && --looks_until_then == 0)
        end_guard();
}

#undef atomic_load
#define atomic_load(object) (may_go_on(), atomic_load_explicit(object, memory_order_seq_cst))
#include "recording/gp_guard.c"
#undef atomic_load
#define atomic_load(object) atomic_load_explicit(object, memory_order_seq_cst)

static char directory[] = "/tmp/gilprobe-guard-XXXXXX";
static char path[128];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* stands for the GIL's */

static void tell_nothing(void *context, gp_news_wish wish, gp_news *news)
{
    (void)context, (void)wish, (void)news;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
}

static gp_recorder *open_guarded(void)
{
    int error;
    gp_recorder *recorder = NULL;
    gp_source source = {.read = tell_nothing};
    CHECK_EQUAL(gp_recorder_open(path, GP_RECORDER_REPLACE, &recorder, &error), GP_OK);
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    CHECK(gp_recorder_flush(recorder, 20000000000u));
    gp_guard_prepare();
    CHECK(gp_guard_begin(recorder));
    return recorder;
}

static void (*action_of(int number))(int)
{
    struct sigaction action;
    sigaction(number, NULL, &action);
    return action.sa_handler;
}

/* Run in a child of its own; returns how it ended. */
static int end_of(void (*test)(void))
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        test();
        _exit(gp_test_status());
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    return status;
}

static void check_killed(int status, int number)
{
    CHECK(WIFSIGNALED(status));
    CHECK_EQUAL(WTERMSIG(status), number);
}

/* Whether the file is whole, and ends with this chunk. */
static void check_done(const char *payload)
{
    static uint8_t bytes[1 << 16];
    FILE *file = fopen(path, "rb");
    size_t size = fread(bytes, 1, sizeof bytes, file), length = strlen(payload);
    fclose(file);
    walk_result *found = walk_recording(bytes, size, true);
    CHECK(found->wrong == NULL && !found->cut);
    walk_free(found);
    CHECK(size > GP_CHUNK_HEADER + length && memcmp(bytes + size - length, payload, length) == 0);
    CHECK(memcmp(bytes + size - length - GP_CHUNK_HEADER, "DONE", 4) == 0);
}

static void killed(void)
{
    open_guarded();
    raise(SIGTERM);
}

static void killed_while_the_mutex_is_held(void)
{
    open_guarded();
    pthread_mutex_lock(&mutex);
    raise(SIGHUP);
    pthread_mutex_unlock(&mutex); /* the handler has stepped aside */
    for (;;)
        pause();
}

static void *kill_process(void *number)
{
    kill(getpid(), *(int *)number);
    return NULL;
}

static void killed_by_two(void)
{
    pthread_t threads[2];
    static int numbers[] = {SIGTERM, SIGTERM};
    open_guarded();
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, kill_process, &numbers[i]);
    for (;;)
        pause();
}

static volatile sig_atomic_t seen;

static void own_handler(int number)
{
    seen = number;
}

static void others_handlers_are_left_alone(void)
{
    signal(SIGHUP, SIG_IGN);
    gp_recorder *recorder = open_guarded();
    CHECK(!gp_guard_begin(recorder));
    CHECK(action_of(SIGTERM) != SIG_DFL);
    CHECK(action_of(SIGHUP) == SIG_IGN);
    signal(SIGTERM, own_handler);
    raise(SIGTERM);
    CHECK_EQUAL(seen, SIGTERM);
    gp_guard_end(recorder);
    CHECK(action_of(SIGTERM) == own_handler);
    gp_recorder_free(recorder);
}

static void die_in_child(void)
{
    CHECK(action_of(SIGTERM) == SIG_DFL);
    if (gp_test_status() == 0)
        raise(SIGTERM);
}

static void the_default_comes_back(void)
{
    gp_recorder *recorder = open_guarded();
    CHECK(action_of(SIGTERM) != SIG_DFL);
    int status = end_of(die_in_child);
    gp_guard_end(recorder);
    CHECK(action_of(SIGTERM) == SIG_DFL);
    CHECK(action_of(SIGHUP) == SIG_DFL);
    gp_guard_end(recorder);
    gp_recorder_free(recorder);
    check_killed(status, SIGTERM);
}

static gp_recorder *ends;

/* It would wait for who is in a handler. */
static void end_guard(void)
{
    if (atomic_load(&handlers) != 0)
        return;
    gp_guard_end(ends);
    gp_recorder_free(ends);
}

static int looks;

static void exits_while_another_ends_the_recording(void)
{
    ends = open_guarded();
    looks_until_then = looks;
    on_exit_call(7);
}

int main(void)
{
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/recording", directory);
    check_killed(end_of(killed), SIGTERM);
    check_done("{\"reason\": \"signal\", \"signal\": 15}");
    check_killed(end_of(killed_while_the_mutex_is_held), SIGHUP);
    check_done("{\"reason\": \"signal\", \"signal\": 1}");
    check_killed(end_of(killed_by_two), SIGTERM);
    check_done("{\"reason\": \"signal\", \"signal\": 15}");
    CHECK_EQUAL(end_of(others_handlers_are_left_alone), 0);
    check_done("{\"reason\": \"stopped\"}");
    CHECK_EQUAL(end_of(the_default_comes_back), 0);
    check_done("{\"reason\": \"stopped\"}");
    for (looks = 1; looks < 4; looks++) {
        int status = end_of(exits_while_another_ends_the_recording);
        CHECK(WIFEXITED(status));
        CHECK_EQUAL(WEXITSTATUS(status), 7);
    }
    unlink(path);
    CHECK_EQUAL(rmdir(directory), 0);
    return gp_test_status();
}
