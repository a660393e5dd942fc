#include "locks/gp_lock_table.h"

const gp_rows_kind gp_lock_rows = {
    .size = sizeof(gp_lock_row),
    .numbers = sizeof(gp_lock_row_key) / sizeof(uint32_t),
    .first = 64,
    .most = GP_LOCK_ROWS_MAX,
};
