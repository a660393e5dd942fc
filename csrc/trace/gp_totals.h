#ifndef GP_TOTALS_H
#define GP_TOTALS_H

/* What a session has booked for all threads together, and for each tag: what a monitor reads. */

#include "books/gp_gil_state.h"

/* Times are nanoseconds by the session's first idea of the clock's rate, so that none ever goes backwards. */
typedef struct {
    uint64_t elapsed, held, contended, wait, off; /* up to now */
    uint64_t threads, waiting;                    /* ever met; that wait now */
    uint64_t contended_acquisitions;

    /* of holds and waits that have ended */
    uint64_t hold_sum, hold_longest, wait_sum, wait_longest;
    gp_hist holds, waits;

    /* only with tags */
    bool tagged;
    gp_tag_row tags[GP_TAGS]; /* up to now; the first is all that has none */
    gp_blame *pairs;          /* as in gp_tag_books, up to now */
    size_t pair_count;
    gp_worst_wait worst; /* its start counts from the session's */
} gp_totals;

/* Zeroed memory is filled; all that is under way counts up to `now`. Under the lock, after a reading up to
 * `now`. GP_ENOMEM. */
gp_status gp_totals_read(gp_gil_state *gil, gp_session *session, uint64_t now, gp_totals *totals);

/* Give up its memory. */
void gp_totals_clear(gp_totals *totals);

#endif
