#ifndef GP_TALLIES_H
#define GP_TALLIES_H

/* Tallies: how many looks at whom, in holds that ended where, saw what. A total that is booked for the place
 * where holds ended is shared out by them when a report is made.
 *
 * A look stands for the time between two looks as it was on average then, which differs: seldom looks stand
 * for more. The sum of the squares tells by how many equal looks a share is as certain (Kish, Survey
 * Sampling, 1965, section 11.7).
 */

#include "base/gp_rows.h"

enum {
    GP_TALLIES_MAX = 1 << 18, /* rows in one session: 18 MiB */
};

/* Sums over looks. Times in GP_LOOK_UNIT_NS. */
typedef struct {
    uint64_t looks;
    uint64_t waiting; /* the threads that waited */
    uint64_t time;    /* that they stand for */
    uint64_t waited;  /* of all threads that waited, in that time */
    uint64_t squares; /* of each look's part in `waited`; as large as can be, if it is larger */
} gp_look_sums;

#define GP_LOOK_UNIT_NS UINT64_C(10000)
#define GP_LOOK_SQUARES_MAX (((uint64_t)1 << 63) - 1)

typedef struct {
    uint32_t holder; /* the number of an account */
    uint32_t ended;  /* place: where the hold ended */
    uint32_t looked; /* place: what was seen */
    gp_look_sums sums;
} gp_tally;

static inline void gp_look_sums_add(gp_look_sums *sums, const gp_look_sums *other)
{
    sums->looks += other->looks;
    sums->waiting += other->waiting;
    sums->time += other->time;
    sums->waited += other->waited;
    uint64_t room = GP_LOOK_SQUARES_MAX - sums->squares;
    sums->squares += other->squares < room ? other->squares : room;
}

/* One look that stands for `time`, while so many threads waited. */
static inline gp_look_sums gp_look_sums_of(uint64_t time, uint64_t waiting)
{
    uint64_t waited = time * waiting, square;
    if (__builtin_mul_overflow(waited, waited, &square) || square > GP_LOOK_SQUARES_MAX)
        square = GP_LOOK_SQUARES_MAX;
    return (gp_look_sums){1, waiting, time, waited, square};
}

extern const gp_rows_kind gp_tally_rows;

/* The row for these three, made now if it is new; NULL without room. */
static inline gp_tally *gp_tally_of(gp_rows *table, uint32_t holder, uint32_t ended, uint32_t looked)
{
    return gp_rows_make(table, &gp_tally_rows, (const uint32_t[]){holder, ended, looked});
}

#endif
