#ifndef GP_THREAD_H
#define GP_THREAD_H

/* A thread's record: what the tracer keeps of one operating system thread, for each GIL that it has taken.
 * gp_threads.h makes records, and never frees one: a thread's local storage is reached again after its
 * destructors have run.
 *
 * Written under the mutex of that GIL, by the thread itself, or by another one while this one waits. Only
 * gp_gil_state_take writes without the mutex: the thread has the GIL then. So others read under the mutex and
 * with the GIL, or between gp_gil_state_read_begin and _end. "Owner": only the thread itself reads and
 * writes. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/gp_ring.h"

typedef enum {
    GP_OFF,  /* runs native code or is blocked, without the GIL */
    GP_WAIT, /* wants the GIL */
    GP_HOLD, /* has it */
} gp_state;

enum {
    GP_THREADS_MAX = 1 << 18, /* threads at a time */
    GP_THREAD_PAGE = 256,     /* tables by gp_thread.index grow by as many */
};

/* Instead of a time in gp_thread.asked_at. */
enum {
    GP_ASKED_UNSEEN = 0,  /* its call is older than our watching */
    GP_ASKED_AT_ONCE = 1, /* got the mutex without blocking: not worth a stamp */
};

/* In a label: the thread has come to the end of its Python code. */
#define GP_LABEL_ENDED ((uint32_t)1 << 31)

typedef struct gp_thread gp_thread;
typedef struct gp_gil_state gp_gil_state;

struct gp_thread {
    /* the interval that is under way */
    _Alignas(GP_RING_LINE) gp_state state;
    uint32_t generation; /* of the GIL's watching: when the fields here were valid */
    uint64_t since;      /* when the state began; 0: before anything was watched */
    uint64_t asked_at;   /* when it last asked for the GIL's mutex, or GP_ASKED_ */
    bool blocked;        /* it had to wait for that */
    bool leisurely;      /* owner: its last absence was long, so it stamps when it asks */
    bool booking;        /* it is booking without the mutex, in gp_gil_state_take */

    /* the account used last, so that the common case of one session needs no look-up */
    uint64_t account_session;
    struct gp_account *account;

    const struct gp_callers_path *release_path; /* owner: by which it came to release the GIL */

    uint64_t cpu_since; /* owner: its CPU time, nanoseconds, when its hold began; 0: not known */

    gp_thread *previous_waiter, *next_waiter; /* among those in GP_WAIT */
    const gp_gil_state *gil_state;            /* of the GIL that this record is about */

    /* owner: that GIL, and the thread's record at another one */
    struct gp_gil *gil;
    gp_thread *next_elsewhere;
    gp_thread *sibling; /* registered before by the same thread; for the end of the thread */

    /* identity; written at registration */
    uint32_t index;
    uint64_t born; /* 0: was alive before anything was watched */
    int64_t native_id;

    const void *thread_state; /* the interpreter's, when it last took the GIL while somebody watched */

    /* written by the thread itself without a lock */
    _Atomic uint64_t os_name[2]; /* its characters; see gp_thread_read_name */
    _Atomic uint32_t label;      /* what the caller of gp_tracer_label gave; 0: none */
    _Atomic bool exited;
    _Atomic uint64_t ended_at; /* valid if exited */
};

/* The operating system's name, at most 15 characters. A name that changes meanwhile may come out mixed. */
static inline void gp_thread_read_name(const gp_thread *thread, char name[16])
{
    for (int i = 0; i < 2; i++) {
        /* relaxed: it orders nothing */
        uint64_t part = atomic_load_explicit(&thread->os_name[i], memory_order_relaxed);
        memcpy(name + 8 * i, &part, sizeof part);
    }
}

static inline void gp_thread_write_name(gp_thread *thread, const char name[16])
{
    for (int i = 0; i < 2; i++) {
        uint64_t part;
        memcpy(&part, name + 8 * i, sizeof part);
        atomic_store_explicit(&thread->os_name[i], part, memory_order_relaxed); /* as above */
    }
}

/* How many threads have exited: tells whether one of those that wait may have. */
extern _Atomic uint64_t gp_thread_exits;

/* The thread exits, which has its last moment `now`. Any thread. */
void gp_thread_exit(gp_thread *thread, uint64_t now);

/* When the thread's part in a session that is read at `now` ends: it may have exited. */
uint64_t gp_thread_end_of(const gp_thread *thread, uint64_t now);

#endif
