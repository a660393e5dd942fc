/* The agent: a library of its own that gilprobe attach loads into a process. Its one function starts a
 * thread, which waits for the GIL like any other, runs Python code from a file, and ends.
 *
 * Nothing here needs the interpreter to link: any version of it can load this. Nothing is printed. */

#define _GNU_SOURCE /* pthread_setname_np */

#include "attach/gp_agent.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hooks/gp_hooks.h"

enum {
    CODE_MAX = 1 << 20,
    FILE_INPUT = 257, /* Py_file_input, Include/compile.h: the same in all versions */
    YIELDS_EACH = 1024,
    LOOKS_MOST = 1000,
    LOOK_US = 10000,
};

__attribute__((visibility("default"))) int gp_agent_start(const gp_agent_order *order);

/* ---- no turns for others in vain ---- */

static int yield(void);

static gp_hook yields = {.name = "sched_yield", .wrapper = (void *)yield, .library = (void *)sched_yield};
static atomic_ulong hurried; /* the thread that does not yield; 0: none. It alone uses what follows. */
static unsigned yielded;

/* The other threads of the process call this, too. Relaxed: a thread need only know its own number. */
static int yield(void)
{
    if (atomic_load_explicit(&hurried, memory_order_relaxed) != pthread_self())
        return sched_yield();
    return ++yielded % YIELDS_EACH == 0 ? sched_yield()
                                        : 0; /* it may wait for a thread of its real-time rank */
}

/* Whether nobody else is called in the function's place: others may remove their hooks meanwhile. */
static bool nobody_hooks(const gp_hook *hook)
{
    for (size_t i = 0; i < hook->slot_count; i++) {
        uintptr_t to = (uintptr_t)__atomic_load_n(hook->slots[i].address, __ATOMIC_RELAXED);
        if (to != (uintptr_t)hook->library && (to < hook->low || to >= hook->high))
            return false;
    }
    return true;
}

/* CPython 3.13 without a GIL yields the core forty times for a lock that the thread has already
 * (Python/critical_section.c, Python/lock.c): at each file that is read and at each class that is made. Each
 * time all busy threads would have turns of milliseconds. Let this thread go on instead, until relax(). */
static bool hurry(const gp_agent_order *order)
{
    unsigned long nobody = 0;
    if (!order->yields_in_vain ||
        !atomic_compare_exchange_strong(&hurried, &nobody, (unsigned long)pthread_self()))
        return false;
    yields.slot_count = 0;
    if (gp_hooks_find((const void *)order->ensure, &yields, 1) == GP_OK && nobody_hooks(&yields) &&
        gp_hooks_install(&yields, 1, true) == GP_OK)
        return true;
    atomic_store(&hurried, 0);
    return false;
}

static void relax(void)
{
    gp_hooks_remove(&yields, 1);
    atomic_store(&hurried, 0);
}

/* ---- the code ---- */

/* The text of the file, to be freed, and its length; NULL if it can't be read. */
static char *read_code(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    struct stat status;
    char *code = NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size < CODE_MAX)
        code = calloc(1, (size_t)status.st_size + 1);
    size_t filled = 0;
    while (code != NULL && filled < (size_t)status.st_size) {
        ssize_t got = read(fd, code + filled, (size_t)status.st_size - filled);
        if (got <= 0) {
            free(code);
            code = NULL;
        } else {
            filled += (size_t)got;
        }
    }
    close(fd);
    *size = filled;
    return code;
}

/* Run each part, as long as none fails. */
static void run_code(const gp_agent_order *order, const char *code, size_t size)
{
    int (*is_initialized)(void) = (int (*)(void))order->is_initialized;
    int (*ensure)(void) = (int (*)(void))order->ensure;
    void (*release)(int) = (void (*)(int))order->release;
    void *(*new_dict)(void) = (void *(*)(void))order->new_dict;
    void *(*run_string)(const char *, int, void *, void *) =
        (void *(*)(const char *, int, void *, void *))order->run_string;
    void (*clear_error)(void) = (void (*)(void))order->clear_error;
    void (*drop)(void *) = (void (*)(void *))order->drop;

    for (int looks = 0; !is_initialized(); looks++) { /* it has just been started, or ends */
        if (looks == LOOKS_MOST)
            return;
        usleep(LOOK_US);
    }
    bool hurries = hurry(order);
    int state = ensure(); /* does not return if the interpreter ends meanwhile */
    void *names = new_dict();
    const char *part = code;
    while (names != NULL && part < code + size) {
        void *result = run_string(part, FILE_INPUT, names, names);
        if (hurries)
            relax();
        hurries = false;
        part = result == NULL ? code + size : part + strlen(part) + 1;
        drop(result); /* takes NULL */
    }
    if (hurries)
        relax();
    drop(names);
    clear_error();
    release(state);
}

static void *run(void *argument)
{
    gp_agent_order *order = argument;
    pthread_setname_np(pthread_self(), "gilprobe");
    size_t size = 0;
    char *code = read_code(order->path, &size);
    if (code != NULL)
        run_code(order, code, size);
    free(code);
    free(order);
    return NULL;
}

int gp_agent_start(const gp_agent_order *order)
{
    gp_agent_order *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return ENOMEM;
    *copy = *order;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error == 0) {
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_t thread;
        error = pthread_create(&thread, &attributes, run, copy);
        pthread_attr_destroy(&attributes);
    }
    if (error != 0)
        free(copy);
    return error;
}
