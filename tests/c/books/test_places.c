/* The places of a GIL: sites and stacks by their code, each known by what its description says. */

#include "books/gp_places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gp_test.h"

enum { CODES = 6, TRUNCATED = 99 };

static const char codes[CODES]; /* their addresses stand for code objects */
static char meaning[CODES];     /* what each of them is just now */
static size_t met_count;
static bool memory_is_gone;
static gp_places places;

void *__real_gp_memory_map(size_t size);
void *__wrap_gp_memory_map(size_t size);

void *__wrap_gp_memory_map(size_t size)
{
    return memory_is_gone ? NULL : __real_gp_memory_map(size);
}

static void met(gp_site_key key, gp_buffer *description)
{
    met_count++;
    gp_buffer_number(description,
                     key.code != NULL ? (uint64_t)meaning[(const char *)key.code - codes] : TRUNCATED);
    gp_buffer_signed(description, key.instruction);
}

static void begin_anew(void)
{
    gp_places_clear(&places);
    places.naming = (gp_naming){.met = met};
    met_count = 0;
    for (int i = 0; i < CODES; i++)
        meaning[i] = (char)i;
}

static gp_site_key key(size_t code, int32_t instruction)
{
    return (gp_site_key){&codes[code], instruction};
}

static uint32_t site_of(size_t code, int32_t instruction)
{
    bool lasting;
    uint32_t place = gp_places_site(&places, key(code, instruction), &lasting);
    CHECK(lasting);
    return place;
}

static uint32_t stack_of(const gp_site_key *keys, size_t depth, bool truncated)
{
    return gp_places_stack(&places, &(gp_call_stack){keys, depth, truncated});
}

static uint32_t parent_of(uint32_t place)
{
    return gp_places_at(&places, place)->parent;
}

static uint32_t innermost_of(uint32_t place)
{
    return gp_places_at(&places, place)->site;
}

/* ---- sites ---- */

static void a_site_is_described_once(void)
{
    begin_anew();
    uint32_t first = site_of(0, 2), other = site_of(0, 4), third = site_of(1, 2);
    CHECK(first != other && first != third && other != third);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(site_of(0, 2), first);
        CHECK_EQUAL(site_of(0, 4), other);
        CHECK_EQUAL(site_of(1, 2), third);
    }
    CHECK_EQUAL(met_count, 3);
    CHECK_EQUAL(places.count, 3);
    CHECK_EQUAL(parent_of(other), GP_ROW_NONE);
    CHECK_EQUAL(innermost_of(other), other);
    const uint8_t *text = gp_places_at(&places, other)->text;
    CHECK(gp_places_at(&places, other)->size == 2 && text[0] == 0 && text[1] != 0);
}

/* A program that makes code as it goes makes the same places again. */
static void code_that_is_forgotten_is_the_same_place_if_its_description_is(void)
{
    begin_anew();
    uint32_t first = site_of(0, 2);
    CHECK(!gp_places_forget(&places, &codes[1]));
    CHECK(gp_places_forget(&places, &codes[0]));
    CHECK(!gp_places_forget(&places, &codes[0]));
    CHECK_EQUAL(site_of(0, 2), first);
    CHECK_EQUAL(met_count, 2); /* but it was asked for again */
    gp_places_forget(&places, &codes[0]);
    meaning[0] = 3; /* another code object at this address */
    uint32_t others = site_of(0, 2);
    CHECK(others != first);
    meaning[4] = 0;
    CHECK_EQUAL(site_of(4, 2), first);
    CHECK_EQUAL(places.count, 2);
}

static bool stands_for_second(gp_site_key *at)
{
    if (at->code != &codes[3])
        return false;
    *at = key(1, 4);
    return true;
}

static void a_place_that_stands_for_its_caller_does_not_last(void)
{
    bool lasting = true;
    begin_anew();
    places.naming.stands_for_caller = stands_for_second;
    uint32_t callers = site_of(1, 4);
    CHECK_EQUAL(gp_places_site(&places, key(3, 2), &lasting), callers);
    CHECK(!lasting);
    CHECK_EQUAL(places.count, 1);
    places.naming.stands_for_caller = NULL;
    CHECK(site_of(3, 2) != callers);
}

/* ---- what makes two places different ---- */

static const char *text_to_describe;

