#define _GNU_SOURCE
#include "trace/gp_tracer.h"

#include <errno.h>
#include <string.h>

#include "trace/gp_tracer_object.h"

#if defined(__GLIBC__)
/* glibc reserves room for this in every thread; one load instead of a call on the hot path */
#define GP_THREAD_LOCAL __attribute__((tls_model("initial-exec"))) static __thread
#else
#define GP_THREAD_LOCAL static __thread
#endif

enum {
    PAUSES = 4,        /* between two looks at a mutex that is taken */
    BLOCKED_NS = 1000, /* a free lock takes 10 to 100 */
    LEISURELY_NS = 2000,
    PATIENCE_NS = 300, /* what our bookings can add to the time for which a GIL's mutex is held */
};

static gp_gil *const main_gil = &gp_tracer.main_gil;

GP_THREAD_LOCAL gp_thread *current;       /* the calling thread's record at the main GIL */
GP_THREAD_LOCAL gp_thread *elsewhere;     /* and its records at the others, linked */
GP_THREAD_LOCAL const void *locked[2];    /* the last two mutexes, but for the main GIL's */
GP_THREAD_LOCAL gp_wrappers_notes *notes; /* not NULL: this thread is in the handshake */
GP_THREAD_LOCAL bool hidden;              /* it has no record, and gets none */
GP_THREAD_LOCAL bool taking;              /* in take_gil, from signal(switch_cond) to unlock(mutex) */

static int hooked_lock(pthread_mutex_t *mutex);
static int hooked_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
static int hooked_signal(pthread_cond_t *cond);
static int hooked_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
static int hooked_unlock(pthread_mutex_t *mutex);

static const gp_hook wrappers[GP_CALLS] = {
    [GP_CALL_LOCK] = {.name = "pthread_mutex_lock", .wrapper = hooked_lock, .library = pthread_mutex_lock},
    [GP_CALL_TIMEDWAIT] = {.name = "pthread_cond_timedwait",
                           .wrapper = hooked_timedwait,
                           .library = pthread_cond_timedwait},
    [GP_CALL_SIGNAL] = {.name = "pthread_cond_signal",
                        .wrapper = hooked_signal,
                        .library = pthread_cond_signal},
    [GP_CALL_WAIT] = {.name = "pthread_cond_wait", .wrapper = hooked_wait, .library = pthread_cond_wait},
    [GP_CALL_UNLOCK] = {.name = "pthread_mutex_unlock",
                        .wrapper = hooked_unlock,
                        .library = pthread_mutex_unlock},
};

enum {
    LASTING_HOOKS = GP_CALL_WAIT, /* all but the last, which only the handshake needs */
};

/* Relaxed: an installation may change it meanwhile, to a function that is as good. */
static inline void *next_of(gp_call call)
{
    return __atomic_load_n(&gp_tracer.hooks[call].next, __ATOMIC_RELAXED);
}

/* Whether nobody stands between us and the library's pthread_mutex_lock. */
static inline bool hooks_are_direct(void)
{
    return next_of(GP_CALL_LOCK) == (void *)pthread_mutex_lock;
}

static int call_lock(pthread_mutex_t *mutex)
{
    return ((int (*)(pthread_mutex_t *))next_of(GP_CALL_LOCK))(mutex);
}

static int call_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    return ((int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))next_of(
        GP_CALL_TIMEDWAIT))(cond, mutex, until);
}

static int call_signal(pthread_cond_t *cond)
{
    return ((int (*)(pthread_cond_t *))next_of(GP_CALL_SIGNAL))(cond);
}

static int call_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    return ((int (*)(pthread_cond_t *, pthread_mutex_t *))next_of(GP_CALL_WAIT))(cond, mutex);
}

static int call_unlock(pthread_mutex_t *mutex)
{
    return ((int (*)(pthread_mutex_t *))next_of(GP_CALL_UNLOCK))(mutex);
}

/* ---- threads ---- */

