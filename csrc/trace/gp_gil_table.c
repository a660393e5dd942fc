#include "trace/gp_tracer_object.h"

#include <string.h>

void gp_gil_table_lock(void)
{
    pthread_mutex_lock(&gp_tracer.table_lock);
}

bool gp_gil_table_try_lock(void)
{
    return pthread_mutex_trylock(&gp_tracer.table_lock) == 0;
}

void gp_gil_table_unlock(void)
{
    pthread_mutex_unlock(&gp_tracer.table_lock);
}

static pthread_mutex_t *lock_of(gp_gil *gil)
{
    return &gil->state.stream.lock;
}

void gp_gil_table_lock_all(void)
{
    gp_gil_table_lock();
    pthread_mutex_lock(lock_of(&gp_tracer.main_gil));
    for (uint32_t i = 0; i < gp_tracer.other_count; i++)
        pthread_mutex_lock(lock_of(&gp_tracer.other_gils[i]));
}

void gp_gil_table_unlock_all(void)
{
    for (uint32_t i = gp_tracer.other_count; i-- > 0;)
        pthread_mutex_unlock(lock_of(&gp_tracer.other_gils[i]));
    pthread_mutex_unlock(lock_of(&gp_tracer.main_gil));
    gp_gil_table_unlock();
}

void gp_gil_table_forked(void)
{
    pthread_mutex_init(&gp_tracer.table_lock, NULL);
    pthread_mutex_init(lock_of(&gp_tracer.main_gil), NULL);
    for (uint32_t i = 0; i < gp_tracer.other_count; i++)
        pthread_mutex_init(lock_of(&gp_tracer.other_gils[i]), NULL);
}

static uint32_t rows(void)
{
    return __atomic_load_n(&gp_tracer.other_count, __ATOMIC_RELAXED);
}

gp_gil *gp_gil_table_with_mutex(const void *mutex)
{
    for (uint32_t i = 0; i < rows(); i++)
        if (gp_gil_table_is(&gp_tracer.other_gils[i].locks.mutex, mutex))
            return &gp_tracer.other_gils[i];
    return NULL;
}

gp_gil *gp_gil_table_with_cond(const void *cond)
{
    for (uint32_t i = 0; i < rows(); i++)
        if (gp_gil_table_is(&gp_tracer.other_gils[i].locks.cond, cond))
            return &gp_tracer.other_gils[i];
    return NULL;
}

gp_gil *gp_gil_table_with_switch_mutex(const void *mutex)
{
    for (uint32_t i = 0; i < rows(); i++)
        if (gp_gil_table_is(&gp_tracer.other_gils[i].locks.switch_mutex, mutex))
            return &gp_tracer.other_gils[i];
    return NULL;
}

static const char *moved(const void *lock, ptrdiff_t distance)
{
    return (const char *)lock + distance;
}

gp_gil_locks gp_gil_table_laid_out(const gp_gil_locks *known, const void *switch_mutex)
{
    ptrdiff_t distance = (const char *)switch_mutex - (const char *)known->switch_mutex;
    return (gp_gil_locks){
        .mutex = moved(known->mutex, distance),
        .cond = moved(known->cond, distance),
        .switch_mutex = switch_mutex,
        .switch_cond = moved(known->switch_cond, distance),
    };
}

void gp_gil_table_publish(gp_gil *gil, const gp_gil_locks *locks)
{
    __atomic_store_n(&gil->locks.switch_mutex, locks->switch_mutex, __ATOMIC_RELEASE);
    __atomic_store_n(&gil->locks.switch_cond, locks->switch_cond, __ATOMIC_RELEASE);
    __atomic_store_n(&gil->locks.cond, locks->cond, __ATOMIC_RELEASE);
    __atomic_store_n(&gil->locks.mutex, locks->mutex, __ATOMIC_RELEASE);
}

/* GP_OTHER_GILS_MAX: none is free. */
static uint32_t free_row(void)
{
    uint32_t row = 0;
    while (row < GP_OTHER_GILS_MAX && gp_tracer.other_gils[row].locks.mutex != NULL)
        row++;
    return row;
}

static void begin_state(gp_gil *gil)
{
    gp_gil_state_reset(&gil->state);
    gil->state.places.naming = gp_tracer.main_gil.state.places.naming;
    gil->state.folding = gp_tracer.main_gil.state.folding;
    gil->releases = (gp_callers){.first = gp_tracer.main_gil.releases.first,
                                 .second = gp_tracer.main_gil.releases.second,
                                 .wrapper = gp_tracer.main_gil.releases.wrapper};
}

gp_gil *gp_gil_table_add(const gp_gil_locks *locks, uint32_t interpreter)
{
    uint32_t row = free_row();
    if (row == GP_OTHER_GILS_MAX)
        return NULL;
    gp_gil *gil = &gp_tracer.other_gils[row];
    pthread_mutex_lock(lock_of(gil));
    begin_state(gil);
    __atomic_store_n(&gil->interpreter, interpreter, __ATOMIC_RELAXED); /* also read without a lock */
    gp_gil_table_publish(gil, locks);
    pthread_mutex_unlock(lock_of(gil));
    if (row >= gp_tracer.other_count)
        __atomic_store_n(&gp_tracer.other_count, row + 1, __ATOMIC_RELEASE);
    return gil;
}

void gp_gil_table_remove(gp_gil *gil)
{
    pthread_mutex_lock(lock_of(gil));
    gp_gil_table_publish(gil, &(gp_gil_locks){0});
    pthread_mutex_unlock(lock_of(gil));
    uint32_t count = gp_tracer.other_count;
    while (count > 0 && gp_tracer.other_gils[count - 1].locks.mutex == NULL)
        count--;
    __atomic_store_n(&gp_tracer.other_count, count, __ATOMIC_RELAXED);
}
