#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "base/gp_clock.h"
#include "base/gp_thread_local.h"
#include "locks/gp_lock_state.h"
#include "recording/gp_format.h"

enum {
    LEVELS_MAX = 32,        /* of the stack, until one is the user's */
    STACK_LEVELS_MAX = 128, /* of a whole stack: the outermost beyond are left out */
};

/* glibc 2.30 and later */
extern int sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *until) __attribute__((weak));

GP_THREAD_LOCAL bool busy;            /* inside a hook: a signal's handler must not come in again */
GP_THREAD_LOCAL gp_lock_trial *trial; /* not NULL: this thread is on trial */
GP_THREAD_LOCAL bool trial_waits;     /* it is the one that waits */

#define NEXT(call) __atomic_load_n(&gp_lock_state.next[call], __ATOMIC_RELAXED)

#define SET(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define GET(field) atomic_load_explicit(&(field), memory_order_relaxed)

/* ---- where the thread is ---- */

/* Where it waits or releases: the innermost level that is the user's, and what that called. */
typedef struct {
    uint32_t place;
    uint32_t helper;   /* place of the function of threading or queue that was called there; GP_ROW_NONE */
    bool work;         /* it waits for work */
    const void *level; /* the innermost that runs Python code; NULL: none */
    uint32_t stack;    /* 0: not known, or not wanted */
} where;

static void describe(gp_lock_spot *spot)
{
    gp_buffer *text = &gp_lock_state.text;
    gp_buffer_clear(text);
    gp_buffer_number(text, GP_PLACE_PYTHON);
    spot->role = gp_lock_state.host->describe(spot, text);
    spot->place = gp_places_described(&gp_lock_state.places, text);
}

__attribute__((noinline)) static const gp_lock_spot *meet(gp_lock_journal *journal, const gp_lock_spot *spot)
{
    int saved = errno;
    gp_lock_spot *added = gp_lock_add_spot(&journal->known, spot);
    added->place = GP_ROW_NONE;
    if (gp_lock_try(&gp_lock_state.names_lock)) {
        describe(added);
        pthread_mutex_unlock(&gp_lock_state.names_lock);
    }
    errno = saved;
    return added;
}

static const gp_lock_spot *recognise(gp_lock_journal *journal, const gp_lock_spot *spot)
{
    const gp_lock_spot *known = gp_lock_find_spot(&journal->known, spot);
    return __builtin_expect(known != NULL, 1) ? known : meet(journal, spot);
}

static where find_place(gp_lock_journal *journal)
{
    gp_lock_spot spot;
    const void *level = gp_lock_state.host->innermost(&spot);
    where found = {GP_NO_FRAME, GP_ROW_NONE, false, level, 0};
    for (int i = 0; i < LEVELS_MAX && level != NULL; i++) {
        const gp_lock_spot *known = recognise(journal, &spot);
        found.place = known->place;
        if (known->role == GP_LOCK_ROLE_USER)
            break;
        found.helper = known->place;
        found.work |= known->role == GP_LOCK_ROLE_WORK;
        level = gp_lock_state.host->outer(level, &spot);
    }
    return found;
}

/* The number of a stack that the thread has not met, or not for long. */
static uint32_t meet_stack(uint32_t outer, uint32_t place)
{
    if (!gp_lock_try(&gp_lock_state.names_lock))
        return 0;
    gp_rows *stacks = &gp_lock_state.stacks;
    const gp_lock_row *row = gp_lock_table_row(
        stacks, (gp_lock_row_key){.kind = GP_LOCK_ROW_STACK, .lock = outer, .place = place});
    uint32_t number = row != NULL ? (uint32_t)(row - (const gp_lock_row *)stacks->rows) + 1 : 0;
    pthread_mutex_unlock(&gp_lock_state.names_lock);
    return number;
}

static uint32_t stack_of(gp_lock_known *known, const uint32_t *places, size_t count)
{
    uint32_t stack = 0;
    while (count-- > 0) {
        gp_lock_level *level = gp_lock_level_of(known, stack, places[count]);
        if (level->number == 0 || level->outer != stack || level->place != places[count])
            *level = (gp_lock_level){stack, places[count], meet_stack(stack, places[count])};
        stack = level->number;
        if (stack == 0)
            break;
    }
    return stack;
}

