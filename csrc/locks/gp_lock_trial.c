#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/gp_clock.h"
#include "locks/gp_lock_state.h"

/* Instead of trust in offsets and registers, which differ from build to build: a native thread waits for a
 * lock of the interpreter's that the calling thread has. */

enum {
    PATIENCE_MS = 5000, /* until the thread waits, on a machine that is very busy */
};

static void sleep_ms(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* How often the calling thread yields until it sees that its own lock is free, which it is from its yield of
 * number `frees_at` on. */
static int yields_until_seen(uintptr_t lock, int frees_at)
{
    const gp_lock_host *host = gp_lock_state.host;
    gp_lock_trial trial = {.lock = lock, .frees_at = frees_at};
    host->acquire((void *)lock);
    gp_lock_hooks_try(&trial, true);
    host->acquire((void *)lock);
    gp_lock_hooks_try(NULL, false);
    host->release((void *)lock);
    return atomic_load(&trial.yields);
}

/* When a thread that spins looks at the lock again. Compilers and versions differ; what does not fit the
 * phase counts as a look after each yield. */
static gp_lock_rhythm find_rhythm(uintptr_t lock, int all)
{
    int first = yields_until_seen(lock, 1);
    if (first >= all)
        return (gp_lock_rhythm){0, (unsigned)all};
    int every = yields_until_seen(lock, first + 1) - first;
    bool fits = every > 0 && (gp_lock_state.host->spin_phase() + (uint32_t)first) % (uint32_t)every == 0;
    return (gp_lock_rhythm){fits ? (unsigned)every : 1, (unsigned)all};
}

static void *wait_for_lock(void *context)
{
    gp_lock_trial *trial = context;
    const gp_lock_host *host = gp_lock_state.host;
    gp_lock_hooks_try(trial, true);
    host->acquire((void *)trial->lock);
    host->release((void *)trial->lock);
    gp_lock_hooks_try(NULL, false);
    int yields = atomic_load(&trial->yields);
    if (yields != 0 && atomic_load(&trial->waits) != 0)
        gp_lock_state.books.rhythm = find_rhythm(trial->lock, yields);
    return NULL;
}

/* The thread blocks all signals: it must run no handler of the program. */
static int make_thread(pthread_t *thread, gp_lock_trial *trial)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, wait_for_lock, trial);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* The thread waits without a journal, so it is counted here: a post looks no further where nobody waits. */
static void release(gp_lock_trial *trial)
{
    uintptr_t sem = atomic_load(&trial->sem);
    int token = gp_lock_waiters_enter(&gp_lock_state.waiters, NULL, sem);
    gp_lock_hooks_try(trial, false);
    gp_lock_state.host->release((void *)trial->lock);
    gp_lock_hooks_try(NULL, false);
    gp_lock_waiters_leave(&gp_lock_state.waiters, sem, token);
}

static gp_status hold_up_thread(gp_lock_trial *trial, const char **reason)
{
    const gp_lock_host *host = gp_lock_state.host;
    pthread_t thread;
    host->acquire((void *)trial->lock);
    int error = make_thread(&thread, trial);
    for (int i = 0; error == 0 && i < PATIENCE_MS && atomic_load(&trial->waits) == 0; i++)
        sleep_ms();
    release(trial);
    if (error == 0)
        pthread_join(thread, NULL);
    else
        *reason = "a thread that tries how the interpreter waits for a lock can't be made";
    return error == 0 ? GP_OK : GP_EUNSUPPORTED;
}

static gp_status judge(const gp_lock_trial *trial, const char **reason)
{
    if (atomic_load(&trial->waits) == 0)
        *reason = atomic_load(&trial->waits_beside) != 0
                      ? "this interpreter does not keep a lock's address where gilprobe looks for it"
                      : "this interpreter waits for its locks in a way that gilprobe does not know";
    else if (!atomic_load(&trial->posted))
        *reason = "this interpreter does not wake a thread that waits where it releases the lock";
    else
        return GP_OK;
    return GP_EUNSUPPORTED;
}

/* The register that always had the lock's address. Where the compiler has copied the loop, the other copies
 * are found later. */
static void learn_spins(const gp_lock_trial *trial)
{
    int yields = atomic_load(&trial->yields), found = -1;
    for (int i = 0; i < GP_LOCK_REGISTERS; i++)
        if (atomic_load(&trial->registers[i]) == yields && found < 0)
            found = i;
    if (yields != 0)
        gp_lock_learn_spin(atomic_load(&trial->yields_at), found);
}

gp_status gp_lock_trial_run(const char **reason)
{
    gp_lock_trial trial = {.lock = (uintptr_t)gp_lock_state.host->new_lock()};
    gp_lock_state.books.rhythm = (gp_lock_rhythm){0, 0};
    if (trial.lock == 0)
        return GP_ENOMEM;
    gp_status status = gp_hooks_install(gp_lock_state.hooks, GP_LOCK_CALLS, false);
    if (status != GP_OK) {
        *reason = "the interpreter's import slots can't be made writable";
    } else {
        status = hold_up_thread(&trial, reason);
        gp_hooks_remove(gp_lock_state.hooks, GP_LOCK_CALLS);
    }
    gp_lock_state.host->free_lock((void *)trial.lock);
    if (status == GP_OK)
        status = judge(&trial, reason);
    if (status == GP_OK)
        learn_spins(&trial);
    return status;
}
