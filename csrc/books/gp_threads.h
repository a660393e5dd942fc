#ifndef GP_THREADS_H
#define GP_THREADS_H

/* The register of the operating system's threads that the tracer has met. Linux only, as the tracer.
 *
 * "Under the mutex": with the mutex of the GIL that is traced; "with the GIL": that too. Nothing here takes a
 * lock but one of its own, and nothing that runs under the mutex allocates but by mmap, since malloc's locks
 * may be held by the very thread that runs a hook. */

#include <pthread.h>
#include <stddef.h>

#include "base/gp_status.h"
#include "books/gp_thread.h"

enum {
    GP_THREADS_SPARES = 256, /* found at one time; more are found at the next */
};

/* A register; empty if zeroed, with PTHREAD_MUTEX_INITIALIZER. It lasts as long as the process. */
typedef struct {
    pthread_mutex_t lock; /* for what is below: threads of several GILs may register at the same time */
    gp_thread *pages[GP_THREADS_MAX / GP_THREAD_PAGE];
    size_t count;  /* registered so far; read without the lock (gp_threads_count) */
    uint64_t lost; /* atomic */
    gp_thread *spares[GP_THREADS_SPARES];
    size_t spare_count;

    struct gp_threads_alive *alive; /* as gp_threads_list_alive has found them, sorted */
    size_t alive_count;
    pthread_key_t exit_key; /* valid if prepared */
    bool prepared;
} gp_threads;

/* Prepare the process, once: to be told when threads exit. GP_ENOMEM. */
gp_status gp_threads_prepare(gp_threads *threads);

/* List the threads that are alive: those that will turn out to have been there before anything was watched.
 * With the GIL, while no hook runs. Without /proc threads count from their first event. */
void gp_threads_list_alive(gp_threads *threads);

/* Find records to use again: of threads that exited more than one generation before `generation`, and so run
 * no hook any more. Under the mutex. */
void gp_threads_collect_spares(gp_threads *threads, uint32_t generation);

/* Whether a thread that has exited runs no code any more, its local storage gone. Leaves errno alone. */
bool gp_threads_gone(const gp_thread *thread);

/* Take back the record of a thread that is gone, which no session knows any more: the next thread may get it.
 * Under the mutex. */
void gp_threads_retire(gp_threads *threads, gp_thread *thread);

/* A record for the calling thread, which has none. The caller must adopt it. NULL without memory, which is
 * counted. Under the mutex. Leaves errno alone. */
gp_thread *gp_threads_register(gp_threads *threads);

/* Whether the thread was alive when gp_threads_list_alive was called. To be asked once of each thread: a
 * later one with the same number is another, since numbers are used again. Under the mutex. */
bool gp_threads_claim_alive(gp_threads *threads, const gp_thread *thread);

/* Read again the names of those threads that are alive and have no label: whoever made a thread may name it
 * at any time. With the GIL. */
void gp_threads_name_alive(const gp_threads *threads);

/* In a forked child: the calling thread (NULL: it has no record) has a new number, and the others are gone.
 */
void gp_threads_forked(gp_threads *threads, gp_thread *self);

/* All threads met so far, to be freed; NULL and 0 without memory. */
gp_thread **gp_threads_all(const gp_threads *threads, size_t *count);
void gp_threads_free_all(gp_thread **all, size_t count);

size_t gp_threads_count(const gp_threads *threads);
gp_thread *gp_threads_at(const gp_threads *threads, size_t index);

/* Threads that found no memory for a record. */
uint64_t gp_threads_lost(const gp_threads *threads);

#endif
