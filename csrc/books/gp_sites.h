#ifndef GP_SITES_H
#define GP_SITES_H

/* Where time went: places, and blame (who waited behind whom at which place).
 *
 * A place is a site (function, file and line), or a whole stack: a site and the place from which it was
 * called. All stacks together are a tree, in which each is known by the number of its innermost level. A
 * place is what its description says, however many code objects there have been for it: a program that makes
 * code as it goes makes the same places again and again. By what object it was met, gp_known.h knows.
 *
 * Hash tables in one array each, which grows; guarded by the mutex of the GIL that is traced. Memory comes
 * from mmap (gp_memory.h). A table that is full to its limit refuses new rows; the caller counts what it
 * could not book. */

#include <stdbool.h>
#include <stddef.h>

#include "base/gp_buffer.h"
#include "base/gp_place.h"

enum {
    GP_PLACES_MAX = 1 << 20,     /* in one session: 72 MiB */
    GP_DESCRIBED_MAX = 64 << 20, /* bytes of all their descriptions */
    GP_BLAME_MAX = 1 << 20,      /* rows in one session: 32 MiB */
    GP_STACK_MAX = 128,          /* levels of a stack that are followed, from the innermost */
};

/* Number of no row: a table that is full, a release that was not seen, a place without a parent. */
#define GP_ROW_NONE UINT32_MAX

/* Instead of an instruction where there is no code: what such a place means. */
enum {
    GP_KEY_TRUNCATED = -1, /* deeper levels of the stack are missing */
    GP_KEY_UNSEEN = -2,    /* nobody could look */
    GP_KEY_NATIVE = -3,    /* minus the number of an account: native code of that thread */
};

typedef struct {
    _Alignas(64) uint64_t hash; /* a row is a cache line: threads at two places don't share one */
    uint32_t parent;            /* the place from which it was called; GP_ROW_NONE: none, or not asked for */
    uint32_t text, size;        /* where its description stands, and how long it is */
    uint64_t releases;
    uint64_t hold;     /* ticks of holds that ended here */
    uint64_t wait;     /* ticks of waits that followed a release here */
    uint64_t hold_cpu; /* nanoseconds of CPU time in the holds; 0 unless the session wants it */
} gp_place;

typedef struct {
    uint32_t waiter, holder; /* numbers of accounts */
    uint32_t place;          /* where the holder let go */
    uint64_t wait;           /* ticks */
} gp_blame;

/* Zeroed memory is an empty table. Rows are numbered in order of appearance. */
typedef struct {
    gp_place *rows;
    uint32_t *slots; /* in the memory behind the rows: row number + 1; 0: free */
    size_t count, room;
} gp_place_table;

typedef struct {
    gp_blame *rows;
    uint32_t *slots;
    size_t count, room;
} gp_blame_table;

/* The number of the row of the place whose description ends `texts`, and begins at `from`; made now if it is
 * new: the description must then stay where it is. GP_ROW_NONE without memory. `texts` are the descriptions
 * of all the table's places. */
uint32_t gp_places_number(gp_place_table *table, uint32_t parent, const gp_buffer *texts, size_t from);

/* The number of the row for these three, made now if it is new; GP_ROW_NONE without memory. */
uint32_t gp_blame_number(gp_blame_table *table, uint32_t waiter, uint32_t holder, uint32_t place);

/* Whether the next new row will need a larger table. */
static inline bool gp_blame_is_full(const gp_blame_table *table)
{
    return table->count == table->room;
}

/* Let `number` stand for all threads whose bit is set in `renamed`, and add up rows that become equal. The
 * numbers of rows change. */
void gp_blame_rename(gp_blame_table *table, const uint64_t *renamed, uint32_t number);

/* Give up a table's memory. */
void gp_places_clear(gp_place_table *table);
void gp_blame_clear(gp_blame_table *table);

#define GP_GOLDEN UINT64_C(0x9e3779b97f4a7c15)

/* splitmix64's finaliser: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014 */
static inline uint64_t gp_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline bool gp_site_same(gp_site_key a, gp_site_key b)
{
    return a.code == b.code && a.instruction == b.instruction;
}

#endif
