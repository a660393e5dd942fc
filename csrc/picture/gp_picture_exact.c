#include "picture/gp_picture_exact.h"

#include <stdlib.h>

typedef struct {
    gp_buffer bytes;
    uint64_t end;
} packed_row;

struct gp_picture_exact {
    const gp_rows *rows;
    size_t count;
    packed_row packed[];
};

gp_status gp_picture_exact_new(const gp_rows *rows, gp_picture_exact **exact)
{
    size_t count = (size_t)rows->row_count + rows->gil_count;
    *exact = calloc(1, sizeof **exact + count * sizeof(packed_row));
    if (*exact == NULL)
        return GP_ENOMEM;
    (*exact)->rows = rows;
    (*exact)->count = count;
    return GP_OK;
}

static void pack(packed_row *row, const gp_span *interval)
{
    int64_t gap = (int64_t)(interval->begin - row->end); /* both are below 2**63 */
    gp_buffer_number(&row->bytes, gp_number_zigzag(gap) << 1 | interval->is_wait);
    gp_buffer_number(&row->bytes, interval->end - interval->begin);
    gp_buffer_number(&row->bytes, interval->place);
    row->end = interval->end;
}

gp_status gp_picture_exact_add(gp_picture_exact *exact, const gp_picture_intervals *intervals)
{
    const gp_rows *rows = exact->rows;
    gp_span one;
    for (size_t i = 0; i < intervals->count; i++) {
        if (!gp_span_get(intervals, i, rows, &one))
            return GP_EINVAL;
        packed_row *row = NULL;
        if (one.row < rows->row_count)
            row = &exact->packed[one.row];
        else if (!one.is_wait && one.gil < rows->gil_count)
            row = &exact->packed[rows->row_count + one.gil];
        if (row == NULL)
            continue;
        pack(row, &one);
        if (row->bytes.failed)
            return GP_ENOMEM;
    }
    return GP_OK;
}

const gp_buffer *gp_picture_exact_row(const gp_picture_exact *exact, size_t row)
{
    return &exact->packed[row].bytes;
}

void gp_picture_exact_free(gp_picture_exact *exact)
{
    if (exact == NULL)
        return;
    for (size_t i = 0; i < exact->count; i++)
        gp_buffer_free(&exact->packed[i].bytes);
    free(exact);
}
