#include "books/gp_labels.h"

#include <pthread.h>
#include <string.h>

#include "gp_test.h"

static void a_label_has_the_first_name_that_it_got(void)
{
    char name[GP_LABEL_NAME_MAX + 1];
    CHECK(!gp_labels_get(4000, name));
    gp_labels_set(4000, "Worker-1 and more", 8);
    gp_labels_set(4000, "Other", 5);
    CHECK(gp_labels_get(4000, name));
    CHECK_EQUAL(strcmp(name, "Worker-1"), 0);
}

static void labels_have_names_of_whole_characters(void)
{
    char name[GP_LABEL_NAME_MAX + 4];
    memset(name, 'x', sizeof name);
    memcpy(name + GP_LABEL_NAME_MAX - 1, "\xc3\xa9", 2);
    gp_labels_set(5000, name, sizeof name);
    CHECK(gp_labels_get(5000, name));
    CHECK_EQUAL(strlen(name), GP_LABEL_NAME_MAX - 1);
    CHECK(!gp_labels_get(5001, name));
    CHECK(!gp_labels_get(0, name));
}

static void of_very_many_names_the_last_are_kept(void)
{
    char name[GP_LABEL_NAME_MAX + 1], expected[16];
    for (uint32_t label = 1; label <= 3 * GP_LABELS_KEPT; label++) {
        snprintf(expected, sizeof expected, "thread %u", label);
        gp_labels_set(label, expected, strlen(expected));
    }
    CHECK(gp_labels_get(3 * GP_LABELS_KEPT, name));
    CHECK_EQUAL(strcmp(name, expected), 0);
    CHECK(gp_labels_get(2 * GP_LABELS_KEPT + 1, name));
    CHECK(!gp_labels_get(2 * GP_LABELS_KEPT, name));
    CHECK(!gp_labels_get(5000, name));
}

/* ---- a name that changes while it is read ---- */

enum { ROUNDS = 50000, PLACE = 7 };

static atomic_uint latest;
static atomic_bool over;

static char letter_of(uint32_t label)
{
    return (char)('a' + label / GP_LABELS_KEPT % 26);
}

/* All these labels share one place, and each name is one letter, in all its length. */
static void *keep_naming(void *context)
{
    char name[GP_LABEL_NAME_MAX];
    (void)context;
    for (uint32_t i = 4; i < ROUNDS; i++) {
        uint32_t label = i * GP_LABELS_KEPT + PLACE;
        memset(name, letter_of(label), sizeof name);
        gp_labels_set(label, name, sizeof name);
        atomic_store(&latest, label);
    }
    atomic_store(&over, true);
    return NULL;
}

static void a_name_is_read_whole_or_not_at_all(void)
{
    pthread_t thread;
    char name[GP_LABEL_NAME_MAX + 1];
    CHECK_EQUAL(pthread_create(&thread, NULL, keep_naming, NULL), 0);
    while (!atomic_load(&over)) {
        uint32_t label = atomic_load(&latest);
        if (!gp_labels_get(label, name))
            continue;
        for (size_t i = 0; i < GP_LABEL_NAME_MAX; i++)
            if (name[i] != letter_of(label)) {
                CHECK_EQUAL(name[i], letter_of(label));
                break;
            }
    }
    pthread_join(thread, NULL);
    CHECK(gp_labels_get(atomic_load(&latest), name));
}

int main(void)
{
    a_label_has_the_first_name_that_it_got();
    labels_have_names_of_whole_characters();
    of_very_many_names_the_last_are_kept();
    a_name_is_read_whole_or_not_at_all();
    return gp_test_status();
}
