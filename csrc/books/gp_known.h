#ifndef GP_KNOWN_H
#define GP_KNOWN_H

/* Places by the address of their code object. A place is described by value (gp_places.h), which takes a
 * while; where a thread has been before is found here. An address means a code object only as long as that
 * lives, and nothing here makes it live longer: whoever is told that it goes must call gp_known_forget.
 *
 * One hash table in an array, which grows; guarded like gp_places.h. Memory comes from mmap
 * (gp_memory.h), and what is forgotten is used again. */

#include <stddef.h>

#include "base/gp_place.h"

enum {
    GP_KNOWN_MAX = 1 << 20, /* rows for one GIL: 28 MiB */
};

typedef struct {
    gp_site_key key;
    uint32_t place; /* a number of gp_places.h */
    uint32_t next;  /* row with the same hash, or that is free as well; + 1, 0: none */
} gp_known;

/* Zeroed memory is an empty table. */
typedef struct {
    gp_known *rows;
    uint32_t *heads; /* in the memory behind the rows: the first row of each hash, + 1; 0: none */
    size_t count, room;
    uint32_t spares; /* free rows below `count`, linked */
} gp_known_table;

/* The place that stands for the key; GP_ROW_NONE if it is not known. */
uint32_t gp_known_find(const gp_known_table *table, gp_site_key key);

/* Remember one that is not known. False without memory. */
bool gp_known_add(gp_known_table *table, gp_site_key key, uint32_t place);

/* Forget all places of a code object. Whether there were any. */
bool gp_known_forget(gp_known_table *table, const void *code);

/* Give up the table's memory. */
void gp_known_clear(gp_known_table *table);

#endif
