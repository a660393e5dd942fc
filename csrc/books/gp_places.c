#include "books/gp_places.h"

#include <string.h>

#include "base/gp_hash.h"
#include "base/gp_memory.h"

enum {
    CHUNK = 1024, /* names */
    CHUNKS = GP_PLACES_MAX / CHUNK,
    FIRST_SLOTS = 256, /* twice as many as there may be names: probes stay short */
    BLOCK = 1 << 16,   /* bytes of texts */
};

static const size_t chunks_size = CHUNKS * sizeof(gp_place_name *);
static const size_t chunk_size = CHUNK * sizeof(gp_place_name);

const gp_place_name *gp_places_at(const gp_places *places, uint32_t number)
{
    return &places->chunks[number / CHUNK][number % CHUNK];
}

/* ---- by what they are ---- */

static uint64_t hash_of(uint32_t parent, const uint8_t *text, size_t size)
{
    uint64_t hash = (uint64_t)parent << 32 | (uint32_t)size, part;
    for (; size >= sizeof part; text += sizeof part, size -= sizeof part) {
        memcpy(&part, text, sizeof part);
        hash = gp_mix(hash ^ part) * GP_GOLDEN;
    }
    part = 0;
    memcpy(&part, text, size);
    return gp_mix(hash ^ part);
}

static bool is_same(const gp_place_name *a, const gp_place_name *b)
{
    return a->hash == b->hash && a->parent == b->parent && a->size == b->size &&
           memcmp(a->text, b->text, a->size) == 0;
}

static uint32_t *slot_of(const gp_places *places, const gp_place_name *name)
{
    size_t last = places->slot_count - 1; /* of a power of 2 */
    size_t at = name->hash & last;
    while (places->slots[at] != 0 && !is_same(gp_places_at(places, places->slots[at] - 1), name))
        at = (at + 1) & last;
    return &places->slots[at];
}

static bool grow_slots(gp_places *places)
{
    size_t larger = places->slot_count != 0 ? 2 * places->slot_count : FIRST_SLOTS;
    uint32_t *slots = gp_memory_map(larger * sizeof *slots), *before = places->slots;
    size_t count = places->slot_count;
    if (slots == NULL)
        return false;
    places->slots = slots;
    places->slot_count = larger;
    for (uint32_t number = 0; number < places->count; number++)
        *slot_of(places, gp_places_at(places, number)) = number + 1;
    gp_memory_unmap(before, count * sizeof *before);
    return true;
}

/* ---- memory that stays where it is ---- */

/* Room for one more name; NULL without memory. */
static gp_place_name *new_name(gp_places *places)
{
    if (places->count == GP_PLACES_MAX)
        return NULL;
    if (places->chunks == NULL && (places->chunks = gp_memory_map(chunks_size)) == NULL)
        return NULL;
    gp_place_name **chunk = &places->chunks[places->count / CHUNK];
    if (*chunk == NULL && (*chunk = gp_memory_map(chunk_size)) == NULL)
        return NULL;
    return &(*chunk)[places->count % CHUNK];
}

static uint8_t *keep_text(gp_places *places, const uint8_t *text, size_t size)
{
    const size_t link = sizeof places->texts;
    if (places->texts == NULL || BLOCK - places->texts_used < size) {
        uint8_t *block =
            size <= BLOCK - link && places->texts_size < GP_DESCRIBED_MAX ? gp_memory_map(BLOCK) : NULL;
        if (block == NULL)
            return NULL;
        memcpy(block, &places->texts, link);
        places->texts = block;
        places->texts_used = link;
        places->texts_size += BLOCK;
    }
    uint8_t *kept = places->texts + places->texts_used;
    memcpy(kept, text, size);
    places->texts_used += size;
    return kept;
}

static uint32_t add(gp_places *places, gp_place_name name)
{
    gp_place_name *kept = new_name(places);
    name.text = kept != NULL ? keep_text(places, name.text, name.size) : NULL;
    if (name.text == NULL)
        return GP_ROW_NONE;
    *kept = name;
    return places->count++;
}

