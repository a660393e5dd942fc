/* For cycles.py: times releases and re-acquisitions of the GIL, and puts hooks into the calls they are made
 * of that do the least a tracer needs: know which of the two it is, and read the clock once. */

#include <pthread.h>
#include <stdbool.h>

#include "base/gp_clock.h"
#include "hooks/gp_hooks.h"

extern void *PyEval_SaveThread(void);
extern void PyEval_RestoreThread(void *state);

enum {
    LINE = 64, /* bytes that a cache loads at once */
    LOCK = 0,
    TIMEDWAIT,
    UNLOCK,
    HOOKS,
};

static const pthread_mutex_t *gil; /* NULL: to be the next that is locked */

static __thread struct {
    bool holds, asks;
    uint64_t released, taken;
} mine;

static int hooked_lock(pthread_mutex_t *mutex)
{
    if (gil == NULL)
        gil = mutex;
    if (mutex == gil) {
        if (mine.holds)
            mine.released = gp_clock_ticks();
        else
            mine.asks = true;
    }
    return pthread_mutex_lock(mutex);
}

static int hooked_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    return pthread_cond_timedwait(cond, mutex, until);
}

static int hooked_unlock(pthread_mutex_t *mutex)
{
    int status = pthread_mutex_unlock(mutex);
    if (mutex == gil) {
        mine.holds = mine.asks;
        if (mine.asks)
            mine.taken = gp_clock_ticks();
        mine.asks = false;
    }
    return status;
}

static gp_hook hooks[HOOKS] = {
    [LOCK] = {.name = "pthread_mutex_lock", .wrapper = hooked_lock, .library = pthread_mutex_lock},
    [TIMEDWAIT] = {.name = "pthread_cond_timedwait",
                   .wrapper = hooked_timedwait,
                   .library = pthread_cond_timedwait},
    [UNLOCK] = {.name = "pthread_mutex_unlock", .wrapper = hooked_unlock, .library = pthread_mutex_unlock},
};

/* Call it without the GIL. Whether the interpreter can be hooked. */
bool cycles_prepare(void)
{
    gp_clock_init();
    return gp_hooks_find((const void *)PyEval_SaveThread, hooks, HOOKS) == GP_OK;
}

/* With the GIL. */
bool cycles_hook(void)
{
    gil = NULL;
    mine.holds = mine.asks = false;
    if (gp_hooks_install(hooks, HOOKS, false) != GP_OK)
        return false;
    PyEval_RestoreThread(PyEval_SaveThread());
    return true;
}

void cycles_unhook(void)
{
    gp_hooks_remove(hooks, HOOKS);
}

/* Nothing that was begun before may be counted, and nothing that comes later may begin. */
static inline uint64_t fenced_ticks(void)
{
#if defined(__x86_64__)
    __builtin_ia32_lfence();
    uint64_t now = gp_clock_ticks();
    __builtin_ia32_lfence();
    return now;
#else
    return gp_clock_ticks();
#endif
}

static void touch(volatile char *memory, size_t size)
{
    for (size_t at = 0; at < size; at += LINE)
        memory[at]++;
}

/* Nanoseconds of a release and a re-acquisition of the GIL, between which so many bytes are touched. */
double cycles_time(uint64_t count, char *memory, size_t size)
{
    uint64_t spent = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t begin = fenced_ticks();
        void *state = PyEval_SaveThread();
        uint64_t off = fenced_ticks();
        touch(memory, size);
        uint64_t asks = fenced_ticks();
        PyEval_RestoreThread(state);
        spent += fenced_ticks() - asks + off - begin;
    }
    return (double)gp_clock_to_ns(gp_clock_rate_estimate(), spent) / (double)count;
}
