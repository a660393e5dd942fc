#define _GNU_SOURCE
#include "base/gp_helper.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/gp_futex.h"

enum {
    STACK_SIZE = 256 << 10, /* bytes */
    YIELDS = 64, /* first yields, then naps, until the system no longer counts a thread that has ended */
    NAPS = 5000, /* where all processors are busy the thread may come to its end late */
    NAP_NS = 100000,
};

/* Whose table of descriptors the thread uses. */
enum {
    UNDECIDED,
    SHARED,
    OWN,
};

#define SECOND_NS UINT64_C(1000000000)

/* Guarded by the lock. A forked child has one thread, and makes the lock anew. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static gp_helper *helpers;
static atomic_bool paused;       /* read without the lock */
static _Atomic unsigned started; /* threads that may still be there */
static _Atomic pid_t leaver; /* one of them, that nobody will join; 0: there is none. Read without the lock */
static __thread bool has_left;

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static pid_t thread_number(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static void forked_in_child(void)
{
    pthread_mutex_init(&lock, NULL);
    for (gp_helper *helper = helpers; helper != NULL; helper = helper->next) {
        atomic_store(&helper->alive, false);
        if (helper->started && helper->table == OWN)
            *helper->fd = -1; /* in this table it was closed: the number may be the program's */
        helper->started = false;
        helper->forked(helper->context);
    }
    helpers = NULL;
    paused = false;
    started = 0;
    leaver = 0;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forked_in_child);
}

static void choose_table(gp_helper *helper)
{
    bool own = helper->fd != NULL && gp_descriptors_separate(*helper->fd);
    atomic_store(&helper->table, own ? OWN : SHARED);
    gp_futex_wake(&helper->table);
}

static void *begin(void *argument)
{
    gp_helper *helper = argument;
    pthread_setname_np(pthread_self(), helper->name != NULL ? helper->name : "gilprobe");
    atomic_store(&helper->id, thread_number());
    choose_table(helper);
    helper->run(helper->context);
    if (has_left)
        return NULL; /* the helper may be another thread's by now */
    if (helper->box.fd >= 0 && *helper->fd >= 0)
        gp_descriptors_send(&helper->box, *helper->fd);
    atomic_store(&helper->alive, false);
    return NULL;
}

static uint32_t await_table(gp_helper *helper)
{
    while (atomic_load(&helper->table) == UNDECIDED)
        gp_futex_wait(&helper->table, UNDECIDED, SECOND_NS);
    return atomic_load(&helper->table);
}

static void lose_thread(gp_helper *helper)
{
    atomic_store(&helper->alive, false);
    atomic_fetch_sub(&started, 1);
    helper->started = false;
}

static int start_thread(gp_helper *helper)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    atomic_store(&helper->alive, true);
    atomic_store(&helper->table, UNDECIDED);
    helper->box.fd = -1;
    int ours = helper->fd != NULL ? *helper->fd : -1;
    /* A new thread inherits the mask: no handler of the program may run there, and SIGXFSZ must not end the
     * process. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    atomic_fetch_add(&started, 1);
    error = pthread_create(&helper->thread, &attributes, begin, helper);
    if (error == EINVAL) /* the thread-local storage is larger than this stack */
        error = pthread_create(&helper->thread, NULL, begin, helper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error != 0)
        lose_thread(helper);
    else if (ours >= 0 && await_table(helper) == OWN)
        syscall(SYS_close, ours); /* in this table only: ThreadSanitizer takes close() for the process's */
    helper->started = error == 0; /* last: a child that is forked before has the descriptor */
    return error;
}

static void end_thread(gp_helper *helper)
{
    if (!helper->started)
        return;
    helper->halt(helper->context);
    pthread_join(helper->thread, NULL);
    lose_thread(helper);
}

/* End the thread, but keep its descriptor. */
static void pause_thread(gp_helper *helper)
{
    bool own = helper->started && helper->table == OWN;
    if (own)
        gp_descriptors_open(&helper->box);
    end_thread(helper);
    if (!own)
        return;
    int fd = gp_descriptors_receive(&helper->box);
    *helper->fd = fd < 0 ? -1 : gp_descriptors_raise(fd);
}

static bool is_there(pid_t id)
{
    return syscall(SYS_tgkill, getpid(), id, 0) == 0;
}

/* A thread can be joined some time before the system stops counting it. */
static void await_disappearance(pid_t id)
{
    static const struct timespec nap = {0, NAP_NS};
    for (int i = 0; i < YIELDS + NAPS && is_there(id); i++)
        if (i < YIELDS)
            sched_yield();
        else
            nanosleep(&nap, NULL);
}

