#include "trace/gp_totals.h"

#include <stdlib.h>
#include <string.h>

/* Accounts of ended threads have their waits of 0 among the others already. */
static void add_histograms(const gp_session *session, const gp_account *account, gp_totals *totals)
{
    gp_hist_merge(&totals->holds, &account->holds);
    gp_hist_merge(&totals->waits, &account->waits);
    if (session->running && account != session->ended)
        totals->waits.counts[0] += account->acquisitions - account->contended_acquisitions;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What the thread does at `now`. */
static void add_under_way(const gp_session *session, const gp_thread *thread, uint64_t now, gp_totals *totals)
{
    uint64_t ticks = gp_ticks_after(session->start, thread->since, gp_thread_end_of(thread, now));
    *(thread->state == GP_HOLD   ? &totals->held
      : thread->state == GP_WAIT ? &totals->wait
                                 : &totals->off) += ticks;
}

static void add_account(const gp_session *session, const gp_account *account, uint64_t now, gp_totals *totals)
{
    totals->threads += account->merged;
    totals->contended_acquisitions += account->contended_acquisitions;
    totals->hold_sum += account->hold;
    totals->wait_sum += account->wait;
    totals->off += account->off;
    totals->hold_longest = larger(totals->hold_longest, account->longest_hold);
    totals->wait_longest = larger(totals->wait_longest, account->longest_wait);
    add_histograms(session, account, totals);
    if (session->running && account != session->ended)
        add_under_way(session, account->thread, now, totals);
}

/* What has no tag is what the others leave. */
static void add_rest(gp_totals *totals)
{
    gp_tag_row *rest = &totals->tags[GP_TAG_NONE];
    *rest = (gp_tag_row){totals->held, totals->wait, totals->off, gp_hist_count(&totals->holds),
                         totals->contended_acquisitions};
    for (size_t tag = 1; tag < GP_TAGS; tag++) {
        const gp_tag_row *row = &totals->tags[tag];
        rest->hold -= row->hold;
        rest->wait -= row->wait;
        rest->off -= row->off;
        rest->holds -= row->holds;
        rest->waits -= row->waits;
    }
}

/* Each row is rounded, and never goes backwards; so do their sums. */
static void add_up_rows(gp_totals *totals)
{
    totals->held = totals->wait = totals->off = 0;
    for (size_t tag = 0; tag < GP_TAGS; tag++) {
        totals->held += totals->tags[tag].hold;
        totals->wait += totals->tags[tag].wait;
        totals->off += totals->tags[tag].off;
    }
}

static gp_status read_tags(gp_gil_state *gil, gp_session *session, uint64_t now, gp_totals *totals)
{
    const gp_rows *pairs = &session->tags->pairs;
    gp_gil_state_charge_tags(gil, session, now);
    gp_tag_state_rows(session, now, totals->tags);
    totals->tagged = true;
    add_rest(totals);
    totals->worst = session->tags->worst;
    totals->worst.start = gp_ticks_after(0, session->start, totals->worst.start);
    totals->pair_count = pairs->count;
    totals->pairs = calloc(pairs->count + 1, sizeof *totals->pairs);
    if (totals->pairs == NULL)
        return GP_ENOMEM;
    if (pairs->count != 0)
        memcpy(totals->pairs, pairs->rows, pairs->count * sizeof *totals->pairs);
    return GP_OK;
}

static void to_ns(gp_clock_rate rate, gp_totals *totals)
{
    uint64_t *const times[] = {
        &totals->elapsed,      &totals->held,        &totals->contended,    &totals->wait,
        &totals->off,          &totals->hold_sum,    &totals->hold_longest, &totals->wait_sum,
        &totals->wait_longest, &totals->worst.start, &totals->worst.ticks,  &totals->worst.holder_ticks,
    };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        *times[i] = gp_clock_to_ns(rate, *times[i]);
    for (size_t i = 0; i < GP_TAGS; i++) {
        gp_tag_row *row = &totals->tags[i];
        row->hold = gp_clock_to_ns(rate, row->hold);
        row->wait = gp_clock_to_ns(rate, row->wait);
        row->off = gp_clock_to_ns(rate, row->off);
    }
    for (size_t i = 0; i < totals->pair_count; i++)
        totals->pairs[i].wait = gp_clock_to_ns(rate, totals->pairs[i].wait);
}

gp_status gp_totals_read(gp_gil_state *gil, gp_session *session, uint64_t now, gp_totals *totals)
{
    totals->elapsed = gp_ticks_after(0, session->start, now);
    for (size_t n = 0; n < session->account_count; n++) {
        const gp_account *account = gp_account_nth(session, n);
        if (account->merged != 0)
            add_account(session, account, now, totals);
    }
    totals->held += totals->hold_sum;
    totals->wait += totals->wait_sum;
    totals->contended = gp_gil_state_contended(session, now);
    totals->waiting = session->running ? gp_gil_state_waiting(gil, now) : 0;
    gp_status status = session->tags != NULL ? read_tags(gil, session, now, totals) : GP_OK;
    to_ns(session->rate, totals);
    if (totals->tagged)
        add_up_rows(totals);
    return status;
}

void gp_totals_clear(gp_totals *totals)
{
    free(totals->pairs);
    totals->pairs = NULL;
    totals->pair_count = 0;
}