/* The whole stack of the calling thread. What is outside of its last levels is left out. */
__attribute__((noinline)) static uint32_t find_stack(gp_lock_journal *journal)
{
    int saved = errno;
    uint32_t places[STACK_LEVELS_MAX];
    size_t count = 0;
    gp_lock_spot spot;
    const void *level = gp_lock_state.host->innermost(&spot);
    while (count < STACK_LEVELS_MAX && level != NULL) {
        places[count++] = recognise(journal, &spot)->place;
        level = gp_lock_state.host->outer(level, &spot);
    }
    uint32_t stack = stack_of(&journal->known, places, count);
    errno = saved;
    return stack;
}

/* Where it waits, with the whole stack if any session wants that. */
static where find_wait(gp_lock_journal *journal)
{
    where at = find_place(journal);
    if (GET(gp_lock_state.stacks_wanted) != 0)
        at.stack = find_stack(journal);
    return at;
}

/* ---- what it waits for ---- */

static void describe_lock(uintptr_t key, bool parked, const where *at, gp_buffer *text)
{
    gp_buffer_clear(text);
    if (at->work) {
        gp_buffer_number(text, GP_LOCK_WORK);
        gp_buffer_number(text, (uint32_t)(at->helper + 1));
    } else {
        gp_lock_state.host->name(key, parked, at->level, text);
    }
}

__attribute__((noinline)) static uint32_t meet_lock(uintptr_t key, bool parked, const where *at)
{
    int saved = errno;
    if (!gp_lock_try(&gp_lock_state.names_lock))
        return GP_ROW_NONE;
    gp_buffer *text = &gp_lock_state.text;
    describe_lock(key, parked, at, text);
    uint32_t lock = gp_places_described(&gp_lock_state.locks, text);
    if (text->size == 1 && text->bytes[0] == GP_LOCK_STOP)
        SET(gp_lock_state.books.stop_lock, lock + 1);
    pthread_mutex_unlock(&gp_lock_state.names_lock);
    errno = saved;
    return lock;
}

static uint32_t find_lock(gp_lock_journal *journal, uintptr_t key, bool parked, const where *at)
{
    if (at->work)
        key = (uintptr_t)at->helper + 1; /* whatever lock that is: each wait has another */
    uint32_t lock = gp_lock_find_kind(&journal->known, key, at->place);
    if (lock != GP_ROW_NONE)
        return lock;
    lock = meet_lock(key, parked, at);
    if (lock != GP_ROW_NONE)
        gp_lock_add_kind(&journal->known, (gp_lock_kind){key, at->place, lock});
    return lock;
}

/* ---- notes ---- */

/* A note is written where it stays: see gp_lock_journal.h. */
static void publish(gp_lock_journal *journal)
{
    gp_lock_journal_publish(journal);
    gp_lock_books_list(&gp_lock_state.books, journal);
}

static uint32_t ticks32(uint64_t ticks)
{
    return ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
}

/* The thread spun, and then it had the lock, or tries another. */
static void end_spin(gp_lock_journal *journal)
{
    gp_lock_spin *spin = &journal->spin;
    uint64_t since = GET(spin->since), until = GET(spin->until);
    if (since == 0)
        return;
    gp_lock_note *note = gp_lock_journal_next(journal);
    if (note != NULL) {
        *note = (gp_lock_note){.since = since,
                               .until = until,
                               .key = GET(spin->key),
                               .place = GET(spin->place),
                               .lock = GET(spin->lock),
                               .stack = GET(spin->stack),
                               .flags = GP_LOCK_SPUN | (GET(spin->own) ? GP_LOCK_BY_ITSELF : 0),
                               .spun = ticks32(until - since)};
        publish(journal);
    }
    gp_lock_spin_end(spin);
}

