#define _GNU_SOURCE
#include "gp_gil.h"

#if defined(__linux__) && defined(__LP64__) && (defined(__x86_64__) || defined(__aarch64__)) &&              \
    !defined(GP_NO_TRACER)
#define GP_GIL_TRACER 1
#endif

#ifdef GP_GIL_TRACER

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "gp_gils.h"
#include "gp_hooks.h"
#include "gp_reader.h"
#include "gp_snapshot.h"
#include "gp_threads.h"

#if defined(__GLIBC__)
/* glibc reserves room for this in every thread; one load instead of a call on the hot path */
#define GP_THREAD_LOCAL __attribute__((tls_model("initial-exec"))) static __thread
#else
#define GP_THREAD_LOCAL static __thread
#endif

enum {
    BLOCKED_NS =
        1000, /* a lock that takes longer has waited for another thread: a free one takes 10 to 100 */
    LEISURELY_NS = 2000, /* time off after which an acquisition is stamped at both ends */
};

/* ---- state ---- */

typedef struct {
    gp_handshake_step steps[GP_HANDSHAKE_MAX];
    size_t count; /* may exceed GP_HANDSHAKE_MAX: then it is not a handshake */
} handshake_notes;

/* In the main GIL's row the hooks find what they look for; nothing until learnt, and in a handshake. */
static gp_gil_locks known; /* the same once learnt; then constant */
static gp_gil *const main_gil = &gp_gils[0];
static gp_machine *const machine = &gp_gils[0].machine;
static bool learnt;
static const gp_gil_host *interpreter;          /* set once learnt */
static uint64_t blocked_ticks, leisurely_ticks; /* BLOCKED_NS, LEISURELY_NS */
static bool hooks_are_direct; /* nobody stands between us and the library's pthread_mutex_lock */

static bool releases_told_apart; /* whether that works here */

GP_THREAD_LOCAL gp_thread *current;     /* the calling thread's books at the main GIL */
GP_THREAD_LOCAL gp_thread *elsewhere;   /* and at the others, linked */
GP_THREAD_LOCAL const void *locked[2];  /* mutexes that are no GIL's as far as is known, the last two */
GP_THREAD_LOCAL handshake_notes *notes; /* not NULL: this thread is in the handshake */
GP_THREAD_LOCAL bool taking;            /* in take_gil, from signal(SC) to unlock(M) */

static unsigned watchers; /* see gp_gil_watch_begin; with the GIL */
static uint32_t forks;    /* that this process is away from where we were loaded */

static bool fork_watched;
static uint64_t last_session_id;
static uint32_t last_generation;

static bool recognise(const void *cond);

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

/* While the GIL's mutex is held no state of any thread changes. Library calls, not through the interpreter's
 * slots: the hooks do not see them. */
static void freeze(void)
{
    pthread_mutex_lock((pthread_mutex_t *)known.mutex);
}