static void describe_by_text(gp_site_key at, gp_buffer *description)
{
    (void)at;
    gp_buffer_raw(description, text_to_describe, strlen(text_to_describe));
}

/* By code that was never seen before. */
static uint32_t described_as(const char *text)
{
    static int32_t instruction;
    text_to_describe = text;
    return site_of(0, instruction++);
}

static void a_place_is_what_its_description_says(void)
{
    begin_anew();
    places.naming.met = describe_by_text;
    CHECK_EQUAL(described_as("main"), 0);
    CHECK_EQUAL(described_as("mai"), 1);
    CHECK_EQUAL(described_as(""), 2);
    CHECK_EQUAL(described_as("a description of some length, but for the end: 1"), 3);
    CHECK_EQUAL(described_as("a description of some length, but for the end: 2"), 4);
    CHECK_EQUAL(described_as("main"), 0);
    CHECK_EQUAL(described_as("mai"), 1);
    CHECK_EQUAL(described_as(""), 2);
    CHECK_EQUAL(described_as("a description of some length, but for the end: 2"), 4);
    CHECK_EQUAL(places.count, 5);
    gp_places_clear(&places);
    CHECK_EQUAL(places.count, 0);
    CHECK_EQUAL(described_as("mai"), 0);
}

/* More than a chunk of names, than the first slots, than a block of texts. */
static void a_table_that_grows_keeps_its_places_and_their_numbers(void)
{
    enum { MANY = 5000 };
    char text[64];
    begin_anew();
    places.naming.met = describe_by_text;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < MANY; i++) {
            snprintf(text, sizeof text, "the same for all of them, but for this %u", i);
            CHECK_EQUAL(described_as(text), i);
            const gp_place_name *name = gp_places_at(&places, i);
            CHECK(name->size == strlen(text) && memcmp(name->text, text, name->size) == 0);
        }
    CHECK_EQUAL(places.count, MANY);
}

/* ---- stacks ---- */

static void a_stack_is_a_tree_from_its_outermost_level(void)
{
    begin_anew();
    const gp_site_key one[] = {key(0, 2), key(1, 4), key(2, 6)}; /* the innermost first */
    const gp_site_key two[] = {key(0, 2), key(1, 8), key(2, 6)};
    uint32_t first = stack_of(one, 3, false), second = stack_of(two, 3, false);
    CHECK(first != second);
    CHECK_EQUAL(parent_of(parent_of(first)), parent_of(parent_of(second))); /* the outermost is one */
    CHECK_EQUAL(parent_of(parent_of(parent_of(first))), GP_ROW_NONE);
    CHECK_EQUAL(stack_of(one, 3, false), first);
    CHECK_EQUAL(stack_of(one, 3, false), first);
    CHECK_EQUAL(stack_of(one + 1, 2, false), parent_of(first));
    CHECK_EQUAL(innermost_of(first), innermost_of(second));
    CHECK_EQUAL(innermost_of(first), site_of(0, 2));
}

static void a_stack_that_is_cut_is_another(void)
{
    begin_anew();
    const gp_site_key keys[] = {key(0, 2), key(1, 4)};
    uint32_t whole = stack_of(keys, 2, false), cut = stack_of(keys, 2, true);
    CHECK(whole != cut);
    CHECK_EQUAL(stack_of(keys, 2, true), cut);
    CHECK_EQUAL(stack_of(keys, 2, false), whole);
    uint32_t below = parent_of(parent_of(cut));
    CHECK(gp_places_at(&places, below)->text[0] == TRUNCATED);
    CHECK_EQUAL(parent_of(below), GP_ROW_NONE);
    CHECK_EQUAL(innermost_of(whole), innermost_of(cut));
}

static void a_thread_without_a_frame_has_no_place_here(void)
{
    begin_anew();
    const gp_site_key one = key(0, 2);
    uint32_t first = stack_of(&one, 1, false);
    CHECK_EQUAL(stack_of(NULL, 0, false), GP_NO_FRAME);
    CHECK_EQUAL(places.count, 1);
    CHECK_EQUAL(stack_of(&one, 1, false), first);
}

static uint64_t drawn = 1;

static uint32_t draw(uint32_t below)
{
    drawn ^= drawn << 13;
    drawn ^= drawn >> 7;
    drawn ^= drawn << 17;
    return (uint32_t)(drawn % below);
}

