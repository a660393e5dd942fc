#define _GNU_SOURCE
#include "locks/gp_lock_trace.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/gp_memory.h"
#include "base/gp_thread_local.h"
#include "locks/gp_lock_cpu.h"
#include "locks/gp_lock_record.h"
#include "locks/gp_lock_state.h"

enum {
    YIELDS = 100, /* to get a lock of ours in a hook, ... */
    NAPS = 1000,  /* ... and then, since on a busy machine who has it may not run for long */
    NAP_NS = 100000,
    SPARES_FIRST = 64,
    GAP_NS = 3000,     /* a thread that tries again has waited on */
    PAUSE_NS = 100000, /* between its last spin and its sleep, on a busy machine */
};

struct gp_lock_state gp_lock_state = {
    .control_lock = PTHREAD_MUTEX_INITIALIZER,
    .books_lock = PTHREAD_MUTEX_INITIALIZER,
    .names_lock = PTHREAD_MUTEX_INITIALIZER,
};

GP_THREAD_LOCAL gp_lock_journal *own;
GP_THREAD_LOCAL uint32_t own_label;
GP_THREAD_LOCAL bool gone;     /* the thread's storage is being destroyed */
GP_THREAD_LOCAL unsigned held; /* locks of ours that it has or waits for, outside of hooks */
GP_THREAD_LOCAL bool forks;    /* it has all of them, for a fork */

static struct gp_lock_state *const state = &gp_lock_state;

bool gp_lock_try(pthread_mutex_t *lock)
{
    const struct timespec nap = {.tv_nsec = NAP_NS};
    int saved = errno;
    bool has = pthread_mutex_trylock(lock) == 0;
    for (int i = 0; i < YIELDS + NAPS && !has; i++) {
        if (i < YIELDS)
            sched_yield();
        else
            nanosleep(&nap, NULL);
        has = pthread_mutex_trylock(lock) == 0;
    }
    errno = saved;
    if (!has)
        __atomic_fetch_add(&state->refused, 1, __ATOMIC_RELAXED);
    return has;
}

static void lock(pthread_mutex_t *mutex)
{
    held++;
    pthread_mutex_lock(mutex);
}

static void unlock(pthread_mutex_t *mutex)
{
    pthread_mutex_unlock(mutex);
    held--;
}

/* ---- threads; under the lock of the books ---- */

static uint32_t new_account(void)
{
    if (state->accounts == NULL)
        state->accounts = gp_memory_map(GP_LOCK_ACCOUNTS_MAX * sizeof *state->accounts);
    if (state->accounts == NULL || state->account_count + 1 == GP_LOCK_ACCOUNTS_MAX)
        return 0;
    gp_lock_account *account = &state->accounts[++state->account_count];
    char name[GP_LOCK_NAME_MAX] = "";
    account->native_id = syscall(SYS_gettid);
    account->label = own_label;
    if (prctl(PR_GET_NAME, name) == 0)
        memcpy(account->os_name, name, sizeof name);
    return state->account_count;
}

/* Find journals of threads that have ended, all read. */
static void find_spares(void)
{
    size_t spares = 0;
    state->spares = NULL;
    gp_lock_books_read(&state->books);
    for (size_t i = 0; i < state->books.journals.count; i++) {
        gp_lock_journal *journal = state->books.journals.journals[i];
        if (!atomic_load(&journal->ended) || atomic_load(&journal->listed) ||
            gp_lock_journal_unread(journal) != 0)
            continue;
        journal->next_read = state->spares;
        state->spares = journal;
        spares++;
    }
    state->spares_at = 2 * (state->books.journals.count - spares) + SPARES_FIRST;
}

static gp_lock_journal *spare_journal(void)
{
    if (state->spares == NULL && state->books.journals.count >= state->spares_at)
        find_spares();
    gp_lock_journal *journal = state->spares;
    if (journal != NULL)
        state->spares = journal->next_read;
    return journal;
}