static void thaw(void)
{
    pthread_mutex_unlock((pthread_mutex_t *)known.mutex);
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

/* Slow path of follow. */
__attribute__((noinline, cold)) static gp_thread *begin_to_follow(gp_gil *gil, uint64_t asked_at)
{
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
        gp_machine_adopt(&gil->machine, *books, gp_threads_was_alive(*books) ? 0 : now);
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

/* The GIL's mutex is taken by another thread, or an interposer must see the call itself. Behind an interposer
 * only the time tells whether the call blocked. */
__attribute__((noinline, cold)) static int lock_slowly(pthread_mutex_t *mutex, uint64_t *asked_at,
                                                       bool *blocked)
{
    uint64_t before = *asked_at != GP_ASKED_AT_ONCE ? *asked_at : gp_clock_ticks();
    int status = call_lock(mutex);
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
    gp_thread *thread = gp_machine_running(&gil->machine) ? follow(gil, asked_at) : NULL;
    if (__builtin_expect(thread != NULL, 1))
        gp_machine_lock(thread, asked_at, blocked);
}

__attribute__((noinline)) static int lock_gil_mutex(gp_gil *gil, pthread_mutex_t *mutex)
{
    /* Reading the clock costs more than the lock, so it is read only if the lock blocks, or if the thread is
     * in no hurry: after a longer time off, getting even a free GIL takes its time, as its memory has left
     * the caches. */
    uint64_t asked_at = current != NULL && current->leisurely ? gp_clock_ticks() : GP_ASKED_AT_ONCE;
    bool blocked = false;
    int status = lock_at_once(mutex);
    if (__builtin_expect(status != 0, 0))
        status = lock_slowly(mutex, &asked_at, &blocked);
    if (__builtin_expect(status == 0, 1))
        note_lock(gil, asked_at, blocked);
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
    return __builtin_expect(__atomic_load_n(&gp_gils_count, __ATOMIC_RELAXED) > 1, 0);
}

static int hooked_lock(pthread_mutex_t *mutex)
{
    if (mutex == main_gil->locks.mutex)
        return lock_main_mutex(mutex);
    gp_gil *other = others() ? gp_gils_with_mutex(mutex) : NULL;
    if (other != NULL)
        return lock_gil_mutex(other, mutex);
    if (__builtin_expect(notes != NULL, 0))
        note(GP_CALL_LOCK, mutex);
    locked[0] = locked[1];
    locked[1] = mutex;
    return call_lock(mutex);
}

__attribute__((noinline, cold)) static void wait_elsewhere(gp_gil *gil)
{
    pthread_mutex_lock(&gil->books);
    gp_thread *thread = gp_machine_running(&gil->machine) ? follow(gil, GP_ASKED_UNSEEN) : NULL;
    if (thread != NULL)
        gp_machine_wait(&gil->machine, thread, gp_clock_ticks());
    pthread_mutex_unlock(&gil->books);
}

static int hooked_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    if (cond == main_gil->locks.cond) {
        gp_thread *thread = gp_machine_running(machine) ? follow(main_gil, GP_ASKED_UNSEEN) : NULL;
        if (thread != NULL)
            gp_machine_wait(machine, thread, gp_clock_ticks());
    } else if (others() && gp_gils_with_cond(cond) != NULL) {
        wait_elsewhere(gp_gils_with_cond(cond));
    } else if (__builtin_expect(notes != NULL, 0)) {
        note(GP_CALL_TIMEDWAIT, cond);
    }
    return call_timedwait(cond, mutex, until);
}

/* Where the calling thread is, for the sessions that want to know. `keys` has room for GP_STACK_MAX. */
static inline void locate(gp_trail *trail, gp_site_key *keys, bool whole)
{
    if (whole) {
        trail->depth = interpreter->stack(keys, GP_STACK_MAX, &trail->truncated);
    } else {
        keys[0] = interpreter->here();
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
    bool forced = gp_callers_judge(&gil->releases, frame) == GP_CALLERS_FIRST && releases_told_apart;
    gp_site_key keys[GP_STACK_MAX];
    gp_trail trail = {.keys = keys};
    if (gil->machine.wanting_sites != 0)
        locate(&trail, keys, gil->machine.wanting_stacks != 0);
    gp_machine_drop(&gil->machine, thread, forced, &trail, now);
}

/* The end of take_gil: it has woken whoever was made to switch, and lets the others go on. */
__attribute__((noinline)) static int unlock_taken(pthread_mutex_t *mutex)
{
    taking = false;
    gp_thread *thread = gp_machine_running(machine) ? follow(main_gil, GP_ASKED_UNSEEN) : NULL;
    if (__builtin_expect(thread == NULL, 0))
        return call_unlock(mutex);
    if (__builtin_expect(watchers != 0, 0))
        thread->thread_state = interpreter->thread_state();
    gp_machine_acquire(machine, thread);
    int status = call_unlock(mutex);
    uint64_t now = gp_clock_ticks();
    thread->leisurely = now - thread->since > leisurely_ticks;
    gp_machine_take(machine, thread, now);
    return status;
}

/* The same for another GIL. Its books may be closed from outside at any time: nothing is booked without their
 * lock. */
__attribute__((noinline, cold)) static int unlock_taken_elsewhere(gp_gil *gil, pthread_mutex_t *mutex)
{
    taking = false;
    pthread_mutex_lock(&gil->books);
    gp_thread *thread = gp_machine_running(&gil->machine) ? follow(gil, GP_ASKED_UNSEEN) : NULL;
    if (thread != NULL) {
        gp_machine_acquire(&gil->machine, thread);
        gp_machine_take(&gil->machine, thread, gp_clock_ticks());
    }
    pthread_mutex_unlock(&gil->books);
    return call_unlock(mutex);
}

/* The release in the handshake is voluntary. If that is not found out, no verdict is to be trusted. */
__attribute__((noinline, cold)) static void note_signal(const void *cond, const char *frame)
{
    if (notes->count == 1)
        releases_told_apart = gp_callers_judge(&main_gil->releases, frame) == GP_CALLERS_SECOND;
    note(GP_CALL_SIGNAL, cond);
}

__attribute__((noinline, cold)) static void drop_elsewhere(gp_gil *gil, const char *frame)
{
    taking = false;
    pthread_mutex_lock(&gil->books);
    if (gp_machine_running(&gil->machine))
        dropped(gil, frame);
    pthread_mutex_unlock(&gil->books);
}

/* Conditions of other GILs, some of which may be seen for the first time. */
__attribute__((noinline, cold)) static void signal_elsewhere(const void *cond, const char *frame)
{
    gp_gil *gil = gp_gils_with_cond(cond);
    if (gil != NULL)
        drop_elsewhere(gil, frame);
    else
        taking = recognise(cond);
}

static int hooked_signal(pthread_cond_t *cond)
{
    if (cond == main_gil->locks.cond) {
        taking = false; /* of an acquisition whose unlock(M) was not seen */
        if (__builtin_expect(gp_machine_running(machine), 1))
            dropped(main_gil, __builtin_frame_address(0));
        return call_signal(cond);
    }
    if (cond == main_gil->locks.switch_cond) {
        taking = true;
        return call_signal(cond);
    }
    if (__builtin_expect(notes != NULL, 0))
        note_signal(cond, __builtin_frame_address(0));
    else if (gp_machine_running(machine))
        signal_elsewhere(cond, __builtin_frame_address(0));
    return call_signal(cond);
}

static int hooked_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    if (notes != NULL)
        note(GP_CALL_WAIT, cond);
    return call_wait(cond, mutex);
}

static int hooked_unlock(pthread_mutex_t *mutex)
{
    if (mutex == main_gil->locks.mutex) {
        if (taking)
            return unlock_taken(mutex);
    } else if (__builtin_expect(notes != NULL, 0)) {
        note(GP_CALL_UNLOCK, mutex);
    } else if (taking && others()) {
        gp_gil *other = gp_gils_with_mutex(mutex);
        if (other != NULL)
            return unlock_taken_elsewhere(other, mutex);
    }
    return call_unlock(mutex);
}

/* ---- places ---- */

static void locate_for_machine(gp_trail *trail, gp_site_key *keys, bool whole)
{
    locate(trail, keys, whole);
}

/* A place is new: its code object must not make room for another at the same address. */
static void met_place(gp_session *session, uint32_t number)
{
    const gp_place *place = &session->places.rows[number];
    gp_buffer *buffer = &session->described;
    gp_buffer_number(buffer, number);
    gp_buffer_number(buffer, (uint32_t)(place->parent + 1));
    if (place->key.code != NULL) {
        interpreter->keep(place->key.code);
        gp_buffer_number(buffer, GP_PLACE_PYTHON);
        interpreter->describe(place->key, buffer);
    } else if (place->key.instruction == GP_KEY_TRUNCATED) {
        gp_buffer_number(buffer, GP_PLACE_DEEPER);
    } else if (place->key.instruction == GP_KEY_UNSEEN) {
        gp_buffer_number(buffer, GP_PLACE_UNSEEN);
    } else {
        gp_buffer_number(buffer, GP_PLACE_NATIVE);
        gp_buffer_number(buffer, (uint32_t)(GP_KEY_NATIVE - place->key.instruction));
    }
}

/* What belongs to another interpreter can't be let go from here: it stays until that one ends. */
static void let_places_go(const gp_session *session)
{
    if (session->interpreter != 0)
        return;
    for (size_t i = 0; i < session->places.count; i++)
        if (session->places.rows[i].key.code != NULL)
            interpreter->let_go(session->places.rows[i].key.code);
}

/* ---- learning ---- */

/* A handshake gives up the GIL, so that another thread may come to want one before it is over: one at a time.
 * Guarded by the GIL. A process, since a fork in the middle leaves nobody to end it in the child. */
static pid_t handshaking;

static void begin_handshake(const gp_gil_host *host)
{
    while (handshaking == getpid())
        host->cycle_gil();
    handshaking = getpid();
}

static void end_handshake(void)
{
    handshaking = 0;
}

static gp_status hold_handshake(const gp_gil_host *host, handshake_notes *taken)
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

static gp_status find_slots(const gp_gil_host *host, const char **reason)
{
    if (hooks[GP_CALL_LOCK].slot_count != 0)
        return GP_OK;
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

static gp_status learn(const gp_gil_host *host, const char **reason)
{
    if (learnt)
        return GP_OK;
    main_gil->releases.first = host->forced;
    main_gil->releases.second = host->voluntary;
    gp_status status = find_slots(host, reason);
    if (status != GP_OK)
        return status;
    handshake_notes taken = {.count = 0};
    status = hold_handshake(host, &taken);
    if (status != GP_OK) {
        *reason = "the interpreter's import slots can't be made writable";
        return status;
    }
    if (taken.count == 0) {
        *reason = "a release and re-acquisition of the GIL locks nothing: the GIL is off";
        return GP_EUNSUPPORTED;
    }
    if (taken.count > GP_HANDSHAKE_MAX || gp_handshake_recognise(taken.steps, taken.count, &known) != GP_OK) {
        *reason = "this interpreter releases and takes its GIL in a way that gilprobe does not know";
        return GP_EUNSUPPORTED;
    }
    gp_clock_init();
    main_gil->locks = known;
    blocked_ticks = gp_clock_from_ns(gp_clock_rate_estimate(), BLOCKED_NS);
    leisurely_ticks = gp_clock_from_ns(gp_clock_rate_estimate(), LEISURELY_NS);
    interpreter = host;
    machine->met = met_place;
    machine->locate = locate_for_machine;
    machine->folding = (gp_folding_host){gp_threads_gone, gp_threads_retire};
    learnt = true;
    return GP_OK;
}

gp_status gp_gil_learn(const gp_gil_host *host, const char **reason)
{
    begin_handshake(host);
    gp_status status = learn(host, reason);
    end_handshake();
    return status;
}

/* ---- a session as a source of a recording: on the recorder's thread, without the GIL ---- */

static gp_snapshot_facts facts_of(gp_session *session)
{
    gp_clock_anchor last = session->running ? gp_clock_anchor_now() : session->stop_anchor;
    session->hooks_lost |= session->running && !gp_hooks_in_place(hooks, LASTING_HOOKS);
    return (gp_snapshot_facts){
        .interpreter = session->interpreter,
        .rate = gp_clock_rate_between(session->start_anchor, last),
        .lost = session->interpreter == 0 ? gp_threads_lost() + gp_gils_missed : 0,
        .dropped = session->ring != NULL ? gp_ring_dropped(session->ring) : 0,
        .hooks_lost = session->hooks_lost,
        .releases_told_apart = releases_told_apart,
        .timeline = session->ring != NULL,
    };
}

static gp_machine *machine_of(const gp_session *session)
{
    return &((gp_gil *)session->gil)->machine;
}

/* Keep a session's books from changing. Its interpreter may end meanwhile, and its row be given to another.
 */
static void enter(const gp_session *session)
{
    if (session->gil == main_gil) {
        freeze();
        return;
    }
    gp_gils_lock();
    if (session->gil != NULL)
        pthread_mutex_lock(&((gp_gil *)session->gil)->books);
}

static void leave(const gp_session *session)
{
    if (session->gil == main_gil) {
        thaw();
        return;
    }
    if (session->gil != NULL)
        pthread_mutex_unlock(&((gp_gil *)session->gil)->books);
    gp_gils_unlock();
}

static void enter_context(void *context)
{
    enter(context);
}

static void leave_context(void *context)
{
    leave(context);
}

static void record_snapshot(void *context, bool final, gp_buffer *out)
{
    gp_session *session = context;
    const gp_snapshot_lock lock = {enter_context, leave_context, session};
    gp_snapshot_facts facts = facts_of(session);
    uint64_t now = session->running ? gp_clock_ticks() : session->stop;
    gp_snapshot_write(session, &facts, final ? NULL : &lock, GP_ROW_NONE, now, out);
}

/* Introduce again the threads that have another label now. */
static void introduce_labels(gp_session *session)
{
    for (size_t n = 0; n < session->account_count; n++) {
        gp_account *account = gp_account_nth(session, n);
        if (account->merged != 0 && account != session->ended &&
            atomic_load_explicit(&account->thread->label, memory_order_relaxed) != account->introduced_label)
            gp_account_introduce(session, account);
    }
}

static void copy_new(const gp_buffer *from, size_t *copied, gp_buffer *to)
{
    if (from->size > *copied)
        gp_buffer_raw(to, from->bytes + *copied, from->size - *copied);
    to->failed |= from->failed;
    *copied = from->size;
}

static void record_description(void *context, gp_buffer *threads, gp_buffer *places)
{
    gp_session *session = context;
    enter(session);
    if (session->running)
        introduce_labels(session);
    copy_new(&session->introduced, &(size_t){0}, threads);
    gp_buffer_clear(&session->introduced);
    copy_new(&session->described, &session->described_written, places);
    leave(session);
}

static gp_status record(gp_session *session)
{
    if (session->recorder == NULL)
        return GP_OK;
    gp_source source = {
        .context = session,
        .ring = session->ring,
        .interpreter = session->interpreter,
        .describe = record_description,
        .snapshot = record_snapshot,
    };
    return gp_recorder_add(session->recorder, &source);
}

/* ---- sessions at the GILs of other interpreters ---- */

static gp_session *new_session(gp_gil *gil, bool sites, bool stacks, bool timeline, void *recorder)
{
    gp_session *session = gp_session_new(__atomic_add_fetch(&last_session_id, 1, __ATOMIC_RELAXED), 0);
    if (session == NULL)
        return NULL;
    session->gil = gil;
    session->interpreter = gil->interpreter;
    session->wants_sites = sites;
    session->wants_stacks = stacks;
    session->recorder = recorder;
    session->stall_floor = blocked_ticks; /* taking a free GIL is no stall: it must not fill the list */
    if (timeline && gp_ring_new(GP_RING_CAPACITY, &session->ring) != GP_OK) {
        gp_session_free(session);
        return NULL;
    }
    return session;
}

/* Let a trace take in one more GIL. With the lock of the table. */
static void extend(gp_session *session, gp_gil *gil)
{
    for (const gp_session *known_part = session->others; known_part != NULL; known_part = known_part->others)
        if (known_part->gil == gil)
            return; /* found while the trace began */
    gp_session *other = new_session(gil, session->wants_sites, session->wants_stacks, session->ring != NULL,
                                    session->recorder);
    if (other == NULL) {
        gp_gils_missed++;
        return;
    }
    other->start = session->start;
    other->start_anchor = session->start_anchor;
    other->rate = session->rate;
    other->others = session->others;
    __atomic_store_n(&session->others, other, __ATOMIC_RELEASE);
    pthread_mutex_lock(&gil->books);
    gp_machine_start(&gil->machine, other, NULL);
    pthread_mutex_unlock(&gil->books);
    (void)record(other);
}

/* Nobody could look where the holder of another GIL is. */
static const gp_site_key unseen_keys[] = {{NULL, GP_KEY_UNSEEN}};
static const gp_trail unseen = {.keys = unseen_keys, .depth = 1};

/* End a session whose books nobody can change meanwhile. */
static void end(gp_session *session, const gp_trail *here)
{
    size_t count;
    gp_thread **threads = gp_threads_all(&count);
    session->lost += threads == NULL;
    gp_machine_stop(machine_of(session), session, threads, count, here, gp_clock_ticks());
    gp_threads_free_all(threads, count);
    session->stop_anchor = gp_clock_anchor_now();
}

/* An interpreter ends, or the process has been forked: close all books on its GIL. With the lock of the
 * table. */
static void close_books(gp_gil *gil)
{
    while (gil->machine.sessions != NULL) {
        gp_session *session = gil->machine.sessions;
        end(session, &unseen);
        session->gil = NULL;
    }
    pthread_mutex_unlock(&gil->books);
    gp_gils_remove(gil);
}

/* Trace a GIL from now on. Under its mutex. */
static gp_gil *discover(const gp_gil_locks *found, uint32_t id)
{
    gp_gil *gil = gp_machine_running(machine) ? gp_gils_add(found, id, ++last_generation) : NULL;
    gp_gils_missed += gil == NULL;
    if (gil != NULL)
        for (gp_session *session = machine->sessions; session != NULL; session = session->next)
            extend(session, gil);
    return gil;
}

/* Whether a thread that signals this condition takes a GIL; if it was not known it is now. An interpreter
 * that has ended may have left its place in memory to this one. Under that GIL's mutex. */
static bool recognise(const void *cond)
{
    gp_gil_locks found;
    gp_gil *gil = gp_gils_with_switch_cond(cond);
    if (gil != NULL && interpreter->identify(gil->locks.mutex, known.mutex) == gil->interpreter)
        return true;
    if (gil != NULL)
        found = gil->locks;
    else if (!gp_gils_recognise(&known, locked, cond, &found))
        return false;
    gp_gils_lock();
    if (gil != NULL)
        close_books(gil);
    gil = discover(&found, interpreter->identify(found.mutex, known.mutex));
    gp_gils_unlock();
    return gil != NULL;
}

/* End the parts of a trace at the other GILs. With the main GIL. */
static void stop_others(gp_session *session)
{
    gp_gils_lock();
    for (gp_session *other = session->others; other != NULL; other = other->others) {
        gp_gil *gil = other->gil;
        if (gil == NULL || !other->running)
            continue;
        pthread_mutex_lock(&gil->books);
        end(other, &unseen);
        pthread_mutex_unlock(&gil->books);
    }
    gp_gils_unlock();
}

/* Without a trace nobody notices the end of an interpreter. */
static void forget_others(void)
{
    gp_gils_lock();
    for (uint32_t i = 1; i < GP_GILS_MAX; i++)
        if (gp_gils[i].locks.mutex != NULL)
            gp_gils_remove(&gp_gils[i]);
    gp_gils_unlock();
}

/* ---- sessions ---- */

/* Nobody empties the rings any more. */
static void detach_rings(void)
{
    for (gp_session *session = machine->sessions; session != NULL; session = session->next)
        for (gp_session *part = session; part != NULL; part = part->others) {
            gp_ring_free(part->ring);
            part->ring = NULL;
        }
}

/* Whether a trace runs or not: a later one may meet the threads that have been seen. */
static void forked_in_child(void)
{
    detach_rings();
    watchers = 0;
    forks++;
    uint64_t now = gp_clock_ticks();
    gp_gils_forked();
    gp_threads_forked(current);
    for (size_t i = 0; i < gp_threads_count(); i++) {
        gp_thread *thread = gp_threads_at(i);
        gp_machine_forked(machine, current, &thread, 1, now);
    }
    for (uint32_t i = 1; i < GP_GILS_MAX; i++)
        if (gp_gils[i].locks.mutex != NULL)
            close_books(&gp_gils[i]);
}

static gp_status prepare_process(void)
{
    gp_status status = gp_threads_prepare();
    if (status == GP_OK && !fork_watched) {
        fork_watched = pthread_atfork(NULL, NULL, forked_in_child) == 0;
        status = fork_watched ? GP_OK : GP_ENOMEM;
    }
    return status;
}

/* Install the hooks that last. One that an earlier trace left behind, because another library had put its own
 * on top, may still be called through that library: a cycle of the GIL tells. */
static gp_status install_hooks(const gp_gil_host *host)
{
    bool still_called = false;
    if (gp_hooks_buried(hooks, LASTING_HOOKS)) {
        handshake_notes taken = {.count = 0};
        main_gil->locks = (gp_gil_locks){0};
        notes = &taken;
        host->cycle_gil();
        notes = NULL;
        main_gil->locks = known;
        still_called = taken.count > 0;
    }
    gp_status status = gp_hooks_install(hooks, LASTING_HOOKS, still_called);
    hooks_are_direct = hooks[GP_CALL_LOCK].next == (void *)pthread_mutex_lock;
    return status;
}

/* Install the hooks if nobody has yet. */
static gp_status begin_watching(const gp_gil_host *host, bool *first, const char **reason)
{
    begin_handshake(host);
    *first = !gp_machine_running(machine);
    gp_status status = *first ? install_hooks(host) : GP_OK;
    end_handshake();
    if (status != GP_OK)
        *reason = "the interpreter's import slots can't be made writable";
    else if (*first)
        gp_threads_list_alive();
    return status;
}

static void begin_generation(void)
{
    gp_threads_collect_spares(last_generation);
    /* relaxed: read without a lock only to be compared with a thread's own copy */
    __atomic_store_n(&machine->generation, ++last_generation, __ATOMIC_RELAXED);
}

static gp_status begin_session(gp_session *session, bool first)
{
    session->start_anchor = gp_clock_anchor_now();
    freeze();
    if (first)
        begin_generation();
    gp_thread *self = follow(main_gil, GP_ASKED_UNSEEN);
    if (self != NULL) {
        session->start = gp_clock_ticks();
        gp_machine_start(machine, session, self);
    }
    thaw();
    if (self == NULL && first)
        gp_hooks_remove(hooks, LASTING_HOOKS);
    return self != NULL ? GP_OK : GP_ENOMEM;
}

/* The other GILs that earlier traces have found. */
static void extend_to_others(gp_session *session)
{
    gp_gils_lock();
    for (uint32_t i = 1; i < GP_GILS_MAX; i++)
        if (gp_gils[i].locks.mutex != NULL)
            extend(session, &gp_gils[i]);
    gp_gils_unlock();
}

gp_status gp_gil_start(const gp_gil_host *host, const gp_gil_wishes *wishes, gp_session **session,
                       const char **reason)
{
    bool first;
    *reason = "";
    gp_status status = gp_gil_learn(host, reason);
    if (status == GP_OK)
        status = prepare_process();
    if (status != GP_OK)
        return status;
    gp_session *started = new_session(main_gil, wishes->sites || wishes->stacks, wishes->stacks,
                                      wishes->timeline, wishes->recorder);
    if (started == NULL)
        return GP_ENOMEM;
    status = begin_watching(host, &first, reason);
    if (status == GP_OK)
        status = begin_session(started, first);
    if (status != GP_OK) {
        gp_session_free(started);
        return status;
    }
    extend_to_others(started);
    *session = started;
    return record(started);
}

void gp_gil_stop(gp_session *session, const gp_trail *here)
{
    if (!session->running)
        return;
    gp_threads_name_alive();
    session->hooks_lost |= !gp_hooks_in_place(hooks, LASTING_HOOKS);
    stop_others(session); /* first, so that none of them lasts longer than the trace */
    freeze();
    end(session, here);
    thaw();
    stop_others(session); /* found in between */
    if (!gp_machine_running(machine)) {
        gp_hooks_remove(hooks, LASTING_HOOKS);
        forget_others();
    }
}

void gp_gil_forget(gp_session *session)
{
    if (session == NULL)
        return;
    gp_gil_stop(session, &(gp_trail){.depth = 0});
    while (session != NULL) {
        gp_session *next = session->others;
        let_places_go(session);
        gp_session_free(session);
        session = next;
    }
}

size_t gp_gil_parts(const gp_session *session)
{
    size_t parts = 0;
    for (; session != NULL; session = __atomic_load_n(&session->others, __ATOMIC_ACQUIRE))
        parts++;
    return parts;
}

/* Threads that did nothing since the session began have a row too. */
static void open_accounts(gp_session *session)
{
    for (size_t i = 0; i < gp_threads_count(); i++)
        if (gp_machine_concerns(machine_of(session), session, gp_threads_at(i)))
            (void)gp_account_of(session, gp_threads_at(i));
}

gp_status gp_gil_read(gp_session *session, size_t part, const gp_trail *here, gp_buffer *places,
                      gp_buffer *snapshot)
{
    /* the list grows at its second place: the parts are counted from its end */
    for (size_t left = gp_gil_parts(session); part != 0 && left > part; left--)
        session = session->others;
    if (part == 0 && session->running)
        gp_threads_name_alive();
    gp_snapshot_facts facts = facts_of(session);
    enter(session);
    uint64_t now = session->running ? gp_clock_ticks() : session->stop;
    uint32_t place = GP_ROW_NONE;
    if (session->running) {
        open_accounts(session);
        place = gp_machine_charge_under_way(machine_of(session), session, part == 0 ? here : &unseen, now);
    }
    gp_buffer_raw(places, session->described.bytes, session->described.size);
    gp_snapshot_write(session, &facts, NULL, place, now, snapshot);
    leave(session);
    return places->failed || snapshot->failed ? GP_ENOMEM : GP_OK;
}

void gp_gil_label(uint32_t label)
{
    if (current != NULL)
        atomic_store_explicit(&current->label, label, memory_order_relaxed);
    for (gp_thread *thread = elsewhere; thread != NULL; thread = thread->next_elsewhere)
        atomic_store_explicit(&thread->label, label, memory_order_relaxed);
}

size_t gp_gil_sessions(void)
{
    size_t count = 0;
    for (const gp_session *session = machine->sessions; session != NULL; session = session->next)
        count++;
    return count;
}

uint32_t gp_gil_watch_begin(void)
{
    watchers++;
    if (current != NULL && interpreter != NULL)
        current->thread_state = interpreter->thread_state();
    return forks;
}

void gp_gil_watch_end(uint32_t begun)
{
    watchers -= begun == forks;
}

bool gp_gil_look(const gp_sight_hold *but, uint64_t limit, gp_sight *sight, uint64_t *now)
{
    if (!gp_machine_running(machine))
        return false;
    freeze();
    *now = gp_clock_ticks();
    bool seen = gp_machine_running(machine) && gp_sight_take(machine, but, limit, *now, sight);
    thaw();
    return seen;
}

gp_sight_end gp_gil_follow(const gp_sight_hold *hold, uint64_t *ended_at)
{
    *ended_at = gp_clock_ticks();
    if (!gp_machine_running(machine))
        return GP_SIGHT_LONG_OVER;
    freeze();
    gp_sight_end end = gp_sight_follow(machine, hold, *ended_at, ended_at);
    thaw();
    return end;
}

#else /* the package builds here, but its tracer does not work */

gp_status gp_gil_learn(const gp_gil_host *host, const char **reason)
{
    (void)host;
#ifdef GP_NO_TRACER
    *reason = "this build of gilprobe was configured without its tracer";
#else
    *reason = "the tracer hooks ELF import slots on Linux for x86-64 and aarch64; this is another platform";
#endif
    return GP_EUNSUPPORTED;
}

gp_status gp_gil_start(const gp_gil_host *host, const gp_gil_wishes *wishes, gp_session **session,
                       const char **reason)
{
    (void)wishes;
    *session = NULL;
    return gp_gil_learn(host, reason);
}

void gp_gil_stop(gp_session *session, const gp_trail *here)
{
    (void)session, (void)here;
}

void gp_gil_forget(gp_session *session)
{
    (void)session;
}

size_t gp_gil_parts(const gp_session *session)
{
    (void)session;
    return 0;
}

gp_status gp_gil_read(gp_session *session, size_t part, const gp_trail *here, gp_buffer *places,
                      gp_buffer *snapshot)
{
    (void)session, (void)part, (void)here, (void)places, (void)snapshot;
    return GP_EUNSUPPORTED;
}

void gp_gil_label(uint32_t label)
{
    (void)label;
}

size_t gp_gil_sessions(void)
{
    return 0;
}

uint32_t gp_gil_watch_begin(void)
{
    return 0;
}

void gp_gil_watch_end(uint32_t begun)
{
    (void)begun;
}

bool gp_gil_look(const gp_sight_hold *but, uint64_t limit, gp_sight *sight, uint64_t *now)
{
    (void)but, (void)limit, (void)sight, (void)now;
    return false;
}

gp_sight_end gp_gil_follow(const gp_sight_hold *hold, uint64_t *ended_at)
{
    (void)hold, (void)ended_at;
    return GP_SIGHT_LONG_OVER;
}

#endif
