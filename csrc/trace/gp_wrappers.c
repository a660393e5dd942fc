#define _GNU_SOURCE
#include "trace/gp_tracer.h"

#include <errno.h>

#include "hooks/gp_hooks.h"
#include "books/gp_threads.h"
#include "trace/gp_wrappers.h"

#if defined(__GLIBC__)
/* glibc reserves room for this in every thread; one load instead of a call on the hot path */
#define GP_THREAD_LOCAL __attribute__((tls_model("initial-exec"))) static __thread
#else
#define GP_THREAD_LOCAL static __thread
#endif

enum {
    PAUSES = 4, /* between two looks at a mutex that is taken */
    BLOCKED_NS =
        1000, /* a lock that takes longer has waited for another thread: a free one takes 10 to 100 */
    LEISURELY_NS = 2000, /* time off after which an acquisition is stamped at both ends */
    PATIENCE_NS = 300,   /* what our bookings can add to the time for which a GIL's mutex is held */
};

/* In the main GIL's row the hooks find what they look for; nothing until learnt, and in a handshake. */
gp_gil_locks gp_wrappers_known;
static gp_gil *const main_gil = &gp_gil_table[0];
static gp_gil_state *const machine = &gp_gil_table[0].machine;
const gp_tracer_host *gp_wrappers_host;
unsigned gp_wrappers_watchers;
static uint64_t blocked_ticks, leisurely_ticks, patience_ticks; /* of the above */
static bool hooks_are_direct; /* nobody stands between us and the library's pthread_mutex_lock */

static gp_wrappers_recognise *recognise; /* set with the host */
static bool releases_told_apart;         /* whether that works here */

GP_THREAD_LOCAL gp_thread *current;   /* the calling thread's books at the main GIL */
GP_THREAD_LOCAL gp_thread *elsewhere; /* and at the others, linked */
GP_THREAD_LOCAL const void
    *locked[2]; /* mutexes that are no GIL's as far as is gp_wrappers_known, the last two */
GP_THREAD_LOCAL gp_wrappers_notes *notes; /* not NULL: this thread is in the handshake */
GP_THREAD_LOCAL bool hidden;              /* it has no books, and is not to get any */
GP_THREAD_LOCAL bool taking;              /* in take_gil, from signal(SC) to unlock(M) */

static int hooked_lock(pthread_mutex_t *mutex);
static int hooked_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
static int hooked_signal(pthread_cond_t *cond);
static int hooked_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
static int hooked_unlock(pthread_mutex_t *mutex);

