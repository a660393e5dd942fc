#ifndef GP_LOCK_STATE_H
#define GP_LOCK_STATE_H

/* The one object of the tracer of locks: whatever it keeps for the whole process, and changes. Only the files
 * of locks/ use it. Locks are taken in this order: control, books, names. Hooks only try them. */

#include <pthread.h>

#include "base/gp_rows.h"
#include "books/gp_places.h"
#include "hooks/gp_hooks.h"
#include "locks/gp_lock_trace.h"
#include "locks/gp_lock_waiters.h"

enum {
    GP_LOCK_ACCOUNTS_MAX = 1 << 16, /* threads with a name of their own; further ones share account 0 */
    GP_LOCK_REGISTERS = 6,          /* that a function must restore, on x86-64 */
    GP_LOCK_SPIN_SITES = 8,         /* the compiler copies the loop in which threads spin */
};

typedef enum {
    GP_LOCK_CALL_WAIT,
    GP_LOCK_CALL_CLOCKWAIT,
    GP_LOCK_CALL_TIMEDWAIT,
    GP_LOCK_CALL_POST,
    GP_LOCK_CALL_YIELD,
    GP_LOCK_CALLS, /* their number */
} gp_lock_call;

typedef struct {
    int64_t native_id;
    uint32_t label;
    _Atomic bool ended; /* set last */
    uint64_t cpu_ns;    /* that it had used, if it has ended */
    char os_name[GP_LOCK_NAME_MAX];
} gp_lock_account;

/* Where threads spin for a lock: the return address of the yield, and which register has the lock. */
typedef struct {
    _Atomic(const void *) at; /* NULL: none yet. Set last */
    int in_register;          /* -1: none that is known */
} gp_lock_spin_site;

/* What a trial has shown: one thread waits for a lock, which another releases. */
typedef struct {
    uintptr_t lock;
    _Atomic int waits;        /* calls that waited for that lock, ... */
    _Atomic int waits_beside; /* ... and for something else */
    _Atomic uintptr_t sem;
    _Atomic bool posted; /* on that semaphore, by the thread that released the lock */
    _Atomic int yields;
    _Atomic int registers[GP_LOCK_REGISTERS]; /* how often each had the lock's address at a yield */
    _Atomic(const void *) yields_at;          /* return address */
    int frees_at; /* at the yield of this number, or when it sleeps, the thread releases the lock, which it
                     has itself; 0: never */
    bool freed;
} gp_lock_trial;

extern __attribute__((visibility("hidden"))) struct gp_lock_state {
    /* Hooks read these without a lock. Written under `control` while no hook is installed. */
    const gp_lock_host *host;
    uint64_t gap_ticks, pause_ticks;
    _Atomic bool running;           /* whether any session does */
    _Atomic uint32_t stacks_wanted; /* sessions that want whole stacks */
    gp_hook hooks[GP_LOCK_CALLS];
    void *next[GP_LOCK_CALLS]; /* of the hooks; may change meanwhile: relaxed */

    gp_lock_spin_site spin_sites[GP_LOCK_SPIN_SITES]; /* filled from the front while `learning_spin` */
    _Atomic bool learning_spin;

    gp_lock_waiters waiters;

    pthread_mutex_t books_lock;
    gp_lock_books books;
    gp_lock_journal *spares; /* by next_read */
    size_t spares_at;        /* journals, until those of ended threads are looked for */
    gp_lock_account *accounts;
    uint32_t account_count; /* without account 0 */
    uint64_t refused;       /* atomic: threads without a journal, places and locks without a name */

    pthread_mutex_t names_lock;
    gp_places places, locks; /* where threads were; what they waited for */
    gp_rows stacks;          /* GP_LOCK_ROW_STACK; the number of a stack is that of its row + 1 */
    gp_buffer text;

    pthread_mutex_t control_lock; /* start, stop, trial */
    bool prepared, learnt;
    const char *refusal; /* why not */
    pthread_key_t exit_key;
} gp_lock_state;

/* In the middle of the interpreter's own calls a lock is only tried for some time. */
bool gp_lock_try(pthread_mutex_t *lock);

/* The calling thread's journal; NULL: it gets none. Leaves errno alone. */
gp_lock_journal *gp_lock_own_journal(void);

/* The calling thread has ended, or was forked. */
void gp_lock_end_journal(gp_lock_journal *journal);

/* Wrappers, which stand in the slots. */
void gp_lock_hooks_fill(void);

/* While a thread is on trial its calls are noted there, and nowhere else. NULL: no more. */
void gp_lock_hooks_try(gp_lock_trial *trial, bool waits);

/* A thread spins there for its lock, whose address is in this register: -1: in none. */
void gp_lock_learn_spin(const void *at, int in_register);

/* Whether the calling thread is inside a hook, which a signal has interrupted. */
bool gp_lock_hooks_busy(void);

/* Whether the library has all functions that the interpreter imports. */
bool gp_lock_hooks_complete(void);

/* Try how the interpreter waits for a lock. Under `control`, while no session runs. */
gp_status gp_lock_trial_run(const char **reason);

#endif
