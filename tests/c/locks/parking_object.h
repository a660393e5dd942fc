#ifndef PARKING_OBJECT_H
#define PARKING_OBJECT_H

/* How CPython's threads wait for a PyMutex (Python/lock.c, Python/parking_lot.c), in an object of its own, in
 * the manners of several versions. One thread at a time may wait. */

#include <stdint.h>

typedef struct {
    unsigned spins; /* yields before the thread sleeps */
    unsigned every; /* a power of 2: it looks at the lock again when its yields and its phase together are a
                       multiple of that; 0: not before it sleeps */
    uint32_t phase;
} parking_manner;

void parking_use(parking_manner manner);

void parking_lock(void *lock);
void parking_unlock(void *lock);

#endif
