/* Another library that swaps the interpreter's import slots, as sanitizers, profilers and gilprobe itself do.
 * Linked with csrc/hooks/gp_hooks.c, but with state of its own. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hooks/gp_hooks.h"

enum { LOCK, TIMEDWAIT, UNLOCK, SIGNAL, WAIT, COUNT };

static int my_lock(pthread_mutex_t *mutex);
static int my_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
static int my_unlock(pthread_mutex_t *mutex);
static int my_signal(pthread_cond_t *cond);
static int my_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);

static void *next[COUNT];

static gp_hook hooks[COUNT] = {
    [LOCK] = {.name = "pthread_mutex_lock",
              .wrapper = my_lock,
              .library = pthread_mutex_lock,
              .next = &next[LOCK]},
    [TIMEDWAIT] = {.name = "pthread_cond_timedwait",
                   .wrapper = my_timedwait,
                   .library = pthread_cond_timedwait,
                   .next = &next[TIMEDWAIT]},
    [UNLOCK] = {.name = "pthread_mutex_unlock",
                .wrapper = my_unlock,
                .library = pthread_mutex_unlock,
                .next = &next[UNLOCK]},
    [SIGNAL] = {.name = "pthread_cond_signal",
                .wrapper = my_signal,
                .library = pthread_cond_signal,
                .next = &next[SIGNAL]},
    [WAIT] = {.name = "pthread_cond_wait",
              .wrapper = my_wait,
              .library = pthread_cond_wait,
              .next = &next[WAIT]},
};

static _Atomic long calls;

static int my_lock(pthread_mutex_t *mutex)
{
    calls++;
    return ((int (*)(pthread_mutex_t *))next[LOCK])(mutex);
}

static int my_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    calls++;
    return ((int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))next[TIMEDWAIT])(
        cond, mutex, until);
}

static int my_unlock(pthread_mutex_t *mutex)
{
    calls++;
    return ((int (*)(pthread_mutex_t *))next[UNLOCK])(mutex);
}

static int my_signal(pthread_cond_t *cond)
{
    calls++;
    return ((int (*)(pthread_cond_t *))next[SIGNAL])(cond);
}

static int my_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    calls++;
    return ((int (*)(pthread_cond_t *, pthread_mutex_t *))next[WAIT])(cond, mutex);
}

/* Find the slots of the object that contains `address`; the number of them, 0 on failure. */
int second_find(const void *address)
{
    if (gp_hooks_find(address, hooks, COUNT) != GP_OK)
        return 0;
    int found = 0;
    for (int h = 0; h < COUNT; h++)
        found += (int)hooks[h].slot_count;
    return found;
}

/* What stands in slot number `n` of all that were found. */
uintptr_t second_slot(int n)
{
    for (int h = 0; h < COUNT; h++) {
        if (n < (int)hooks[h].slot_count)
            return (uintptr_t)*hooks[h].slots[n].address;
        n -= (int)hooks[h].slot_count;
    }
    return 0;
}

int second_install(void)
{
    return gp_hooks_install(hooks, COUNT, false) == GP_OK;
}

/* Call the C library from now on, whoever was there first. */
void second_go_straight(void)
{
    for (int h = 0; h < COUNT; h++)
        next[h] = hooks[h].library;
}

/* Put back what was there unless somebody has come on top. */
void second_remove(void)
{
    gp_hooks_remove(hooks, COUNT);
}

/* Put back what was there, whoever has come on top: what most libraries do. */
void second_remove_rudely(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int h = 0; h < COUNT; h++)
        for (size_t i = 0; i < hooks[h].slot_count; i++) {
            gp_slot *slot = &hooks[h].slots[i];
            void *start = (void *)((uintptr_t)slot->address & ~(page - 1));
            if (slot->relro)
                mprotect(start, page, PROT_READ | PROT_WRITE);
            *slot->address = slot->saved;
            if (slot->relro)
                mprotect(start, page, PROT_READ);
        }
}

long second_calls(void)
{
    return calls;
}