/* The thread waits no longer. */
static void clear_waiting(gp_lock_journal *journal)
{
    atomic_store_explicit(&journal->waiting.key, 0, memory_order_release); /* after the note */
    SET(journal->waiting.since, 0);
    SET(journal->waiting.until, 0);
}

static void note_wait(gp_lock_journal *journal, uint64_t until, uint32_t flags)
{
    const gp_lock_waiting *waiting = &journal->waiting;
    gp_lock_note *note = gp_lock_journal_next(journal);
    if (note == NULL)
        return;
    *note = (gp_lock_note){.since = GET(waiting->since),
                           .until = until,
                           .key = GET(waiting->key),
                           .sem = GET(waiting->sem),
                           .place = GET(waiting->place),
                           .lock = GET(waiting->lock),
                           .stack = GET(waiting->stack),
                           .flags = flags | (GET(waiting->own) ? GP_LOCK_BY_ITSELF : 0),
                           .spun = GET(waiting->spun)};
    publish(journal);
}

/* A wait that failed, and did not go on. */
static void end_failed(gp_lock_journal *journal)
{
    uint64_t until = GET(journal->waiting.until);
    if (until == 0)
        return;
    note_wait(journal, until, GP_LOCK_FAILED);
    clear_waiting(journal);
}

/* Without a lock of ours, and not if another thread keeps the books. */
__attribute__((noinline)) static void keep_due_books(void)
{
    int saved = errno;
    if (pthread_mutex_trylock(&gp_lock_state.books_lock) == 0) {
        gp_lock_books_read(&gp_lock_state.books);
        pthread_mutex_unlock(&gp_lock_state.books_lock);
    }
    errno = saved;
}

static void keep_books(gp_lock_journal *journal)
{
    if (gp_lock_journal_has(journal, GP_LOCK_DUE))
        keep_due_books();
}

/* ---- waits ---- */

/* What is waited for with this semaphore. */
static uintptr_t key_of(const void *sem, const char *frame, bool *parked)
{
    *parked = gp_lock_state.host->parks && (uintptr_t)sem - (uintptr_t)frame < GP_LOCK_STACK_MAX;
    return *parked ? ((const uintptr_t *)sem)[-1] : (uintptr_t)sem;
}

static void learn_from_yield(gp_lock_journal *journal, uintptr_t key, uint64_t now)
{
    const gp_lock_yielded *yielded = &journal->yielded;
    int found = -1, count = 0;
    for (int i = 0; i < GP_LOCK_REGISTERS; i++)
        if (yielded->registers[i] == key) {
            found = i;
            count++;
        }
    if (count == 1 && now - yielded->when < gp_lock_state.pause_ticks)
        gp_lock_learn_spin(yielded->at, found);
    journal->yielded.at = NULL;
}

/* Whether the wait is the next try of one that failed. */
static bool tries_again(const gp_lock_journal *journal, uintptr_t key, uint32_t place, uint64_t now)
{
    uint64_t until = GET(journal->waiting.until);
    return until != 0 && GET(journal->waiting.key) == key && GET(journal->waiting.place) == place &&
           (journal->last_was_cut || now - until < gp_lock_state.gap_ticks);
}

/* Whether the thread goes on with its spin now, as far as can be told: within some yields it can't have seen
 * that the lock is free, however long it lasts until it runs again. */
static bool goes_on_with_spin(const gp_lock_journal *journal, uint64_t now, uint64_t gap)
{
    return !gp_lock_has_looked(&journal->spin, gp_lock_state.books.rhythm) ||
           now - GET(journal->spin.until) <= gap;
}

/* What the thread spun before belongs to its wait, if it was for the same lock. */
static uint64_t begin_of(gp_lock_journal *journal, uintptr_t key, uint64_t now, uint32_t *spun)
{
    uint64_t since = GET(journal->spin.since), until = GET(journal->spin.until),
             spins_for = GET(journal->spin.key);
    *spun = 0;
    if (since == 0)
        return now;
    if ((spins_for != 0 && spins_for != key) || !goes_on_with_spin(journal, now, gp_lock_state.pause_ticks)) {
        end_spin(journal);
        return now;
    }
    *spun = ticks32(until - since);
    gp_lock_spin_end(&journal->spin);
    return since;
}

