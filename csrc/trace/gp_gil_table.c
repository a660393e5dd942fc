#include "trace/gp_gil_table.h"

#include <string.h>

gp_gil gp_gil_table[GP_GIL_TABLE_MAX];
uint32_t gp_gil_table_count = 1;

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

void gp_gil_table_lock(void)
{
    pthread_mutex_lock(&table_lock);
}

bool gp_gil_table_try_lock(void)
{
    return pthread_mutex_trylock(&table_lock) == 0;
}

void gp_gil_table_unlock(void)
{
    pthread_mutex_unlock(&table_lock);
}

void gp_gil_table_forked(void)
{
    pthread_mutex_init(&table_lock, NULL);
    for (uint32_t i = 1; i < GP_GIL_TABLE_MAX; i++)
        pthread_mutex_init(&gp_gil_table[i].books, NULL);
}

/* acquire: whoever sees a row's locks sees the rest of it */
static const void *seen(const void *const *lock)
{
    return __atomic_load_n(lock, __ATOMIC_ACQUIRE);
}

static uint32_t rows(void)
{
    return __atomic_load_n(&gp_gil_table_count, __ATOMIC_RELAXED);
}

gp_gil *gp_gil_table_with_mutex(const void *mutex)
{
    for (uint32_t i = 1; i < rows(); i++)
        if (seen(&gp_gil_table[i].locks.mutex) == mutex)
            return &gp_gil_table[i];
    return NULL;
}

gp_gil *gp_gil_table_with_cond(const void *cond)
{
    for (uint32_t i = 1; i < rows(); i++)
        if (seen(&gp_gil_table[i].locks.cond) == cond)
            return &gp_gil_table[i];
    return NULL;
}

gp_gil *gp_gil_table_with_switch_cond(const void *cond)
{
    for (uint32_t i = 1; i < rows(); i++)
        if (seen(&gp_gil_table[i].locks.switch_cond) == cond)
            return &gp_gil_table[i];
    return NULL;
}

static const char *moved(const void *lock, ptrdiff_t distance)
{
    return (const char *)lock + distance;
}

gp_gil_locks gp_gil_table_laid_out(const gp_gil_locks *known, const void *switch_cond)
{
    ptrdiff_t distance = (const char *)switch_cond - (const char *)known->switch_cond;
    return (gp_gil_locks){
        .mutex = moved(known->mutex, distance),
        .cond = moved(known->cond, distance),
        .switch_mutex = moved(known->switch_mutex, distance),
        .switch_cond = switch_cond,
    };
}

bool gp_gil_table_recognise(const gp_gil_locks *known, const void *const locked[2], const void *signalled)
{
    gp_gil_locks expected = gp_gil_table_laid_out(known, signalled);
    return locked[0] == expected.mutex && locked[1] == expected.switch_mutex;
}

static void publish(gp_gil *gil, const gp_gil_locks *locks)
{
    __atomic_store_n(&gil->locks.switch_mutex, locks->switch_mutex, __ATOMIC_RELEASE);
    __atomic_store_n(&gil->locks.switch_cond, locks->switch_cond, __ATOMIC_RELEASE);
    __atomic_store_n(&gil->locks.cond, locks->cond, __ATOMIC_RELEASE);
    __atomic_store_n(&gil->locks.mutex, locks->mutex, __ATOMIC_RELEASE);
}

/* A free row, 0 if there is none. */
static uint32_t free_row(void)
{
    for (uint32_t row = 1; row < GP_GIL_TABLE_MAX; row++)
        if (gp_gil_table[row].locks.mutex == NULL)
            return row;
    return 0;
}

static void begin_machine(gp_gil *gil)
{
    memset(&gil->machine, 0, sizeof gil->machine);
    gil->machine.naming = gp_gil_table[0].machine.naming;
    gil->machine.locate = gp_gil_table[0].machine.locate;
    gil->machine.folding = gp_gil_table[0].machine.folding;
    gil->releases =
        (gp_callers){.first = gp_gil_table[0].releases.first, .second = gp_gil_table[0].releases.second};
}

gp_gil *gp_gil_table_add(const gp_gil_locks *locks, uint32_t interpreter)
{
    uint32_t row = free_row();
    if (row == 0)
        return NULL;
    gp_gil *gil = &gp_gil_table[row];
    if (!gil->has_books)
        gil->has_books = pthread_mutex_init(&gil->books, NULL) == 0;
    pthread_mutex_lock(&gil->books);
    begin_machine(gil);
    gil->interpreter = interpreter;
    publish(gil, locks);
    pthread_mutex_unlock(&gil->books);
    if (row >= gp_gil_table_count)
        __atomic_store_n(&gp_gil_table_count, row + 1, __ATOMIC_RELEASE);
    return gil;
}

void gp_gil_table_remove(gp_gil *gil)
{
    pthread_mutex_lock(&gil->books);
    publish(gil, &(gp_gil_locks){0});
    pthread_mutex_unlock(&gil->books);
    uint32_t count = gp_gil_table_count;
    while (count > 1 && gp_gil_table[count - 1].locks.mutex == NULL)
        count--;
    __atomic_store_n(&gp_gil_table_count, count, __ATOMIC_RELAXED);
}
