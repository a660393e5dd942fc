/* What a thread has found out already: places, and locks. */

#include "locks/gp_lock_known.h"

#include <stddef.h>

#include "gp_test.h"

enum { ADDRESSES = 1000 };

static gp_lock_known known;
static const char code[64 * ADDRESSES]; /* stands for code objects: only its addresses matter */

static gp_lock_spot spot_at(size_t number)
{
    return (gp_lock_spot){.key = {&code[64 * number], 2}, .first_line = (int32_t)number, .place = 7};
}

static void as_many_locks_as_a_set_has_are_known_whatever_their_addresses(void)
{
    for (uintptr_t base = 1; base < ADDRESSES; base++) {
        for (uint32_t i = 0; i < GP_LOCK_WAYS; i++)
            gp_lock_add_kind(&known, (gp_lock_kind){base + i * i * base, 3, i});
        for (uint32_t i = 0; i < GP_LOCK_WAYS; i++)
            CHECK_EQUAL(gp_lock_find_kind(&known, base + i * i * base, 3), i);
    }
}

static void a_lock_is_known_only_where_it_was_waited_for(void)
{
    gp_lock_add_kind(&known, (gp_lock_kind){4711, 3, 5});
    CHECK_EQUAL(gp_lock_find_kind(&known, 4711, 3), 5);
    CHECK_EQUAL(gp_lock_find_kind(&known, 4711, 4), GP_ROW_NONE);
}

static void zeroed_memory_knows_nothing(void)
{
    static gp_lock_known empty;
    gp_lock_spot spot = spot_at(1);
    CHECK_EQUAL(gp_lock_find_kind(&empty, 0, 0), GP_ROW_NONE);
    CHECK(gp_lock_find_spot(&empty, &spot) == NULL);
}

static void as_many_places_as_a_set_has_are_known_whatever_their_addresses(void)
{
    for (size_t base = 0; base + GP_LOCK_WAYS < ADDRESSES; base++) {
        for (size_t i = 0; i < GP_LOCK_WAYS; i++) {
            gp_lock_spot spot = spot_at(base + i);
            gp_lock_add_spot(&known, &spot);
        }
        for (size_t i = 0; i < GP_LOCK_WAYS; i++) {
            gp_lock_spot spot = spot_at(base + i);
            CHECK(gp_lock_find_spot(&known, &spot) != NULL);
        }
    }
}

static void other_code_at_the_same_address_is_another_place(void)
{
    static gp_lock_known fresh;
    gp_lock_spot spot = spot_at(1), other = spot;
    gp_lock_add_spot(&fresh, &spot);
    other.first_line++;
    CHECK(gp_lock_find_spot(&fresh, &other) == NULL);
}

static void a_place_without_a_name_is_looked_for_again(void)
{
    static gp_lock_known fresh;
    gp_lock_spot spot = spot_at(2);
    gp_lock_add_spot(&fresh, &spot)->place = GP_ROW_NONE;
    CHECK(gp_lock_find_spot(&fresh, &spot) == NULL);
}

int main(void)
{
    as_many_locks_as_a_set_has_are_known_whatever_their_addresses();
    a_lock_is_known_only_where_it_was_waited_for();
    zeroed_memory_knows_nothing();
    as_many_places_as_a_set_has_are_known_whatever_their_addresses();
    other_code_at_the_same_address_is_another_place();
    a_place_without_a_name_is_looked_for_again();
    return gp_test_status();
}