/* The clock comes first: whatever takes time here, the thread waits meanwhile. */
static void begin_wait(gp_lock_journal *journal, const void *sem, const char *frame)
{
    gp_lock_waiting *waiting = &journal->waiting;
    uint64_t now = gp_clock_ticks(), since;
    uint32_t spun;
    bool parked;
    uintptr_t key = key_of(sem, frame, &parked);
    where at = find_wait(journal);
    if (journal->yielded.at != NULL)
        learn_from_yield(journal, parked ? key : 0, now);
    if (tries_again(journal, key, at.place, now)) {
        since = GET(waiting->since);
        SET(waiting->until, 0);
    } else {
        end_failed(journal);
        SET(waiting->key, key);
        SET(waiting->place, at.place);
        SET(waiting->stack, at.stack);
        SET(waiting->lock, find_lock(journal, key, parked, &at));
        since = begin_of(journal, key, now, &spun);
        SET(waiting->spun, spun);
        SET(waiting->own, spun != 0 && GET(journal->spin.own));
    }
    SET(waiting->sem, (uintptr_t)sem);
    journal->token = gp_lock_waiters_enter(&gp_lock_state.waiters, journal, (uintptr_t)sem);
    /* the last: who sees that it waits may count on it that a release is noted */
    atomic_store_explicit(&waiting->since, since, memory_order_release);
}

/* A thread that was woken and found the lock taken again parks once more: it is still the same wait. */
static uint32_t goes_on(gp_lock_journal *journal)
{
    gp_lock_waiting *waiting = &journal->waiting;
    uint64_t since = GET(waiting->since), gap = since - journal->last_until;
    if (journal->last_until == 0 || journal->last_key != GET(waiting->key) || !gp_lock_state.host->parks ||
        journal->last_place != GET(waiting->place) || gap > gp_lock_state.gap_ticks)
        return 0;
    SET(waiting->since, journal->last_until);
    return GP_LOCK_GOES_ON;
}

/* `error`: 0, or why the wait has failed. */
static void end_wait(gp_lock_journal *journal, int error)
{
    gp_lock_waiting *waiting = &journal->waiting;
    uint64_t now = gp_clock_ticks();
    uintptr_t sem = GET(waiting->sem);
    if (!GET(gp_lock_state.running)) {
        clear_waiting(journal);
    } else if (error != 0) {
        journal->last_was_cut = error == EINTR;
        journal->last_until = 0;
        SET(waiting->until, now);
    } else {
        note_wait(journal, now, goes_on(journal));
        journal->last_key = GET(waiting->key);
        journal->last_place = GET(waiting->place);
        journal->last_until = now;
        clear_waiting(journal);
    }
    SET(waiting->sem, 0);
    gp_lock_waiters_leave(&gp_lock_state.waiters, sem, journal->token);
}

static gp_lock_journal *begin(void)
{
    if (busy || !GET(gp_lock_state.running))
        return NULL;
    busy = true;
    gp_lock_journal *journal = gp_lock_own_journal();
    busy = journal != NULL;
    return journal;
}

/* The thread on trial waits for itself. */
static void free_in_trial(void)
{
    if (trial->frees_at == 0 || trial->freed)
        return;
    trial->freed = true;
    gp_lock_state.host->release((void *)trial->lock);
}

static void try_wait(const void *sem, const char *frame)
{
    bool parked;
    if (!trial_waits)
        return;
    if (key_of(sem, frame, &parked) != trial->lock) {
        atomic_fetch_add(&trial->waits_beside, 1);
        return;
    }
    atomic_store(&trial->sem, (uintptr_t)sem);
    atomic_fetch_add(&trial->waits, 1);
    free_in_trial();
}

