#ifndef GP_LABELS_H
#define GP_LABELS_H

/* What the labels of threads stand for (gp_gil_label), for native threads that can't ask Python. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GP_LABELS_MAX = 1 << 20, /* from here on labels have no name here */
    GP_LABEL_NAME_MAX = 128, /* bytes of a name that are kept */
};

/* Name a label, once and for good. One thread at a time; without memory it stays without a name. */
void gp_labels_set(uint32_t label, const char *name, size_t size);

/* The name of a label, terminated, for good; NULL if there is none. Any thread; wait-free. */
const char *gp_labels_get(uint32_t label);

#endif
