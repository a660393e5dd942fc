#include "trace/gp_snapshot.h"

#include <string.h>

#include "recording/gp_format.h"
#include "base/gp_memory.h"
#include "trace/gp_gil_table.h"

/* A wait that is under way. */
typedef struct {
    const gp_account *account;
    uint64_t since, ticks; /* in the session */
    uint64_t held;         /* of which the hold that is under way took */
} waiting;

/* What is written, and of which moment. */
typedef struct {
    gp_session *session;
    uint32_t place; /* where the holder is; GP_ROW_NONE: not known */
    uint64_t now;
    /* under way, while the session runs */
    const gp_account *holder; /* NULL: nobody, or its place is not known */
    const gp_account *looked; /* the holder, whether or not its place is known */
    uint64_t hold, hold_cpu;
    waiting *waits;
    size_t wait_count;
    gp_tag_row *tags; /* NULL: nothing had one */
} reading;

/* ---- threads ---- */

/* Account of slot `n`, or NULL where it is free, or that of threads which are merged. */
static gp_account *single(const gp_session *session, size_t n)
{
    gp_account *account = gp_account_nth(session, n);
    return account->merged != 0 && account != session->ended ? account : NULL;
}

#define EACH_SINGLE(session, account)                                                                        \
    for (size_t slot = 0; slot < (session)->account_count; slot++)                                           \
        for (gp_account *account = single(session, slot); account != NULL; account = NULL)

/* A thread without a number of its own is part of the last row, that of `ended`. */
static uint64_t count_rows(const gp_session *session)
{
    uint64_t count = session->ended != NULL;
    EACH_SINGLE(session, account)
    count += !gp_account_is_nameless(session, account);
    return count;
}

/* The last moment of any of them. */
static uint64_t end_of(const reading *of)
{
    uint64_t end = of->now;
    EACH_SINGLE(of->session, account)
    {
        uint64_t last = of->session->running ? account->thread->since : account->last;
        end = last > end ? last : end;
    }
    return end;
}

/* How long the thread has waited for the hold that is under way. */
static uint64_t held_meanwhile(const reading *of, const gp_account *waiter)
{
    if (of->holder == NULL || waiter->thread->state != GP_WAIT)
        return 0;
    return gp_gil_state_waited_for(of->session, of->holder->thread, waiter->thread, of->now);
}

static void look_at(reading *of, const gp_account *account)
{
    const gp_thread *thread = account->thread;
    uint64_t start = of->session->start, since = thread->since > start ? thread->since : start;
    uint64_t ticks = gp_ticks_after(start, since, gp_thread_end_of(thread, of->now));
    if (thread->state == GP_HOLD)
        of->looked = account;
    if (thread->state == GP_HOLD && of->place != GP_ROW_NONE) {
        of->holder = account;
        of->hold = ticks;
        of->hold_cpu = gp_account_hold_cpu(of->session, thread, gp_journal_cpu_since(&thread->journal),
                                           of->session->cpu_now);
    } else if (thread->state == GP_WAIT) {
        of->waits[of->wait_count++] = (waiting){.account = account, .since = since, .ticks = ticks};
    }
}

/* False without memory. */
static bool look_at_all(reading *of)
{
    if (!of->session->running)
        return true;
    of->waits = gp_memory_map((of->session->account_count + 1) * sizeof *of->waits);
    if (of->waits == NULL)
        return false;
    EACH_SINGLE(of->session, account)
    look_at(of, account);
    for (size_t i = 0; i < of->wait_count; i++)
        of->waits[i].held = held_meanwhile(of, of->waits[i].account);
    return true;
}

/* ---- totals and accounts ---- */

