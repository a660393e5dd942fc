#include "books/gp_pause_sums.h"

void gp_pause_sum_up(gp_pause_sum *row, const gp_pause_sum *sum)
{
    row->held += sum->held;
    row->wait += sum->wait;
    row->count += sum->count;
    row->ticks += sum->ticks;
    row->longest = sum->longest > row->longest ? sum->longest : row->longest;
    row->collected += sum->collected;
    row->uncollectable += sum->uncollectable;
}

static void add(void *row, const void *other)
{
    gp_pause_sum_up(row, other);
}

const gp_rows_kind gp_pause_sum_rows = {.size = sizeof(gp_pause_sum),
                                        .numbers = 4,
                                        .first = 32,
                                        .most = GP_PAUSE_SUMS_MAX,
                                        .accounts = 1,
                                        .add = add};

bool gp_pause_sums_add(gp_rows *table, const gp_pause_sum *sum)
{
    gp_pause_sum *row = gp_rows_make(table, &gp_pause_sum_rows, (const uint32_t *)sum);
    if (row != NULL)
        gp_pause_sum_up(row, sum);
    return row != NULL;
}

void gp_pause_write(const gp_pause *pause, uint64_t origin, gp_buffer *buffer)
{
    uint32_t place = pause->place + 1; /* GP_ROW_NONE becomes 0 */
    gp_buffer_numbers(buffer, pause->holder, place, pause->generation,
                      pause->start > origin ? pause->start - origin : 0, pause->ticks, pause->held,
                      pause->wait, pause->collected, pause->uncollectable);
}

static gp_pause *shortest(gp_pauses *pauses)
{
    gp_pause *least = pauses->longest;
    for (size_t i = 1; i < pauses->longest_count; i++)
        if (pauses->longest[i].ticks < least->ticks)
            least = &pauses->longest[i];
    return least;
}

void gp_pauses_keep_longest(gp_pauses *pauses, const gp_pause *pause)
{
    if (pauses->longest_count < GP_PAUSES_LONGEST) {
        pauses->longest[pauses->longest_count++] = *pause;
        return;
    }
    if (pause->ticks <= pauses->floor)
        return;
    *shortest(pauses) = *pause;
    pauses->floor = shortest(pauses)->ticks;
}

void gp_pauses_free(gp_pauses *pauses)
{
    gp_rows_clear(&pauses->sums, &gp_pause_sum_rows);
    gp_buffer_free(&pauses->told);
}
