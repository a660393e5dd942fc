#define _GNU_SOURCE
#include "gp_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/gp_futex.h"

static void may_fork(void);
static void may_fork_behind_thread(void);

/* A copy in which another thread may fork at three steps of a start. */
#define pthread_attr_setstacksize(...) (may_fork(), pthread_attr_setstacksize(__VA_ARGS__))
#define pthread_create(...) (may_fork(), pthread_create(__VA_ARGS__))
#define pthread_attr_destroy(...) (may_fork_behind_thread(), pthread_attr_destroy(__VA_ARGS__))
#include "base/gp_helper.c"
#undef pthread_attr_setstacksize
#undef pthread_create
#undef pthread_attr_destroy

typedef struct {
    gp_helper helper;
    _Atomic uint32_t halted;
    atomic_int runs, forks;
} worker;

static void run(void *context)
{
    worker *self = context;
    atomic_fetch_add(&self->runs, 1);
    while (atomic_load(&self->halted) == 0)
        gp_futex_wait(&self->halted, 0, 1000000000);
    atomic_store(&self->halted, 0);
}

static void halt(void *context)
{
    worker *self = context;
    atomic_store(&self->halted, 1);
    gp_futex_wake(&self->halted);
}

static void forked(void *context)
{
    worker *self = context;
    atomic_fetch_add(&self->forks, 1);
}

static void start(worker *self)
{
    self->helper = (gp_helper){.context = self, .run = run, .halt = halt, .forked = forked};
    CHECK_EQUAL(gp_helper_start(&self->helper), 0);
}

static int thread_count(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static atomic_bool is_ending, may_end;

static void run_on(void *context)
{
    run(context);
    atomic_store(&is_ending, true);
    while (!atomic_load(&may_end))
        usleep(1000);
}

static void *stop_slowly(void *context)
{
    gp_helper_stop(&((worker *)context)->helper);
    return NULL;
}

static void nobody_waits_for_the_end_of_another_who_must_not_wait(void)
{
    worker slow = {.runs = 0}, next = {.runs = 0};
    pthread_t stopper;
    slow.helper = (gp_helper){.context = &slow, .run = run_on, .halt = halt, .forked = forked};
    CHECK_EQUAL(gp_helper_start(&slow.helper), 0);
    CHECK_EQUAL(pthread_create(&stopper, NULL, stop_slowly, &slow), 0);
    next.helper = (gp_helper){.context = &next, .run = run, .halt = halt, .forked = forked};
    while (!atomic_load(&is_ending))
        usleep(1000);
    CHECK_EQUAL(gp_helper_start_at_once(&next.helper), EBUSY);
    atomic_store(&may_end, true);
    CHECK_EQUAL(pthread_join(stopper, NULL), 0);
    CHECK_EQUAL(gp_helper_start_at_once(&next.helper), 0);
    gp_helper_stop(&next.helper);
}

static void helpers_are_gone_while_they_are_paused(int others)
{
    worker two[2] = {{.runs = 0}, {.runs = 0}};
    CHECK(!gp_helpers_pause());
    start(&two[0]);
    start(&two[1]);
    for (int i = 1; i <= 20; i++) {
        CHECK(gp_helpers_pause());
        CHECK(gp_helpers_pause());
        CHECK(gp_helpers_are_paused());
        CHECK_EQUAL(thread_count(), others + 1);
        CHECK(!gp_helper_runs(&two[0].helper));
        CHECK_EQUAL(two[0].runs, i);
        gp_helpers_resume();
        gp_helpers_resume();
        CHECK(gp_helper_runs(&two[1].helper));
        CHECK_EQUAL(thread_count(), others + 3);
    }
    CHECK(gp_helpers_pause());
    gp_helper_stop(&two[0].helper); /* while it is paused */
    gp_helpers_resume();
    gp_helper_stop(&two[1].helper);
    gp_helper_stop(&two[1].helper);
    CHECK_EQUAL(two[0].runs, 21);
    CHECK_EQUAL(two[1].runs, 22);
    CHECK_EQUAL(thread_count(), others + 1);
}

static void *another(void *argument)
{
    pthread_barrier_t *barrier = argument;
    pthread_barrier_wait(barrier);
    pthread_barrier_wait(barrier);
    return NULL;
}

static void a_program_with_threads_is_left_alone(void)
{
    worker one = {.runs = 0};
    pthread_t thread;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, another, &barrier);
    pthread_barrier_wait(&barrier);
    start(&one);
    CHECK(!gp_helpers_pause());
    CHECK(gp_helper_runs(&one.helper));
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    gp_helper_stop(&one.helper);
    pthread_barrier_destroy(&barrier);
}