static gp_lock_journal *new_journal(void)
{
    gp_lock_journal *journal = gp_memory_map(sizeof *journal);
    if (journal != NULL && gp_lock_books_add(&state->books, journal) != GP_OK) {
        gp_memory_unmap(journal, sizeof *journal);
        return NULL;
    }
    return journal;
}

static void forget_last_thread(gp_lock_journal *journal)
{
    journal->last_until = journal->open_until = journal->spin_told = 0;
    gp_lock_spin_end(&journal->spin);
    atomic_store(&journal->waiting.key, 0);
    atomic_store(&journal->waiting.since, 0);
    atomic_store(&journal->waiting.until, 0);
    atomic_store(&journal->waiting.sem, 0);
    atomic_store(&journal->ended, false);
}

static gp_lock_journal *register_thread(void)
{
    gp_lock_journal *journal = spare_journal();
    if (journal == NULL)
        journal = new_journal();
    if (journal == NULL || pthread_setspecific(state->exit_key, journal) != 0)
        return NULL;
    forget_last_thread(journal);
    journal->account = new_account();
    return journal;
}

__attribute__((noinline)) static gp_lock_journal *new_own_journal(void)
{
    int saved = errno;
    if (!gone && gp_lock_try(&state->books_lock)) {
        own = register_thread();
        pthread_mutex_unlock(&state->books_lock);
    }
    errno = saved;
    return own;
}

gp_lock_journal *gp_lock_own_journal(void)
{
    return __builtin_expect(own != NULL, 1) ? own : new_own_journal();
}

static gp_lock_account *account_of(const gp_lock_journal *journal)
{
    return journal->account != 0 ? &state->accounts[journal->account] : NULL;
}

static void thread_exits(void *journal)
{
    gone = true;
    own = NULL;
    if (account_of(journal) != NULL) {
        account_of(journal)->cpu_ns = gp_clock_thread_cpu_ns();
        /* release: who finds that it has ended finds its CPU time */
        atomic_store_explicit(&account_of(journal)->ended, true, memory_order_release);
    }
    gp_lock_end_journal(journal);
}

void gp_lock_label(uint32_t label)
{
    own_label = label;
    if (own != NULL && account_of(own) != NULL)
        account_of(own)->label = label;
}

/* ---- forks ---- */

/* Not in a signal's handler that has interrupted one of these functions, or a hook; and only tried, since
 * another action at the fork may wait for a thread that forks, too. */
static void about_to_fork(void)
{
    forks = held == 0 && !gp_lock_hooks_busy() && gp_lock_try(&state->control_lock);
    if (forks && !gp_lock_try(&state->books_lock)) {
        pthread_mutex_unlock(&state->control_lock);
        forks = false;
    }
    if (forks && !gp_lock_try(&state->names_lock)) {
        pthread_mutex_unlock(&state->books_lock);
        pthread_mutex_unlock(&state->control_lock);
        forks = false;
    }
}

static void forked_in_parent(void)
{
    if (!forks)
        return;
    pthread_mutex_unlock(&state->names_lock);
    pthread_mutex_unlock(&state->books_lock);
    pthread_mutex_unlock(&state->control_lock);
    forks = false;
}

/* Of the other threads nothing goes on; what they waited for ends with the fork. */
static void end_others(void)
{
    memset(&state->waiters, 0, sizeof state->waiters);
    atomic_store(&state->books.listed, NULL);
    state->spares = NULL;
    for (size_t i = 0; i < state->books.journals.count; i++) {
        gp_lock_journal *journal = state->books.journals.journals[i];
        uint64_t noted = atomic_load(&journal->noted);
        atomic_store(&journal->listed, false);
        journal->being_read = false;
        atomic_store(&journal->read, noted);
        journal->seen = noted;
        if (journal == own)
            continue;
        if (account_of(journal) != NULL)
            account_of(journal)->ended = true;
        forget_last_thread(journal);
        atomic_store(&journal->ended, true);
    }
}

