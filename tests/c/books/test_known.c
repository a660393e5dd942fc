/* Places by the address of their code object, against a plain list of what should be known. */

#include "books/gp_known.h"

#include <string.h>

#include "gp_test.h"

enum { CODES = 40, INSTRUCTIONS = 96, ROUNDS = 200000, KEYS = CODES * INSTRUCTIONS };

static const char codes[CODES];
static uint32_t twin[CODES][INSTRUCTIONS]; /* the place, + 1; 0: not known */
static uint64_t state = 1;

static uint32_t draw(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state % below);
}

static bool twin_forget(uint32_t code)
{
    bool known = false;
    for (uint32_t i = 0; i < INSTRUCTIONS; i++)
        known |= twin[code][i] != 0;
    memset(twin[code], 0, sizeof twin[code]);
    return known;
}

static void what_is_added_is_found_until_its_code_is_forgotten(void)
{
    gp_known_table table = {0};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t code = draw(CODES), at = draw(INSTRUCTIONS);
        gp_site_key key = {&codes[code], (int32_t)at - 2};
        if (draw(100) == 0)
            CHECK_EQUAL(gp_known_forget(&table, &codes[code]), twin_forget(code));
        uint32_t known = twin[code][at];
        CHECK_EQUAL(gp_known_find(&table, key), known != 0 ? known - 1 : GP_ROW_NONE);
        if (known == 0 && gp_known_add(&table, key, round))
            twin[code][at] = round + 1;
    }
    CHECK(table.room <= 2 * KEYS); /* what was forgotten was used again */
    gp_known_clear(&table);
    CHECK_EQUAL(gp_known_find(&table, (gp_site_key){&codes[0], 0}), GP_ROW_NONE);
}

static void memory_depends_on_what_lives_at_a_time(void)
{
    gp_known_table table = {0};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const void *code = (const void *)(uintptr_t)(64 * (round + 1));
        CHECK(gp_known_add(&table, (gp_site_key){code, 0}, round));
        CHECK(gp_known_forget(&table, code));
    }
    CHECK_EQUAL(table.count, 1);
    gp_known_clear(&table);
}

int main(void)
{
    what_is_added_is_found_until_its_code_is_forgotten();
    memory_depends_on_what_lives_at_a_time();
    return gp_test_status();
}