static void a_forked_child_has_no_helpers(void)
{
    worker one = {.runs = 0};
    int status = -1;
    start(&one);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQUAL(one.forks, 1);
        CHECK(!gp_helper_runs(&one.helper));
        CHECK(!gp_helper_is_here(&one.helper));
        CHECK(!gp_helpers_pause());
        gp_helper_stop(&one.helper);
#if !defined(__SANITIZE_THREAD__) /* which bears no new threads there */
        worker own = {.runs = 0};
        start(&own);
        gp_helper_stop(&own.helper);
        CHECK_EQUAL(own.runs, 1);
#endif
        _exit(gp_test_status());
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
    CHECK_EQUAL(one.forks, 0);
    gp_helper_stop(&one.helper);
}

typedef struct {
    worker worker;
    int fd, other; /* the helper's, and one of the program's */
    atomic_int wrote, saw_other;
} writer;

static void write_and_run(void *context)
{
    writer *self = context;
    self->saw_other = fcntl(self->other, F_GETFD) >= 0;
    self->wrote += write(self->fd, "x", 1) == 1;
    run(&self->worker);
}

/* Where a system has no tables of a thread's own, the descriptor is simply there. */
static bool has_own_tables(void)
{
    int none[2], status = -1;
    CHECK_EQUAL(pipe(none), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(!gp_descriptors_separate(none[0]) || fcntl(none[1], F_GETFD) >= 0);
    waitpid(child, &status, 0);
    close(none[0]);
    close(none[1]);
    return status == 0;
}

static void a_descriptor_is_the_threads_alone(int others)
{
    int ends[2];
    char got[8];
    CHECK_EQUAL(pipe(ends), 0);
    writer one = {.fd = gp_descriptors_raise(ends[1]), .other = ends[0]};
    int number = one.fd;
    one.worker.helper = /* a writer is a worker, first of all */
        (gp_helper){.context = &one, .run = write_and_run, .halt = halt, .forked = forked, .fd = &one.fd};
    CHECK_EQUAL(gp_helper_start(&one.worker.helper), 0);
    CHECK_EQUAL(fcntl(number, F_GETFD), -1);
    for (int i = 1; i <= 3; i++) {
        if (others == 0) {
            CHECK(gp_helpers_pause());
            CHECK(fcntl(one.fd, F_GETFD) == FD_CLOEXEC);
            gp_helpers_resume();
            CHECK_EQUAL(fcntl(number, F_GETFD), -1);
        }
        pid_t child = fork();
        if (child == 0)
            _exit(one.fd != -1 || one.worker.forks != 1 || fcntl(number, F_GETFD) >= 0);
        int status = -1;
        CHECK_EQUAL(waitpid(child, &status, 0), child);
        CHECK_EQUAL(status, 0);
    }
    gp_helper_stop(&one.worker.helper);
    CHECK_EQUAL(one.fd, -1);
    CHECK_EQUAL(one.saw_other, 0);
    CHECK_EQUAL(one.wrote, others == 0 ? 4 : 1);
    CHECK_EQUAL(read(ends[0], got, sizeof got), one.wrote);
    CHECK_EQUAL(read(ends[0], got, sizeof got), 0); /* nobody has the other end any more */
    close(ends[0]);
}

static writer *starts;
static int steps_until_fork; /* 0: none */

static void close_in_child(void *context)
{
    writer *self = context;
    forked(&self->worker);
    close(self->fd);
    self->fd = -1;
}

static void may_fork(void)
{
    if (steps_until_fork == 0 || --steps_until_fork != 0)
        return;
    int number = starts->fd, status = -1;
    const gp_helper *helper = &starts->worker.helper;
    pid_t child = fork();
    if (child == 0)
        _exit(starts->worker.forks != 1 || fcntl(number, F_GETFD) >= 0 || gp_helper_runs(helper));
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
}

/* The begun thread has decided about its table, but that is not closed in the program's yet. */
static void may_fork_behind_thread(void)
{
    if (steps_until_fork == 1)
        await_table(&starts->worker.helper);
    may_fork();
}

static void a_child_that_is_forked_during_a_start_has_nothing_of_the_helper(void)
{
    for (int step = 1; step <= 3; step++) {
        int ends[2];
        CHECK_EQUAL(pipe(ends), 0);
        writer one = {.fd = gp_descriptors_raise(ends[1]), .other = ends[0]};
        one.worker.helper = (gp_helper){
            .context = &one, .run = write_and_run, .halt = halt, .forked = close_in_child, .fd = &one.fd};
        starts = &one;
        steps_until_fork = step;
        CHECK_EQUAL(gp_helper_start(&one.worker.helper), 0);
        CHECK_EQUAL(steps_until_fork, 0);
        gp_helper_stop(&one.worker.helper);
        close(ends[0]);
    }
}

static atomic_bool may_leave;

/* It leaves as soon as it may. */
static void run_and_leave(void *context)
{
    worker *self = context;
    atomic_fetch_add(&self->runs, 1);
    while (atomic_load(&self->halted) == 0) {
        if (atomic_load(&may_leave) && gp_helper_leave(&self->helper))
            return;
        gp_futex_wait(&self->halted, 0, 1000000);
    }
    atomic_store(&self->halted, 0);
}

static void a_helper_may_leave_a_process_of_one_thread(void)
{
    worker one = {.runs = 0};
    pthread_t thread;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, another, &barrier);
    pthread_barrier_wait(&barrier);
    one.helper = (gp_helper){.context = &one, .run = run_and_leave, .halt = halt, .forked = forked};
    CHECK_EQUAL(gp_helper_start(&one.helper), 0);
    atomic_store(&may_leave, true);
    usleep(20000);
    CHECK(gp_helper_runs(&one.helper)); /* there is another thread */
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&barrier);
    for (int i = 1; i <= 20; i++) {
        while (gp_helper_runs(&one.helper))
            sched_yield();
        CHECK(gp_helpers_alone());
        CHECK_EQUAL(thread_count(), 1);
        CHECK_EQUAL(gp_helper_start_at_once(&one.helper), 0);
        gp_helpers_pause(); /* in the middle of it, maybe */
        CHECK_EQUAL(thread_count(), 1);
        gp_helpers_resume();
    }
    atomic_store(&may_leave, false);
    gp_helper_stop(&one.helper);
    gp_helper_stop(&one.helper);
    CHECK_EQUAL(thread_count(), 1);
    CHECK(one.runs > 20);
}