/* The link to the calling thread's record at this GIL. */
static gp_thread **record_at(const gp_gil *gil)
{
    gp_thread **at = &elsewhere;
    if (gil == main_gil)
        return &current;
    while (*at != NULL && (*at)->gil != gil)
        at = &(*at)->next_elsewhere;
    return at;
}

/* Whoever was alive when the trace began counts from there at the main GIL. At another GIL a thread counts
 * from its first call, which may be older than our watching. */
static void adopt(const gp_gil *gil, gp_thread *thread, uint64_t asked_at, uint64_t now)
{
    bool before =
        gil == main_gil ? gp_threads_claim_alive(&gp_tracer.threads, thread) : asked_at == GP_ASKED_UNSEEN;
    gp_gil_state_adopt(&gil->state, thread, before ? 0 : now);
    thread->asked_at = asked_at;
}

/* Slow path of follow. */
__attribute__((noinline, cold)) static gp_thread *begin_to_follow(gp_gil *gil, uint64_t asked_at)
{
    if (hidden)
        return NULL;
    gp_thread **record = record_at(gil);
    uint64_t now = asked_at > GP_ASKED_AT_ONCE ? asked_at : gp_clock_ticks();
    if (*record == NULL) {
        *record = gp_threads_register(&gp_tracer.threads);
        if (*record == NULL)
            return NULL;
        (*record)->gil = gil;
        (*record)->next_elsewhere = NULL;
        if (current != NULL && current != *record)
            atomic_store_explicit(&(*record)->label, current->label, memory_order_relaxed);
    }
    if ((*record)->generation != gil->state.generation)
        adopt(gil, *record, asked_at, now);
    return *record;
}

/* The calling thread's record, valid for this generation; NULL without memory. Under the GIL's mutex. */
static inline gp_thread *follow(gp_gil *gil, uint64_t asked_at)
{
    if (__builtin_expect(gil != main_gil, 0))
        return begin_to_follow(gil, asked_at);
    gp_thread *thread = current;
    if (__builtin_expect(thread == NULL || thread->generation != main_gil->state.generation, 0))
        return begin_to_follow(gil, asked_at);
    return thread;
}

/* ---- the wrappers: run in every thread, in the middle of the interpreter's own calls ---- */

static void note(gp_call call, const void *object)
{
    /* the GIL may be held for minutes while the handshake wants it back: every round of waiting is one step
     */
    if (call == GP_CALL_TIMEDWAIT && notes->count > 0 && notes->count <= GP_HANDSHAKE_MAX &&
        notes->steps[notes->count - 1].call == call && notes->steps[notes->count - 1].object == object)
        return;
    if (notes->count < GP_HANDSHAKE_MAX)
        notes->steps[notes->count] = (gp_handshake_step){call, object};
    notes->count++;
}

#if defined(__GLIBC__)
/* <sys/single_threaded.h>, glibc 2.32; weak, so that older ones are served too */
extern char __libc_single_threaded __attribute__((weak));

static inline bool alone(void)
{
    return &__libc_single_threaded != NULL && __libc_single_threaded;
}
#else
static inline bool alone(void)
{
    return false;
}
#endif

static inline void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The GIL's mutex is held for longer than without us, and to sleep for that costs more than the time. */
static int lock_soon(pthread_mutex_t *mutex, uint64_t since)
{
    int status = EBUSY;
    while (status == EBUSY && gp_clock_ticks() - since < gp_tracer.patience_ticks) {
        for (int i = 0; i < PAUSES; i++)
            pause_briefly();
        status = pthread_mutex_trylock(mutex);
    }
    return status;
}

/* Another thread has the GIL's mutex, or an interposer must see the call itself. Behind an interposer only
 * the time shows whether the call blocked. */
