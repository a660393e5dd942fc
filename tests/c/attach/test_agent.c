#define _GNU_SOURCE
#include "attach/gp_agent.h"

#include "gp_test.h"
#include "hooks/gp_hooks.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- an interpreter that writes into a pipe what it is to run, and whether it yields meanwhile ---- */

static int ran[2];
static gp_hook yields = {.name = "sched_yield"}; /* where this program imports it */
static void *usual;

static void note(char letter)
{
    CHECK_EQUAL(write(ran[1], &letter, 1), 1);
}

/* At the second look. */
static int is_initialized(void)
{
    static int looks;
    return ++looks > 1;
}

static int ensure(void)
{
    return 7;
}

static void give_back(int state)
{
    CHECK_EQUAL(state, 7);
    note('.');
}

static void *new_dict(void)
{
    return ran;
}

/* A part that begins with `!` fails. */
static void *run_string(const char *code, int start, void *globals, void *locals)
{
    CHECK(start == 257 && globals == ran && locals == ran);
    note(*code);
    note(__atomic_load_n(yields.slots[0].address, __ATOMIC_ACQUIRE) == usual ? 'y' : '-');
    CHECK(sched_yield() == 0 || usual == (void *)getpid);
    return *code == '!' ? NULL : ran;
}

static void clear_error(void)
{
}

static void drop(void *object)
{
    CHECK(object == NULL || object == ran);
}

static gp_agent_order order = {.is_initialized = (uintptr_t)is_initialized,
                               .ensure = (uintptr_t)ensure,
                               .release = (uintptr_t)give_back,
                               .new_dict = (uintptr_t)new_dict,
                               .run_string = (uintptr_t)run_string,
                               .clear_error = (uintptr_t)clear_error,
                               .drop = (uintptr_t)drop,
                               .path = "/tmp/gilprobe-test-XXXXXX"};

/* Whether a file of so many bytes leads to these notes. */
static bool leads_to(const char *code, size_t size, const char *notes)
{
    FILE *file = fopen(order.path, "w");
    CHECK(file != NULL && fwrite(code, 1, size, file) == size && fclose(file) == 0);
    CHECK_EQUAL(gp_agent_start(&order), 0);
    char letter = 0;
    while (letter != '.') {
        CHECK_EQUAL(read(ran[0], &letter, 1), 1);
        if (letter != *notes++)
            return false;
    }
    return *notes == '\0';
}

static void parts_are_run_until_one_fails(void)
{
    CHECK(leads_to("a", 1, "ay."));
    CHECK(leads_to("a\0b", 3, "ayby."));
    CHECK(leads_to("!\0b", 3, "!y."));
}

static void only_the_first_part_is_run_without_yielding(void)
{
    order.yields_in_vain = 1;
    CHECK(leads_to("a\0b\0c", 5, "a-bycy."));
    CHECK(leads_to("!\0b", 3, "!-."));
    CHECK(leads_to("a\0b", 3, "a-by.")); /* again */
}

/* A function of the C library stands for one that another library has put there. */
static void another_librarys_hook_is_left_alone(void)
{
    yields.wrapper = (void *)getpid;
    CHECK_EQUAL(gp_hooks_install(&yields, 1, false), GP_OK);
    void *before = usual;
    usual = yields.wrapper;
    CHECK(leads_to("a\0b", 3, "ayby."));
    usual = before;
    gp_hooks_remove(&yields, 1);
}

int main(void)
{
    CHECK_EQUAL(pipe(ran), 0);
    CHECK_EQUAL(sched_yield(), 0); /* the slot is filled when it is used */
    CHECK_EQUAL(gp_hooks_find((const void *)(uintptr_t)order.ensure, &yields, 1), GP_OK);
    CHECK(yields.slot_count > 0);
    usual = *yields.slots[0].address;
    int file = mkstemp(order.path);
    CHECK(file >= 0 && close(file) == 0);
    parts_are_run_until_one_fails();
    only_the_first_part_is_run_without_yielding();
    another_librarys_hook_is_left_alone();
    CHECK_EQUAL(unlink(order.path), 0);
    return 0;
}
