#define _GNU_SOURCE
#include "trace/gp_tracer.h"

#include <errno.h>
#include <string.h>

#include "base/gp_thread_local.h"
#include "books/gp_natives.h"
#include "hooks/gp_native_caller.h"
#include "trace/gp_tracer_object.h"

/* The linker puts these side by side, in few cache lines. */
#define GP_HOT __attribute__((noinline, hot))

enum {
    PAUSES = 4, /* between two looks at a mutex that is taken */
    BLOCKED_NS =
        1000, /* a lock that takes longer has waited for another thread: a free one takes 10 to 100 */
    PATIENCE_NS = 300, /* for a GIL's mutex, before sleeping */
    COURTESY_NS = 150, /* for its holder: what our hooks add to a hold, and the time in which that is seen */
    NEWCOMERS = 64,    /* threads, until one keeps the books: those before may have noted little each */
};

static gp_gil *const main_gil = &gp_tracer.main_gil;

static gp_thread nobody;
static const int never;
static const char unknown;

GP_THREAD_LOCAL gp_thread *current;       /* the calling thread's record at the main GIL */
GP_THREAD_LOCAL gp_thread *hot = &nobody; /* the same, but never NULL */
GP_THREAD_LOCAL gp_thread *elsewhere;     /* and its records at the others, linked */
GP_THREAD_LOCAL const void *locked; /* the last mutex that is not the main GIL's, until it is unlocked */
GP_THREAD_LOCAL gp_wrappers_notes *notes; /* not NULL: this thread is in the handshake */
GP_THREAD_LOCAL uint32_t tagged;          /* what it runs for (gp_tags.h) */
GP_THREAD_LOCAL bool hidden;              /* it has no record, and gets none */

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
    [GP_CALL_UNLOCK] = {.name = "pthread_mutex_unlock",
                        .wrapper = hooked_unlock,
                        .library = pthread_mutex_unlock},
    [GP_CALL_SIGNAL] = {.name = "pthread_cond_signal",
                        .wrapper = hooked_signal,
                        .library = pthread_cond_signal},
    [GP_CALL_WAIT] = {.name = "pthread_cond_wait", .wrapper = hooked_wait, .library = pthread_cond_wait},
};

enum {
    LASTING_HOOKS = GP_CALL_SIGNAL, /* the others are for the handshake */
};

/* Relaxed: an installation may change it meanwhile, to a function that is as good. */
static inline void *next_of(gp_call call)
{
    return __atomic_load_n(&gp_tracer.next[call], __ATOMIC_RELAXED);
}

/* Whether nobody stands between us and the library's pthread_mutex_lock. */
static inline bool hooks_are_direct(void)
{
    return next_of(GP_CALL_LOCK) == (void *)pthread_mutex_lock;
}

static int never_lock(pthread_mutex_t *mutex)
{
    (void)mutex;
    return EBUSY;
}

/* An interposer must see each lock that succeeds. */
static void choose_try_lock(bool direct)
{
    __atomic_store_n(&gp_tracer.try_lock, direct ? pthread_mutex_trylock : never_lock, __ATOMIC_RELAXED);
}

static gp_status install(size_t count, bool still_called)
{
    choose_try_lock(false); /* while it is not known who stands in between */
    gp_status status = gp_hooks_install(gp_tracer.hooks, count, still_called);
    choose_try_lock(hooks_are_direct());
    return status;
}