static gp_hook hooks[GP_CALLS] = {
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
    return __atomic_load_n(&hooks[call].next, __ATOMIC_RELAXED);
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

/* Where the calling thread's books at this GIL are linked. */
static gp_thread **books_at(const gp_gil *gil)
{
    gp_thread **at = &elsewhere;
    if (gil == main_gil)
        return &current;
    while (*at != NULL && (*at)->gil != gil)
        at = &(*at)->next_elsewhere;
    return at;
}

/* A thread that is alive counts at the main GIL; at another from its first call on, which may be older than
 * our watching. */
static void adopt(const gp_gil *gil, gp_thread *thread, uint64_t asked_at, uint64_t now)
{
    bool before = gil == main_gil ? gp_threads_claim_alive(thread) : asked_at == GP_ASKED_UNSEEN;
    gp_gil_state_adopt(&gil->machine, thread, before ? 0 : now);
    thread->asked_at = asked_at;
}

/* Slow path of follow. */
__attribute__((noinline, cold)) static gp_thread *begin_to_follow(gp_gil *gil, uint64_t asked_at)
{
    if (hidden)
        return NULL;
    gp_thread **books = books_at(gil);
    uint64_t now = asked_at > GP_ASKED_AT_ONCE ? asked_at : gp_clock_ticks();
    if (*books == NULL) {
        *books = gp_threads_register();
        if (*books == NULL)
            return NULL;
        (*books)->gil = gil;
        (*books)->next_elsewhere = NULL;
        if (current != NULL && current != *books)
            atomic_store_explicit(&(*books)->label, current->label, memory_order_relaxed);
    }
    if ((*books)->generation != gil->machine.generation)
        adopt(gil, *books, asked_at, now);
    return *books;
}

/* The calling thread's books, valid for this generation; NULL without memory. Under the GIL's mutex. */
static inline gp_thread *follow(gp_gil *gil, uint64_t asked_at)
{
    if (__builtin_expect(gil != main_gil, 0))
        return begin_to_follow(gil, asked_at);
    gp_thread *thread = current;
    if (__builtin_expect(thread == NULL || thread->generation != machine->generation, 0))
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
    while (status == EBUSY && gp_clock_ticks() - since < patience_ticks) {
        for (int i = 0; i < PAUSES; i++)
            pause_briefly();
        status = pthread_mutex_trylock(mutex);
    }
    return status;
}

/* The GIL's mutex is taken by another thread, or an interposer must see the call itself. Behind an interposer
 * only the time tells whether the call blocked. */
__attribute__((noinline, cold)) static int lock_slowly(pthread_mutex_t *mutex, uint64_t *asked_at,
                                                       bool *blocked)
{
    uint64_t before = *asked_at != GP_ASKED_AT_ONCE ? *asked_at : gp_clock_ticks();
    int status = hooks_are_direct ? lock_soon(mutex, before) : EBUSY;
    if (status == EBUSY)
        status = call_lock(mutex);
    *blocked = hooks_are_direct || gp_clock_ticks() - before >= blocked_ticks;
    if (*blocked)
        *asked_at = before;
    return status;
}

/* Without an atomic operation in a process of one thread: glibc's pthread_mutex_lock does without it there,
 * unlike pthread_mutex_trylock, and it can't block. EBUSY if it might. */
static inline int lock_at_once(pthread_mutex_t *mutex)
{
    return alone() ? call_lock(mutex) : hooks_are_direct ? pthread_mutex_trylock(mutex) : EBUSY;
}

static inline void note_lock(gp_gil *gil, uint64_t asked_at, bool blocked)
{
    gp_thread *thread = gp_gil_state_running(&gil->machine) ? follow(gil, asked_at) : NULL;
    if (__builtin_expect(thread != NULL, 1))
        gp_gil_state_lock(thread, asked_at, blocked);
}

/* Whether there are recordings that the threads of the program have to write. Relaxed: the first of them
 * knows as it was there when the recording began, and to the others it does not matter from when on. */
static inline bool nobody_writes(void)
{
    return atomic_load_explicit(&gp_recorders_without_thread, memory_order_relaxed) != 0;
}

/* Lock the books of another GIL than the main one: they may be closed from outside at any time, and the row
 * be given to another. Returns whether it is still that of a GIL with this lock, and traced. */
static bool open_books(gp_gil *gil, const void *const *lock, const void *is)
{
    pthread_mutex_lock(&gil->books);
    return *lock == is && gp_gil_state_running(&gil->machine);
}

static void shut_books(gp_gil *gil)
{
    pthread_mutex_unlock(&gil->books);
}

__attribute__((noinline, cold)) static void note_lock_elsewhere(gp_gil *gil, const void *mutex,
                                                                uint64_t asked_at, bool blocked)
{
    if (open_books(gil, &gil->locks.mutex, mutex))
        note_lock(gil, asked_at, blocked);
    shut_books(gil);
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

/* The same for a thread in a hurry, with less to write to memory: the atomic operations wait for all of it.
 */
__attribute__((noinline)) static int lock_main_mutex(pthread_mutex_t *mutex)
{
    const gp_thread *thread = current;
    if (__builtin_expect(thread == NULL || thread->leisurely || lock_at_once(mutex) != 0, 0))
        return lock_gil_mutex(main_gil, mutex);
    note_lock(main_gil, GP_ASKED_AT_ONCE, false);
    return 0;
}

/* Rows beyond the main GIL's are looked at only if there are any. */
static inline bool others(void)
{
    return __builtin_expect(__atomic_load_n(&gp_gil_table_count, __ATOMIC_RELAXED) > 1, 0);
}

static int hooked_lock(pthread_mutex_t *mutex)
{
    if (mutex == main_gil->locks.mutex)
        return lock_main_mutex(mutex);
    gp_gil *other = others() ? gp_gil_table_with_mutex(mutex) : NULL;
    if (other != NULL)
        return lock_gil_mutex(other, mutex);
    if (__builtin_expect(notes != NULL, 0))
        note(GP_CALL_LOCK, mutex);
    locked[0] = locked[1];
    locked[1] = mutex;
    return call_lock(mutex);
}

__attribute__((noinline, cold)) static void wait_elsewhere(gp_gil *gil, const void *cond)
{
    gp_thread *thread = open_books(gil, &gil->locks.cond, cond) ? follow(gil, GP_ASKED_UNSEEN) : NULL;
    if (thread != NULL)
        gp_gil_state_wait(&gil->machine, thread, gp_clock_ticks());
    shut_books(gil);
}

static int hooked_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    gp_gil *other;
    if (cond == main_gil->locks.cond) {
        gp_thread *thread = gp_gil_state_running(machine) ? follow(main_gil, GP_ASKED_UNSEEN) : NULL;
        if (thread != NULL)
            gp_gil_state_wait(machine, thread, gp_clock_ticks());
    } else if (others() && (other = gp_gil_table_with_cond(cond)) != NULL) {
        wait_elsewhere(other, cond);
    } else if (__builtin_expect(notes != NULL, 0)) {
        note(GP_CALL_TIMEDWAIT, cond);
    }
    return call_timedwait(cond, mutex, until);
}

/* Where the calling thread is, for the sessions that want to know. `keys` has room for GP_STACK_MAX. */
static inline void locate(gp_call_stack *trail, gp_site_key *keys, bool whole)
{
    if (whole) {
        trail->depth = gp_wrappers_host->stack(keys, GP_STACK_MAX, &trail->truncated);
    } else {
        keys[0] = gp_wrappers_host->here();
        trail->depth = keys[0].code != NULL;
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
    uint64_t cpu = __builtin_expect(gil->machine.wanting_cpu != 0, 0) ? gp_clock_thread_cpu_ns() : 0;
    bool forced = releases_told_apart &&
                  gp_callers_judge(&gil->releases, frame, &thread->release_path) == GP_CALLERS_FIRST;
    gp_site_key keys[GP_STACK_MAX];
    gp_call_stack trail = {.keys = keys};
    if (gil->machine.wanting_sites != 0)
        locate(&trail, keys, gil->machine.wanting_stacks != 0);
    gp_gil_state_drop(&gil->machine, thread, forced, &trail, now);
    if (__builtin_expect(cpu != 0, 0))
        gp_gil_state_book_cpu(&gil->machine, thread, cpu);
}

/* The end of take_gil: it has woken whoever was made to switch, and lets the others go on. */
__attribute__((noinline)) static int unlock_taken(pthread_mutex_t *mutex)
{
    taking = false;
    gp_thread *thread = gp_gil_state_running(machine) ? follow(main_gil, GP_ASKED_UNSEEN) : NULL;
    if (__builtin_expect(thread == NULL, 0))
        return call_unlock(mutex);
    if (__builtin_expect(gp_wrappers_watchers != 0, 0))
        thread->thread_state = gp_wrappers_host->thread_state();
    gp_gil_state_acquire(machine, thread);
    int status = call_unlock(mutex);
    uint64_t now = gp_clock_ticks();
    thread->leisurely = now - thread->since > leisurely_ticks;
    gp_gil_state_take(machine, thread, now);
    if (__builtin_expect(machine->wanting_cpu != 0, 0))
        thread->cpu_since = gp_clock_thread_cpu_ns();
    return status;
}

/* The same for another GIL. A thread that is seen for the first time has got it at once, as far as is known.
 */
__attribute__((noinline, cold)) static int unlock_taken_elsewhere(gp_gil *gil, pthread_mutex_t *mutex)
{
    taking = false;
    gp_thread *thread = open_books(gil, &gil->locks.mutex, mutex) ? follow(gil, GP_ASKED_AT_ONCE) : NULL;
    if (thread != NULL) {
        gp_gil_state_acquire(&gil->machine, thread);
        gp_gil_state_take(&gil->machine, thread, gp_clock_ticks());
        if (gil->machine.wanting_cpu != 0)
            thread->cpu_since = gp_clock_thread_cpu_ns();
    }
    shut_books(gil);
    return call_unlock(mutex);
}

/* The release in the handshake is voluntary. If that is not found out, no verdict is to be trusted. */
__attribute__((noinline, cold)) static void note_signal(const void *cond, const char *frame)
{
    const gp_callers_path *path = NULL;
    if (notes->count == 1)
        releases_told_apart = gp_callers_judge(&main_gil->releases, frame, &path) == GP_CALLERS_SECOND;
    note(GP_CALL_SIGNAL, cond);
}

__attribute__((noinline, cold)) static void drop_elsewhere(gp_gil *gil, const void *cond, const char *frame)
{
    taking = false;
    if (open_books(gil, &gil->locks.cond, cond))
        dropped(gil, frame);
    shut_books(gil);
}

/* Conditions of other GILs, some of which may be seen for the first time. */
__attribute__((noinline, cold)) static void signal_elsewhere(const void *cond, const char *frame)
{
    gp_gil *gil = gp_gil_table_with_cond(cond);
    if (gil != NULL)
        drop_elsewhere(gil, cond, frame);
    else
        taking = recognise(locked, cond);
}

static int hooked_signal(pthread_cond_t *cond)
{
    if (cond == main_gil->locks.cond) {
        taking = false; /* of an acquisition whose unlock(M) was not seen */
        if (__builtin_expect(gp_gil_state_running(machine), 1))
            dropped(main_gil, __builtin_frame_address(0));
        return call_signal(cond);
    }
    if (cond == main_gil->locks.switch_cond) {
        taking = true;
        return call_signal(cond);
    }
    if (__builtin_expect(notes != NULL, 0))
        note_signal(cond, __builtin_frame_address(0));
    else if (gp_gil_state_running(machine))
        signal_elsewhere(cond, __builtin_frame_address(0));
    return call_signal(cond);
}

static int hooked_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    if (notes != NULL)
        note(GP_CALL_WAIT, cond);
    return call_wait(cond, mutex);
}

/* The end of drop_gil: then neither the GIL nor a lock of it is this thread's. */
__attribute__((noinline, cold)) static int unlock_and_attend(pthread_mutex_t *mutex)
{
    uint64_t now = machine->last_release;
    int status = call_unlock(mutex);
    gp_recorder_attend(now);
    return status;
}

static int hooked_unlock(pthread_mutex_t *mutex)
{
    if (mutex == main_gil->locks.mutex) {
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
    gp_status status = gp_hooks_find(host->interpreter, hooks, GP_CALLS);
    if (status != GP_OK) {
        *reason = "the object that contains the interpreter has no readable dynamic section";
        return status;
    }
    for (size_t i = 0; i < GP_CALLS; i++)
        if (hooks[i].slot_count == 0) {
            *reason = "the interpreter does not import the POSIX threads functions that its GIL is made of";
            return GP_EUNSUPPORTED;
        }
    return GP_OK;
}

gp_status gp_wrappers_handshake(const gp_tracer_host *host, gp_wrappers_notes *taken)
{
    gp_status status = gp_hooks_install(hooks, GP_CALLS, false);
    if (status != GP_OK)
        return status;
    notes = taken;
    host->cycle_gil();
    notes = NULL;
    gp_hooks_remove(hooks, GP_CALLS);
    return GP_OK;
}

void gp_wrappers_prepare(const gp_tracer_host *host, const gp_gil_locks *locks, gp_wrappers_recognise *asked)
{
    recognise = asked;
    gp_wrappers_host = host;
    gp_wrappers_known = *locks;
    main_gil->locks = *locks;
    blocked_ticks = gp_clock_from_ns(gp_clock_rate_estimate(), BLOCKED_NS);
    leisurely_ticks = gp_clock_from_ns(gp_clock_rate_estimate(), LEISURELY_NS);
    patience_ticks = gp_clock_from_ns(gp_clock_rate_estimate(), PATIENCE_NS);
}

/* Install the hooks that last. One that an earlier trace left behind, because another library had put its own
 * on top, may still be called through that library: a cycle of the GIL tells. */
gp_status gp_wrappers_install(const gp_tracer_host *host)
{
    bool still_called = false;
    if (gp_hooks_buried(hooks, LASTING_HOOKS)) {
        gp_wrappers_notes taken = {.count = 0};
        main_gil->locks = (gp_gil_locks){0};
        notes = &taken;
        host->cycle_gil();
        notes = NULL;
        main_gil->locks = gp_wrappers_known;
        still_called = taken.count > 0;
    }
    gp_status status = gp_hooks_install(hooks, LASTING_HOOKS, still_called);
    hooks_are_direct = hooks[GP_CALL_LOCK].next == (void *)pthread_mutex_lock;
    return status;
}

void gp_wrappers_remove(void)
{
    gp_hooks_remove(hooks, LASTING_HOOKS);
}

bool gp_wrappers_in_place(void)
{
    return gp_hooks_in_place(hooks, LASTING_HOOKS);
}

bool gp_wrappers_tell_releases_apart(void)
{
    return releases_told_apart;
}

uint64_t gp_wrappers_blocked_ticks(void)
{
    return blocked_ticks;
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

void gp_wrappers_hide(void)
{
    hidden = current == NULL;
}

const gp_thread *gp_wrappers_elsewhere(void)
{
    return elsewhere;
}

void gp_wrappers_label(uint32_t label)
{
    if (current != NULL)
        atomic_store_explicit(&current->label, label, memory_order_relaxed);
    for (gp_thread *thread = elsewhere; thread != NULL; thread = thread->next_elsewhere)
        atomic_store_explicit(&thread->label, label, memory_order_relaxed);
}

void gp_wrappers_locate(gp_call_stack *trail, gp_site_key *keys, bool whole)
{
    locate(trail, keys, whole);
}