static void the_way_up_from_a_place_is_its_stack(void)
{
    enum { ROUNDS = 20000, DEPTH = 7 };
    size_t wrong = 0;
    begin_anew();
    for (int round = 0; round < ROUNDS; round++) {
        gp_site_key keys[DEPTH];
        size_t depth = 1 + draw(DEPTH);
        bool truncated = draw(5) == 0;
        for (size_t i = 0; i < depth; i++)
            keys[i] = key(draw(2), (int32_t)draw(2));
        uint32_t place = stack_of(keys, depth, truncated), at = place;
        wrong += innermost_of(place) != site_of(keys[0].code == &codes[1], keys[0].instruction);
        for (size_t i = 0; i < depth; i++, at = parent_of(at)) {
            const gp_place_name *level = gp_places_at(&places, at);
            wrong += level->text !=
                     gp_places_at(&places, site_of(keys[i].code == &codes[1], keys[i].instruction))->text;
        }
        wrong += truncated ? parent_of(at) != GP_ROW_NONE : at != GP_ROW_NONE;
    }
    CHECK_EQUAL(wrong, 0);
}

/* ---- paths ---- */

enum { LIVE_MAX = 10 };

/* The stack that the thread is in: its frames from the innermost, and which of them are levels. */
static struct {
    const char *frames[LIVE_MAX], *instructions[LIVE_MAX];
    gp_site_key keys[LIVE_MAX];
    bool shown[LIVE_MAX], lasting, truncated;
    size_t depth;
} live;

static char addresses[LIVE_MAX][2], instructions[CODES][2];

/* How many of the outermost frames are as in the path that was met last, and its entry for the innermost of
 * these. */
static size_t unchanged(const gp_paths *paths, const gp_path_frame **entry)
{
    const gp_path_frame *first = &paths->frames[paths->last], *end = first;
    size_t same = 0;
    while (paths->last != 0 && end->frame != GP_PATH_END)
        end++;
    bool whole = paths->last != 0 && end->place == GP_ROW_NONE && !live.truncated;
    for (; whole && end > first && same < live.depth; same++, end--) {
        size_t at = live.depth - 1 - same;
        if (end[-1].frame != live.frames[at] || end[-1].instruction != live.instructions[at])
            break;
    }
    *entry = end;
    return same;
}

/* As gp_frames_walk. */
static gp_walked walk(const gp_paths *paths, gp_path_frame *frames, gp_site_key *keys)
{
    const gp_path_frame *entry;
    size_t same = unchanged(paths, &entry), depth = live.depth - same;
    uint32_t shown = 0;
    for (size_t i = 0; i < depth || (shown == 0 && i < live.depth); i++) {
        frames[i] =
            (gp_path_frame){live.frames[i], live.instructions[i], live.shown[i] ? shown : GP_ROW_NONE};
        keys[shown] = live.keys[i];
        shown += live.shown[i];
    }
    if (same != 0) {
        memcpy(&frames[depth], entry, (same + 1) * sizeof *frames);
        return (gp_walked){.count = live.depth, .fresh = depth, .lasting = live.lasting};
    }
    keys[GP_STACK_MAX] = (gp_site_key){NULL, GP_KEY_TRUNCATED};
    frames[live.depth] = (gp_path_frame){GP_PATH_END, live.truncated ? &live : NULL,
                                         live.truncated ? GP_STACK_MAX : GP_ROW_NONE};
    return (gp_walked){.count = live.depth, .fresh = live.depth + 1, .lasting = live.lasting};
}

/* Of two addresses at each depth, counted from the outermost, as real frames have them. */
static void enter_any_stack(void)
{
    live.depth = draw(LIVE_MAX + 1);
    live.truncated = draw(8) == 0;
    live.lasting = draw(8) != 0;
    for (size_t i = 0; i < live.depth; i++) {
        uint32_t code = draw(CODES), at = draw(2);
        live.frames[i] = &addresses[live.depth - 1 - i][draw(10) == 0];
        live.instructions[i] = &instructions[code][at];
        live.keys[i] = key(code, (int32_t)at);
        live.shown[i] = code != 0; /* that one is the interpreter's own */
    }
}