/* The number of the place with this description. */
static uint32_t number_of(gp_places *places, uint32_t parent, const gp_buffer *description)
{
    if (places->count * (size_t)2 >= places->slot_count && !grow_slots(places))
        return GP_ROW_NONE;
    gp_place_name name = {.text = description->bytes, .size = (uint32_t)description->size, .parent = parent};
    name.hash = hash_of(parent, name.text, name.size);
    uint32_t *slot = slot_of(places, &name);
    if (*slot != 0)
        return *slot - 1;
    name.site = parent == GP_ROW_NONE ? places->count : GP_ROW_NONE;
    uint32_t number = add(places, name);
    *slot = number + 1; /* 0 without memory */
    return number;
}

static uint32_t describe(gp_places *places, uint32_t parent, gp_site_key key)
{
    gp_buffer_clear(&places->description);
    places->naming.met(key, &places->description);
    return places->description.failed ? GP_ROW_NONE : number_of(places, parent, &places->description);
}

/* ---- by where they were met ---- */

/* One with code must be known by it, to be forgotten with it. */
static uint32_t find(gp_places *places, uint32_t parent, gp_site_key key)
{
    uint32_t number = key.code != NULL ? gp_known_find(&places->known, parent, key) : GP_ROW_NONE;
    if (number != GP_ROW_NONE)
        return number;
    number = describe(places, parent, key);
    if (number == GP_ROW_NONE || (key.code != NULL && !gp_known_add(&places->known, parent, key, number)))
        return GP_ROW_NONE;
    return number;
}

uint32_t gp_places_site(gp_places *places, gp_site_key key, bool *lasting)
{
    *lasting = key.code == NULL || places->naming.stands_for_caller == NULL ||
               !places->naming.stands_for_caller(&key);
    return find(places, GP_ROW_NONE, key);
}

static uint32_t level_below(gp_places *places, uint32_t parent, gp_site_key key)
{
    uint32_t number = find(places, parent, key);
    if (number == GP_ROW_NONE || gp_places_at(places, number)->site != GP_ROW_NONE)
        return number;
    bool lasting;
    uint32_t site = gp_places_site(places, key, &lasting);
    /* nobody has this number yet */
    places->chunks[number / CHUNK][number % CHUNK].site = site;
    return site != GP_ROW_NONE ? number : GP_ROW_NONE;
}

/* How many levels, from the outermost, are as they were last time. */
static size_t unchanged_levels(const gp_path *path, const gp_call_stack *stack)
{
    if (path->truncated != stack->truncated)
        return 0;
    size_t most = path->depth < stack->depth ? path->depth : stack->depth;
    for (size_t level = 0; level < most; level++)
        if (!gp_site_same(path->keys[level], stack->keys[stack->depth - 1 - level]))
            return level;
    return most;
}

uint32_t gp_places_stack(gp_places *places, gp_path *path, const gp_call_stack *stack)
{
    size_t level = unchanged_levels(path, stack);
    uint32_t place = GP_ROW_NONE;
    if (stack->depth == 0)
        return GP_NO_FRAME;
    if (level != 0)
        place = path->places[level - 1];
    else if (stack->truncated)
        place = find(places, GP_ROW_NONE, (gp_site_key){NULL, GP_KEY_TRUNCATED});
    path->depth = (uint32_t)level;
    path->truncated = stack->truncated;
    for (; level < stack->depth; level++) {
        gp_site_key key = stack->keys[stack->depth - 1 - level];
        place = level_below(places, place, key);
        if (place == GP_ROW_NONE)
            break; /* the levels so far stay known; the next release tries again */
        path->keys[level] = key;
        path->places[level] = place;
        path->depth = (uint32_t)level + 1;
    }
    return place;
}

bool gp_places_forget(gp_places *places, const void *code)
{
    return gp_known_forget(&places->known, code);
}

void gp_places_clear(gp_places *places)
{
    for (size_t i = 0; places->chunks != NULL && i < CHUNKS && places->chunks[i] != NULL; i++)
        gp_memory_unmap(places->chunks[i], chunk_size);
    gp_memory_unmap(places->chunks, chunks_size);
    gp_memory_unmap(places->slots, places->slot_count * sizeof *places->slots);
    for (uint8_t *block = places->texts, *before; block != NULL; block = before) {
        memcpy(&before, block, sizeof before);
        gp_memory_unmap(block, BLOCK);
    }
    gp_known_clear(&places->known);
    gp_buffer_free(&places->description);
    *places = (gp_places){.naming = places->naming};
}
