#include "base/gp_utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gp_test.h"

typedef size_t encoder(gp_utf8_source source, char *bytes, size_t room);

/* Encode into memory that ends where the room does, for the sanitizers to watch. */
static void check(encoder *encode, gp_utf8_source source, size_t room, const char *expected, int line)
{
    char *bytes = malloc(room != 0 ? room : 1);
    size_t size = encode(source, bytes, room);
    if (size != strlen(expected) || memcmp(bytes, expected, size) != 0)
        fprintf(stderr, "line %d: got %.*s, expected %s\n", line, (int)size, bytes, expected);
    CHECK_EQUAL(size, strlen(expected));
    CHECK(size <= room && memcmp(bytes, expected, size) == 0);
    free(bytes);
}

#define BOTH(source, room, expected)                                                                         \
    (check(gp_utf8_head, source, room, expected, __LINE__),                                                  \
     check(gp_utf8_tail, source, room, expected, __LINE__))
#define HEAD(source, room, expected) check(gp_utf8_head, source, room, expected, __LINE__)
#define TAIL(source, room, expected) check(gp_utf8_tail, source, room, expected, __LINE__)
#define TEXT(units) ((gp_utf8_source){units, sizeof units / sizeof *units, sizeof *units})

static void every_width_is_encoded(void)
{
    const uint8_t latin[] = {'a', 0x7F, 0x80, 0xFF};
    const uint16_t wide[] = {'a', 0x7FF, 0x800, 0xFFFF};
    const uint32_t widest[] = {'a', 0xFFFF, 0x10000, 0x10FFFF};
    BOTH(TEXT(latin), 100, "a\x7F\xC2\x80\xC3\xBF");
    BOTH(TEXT(wide), 100, "a\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF");
    BOTH(TEXT(widest), 100, "a\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
}

static void lone_surrogates_become_three_bytes(void)
{
    const uint16_t units[] = {0xDC80, 'x', 0xD800};
    BOTH(TEXT(units), 100, "\xED\xB2\x80x\xED\xA0\x80");
}

static void what_is_no_code_point_is_replaced(void)
{
    const uint32_t units[] = {0x110000, 0xFFFFFFFF};
    BOTH(TEXT(units), 100, "\xEF\xBF\xBD\xEF\xBF\xBD");
}

static void an_empty_text_is_empty(void)
{
    BOTH(((gp_utf8_source){NULL, 0, 1}), 10, "");
    BOTH(((gp_utf8_source){NULL, 0, 1}), 0, "");
}

static void what_fits_exactly_is_whole(void)
{
    const uint8_t units[] = {'a', 'b', 0xE4, 'c'};
    BOTH(TEXT(units), 5, "ab\xC3\xA4\x63");
}

static void what_does_not_fit_is_cut_between_characters(void)
{
    const uint8_t units[] = {'a', 'b', 0xE4, 'c', 'd', 'e', 0xE4, 'f', 'g'};
    HEAD(TEXT(units), 8, "ab\xC3\xA4\x63...");
    HEAD(TEXT(units), 7, "ab\xC3\xA4...");
    HEAD(TEXT(units), 6, "ab...");
    TAIL(TEXT(units), 8, "...e\xC3\xA4\x66g");
    TAIL(TEXT(units), 7, "...\xC3\xA4\x66g");
    TAIL(TEXT(units), 6, "...fg");
}

static void no_room_for_the_mark_leaves_what_fits_of_it(void)
{
    const uint8_t units[] = {'a', 'b', 'c', 'd', 'e'};
    BOTH(TEXT(units), 3, "...");
    BOTH(TEXT(units), 2, "..");
    BOTH(TEXT(units), 0, "");
}

/* Is it UTF-8, surrogates allowed? */
static int well_formed(const char *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        uint8_t first = (uint8_t)bytes[at++];
        int more = first < 0x80 ? 0 : first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC2 ? 1 : -1;
        if (more < 0)
            return 0;
        for (; more > 0; more--, at++)
            if (at == size || ((uint8_t)bytes[at] & 0xC0) != 0x80)
                return 0;
    }
    return 1;
}

static void anything_at_all_stays_within_its_room(void)
{
    uint32_t units[40];
    srand(7);
    for (int round = 0; round < 20000; round++) {
        unsigned width = 1u << rand() % 3;
        size_t length = (size_t)rand() % 41, room = (size_t)rand() % 60;
        for (size_t i = 0; i < 40; i++)
            units[i] = (uint32_t)rand() >> rand() % 32;
        gp_utf8_source source = {units, length, width};
        char bytes[60];
        size_t head = gp_utf8_head(source, bytes, room);
        CHECK(head <= room && well_formed(bytes, head));
        size_t tail = gp_utf8_tail(source, bytes, room);
        CHECK(tail <= room && well_formed(bytes, tail));
        if (room >= 3)
            CHECK((head == 0) == (length == 0) && (tail == 0) == (length == 0));
    }
}

static void repair(const char *before, const char *after)
{
    char string[40];
    strcpy(string, before);
    gp_utf8_repair(string);
    CHECK(strcmp(string, after) == 0);
}

static void what_is_no_utf8_becomes_question_marks(void)
{
    repair("", "");
    repair("plain", "plain");
    repair("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x90\x8Dz", "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x90\x8Dz");
    repair("\xED\xA0\x80", "\xED\xA0\x80"); /* a lone surrogate may occur */
    repair("a\xF0\x9F\x90", "a???");        /* cut */
    repair("\xC3", "?");
    repair("\xA4z", "?z");
    repair("\xC3z", "?z");
    repair("\xC0\x80", "??"); /* longer than need be */
    repair("\xE0\x80\x80", "???");
    repair("\xF4\x90\x80\x80", "????"); /* beyond the last code point */
    repair("\xFF\xFE\xF8\x88\x80\x80\x80", "???????");
}

static void any_bytes_become_utf8(void)
{
    srand(8);
    for (int round = 0; round < 20000; round++) {
        char string[16] = {0};
        int length = rand() % 16;
        for (int i = 0; i < length; i++)
            string[i] = (char)(1 + rand() % 255);
        gp_utf8_repair(string);
        CHECK(strlen(string) == (size_t)length && well_formed(string, (size_t)length));
    }
}

int main(void)
{
    what_is_no_utf8_becomes_question_marks();
    any_bytes_become_utf8();
    every_width_is_encoded();
    lone_surrogates_become_three_bytes();
    what_is_no_code_point_is_replaced();
    an_empty_text_is_empty();
    what_fits_exactly_is_whole();
    what_does_not_fit_is_cut_between_characters();
    no_room_for_the_mark_leaves_what_fits_of_it();
    anything_at_all_stays_within_its_room();
    return gp_test_status();
}