__attribute__((noinline, cold)) static int lock_slowly(pthread_mutex_t *mutex, uint64_t *asked_at,
                                                       bool *blocked)
{
    uint64_t before = *asked_at != GP_ASKED_AT_ONCE ? *asked_at : gp_clock_ticks();
    int status = hooks_are_direct() ? lock_soon(mutex, before) : EBUSY;
    if (status == EBUSY)
        status = call_lock(mutex);
    *blocked = hooks_are_direct() || gp_clock_ticks() - before >= gp_tracer.blocked_ticks;
    if (*blocked)
        *asked_at = before;
    return status;
}

/* Without an atomic operation in a process of one thread: glibc's pthread_mutex_lock does without it there,
 * unlike pthread_mutex_trylock, and it can't block. EBUSY if it might. */
static inline int lock_at_once(pthread_mutex_t *mutex)
{
    return alone() ? call_lock(mutex) : hooks_are_direct() ? pthread_mutex_trylock(mutex) : EBUSY;
}

static inline void note_lock(gp_gil *gil, uint64_t asked_at, bool blocked)
{
    gp_thread *thread = gp_gil_state_running(&gil->state) ? follow(gil, asked_at) : NULL;
    if (__builtin_expect(thread != NULL, 1))
        gp_gil_state_lock(thread, asked_at, blocked);
}

/* Whether there are recordings that the threads of the program have to write. Relaxed: the thread that began
 * the recording knows, and for the others the moment does not matter. */
static inline bool nobody_writes(void)
{
    return atomic_load_explicit(&gp_recorders_without_thread, memory_order_relaxed) != 0;
}

/* Lock the row of another GIL than the main one: its sessions may end at any time, and the row be given to
 * another GIL. Returns whether it still belongs to the GIL with this lock, and is traced. */
static bool lock_row(gp_gil *gil, const void *const *lock, const void *is)
{
    pthread_mutex_lock(&gil->lock);
    return *lock == is && gp_gil_state_running(&gil->state);
}

static void unlock_row(gp_gil *gil)
{
    pthread_mutex_unlock(&gil->lock);
}

__attribute__((noinline, cold)) static void note_lock_elsewhere(gp_gil *gil, const void *mutex,
                                                                uint64_t asked_at, bool blocked)
{
    if (lock_row(gil, &gil->locks.mutex, mutex))
        note_lock(gil, asked_at, blocked);
    unlock_row(gil);
}

__attribute__((noinline)) static int lock_gil_mutex(gp_gil *gil, pthread_mutex_t *mutex)
{
    if (__builtin_expect(current == NULL && !hidden && nobody_writes(), 0))
        gp_recorder_bring_threads(); /* the process has a second thread */
    /* Reading the clock costs more than the lock, so it is read only if the lock blocks, or if the thread is
     * in no hurry: after a longer time off, getting even a free GIL takes its time, as its memory has left
     * the caches. */
    uint64_t asked_at = current != NULL && current->leisurely ? gp_clock_ticks() : GP_ASKED_AT_ONCE;
    bool blocked = false;
    int status = lock_at_once(mutex);
    if (__builtin_expect(status != 0, 0))
        status = lock_slowly(mutex, &asked_at, &blocked);
    if (__builtin_expect(status != 0, 0))
        return status;
    if (gil == main_gil)
        note_lock(gil, asked_at, blocked);
    else
        note_lock_elsewhere(gil, mutex, asked_at, blocked);
    return status;
}

/* The same with fewer stores, for a thread in a hurry: the lock's atomic operation waits for all of them. */
__attribute__((noinline)) static int lock_main_mutex(pthread_mutex_t *mutex)
{
    const gp_thread *thread = current;
    if (__builtin_expect(thread == NULL || thread->leisurely || lock_at_once(mutex) != 0, 0))
        return lock_gil_mutex(main_gil, mutex);
    note_lock(main_gil, GP_ASKED_AT_ONCE, false);
    return 0;
}

/* Whether GILs other than the main one may be known. */
static inline bool others(void)
{
    return __builtin_expect(__atomic_load_n(&gp_tracer.other_count, __ATOMIC_RELAXED) != 0, 0);
}