/* The caller's errno stays as it is: what is seldom called, and may change it, puts it back. */
static gp_lock_journal *before_wait(const void *sem, const char *frame)
{
    if (__builtin_expect(trial != NULL, 0))
        try_wait(sem, frame);
    gp_lock_journal *journal = begin();
    if (journal == NULL)
        return NULL;
    /* a signal's handler that waits, too, is not seen */
    bool waits_already = GET(journal->waiting.sem) != 0;
    if (!waits_already) {
        begin_wait(journal, sem, frame);
        keep_books(journal); /* now, while it would wait anyway, and not when it has the lock */
    }
    busy = false;
    return waits_already ? NULL : journal;
}

static int after_wait(gp_lock_journal *journal, int status)
{
    if (journal != NULL && !busy) {
        busy = true;
        end_wait(journal, status == 0 ? 0 : errno);
        busy = false;
    }
    return status;
}

static int hooked_wait(sem_t *sem)
{
    gp_lock_journal *journal = before_wait(sem, __builtin_frame_address(0));
    return after_wait(journal, ((int (*)(sem_t *))NEXT(GP_LOCK_CALL_WAIT))(sem));
}

static int hooked_clockwait(sem_t *sem, clockid_t clock, const struct timespec *until)
{
    gp_lock_journal *journal = before_wait(sem, __builtin_frame_address(0));
    return after_wait(journal, ((int (*)(sem_t *, clockid_t, const struct timespec *))NEXT(
                                   GP_LOCK_CALL_CLOCKWAIT))(sem, clock, until));
}

static int hooked_timedwait(sem_t *sem, const struct timespec *until)
{
    gp_lock_journal *journal = before_wait(sem, __builtin_frame_address(0));
    return after_wait(journal,
                      ((int (*)(sem_t *, const struct timespec *))NEXT(GP_LOCK_CALL_TIMEDWAIT))(sem, until));
}

/* ---- releases ---- */

__attribute__((noinline)) static uint32_t meet_stop(void)
{
    int saved = errno;
    if (!gp_lock_try(&gp_lock_state.names_lock))
        return GP_ROW_NONE;
    gp_buffer_clear(&gp_lock_state.text);
    gp_lock_state.host->name_stop(&gp_lock_state.text);
    uint32_t lock = gp_places_described(&gp_lock_state.locks, &gp_lock_state.text);
    pthread_mutex_unlock(&gp_lock_state.names_lock);
    errno = saved;
    return lock;
}

/* By what all threads were stopped, if this one was, and is let go now. They are let go one after the other,
 * by the same thread at the same place. */
static uint32_t stopped_by(gp_lock_journal *journal, uintptr_t sem, uint32_t place)
{
    uint32_t stop = GET(gp_lock_state.books.stop_lock);
    if (stop == 0 || gp_lock_waiters_lock(&gp_lock_state.waiters, sem) + 1 != stop)
        return GP_ROW_NONE;
    gp_lock_kind *last = &journal->stopped_by;
    uint64_t now = gp_clock_ticks();
    if (last->place != place || now - last->key > gp_lock_state.gap_ticks)
        *last = (gp_lock_kind){now, place, meet_stop()};
    last->key = gp_clock_ticks();
    return last->lock;
}

__attribute__((noinline)) static void note_release(gp_lock_journal *journal, uintptr_t sem)
{
    bool known;
    uintptr_t key = gp_lock_waiters_key(&gp_lock_state.waiters, sem, &known);
    if (key == 0)
        return;
    journal->last_until = 0;
    end_failed(journal);
    end_spin(journal);
    where at = find_place(journal);
    uint32_t lock = stopped_by(journal, sem, at.place);
    gp_lock_note *note = gp_lock_journal_next(journal);
    if (note == NULL)
        return;
    *note = (gp_lock_note){.until = gp_clock_ticks(),
                           .key = key,
                           .sem = sem,
                           .place = at.place,
                           .lock = lock,
                           .flags = GP_LOCK_RELEASE | (known ? 0 : GP_LOCK_ELSEWHERE)};
    publish(journal);
}

static int post(sem_t *sem)
{
    return ((int (*)(sem_t *))NEXT(GP_LOCK_CALL_POST))(sem);
}