static void write_totals(const reading *of, const gp_snapshot_facts *facts, gp_buffer *buffer)
{
    const gp_session *session = of->session;
    gp_buffer_number(buffer, (facts->final ? GP_SNAPSHOT_FINAL : 0) |
                                 (facts->hooks_lost ? GP_SNAPSHOT_HOOKS_LOST : 0) |
                                 (facts->releases_told_apart ? GP_SNAPSHOT_TOLD_APART : 0) |
                                 (session->wants_sites ? GP_SNAPSHOT_SITES : 0) |
                                 (session->wants_stacks ? GP_SNAPSHOT_STACKS : 0) |
                                 (facts->timeline ? GP_SNAPSHOT_TIMELINE : 0) |
                                 (session->wants_cpu ? GP_SNAPSHOT_CPU : 0) |
                                 (facts->others_missed ? GP_SNAPSHOT_OTHERS_MISSED : 0) |
                                 (session->wants_looks ? GP_SNAPSHOT_LOOKS | GP_SNAPSHOT_LOOKED : 0) |
                                 (session->wants_pauses ? GP_SNAPSHOT_PAUSES : 0) |
                                 (session->callbacks.count != 0 ? GP_SNAPSHOT_CALLBACKS : 0) |
                                 (of->tags != NULL ? GP_SNAPSHOT_TAGS : 0));
    gp_buffer_numbers(buffer, facts->interpreter, facts->rate.factor,
                      gp_ticks_after(session->origin, session->origin, end_of(of)),
                      gp_gil_state_contended(session, of->now), session->handoffs,
                      session->lost + facts->lost, session->sites_lost, facts->dropped);
}

/* And empty it, for the account that comes next. */
static void write_histogram(gp_hist *hist, size_t highest, gp_buffer *buffer)
{
    size_t filled = 0, last = 0;
    for (size_t i = 0; i <= highest; i++)
        filled += hist->counts[i] != 0;
    gp_buffer_number(buffer, filled);
    for (size_t i = 0; i <= highest; i++) {
        if (hist->counts[i] == 0)
            continue;
        gp_buffer_numbers(buffer, i - last, hist->counts[i]);
        hist->counts[i] = 0;
        last = i;
    }
}

static void write_account(const gp_session *session, gp_account *account, gp_buffer *buffer)
{
    const gp_identity *identity = &account->identity;
    gp_buffer_number(buffer, account->number);
    gp_buffer_signed(buffer, identity->native_id);
    gp_buffer_number(buffer, identity->label);
    gp_buffer_number(buffer, identity->exited);
    gp_buffer_number(buffer, account->merged);
    gp_buffer_string(buffer, identity->os_name, strnlen(identity->os_name, sizeof identity->os_name));
    gp_buffer_numbers(buffer, gp_ticks_after(session->origin, session->origin, account->first),
                      gp_ticks_after(session->origin, session->origin, account->last), account->hold,
                      account->wait, account->off, account->longest_hold, account->longest_wait,
                      account->acquisitions, account->contended_acquisitions, account->releases,
                      account->forced_releases, account->blamed);
    if (session->wants_cpu)
        gp_buffer_number(buffer, account->hold_cpu);
    write_histogram(&account->holds, gp_account_last_bucket(session, account->longest_hold), buffer);
    write_histogram(&account->waits, gp_account_last_bucket(session, account->longest_wait), buffer);
}

/* `copies`: two, whose histograms are empty. */
static void write_rows(const reading *of, gp_account copies[2], gp_buffer *buffer)
{
    gp_session *session = of->session;
    gp_account *copy = &copies[0], *ended = &copies[1];
    if (session->ended != NULL)
        gp_account_copy(session, session->ended, ended);
    EACH_SINGLE(session, account)
    {
        gp_gil_state_copy_account(session, account, of->now, copy);
        copy->blamed += session->running ? held_meanwhile(of, account) : 0;
        if (gp_account_is_nameless(session, account))
            gp_account_merge(session, ended, copy);
        else
            write_account(session, copy, buffer);
    }
    if (session->ended != NULL)
        write_account(session, ended, buffer);
}

static void write_accounts(const reading *of, gp_buffer *buffer)
{
    enum { COPIES = 2 };
    gp_account *copies = gp_memory_map(COPIES * sizeof *copies);
    buffer->failed |= copies == NULL;
    if (copies == NULL)
        return;
    gp_buffer_number(buffer, count_rows(of->session));
    write_rows(of, copies, buffer);
    gp_memory_unmap(copies, COPIES * sizeof *copies);
}