/* The same, but for some of the innermost frames. */
static void go_on_from_the_same_callers(void)
{
    size_t changed = draw(3), depth = live.depth;
    for (size_t i = 0; i < changed && i < depth; i++) {
        uint32_t code = draw(CODES), at = draw(2);
        live.instructions[i] = &instructions[code][at];
        live.keys[i] = key(code, (int32_t)at);
        live.shown[i] = code != 0;
    }
}

static uint32_t place_without_memory_of_others(void)
{
    gp_site_key keys[LIVE_MAX];
    size_t depth = 0;
    for (size_t i = 0; i < live.depth; i++)
        if (live.shown[i])
            keys[depth++] = live.keys[i];
    return depth != 0 ? stack_of(keys, depth, live.truncated) : GP_NO_FRAME;
}

static bool is_path_of_live(const gp_path_frame *entry)
{
    for (size_t i = 0; i < live.depth; i++, entry++)
        if (entry->frame != live.frames[i] || entry->instruction != live.instructions[i])
            return false;
    return entry->frame == GP_PATH_END && entry->instruction == (live.truncated ? (const void *)&live : NULL);
}

/* As gp_frames_recognise. */
static uint32_t recognise(const gp_paths *paths)
{
    const void *caller = live.depth > 1 ? live.instructions[1] : NULL;
    unsigned slot = gp_paths_slot(live.frames[0], live.instructions[0], caller);
    const gp_path_frame *last = &paths->frames[paths->last], *other = &paths->frames[paths->recent[slot]];
    if (live.depth == 0)
        return GP_ROW_NONE;
    return is_path_of_live(last) ? last->place : is_path_of_live(other) ? other->place : GP_ROW_NONE;
}

static void a_path_that_is_recognised_has_the_place_of_the_stack(void)
{
    enum { ROUNDS = 200000 };
    static gp_paths paths;
    size_t wrong = 0, recognised = 0;
    begin_anew();
    places.naming.walk = walk;
    for (int round = 0; round < ROUNDS; round++) {
        (draw(10) == 0 ? enter_any_stack : go_on_from_the_same_callers)();
        uint32_t expected = place_without_memory_of_others(), found = recognise(&paths);
        recognised += found != GP_ROW_NONE;
        if (found == GP_ROW_NONE || draw(10) == 0)
            found = gp_places_path(&places, &paths);
        /* where no level is shown, levels beyond those that are followed may be all there is */
        wrong += found != expected && !(expected == GP_NO_FRAME && live.truncated);
    }
    CHECK_EQUAL(wrong, 0);
    CHECK(recognised > ROUNDS / 20);
    CHECK(paths.used < GP_PATH_FRAMES);
    gp_paths_clear(&paths);
    CHECK_EQUAL(recognise(&paths), GP_ROW_NONE);
}

static void a_stack_that_may_show_other_levels_the_next_time_is_not_kept(void)
{
    static gp_paths paths;
    begin_anew();
    places.naming.walk = walk;
    do
        enter_any_stack();
    while (live.depth == 0 || !live.shown[0] || live.truncated);
    live.lasting = false;
    CHECK(gp_places_path(&places, &paths) == place_without_memory_of_others());
    CHECK_EQUAL(recognise(&paths), GP_ROW_NONE);
    live.lasting = true;
    CHECK_EQUAL(gp_places_path(&places, &paths), recognise(&paths));
}

static void a_stack_whose_code_is_forgotten_is_found_by_its_description(void)
{
    begin_anew();
    const gp_site_key keys[] = {key(0, 2), key(1, 4)};
    uint32_t first = stack_of(keys, 2, false);
    gp_places_forget(&places, &codes[1]);
    meaning[1] = 5;
    uint32_t second = stack_of(keys, 2, false);
    CHECK(second != first);
    gp_places_forget(&places, &codes[1]);
    meaning[1] = 1;
    CHECK_EQUAL(stack_of(keys, 2, false), first);
}

/* ---- memory ---- */

static void without_memory_there_is_no_place_and_later_there_is(void)
{
    begin_anew();
    const gp_site_key keys[] = {key(0, 2), key(1, 4)};
    bool lasting;
    memory_is_gone = true;
    CHECK_EQUAL(gp_places_site(&places, key(0, 2), &lasting), GP_ROW_NONE);
    CHECK_EQUAL(stack_of(keys, 2, false), GP_ROW_NONE);
    CHECK_EQUAL(stack_of(keys, 2, true), GP_ROW_NONE);
    memory_is_gone = false;
    uint32_t place = stack_of(keys, 2, false);
    CHECK(place != GP_ROW_NONE && parent_of(place) != GP_ROW_NONE);
    CHECK_EQUAL(stack_of(keys, 2, false), place);
}