static void uninstall(size_t count)
{
    gp_hooks_remove(gp_tracer.hooks, count);
    choose_try_lock(hooks_are_direct());
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

static gp_thread *new_record(gp_gil *gil)
{
    gp_thread *made = gp_threads_register(&gp_tracer.threads);
    if (made == NULL)
        return NULL;
    made->gil = gil;
    made->next_elsewhere = NULL;
    if (current != NULL)
        atomic_store_explicit(&made->label, current->label, memory_order_relaxed);
    return made;
}

/* A thread that is alive counts at the main GIL; at another from its first call on, which may be older than
 * our watching. */
static void adopt(const gp_gil *gil, gp_thread *thread, uint64_t asked, bool holds)
{
    uint64_t now = asked > GP_ASKED_AT_ONCE ? asked : gp_clock_ticks();
    bool before =
        gil == main_gil ? gp_threads_claim_alive(&gp_tracer.threads, thread) : asked == GP_ASKED_UNSEEN;
    gp_gil_state_adopt(&gil->state, thread, before ? 0 : now, holds);
    thread->tag = gil == main_gil ? tagged : GP_TAG_NONE;
    thread->own.generation = gil->state.generation - 1; /* it adds up nothing yet */
    thread->journal.asking = asked;
}

/* Under the lock of the stream. */
static gp_thread *begin_to_follow(gp_gil *gil, uint64_t asked, bool holds)
{
    gp_thread **record = record_at(gil);
    if (*record == NULL)
        *record = new_record(gil);
    if (*record != NULL && (*record)->journal.generation != gil->state.generation)
        adopt(gil, *record, asked, holds);
    if (current != NULL)
        hot = current; /* once its journal is this generation's */
    return *record;
}

/* Slow path of follow: if this is `lock` of that GIL still. */
__attribute__((noinline, cold)) static gp_thread *follow_first(gp_gil *gil, const void *const *lock,
                                                               const void *is, uint64_t asked)
{
    if (hidden || gp_gil_table_is_locking() || !gp_gil_state_running(&gil->state))
        return NULL;
    gp_gil_lock(gil);
    bool traced = gp_gil_table_is(lock, is) && gp_gil_state_running(&gil->state);
    gp_thread *thread = traced ? begin_to_follow(gil, asked, false) : NULL;
    if (thread != NULL && ++gil->newcomers % NEWCOMERS == 0)
        gp_gil_state_read(&gil->state, gp_stream_known_until(&gil->state.stream));
    gp_gil_unlock(gil);
    return thread;
}

static inline bool is_followed(const gp_gil *gil, const gp_thread *thread)
{
    return thread != NULL && thread->journal.generation == gil->state.generation;
}

/* The calling thread's record, valid for this generation; NULL if it has none: without a trace, without
 * memory.
 */
static inline gp_thread *follow(gp_gil *gil, const void *const *lock, const void *is, uint64_t asked)
{
    gp_thread *thread = __builtin_expect(gil == main_gil, 1) ? current : *record_at(gil);
    return __builtin_expect(is_followed(gil, thread), 1) ? thread : follow_first(gil, lock, is, asked);
}

/* ---- where the calling thread is ---- */

/* The places that it remembers are of code objects some of which may have gone. */
__attribute__((noinline, cold)) static void forget_places(const gp_gil *gil, gp_thread *thread)
{
    thread->places_since = gil->state.changes;
    gp_paths_clear(&thread->paths);
    thread->usual.first = 0;
    memset(thread->recent, 0xFF, sizeof thread->recent);
}

__attribute__((noinline)) static uint32_t where_in_stack(gp_gil *gil, gp_thread *thread)
{
    uint32_t place = gp_tracer.host->recognise(&thread->paths, NULL);
    return __builtin_expect(place != GP_ROW_NONE, 1) ? place
                                                     : gp_places_path(&gil->state.places, &thread->paths);
}

/* A thread's places are often instructions of one function. */
static inline gp_recent_place *recent_at(gp_thread *thread, const void *instruction)
{
    return &thread->recent[(uintptr_t)instruction / 2 % GP_RECENT_PLACES];
}

/* Where no session wants stacks. */
static uint32_t where_alone(gp_gil *gil, gp_thread *thread)
{
    gp_site_key key = gp_tracer.host->here();
    bool lasting;
    if (key.code == NULL)
        return GP_NO_FRAME;
    uint32_t place = gp_places_site(&gil->state.places, key, &lasting);
    const char *instruction = (const char *)key.code + gp_tracer.host->code_begins + key.instruction;
    if (lasting && place != GP_ROW_NONE)
        *recent_at(thread, instruction) = (gp_recent_place){instruction, gp_release_at(place, false)};
    return place;
}

/* A number of the GIL's places. With the GIL. */
static uint32_t where(gp_gil *gil, gp_thread *thread)
{
    if (gil->state.wanting_sites == 0)
        return GP_ROW_NONE;
    if (thread->places_since != gil->state.changes)
        forget_places(gil, thread);
    return gil->state.wanting_stacks != 0 ? where_in_stack(gil, thread) : where_alone(gil, thread);
}

/* The places of another GIL than the main one may go without that GIL: when its row is given to another. */
__attribute__((noinline, cold)) static uint32_t where_elsewhere(gp_gil *gil, gp_thread *thread)
{
    if (gil->state.wanting_sites == 0 || gp_gil_table_is_locking())
        return GP_ROW_NONE;
    gp_gil_lock(gil);
    uint32_t place = is_followed(gil, thread) ? where(gil, thread) : GP_ROW_NONE;
    gp_gil_unlock(gil);
    return place;
}

static inline uint32_t where_at(gp_gil *gil, gp_thread *thread)
{
    return __builtin_expect(gil == main_gil, 1) ? where(gil, thread) : where_elsewhere(gil, thread);
}

/* The same where the thread runs no Python code: the native code that has called in, by name. The names are
 * found with the main GIL. */
__attribute__((noinline, cold)) static uint32_t where_native(const gp_gil *gil, gp_thread *thread,
                                                             const char *frame)
{
    uint32_t place = gil == main_gil ? gp_native_caller(frame, gp_native_named, GP_NO_FRAME) : GP_NO_FRAME;
    /* release: who finds the number finds the name */
    atomic_store_explicit(&thread->native, place != GP_NO_FRAME ? place : 0, memory_order_release);
    return place;
}

static inline uint32_t where_called(gp_gil *gil, gp_thread *thread, const char *frame)
{
    uint32_t place = where_at(gil, thread);
    return __builtin_expect(place == GP_NO_FRAME, 0) ? where_native(gil, thread, frame) : place;
}

/* ---- the books, kept by threads that pass by ---- */

/* Whether there are recordings that the threads of the program have to write: then each release is due.
 * Relaxed: the first of them knows as it was there when the recording began, and to the others it does not
 * matter from when on. */
static inline bool nobody_writes(void)
{
    return atomic_load_explicit(&gp_recorders_without_thread, memory_order_relaxed) != 0;
}

/* Without the GIL, which nobody has to wait for meanwhile. If the reader does not keep up, the next taking
 * must look whether there is room. */
__attribute__((noinline)) static void keep_books(gp_gil *gil, gp_journal *journal)
{
    if (__builtin_expect(gp_thread_adds_up(gp_thread_of(journal)), 0))
        gp_thread_add_up(gp_thread_of(journal));
    if (gp_journal_unread(journal) >= GP_JOURNAL_DUE && gp_gil_state_running(&gil->state) &&
        gp_gil_try_lock(gil)) {
        gp_gil_state_read(&gil->state, gp_stream_known_until(&gil->state.stream));
        gp_gil_unlock(gil);
    }
    uint64_t noted = atomic_load_explicit(&journal->noted, memory_order_relaxed),
             unread = gp_journal_unread(journal);
    bool keeps_up = unread < GP_JOURNAL_DUE && !nobody_writes();
    journal->due = keeps_up ? noted - unread + GP_JOURNAL_DUE : noted;
    if (!gp_journal_has_room(journal))
        journal->changes = 0;
}

/* With the GIL: the journal has no room for a note. Returns whether it has now. */
__attribute__((noinline, cold)) static bool make_room(gp_gil *gil, gp_journal *journal)
{
    if (gp_thread_adds_up(gp_thread_of(journal)))
        gp_thread_add_up(gp_thread_of(journal));
    if (gp_gil_table_is_locking())
        return false;
    gp_gil_lock(gil);
    gp_gil_state_read(&gil->state, gp_clock_ticks());
    gp_gil_unlock(gil);
    return gp_journal_has_room(journal);
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

/* Whether the process has one thread only, as far as that is known. */
static inline bool alone(void)
{
    return *gp_tracer.in_one_thread;
}

#if defined(__GLIBC__)
/* <sys/single_threaded.h>, glibc 2.32; weak, so that older ones are served too */
extern char __libc_single_threaded __attribute__((weak));

static const char *knows_if_alone(void)
{
    return &__libc_single_threaded;
}
#else
static const char *knows_if_alone(void)
{
    return NULL;
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

/* Threads come back to the GIL later than without us, so that more of them meet at its mutex; and to sleep
 * for it costs more than the time for which it is held. */
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

static inline bool is_taken(const gp_gil *gil)
{
    return gil == main_gil && __atomic_load_n(gp_tracer.taken, __ATOMIC_RELAXED) > 0;
}

/* Our hooks make each hold longer. A thread that finds the GIL taken for that reason only must not sleep:
 * then threads that release it a million times a second would do little else, at the cost of some system
 * calls each time. So it lets the holder finish. Returns the time. */
static uint64_t let_holder_finish(const gp_gil *gil, uint64_t since)
{
    uint64_t now = since;
    while (is_taken(gil) && now - since < gp_tracer.courtesy_ticks) {
        pause_briefly();
        now = gp_clock_ticks();
    }
    return now;
}

static int lock_patiently(pthread_mutex_t *mutex, uint64_t since)
{
    int status = lock_soon(mutex, since);
    return status == EBUSY ? call_lock(mutex) : status;
}

static inline int try_lock(pthread_mutex_t *mutex)
{
    return __atomic_load_n(&gp_tracer.try_lock, __ATOMIC_RELAXED)(mutex);
}

/* Without an atomic operation in a process of one thread: glibc's pthread_mutex_lock does without it there,
 * unlike pthread_mutex_trylock, and it can't block. EBUSY if it might. */
static inline int lock_at_once(pthread_mutex_t *mutex)
{
    return __builtin_expect(alone(), 0) ? call_lock(mutex) : try_lock(mutex);
}

/* The thread waits, for the GIL or for its mutex. */
static void ask(gp_gil *gil, gp_thread *thread, uint64_t now)
{
    gp_journal_ask(&thread->journal, now);
    gp_stream_list(&gil->state.stream, &thread->journal);
}

/* An interposer must see the call itself. Then only the time tells whether it blocked. */
static int lock_behind_interposer(gp_gil *gil, gp_thread *thread, pthread_mutex_t *mutex)
{
    uint64_t before = gp_clock_ticks();
    int status = call_lock(mutex);
    if (gp_clock_ticks() - before >= gp_tracer.blocked_ticks)
        ask(gil, thread, before);
    return status;
}

/* The GIL or its mutex is taken by another thread. Whoever gets it soon has asked no less, but need not be
 * listed for that. */
__attribute__((noinline, cold)) static int lock_to_take_slowly(gp_gil *gil, gp_thread *thread,
                                                               pthread_mutex_t *mutex)
{
    if (!hooks_are_direct())
        return lock_behind_interposer(gil, thread, mutex);
    uint64_t before = gp_clock_ticks();
    gp_journal_ask(&thread->journal, before);
    uint64_t now = let_holder_finish(gil, before);
    int status = pthread_mutex_trylock(mutex);
    if (status == EBUSY)
        status = lock_soon(mutex, now);
    if (status != EBUSY)
        return status;
    gp_stream_list(&gil->state.stream, &thread->journal);
    return call_lock(mutex);
}

/* take_gil begins. */
static inline int lock_to_take(gp_gil *gil, gp_thread *thread, pthread_mutex_t *mutex)
{
    thread->journal.doing = GP_JOURNAL_TAKES;
    thread->journal.asking = GP_ASKED_AT_ONCE;
    int status = is_taken(gil) ? EBUSY : lock_at_once(mutex);
    return __builtin_expect(status == EBUSY, 0) ? lock_to_take_slowly(gil, thread, mutex) : status;
}

/* Why does the thread let the GIL go? And remember the path by which it came, if it is the usual one. */
static bool is_forced(gp_gil *gil, gp_thread *thread, const char *frame)
{
    if (!gp_tracer.releases_told_apart)
        return false;
    if (gp_callers_judge(&gil->releases, frame, &thread->release_path) == GP_CALLERS_FIRST)
        return true;
    const gp_callers_path *path = thread->release_path;
    if (gil == main_gil && gp_tracer.last_holder != NULL && path != NULL &&
        path->verdict == GP_CALLERS_SECOND && path->nth == 0 && path->depth <= 2 &&
        gp_callers_came_by(path, frame))
        thread->usual = (gp_short_path){path->levels[0].address, path->levels[path->depth - 1].address,
                                        path->levels[path->depth - 1].offset};
    return false;
}

/* The hold ends here. `frame` is the wrapper's. */
__attribute__((noinline)) static void note_release(gp_gil *gil, gp_thread *thread, const char *frame,
                                                   uint64_t now)
{
    if (__builtin_expect(gil->state.wanting_cpu != 0, 0))
        atomic_store_explicit(&thread->journal.cpu_until, gp_clock_thread_cpu_ns(), memory_order_relaxed);
    uint32_t place = where_called(gil, thread, frame);
    gp_journal_release(&thread->journal, now, place, is_forced(gil, thread, frame));
}

__attribute__((noinline, cold)) static int lock_to_release_slowly(pthread_mutex_t *mutex)
{
    return hooks_are_direct() ? lock_patiently(mutex, gp_clock_ticks()) : call_lock(mutex);
}

static int lock_to_release(pthread_mutex_t *mutex)
{
    int status = lock_at_once(mutex);
    return __builtin_expect(status == EBUSY, 0) ? lock_to_release_slowly(mutex) : status;
}

__attribute__((noinline, cold)) static int lock_first(gp_gil *gil, pthread_mutex_t *mutex)
{
    if (current == NULL && elsewhere == NULL && !hidden && nobody_writes())
        gp_recorder_bring_threads(); /* the process has a second thread */
    gp_thread *thread = follow_first(gil, &gil->locks.mutex, mutex, GP_ASKED_AT_ONCE);
    return thread != NULL ? lock_to_take(gil, thread, mutex) : call_lock(mutex);
}

/* Where `frame` is asked for, it is that of the wrapper, which ends with a jump to the function that asks. */
static inline int lock_of_gil(gp_gil *gil, gp_thread *thread, pthread_mutex_t *mutex, const char *frame)
{
    if (!is_followed(gil, thread))
        return lock_first(gil, mutex);
    if (!gp_journal_holds(&thread->journal))
        return lock_to_take(gil, thread, mutex);
    if (thread->journal.doing == GP_JOURNAL_HOLDS)
        note_release(gil, thread, frame, gp_clock_ticks()); /* drop_gil begins */
    return lock_to_release(mutex);
}

/* Rows beyond the main GIL's are looked at only if there are any. */
static inline bool others(void)
{
    return __builtin_expect(__atomic_load_n(&gp_tracer.other_count, __ATOMIC_RELAXED) != 0, 0);
}

/* The thread locks the forced-switching mutex: if it takes the GIL it has it now. Else it waits for another
 * to take it. A thread whose release we have not seen may be in both. */
static inline void note_taken(gp_thread *thread)
{
    gp_journal *journal = &thread->journal;
    if (journal->doing == GP_JOURNAL_WAITS)
        journal->doing = GP_JOURNAL_WAITED;
    else if (journal->doing == GP_JOURNAL_TAKES || (journal->doing == GP_JOURNAL_OFF && journal->fresh))
        journal->doing = GP_JOURNAL_TAKEN;
}

__attribute__((noinline, cold)) static void note_first_taken(const void *switch_mutex)
{
    gp_thread *thread = follow_first(main_gil, &main_gil->locks.switch_mutex, switch_mutex, GP_ASKED_UNSEEN);
    if (thread != NULL)
        note_taken(thread);
}

static int lock_switch_mutex(pthread_mutex_t *mutex)
{
    if (is_followed(main_gil, current))
        note_taken(current);
    else
        note_first_taken(mutex);
    return call_lock(mutex);
}

/* The release in the handshake is voluntary. If that is not found out, no verdict is to be trusted. */
__attribute__((noinline, cold)) static void note_lock(const void *mutex, const char *frame)
{
    const gp_callers_path *path = NULL;
    if (notes->count == 0)
        gp_tracer.releases_told_apart =
            gp_callers_judge(&main_gil->releases, frame, &path) == GP_CALLERS_SECOND;
    note(GP_CALL_LOCK, mutex);
}

/* Mutexes among which those of other GILs are, seen for the first time maybe. */
__attribute__((noinline, cold)) static int lock_other(pthread_mutex_t *mutex, const char *frame)
{
    const void *before = locked;
    gp_gil *gil = others() ? gp_gil_table_with_mutex(mutex) : NULL;
    locked = mutex;
    if (gil != NULL)
        return lock_of_gil(gil, *record_at(gil), mutex, frame);
    if (notes != NULL)
        note_lock(mutex, frame);
    int status = call_lock(mutex);
    if (status != 0 || before == NULL || !gp_gil_state_running(&main_gil->state) ||
        !gp_gil_table_recognise(&gp_tracer.known, before, mutex))
        return status;
    gil = gp_tracer.recognise(before, mutex);
    gp_thread *thread = gil != NULL ? follow(gil, &gil->locks.switch_mutex, mutex, GP_ASKED_AT_ONCE) : NULL;
    if (thread != NULL)
        note_taken(thread);
    return status;
}

/* The straight path: the thread does at the main GIL what it has done before, nothing has changed since, and
 * nobody wants to know more than places. What is asked of the journal is then known. */
static inline bool is_as_usual(const gp_thread *thread)
{
    /* relaxed: see gp_gil_state_change */
    return thread->journal.changes == __atomic_load_n(&main_gil->state.changes, __ATOMIC_RELAXED);
}

/* A frame that somebody has been given must last until they return, so their call must not be a jump. */
static inline int have_kept_frame(int status)
{
    __asm__ volatile("" : "+r"(status));
    return status;
}

__attribute__((noinline)) static int lock_in_full(pthread_mutex_t *mutex)
{
    if (gp_gil_table_is(&main_gil->locks.mutex, mutex))
        return have_kept_frame(lock_of_gil(main_gil, current, mutex, __builtin_frame_address(0)));
    return gp_gil_table_is(&main_gil->locks.switch_mutex, mutex)
               ? lock_switch_mutex(mutex)
               : have_kept_frame(lock_other(mutex, __builtin_frame_address(0)));
}

GP_HOT static int take_beside_others(pthread_mutex_t *mutex)
{
    int status = is_taken(main_gil) ? EBUSY : try_lock(mutex);
    return __builtin_expect(status == EBUSY, 0)
               ? lock_to_take_slowly(main_gil, hot, (pthread_mutex_t *)gp_tracer.known.mutex)
               : status;
}

/* Whether it came by the path by which it comes mostly. */
static inline bool came_as_usual(const gp_thread *thread, const char *frame)
{
    const gp_short_path *usual = &thread->usual;
    return __builtin_expect(usual->first == (uintptr_t)__builtin_return_address(0), 1) &&
           __builtin_expect(usual->second == *(const uintptr_t *)(frame + usual->offset), 1);
}

/* False: it has not let the GIL go there before. NULL (no frame) is never remembered. */
static inline bool find_usual_place(gp_thread *thread, const void *state, uint64_t *release)
{
    if (__builtin_expect(thread->usual_depth == GP_DEPTH_ONE, 1)) {
        const void *instruction = gp_tracer.instruction(state);
        const gp_recent_place *recent = recent_at(thread, instruction);
        *release = recent->release;
        return recent->instruction == instruction;
    }
    bool wanted = thread->usual_depth == GP_DEPTH_ALL;
    uint32_t place = wanted ? gp_tracer.host->recognise(&thread->paths, state) : GP_ROW_NONE;
    *release = gp_release_at(place, false);
    return !wanted || place != GP_ROW_NONE;
}

static inline bool note_usual_release(gp_thread *thread, const void *state)
{
    uint64_t now = gp_clock_counter(), release;
    if (__builtin_expect(!find_usual_place(thread, state, &release), 0))
        return false;
    gp_journal_release_at(&thread->journal, now, release);
    return true;
}

/* drop_gil begins. */
GP_HOT static int let_go(gp_thread *thread)
{
    if (__builtin_expect(!came_as_usual(thread, __builtin_frame_address(0)), 0) ||
        __builtin_expect(!note_usual_release(thread, *gp_tracer.last_holder), 0))
        note_release(main_gil, thread, __builtin_frame_address(0), gp_clock_counter());
    pthread_mutex_t *mutex =
        (pthread_mutex_t *)thread->journal.mutex; /* cheaper than to keep what was given */
    int status = lock_at_once(mutex);
    return __builtin_expect(status == EBUSY, 0) ? lock_to_release_slowly(mutex) : status;
}

__attribute__((hot)) static int hooked_lock(pthread_mutex_t *mutex)
{
    gp_thread *thread = hot;
    gp_journal *journal = &thread->journal;
    if (mutex == journal->mutex && is_as_usual(thread)) {
        if (journal->doing == GP_JOURNAL_HOLDS)
            return let_go(thread);
        journal->doing = GP_JOURNAL_TAKES;
        return alone() ? call_lock(mutex) : take_beside_others(mutex);
    }
    if (mutex != journal->switch_mutex || journal->doing != GP_JOURNAL_TAKES)
        return lock_in_full(mutex);
    journal->doing = GP_JOURNAL_TAKEN;
    return call_lock(mutex);
}

/* The thread finds the GIL taken. Called again each time round the interpreter's loop. */
static void wait_for(gp_gil *gil, const void *cond)
{
    gp_thread *thread = follow(gil, &gil->locks.cond, cond, GP_ASKED_UNSEEN);
    if (thread == NULL)
        return;
    uint64_t asked = thread->journal.asking;
    if (asked <= GP_ASKED_AT_ONCE)
        gp_journal_ask(&thread->journal, asked == GP_ASKED_UNSEEN ? GP_ASKED_EARLIER : gp_clock_ticks());
    gp_stream_list(&gil->state.stream, &thread->journal);
}

/* Have the holder looked at for which the thread waits. A looker is started without the GIL's mutex: then the
 * thread must see again whether it has to wait, as after any wake-up that has no reason. */
__attribute__((noinline, cold)) static bool begin_to_look(pthread_mutex_t *mutex)
{
    if (gp_looker_hear_of_wait() || gp_gil_table_is_locking())
        return false;
    call_unlock(mutex);
    gp_looker_begin();
    call_lock(mutex);
    return true;
}

static bool wait_and_look(gp_gil *gil, const void *cond, pthread_mutex_t *mutex)
{
    wait_for(gil, cond);
    return gil->state.wanting_looks != 0 && begin_to_look(mutex);
}

static int hooked_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    gp_gil *other;
    bool awake = false;
    if (gp_gil_table_is(&main_gil->locks.cond, cond))
        awake = wait_and_look(main_gil, cond, mutex);
    else if (others() && (other = gp_gil_table_with_cond(cond)) != NULL)
        awake = wait_and_look(other, cond, mutex);
    else if (__builtin_expect(notes != NULL, 0))
        note(GP_CALL_TIMEDWAIT, cond);
    return awake ? 0 : call_timedwait(cond, mutex, until);
}

/* Whether the thread has no room for its note. Its hold is then off time in the books, and counted as lost.
 */
__attribute__((noinline, cold)) static bool has_no_room(gp_gil *gil, gp_journal *journal)
{
    if (make_room(gil, journal))
        return false;
    gp_journal_ask(journal, 0); /* it waits no longer */
    journal->doing = GP_JOURNAL_LOST;
    /* relaxed: whoever changes it has the GIL, too */
    __atomic_store_n(&gil->state.notes_lost, gil->state.notes_lost + 1, __ATOMIC_RELAXED);
    return true;
}

/* From now on the journal goes the straight path, if nothing stands against it. */
static void go_straight(const gp_gil *gil, gp_thread *thread)
{
    if (gil != main_gil || gil->state.wanting_cpu != 0 || gp_clock_selected != GP_CLOCK_COUNTER ||
        gp_journal_unread(&thread->journal) >= GP_JOURNAL_DUE)
        return;
    if (thread->places_since != gil->state.changes)
        forget_places(gil, thread);
    if (nobody_writes())
        thread->journal.due = 0;
    thread->usual_depth = gil->state.wanting_stacks != 0  ? GP_DEPTH_ALL
                          : gil->state.wanting_sites != 0 ? GP_DEPTH_ONE
                                                          : GP_DEPTH_NONE;
    thread->journal.changes = gil->state.changes;
    thread->journal.mutex = gp_tracer.known.mutex;
    thread->journal.switch_mutex = gp_tracer.known.switch_mutex;
}

__attribute__((noinline, cold)) static void note_first_place(gp_gil *gil, gp_thread *thread,
                                                             const char *frame)
{
    gp_journal_place(&thread->journal, where_called(gil, thread, frame));
    thread->journal.fresh = false;
}

/* The thread has got the GIL. */
static inline void note_taking(gp_gil *gil, gp_thread *thread, const char *frame)
{
    uint64_t now = gp_clock_ticks();
    gp_journal *journal = &thread->journal;
    if (__builtin_expect(!gp_journal_has_room(journal) && has_no_room(gil, journal), 0))
        return;
    if (__builtin_expect(journal->fresh, 0))
        note_first_place(gil, thread, frame);
    gp_stream_take(&gil->state.stream, journal);
    if (__builtin_expect(gil->state.wanting_cpu != 0, 0))
        gp_journal_keep_cpu(journal);
    gp_journal_take(journal, now);
    if (__builtin_expect(gil->state.wanting_cpu != 0, 0))
        gp_journal_begin_cpu(journal, gp_clock_thread_cpu_ns());
    if (journal->changes != gil->state.changes)
        go_straight(gil, thread);
}

/* The end of take_gil: it has woken whoever was made to switch, and lets the others go on. */
static inline int unlock_taken(gp_gil *gil, gp_thread *thread, pthread_mutex_t *mutex, const char *frame)
{
    int status = call_unlock(mutex);
    note_taking(gil, thread, frame);
    return status;
}

/* Without the forced-switching mutex, and without a wait, a thread has let go a GIL that it had before we saw
 * it. One that waited must exit. */
__attribute__((noinline, cold)) static void note_first_release(gp_gil *gil, gp_thread *thread,
                                                               const char *frame)
{
    gp_stream_list(&gil->state.stream, &thread->journal); /* it took the GIL unseen */
    note_release(gil, thread, frame, gp_clock_ticks());
    gp_stream_list(&gil->state.stream, &thread->journal);
    thread->journal.fresh = false;
}

/* The end of drop_gil: then neither the GIL nor a lock of it is this thread's. */
static inline int unlock_released(gp_gil *gil, gp_thread *thread, pthread_mutex_t *mutex, const char *frame)
{
    gp_journal *journal = &thread->journal;
    if (__builtin_expect(journal->doing == GP_JOURNAL_TAKES && journal->fresh, 0))
        note_first_release(gil, thread, frame);
    uint64_t now = gp_journal_released(journal);
    journal->doing = GP_JOURNAL_OFF;
    int status = call_unlock(mutex);
    if (atomic_load_explicit(&journal->noted, memory_order_relaxed) >= journal->due)
        keep_books(gil, journal);
    if (nobody_writes() && !gp_gil_table_is_locking())
        gp_recorder_attend(now);
    return status;
}

static inline int unlock_of_gil(gp_gil *gil, gp_thread *thread, pthread_mutex_t *mutex, const char *frame)
{
    if (!is_followed(gil, thread))
        return call_unlock(mutex);
    if (thread->journal.doing == GP_JOURNAL_TAKEN || thread->journal.doing == GP_JOURNAL_WAITED)
        return unlock_taken(gil, thread, mutex, frame);
    return unlock_released(gil, thread, mutex, frame);
}

__attribute__((noinline, cold)) static int unlock_other(pthread_mutex_t *mutex, const char *frame)
{
    gp_gil *gil = others() ? gp_gil_table_with_mutex(mutex) : NULL;
    if (mutex == locked)
        locked = NULL;
    if (notes != NULL)
        note(GP_CALL_UNLOCK, mutex);
    return gil != NULL ? unlock_of_gil(gil, *record_at(gil), mutex, frame) : call_unlock(mutex);
}

__attribute__((noinline)) static int unlock_in_full(pthread_mutex_t *mutex)
{
    if (gp_gil_table_is(&main_gil->locks.mutex, mutex))
        return have_kept_frame(unlock_of_gil(main_gil, current, mutex, __builtin_frame_address(0)));
    return gp_gil_table_is(&main_gil->locks.switch_mutex, mutex)
               ? call_unlock(mutex)
               : have_kept_frame(unlock_other(mutex, __builtin_frame_address(0)));
}

/* Another thread has taken the GIL before. */
GP_HOT static int note_hand_over(gp_journal *journal, int status, uint64_t now)
{
    gp_stream_take(&main_gil->state.stream, journal);
    gp_journal_publish(journal, GP_ASKED_AT_ONCE, now);
    return status;
}

GP_HOT static int have_taken(pthread_mutex_t *mutex, gp_journal *journal)
{
    int status = call_unlock(mutex);
    uint64_t now = gp_clock_counter();
    if (!gp_stream_is_latest(&main_gil->state.stream, journal))
        return note_hand_over(journal, status, now);
    gp_journal_publish(journal, GP_ASKED_AT_ONCE, now);
    return status;
}

__attribute__((hot)) static int hooked_unlock(pthread_mutex_t *mutex)
{
    gp_thread *thread = hot;
    gp_journal *journal = &thread->journal;
    if (mutex == journal->mutex) {
        if (journal->doing == GP_JOURNAL_RELEASES &&
            atomic_load_explicit(&journal->noted, memory_order_relaxed) < journal->due) {
            journal->doing = GP_JOURNAL_OFF;
            return call_unlock(mutex);
        }
        return journal->doing == GP_JOURNAL_TAKEN && is_as_usual(thread) ? have_taken(mutex, journal)
                                                                         : unlock_in_full(mutex);
    }
    return mutex == journal->switch_mutex ? call_unlock(mutex) : unlock_in_full(mutex);
}

static int hooked_signal(pthread_cond_t *cond)
{
    if (notes != NULL)
        note(GP_CALL_SIGNAL, cond);
    return call_signal(cond);
}

static int hooked_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    if (notes != NULL)
        note(GP_CALL_WAIT, cond);
    return call_wait(cond, mutex);
}

/* ---- what stands in the slots, and when ---- */

gp_status gp_wrappers_find(const gp_tracer_host *host, const char **reason)
{
    gp_callers_prepare(host->interpreter);
    gp_native_caller_prepare(host->interpreter);
    memcpy(gp_tracer.hooks, wrappers, sizeof wrappers);
    for (size_t i = 0; i < GP_CALLS; i++)
        gp_tracer.hooks[i].next = &gp_tracer.next[i];
    gp_tracer.in_one_thread = knows_if_alone() != NULL ? knows_if_alone() : &unknown;
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
    main_gil->releases.wrapper = (const void *)hooked_lock;
    gp_status status = install(GP_CALLS, false);
    if (status != GP_OK)
        return status;
    notes = taken;
    host->cycle_gil();
    notes = NULL;
    uninstall(GP_CALLS);
    return GP_OK;
}

void gp_wrappers_prepare(const gp_tracer_host *host, const gp_gil_locks *locks,
                         gp_wrappers_recognise *recognise)
{
    gp_tracer.recognise = recognise;
    gp_tracer.host = host;
    gp_tracer.instruction = host->instruction;
    gp_tracer.known = *locks;
    gp_tracer.last_holder = host->last_holder != NULL ? host->last_holder(locks->cond) : NULL;
    const int *taken = host->taken != NULL ? host->taken(locks->cond) : NULL;
    gp_tracer.taken = taken != NULL ? taken : &never;
    gp_tracer.blocked_ticks = gp_clock_from_ns(gp_clock_rate_estimate(), BLOCKED_NS);
    gp_tracer.patience_ticks = gp_clock_from_ns(gp_clock_rate_estimate(), PATIENCE_NS);
    gp_tracer.courtesy_ticks = gp_clock_from_ns(gp_clock_rate_estimate(), COURTESY_NS);
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
    return install(LASTING_HOOKS, still_called);
}

void gp_wrappers_remove(void)
{
    uninstall(LASTING_HOOKS);
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
    return hidden ? NULL : begin_to_follow(main_gil, GP_ASKED_AT_ONCE, true);
}

bool gp_wrappers_have_gil(void)
{
    return is_followed(main_gil, current) && gp_gil_state_running(&main_gil->state) &&
           current->journal.doing == GP_JOURNAL_HOLDS;
}

static bool is_to_add_up(const gp_thread *thread)
{
    return gp_thread_adds_up(thread) &&
           atomic_load_explicit(&thread->journal.noted, memory_order_relaxed) - thread->own.counted >=
               GP_JOURNAL_DUE;
}

void gp_tracer_tag(uint32_t tag)
{
    tagged = tag;
    if (!gp_wrappers_have_gil())
        return;
    gp_journal *journal = &current->journal;
    if (__builtin_expect(is_to_add_up(current), 0))
        gp_thread_add_up(current);
    if (__builtin_expect(!gp_journal_has_room(journal), 0) && !make_room(main_gil, journal))
        return; /* so much memory is missing that the books are wrong anyway */
    gp_journal_tag(journal, tag, gp_clock_ticks());
}

uint32_t gp_tracer_tagged(void)
{
    return tagged;
}

uint32_t gp_wrappers_where(gp_gil *gil)
{
    gp_thread *thread = *record_at(gil);
    return is_followed(gil, thread) ? where(gil, thread) : GP_ROW_NONE;
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
