#include "trace/gp_snapshot.h"

#include <string.h>

#include "recording/gp_format.h"
#include "base/gp_memory.h"

/* Copies of the session's tables, so that the lock is not held while they are written. */
typedef struct {
    gp_place *places;
    gp_blame *blame;
    gp_stall *stalls;
    size_t place_count, blame_count, stall_count;
    size_t places_size, blame_size, stalls_size;
    bool failed;
} tables;

/* Accounts that are there at the beginning have a row each, but those without a number of their own: they are
 * part of the last row, that of `ended`. */
typedef struct {
    uint32_t end; /* of the numbers */
    size_t slots, rows;
} census;

/* What the rows of accounts, which are read later one by one, only add to: none of it is more than theirs. */
typedef struct {
    uint64_t contended, handoffs, lost, sites_lost;
    tables copy;
} beginning;

static uint64_t lock_books(const gp_session *session, const gp_snapshot_lock *lock, uint64_t now)
{
    return lock != NULL ? lock->lock(session) : now;
}

static void unlock_books(const gp_session *session, const gp_snapshot_lock *lock)
{
    if (lock != NULL)
        lock->unlock(session);
}

/* ---- totals and accounts ---- */

static void write_totals(const gp_session *session, const gp_snapshot_facts *facts, const beginning *begun,
                         bool final, uint64_t end, gp_buffer *buffer)
{
    gp_buffer_number(buffer, (final ? GP_SNAPSHOT_FINAL : 0) |
                                 (facts->hooks_lost ? GP_SNAPSHOT_HOOKS_LOST : 0) |
                                 (facts->releases_told_apart ? GP_SNAPSHOT_TOLD_APART : 0) |
                                 (session->wants_sites ? GP_SNAPSHOT_SITES : 0) |
                                 (session->wants_stacks ? GP_SNAPSHOT_STACKS : 0) |
                                 (facts->timeline ? GP_SNAPSHOT_TIMELINE : 0) |
                                 (session->wants_cpu ? GP_SNAPSHOT_CPU : 0) |
                                 (facts->others_missed ? GP_SNAPSHOT_OTHERS_MISSED : 0));
    gp_buffer_number(buffer, facts->interpreter);
    gp_buffer_number(buffer, facts->rate.factor);
    gp_buffer_number(buffer, gp_ticks_after(session->origin, session->origin, end));
    gp_buffer_number(buffer, begun->contended);
    gp_buffer_number(buffer, begun->handoffs);
    gp_buffer_number(buffer, begun->lost + facts->lost);
    gp_buffer_number(buffer, begun->sites_lost);
    gp_buffer_number(buffer, facts->dropped);
}

static void write_histogram(const gp_hist *hist, gp_buffer *buffer)
{
    size_t filled = 0, last = 0;
    for (size_t i = 0; i < GP_HIST_BUCKETS; i++)
        filled += hist->counts[i] != 0;
    gp_buffer_number(buffer, filled);
    for (size_t i = 0; i < GP_HIST_BUCKETS; i++) {
        if (hist->counts[i] == 0)
            continue;
        gp_buffer_number(buffer, i - last);
        gp_buffer_number(buffer, hist->counts[i]);
        last = i;
    }
}

