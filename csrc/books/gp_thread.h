#ifndef GP_THREAD_H
#define GP_THREAD_H

/* A thread's record: what the tracer keeps of one operating system thread, for each GIL that it has taken.
 * gp_threads.h makes records, and never frees one: a thread's local storage is reached again after its
 * destructors have run.
 *
 * "Owner": only the thread itself reads and writes. What the books know of the thread is guarded by the lock
 * of the GIL's stream (gp_stream.h). */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>

#include "base/gp_interval.h"
#include "books/gp_places.h"
#include "stream/gp_journal.h"

typedef enum {
    GP_OFF,  /* runs native code or is blocked, without the GIL */
    GP_WAIT, /* wants the GIL */
    GP_HOLD, /* has it */
} gp_state;

enum {
    GP_THREADS_MAX = 1 << 18, /* threads at a time */
    GP_THREAD_PAGE = 256,     /* tables by gp_thread.index grow by as many */
};

/* In a label: the thread has come to the end of its Python code. */
#define GP_LABEL_ENDED ((uint32_t)1 << 31)

typedef struct gp_thread gp_thread;
typedef struct gp_gil_state gp_gil_state;

/* A place where the thread has let its GIL go, to find it again in its own memory. */
typedef struct {
    const void *instruction; /* in its code object; never NULL */
    uint64_t release;        /* as the note of a voluntary one has it */
} gp_recent_place;

enum {
    GP_RECENT_PLACES = 8, /* a power of 2 */
};

/* The path of calls by which the thread let its GIL go last, if it is one of two calls at most
 * (gp_callers.h); of one call both are the same. */
typedef struct {
    uintptr_t first, second; /* return addresses; 0: there is none */
    ptrdiff_t offset;        /* of the second, from the frame */
} gp_short_path;

/* How much of a stack is looked at where the thread lets its GIL go. */
typedef enum {
    GP_DEPTH_NONE,
    GP_DEPTH_ONE,
    GP_DEPTH_ALL,
} gp_depth;

/* What the thread has added up of its own notes, which is quicker than to ask the books. Ticks. */
typedef struct {
    uint64_t hold, wait, off;
    uint64_t since;      /* of the hold that follows */
    uint64_t counted;    /* notes */
    uint32_t generation; /* of the watching in which that is valid */
} gp_own_times;

struct gp_thread {
    gp_journal journal; /* what it notes */

    /* owner */
    gp_short_path usual;                        /* only if it is told apart what the thread does */
    gp_depth usual_depth;                       /* while all that the owner does is as usual */
    const struct gp_callers_path *release_path; /* by which it came to release the GIL */
    uint32_t places_since;     /* `changes` of the GIL: while it is the same, the places below are valid */
    struct gp_gil *gil;        /* which this record is about ... */
    gp_thread *next_elsewhere; /* ... and the thread's record at another one */
    gp_thread *sibling;        /* registered before by the same thread; for the end of the thread */
    gp_recent_place recent[GP_RECENT_PLACES];
    gp_own_times own;

    /* the books': the interval that is under way */
    _Alignas(GP_JOURNAL_LINE) gp_state state;
    uint32_t last_place; /* a number of gp_places.h: where it last let go */
    uint64_t since;      /* when the state began; 0: before anything was watched */

    /* what it runs for, and behind whom it waits (gp_tag_state.h) */
    uint32_t tag, longest_turn_tag;
    uint64_t tag_since;
    uint64_t turn, turn_ticks, longest_turn_ticks; /* of its wait; a turn of somebody who holds */
    const gp_thread *longest_turn;                 /* whose; NULL: nobody's */

    /* the account used last, so that the common case of one session needs no look-up */
    uint64_t account_session;
    struct gp_account *account;

    gp_thread *previous_waiter, *next_waiter; /* among those in GP_WAIT */
    const gp_gil_state *_Atomic gil_state;    /* of the GIL that this record is about; others compare it */

    /* identity; written at registration */
    uint32_t index;
    uint64_t born; /* 0: was alive before anything was watched */
    int64_t native_id;

    /* written by the thread itself without a lock */
    _Atomic uint64_t os_name[2]; /* its characters; see gp_thread_read_name */
    _Atomic uint32_t label;      /* what the caller of gp_tracer_label gave; 0: none */
    _Atomic uint32_t native;     /* what native code it ran last with the GIL (gp_natives.h); 0: not known */
    _Atomic bool exited;
    _Atomic uint64_t ended_at; /* valid if exited */

    /* memory that is not touched costs nothing */
    gp_note notes[GP_JOURNAL_NOTES];
    gp_cpu_span cpu_spans[GP_JOURNAL_NOTES];
    gp_paths paths; /* owner: where stacks are wanted; valid as `recent` is */
};

/* Add up the notes that have come. Owner; once it has begun to, no later than GP_JOURNAL_NOTES of them. */
void gp_thread_add_up(gp_thread *thread);

/* Whether the thread adds up its notes. Owner. */
static inline bool gp_thread_adds_up(const gp_thread *thread)
{
    return thread->own.generation == thread->journal.generation;
}

/* The thread whose journal it is. */
static inline gp_thread *gp_thread_of(gp_journal *journal)
{
    return (gp_thread *)((char *)journal - offsetof(gp_thread, journal));
}

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
