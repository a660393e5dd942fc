#include "gp_gils.h"

#if defined(__linux__)

#include <string.h>

gp_gil gp_gils[GP_GILS_MAX];
uint32_t gp_gils_count = 1;
uint64_t gp_gils_missed;

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

void gp_gils_lock(void)
{
    pthread_mutex_lock(&table_lock);
}

bool gp_gils_try_lock(void)
{
    return pthread_mutex_trylock(&table_lock) == 0;
}

void gp_gils_unlock(void)
{
    pthread_mutex_unlock(&table_lock);
}

void gp_gils_forked(void)
{
    pthread_mutex_init(&table_lock, NULL);
    for (uint32_t i = 1; i < GP_GILS_MAX; i++)
        pthread_mutex_init(&gp_gils[i].books, NULL);
}

/* acquire: whoever sees a row's locks sees the rest of it */
static const void *seen(const void *const *lock)
{
    return __atomic_load_n(lock, __ATOMIC_ACQUIRE);
}

static uint32_t rows(void)
{
    return __atomic_load_n(&gp_gils_count, __ATOMIC_RELAXED);
}

gp_gil *gp_gils_with_mutex(const void *mutex)
{
    for (uint32_t i = 1; i < rows(); i++)
        if (seen(&gp_gils[i].locks.mutex) == mutex)
            return &gp_gils[i];
    return NULL;
}

gp_gil *gp_gils_with_cond(const void *cond)
{
    for (uint32_t i = 1; i < rows(); i++)
        if (seen(&gp_gils[i].locks.cond) == cond)
            return &gp_gils[i];
    return NULL;
}

gp_gil *gp_gils_with_switch_cond(const void *cond)
{
    for (uint32_t i = 1; i < rows(); i++)
        if (seen(&gp_gils[i].locks.switch_cond) == cond)
            return &gp_gils[i];
    return NULL;
}

static const char *moved(const void *lock, ptrdiff_t distance)
{
    return (const char *)lock + distance;
}

bool gp_gils_recognise(const gp_gil_locks *known, const void *const locked[2], const void *signalled,
                       gp_gil_locks *locks)
{
    ptrdiff_t distance = (const char *)locked[0] - (const char *)known->mutex;
    if (locked[0] == NULL || moved(known->switch_mutex, distance) != locked[1] ||
        moved(known->switch_cond, distance) != signalled)
        return false;
    *locks = (gp_gil_locks){
        .mutex = locked[0],
        .cond = moved(known->cond, distance),
        .switch_mutex = locked[1],
        .switch_cond = signalled,
    };
    return true;
}

static void publish(gp_gil *gil, const gp_gil_locks *locks)
{
    __atomic_store_n(&gil->locks.switch_mutex, locks->switch_mutex, __ATOMIC_RELEASE);
    __atomic_store_n(&gil->locks.switch_cond, locks->switch_cond, __ATOMIC_RELEASE);
    __atomic_store_n(&gil->locks.cond, locks->cond, __ATOMIC_RELEASE);
    __atomic_store_n(&gil->locks.mutex, locks->mutex, __ATOMIC_RELEASE);
}

gp_gil *gp_gils_add(const gp_gil_locks *locks, uint32_t interpreter, uint32_t generation)
{
    uint32_t row = 1;
    while (row < GP_GILS_MAX && gp_gils[row].locks.mutex != NULL)
        row++;
    if (row == GP_GILS_MAX)
        return NULL;
    gp_gil *gil = &gp_gils[row];
    memset(&gil->machine, 0, sizeof gil->machine);
    gil->machine.generation = generation;
    gil->machine.met = gp_gils[0].machine.met;
    gil->machine.locate = gp_gils[0].machine.locate;
    gil->machine.folding = gp_gils[0].machine.folding;
    gil->releases = (gp_callers){.first = gp_gils[0].releases.first, .second = gp_gils[0].releases.second};
    gil->interpreter = interpreter;
    pthread_mutex_init(&gil->books, NULL);
    publish(gil, locks);
    if (row >= gp_gils_count)
        __atomic_store_n(&gp_gils_count, row + 1, __ATOMIC_RELEASE);
    return gil;
}

void gp_gils_remove(gp_gil *gil)
{
    publish(gil, &(gp_gil_locks){0});
    uint32_t count = gp_gils_count;
    while (count > 1 && gp_gils[count - 1].locks.mutex == NULL)
        count--;
    __atomic_store_n(&gp_gils_count, count, __ATOMIC_RELAXED);
}

#endif