/* Where the locks were not taken anything may be half written: it is left behind, and booked anew. */
static void leave_books_behind(void)
{
    state->books.history = (gp_lock_history){0};
    state->places = state->locks = (gp_places){0};
    state->stacks = (gp_rows){0};
    atomic_store(&state->books.stop_lock, 0);
    state->text = (gp_buffer){0};
    for (gp_lock_session *session = state->books.sessions; session != NULL; session = session->next) {
        session->rows = (gp_rows){0};
        session->waits = (gp_buffer){0};
    }
    if (own != NULL)
        memset(&own->known, 0, sizeof own->known);
}

/* Only the parent is recorded. */
static void stop_to_keep(void)
{
    for (gp_lock_session *session = state->books.sessions; session != NULL; session = session->next)
        session->keeps_waits = session->wants_stacks = false;
    atomic_store(&state->stacks_wanted, 0);
}

static void forked_in_child(void)
{
    const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
    if (forks)
        gp_lock_history_clear(&state->books.history);
    else
        leave_books_behind();
    state->control_lock = state->books_lock = state->names_lock = unlocked;
    stop_to_keep();
    end_others();
    if (own != NULL && account_of(own) != NULL)
        account_of(own)->native_id = syscall(SYS_gettid);
    forks = false;
}

/* ---- whether it works here ---- */

void gp_lock_prepare(const gp_lock_host *host)
{
    if (state->prepared)
        return;
    state->host = host;
    gp_lock_hooks_fill();
    if (gp_hooks_find(host->interpreter, state->hooks, GP_LOCK_CALLS) != GP_OK)
        state->refusal = "the object that contains the interpreter has no readable dynamic section";
    else if (!gp_lock_hooks_complete())
        state->refusal = "the interpreter calls a function of the C library that this build does not have";
    else if (pthread_key_create(&state->exit_key, thread_exits) != 0 ||
             pthread_atfork(about_to_fork, forked_in_parent, forked_in_child) != 0)
        state->refusal = "the process has no room for one more thread-local value or action at a fork";
    else
        state->prepared = true;
}

static gp_status learn(const char **reason)
{
    *reason = "";
    if (state->learnt)
        return GP_OK;
    if (!state->prepared) {
        *reason = state->refusal != NULL ? state->refusal : "the tracer of locks has not been prepared";
        return GP_EUNSUPPORTED;
    }
    gp_clock_init();
    state->books.rate = gp_clock_rate_estimate();
    state->books.gap_ticks = state->gap_ticks = gp_clock_from_ns(state->books.rate, GAP_NS);
    state->pause_ticks = gp_clock_from_ns(state->books.rate, PAUSE_NS);
    gp_status status = gp_lock_trial_run(reason);
    state->learnt = status == GP_OK;
    return status;
}

gp_status gp_lock_learn(const char **reason)
{
    lock(&state->control_lock);
    gp_status status = learn(reason);
    unlock(&state->control_lock);
    return status;
}

gp_lock_rhythm gp_lock_spins(void)
{
    lock(&state->control_lock);
    gp_lock_rhythm rhythm = state->books.rhythm;
    unlock(&state->control_lock);
    return rhythm;
}

/* ---- sessions ---- */

static uint64_t notes_lost(void)
{
    uint64_t lost = __atomic_load_n(&state->refused, __ATOMIC_RELAXED) + state->books.forgotten;
    for (size_t i = 0; i < state->books.journals.count; i++)
        lost += atomic_load_explicit(&state->books.journals.journals[i]->lost, memory_order_relaxed);
    return lost;
}

static void add_session(gp_lock_session *session, uint64_t origin)
{
    lock(&state->books_lock);
    gp_lock_books_read(&state->books); /* what was noted before belongs to others */
    session->start = gp_clock_ticks();
    session->origin = origin != 0 ? origin : session->start;
    atomic_fetch_add(&state->stacks_wanted, session->wants_stacks);
    session->stop = UINT64_MAX;
    session->anchor = gp_clock_anchor_now();
    session->lost_notes = notes_lost();
    session->next = state->books.sessions;
    state->books.sessions = session;
    unlock(&state->books_lock);
    atomic_store(&state->running, true);
}

