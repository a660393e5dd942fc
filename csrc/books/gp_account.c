#define _GNU_SOURCE
#include "books/gp_account.h"

#include <stddef.h>
#include <string.h>

#include "base/gp_memory.h"

enum {
    CHUNKS = GP_THREADS_MAX / GP_ACCOUNT_CHUNK,
    PAGES = GP_THREADS_MAX / GP_THREAD_PAGE,
};

_Static_assert((int)GP_THREADS_MAX <= (int)GP_NUMBERS_MAX, "there are numbers for all threads of one moment");

static const size_t chunks_size = CHUNKS * sizeof(gp_account *);
static const size_t by_thread_size = PAGES * sizeof(gp_account **);
static const size_t chunk_size = GP_ACCOUNT_CHUNK * sizeof(gp_account);
static const size_t page_size = GP_THREAD_PAGE * sizeof(gp_account *);

gp_session *gp_session_new(uint64_t id, uint64_t start)
{
    gp_session *session = gp_memory_map(sizeof *session);
    if (session == NULL)
        return NULL;
    session->id = id;
    session->start = start;
    session->origin = start;
    session->rate = gp_clock_rate_estimate();
    session->keep = GP_ACCOUNTS_KEPT;
    session->keep_largest = GP_LARGEST_KEPT;
    session->chunks = gp_memory_map(chunks_size);
    session->by_thread = gp_memory_map(by_thread_size);
    if (session->chunks == NULL || session->by_thread == NULL) {
        gp_session_free(session);
        return NULL;
    }
    return session;
}

void gp_session_forget_looked(gp_session *session)
{
    gp_memory_unmap(session->looked.place_of, session->looked.room * sizeof *session->looked.place_of);
    session->looked = (gp_place_map){0};
}

static void free_books(gp_session *session)
{
    for (size_t i = 0; session->chunks != NULL && i < CHUNKS && session->chunks[i] != NULL; i++)
        gp_memory_unmap(session->chunks[i], chunk_size);
    for (size_t i = 0; session->by_thread != NULL && i < PAGES; i++)
        gp_memory_unmap(session->by_thread[i], page_size);
    gp_memory_unmap(session->places, session->place_room * sizeof *session->places);
    gp_memory_unmap(session->met.place_of, session->met.room * sizeof *session->met.place_of);
    gp_session_forget_looked(session);
    gp_rows_clear(&session->tallies, &gp_tally_rows);
    gp_callbacks_clear(&session->callbacks);
    gp_rows_clear(&session->pause_tallies, &gp_tally_rows);
    gp_pauses_free(&session->pauses);
    gp_rows_clear(&session->blame, &gp_blame_rows);
    gp_tag_books_free(session->tags);
    gp_memory_unmap(session->folded, GP_FOLDED_SIZE);
    gp_memory_unmap(session->chunks, chunks_size);
    gp_memory_unmap(session->by_thread, by_thread_size);
}

void gp_session_free(gp_session *session)
{
    if (session == NULL)
        return;
    free_books(session);
    gp_buffer_free(&session->described);
    gp_buffer_free(&session->introduced);
    gp_buffer_free(&session->seen);
    gp_buffer_free(&session->closed);
    gp_buffer_free(&session->timeline.events);
    gp_memory_unmap(session, sizeof *session);
}

void gp_session_close_books(gp_session *session, gp_buffer closed)
{
    free_books(session);
    session->closed = closed;
    session->chunks = NULL;
    session->by_thread = NULL;
    session->places = NULL;
    session->met = (gp_place_map){0};
    session->folded = NULL;
    session->tags = NULL;
    session->spares = session->ended = NULL;
    session->largest_count = 0;
    session->account_count = session->place_count = session->place_room = 0;
}

/* Where the pointer to the thread's account stands, or NULL without memory. */
static gp_account **account_slot(gp_session *session, const gp_thread *thread)
{
    if (thread->index >= GP_THREADS_MAX)
        return NULL;
    gp_account ***page = &session->by_thread[thread->index / GP_THREAD_PAGE];
    if (*page == NULL)
        *page = gp_memory_map(page_size);
    return *page == NULL ? NULL : &(*page)[thread->index % GP_THREAD_PAGE];
}

gp_account *gp_account_entry(const gp_session *session, const gp_thread *thread)
{
    gp_account **page =
        thread->index < GP_THREADS_MAX ? session->by_thread[thread->index / GP_THREAD_PAGE] : NULL;
    return page != NULL ? page[thread->index % GP_THREAD_PAGE] : NULL;
}

void gp_account_introduce(gp_session *session, gp_account *account)
{
    const gp_thread *thread = account->thread;
    char os_name[16];
    if (session->recorder == NULL || gp_account_is_nameless(session, account))
        return;
    gp_thread_read_name(thread, os_name);
    account->introduced_label = atomic_load_explicit(&thread->label, memory_order_relaxed);
    gp_buffer_number(&session->introduced, account->number);
    gp_buffer_signed(&session->introduced, thread->native_id);
    gp_buffer_number(&session->introduced, account->introduced_label);
    gp_buffer_string(&session->introduced, os_name, strnlen(os_name, sizeof os_name));
    gp_buffer_number(&session->introduced, gp_ticks_after(session->origin, session->origin, account->first));
}

