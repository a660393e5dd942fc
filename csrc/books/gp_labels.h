#ifndef GP_LABELS_H
#define GP_LABELS_H

/* What the labels of threads stand for (gp_tracer_label), for native threads that can't ask Python. A service
 * never stops naming threads, so of many names the oldest are forgotten. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GP_LABELS_KEPT = 1 << 14, /* names, those of the last labels: 2 MiB */
    GP_LABEL_NAME_MAX = 128,  /* bytes of a name that are kept */
};

/* Name a label; its first name stays. Labels come in order. One thread at a time. */
void gp_labels_set(uint32_t label, const char *name, size_t size);

/* Copy the name of a label, terminated. False if it has none, or not any more. Any thread; wait-free. */
bool gp_labels_get(uint32_t label, char name[GP_LABEL_NAME_MAX + 1]);

#endif
