#include "trace/gp_tracer_object.h"

#include <string.h>

static __thread unsigned locking; /* how many of these locks the calling thread has, or waits for */
static __thread bool forking;     /* it has taken all of them, to fork */

/* Counted first: a signal handler that runs in between must not wait for what it has interrupted. */
static void lock(pthread_mutex_t *mutex)
{
    locking++;
    pthread_mutex_lock(mutex);
}

static bool try_lock(pthread_mutex_t *mutex)
{
    locking++;
    if (pthread_mutex_trylock(mutex) == 0)
        return true;
    locking--;
    return false;
}

static void unlock(pthread_mutex_t *mutex)
{
    pthread_mutex_unlock(mutex);
    locking--;
}

void gp_gil_table_lock(void)
{
    lock(&gp_tracer.table_lock);
}

bool gp_gil_table_try_lock(void)
{
    return try_lock(&gp_tracer.table_lock);
}

void gp_gil_table_unlock(void)
{
    unlock(&gp_tracer.table_lock);
}

void gp_gil_lock(gp_gil *gil)
{
    lock(&gil->state.stream.lock);
}

bool gp_gil_try_lock(gp_gil *gil)
{
    return try_lock(&gil->state.stream.lock);
}

void gp_gil_unlock(gp_gil *gil)
{
    unlock(&gil->state.stream.lock);
}

bool gp_gil_table_is_locking(void)
{
    return locking != 0;
}

void gp_gil_table_about_to_fork(void)
{
    if (locking != 0)
        return;
    gp_gil_table_lock();
    gp_gil_lock(&gp_tracer.main_gil);
    for (uint32_t i = 0; i < gp_tracer.other_count; i++)
        gp_gil_lock(&gp_tracer.other_gils[i]);
    forking = true;
}

void gp_gil_table_forked_in_parent(void)
{
    if (!forking)
        return;
    forking = false;
    for (uint32_t i = gp_tracer.other_count; i-- > 0;)
        gp_gil_unlock(&gp_tracer.other_gils[i]);
    gp_gil_unlock(&gp_tracer.main_gil);
    gp_gil_table_unlock();
}

bool gp_gil_table_forked_in_child(void)
{
    bool whole = forking || pthread_mutex_trylock(&gp_tracer.main_gil.state.stream.lock) == 0;
    pthread_mutex_init(&gp_tracer.table_lock, NULL);
    pthread_mutex_init(&gp_tracer.main_gil.state.stream.lock, NULL);
    for (uint32_t i = 0; i < gp_tracer.other_count; i++)
        pthread_mutex_init(&gp_tracer.other_gils[i].state.stream.lock, NULL);
    locking = forking ? 0 : locking;
    forking = false;
    return whole;
}

static uint32_t rows(void)
{
    return __atomic_load_n(&gp_tracer.other_count, __ATOMIC_RELAXED);
}

/* The row that has `object` as the lock at this offset in gp_gil_locks. */
static gp_gil *with_lock(size_t offset, const void *object)
{
    for (uint32_t i = 0; i < rows(); i++) {
        gp_gil *gil = &gp_tracer.other_gils[i];
        if (gp_gil_table_is((const void *const *)((const char *)&gil->locks + offset), object))
            return gil;
    }
    return NULL;
}

gp_gil *gp_gil_table_with_mutex(const void *mutex)
{
    return with_lock(offsetof(gp_gil_locks, mutex), mutex);
}

gp_gil *gp_gil_table_with_cond(const void *cond)
{
    return with_lock(offsetof(gp_gil_locks, cond), cond);
}

gp_gil *gp_gil_table_with_switch_mutex(const void *mutex)
{
    return with_lock(offsetof(gp_gil_locks, switch_mutex), mutex);
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
    gp_gil_lock(gil);
    begin_state(gil);
    __atomic_store_n(&gil->interpreter, interpreter, __ATOMIC_RELAXED); /* also read without a lock */
    gp_gil_table_publish(gil, locks);
    gp_gil_unlock(gil);
    if (row >= gp_tracer.other_count)
        __atomic_store_n(&gp_tracer.other_count, row + 1, __ATOMIC_RELEASE);
    return gil;
}

void gp_gil_table_remove(gp_gil *gil)
{
    gp_gil_lock(gil);
    gp_gil_table_publish(gil, &(gp_gil_locks){0});
    gp_stream_restart(&gil->state.stream, NULL, GP_NOT_WATCHED); /* its threads' records may serve others */
    gp_gil_unlock(gil);
    uint32_t count = gp_tracer.other_count;
    while (count > 0 && gp_tracer.other_gils[count - 1].locks.mutex == NULL)
        count--;
    __atomic_store_n(&gp_tracer.other_count, count, __ATOMIC_RELAXED);
}
