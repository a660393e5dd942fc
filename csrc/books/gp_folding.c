#include "books/gp_folding.h"

#include "base/gp_memory.h"
#include "books/gp_tag_state.h"

enum {
    SHARE = 32, /* of `keep`: as many openings make it worth while to look at all accounts */
};

/* Whether a thread's account may go. A thread that exited while it waited is still among the waiters, and one
 * whose journal is listed may have notes that were not read. */
static bool is_foldable(const gp_session *session, const gp_account *account, const gp_folding_host *host)
{
    return account->merged != 0 && account != session->ended && !account->kept &&
           account->thread->state == GP_OFF &&
           atomic_load_explicit(&account->thread->exited, memory_order_acquire) &&
           host->gone(account->thread) && !atomic_load(&account->thread->journal.listed);
}

/* ---- the largest ---- */

static gp_largest *least_of_largest(gp_session *session)
{
    gp_largest *least = session->largest;
    for (size_t i = 1; i < session->largest_count; i++)
        if (session->largest[i].weight < least->weight)
            least = &session->largest[i];
    return least;
}

/* Keep an ended thread's account if it is among the largest. Returns the one that must go instead: itself,
 * another, or NULL as long as there is room. */
static gp_account *displace(gp_session *session, gp_account *account)
{
    gp_largest entry = {account, account->hold + account->wait};
    gp_account *victim = NULL;
    bool room = session->largest_count < session->keep_largest;
    if ((!room && entry.weight <= session->largest_floor) || gp_account_is_nameless(session, account))
        return account;
    if (room) {
        session->largest[session->largest_count++] = entry;
    } else {
        gp_largest *least = least_of_largest(session);
        victim = least->account;
        victim->kept = false;
        *least = entry;
    }
    account->kept = true;
    session->largest_floor =
        session->largest_count < session->keep_largest ? 0 : least_of_largest(session)->weight;
    return victim;
}

/* ---- folding ---- */

/* A bit for each number, in pages that are touched as numbers are folded. */
static bool prepare_bits(gp_session *session)
{
    if (session->folded == NULL)
        session->folded = gp_memory_map(GP_FOLDED_SIZE);
    return session->folded != NULL;
}

static void set_folded(gp_session *session, const gp_account *account)
{
    if (gp_account_is_nameless(session, account))
        return;
    session->folded[account->number / 64] |= (uint64_t)1 << account->number % 64;
    session->folded_since++;
}

/* Whether a session still has something to say about an ended thread. */
static bool is_known(const gp_session *session, const gp_thread *thread)
{
    const gp_account *entry = gp_account_entry(session, thread);
    if (entry == NULL) /* its account may yet be opened, if only for its time off */
        return gp_thread_end_of(thread, UINT64_MAX) >= session->start;
    return entry != session->ended;
}

static void retire_if_unknown(gp_thread *thread, gp_session *running, const gp_folding_host *host)
{
    if (host->retire == NULL)
        return;
    for (const gp_session *session = running; session != NULL; session = session->next)
        if (is_known(session, thread))
            return;
    for (gp_session *session = running; session != NULL; session = session->next)
        gp_account_disown(session, thread, NULL);
    host->retire(thread);
}

static void fold(gp_session *session, gp_account *account, gp_session *running, const gp_folding_host *host)
{
    gp_thread *thread = account->thread;
    if (atomic_load_explicit(&thread->label, memory_order_relaxed) != account->introduced_label)
        gp_account_introduce(session, account);
    gp_account_close(session, account, thread, gp_thread_end_of(thread, UINT64_MAX));
    gp_tag_state_book(session, thread, GP_OFF, gp_thread_end_of(thread, UINT64_MAX));
    if (session->ended == NULL) {
        session->ended = account;
        account->thread = NULL;
    } else {
        set_folded(session, account);
        gp_account_merge(session, session->ended, account);
        gp_account_recycle(session, account);
    }
    gp_account_disown(session, thread, session->ended);
    retire_if_unknown(thread, running, host);
}

void gp_folding_run(gp_session *session, gp_session *running, const gp_folding_host *host)
{
    session->opened = 0;
    if (host->gone == NULL || !prepare_bits(session))
        return;
    for (size_t n = 0; n < session->account_count; n++) {
        gp_account *account = gp_account_nth(session, n);
        gp_account *victim = is_foldable(session, account, host) ? displace(session, account) : NULL;
        if (victim != NULL)
            fold(session, victim, running, host);
    }
}

bool gp_folding_is_due(const gp_session *session)
{
    return session->opened != 0 && session->opened * (size_t)SHARE > session->keep &&
           session->account_count - session->spare_count > session->keep;
}

/* ---- what refers to accounts ---- */

void gp_folding_compact(gp_session *session)
{
    /* not for a few: it costs as much as an enlargement */
    size_t open = session->account_count - session->spare_count;
    if (session->ended == NULL || session->folded_since * (size_t)4 < open)
        return;
    gp_rows_rename(&session->blame, &gp_blame_rows, session->folded, session->ended->number);
    gp_rows_rename(&session->tallies, &gp_tally_rows, session->folded, session->ended->number);
    gp_rows_rename(&session->pause_tallies, &gp_tally_rows, session->folded, session->ended->number);
    gp_rows_rename(&session->pauses.sums, &gp_pause_sum_rows, session->folded, session->ended->number);
    session->folded_since = 0;
}
