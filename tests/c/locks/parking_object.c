#include "parking_object.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define EXPORT __attribute__((visibility("default")))

enum {
    LOCKED = 1,
    HAS_PARKED = 2,
};

/* wait_entry of parking_lot.c */
typedef struct {
    void *arg;
    uintptr_t address;
    sem_t semaphore;
} entry;

static parking_manner manner;
static pthread_mutex_t lot = PTHREAD_MUTEX_INITIALIZER;
static entry *parked;

EXPORT void parking_use(parking_manner wanted)
{
    manner = wanted;
}

static void park(_Atomic uint8_t *lock)
{
    entry own = {.address = (uintptr_t)lock};
    sem_init(&own.semaphore, 0, 0);
    pthread_mutex_lock(&lot);
    bool parks = atomic_load(lock) == (LOCKED | HAS_PARKED);
    if (parks)
        parked = &own;
    pthread_mutex_unlock(&lot);
    while (parks && sem_wait(&own.semaphore) != 0)
        ;
    sem_destroy(&own.semaphore);
}

static bool try(_Atomic uint8_t *lock, uint8_t *seen, uint8_t wanted)
{
    return atomic_compare_exchange_strong(lock, seen, wanted);
}

EXPORT void parking_lock(void *of)
{
    _Atomic uint8_t *lock = of;
    uint8_t seen = 0;
    unsigned spins = 0;
    for (;;) {
        if ((seen & LOCKED) == 0) {
            if (try(lock, &seen, seen | LOCKED))
                return;
        } else if ((seen & HAS_PARKED) == 0 && spins < manner.spins) {
            sched_yield();
            spins++;
            if (manner.every != 0 && (spins + manner.phase) % manner.every == 0)
                seen = atomic_load(lock);
        } else if ((seen & HAS_PARKED) != 0 || try(lock, &seen, seen | HAS_PARKED)) {
            park(lock);
            seen = atomic_load(lock);
        }
    }
}

EXPORT void parking_unlock(void *of)
{
    _Atomic uint8_t *lock = of;
    uint8_t seen = LOCKED;
    if (try(lock, &seen, 0))
        return;
    pthread_mutex_lock(&lot);
    entry *woken = parked;
    parked = NULL;
    atomic_store(lock, 0);
    pthread_mutex_unlock(&lot);
    if (woken != NULL)
        sem_post(&woken->semaphore);
}