/* Nobody asks with the lock in between, as a program would that forks. */
static void a_helper_may_leave_after_another_has_left(void)
{
    worker one = {.runs = 0};
    one.helper = (gp_helper){.context = &one, .run = run_and_leave, .halt = halt, .forked = forked};
    for (int i = 1; i <= 3; i++) {
        atomic_store(&may_leave, false);
        CHECK_EQUAL(gp_helper_start_at_once(&one.helper), 0);
        CHECK(gp_helpers_seem_alone());
        atomic_store(&may_leave, true);
        while (thread_count() > 1)
            sched_yield();
    }
    atomic_store(&may_leave, false);
    CHECK_EQUAL(one.runs, 3);
}

static void nothing_comes_of_nothing(void)
{
    gp_descriptors_box box;
    gp_descriptors_open(&box);
    CHECK_EQUAL(gp_descriptors_receive(&box), -1);
    CHECK_EQUAL(gp_descriptors_receive(&box), -1);
}

int main(void)
{
    a_program_with_threads_is_left_alone();
    int others = thread_count() - 1; /* a sanitizer's: then the program is never alone */
    if (others == 0)
        helpers_are_gone_while_they_are_paused(others);
    if (others == 0)
        a_helper_may_leave_a_process_of_one_thread();
    if (others == 0)
        a_helper_may_leave_after_another_has_left();
    a_forked_child_has_no_helpers();
    nothing_comes_of_nothing();
    if (has_own_tables())
        a_descriptor_is_the_threads_alone(others);
    if (has_own_tables())
        a_child_that_is_forked_during_a_start_has_nothing_of_the_helper();
    nobody_waits_for_the_end_of_another_who_must_not_wait();
    return gp_test_status();
}