static int hooked_lock(pthread_mutex_t *mutex)
{
    if (gp_gil_table_is(&main_gil->locks.mutex, mutex))
        return lock_main_mutex(mutex);
    gp_gil *other = others() ? gp_gil_table_with_mutex(mutex) : NULL;
    if (__builtin_expect(notes != NULL, 0))
        note(GP_CALL_LOCK, mutex);
    locked[0] = locked[1];
    locked[1] = mutex; /* also one of a row, which may be gone before the signal */
    return other != NULL ? lock_gil_mutex(other, mutex) : call_lock(mutex);
}

__attribute__((noinline, cold)) static void wait_elsewhere(gp_gil *gil, const void *cond)
{
    gp_thread *thread = lock_row(gil, &gil->locks.cond, cond) ? follow(gil, GP_ASKED_UNSEEN) : NULL;
    if (thread != NULL)
        gp_gil_state_wait(&gil->state, thread, gp_clock_ticks());
    unlock_row(gil);
}

static int hooked_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    gp_gil *other;
    if (gp_gil_table_is(&main_gil->locks.cond, cond)) {
        gp_thread *thread = gp_gil_state_running(&main_gil->state) ? follow(main_gil, GP_ASKED_UNSEEN) : NULL;
        if (thread != NULL)
            gp_gil_state_wait(&main_gil->state, thread, gp_clock_ticks());
    } else if (others() && (other = gp_gil_table_with_cond(cond)) != NULL) {
        wait_elsewhere(other, cond);
    } else if (__builtin_expect(notes != NULL, 0)) {
        note(GP_CALL_TIMEDWAIT, cond);
    }
    return call_timedwait(cond, mutex, until);
}

void gp_wrappers_locate(gp_call_stack *stack, gp_site_key *keys, bool whole)
{
    if (whole) {
        stack->depth = gp_tracer.host->stack(keys, GP_STACK_MAX, &stack->truncated);
    } else {
        keys[0] = gp_tracer.host->here();
        stack->depth = keys[0].code != NULL;
    }
}

/* The last act of drop_gil under the GIL's mutex. `frame` is the wrapper's. */
__attribute__((noinline)) static void dropped(gp_gil *gil, const char *frame)
{
    gp_thread *thread = follow(gil, GP_ASKED_UNSEEN);
    if (__builtin_expect(thread == NULL, 0))
        return;
    uint64_t now = gp_clock_ticks();
    /* at once: what is done below is no part of the hold */
    uint64_t cpu = __builtin_expect(gil->state.wanting_cpu != 0, 0) ? gp_clock_thread_cpu_ns() : 0;
    bool forced = gp_tracer.releases_told_apart &&
                  gp_callers_judge(&gil->releases, frame, &thread->release_path) == GP_CALLERS_FIRST;
    gp_site_key keys[GP_STACK_MAX];
    gp_call_stack stack = {.keys = keys};
    if (gil->state.wanting_sites != 0)
        gp_wrappers_locate(&stack, keys, gil->state.wanting_stacks != 0);
    gp_gil_state_drop(&gil->state, thread, forced, &stack, now);
    if (__builtin_expect(cpu != 0, 0))
        gp_gil_state_book_cpu(&gil->state, thread, cpu);
}

/* The end of take_gil: the calling thread has the GIL. */
__attribute__((noinline)) static int unlock_taken(pthread_mutex_t *mutex)
{
    taking = false;
    gp_thread *thread = gp_gil_state_running(&main_gil->state) ? follow(main_gil, GP_ASKED_UNSEEN) : NULL;
    if (__builtin_expect(thread == NULL, 0))
        return call_unlock(mutex);
    if (__builtin_expect(gp_tracer.watchers != 0, 0))
        thread->thread_state = gp_tracer.host->thread_state();
    gp_gil_state_acquire(&main_gil->state, thread);
    int status = call_unlock(mutex);
    uint64_t now = gp_clock_ticks();
    thread->leisurely = now - thread->since > gp_tracer.leisurely_ticks;
    gp_gil_state_take(&main_gil->state, thread, now);
    if (__builtin_expect(main_gil->state.wanting_cpu != 0, 0))
        thread->cpu_since = gp_clock_thread_cpu_ns();
    return status;
}

