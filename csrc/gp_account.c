#define _GNU_SOURCE
#include "gp_account.h"

#include <errno.h>
#include <string.h>

#if defined(_WIN32)
#include <stdlib.h>

/* No tracer here (csrc/gp_gil.c), so no hook that malloc could deadlock with. */
static void *map_zeroed(size_t size)
{
    return calloc(1, size);
}

static void unmap(void *memory, size_t size)
{
    (void)size;
    free(memory);
}
#else
#include <sys/mman.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* Zeroed memory of which only the pages that are touched count. Leaves errno alone: hooks run inside other
 * calls. */
static void *map_zeroed(size_t size)
{
    int saved = errno;
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    return memory == MAP_FAILED ? NULL : memory;
}

static void unmap(void *memory, size_t size)
{
    if (memory != NULL)
        munmap(memory, size);
}
#endif

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
    gp_session *session = map_zeroed(sizeof *session);
    if (session == NULL)
        return NULL;
    session->id = id;
    session->start = start;
    session->rate = gp_clock_rate_estimate();
    session->chunks = map_zeroed(chunks_size);
    session->by_thread = map_zeroed(by_thread_size);
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
        unmap(session->chunks[i], chunk_size);
    for (size_t i = 0; session->by_thread != NULL && i < PAGES; i++)
        unmap(session->by_thread[i], page_size);
    unmap(session->chunks, chunks_size);
    unmap(session->by_thread, by_thread_size);
    unmap(session, sizeof *session);
}

/* Where the pointer to the thread's account stands, or NULL without memory. */
static gp_account **account_slot(gp_session *session, const gp_thread *thread)
{
    if (thread->index >= GP_THREADS_MAX)
        return NULL;
    gp_account ***page = &session->by_thread[thread->index / GP_THREAD_PAGE];
    if (*page == NULL)
        *page = map_zeroed(page_size);
    return *page == NULL ? NULL : &(*page)[thread->index % GP_THREAD_PAGE];
}

static gp_account *next_account(gp_session *session)
{
    size_t n = session->account_count;
    if (n == GP_THREADS_MAX)
        return NULL;
    gp_account **chunk = &session->chunks[n / GP_ACCOUNT_CHUNK];
    if (*chunk == NULL)
        *chunk = map_zeroed(chunk_size);
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
            (*slot)->first = thread->born > session->start ? thread->born : session->start;
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
