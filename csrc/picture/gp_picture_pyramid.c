#include "picture/gp_picture_pyramid.h"

#include <stdlib.h>

#include "base/gp_memory.h"

typedef struct {
    uint64_t held, waited; /* nanoseconds */
    uint64_t lead;         /* by which `leader` is ahead */
    uint32_t leader;
} cell;

typedef struct {
    uint64_t until[2]; /* end of the last hold, of the last wait */
} progress;

struct gp_picture_pyramid {
    const gp_rows *rows;
    uint64_t cell_ns;
    uint32_t cells; /* a row */
    size_t row_count, size;
    cell *table;
    progress progress[];
};

gp_status gp_picture_pyramid_new(const gp_rows *rows, uint32_t cells, gp_picture_pyramid **pyramid)
{
    size_t count = (size_t)rows->row_count + rows->gil_count;
    gp_picture_pyramid *made = calloc(1, sizeof *made + count * sizeof(progress));
    if (made == NULL)
        return GP_ENOMEM;
    made->rows = rows;
    made->cells = cells;
    made->row_count = count;
    made->cell_ns = rows->extent_ns / cells + (rows->extent_ns % cells != 0);
    if (made->cell_ns == 0)
        made->cell_ns = 1;
    made->size = count * cells * sizeof(cell);
    made->table = made->size != 0 ? gp_memory_map(made->size) : NULL;
    if (made->table == NULL && made->size != 0) {
        free(made);
        return GP_ENOMEM;
    }
    *pyramid = made;
    return GP_OK;
}

static inline void vote(cell *into, uint32_t who, uint64_t weight)
{
    if (into->leader == who) {
        into->lead += weight;
    } else if (weight > into->lead) {
        into->leader = who;
        into->lead = weight - into->lead;
    } else {
        into->lead -= weight;
    }
}

static void spread(gp_picture_pyramid *pyramid, size_t row, const gp_span *interval, uint32_t who)
{
    uint64_t *until = &pyramid->progress[row].until[interval->is_wait];
    uint64_t begin = interval->begin > *until ? interval->begin : *until;
    if (begin >= interval->end)
        return;
    *until = interval->end;
    cell *at = &pyramid->table[row * pyramid->cells + begin / pyramid->cell_ns];
    uint64_t border = begin - begin % pyramid->cell_ns;
    for (; begin < interval->end; at++) {
        border += pyramid->cell_ns;
        uint64_t part = (interval->end < border ? interval->end : border) - begin;
        begin += part;
        if (interval->is_wait) {
            at->waited += part;
        } else {
            at->held += part;
            vote(at, who, part);
        }
    }
}

gp_status gp_picture_pyramid_add(gp_picture_pyramid *pyramid, const gp_picture_intervals *intervals)
{
    const gp_rows *rows = pyramid->rows;
    gp_span one;
    for (size_t i = 0; i < intervals->count; i++) {
        if (!gp_span_get(intervals, i, rows, &one))
            return GP_EINVAL;
        if (one.row < rows->row_count)
            spread(pyramid, one.row, &one, one.place);
        if (!one.is_wait && one.gil < rows->gil_count)
            spread(pyramid, (size_t)rows->row_count + one.gil, &one, one.row + 1);
    }
    return GP_OK;
}

uint64_t gp_picture_pyramid_cell_ns(const gp_picture_pyramid *pyramid)
{
    return pyramid->cell_ns;
}

/* The sum of a cell of a coarser level; *covered: how much of the extent it covers. */
static cell merged(const gp_picture_pyramid *pyramid, size_t row, uint64_t first, uint64_t step,
                   uint64_t *covered)
{
    const cell *cells = &pyramid->table[row * pyramid->cells];
    uint64_t last = first + step < pyramid->cells ? first + step : pyramid->cells;
    uint64_t begin = first * pyramid->cell_ns, end = last * pyramid->cell_ns;
    cell sum = cells[first];
    for (uint64_t i = first + 1; i < last; i++) {
        if (sum.held == 0) { /* no leader yet; the leader of this cell may be ahead by 0 */
            sum.leader = cells[i].leader;
            sum.lead = cells[i].lead;
        } else if (cells[i].held != 0) {
            vote(&sum, cells[i].leader, cells[i].lead);
        }
        sum.held += cells[i].held;
        sum.waited += cells[i].waited;
    }
    if (end > pyramid->rows->extent_ns)
        end = pyramid->rows->extent_ns;
    *covered = end > begin ? end - begin : 0;
    return sum;
}

static uint64_t share(uint64_t part, uint64_t whole)
{
    if (part == 0 || whole == 0)
        return 0;
    uint64_t parts = (uint64_t)(((unsigned __int128)part * GP_PICTURE_PYRAMID_SHARES + whole / 2) / whole);
    return parts == 0 ? 1 : parts < GP_PICTURE_PYRAMID_SHARES ? parts : GP_PICTURE_PYRAMID_SHARES;
}

static void put_repeats(gp_buffer *buffer, uint64_t *repeats)
{
    if (*repeats != 0)
        gp_buffer_number(buffer, *repeats << 2 | 2);
    *repeats = 0;
}

void gp_picture_pyramid_pack(const gp_picture_pyramid *pyramid, size_t row, unsigned level, gp_buffer *buffer)
{
    uint64_t step = (uint64_t)1 << level, before = 0, repeats = 0;
    uint32_t leader = 0;
    for (uint64_t first = 0; first < pyramid->cells; first += step) {
        uint64_t covered;
        cell sum = merged(pyramid, row, first, step, &covered);
        uint64_t shares = share(sum.waited, covered) << 6 | share(sum.held, covered);
        bool led = sum.held == 0 || sum.leader == leader;
        if (led && shares == before) {
            repeats++;
            continue;
        }
        put_repeats(buffer, &repeats);
        gp_buffer_number(buffer, shares << 2 | !led);
        if (!led)
            gp_buffer_number(buffer, leader = sum.leader);
        before = shares;
    }
    put_repeats(buffer, &repeats);
}

void gp_picture_pyramid_free(gp_picture_pyramid *pyramid)
{
    if (pyramid == NULL)
        return;
    gp_memory_unmap(pyramid->table, pyramid->size);
    free(pyramid);
}
