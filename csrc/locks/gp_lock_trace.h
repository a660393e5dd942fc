#ifndef GP_LOCK_TRACE_H
#define GP_LOCK_TRACE_H

/* The tracer of locks: hooks the import slots through which the interpreter sleeps and wakes
 * (`sem_wait` and its kin, `sem_post`, `sched_yield`), and keeps books of who waited for which lock, where,
 * and behind whom. Works with and without a GIL. Knows no Python: what it needs of the interpreter comes in a
 * gp_lock_host.
 *
 * Nothing here needs a GIL. All functions take locks of their own, whose holders wait for nothing that needs
 * a GIL: call them without it, so that another action at a fork may have it. All state is in one object
 * (gp_lock_state.h): link it into one extension module only. */

#include <stddef.h>

#include "base/gp_buffer.h"
#include "base/gp_status.h"
#include "locks/gp_lock_books.h"
#include "recording/gp_recorder.h"

enum {
    GP_LOCK_STACK_MAX = 16 << 10, /* bytes: a semaphore of a thread that parks is so near on its stack */
};

/* What the code of a level of the stack is to the threads that wait there. */
typedef enum {
    GP_LOCK_ROLE_USER,
    GP_LOCK_ROLE_HELPER, /* of threading or queue: the level that called it is where the thread waits */
    GP_LOCK_ROLE_WORK,   /* the same, and it waits for work, as Condition.wait does */
} gp_lock_role;

/* First number of the description of a lock (gp_lock_read). */
typedef enum {
    GP_LOCK_LOCK,    /* of the threading module, or one like it: then type, name, owner (strings), address */
    GP_LOCK_OBJECT,  /* the lock that an object of a free-threaded build has in it: the same */
    GP_LOCK_RUNTIME, /* of the interpreter: name (string) */
    GP_LOCK_STOP,    /* all threads were stopped */
    GP_LOCK_WORK,    /* work: place + 1 of the function that waits for it, 0: not known */
    GP_LOCK_OTHER,   /* not known: address */
    GP_LOCK_PART,    /* a lock that an object of a library has, which is named instead: GP_LOCK_LOCK,
                        GP_LOCK_OBJECT or GP_LOCK_WORK, then type, name, owner, part (strings), address */
    GP_LOCK_STOP_BY, /* all threads were stopped: by what (string) */
} gp_lock_what;

/* Flags of what gp_lock_read appends. */
enum {
    GP_LOCK_FINAL = 1,      /* the session has ended */
    GP_LOCK_HOOKS_LOST = 2, /* another library replaced the hooks */
    GP_LOCK_SPINS = 4,      /* attempts of threads that do not sleep are seen */
    GP_LOCK_CPU = 8,        /* CPU times are there; recordings from before have none */
};

/* What must be told of the interpreter. All stays valid. Threads call it while they may be detached: what
 * they look at is their own stack, and memory that is read safely. */
typedef struct {
    const void *interpreter; /* an address inside the object that contains it */
    bool parks;              /* whether threads park: their semaphores lie behind the address waited for */
    /* What shifts the rhythm in which the calling thread looks at a lock while it spins (gp_lock_rhythm). The
     * trial checks it. */
    uint32_t (*spin_phase)(void);
    /* The calling thread's innermost level that runs Python code, with its key, proof and first line; NULL:
     * it has none. Then the next one around it. */
    const void *(*innermost)(gp_lock_spot *spot);
    const void *(*outer)(const void *level, gp_lock_spot *spot);
    /* Append line, function and file, as a recording has them (PLAC). Returns the role. */
    gp_lock_role (*describe)(const gp_lock_spot *spot, gp_buffer *text);
    /* Append what the lock at `key` is (gp_lock_what and what follows), for which the calling thread waits;
     * `level` is its innermost, NULL if it has none. */
    void (*name)(uintptr_t key, bool parked, const void *level, gp_buffer *text);
    /* Whether the calling thread has the lock at `key` itself: calls that enter an object's critical section
     * twice spin for their own lock. */
    bool (*has)(uintptr_t key);
    /* Append by what the calling thread, which lets all others go on, had stopped them: GP_LOCK_STOP_BY and
     * what follows; GP_LOCK_STOP if it can't be told. */
    void (*name_stop)(gp_buffer *text);

    /* A lock of the interpreter's that takes and releases no GIL. */
    void *(*new_lock)(void);
    void (*acquire)(void *lock);
    void (*release)(void *lock);
    void (*free_lock)(void *lock);
} gp_lock_host;

/* Once, before all else here. Without a GIL: takes the loader's lock. */
void gp_lock_prepare(const gp_lock_host *host);

/* Whether the locks of this interpreter can be traced. Tries it at the first call: a native thread waits for
 * a lock. On GP_EUNSUPPORTED *reason says why in one line, and nothing is changed. */
gp_status gp_lock_learn(const char **reason);

/* When threads that spin look at their lock again, as gp_lock_learn has found; 0, 0: none spins, or not
 * known. */
gp_lock_rhythm gp_lock_spins(void);
/* What a session notes beside the sums. */
typedef struct {
    gp_recorder
        *recorder;   /* gets what is booked; may be NULL. It is finished before the session is forgotten */
    bool timeline;   /* `recorder` gets the single waits, too */
    bool stacks;     /* of these */
    uint64_t origin; /* ticks: when the recording begins; 0: with the session */
} gp_lock_wishes;

/* Begin a session, with hooks installed if it is the first. GP_EUNSUPPORTED, GP_ENOMEM, GP_ESYSTEM. */
gp_status gp_lock_start(gp_lock_session **session, const gp_lock_wishes *wishes, const char **reason);

/* End it; hooks are removed with the last. Nothing if it has ended. */
void gp_lock_stop(gp_lock_session *session);

/* End it if need be, and free it. NULL is fine. */
void gp_lock_forget(gp_lock_session *session);

/* Append what the session has booked, up to now if it runs (LOCK, docs/recording-format.md). GP_ENOMEM. */
gp_status gp_lock_read(gp_lock_session *session, gp_buffer *buffer);

/* Attach a number to the calling thread, for the caller to find its name by later. Any thread. */
void gp_lock_label(uint32_t label);

/* Number of sessions that run. */
size_t gp_lock_sessions(void);

#endif
