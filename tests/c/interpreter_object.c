#include "interpreter_object.h"

#include <errno.h>

#define EXPORT __attribute__((visibility("default")))
#define NOINLINE __attribute__((noinline, noclone))
/* Keeps the call before it from becoming a jump, which would take the caller off the stack. */
#define NOT_THE_LAST(place) __asm__ volatile("/* " #place " */")

enum {
    INTERVAL_NS = 200000, /* a thread waits for so long until it asks the holder to give way */
};

static interpreter interpreters[INTERPRETERS];
static __thread char own; /* its address stands for the thread */

static uintptr_t own_number(void)
{
    return (uintptr_t)&own;
}

NOINLINE static void drop_gil(interpreter_gil *gil)
{
    pthread_mutex_lock(&gil->mutex);
    gil->last_holder = own_number();
    gil->locked = 0;
    pthread_cond_signal(&gil->cond);
    pthread_mutex_unlock(&gil->mutex);
    if (!gil->wanted)
        return;
    pthread_mutex_lock(&gil->switch_mutex);
    if (gil->last_holder == own_number()) {
        gil->wanted = false;
        pthread_cond_wait(&gil->switch_cond, &gil->switch_mutex);
    }
    pthread_mutex_unlock(&gil->switch_mutex);
}

static struct timespec interval_from_now(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += INTERVAL_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

static void wait_for_gil(interpreter_gil *gil)
{
    while (gil->locked) {
        uint64_t before = gil->switches;
        struct timespec until = interval_from_now();
        if (pthread_cond_timedwait(&gil->cond, &gil->mutex, &until) == ETIMEDOUT && gil->locked &&
            gil->switches == before)
            gil->wanted = true;
    }
}

NOINLINE static void take_gil(interpreter_gil *gil)
{
    pthread_mutex_lock(&gil->mutex);
    wait_for_gil(gil);
    pthread_mutex_lock(&gil->switch_mutex);
    gil->locked = 1;
    if (gil->last_holder != own_number()) {
        gil->last_holder = own_number();
        gil->switches++;
    }
    pthread_cond_signal(&gil->switch_cond);
    pthread_mutex_unlock(&gil->switch_mutex);
    gil->wanted = false;
    pthread_mutex_unlock(&gil->mutex);
}

EXPORT interpreter *interpreter_at(size_t place)
{
    return &interpreters[place];
}

static void make_gil(interpreter_gil *gil)
{
    pthread_mutex_init(&gil->mutex, NULL);
    pthread_cond_init(&gil->cond, NULL);
    pthread_mutex_init(&gil->switch_mutex, NULL);
    pthread_cond_init(&gil->switch_cond, NULL);
    gil->locked = 0;
    gil->wanted = false;
}

EXPORT void interpreter_begin(size_t place, uint32_t id)
{
    make_gil(&interpreters[place].gil);
    interpreters[place].id = id;
    interpreters[place].lives = true;
}

EXPORT void interpreter_take_gil(interpreter *of)
{
    take_gil(&of->gil);
    NOT_THE_LAST(take);
}

EXPORT void interpreter_ask_and_exit(interpreter *of)
{
    interpreter_gil *gil = &of->gil;
    pthread_mutex_lock(&gil->mutex);
    while (gil->locked) {
        struct timespec until = interval_from_now();
        pthread_cond_timedwait(&gil->cond, &gil->mutex, &until);
    }
    pthread_mutex_unlock(&gil->mutex);
}

EXPORT NOINLINE void interpreter_let_go(interpreter *of)
{
    drop_gil(&of->gil);
    NOT_THE_LAST(let_go);
}

EXPORT NOINLINE void interpreter_let_go_unlisted(interpreter *of)
{
    drop_gil(&of->gil);
    NOT_THE_LAST(unlisted);
}

EXPORT NOINLINE bool interpreter_give_way(interpreter *of)
{
    if (!of->gil.wanted)
        return false;
    drop_gil(&of->gil);
    NOT_THE_LAST(give_way);
    take_gil(&of->gil);
    return true;
}

EXPORT int interpreter_lock(pthread_mutex_t *mutex)
{
    return pthread_mutex_lock(mutex);
}

EXPORT int interpreter_unlock(pthread_mutex_t *mutex)
{
    return pthread_mutex_unlock(mutex);
}

EXPORT int interpreter_signal(pthread_cond_t *cond)
{
    return pthread_cond_signal(cond);
}

EXPORT int interpreter_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    return pthread_cond_timedwait(cond, mutex, until);
}

EXPORT void interpreter_after_fork(void)
{
    make_gil(&interpreters[0].gil);
    interpreter_take_gil(&interpreters[0]);
}

EXPORT const void *const *interpreter_voluntary(void)
{
    static const void *const functions[] = {(const void *)interpreter_let_go, NULL};
    return functions;
}

EXPORT const void *const *interpreter_forced(void)
{
    static const void *const functions[] = {(const void *)interpreter_give_way, NULL};
    return functions;
}