/* The same for another GIL. A thread that is seen for the first time counts as one that got it at once. */
__attribute__((noinline, cold)) static int unlock_taken_elsewhere(gp_gil *gil, pthread_mutex_t *mutex)
{
    taking = false;
    gp_thread *thread = lock_row(gil, &gil->locks.mutex, mutex) ? follow(gil, GP_ASKED_AT_ONCE) : NULL;
    if (thread != NULL) {
        gp_gil_state_acquire(&gil->state, thread);
        gp_gil_state_take(&gil->state, thread, gp_clock_ticks());
        if (gil->state.wanting_cpu != 0)
            thread->cpu_since = gp_clock_thread_cpu_ns();
    }
    unlock_row(gil);
    return call_unlock(mutex);
}

/* The release in the handshake is voluntary. If its callers do not show that, no verdict can be trusted. */
__attribute__((noinline, cold)) static void note_signal(const void *cond, const char *frame)
{
    const gp_callers_path *path = NULL;
    if (notes->count == 1)
        gp_tracer.releases_told_apart =
            gp_callers_judge(&main_gil->releases, frame, &path) == GP_CALLERS_SECOND;
    note(GP_CALL_SIGNAL, cond);
}

__attribute__((noinline, cold)) static void drop_elsewhere(gp_gil *gil, const void *cond, const char *frame)
{
    taking = false;
    if (lock_row(gil, &gil->locks.cond, cond))
        dropped(gil, frame);
    unlock_row(gil);
}

/* Conditions of other GILs, some of which may be seen for the first time. */
__attribute__((noinline, cold)) static void signal_elsewhere(const void *cond, const char *frame)
{
    gp_gil *gil = gp_gil_table_with_cond(cond);
    if (gil != NULL)
        drop_elsewhere(gil, cond, frame);
    else
        taking = gp_tracer.recognise(locked, cond);
}

static int hooked_signal(pthread_cond_t *cond)
{
    if (gp_gil_table_is(&main_gil->locks.cond, cond)) {
        taking = false; /* of an acquisition whose unlock(mutex) was not seen */
        if (__builtin_expect(gp_gil_state_running(&main_gil->state), 1))
            dropped(main_gil, __builtin_frame_address(0));
        return call_signal(cond);
    }
    if (gp_gil_table_is(&main_gil->locks.switch_cond, cond)) {
        taking = true;
        return call_signal(cond);
    }
    if (__builtin_expect(notes != NULL, 0))
        note_signal(cond, __builtin_frame_address(0));
    else if (gp_gil_state_running(&main_gil->state))
        signal_elsewhere(cond, __builtin_frame_address(0));
    return call_signal(cond);
}

static int hooked_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    if (notes != NULL)
        note(GP_CALL_WAIT, cond);
    return call_wait(cond, mutex);
}

/* The end of drop_gil: after it the thread has neither the GIL nor its mutex. */
__attribute__((noinline, cold)) static int unlock_and_attend(pthread_mutex_t *mutex)
{
    uint64_t now = main_gil->state.last_release;
    int status = call_unlock(mutex);
    gp_recorder_attend(now);
    return status;
}

static int hooked_unlock(pthread_mutex_t *mutex)
{
    if (gp_gil_table_is(&main_gil->locks.mutex, mutex)) {
        if (taking)
            return unlock_taken(mutex);
        if (__builtin_expect(nobody_writes(), 0))
            return unlock_and_attend(mutex);
    } else if (__builtin_expect(notes != NULL, 0)) {
        note(GP_CALL_UNLOCK, mutex);
    } else if (taking && others()) {
        gp_gil *other = gp_gil_table_with_mutex(mutex);
        if (other != NULL)
            return unlock_taken_elsewhere(other, mutex);
    }
    return call_unlock(mutex);
}