/* ---- places ---- */

/* Book what is under way for the places, and, if `once` is -1, take it back. */
static void book_under_way(const reading *of, uint64_t once)
{
    gp_place *places = of->session->places;
    if (of->holder != NULL) {
        places[of->place].hold += once * of->hold;
        places[of->place].hold_cpu += once * of->hold_cpu;
    }
    for (size_t i = 0; i < of->wait_count; i++)
        if (of->waits[i].account->last_place != GP_ROW_NONE)
            places[of->waits[i].account->last_place].wait += once * of->waits[i].ticks;
}

static bool is_empty(const gp_place *place)
{
    return (place->releases | place->hold | place->wait) == 0;
}

static void write_places(const gp_session *session, gp_buffer *buffer)
{
    size_t filled = 0, last = 0;
    for (size_t i = 0; i < session->place_count; i++)
        filled += !is_empty(&session->places[i]);
    gp_buffer_number(buffer, filled);
    for (size_t i = 0; i < session->place_count; i++) {
        const gp_place *place = &session->places[i];
        if (is_empty(place))
            continue;
        gp_buffer_numbers(buffer, i - last, place->releases, place->hold, place->wait);
        if (session->wants_cpu)
            gp_buffer_number(buffer, place->hold_cpu);
        last = i;
    }
}

/* ---- blame, stalls ---- */

/* GP_ROW_NONE becomes 0. */
static void write_optional(gp_buffer *buffer, uint32_t row)
{
    gp_buffer_number(buffer, (uint32_t)(row + 1));
}

static void write_blame_row(const gp_blame *row, gp_buffer *buffer)
{
    gp_buffer_number(buffer, row->waiter);
    gp_buffer_number(buffer, row->holder);
    write_optional(buffer, row->place);
    gp_buffer_number(buffer, row->wait);
}

/* What is charged for the hold that is under way has rows of its own. */
static void write_blame(const reading *of, gp_buffer *buffer)
{
    const gp_blame *rows = of->session->blame.rows;
    uint64_t count = of->session->blame.count;
    for (size_t i = 0; i < of->wait_count; i++)
        count += of->waits[i].held != 0;
    gp_buffer_number(buffer, count);
    for (size_t i = 0; i < of->session->blame.count; i++)
        write_blame_row(&rows[i], buffer);
    for (size_t i = 0; i < of->wait_count; i++) {
        const waiting *wait = &of->waits[i];
        if (wait->held != 0)
            write_blame_row(&(gp_blame){wait->account->number, of->holder->number, of->place, wait->held},
                            buffer);
    }
}

static void write_stall(const gp_session *session, const gp_stall *stall, gp_buffer *buffer)
{
    gp_buffer_number(buffer, stall->waiter);
    write_optional(buffer, stall->waiter_place);
    write_optional(buffer, stall->holder);
    write_optional(buffer, stall->holder_place);
    gp_buffer_number(buffer, gp_ticks_after(session->origin, session->origin, stall->start));
    gp_buffer_number(buffer, stall->ticks);
    gp_buffer_number(buffer, stall->holder_ticks);
    if (session->wants_looks)
        write_optional(buffer, stall->holder_looked);
}

static void write_wait(const reading *of, const waiting *wait, gp_buffer *buffer)
{
    gp_stall stall = gp_attribution_stall(wait->account, wait->since, wait->ticks);
    if (wait->held > stall.holder_ticks) {
        stall.holder = of->holder->number;
        stall.holder_place = of->place;
        stall.holder_looked = gp_looks_most(of->session);
        stall.holder_ticks = wait->held;
    }
    write_stall(of->session, &stall, buffer);
}

