#include "base/gp_buffer.h"

#include <string.h>

#include "gp_test.h"

static void numbers_take_seven_bits_a_byte(void)
{
    static const struct {
        uint64_t value;
        size_t size;
        uint8_t bytes[GP_NUMBER_MAX];
    } known[] = {
        {0, 1, {0}},
        {127, 1, {0x7F}},
        {128, 2, {0x80, 0x01}},
        {624485, 3, {0xE5, 0x8E, 0x26}}, /* the example of the DWARF standard */
        {UINT64_MAX, 10, {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}},
    };
    gp_buffer buffer = {0};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        gp_buffer_clear(&buffer);
        gp_buffer_number(&buffer, known[i].value);
        CHECK_EQUAL(buffer.size, known[i].size);
        CHECK(memcmp(buffer.bytes, known[i].bytes, known[i].size) == 0);
    }
    gp_buffer_free(&buffer);
}

static void signs_are_folded_into_the_lowest_bit(void)
{
    CHECK_EQUAL(gp_number_zigzag(0), 0);
    CHECK_EQUAL(gp_number_zigzag(-1), 1);
    CHECK_EQUAL(gp_number_zigzag(1), 2);
    CHECK_EQUAL(gp_number_zigzag(-64), 127);
    CHECK(gp_number_zigzag(INT64_MAX) == UINT64_MAX - 1);
    CHECK(gp_number_zigzag(INT64_MIN) == UINT64_MAX);
}

static void a_string_is_cut_at_its_longest(void)
{
    static char text[GP_STRING_MAX + 5];
    memset(text, 'x', sizeof text);
    gp_buffer buffer = {0};
    gp_buffer_string(&buffer, text, sizeof text);
    CHECK_EQUAL(buffer.size, 3 + GP_STRING_MAX);
    gp_buffer_clear(&buffer);
    gp_buffer_string(&buffer, NULL, 0);
    CHECK_EQUAL(buffer.size, 1);
    CHECK_EQUAL(buffer.bytes[0], 0);
    gp_buffer_free(&buffer);
}

static void what_was_appended_survives_growth(void)
{
    gp_buffer buffer = {0};
    for (uint32_t i = 0; i < 100000; i++)
        gp_buffer_raw(&buffer, &i, sizeof i);
    CHECK(!buffer.failed);
    CHECK_EQUAL(buffer.size, 400000);
    for (uint32_t i = 0; i < 100000; i += 7777)
        CHECK(memcmp(buffer.bytes + 4 * i, &i, sizeof i) == 0);
    gp_buffer_free(&buffer);
    CHECK(buffer.bytes == NULL && buffer.size == 0 && buffer.room == 0);
}

static void without_memory_it_fails_until_it_is_cleared(void)
{
    gp_buffer buffer = {0};
    gp_buffer_number(&buffer, 1);
    CHECK(!gp_buffer_reserve(&buffer, SIZE_MAX));
    CHECK(!gp_buffer_reserve(&buffer, SIZE_MAX / 2));
    CHECK(buffer.failed);
    gp_buffer_number(&buffer, 2);
    CHECK_EQUAL(buffer.size, 1);
    gp_buffer_clear(&buffer);
    gp_buffer_number(&buffer, 3);
    CHECK(!buffer.failed);
    CHECK_EQUAL(buffer.size, 1);
    gp_buffer_free(&buffer);
    gp_buffer_free(&buffer);
}

int main(void)
{
    numbers_take_seven_bits_a_byte();
    signs_are_folded_into_the_lowest_bit();
    a_string_is_cut_at_its_longest();
    what_was_appended_survives_growth();
    without_memory_it_fails_until_it_is_cleared();
    return gp_test_status();
}
