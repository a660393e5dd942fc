#define _GNU_SOURCE
#include "gp_account.h"

#include <string.h>

#include "gp_memory.h"

enum {
    CHUNKS = GP_THREADS_MAX / GP_ACCOUNT_CHUNK,
    PAGES = GP_THREADS_MAX / GP_THREAD_PAGE,
};

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
    session->rate = gp_clock_rate_estimate();
    session->chunks = gp_memory_map(chunks_size);
    session->by_thread = gp_memory_map(by_thread_size);
    if (session->chunks == NULL || session->by_thread == NULL) {
        gp_session_free(session);
        return NULL;
    }
    return session;
}

void gp_session_free(gp_session *session)
{
    if (session == NULL)
        return;
    for (size_t i = 0; session->chunks != NULL && i < CHUNKS && session->chunks[i] != NULL; i++)
        gp_memory_unmap(session->chunks[i], chunk_size);
    for (size_t i = 0; session->by_thread != NULL && i < PAGES; i++)
        gp_memory_unmap(session->by_thread[i], page_size);
    gp_places_clear(&session->places);
    gp_blame_clear(&session->blame);
    gp_buffer_free(&session->described);
    gp_buffer_free(&session->introduced);
    gp_ring_free(session->ring);
    gp_memory_unmap(session->chunks, chunks_size);
    gp_memory_unmap(session->by_thread, by_thread_size);
    gp_memory_unmap(session, sizeof *session);
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

void gp_account_introduce(gp_session *session, gp_account *account)
{
    const gp_thread *thread = account->thread;
    char os_name[16];
    gp_thread_read_name(thread, os_name);
    account->introduced_label = atomic_load_explicit(&thread->label, memory_order_relaxed);
    gp_buffer_number(&session->introduced, account->number);
    gp_buffer_signed(&session->introduced, thread->native_id);
    gp_buffer_number(&session->introduced, account->introduced_label);
    gp_buffer_string(&session->introduced, os_name, strnlen(os_name, sizeof os_name));
    gp_buffer_number(&session->introduced, gp_ticks_after(session->start, session->start, account->first));
}

static gp_account *next_account(gp_session *session)
{
    size_t n = session->account_count;
    if (n == GP_THREADS_MAX)
        return NULL;
    gp_account **chunk = &session->chunks[n / GP_ACCOUNT_CHUNK];
    if (*chunk == NULL)
        *chunk = gp_memory_map(chunk_size);
    if (*chunk == NULL)
        return NULL;
    session->account_count++;
    return gp_account_nth(session, n);
}

gp_account *gp_account_open(gp_session *session, gp_thread *thread)
{
    gp_account **slot = account_slot(session, thread);
    if (slot != NULL && *slot == NULL) {
        *slot = next_account(session);
        if (*slot != NULL) {
            (*slot)->thread = thread;
            (*slot)->number = (uint32_t)session->account_count - 1;
            (*slot)->last_place = GP_ROW_NONE;
            (*slot)->blame_row = GP_ROW_NONE;
            (*slot)->first = thread->born > session->start ? thread->born : session->start;
            gp_account_introduce(session, *slot);
        }
    }
    if (slot == NULL || *slot == NULL) {
        session->lost++;
        return NULL;
    }
    thread->account_session = session->id;
    thread->account = *slot;
    return *slot;
}
