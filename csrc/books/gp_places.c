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

static uint64_t hash_of(const uint8_t *text, size_t size)
{
    uint64_t hash = size, part;
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
           (a->text == b->text || memcmp(a->text, b->text, a->size) == 0);
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

/* The number of the place with this name, which becomes known if it is not. */
static uint32_t number_of(gp_places *places, gp_place_name name)
{
    if (places->count * (size_t)2 >= places->slot_count && !grow_slots(places))
        return GP_ROW_NONE;
    uint32_t *slot = slot_of(places, &name);
    if (*slot != 0)
        return *slot - 1;
    gp_place_name *kept = new_name(places);
    bool is_site = name.parent == GP_ROW_NONE;
    name.text = kept != NULL && is_site ? keep_text(places, name.text, name.size) : name.text;
    if (kept == NULL || name.text == NULL)
        return GP_ROW_NONE;
    name.site = is_site ? places->count : GP_ROW_NONE;
    *kept = name;
    *slot = ++places->count;
    return places->count - 1;
}

uint32_t gp_places_described(gp_places *places, const gp_buffer *text)
{
    if (text->failed)
        return GP_ROW_NONE;
    gp_place_name name = {.text = text->bytes, .size = (uint32_t)text->size, .parent = GP_ROW_NONE};
    name.hash = hash_of(name.text, name.size);
    return number_of(places, name);
}

static uint32_t describe(gp_places *places, gp_site_key key)
{
    gp_buffer_clear(&places->description);
    places->naming.met(key, &places->description);
    return gp_places_described(places, &places->description);
}

/* ---- by where they were met ---- */

/* One with code must be known by it, to be forgotten with it. */
static uint32_t find(gp_places *places, gp_site_key key)
{
    uint32_t number = key.code != NULL ? gp_known_find(&places->known, key) : GP_ROW_NONE;
    if (number != GP_ROW_NONE)
        return number;
    number = describe(places, key);
    if (number == GP_ROW_NONE || (key.code != NULL && !gp_known_add(&places->known, key, number)))
        return GP_ROW_NONE;
    return number;
}

uint32_t gp_places_site(gp_places *places, gp_site_key key, bool *lasting)
{
    *lasting = key.code == NULL || places->naming.stands_for_caller == NULL ||
               !places->naming.stands_for_caller(&key);
    return find(places, key);
}

uint32_t gp_places_called(gp_places *places, uint32_t parent, uint32_t level)
{
    if (level == GP_ROW_NONE || parent == GP_ROW_NONE)
        return level;
    gp_place_name name = *gp_places_at(places, level);
    name.parent = parent;
    name.hash = gp_mix(((uint64_t)parent << 32 | level) * GP_GOLDEN);
    return number_of(places, name);
}

/* The place of a level that is called from `parent`. */
static uint32_t called_from(gp_places *places, uint32_t parent, gp_site_key key)
{
    return gp_places_called(places, parent, find(places, key));
}

/* A thread is at this place, with the key as its innermost level: where callers do not count that may stand
 * for its caller. */
static uint32_t with_site(gp_places *places, uint32_t number, gp_site_key key)
{
    bool lasting;
    if (number == GP_ROW_NONE || gp_places_at(places, number)->site != GP_ROW_NONE)
        return number;
    uint32_t site = gp_places_site(places, key, &lasting);
    places->chunks[number / CHUNK][number % CHUNK].site = site; /* nobody has this number yet */
    return site != GP_ROW_NONE ? number : GP_ROW_NONE;
}

uint32_t gp_places_stack(gp_places *places, const gp_call_stack *stack)
{
    uint32_t place = GP_ROW_NONE;
    if (stack->depth == 0)
        return GP_NO_FRAME;
    if (stack->truncated && (place = find(places, (gp_site_key){NULL, GP_KEY_TRUNCATED})) == GP_ROW_NONE)
        return GP_ROW_NONE;
    for (size_t level = stack->depth; level-- > 0;)
        if ((place = called_from(places, place, stack->keys[level])) == GP_ROW_NONE)
            return GP_ROW_NONE;
    return with_site(places, place, stack->keys[0]);
}

/* ---- by frames ---- */

static gp_path_frame *end_of(gp_path_frame *frame)
{
    while (frame->frame != GP_PATH_END)
        frame++;
    return frame;
}

/* Where a path may be written. Once there is no more room, all are given up but the last. */
static gp_path_frame *room_for_path(gp_paths *paths)
{
    if (paths->used + GP_FRAMES_MAX + 2 > GP_PATH_FRAMES) {
        gp_path_frame *last = &paths->frames[paths->last];
        size_t count = (size_t)(end_of(last) - last) + 1;
        memmove(&paths->frames[1], last, count * sizeof *last);
        gp_paths_clear(paths);
        paths->last = 1;
        paths->used = (uint32_t)count;
    }
    return &paths->frames[paths->used + 1];
}

static void keep_path(gp_paths *paths, const gp_path_frame *first, const gp_path_frame *end)
{
    paths->last = (uint32_t)(first - paths->frames);
    paths->used = (uint32_t)(end - paths->frames);
    paths->recent[gp_paths_slot(first->frame, first->instruction, first[1].instruction)] =
        (uint16_t)paths->last;
}

uint32_t gp_places_path(gp_places *places, gp_paths *paths)
{
    gp_site_key keys[GP_STACK_MAX + 1];
    gp_path_frame *first = room_for_path(paths);
    gp_walked walked = places->naming.walk(paths, first, keys);
    uint32_t place = walked.fresh <= walked.count ? first[walked.fresh].place : GP_ROW_NONE;
    for (size_t i = walked.fresh; i-- > 0; first[i].place = place) {
        uint32_t number = first[i].place;
        if (number != GP_ROW_NONE && (place = called_from(places, place, keys[number])) == GP_ROW_NONE)
            return GP_ROW_NONE;
    }
    if (place == GP_ROW_NONE)
        return GP_NO_FRAME;
    place = with_site(places, place, keys[0]);
    if (walked.lasting && place != GP_ROW_NONE)
        keep_path(paths, first, first + walked.count);
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