static gp_status start(gp_lock_session *session, const gp_lock_wishes *wishes, const char **reason)
{
    gp_status status = learn(reason);
    if (status == GP_OK && state->books.sessions == NULL) {
        status = gp_hooks_install(state->hooks, GP_LOCK_CALLS, false);
        if (status != GP_OK)
            *reason = "the interpreter's import slots can't be made writable";
    }
    if (status == GP_OK) {
        session->keeps_waits = wishes->recorder != NULL && wishes->timeline;
        session->wants_stacks = session->keeps_waits && wishes->stacks;
        gp_lock_cpu_begin(session);
        add_session(session, wishes->origin);
    }
    return status;
}

gp_status gp_lock_start(gp_lock_session **session, const gp_lock_wishes *wishes, const char **reason)
{
    *reason = "";
    gp_lock_session *made = gp_memory_map(sizeof *made);
    if (made == NULL)
        return GP_ENOMEM;
    lock(&state->control_lock);
    gp_status status = start(made, wishes, reason);
    unlock(&state->control_lock);
    if (status == GP_OK && wishes->recorder != NULL && gp_lock_record(made, wishes->recorder) != GP_OK) {
        gp_lock_stop(made);
        status = GP_ENOMEM;
    }
    if (status != GP_OK) {
        gp_memory_unmap(made, sizeof *made);
        made = NULL;
    }
    *session = made;
    return status;
}

static void remove_session(gp_lock_session *session)
{
    gp_lock_session **link = &state->books.sessions;
    while (*link != session)
        link = &(*link)->next;
    *link = session->next;
}

static void end_session(gp_lock_session *session)
{
    lock(&state->books_lock);
    session->stop = gp_clock_ticks();
    session->end_anchor = gp_clock_anchor_now();
    gp_lock_books_read_to(&state->books, session, &session->rows, session->stop);
    session->lost_notes = notes_lost() - session->lost_notes;
    remove_session(session);
    atomic_fetch_sub(&state->stacks_wanted, session->wants_stacks);
    if (state->books.sessions == NULL)
        gp_lock_history_clear(&state->books.history);
    unlock(&state->books_lock);
}

void gp_lock_stop(gp_lock_session *session)
{
    lock(&state->control_lock);
    if (session->stop == UINT64_MAX) {
        session->hooks_lost |= !gp_hooks_in_place(state->hooks, GP_LOCK_CALLS);
        if (state->books.sessions == session && session->next == NULL) {
            atomic_store(&state->running, false);
            gp_hooks_remove(state->hooks, GP_LOCK_CALLS);
        }
        end_session(session);
    }
    unlock(&state->control_lock);
}

void gp_lock_forget(gp_lock_session *session)
{
    if (session == NULL)
        return;
    gp_lock_stop(session);
    gp_rows_clear(&session->rows, &gp_lock_rows);
    gp_buffer_free(&session->waits);
    gp_buffer_free(&session->taken);
    gp_buffer_free(&session->cpu_before);
    gp_memory_unmap(session, sizeof *session);
}

size_t gp_lock_sessions(void)
{
    size_t count = 0;
    lock(&state->books_lock);
    for (const gp_lock_session *session = state->books.sessions; session != NULL; session = session->next)
        count++;
    unlock(&state->books_lock);
    return count;
}

/* ---- what is booked ---- */

static void write_names(const gp_places *names, gp_buffer *buffer)
{
    gp_buffer_number(buffer, names->count);
    for (uint32_t i = 0; i < names->count; i++) {
        const gp_place_name *name = gp_places_at(names, i);
        gp_buffer_raw(buffer, name->text, name->size);
    }
}

