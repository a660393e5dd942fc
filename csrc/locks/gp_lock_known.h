#ifndef GP_LOCK_KNOWN_H
#define GP_LOCK_KNOWN_H

/* What one thread has found out already: the places where it waited, and what it waited for. To find out
 * takes a thousand times as long as to find it here, so a few that a thread goes through by turns must all be
 * kept: each has several rows in which it may be. Owner only. Zeroed memory is empty. */

#include <stdint.h>
#include <string.h>

#include "base/gp_hash.h"
#include "base/gp_place.h"

enum {
    GP_LOCK_WAYS = 4,
    GP_LOCK_KIND_SETS = 32,
    GP_LOCK_SPOT_SETS = 16,
    GP_LOCK_LEVELS = 256, /* a power of 2 */
};

/* A level of the calling thread's stack, and what proves that it is still the same code. */
typedef struct {
    gp_site_key key;
    const void *proof[2];
    int32_t first_line;
    uint32_t place; /* GP_ROW_NONE: not known */
    uint32_t role;  /* gp_lock_role */
} gp_lock_spot;

/* What a lock turned out to be when this thread waited for it there. */
typedef struct {
    uintptr_t key;
    uint32_t place, lock;
} gp_lock_kind;

/* A stack: a place, and the stack that called it. */
typedef struct {
    uint32_t outer, place;
    uint32_t number; /* 0: none is here */
} gp_lock_level;

typedef struct {
    _Alignas(64) gp_lock_spot spots[GP_LOCK_SPOT_SETS][GP_LOCK_WAYS];
    gp_lock_kind kinds[GP_LOCK_KIND_SETS][GP_LOCK_WAYS]; /* each set is a line of the cache */
    gp_lock_level levels[GP_LOCK_LEVELS];
} gp_lock_known;

/* An address means a code object only as long as that lives: what it has must be the same, too. */
static inline bool gp_lock_same_spot(const gp_lock_spot *a, const gp_lock_spot *b)
{
    return gp_site_same(a->key, b->key) && a->proof[0] == b->proof[0] && a->proof[1] == b->proof[1] &&
           a->first_line == b->first_line && a->place != GP_ROW_NONE;
}

static inline gp_lock_spot *gp_lock_spots_of(gp_lock_known *known, const gp_lock_spot *spot)
{
    uint64_t number = (uintptr_t)spot->key.code / 32 + (uint32_t)spot->key.instruction / 2;
    return known->spots[number % GP_LOCK_SPOT_SETS];
}

/* The same spot as this one; NULL: it is not known. */
static inline const gp_lock_spot *gp_lock_find_spot(gp_lock_known *known, const gp_lock_spot *spot)
{
    const gp_lock_spot *set = gp_lock_spots_of(known, spot);
    for (int i = 0; i < GP_LOCK_WAYS; i++)
        if (gp_lock_same_spot(&set[i], spot))
            return &set[i];
    return NULL;
}

/* A row with a copy of the spot, in place of the one that came first. Valid until the next call. */
static inline gp_lock_spot *gp_lock_add_spot(gp_lock_known *known, const gp_lock_spot *spot)
{
    gp_lock_spot *set = gp_lock_spots_of(known, spot);
    memmove(set + 1, set, (GP_LOCK_WAYS - 1) * sizeof *set);
    set[0] = *spot;
    return set;
}

static inline gp_lock_kind *gp_lock_kinds_of(gp_lock_known *known, uintptr_t key, uint32_t place)
{
    return known->kinds[gp_mix(key + place) % GP_LOCK_KIND_SETS];
}

/* The number of this lock, if the thread knows it from there; GP_ROW_NONE. A key of 0 is never known. */
static inline uint32_t gp_lock_find_kind(gp_lock_known *known, uintptr_t key, uint32_t place)
{
    const gp_lock_kind *set = gp_lock_kinds_of(known, key, place);
    for (int i = 0; i < GP_LOCK_WAYS; i++)
        if (key != 0 && set[i].key == key && set[i].place == place)
            return set[i].lock;
    return GP_ROW_NONE;
}

/* Note a lock, in place of the one that came first. */
static inline void gp_lock_add_kind(gp_lock_known *known, gp_lock_kind kind)
{
    gp_lock_kind *set = gp_lock_kinds_of(known, kind.key, kind.place);
    memmove(set + 1, set, (GP_LOCK_WAYS - 1) * sizeof *set);
    set[0] = kind;
}

/* Where the stack of this place, called from this stack, is or goes. */
static inline gp_lock_level *gp_lock_level_of(gp_lock_known *known, uint32_t outer, uint32_t place)
{
    return &known->levels[gp_mix((uint64_t)outer << 32 | place) % GP_LOCK_LEVELS];
}

#endif