/* Under the lock. */
static void await_leaver(void)
{
    if (atomic_load(&leaver) == 0)
        return;
    await_disappearance(atomic_load(&leaver));
    atomic_store(&leaver, 0);
    atomic_fetch_sub(&started, 1);
}

/* This folder has two links of its own and one for each thread (fs/proc/base.c, proc_task_getattr). Without
 * such a folder the answer is no. */
bool gp_helpers_seem_alone(void)
{
    struct stat folder;
    pid_t left = atomic_load(&leaver);
    unsigned gone = left != 0 && !is_there(left); /* and still counted in `started` */
    return stat("/proc/self/task", &folder) == 0 && folder.st_nlink + gone == 3 + atomic_load(&started);
}

/* Under the lock. */
static bool is_alone(void)
{
    await_leaver();
    return gp_helpers_seem_alone();
}

/* Its place in the list. */
static gp_helper **find(const gp_helper *helper)
{
    gp_helper **at = &helpers;
    while (*at != NULL && *at != helper)
        at = &(*at)->next;
    return at;
}

/* With the lock, which it gives back. Listed first: another thread may fork meanwhile. */
static int start_locked(gp_helper *helper)
{
    helper->next = helpers;
    helpers = helper;
    int error = start_thread(helper);
    if (error != 0)
        *find(helper) = helper->next;
    pthread_mutex_unlock(&lock);
    return error;
}

int gp_helper_start(gp_helper *helper)
{
    pthread_once(&fork_once, watch_forks);
    pthread_mutex_lock(&lock);
    return start_locked(helper);
}

int gp_helper_start_at_once(gp_helper *helper)
{
    pthread_once(&fork_once, watch_forks);
    return pthread_mutex_trylock(&lock) == 0 ? start_locked(helper) : EBUSY;
}

bool gp_helper_leave(gp_helper *helper)
{
    if (pthread_mutex_trylock(&lock) != 0)
        return false;
    has_left = is_alone() && pthread_detach(helper->thread) == 0;
    if (has_left) {
        *find(helper) = helper->next;
        atomic_store(&leaver, thread_number());
        helper->started = false;
        atomic_store(&helper->alive, false);
    }
    pthread_mutex_unlock(&lock);
    return has_left;
}

static void do_nothing(void *context)
{
    (void)context;
}

int gp_helper_try(void)
{
    gp_helper helper = {.run = do_nothing, .halt = do_nothing};
    int error = start_thread(&helper);
    if (error == 0) {
        end_thread(&helper);
        await_disappearance(atomic_load(&helper.id));
    }
    return error;
}

void gp_helper_stop(gp_helper *helper)
{
    pthread_mutex_lock(&lock);
    gp_helper **at = find(helper);
    bool runs = *at != NULL && helper->started;
    if (*at != NULL)
        *at = helper->next;
    if (runs) {
        end_thread(helper);
        if (helper->table == OWN)
            *helper->fd = -1; /* closed with the thread's table */
        /* else a fork right after this would count it */
        await_disappearance(atomic_load(&helper->id));
    }
    pthread_mutex_unlock(&lock);
}

bool gp_helper_runs(const gp_helper *helper)
{
    return atomic_load(&helper->alive);
}

bool gp_helper_is_here(const gp_helper *helper)
{
    return atomic_load(&helper->alive) && atomic_load(&helper->id) == thread_number();
}

bool gp_helpers_alone(void)
{
    pthread_mutex_lock(&lock);
    bool alone = is_alone();
    pthread_mutex_unlock(&lock);
    return alone;
}

/* Another thread that has the lock may wait for anything: unless it is a helper, which is about to leave. */
static bool lock_if_alone(void)
{
    return pthread_mutex_trylock(&lock) == 0 || (gp_helpers_seem_alone() && pthread_mutex_lock(&lock) == 0);
}

bool gp_helpers_pause(void)
{
    int saved = errno;
    if (!lock_if_alone())
        return false;
    if (!paused && helpers != NULL && is_alone()) {
        for (gp_helper *helper = helpers; helper != NULL; helper = helper->next)
            pause_thread(helper);
        for (gp_helper *helper = helpers; helper != NULL; helper = helper->next)
            await_disappearance(atomic_load(&helper->id));
        paused = true;
    }
    bool are_paused = paused;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return are_paused;
}

void gp_helpers_resume(void)
{
    int saved = errno;
    pthread_mutex_lock(&lock);
    /* One that can't be started now is tried again after the next fork; its owner can end its work without
     * it. */
    for (gp_helper *helper = paused ? helpers : NULL; helper != NULL; helper = helper->next)
        if (!helper->started)
            start_thread(helper);
    paused = false;
    pthread_mutex_unlock(&lock);
    errno = saved;
}

bool gp_helpers_are_paused(void)
{
    return atomic_load(&paused);
}
