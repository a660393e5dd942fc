#include "books/gp_blame.h"

static void add(void *row, const void *other)
{
    ((gp_blame *)row)->wait += ((const gp_blame *)other)->wait;
}

const gp_rows_kind gp_blame_rows = {
    .size = sizeof(gp_blame), .numbers = 3, .first = 128, .most = GP_BLAME_MAX, .accounts = 2, .add = add};
