#include "books/gp_tallies.h"

static void add(void *row, const void *other)
{
    gp_look_sums_add(&((gp_tally *)row)->sums, &((const gp_tally *)other)->sums);
}

const gp_rows_kind gp_tally_rows = {
    .size = sizeof(gp_tally), .numbers = 3, .first = 128, .most = GP_TALLIES_MAX, .accounts = 1, .add = add};