static void write_accounts(gp_buffer *buffer)
{
    gp_buffer_number(buffer, state->account_count);
    for (uint32_t i = 1; i <= state->account_count; i++) {
        const gp_lock_account *account = &state->accounts[i];
        gp_buffer_signed(buffer, account->native_id);
        gp_buffer_number(buffer, account->label);
        gp_buffer_number(buffer, account->ended);
        gp_buffer_string(buffer, account->os_name, strnlen(account->os_name, sizeof account->os_name));
    }
}

/* Of places GP_UNSEEN becomes 0, GP_NO_FRAME 1, GP_ROW_NONE 2; of holders GP_LOCK_NOBODY 0, GP_LOCK_UNSEEN 1.
 */
static void write_row(const gp_lock_row *row, gp_buffer *buffer)
{
    const gp_lock_row_key *key = &row->key;
    gp_buffer_number(buffer, key->kind);
    gp_buffer_number(buffer, (uint32_t)(key->lock + 1));
    gp_buffer_number(buffer, key->waiter);
    if (key->kind == GP_LOCK_ROW_LENGTH) {
        gp_buffer_signed(buffer, (int64_t)row->count);
        return;
    }
    gp_buffer_number(buffer, (uint32_t)(key->place + 3));
    if (key->kind == GP_LOCK_ROW_BLAME) {
        gp_buffer_number(buffer, (uint32_t)(key->holder + 2));
        gp_buffer_number(buffer, (uint32_t)(key->holder_place + 3));
        gp_buffer_number(buffer, row->ticks);
        return;
    }
    gp_buffer_number(buffer, row->count);
    gp_buffer_number(buffer, row->ticks);
    gp_buffer_number(buffer, row->longest);
    gp_buffer_number(buffer, row->spun);
}

static void write_rows(const gp_rows *table, gp_buffer *buffer)
{
    gp_buffer_number(buffer, table->count);
    for (size_t i = 0; i < table->count; i++)
        write_row((const gp_lock_row *)table->rows + i, buffer);
}

static void write_totals(const gp_lock_session *session, uint64_t now, gp_buffer *buffer)
{
    bool ended = session->stop != UINT64_MAX;
    gp_clock_rate rate =
        gp_clock_rate_between(session->anchor, ended ? session->end_anchor : gp_clock_anchor_now());
    gp_buffer_number(buffer, (ended ? GP_LOCK_FINAL : 0) | (session->hooks_lost ? GP_LOCK_HOOKS_LOST : 0) |
                                 (atomic_load(&state->spin_sites[0].at) != NULL ? GP_LOCK_SPINS : 0) |
                                 GP_LOCK_CPU);
    gp_buffer_number(buffer, rate.factor);
    gp_buffer_number(buffer, now - session->start);
    gp_buffer_number(buffer, ended ? session->lost_notes : notes_lost() - session->lost_notes);
    gp_buffer_number(buffer, session->lost_ticks);
}

/* The names last: those of rows must be there. */
gp_status gp_lock_read(gp_lock_session *session, gp_buffer *buffer)
{
    gp_rows under_way = {0};
    lock(&state->control_lock);
    lock(&state->books_lock);
    bool runs = session->stop == UINT64_MAX;
    uint64_t now = runs ? gp_clock_ticks() : session->stop;
    if (runs)
        gp_lock_books_read_to(&state->books, session, &under_way, now);
    write_totals(session, now, buffer);
    write_accounts(buffer);
    write_rows(&session->rows, buffer);
    write_rows(&under_way, buffer);
    gp_lock_cpu_write(session, buffer);
    unlock(&state->books_lock);
    gp_rows_clear(&under_way, &gp_lock_rows);
    lock(&state->names_lock);
    write_names(&state->places, buffer);
    write_names(&state->locks, buffer);
    unlock(&state->names_lock);
    unlock(&state->control_lock);
    return buffer->failed ? GP_ENOMEM : GP_OK;
}
