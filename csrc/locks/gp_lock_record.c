#include "locks/gp_lock_record.h"

#include <string.h>

#include "locks/gp_lock_state.h"
#include "recording/gp_chunk.h"

_Static_assert(GP_LOCK_WAITS_SIZE / sizeof(gp_lock_wait) <= (size_t)GP_CHUNK_LOCK_WAITS_MAX,
               "all fit into one chunk");

static struct gp_lock_state *const state = &gp_lock_state;

/* Begin to tell of what comes after *told; returns its end. */
static uint32_t tell(uint32_t *told, uint32_t count, gp_buffer *buffer)
{
    uint32_t first = *told;
    gp_buffer_number(buffer, count - first);
    *told = count;
    return first;
}

static void write_names(const gp_places *names, uint32_t *told, gp_buffer *buffer)
{
    for (uint32_t i = tell(told, names->count, buffer); i < names->count; i++) {
        const gp_place_name *name = gp_places_at(names, i);
        gp_buffer_raw(buffer, name->text, name->size);
    }
}

static void write_stacks(gp_lock_told *told, gp_buffer *buffer)
{
    const gp_lock_row *rows = state->stacks.rows;
    uint32_t count = (uint32_t)state->stacks.count;
    for (uint32_t i = tell(&told->stacks, count, buffer); i < count; i++) {
        gp_buffer_number(buffer, rows[i].key.lock);
        gp_buffer_number(buffer, (uint32_t)(rows[i].key.place + 3));
    }
}

static void write_accounts(gp_lock_told *told, gp_buffer *buffer)
{
    for (uint32_t i = tell(&told->accounts, state->account_count, buffer); i < state->account_count; i++) {
        const gp_lock_account *account = &state->accounts[i + 1];
        gp_buffer_signed(buffer, account->native_id);
        gp_buffer_number(buffer, account->label);
        gp_buffer_string(buffer, account->os_name, strnlen(account->os_name, sizeof account->os_name));
    }
}

/* What the session's recording has not been told of (LNAM). */
static void tell_names(gp_lock_session *session, gp_buffer *buffer)
{
    gp_lock_told *told = &session->told;
    if (told->places == state->places.count && told->locks == state->locks.count &&
        told->stacks == state->stacks.count && told->accounts == state->account_count)
        return;
    write_names(&state->places, &told->places, buffer);
    write_names(&state->locks, &told->locks, buffer);
    write_stacks(told, buffer);
    write_accounts(told, buffer);
}

static uint64_t write_wait(const gp_lock_wait *wait, uint64_t end_before, gp_buffer *buffer)
{
    gp_buffer_number(buffer, wait->account);
    gp_buffer_signed(buffer, (int64_t)(wait->until - end_before));
    gp_buffer_number(buffer, wait->until - wait->since);
    gp_buffer_number(buffer, (uint32_t)(wait->lock + 1));
    gp_buffer_number(buffer, (uint32_t)(wait->place + 3));
    gp_buffer_number(buffer, wait->stack);
    gp_buffer_number(buffer, wait->spun);
    gp_buffer_number(buffer, wait->flags & (GP_LOCK_FAILED | GP_LOCK_GOES_ON | GP_LOCK_SPUN));
    gp_buffer_number(buffer, (uint32_t)(wait->holder + 1));
    if (wait->holder == GP_LOCK_UNSEEN)
        return wait->until;
    gp_buffer_number(buffer, (uint32_t)(wait->holder_place + 3));
    gp_buffer_number(buffer, wait->until - wait->released);
    return wait->until;
}

/* Move the waits to `taken`, whose own have been written; its memory serves the next ones. */
static void take_waits(gp_lock_session *session)
{
    gp_buffer memory = session->taken;
    gp_buffer_clear(&memory);
    session->taken = session->waits;
    session->waits = memory;
}

static void write_waits(const gp_lock_session *session, uint64_t dropped, gp_buffer *buffer)
{
    const gp_lock_wait *waits = (const gp_lock_wait *)session->taken.bytes;
    size_t count = session->taken.size / sizeof *waits;
    uint64_t end = session->origin;
    if (count == 0)
        return;
    gp_buffer_number(buffer, gp_clock_rate_between(session->anchor, gp_clock_anchor_now()).factor);
    gp_buffer_number(buffer, dropped);
    gp_buffer_number(buffer, count);
    for (size_t i = 0; i < count; i++)
        end = write_wait(&waits[i], end, buffer);
}

/* The names are read after the waits are taken: all that these refer to is there then. Many waits take
 * milliseconds to write, so that is done without a lock. */
static void read_news(void *context, gp_news_wish wish, gp_news *news)
{
    gp_lock_session *session = context;
    if (wish != GP_NEWS_ALONE)
        gp_lock_read(session, &news->locks); /* if there is no memory, the buffer says so */
    pthread_mutex_lock(&state->books_lock);
    gp_lock_books_read(&state->books);
    news->ended = session->stop != UINT64_MAX;
    take_waits(session);
    uint64_t dropped = session->dropped;
    pthread_mutex_lock(&state->names_lock);
    tell_names(session, &news->lock_names);
    pthread_mutex_unlock(&state->names_lock);
    pthread_mutex_unlock(&state->books_lock);
    write_waits(session, dropped, &news->lock_waits);
}

static bool is_free(void *context)
{
    pthread_mutex_t *const locks[] = {&state->control_lock, &state->books_lock, &state->names_lock};
    (void)context;
    for (size_t i = 0; i < sizeof locks / sizeof *locks; i++) {
        if (pthread_mutex_trylock(locks[i]) != 0)
            return false;
        pthread_mutex_unlock(locks[i]);
    }
    return true;
}

gp_status gp_lock_record(gp_lock_session *session, gp_recorder *recorder)
{
    gp_source source = {
        .context = session, .timeline = session->keeps_waits, .read = read_news, .is_free = is_free};
    return gp_recorder_add(recorder, &source);
}