/* ---- opening ---- */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* A slot that nobody uses, zeroed. */
static gp_account *free_slot(gp_session *session)
{
    gp_account *account = session->spares;
    if (account != NULL) {
        session->spares = account->next_spare;
        session->spare_count--;
        account->next_spare = NULL;
        return account;
    }
    size_t n = session->account_count;
    gp_account **chunk = n < GP_THREADS_MAX ? &session->chunks[n / GP_ACCOUNT_CHUNK] : NULL;
    if (chunk != NULL && *chunk == NULL)
        *chunk = gp_memory_map(chunk_size);
    if (chunk == NULL || *chunk == NULL)
        return NULL;
    session->account_count++;
    return gp_account_nth(session, n);
}

static gp_account *open_account(gp_session *session, gp_thread *thread)
{
    bool numbered = session->next_number < GP_NUMBERS_MAX;
    gp_account *account = numbered || session->ended != NULL ? free_slot(session) : NULL;
    if (account == NULL)
        return NULL;
    account->thread = thread;
    account->merged = 1;
    account->number = numbered ? session->next_number++ : session->ended->number;
    account->last_place = GP_ROW_NONE;
    account->native_place = GP_ROW_NONE;
    account->first = larger(thread->born, session->start);
    /* later, if what came before was lost without memory */
    account->first = larger(account->first, thread->since);
    account->charges_seen = thread->since > session->start ? session->charge_count : 0;
    session->opened++;
    gp_account_introduce(session, account);
    return account;
}

gp_account *gp_account_open(gp_session *session, gp_thread *thread)
{
    gp_account **slot = account_slot(session, thread);
    if (slot != NULL && *slot == NULL)
        *slot = open_account(session, thread);
    if (slot == NULL || *slot == NULL) {
        session->lost++;
        return NULL;
    }
    thread->account_session = session->id;
    thread->account = *slot;
    return *slot;
}

void gp_account_disown(gp_session *session, gp_thread *thread, gp_account *instead)
{
    gp_account **slot = account_slot(session, thread);
    if (slot != NULL)
        *slot = instead;
    if (thread->account_session == session->id)
        thread->account_session = 0;
}

void gp_account_recycle(gp_session *session, gp_account *account)
{
    memset(account, 0, offsetof(gp_account, holds));
    account->next_spare = session->spares;
    session->spares = account;
    session->spare_count++;
}

/* ---- closing ---- */

void gp_account_close(const gp_session *session, gp_account *account, const gp_thread *thread, uint64_t until)
{
    account->identity = (gp_identity){
        .native_id = thread->native_id,
        .label = atomic_load_explicit(&thread->label, memory_order_relaxed),
        .exited = atomic_load_explicit(&thread->exited, memory_order_relaxed),
    };
    gp_thread_read_name(thread, account->identity.os_name);
    /* not before the last event: stamps of two cores may disagree; nor before the first */
    account->last = larger(larger(until, thread->since), account->first);
    account->releases =
        gp_hist_count_to(&account->holds, gp_account_last_bucket(session, account->longest_hold));
    account->waits.counts[0] += account->acquisitions - account->contended_acquisitions;
    switch (thread->state) {
    case GP_HOLD:
        gp_account_book_hold(session, account, thread->since, until);
        account->hold_cpu +=
            gp_account_hold_cpu(session, thread, gp_journal_cpu_since(&thread->journal), session->cpu_now);
        break;
    case GP_WAIT:
        gp_account_book_wait(session, account, thread->since, until);
        break;
    case GP_OFF:
        gp_account_book_off(session, account, thread->since, until);
        break;
    }
}

size_t gp_account_last_bucket(const gp_session *session, uint64_t longest)
{
    return gp_hist_index(gp_clock_to_ns(session->rate, longest));
}

static void copy_counts(const gp_session *session, gp_hist *into, const gp_hist *from, uint64_t longest)
{
    memcpy(into, from, (gp_account_last_bucket(session, longest) + 1) * sizeof *from->counts);
}

void gp_account_copy(const gp_session *session, const gp_account *account, gp_account *copy)
{
    memcpy(copy, account, offsetof(gp_account, holds));
    copy_counts(session, &copy->holds, &account->holds, account->longest_hold);
    copy_counts(session, &copy->waits, &account->waits, account->longest_wait);
}

void gp_account_merge(const gp_session *session, gp_account *into, gp_account *from)
{
    uint64_t lifetime = gp_ticks_after(0, into->first, into->last);
    into->identity = (gp_identity){.exited = true};
    into->first = session->start;
    into->last = session->start + lifetime + gp_ticks_after(0, from->first, from->last);
    into->merged += from->merged;
    into->hold += from->hold;
    into->hold_cpu += from->hold_cpu;
    into->wait += from->wait;
    into->off += from->off;
    into->longest_hold = larger(into->longest_hold, from->longest_hold);
    into->longest_wait = larger(into->longest_wait, from->longest_wait);
    into->acquisitions += from->acquisitions;
    into->contended_acquisitions += from->contended_acquisitions;
    into->releases += from->releases;
    into->forced_releases += from->forced_releases;
    into->blamed += from->blamed;
    gp_hist_move(&into->holds, &from->holds, gp_account_last_bucket(session, from->longest_hold));
    gp_hist_move(&into->waits, &from->waits, gp_account_last_bucket(session, from->longest_wait));
}
