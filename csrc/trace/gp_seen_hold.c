#define _GNU_SOURCE
#include "trace/gp_seen_hold.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "trace/gp_looker.h"
#include "trace/gp_trace_parts.h"
#include "trace/gp_tracer_object.h"

enum {
    STAT_MAX = 64, /* bytes of a thread's line in /proc up to its state: its name has at most 15 */
};

/* ---- seeing ---- */

/* Note the hold. Returns the condition of its GIL. */
static const void *find_holder(gp_session *session, gp_seen_hold *seen, int64_t *native_id)
{
    const void *cond = NULL;
    gp_trace_parts_lock(session);
    const gp_gil_state *gil = session->running && session->wants_sites ? session->gil_state : NULL;
    const gp_thread *holder = gil != NULL && gil->waiters != NULL ? gil->holder : NULL;
    if (holder != NULL && holder->state == GP_HOLD) {
        seen->hold = (gp_stall_look_hold){holder, holder->since};
        *native_id = holder->native_id;
        cond = session->gil->locks.cond;
    }
    gp_trace_parts_unlock(session);
    return cond;
}

/* The letter behind the last parenthesis: see proc_pid_stat(5). */
static gp_seen_state state_in(const char *line)
{
    const char *name_end = strrchr(line, ')');
    switch (name_end != NULL && name_end[1] == ' ' ? name_end[2] : '\0') {
    case 'R':
        return GP_SEEN_RUNS;
    case 'S':
    case 'D':
        return GP_SEEN_BLOCKED;
    case 'T':
    case 't':
        return GP_SEEN_STOPPED;
    default:
        return GP_SEEN_UNKNOWN;
    }
}

static gp_seen_state state_of(int64_t native_id)
{
    char path[64], line[STAT_MAX + 1];
    snprintf(path, sizeof path, "/proc/self/task/%lld/stat", (long long)native_id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, line, STAT_MAX) : 0;
    if (fd >= 0)
        close(fd);
    line[size > 0 ? size : 0] = '\0';
    return state_in(line);
}

void gp_seen_hold_look(gp_session *session, gp_seen_hold *seen)
{
    int64_t native_id = 0;
    const void *cond = find_holder(session, seen, &native_id);
    if (seen->hold.thread == NULL)
        return;
    seen->look = gp_looker_see(session->gil_state, cond, NULL, NULL);
    seen->state = state_of(native_id);
}

/* ---- telling ---- */

static uint64_t since_origin(const gp_session *session, uint64_t at)
{
    return gp_ticks_after(session->origin, session->origin, at > session->start ? at : session->start);
}

static void tell(gp_session *session, const gp_account *account, const gp_seen_hold *seen, uint32_t place,
                 gp_seen_reason reason, uint64_t now)
{
    size_t before = session->seen.size;
    gp_buffer_numbers(&session->seen, reason, account->number, since_origin(session, seen->hold.since),
                      since_origin(session, now), (uint32_t)(place + 1), seen->state);
    if (session->seen.failed) {
        session->seen.size = before;
        session->seen.failed = false;
    }
}

/* The account of its thread, if the hold still goes on. */
static gp_account *account_of(gp_gil_state *gil, gp_session *session, const gp_stall_look_hold *hold)
{
    gp_thread *holder = gil->holder;
    bool same =
        holder != NULL && holder == hold->thread && holder->state == GP_HOLD && holder->since == hold->since;
    return same ? gp_gil_state_account(gil, session, holder) : NULL;
}

/* Where it was seen, in the session. */
static uint32_t place_of(const gp_gil_state *gil, gp_session *session, gp_account *account,
                         const gp_look *look)
{
    return session->wants_sites && look->generation == gil->generation
               ? gp_attribution_looked(session, account, gil->looked, look->stack)
               : GP_ROW_NONE;
}

uint32_t gp_seen_hold_book(gp_session *session, const gp_seen_hold *seen, uint64_t now)
{
    if (!session->running || !session->wants_sites)
        return GP_ROW_NONE;
    gp_gil_state *gil = &session->gil->state;
    gp_gil_state_share_out(gil, session);
    gp_account *account = account_of(gil, session, &seen->hold);
    uint32_t place = account != NULL ? place_of(gil, session, account, &seen->look) : GP_ROW_NONE;
    if (place == GP_ROW_NONE)
        return place;
    tell(session, account, seen, place, GP_SEEN_AT_SNAPSHOT, now);
    session->cpu_now = session->wants_cpu ? gp_clock_cpu_ns_of(gil->holder->native_id) : 0;
    return place;
}

void gp_seen_hold_in_stall(const gp_stall_look *stall, const gp_look *look, uint64_t now)
{
    gp_gil_state *gil = &gp_tracer.main_gil.state;
    const gp_seen_hold seen = {stall->hold, state_of(stall->holder.native_id), *look};
    gp_gil_lock(&gp_tracer.main_gil);
    for (gp_session *session = gil->sessions; session != NULL; session = session->next) {
        gp_account *account = session->recorder != NULL && session->seen_count != GP_SEEN_MAX
                                  ? account_of(gil, session, &stall->hold)
                                  : NULL;
        if (account == NULL)
            continue;
        session->seen_count++;
        tell(session, account, &seen, place_of(gil, session, account, look), GP_SEEN_IN_STALL, now);
    }
    gp_gil_unlock(&gp_tracer.main_gil);
}
