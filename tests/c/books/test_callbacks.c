/* The list of the longest callbacks, against what should be left of many. */

#include "books/gp_callbacks.h"

#include <stdbool.h>
#include <string.h>

#include "gp_test.h"

enum { MANY = 1000 };

static uint64_t ticks_of(uint64_t i)
{
    return i * 617 % MANY + 1; /* each number from 1 to MANY once */
}

int main(void)
{
    gp_callback_list list = {0};
    bool kept[MANY + 1] = {false};
    for (uint64_t i = 0; i < MANY; i++) {
        gp_callbacks_keep(&list, &(gp_callback){.start = i, .ticks = ticks_of(i), .task = "poll"});
        CHECK_EQUAL(list.floor == 0, list.count < GP_CALLBACKS_MAX);
    }
    CHECK_EQUAL(list.count, GP_CALLBACKS_MAX);
    CHECK_EQUAL(list.floor, MANY - GP_CALLBACKS_MAX + 1);
    for (size_t i = 0; i < list.count; i++) {
        const gp_callback *row = &list.rows[i];
        CHECK(row->ticks >= list.floor && row->ticks <= MANY && !kept[row->ticks]);
        CHECK_EQUAL(ticks_of(row->start), row->ticks);
        CHECK_EQUAL(strcmp(row->task, "poll"), 0);
        kept[row->ticks] = true;
    }
    gp_callbacks_clear(&list);
    CHECK(list.rows == NULL && list.count == 0 && list.floor == 0);
    gp_callbacks_clear(&list);
    return gp_test_status();
}
