#include "books/gp_tags.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/gp_memory.h"
#include "base/gp_place.h"
#include "base/gp_utf8.h"

static _Atomic uint32_t last_tag;
static const char *_Atomic names[GP_TAGS]; /* never freed: a recording may be written at any time */

uint32_t gp_tags_add(const char *name, size_t size)
{
    if (atomic_load(&last_tag) >= GP_TAGS_NAMED)
        return GP_TAG_OTHERS;
    uint32_t tag = atomic_fetch_add(&last_tag, 1) + 1;
    size = gp_utf8_cut(name, size, GP_TAG_NAME_MAX);
    char *kept = tag <= GP_TAGS_NAMED ? calloc(1, size + 1) : NULL;
    if (kept == NULL)
        return GP_TAG_OTHERS;
    memcpy(kept, name, size);
    /* release: who finds the name finds its letters */
    atomic_store_explicit(&names[tag], kept, memory_order_release);
    return tag;
}

bool gp_tags_are_used(void)
{
    return atomic_load(&last_tag) != 0;
}

const char *gp_tags_name(uint32_t tag)
{
    const char *name = tag < GP_TAGS ? atomic_load_explicit(&names[tag], memory_order_acquire) : NULL;
    return name != NULL ? name : "";
}

gp_tag_books *gp_tag_books_new(void)
{
    return gp_memory_map(sizeof(gp_tag_books));
}

void gp_tag_books_free(gp_tag_books *books)
{
    if (books == NULL)
        return;
    gp_rows_clear(&books->pairs, &gp_blame_rows);
    gp_memory_unmap(books, sizeof *books);
}

void gp_tag_books_charge(gp_tag_books *books, uint32_t waiter, uint32_t holder, uint64_t ticks)
{
    const uint32_t pair[] = {waiter, holder, GP_ROW_NONE};
    if (books->pairs.count >= GP_TAG_PAIRS_MAX && gp_rows_find(&books->pairs, &gp_blame_rows, pair) == NULL)
        holder = GP_TAG_OTHERS;
    gp_blame *row = gp_blame_of(&books->pairs, waiter, holder, GP_ROW_NONE);
    if (row != NULL)
        row->wait += ticks;
}