static void what_is_remembered_of_a_stack_fits_together_without_memory(void)
{
    begin_anew();
    const gp_site_key keys[] = {key(0, 2), key(1, 4)};
    gp_site_key others = key(2, 0);
    uint32_t whole = stack_of(keys, 2, false), place;
    memory_is_gone = true;
    do { /* until it needs some */
        others.instruction++;
        place = stack_of(&others, 1, true);
    } while (place != GP_ROW_NONE);
    CHECK_EQUAL(stack_of(&others, 1, true), GP_ROW_NONE);
    memory_is_gone = false;
    CHECK(stack_of(keys, 2, true) != whole);
}

/* Whether it is the place that finds no memory, or the same without its callers. */
static void a_place_without_its_site_is_none(void)
{
    enum { MANY = 2000 };
    begin_anew();
    size_t refused = 0, wrong = 0;
    for (int32_t i = 0; i < MANY; i++) {
        const gp_site_key keys[] = {key(0, i), key(1, 4)};
        memory_is_gone = i != 0;
        uint32_t place = stack_of(keys, 2, false);
        memory_is_gone = false;
        refused += place == GP_ROW_NONE;
        if (place == GP_ROW_NONE)
            place = stack_of(keys, 2, false);
        wrong += place == GP_ROW_NONE || innermost_of(place) == GP_ROW_NONE;
    }
    CHECK(refused > 5);
    CHECK_EQUAL(wrong, 0);
    CHECK_EQUAL(places.count, 2 * MANY + 1);
}

/* Growth is refused at each of the moments at which it may be. */
static void a_table_that_can_not_grow_finds_what_it_has(void)
{
    enum { MANY = 3000 };
    char text[64];
    size_t refused = 0;
    begin_anew();
    places.naming.met = describe_by_text;
    CHECK_EQUAL(described_as("a text that makes the blocks fill up 0"), 0); /* known by one code more: so */
    CHECK_EQUAL(described_as("a text that makes the blocks fill up 0"), 0); /* tables grow one by one */
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "a text that makes the blocks fill up %u", i);
        memory_is_gone = true;
        uint32_t place = described_as(text);
        memory_is_gone = false;
        if (place == GP_ROW_NONE) {
            refused++;
            place = described_as(text);
        }
        CHECK_EQUAL(place, i);
    }
    CHECK(refused > 8);
    CHECK_EQUAL(places.count, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "a text that makes the blocks fill up %u", i);
        CHECK_EQUAL(described_as(text), i);
    }
}

static void a_description_that_is_longer_than_a_block_is_refused(void)
{
    enum { LONG = 1 << 17 };
    char *text = malloc(LONG + 1);
    memset(text, 'x', LONG);
    text[LONG] = '\0';
    begin_anew();
    places.naming.met = describe_by_text;
    CHECK_EQUAL(described_as(text), GP_ROW_NONE);
    CHECK_EQUAL(described_as("short"), 0);
    CHECK_EQUAL(described_as(text), GP_ROW_NONE);
    free(text);
}

int main(void)
{
    a_site_is_described_once();
    code_that_is_forgotten_is_the_same_place_if_its_description_is();
    a_place_that_stands_for_its_caller_does_not_last();
    a_place_is_what_its_description_says();
    a_table_that_grows_keeps_its_places_and_their_numbers();
    a_stack_is_a_tree_from_its_outermost_level();
    a_stack_that_is_cut_is_another();
    a_thread_without_a_frame_has_no_place_here();
    the_way_up_from_a_place_is_its_stack();
    a_path_that_is_recognised_has_the_place_of_the_stack();
    a_stack_that_may_show_other_levels_the_next_time_is_not_kept();
    a_stack_whose_code_is_forgotten_is_found_by_its_description();
    without_memory_there_is_no_place_and_later_there_is();
    what_is_remembered_of_a_stack_fits_together_without_memory();
    a_place_without_its_site_is_none();
    a_table_that_can_not_grow_finds_what_it_has();
    a_description_that_is_longer_than_a_block_is_refused();
    gp_places_clear(&places);
    return gp_test_status();
}