/* ---- what stands in the slots, and when ---- */

gp_status gp_wrappers_find(const gp_tracer_host *host, const char **reason)
{
    gp_callers_prepare(host->interpreter);
    memcpy(gp_tracer.hooks, wrappers, sizeof wrappers);
    gp_status status = gp_hooks_find(host->interpreter, gp_tracer.hooks, GP_CALLS);
    if (status != GP_OK) {
        *reason = "the object that contains the interpreter has no readable dynamic section";
        return status;
    }
    for (size_t i = 0; i < GP_CALLS; i++)
        if (gp_tracer.hooks[i].slot_count == 0) {
            *reason = "the interpreter does not import the POSIX threads functions that its GIL is made of";
            return GP_EUNSUPPORTED;
        }
    return GP_OK;
}

gp_status gp_wrappers_handshake(const gp_tracer_host *host, gp_wrappers_notes *taken)
{
    main_gil->releases.first = host->forced;
    main_gil->releases.second = host->voluntary;
    gp_status status = gp_hooks_install(gp_tracer.hooks, GP_CALLS, false);
    if (status != GP_OK)
        return status;
    notes = taken;
    host->cycle_gil();
    notes = NULL;
    gp_hooks_remove(gp_tracer.hooks, GP_CALLS);
    return GP_OK;
}

void gp_wrappers_prepare(const gp_tracer_host *host, const gp_gil_locks *locks,
                         gp_wrappers_recognise *recognise)
{
    gp_tracer.recognise = recognise;
    gp_tracer.host = host;
    gp_tracer.known = *locks;
    gp_tracer.blocked_ticks = gp_clock_from_ns(gp_clock_rate_estimate(), BLOCKED_NS);
    gp_tracer.leisurely_ticks = gp_clock_from_ns(gp_clock_rate_estimate(), LEISURELY_NS);
    gp_tracer.patience_ticks = gp_clock_from_ns(gp_clock_rate_estimate(), PATIENCE_NS);
    gp_gil_table_publish(main_gil, locks);
}

/* A hook that an earlier trace left behind, because another library had put its own on top, may still be
 * called through that library: a release and re-acquisition of the GIL shows it. */
gp_status gp_wrappers_install(const gp_tracer_host *host)
{
    bool still_called = false;
    if (gp_hooks_buried(gp_tracer.hooks, LASTING_HOOKS)) {
        gp_wrappers_notes taken = {.count = 0};
        gp_gil_table_publish(main_gil, &(gp_gil_locks){0});
        notes = &taken;
        host->cycle_gil();
        notes = NULL;
        gp_gil_table_publish(main_gil, &gp_tracer.known);
        still_called = taken.count > 0;
    }
    return gp_hooks_install(gp_tracer.hooks, LASTING_HOOKS, still_called);
}

void gp_wrappers_remove(void)
{
    gp_hooks_remove(gp_tracer.hooks, LASTING_HOOKS);
}

bool gp_wrappers_in_place(void)
{
    return gp_hooks_in_place(gp_tracer.hooks, LASTING_HOOKS);
}

/* ---- the calling thread ---- */

gp_thread *gp_wrappers_current(void)
{
    return current;
}

gp_thread *gp_wrappers_follow(void)
{
    return follow(main_gil, GP_ASKED_UNSEEN);
}

void gp_tracer_hide(void)
{
    hidden = current == NULL;
}

const gp_thread *gp_wrappers_elsewhere(void)
{
    return elsewhere;
}

void gp_tracer_label(uint32_t label)
{
    if (current != NULL)
        atomic_store_explicit(&current->label, label, memory_order_relaxed);
    for (gp_thread *thread = elsewhere; thread != NULL; thread = thread->next_elsewhere)
        atomic_store_explicit(&thread->label, label, memory_order_relaxed);
}
