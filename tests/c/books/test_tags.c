/* Tags: their names, and their tables, which are bounded. */

#include "books/gp_tags.h"

#include <string.h>

#include "gp_test.h"

static void names_are_kept_until_there_are_too_many(void)
{
    char name[GP_TAG_NAME_MAX + 8];
    CHECK_EQUAL(gp_tags_add("first", 5), 1);
    CHECK(strcmp(gp_tags_name(1), "first") == 0);
    memset(name, 'a', sizeof name);
    memcpy(name + GP_TAG_NAME_MAX - 1, "\xc3\xa4", 2); /* it would be cut in a character */
    CHECK_EQUAL(gp_tags_add(name, sizeof name), 2);
    CHECK_EQUAL(strlen(gp_tags_name(2)), GP_TAG_NAME_MAX - 1);
    for (uint32_t tag = 3; tag <= GP_TAGS_NAMED; tag++)
        CHECK_EQUAL(gp_tags_add("more", 4), tag);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(gp_tags_add("too many", 8), GP_TAG_OTHERS);
    CHECK(strcmp(gp_tags_name(GP_TAGS_NAMED), "more") == 0);
    CHECK_EQUAL(strlen(gp_tags_name(GP_TAG_NONE)) + strlen(gp_tags_name(GP_TAG_OTHERS)), 0);
    CHECK_EQUAL(strlen(gp_tags_name(UINT32_MAX)), 0);
}

static void pairs_are_bounded_and_add_up(void)
{
    gp_tag_books *books = gp_tag_books_new();
    uint64_t sum = 0, charged = 0;
    CHECK(books != NULL);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t waiter = 0; waiter < 64; waiter++)
            for (uint32_t holder = 0; holder < GP_TAGS_NAMED; holder++) {
                gp_tag_books_charge(books, waiter, holder, 1 + waiter + holder);
                sum += 1 + waiter + holder;
            }
    for (size_t i = 0; i < books->pairs.count; i++)
        charged += ((gp_blame *)books->pairs.rows)[i].wait;
    CHECK_EQUAL(charged, sum);
    CHECK(books->pairs.count <= GP_TAG_PAIRS_MAX + 64);
    CHECK_EQUAL(((gp_blame *)books->pairs.rows)[0].wait, 2); /* known before, so it goes on */
    gp_tag_books_free(books);
    gp_tag_books_free(NULL);
}

int main(void)
{
    names_are_kept_until_there_are_too_many();
    pairs_are_bounded_and_add_up();
    return gp_test_status();
}