/* Waits that are under way take part as far as there is room. */
static void write_stalls(const reading *of, gp_buffer *buffer)
{
    const gp_session *session = of->session;
    size_t room = session->wants_sites ? GP_STALLS_MAX - session->stall_count : 0, count = 0, more = 0;
    while (count < of->wait_count && more < room)
        more += of->waits[count++].ticks != 0;
    gp_buffer_number(buffer, session->stall_count + more);
    for (size_t i = 0; i < session->stall_count; i++)
        write_stall(session, &session->stalls[i], buffer);
    for (size_t i = 0; i < count; i++)
        if (of->waits[i].ticks != 0)
            write_wait(of, &of->waits[i], buffer);
}

/* ---- looks ---- */

static void write_tally(const gp_tally *tally, gp_buffer *buffer)
{
    gp_buffer_number(buffer, tally->holder);
    write_optional(buffer, tally->ended);
    gp_buffer_number(buffer, tally->looked);
    gp_buffer_numbers(buffer, tally->sums.looks, tally->sums.waiting, tally->sums.time, tally->sums.waited,
                      tally->sums.squares);
}

static uint64_t count_look_rows(const reading *of, bool in_pause)
{
    uint64_t count = 0;
    for (uint32_t i = 0; of->looked != NULL && i < of->session->look_row_count; i++)
        count += of->session->look_rows[i].in_pause == in_pause;
    return count;
}

/* The looks in the hold that is under way have rows of their own: also where its place is not known, since a
 * process may be killed in it. */
static void write_tallies(const reading *of, const gp_rows *tallies, bool in_pause, gp_buffer *buffer)
{
    const gp_session *session = of->session;
    gp_buffer_number(buffer, tallies->count + count_look_rows(of, in_pause));
    for (size_t i = 0; i < tallies->count; i++)
        write_tally((const gp_tally *)tallies->rows + i, buffer);
    for (uint32_t i = 0; of->looked != NULL && i < session->look_row_count; i++) {
        const gp_look_row *row = &session->look_rows[i];
        if (row->in_pause == in_pause)
            write_tally(&(gp_tally){of->looked->number, of->place, row->place, row->sums}, buffer);
    }
}

static void write_looks(const reading *of, gp_buffer *buffer)
{
    gp_buffer_number(buffer, of->session->looks_unseen);
    gp_buffer_number(buffer, of->session->looks_free);
    write_tallies(of, &of->session->tallies, false, buffer);
}

/* ---- pauses ---- */

static void write_pause_sum(const gp_pause_sum *sum, uint32_t ended, gp_buffer *buffer)
{
    gp_buffer_number(buffer, sum->holder);
    write_optional(buffer, ended);
    write_optional(buffer, sum->place);
    gp_buffer_numbers(buffer, sum->generation, sum->held, sum->wait, sum->count, sum->ticks, sum->longest,
                      sum->collected, sum->uncollectable);
}

/* What is of the hold that is under way has rows of its own, as for looks. */
static void write_pauses(const reading *of, gp_buffer *buffer)
{
    const gp_session *session = of->session;
    const gp_pauses *pauses = &session->pauses;
    gp_pause_sum part;
    bool more = session->running && gp_pauses_under_way(session->gil_state, session, of->now, &part);
    gp_buffer_number(buffer, pauses->lost);
    gp_buffer_number(buffer, pauses->sums.count + pauses->row_count + more);
    const gp_pause_sum *sums = pauses->sums.rows;
    for (size_t i = 0; i < pauses->sums.count; i++)
        write_pause_sum(&sums[i], sums[i].ended, buffer);
    for (uint32_t i = 0; i < pauses->row_count; i++)
        write_pause_sum(&pauses->rows[i], of->place, buffer);
    if (more)
        write_pause_sum(&part, part.held != 0 ? of->place : GP_ROW_NONE, buffer);
    gp_buffer_number(buffer, pauses->longest_count);
    for (size_t i = 0; i < pauses->longest_count; i++)
        gp_pause_write(&pauses->longest[i], session->origin, buffer);
    write_tallies(of, &session->pause_tallies, true, buffer);
}

/* ---- callbacks of event loops ---- */

static void write_named(const gp_callback_place *place, gp_buffer *buffer)
{
    gp_buffer_number(buffer, place->line);
    gp_buffer_string(buffer, place->function, strlen(place->function));
    gp_buffer_string(buffer, place->file, strlen(place->file));
}

