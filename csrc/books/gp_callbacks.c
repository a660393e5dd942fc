#include "books/gp_callbacks.h"

#include "base/gp_memory.h"

static const size_t size = GP_CALLBACKS_MAX * sizeof(gp_callback);

static gp_callback *shortest(const gp_callback_list *list)
{
    gp_callback *found = &list->rows[0];
    for (size_t i = 1; i < list->count; i++)
        if (list->rows[i].ticks < found->ticks)
            found = &list->rows[i];
    return found;
}

void gp_callbacks_keep(gp_callback_list *list, const gp_callback *callback)
{
    if (list->rows == NULL && (list->rows = gp_memory_map(size)) == NULL)
        return;
    if (list->count < GP_CALLBACKS_MAX)
        list->rows[list->count++] = *callback;
    else if (shortest(list)->ticks < callback->ticks)
        *shortest(list) = *callback;
    if (list->count == GP_CALLBACKS_MAX)
        list->floor = shortest(list)->ticks;
}

void gp_callbacks_clear(gp_callback_list *list)
{
    gp_memory_unmap(list->rows, size);
    *list = (gp_callback_list){0};
}
