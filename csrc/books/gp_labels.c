#include "books/gp_labels.h"

#include <stdatomic.h>
#include <string.h>

#include "base/gp_utf8.h"

enum {
    WORDS = GP_LABEL_NAME_MAX / sizeof(uint64_t),
};

/* The label is 0 while the name changes: who finds the same one before and after has read its name. */
typedef struct {
    _Atomic uint32_t label;
    _Atomic uint64_t name[WORDS];
} entry;

static entry kept[GP_LABELS_KEPT]; /* pages that are not touched cost nothing */

void gp_labels_set(uint32_t label, const char *name, size_t size)
{
    entry *at = &kept[label % GP_LABELS_KEPT];
    uint64_t words[WORDS] = {0};
    if (atomic_load_explicit(&at->label, memory_order_relaxed) == label)
        return;
    memcpy(words, name, gp_utf8_cut(name, size, GP_LABEL_NAME_MAX));
    atomic_store_explicit(&at->label, 0, memory_order_relaxed);
    /* release: who sees one of the letters below sees that the label is another */
    for (size_t i = 0; i < WORDS; i++)
        atomic_store_explicit(&at->name[i], words[i], memory_order_release);
    /* release: who sees the label sees all letters */
    atomic_store_explicit(&at->label, label, memory_order_release);
}

bool gp_labels_get(uint32_t label, char name[GP_LABEL_NAME_MAX + 1])
{
    entry *at = &kept[label % GP_LABELS_KEPT];
    uint64_t words[WORDS];
    if (label == 0 || atomic_load_explicit(&at->label, memory_order_acquire) != label)
        return false;
    /* acquire: the look below comes after them */
    for (size_t i = 0; i < WORDS; i++)
        words[i] = atomic_load_explicit(&at->name[i], memory_order_acquire);
    memcpy(name, words, sizeof words);
    name[GP_LABEL_NAME_MAX] = '\0';
    return atomic_load_explicit(&at->label, memory_order_relaxed) == label;
}