__attribute__((noinline)) static int post_to_waiter(sem_t *sem)
{
    if (trial != NULL && (uintptr_t)sem == atomic_load(&trial->sem))
        atomic_store(&trial->posted, true);
    gp_lock_journal *journal = begin();
    if (journal == NULL)
        return post(sem);
    note_release(journal, (uintptr_t)sem);
    busy = false;
    int status = post(sem);
    if (!busy) {
        busy = true;
        keep_books(journal);
        busy = false;
    }
    return status;
}

static int hooked_post(sem_t *sem)
{
    if (__builtin_expect(!gp_lock_anybody(&gp_lock_state.waiters, (uintptr_t)sem), 1))
        return post(sem);
    return post_to_waiter(sem);
}

/* ---- spins ---- */

static void begin_spin(gp_lock_journal *journal, uintptr_t key, uint64_t now)
{
    gp_lock_spin *spin = &journal->spin;
    where at = find_wait(journal);
    SET(spin->key, key);
    SET(spin->place, at.place);
    SET(spin->stack, at.stack);
    SET(spin->lock, find_lock(journal, key, true, &at));
    SET(spin->own, gp_lock_state.host->has(key));
    SET(spin->until, now);
    SET(spin->tries, 0);
    SET(spin->phase, gp_lock_state.host->spin_phase());
    atomic_store_explicit(&spin->since, now, memory_order_release);
    gp_lock_books_list(&gp_lock_state.books, journal); /* see look_at_spin */
}

static void go_on_spinning(gp_lock_journal *journal, uintptr_t key)
{
    gp_lock_spin *spin = &journal->spin;
    uint64_t now = gp_clock_ticks();
    if (GET(spin->since) != 0 &&
        (GET(spin->key) != key || !goes_on_with_spin(journal, now, gp_lock_state.gap_ticks)))
        end_spin(journal);
    if (GET(spin->since) == 0)
        begin_spin(journal, key, now);
    SET(spin->tries, GET(spin->tries) + 1);
    SET(spin->yields, true);
}

static void try_yield(const uintptr_t *registers, const void *caller)
{
    int found = 0;
    for (int i = 0; registers != NULL && i < GP_LOCK_REGISTERS; i++)
        if (registers[i] == trial->lock) {
            atomic_fetch_add(&trial->registers[i], 1);
            found++;
        }
    if (found != 0 || registers == NULL) {
        atomic_store(&trial->yields_at, caller);
        if (atomic_fetch_add(&trial->yields, 1) + 1 == trial->frees_at)
            free_in_trial();
    }
}

static int yield(void)
{
    return ((int (*)(void))NEXT(GP_LOCK_CALL_YIELD))();
}

static const gp_lock_spin_site *find_site(const void *at)
{
    for (size_t i = 0; i < GP_LOCK_SPIN_SITES; i++) {
        const void *known = atomic_load_explicit(&gp_lock_state.spin_sites[i].at, memory_order_acquire);
        if (known == at)
            return &gp_lock_state.spin_sites[i];
        if (known == NULL)
            break;
    }
    return NULL;
}

void gp_lock_learn_spin(const void *at, int in_register)
{
    if (atomic_exchange(&gp_lock_state.learning_spin, true))
        return;
    for (size_t i = 0; i < GP_LOCK_SPIN_SITES && find_site(at) == NULL; i++) {
        gp_lock_spin_site *site = &gp_lock_state.spin_sites[i];
        if (atomic_load(&site->at) != NULL)
            continue;
        site->in_register = in_register;
        atomic_store_explicit(&site->at, at, memory_order_release);
    }
    atomic_store(&gp_lock_state.learning_spin, false);
}

/* It may be a place where threads spin. If the thread sleeps at once, on a lock whose address was in a
 * register, it is one: see learn_from_yield. */
static void keep_yield(gp_lock_journal *journal, const uintptr_t *registers, const void *at)
{
    journal->yielded.at = at;
    if (registers != NULL)
        memcpy(journal->yielded.registers, registers, sizeof journal->yielded.registers);
}