static void write_callbacks(const gp_session *session, gp_buffer *buffer)
{
    gp_buffer_number(buffer, session->callbacks.count);
    for (size_t i = 0; i < session->callbacks.count; i++) {
        const gp_callback *row = &session->callbacks.rows[i];
        gp_buffer_number(buffer, row->account);
        gp_buffer_number(buffer, gp_ticks_after(session->origin, session->origin, row->start));
        gp_buffer_number(buffer, row->ticks);
        gp_buffer_string(buffer, row->task, strlen(row->task));
        write_named(&row->what, buffer);
        gp_buffer_number(buffer, row->looks);
        gp_buffer_number(buffer, row->seen);
        write_named(&row->where, buffer);
        gp_buffer_string(buffer, row->callee, strlen(row->callee));
    }
}

/* ---- tags ---- */

enum {
    TAGS_SIZE = GP_TAGS * sizeof(gp_tag_row),
};

static bool is_tag_empty(const gp_tag_row *row)
{
    return (row->hold | row->wait | row->off) == 0;
}

static uint64_t count_tags(const gp_tag_row *rows)
{
    uint64_t count = 0;
    for (size_t tag = 0; tag < GP_TAGS; tag++)
        count += !is_tag_empty(&rows[tag]);
    return count;
}

/* False without memory. */
static bool look_at_tags(reading *of)
{
    if (of->session->tags == NULL || !gp_tags_are_used())
        return true;
    of->tags = gp_memory_map(TAGS_SIZE);
    if (of->tags == NULL)
        return false;
    if (of->session->gil != NULL)
        gp_gil_state_charge_tags(&of->session->gil->state, of->session, of->now);
    gp_tag_state_rows(of->session, of->now, of->tags);
    if (count_tags(of->tags) != 0)
        return true;
    gp_memory_unmap(of->tags, TAGS_SIZE);
    of->tags = NULL;
    return true;
}

static void write_tags(const reading *of, gp_buffer *buffer)
{
    const gp_rows *pairs = &of->session->tags->pairs;
    gp_buffer_number(buffer, count_tags(of->tags));
    for (uint32_t tag = 0; tag < GP_TAGS; tag++) {
        const gp_tag_row *row = &of->tags[tag];
        const char *name = gp_tags_name(tag);
        if (is_tag_empty(row))
            continue;
        gp_buffer_number(buffer, tag);
        gp_buffer_string(buffer, name, strlen(name));
        gp_buffer_numbers(buffer, row->hold, row->wait, row->off, row->holds, row->waits);
    }
    const gp_blame *rows = pairs->rows;
    gp_buffer_number(buffer, pairs->count);
    for (size_t i = 0; i < pairs->count; i++)
        gp_buffer_numbers(buffer, rows[i].waiter, rows[i].holder, rows[i].wait);
}

/* ---- all of it ---- */

void gp_snapshot_write(gp_session *session, const gp_snapshot_facts *facts, uint32_t place, uint64_t now,
                       gp_buffer *buffer)
{
    if (session->closed.size != 0) {
        gp_buffer_raw(buffer, session->closed.bytes, session->closed.size);
        return;
    }
    reading of = {.session = session, .place = place, .now = now};
    buffer->failed |= !look_at_all(&of) || !look_at_tags(&of);
    write_totals(&of, facts, buffer);
    write_accounts(&of, buffer);
    book_under_way(&of, 1);
    write_places(session, buffer);
    book_under_way(&of, (uint64_t)-1);
    write_blame(&of, buffer);
    write_stalls(&of, buffer);
    if (session->wants_looks)
        write_looks(&of, buffer);
    if (session->wants_pauses)
        write_pauses(&of, buffer);
    if (session->callbacks.count != 0)
        write_callbacks(session, buffer);
    if (of.tags != NULL)
        write_tags(&of, buffer);
    gp_memory_unmap(of.tags, TAGS_SIZE);
    gp_memory_unmap(of.waits, (session->account_count + 1) * sizeof *of.waits);
}
