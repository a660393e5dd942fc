#ifndef GP_GIL_TABLE_H
#define GP_GIL_TABLE_H

/* The GILs of the process: the main one, which all interpreters share but those that have one of their own
 * (PEP 684, from CPython 3.12). Those are found while traces run, when a thread takes one of them.
 *
 * Nobody is told when an interpreter ends: its state is freed, with the GIL in it, whose mutex is not even
 * destroyed (Python/pylifecycle.c, finalize_interp_delete). So whoever has found a row asks again whose it
 * is, under the lock of the row's stream.
 *
 * Locks are taken in this order: a GIL's mutex, the table's lock, the lock of a stream. Who has one of the
 * latter waits for nothing that needs a GIL. */

#include <pthread.h>

#include "hooks/gp_callers.h"
#include "hooks/gp_handshake.h"
#include "books/gp_gil_state.h"

enum {
    GP_OTHER_GILS_MAX = 127, /* at one time; interpreters beyond are not traced, which reports say */
};

typedef struct gp_gil {
    gp_gil_state state;
    gp_gil_locks locks; /* what the hooks look for; all NULL: nothing, a free row */
    /* Why it is released. First list: functions that give the GIL up because another thread asked; second:
     * because the code let go. Nothing but the callers tells, since a voluntary release may find a request
     * pending, and a forced one may find that the other thread has the GIL already and withdrew its request.
     */
    gp_callers releases;
    uint32_t newcomers;   /* threads met; under the lock of the stream */
    uint32_t interpreter; /* identifier of the interpreter that it belongs to; the main one's is 0 */
} gp_gil;

/* Whether it is this lock of a row. Acquire: whoever sees a row's locks sees the rest of it. */
static inline bool gp_gil_table_is(const void *const *lock, const void *object)
{
    return __atomic_load_n(lock, __ATOMIC_ACQUIRE) == object;
}

/* Which of the other GILs has this mutex, this condition, this forced-switching mutex. NULL: none. */
gp_gil *gp_gil_table_with_mutex(const void *mutex);
gp_gil *gp_gil_table_with_cond(const void *cond);
gp_gil *gp_gil_table_with_switch_mutex(const void *mutex);

/* All GILs are laid out alike: the locks of the one with this forced-switching mutex. Pure. */
gp_gil_locks gp_gil_table_laid_out(const gp_gil_locks *known, const void *switch_mutex);

/* Whether the two mutexes, the second of which is locked while the thread has the first, are those of a
 * thread that takes a GIL. Pure. */
static inline bool gp_gil_table_recognise(const gp_gil_locks *known, const void *first, const void *second)
{
    return (const char *)second - (const char *)first ==
           (const char *)known->switch_mutex - (const char *)known->mutex;
}

/* Have the hooks look for these locks, at any time. */
void gp_gil_table_publish(gp_gil *gil, const gp_gil_locks *locks);

/* A row for one more GIL, NULL if there is none left. Under the table's lock. */
gp_gil *gp_gil_table_add(const gp_gil_locks *locks, uint32_t interpreter);

/* Forget a GIL. Under the table's lock. */
void gp_gil_table_remove(gp_gil *gil);

void gp_gil_table_lock(void);
bool gp_gil_table_try_lock(void);
void gp_gil_table_unlock(void);

/* The lock of a GIL's stream. */
void gp_gil_lock(gp_gil *gil);
bool gp_gil_try_lock(gp_gil *gil);
void gp_gil_unlock(gp_gil *gil);

/* Whether the calling thread, interrupted by a signal, has one of these locks or waits for it: then its
 * handler must not wait for any. */
bool gp_gil_table_is_locking(void);

/* Around a fork by a thread with the main GIL: take all these locks, so that the child finds nothing half
 * done. Without that GIL another action at the fork may wait for it, and so for a thread that waits for us.
 * In the child they are made anew: false if the main GIL's books may be half kept. */
void gp_gil_table_about_to_fork(void);
void gp_gil_table_forked_in_parent(void);
bool gp_gil_table_forked_in_child(void);

#endif