static void write_account(const gp_session *session, const gp_account *account, gp_buffer *buffer)
{
    const gp_identity *identity = &account->identity;
    gp_buffer_number(buffer, account->number);
    gp_buffer_signed(buffer, identity->native_id);
    gp_buffer_number(buffer, identity->label);
    gp_buffer_number(buffer, identity->exited);
    gp_buffer_number(buffer, account->merged);
    gp_buffer_string(buffer, identity->os_name, strnlen(identity->os_name, sizeof identity->os_name));
    const uint64_t numbers[] = {
        gp_ticks_after(session->origin, session->origin, account->first),
        gp_ticks_after(session->origin, session->origin, account->last),
        account->hold,
        account->wait,
        account->off,
        account->longest_hold,
        account->longest_wait,
        account->acquisitions,
        account->contended_acquisitions,
        account->releases,
        account->forced_releases,
        account->blamed,
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        gp_buffer_number(buffer, numbers[i]);
    if (session->wants_cpu)
        gp_buffer_number(buffer, account->hold_cpu);
    write_histogram(&account->holds, buffer);
    write_histogram(&account->waits, buffer);
}

static bool has_row(const gp_session *session, const gp_account *account, uint32_t end)
{
    return account->merged != 0 && account->number < end && account != session->ended &&
           !gp_account_is_nameless(session, account);
}

/* From here to end_census nothing is folded: no account is missed, none counts twice. */
static census begin_census(gp_session *session, const gp_snapshot_lock *lock)
{
    (void)lock_books(session, lock, 0);
    census counted = {session->next_number, session->account_count, session->ended != NULL};
    for (size_t n = 0; n < counted.slots; n++)
        counted.rows += has_row(session, gp_account_nth(session, n), counted.end);
    session->folding_waits = lock != NULL;
    unlock_books(session, lock);
    return counted;
}

static void end_census(gp_session *session, const gp_snapshot_lock *lock)
{
    (void)lock_books(session, lock, 0);
    session->folding_waits = false;
    unlock_books(session, lock);
}

/* Copy the account of slot `n` as it is now. False if it is of no interest. */
static bool read_account(const gp_session *session, size_t n, const census *counted,
                         const gp_snapshot_lock *lock, uint64_t now, gp_account *copy)
{
    const gp_account *account = gp_account_nth(session, n);
    now = lock_books(session, lock, now);
    bool is = has_row(session, account, counted->end) ||
              (account->merged != 0 && gp_account_is_nameless(session, account));
    if (is)
        gp_gil_state_copy_account(session, account, now, copy);
    unlock_books(session, lock);
    return is;
}

/* Returns the last moment of any of them, or `now`. */
static uint64_t write_rows(gp_session *session, const census *counted, const gp_snapshot_lock *lock,
                           uint64_t now, gp_account copies[2], gp_buffer *buffer)
{
    gp_account *copy = &copies[0], *ended = session->ended != NULL ? &copies[1] : NULL;
    uint64_t end = now;
    if (ended != NULL)
        *ended = *session->ended; /* nobody books there */
    gp_buffer_number(buffer, counted->rows);
    for (size_t n = 0; n < counted->slots; n++) {
        if (!read_account(session, n, counted, lock, now, copy))
            continue;
        end = copy->last > end ? copy->last : end;
        if (ended != NULL && copy->number == ended->number)
            gp_account_merge(session, ended, copy);
        else
            write_account(session, copy, buffer);
    }
    if (ended != NULL)
        write_account(session, ended, buffer);
    return end;
}

static uint64_t write_accounts(gp_session *session, const gp_snapshot_lock *lock, uint64_t now,
                               gp_buffer *buffer)
{
    enum { COPIES = 2 };
    gp_account *copies = gp_memory_map(COPIES * sizeof *copies);
    if (copies == NULL) {
        buffer->failed = true;
        return now;
    }
    census counted = begin_census(session, lock);
    uint64_t end = write_rows(session, &counted, lock, now, copies, buffer);
    end_census(session, lock);
    gp_memory_unmap(copies, COPIES * sizeof *copies);
    return end;
}

/* ---- places, blame, stalls ---- */

static void *copy_of(const void *rows, size_t size, bool *failed)
{
    void *copy = size != 0 ? gp_memory_map(size) : NULL;
    if (copy != NULL)
        memcpy(copy, rows, size);
    *failed |= size != 0 && copy == NULL;
    return copy;
}

static tables copy_tables(const gp_session *session)
{
    tables copy = {
        .place_count = session->place_count,
        .blame_count = session->blame.count,
        .stall_count = session->stall_count,
    };
    copy.places_size = copy.place_count * sizeof *copy.places;
    copy.blame_size = copy.blame_count * sizeof *copy.blame;
    copy.stalls_size = GP_STALLS_MAX * sizeof *copy.stalls;
    copy.places = copy_of(session->places, copy.places_size, &copy.failed);
    copy.blame = copy_of(session->blame.rows, copy.blame_size, &copy.failed);
    copy.stalls = copy_of(session->stalls, copy.stalls_size, &copy.failed);
    return copy;
}

static void free_tables(tables *copy)
{
    gp_memory_unmap(copy->places, copy->places_size);
    gp_memory_unmap(copy->blame, copy->blame_size);
    gp_memory_unmap(copy->stalls, copy->stalls_size);
}

/* A wait that is under way, as a stall: it takes part if there is room. */
static void add_stall(tables *copy, const gp_session *session, const gp_account *account, uint64_t ticks)
{
    if (copy->stall_count == GP_STALLS_MAX || ticks == 0)
        return;
    bool held = account->culprit_ticks != 0;
    uint64_t since = account->thread->since;
    copy->stalls[copy->stall_count++] = (gp_stall){
        .waiter = account->number,
        .waiter_place = account->last_place,
        .holder = held ? account->culprit : GP_ROW_NONE,
        .holder_place = held ? account->culprit_place : GP_ROW_NONE,
        .start = since > session->start ? since : session->start,
        .ticks = ticks,
        .holder_ticks = account->culprit_ticks,
    };
}

/* Book what is under way in the copies. */
static void add_under_way(tables *copy, const gp_session *session, uint32_t place, uint64_t now)
{
    for (size_t n = 0; n < session->account_count; n++) {
        const gp_account *account = gp_account_nth(session, n);
        const gp_thread *thread = account->thread;
        if (account->merged == 0 || account == session->ended)
            continue;
        uint64_t ticks = gp_ticks_after(session->start, thread->since, gp_thread_end_of(thread, now));
        if (thread->state == GP_HOLD && place != GP_ROW_NONE) {
            copy->places[place].hold += ticks;
            copy->places[place].hold_cpu +=
                gp_account_hold_cpu(session, thread, gp_lane_cpu_since(&thread->lane), session->cpu_now);
        } else if (thread->state == GP_WAIT) {
            if (account->last_place != GP_ROW_NONE)
                copy->places[account->last_place].wait += ticks;
            add_stall(copy, session, account, ticks);
        }
    }
}

static void write_places(const tables *copy, bool with_cpu, gp_buffer *buffer)
{
    size_t filled = 0, last = 0;
    for (size_t i = 0; i < copy->place_count; i++)
        filled += (copy->places[i].releases | copy->places[i].hold | copy->places[i].wait) != 0;
    gp_buffer_number(buffer, filled);
    for (size_t i = 0; i < copy->place_count; i++) {
        const gp_place *place = &copy->places[i];
        if ((place->releases | place->hold | place->wait) == 0)
            continue;
        gp_buffer_number(buffer, i - last);
        gp_buffer_number(buffer, place->releases);
        gp_buffer_number(buffer, place->hold);
        gp_buffer_number(buffer, place->wait);
        if (with_cpu)
            gp_buffer_number(buffer, place->hold_cpu);
        last = i;
    }
}

/* GP_ROW_NONE becomes 0. */
static void write_optional(gp_buffer *buffer, uint32_t row)
{
    gp_buffer_number(buffer, (uint32_t)(row + 1));
}

static void write_blame(const tables *copy, gp_buffer *buffer)
{
    gp_buffer_number(buffer, copy->blame_count);
    for (size_t i = 0; i < copy->blame_count; i++) {
        gp_buffer_number(buffer, copy->blame[i].waiter);
        gp_buffer_number(buffer, copy->blame[i].holder);
        write_optional(buffer, copy->blame[i].place);
        gp_buffer_number(buffer, copy->blame[i].wait);
    }
}

static void write_stalls(const tables *copy, const gp_session *session, gp_buffer *buffer)
{
    gp_buffer_number(buffer, copy->stall_count);
    for (size_t i = 0; i < copy->stall_count; i++) {
        const gp_stall *stall = &copy->stalls[i];
        gp_buffer_number(buffer, stall->waiter);
        write_optional(buffer, stall->waiter_place);
        write_optional(buffer, stall->holder);
        write_optional(buffer, stall->holder_place);
        gp_buffer_number(buffer, gp_ticks_after(session->origin, session->origin, stall->start));
        gp_buffer_number(buffer, stall->ticks);
        gp_buffer_number(buffer, stall->holder_ticks);
    }
}

/* ---- all of it ---- */

static void begin(const gp_session *session, const gp_snapshot_lock *lock, uint32_t place, uint64_t now,
                  beginning *begun)
{
    now = lock_books(session, lock, now);
    *begun = (beginning){
        .contended = gp_gil_state_contended(session, now),
        .handoffs = session->handoffs,
        .lost = session->lost,
        .sites_lost = session->sites_lost,
        .copy = copy_tables(session),
    };
    if (!begun->copy.failed && lock == NULL && session->running)
        add_under_way(&begun->copy, session, place, now);
    unlock_books(session, lock);
}

void gp_snapshot_write(gp_session *session, const gp_snapshot_facts *facts, const gp_snapshot_lock *lock,
                       uint32_t place, uint64_t now, gp_buffer *buffer)
{
    if (session->closed.size != 0) {
        gp_buffer_raw(buffer, session->closed.bytes, session->closed.size);
        return;
    }
    beginning begun;
    gp_buffer rows = {.bytes = NULL};
    bool final = lock == NULL && !session->running;
    begin(session, lock, place, now, &begun);
    uint64_t last = write_accounts(session, lock, now, &rows);
    write_totals(session, facts, &begun, final, last, buffer);
    gp_buffer_raw(buffer, rows.bytes, rows.size);
    write_places(&begun.copy, session->wants_cpu, buffer);
    write_blame(&begun.copy, buffer);
    write_stalls(&begun.copy, session, buffer);
    buffer->failed |= rows.failed || begun.copy.failed;
    gp_buffer_free(&rows);
    free_tables(&begun.copy);
}
