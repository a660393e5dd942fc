#include "gp_labels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 1024,
    PAGES = GP_LABELS_MAX / PAGE,
};

typedef _Atomic(char *) entry;

static _Atomic(entry *) pages[PAGES];

static entry *page_of(uint32_t label)
{
    _Atomic(entry *) *at = &pages[label / PAGE];
    entry *page = atomic_load(at);
    if (page == NULL) {
        page = calloc(PAGE, sizeof *page);
        atomic_store(at, page);
    }
    return page;
}

void gp_labels_set(uint32_t label, const char *name, size_t size)
{
    entry *page = label < GP_LABELS_MAX ? page_of(label) : NULL;
    if (page == NULL || atomic_load(&page[label % PAGE]) != NULL)
        return;
    size_t kept = size < GP_LABEL_NAME_MAX ? size : GP_LABEL_NAME_MAX;
    while (kept < size && kept > 0 && ((unsigned char)name[kept] & 0xC0) == 0x80)
        kept--; /* not in the middle of a character */
    char *copy = malloc(kept + 1);
    if (copy == NULL)
        return;
    memcpy(copy, name, kept);
    copy[kept] = '\0';
    /* release: who sees the name sees its letters */
    atomic_store_explicit(&page[label % PAGE], copy, memory_order_release);
}

const char *gp_labels_get(uint32_t label)
{
    entry *page = label < GP_LABELS_MAX ? atomic_load(&pages[label / PAGE]) : NULL;
    return page != NULL ? atomic_load_explicit(&page[label % PAGE], memory_order_acquire) : NULL;
}