__attribute__((used)) int gp_lock_yield(const uintptr_t *registers, const void *caller);
/* `registers`: those of the caller that a function must restore; NULL: not known. */
__attribute__((used)) int gp_lock_yield(const uintptr_t *registers, const void *caller)
{
    if (__builtin_expect(trial != NULL, 0) && trial_waits) {
        try_yield(registers, caller);
        if (trial->frees_at != 0)
            return 0; /* it waits for nobody but itself */
    }
    const gp_lock_spin_site *site = find_site(caller);
    bool spins = gp_lock_state.host->parks && (site != NULL || registers != NULL);
    gp_lock_journal *journal = spins ? begin() : NULL;
    if (journal == NULL)
        return yield();
    if (site != NULL)
        go_on_spinning(journal, site->in_register >= 0 ? registers[site->in_register] : 0);
    else
        keep_yield(journal, registers, caller);
    busy = false;
    int status = yield();
    if (site != NULL) {
        SET(journal->spin.until, gp_clock_ticks());
        atomic_store_explicit(&journal->spin.yields, false, memory_order_release); /* after `until` */
    } else {
        journal->yielded.when = gp_clock_ticks();
    }
    return status;
}

#if defined(__x86_64__)
/* Shows the caller's registers that a function must restore: one of them has the lock. */
__attribute__((naked)) static int hooked_yield(void)
{
    __asm__("endbr64\n"
            "pushq %r15\n"
            "pushq %r14\n"
            "pushq %r13\n"
            "pushq %r12\n"
            "pushq %rbp\n"
            "pushq %rbx\n"
            ".cfi_adjust_cfa_offset 48\n"
            "movq %rsp, %rdi\n"
            "movq 48(%rsp), %rsi\n"
            "subq $8, %rsp\n"
            ".cfi_adjust_cfa_offset 8\n"
            "call gp_lock_yield\n"
            "addq $56, %rsp\n"
            ".cfi_adjust_cfa_offset -56\n"
            "ret\n");
}
#else
static int hooked_yield(void)
{
    return gp_lock_yield(NULL, __builtin_return_address(0));
}
#endif

/* ---- what stands in the slots ---- */

static const gp_hook wrappers[GP_LOCK_CALLS] = {
    [GP_LOCK_CALL_WAIT] = {.name = "sem_wait", .wrapper = (void *)hooked_wait, .library = (void *)sem_wait},
    [GP_LOCK_CALL_CLOCKWAIT] = {.name = "sem_clockwait", .wrapper = (void *)hooked_clockwait},
    [GP_LOCK_CALL_TIMEDWAIT] = {.name = "sem_timedwait",
                                .wrapper = (void *)hooked_timedwait,
                                .library = (void *)sem_timedwait},
    [GP_LOCK_CALL_POST] = {.name = "sem_post", .wrapper = (void *)hooked_post, .library = (void *)sem_post},
    [GP_LOCK_CALL_YIELD] = {.name = "sched_yield",
                            .wrapper = (void *)hooked_yield,
                            .library = (void *)sched_yield},
};

void gp_lock_hooks_fill(void)
{
    memcpy(gp_lock_state.hooks, wrappers, sizeof wrappers);
    for (size_t i = 0; i < GP_LOCK_CALLS; i++)
        gp_lock_state.hooks[i].next = &gp_lock_state.next[i];
    gp_lock_state.hooks[GP_LOCK_CALL_CLOCKWAIT].library = (void *)sem_clockwait;
}

bool gp_lock_hooks_complete(void)
{
    for (size_t i = 0; i < GP_LOCK_CALLS; i++)
        if (gp_lock_state.hooks[i].slot_count != 0 && gp_lock_state.hooks[i].library == NULL)
            return false;
    return true;
}

void gp_lock_hooks_try(gp_lock_trial *with, bool waits)
{
    trial = with;
    trial_waits = waits;
}

bool gp_lock_hooks_busy(void)
{
    return busy;
}

void gp_lock_end_journal(gp_lock_journal *journal)
{
    busy = true; /* for good: the thread ends, and what it still does is not seen */
    if (GET(gp_lock_state.running)) {
        end_spin(journal);
        end_failed(journal);
    }
    atomic_store(&journal->ended, true);
}
