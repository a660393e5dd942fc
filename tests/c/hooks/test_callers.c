#include "hooks/gp_callers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gp_test.h"

#define NOINLINE __attribute__((noinline, noclone))
/* What follows a call keeps it from becoming a jump, which would take the caller off the stack; that it reads
 * differently in each place keeps the compiler from making one of two functions or two calls. */
#define NOT_THE_LAST(place) __asm__ volatile("/* " #place " */")

typedef gp_callers_verdict function(unsigned);

static gp_callers callers;
static const gp_callers_path *last;

NOINLINE static gp_callers_verdict ask(unsigned way)
{
    (void)way;
    gp_callers_verdict verdict = gp_callers_judge(&callers, __builtin_frame_address(0), &last);
    NOT_THE_LAST(ask);
    return verdict;
}

/* Ask from deeper down: each bit of `way` chooses one of two call sites, so that every number is a path of
 * its own. */
NOINLINE static gp_callers_verdict descend(unsigned levels, unsigned way)
{
    gp_callers_verdict verdict;
    if (levels == 0) {
        verdict = ask(way);
        NOT_THE_LAST(bottom);
        return verdict;
    }
    if (way % 2 == 0) {
        verdict = descend(levels - 1, way / 2);
        NOT_THE_LAST(left);
    } else {
        verdict = descend(levels - 1, way / 2);
        NOT_THE_LAST(right);
    }
    return verdict;
}

#define CALLER(name, callee)                                                                                 \
    NOINLINE static gp_callers_verdict name(unsigned way)                                                    \
    {                                                                                                        \
        gp_callers_verdict verdict = callee;                                                                 \
        NOT_THE_LAST(name);                                                                                  \
        return verdict;                                                                                      \
    }

/* As the interpreter calls a built-in function that gives the GIL up by itself. */
CALLER(built_in, ask(way))
static function *volatile pointer;

NOINLINE static gp_callers_verdict through_pointer(unsigned way)
{
    pointer = built_in;
    gp_callers_verdict verdict = pointer(way);
    NOT_THE_LAST(pointer);
    return verdict;
}

CALLER(forced_near, ask(way))
CALLER(forced_far, descend(6, way))
CALLER(voluntary_near, ask(way))
CALLER(voluntary_far, descend(6, way))
CALLER(forced_by_pointer, through_pointer(way))
CALLER(voluntary_by_pointer, through_pointer(way))
CALLER(unknown, descend(2, way))
CALLER(forced_over_voluntary, voluntary_near(way))
CALLER(voluntary_over_forced, forced_far(way))
CALLER(beyond_the_depth, descend(GP_CALLERS_DEPTH + 10, way))

/* As another library's hook that calls ours: the nearest caller is in another object. */
static gp_callers_verdict from_elsewhere;

static int ask_from_elsewhere(const void *one, const void *other)
{
    (void)one, (void)other;
    from_elsewhere = gp_callers_judge(&callers, __builtin_frame_address(0), &last);
    return 0;
}

NOINLINE static gp_callers_verdict voluntary_elsewhere(unsigned way)
{
    int numbers[2] = {(int)way, 0};
    qsort(numbers, 2, sizeof *numbers, ask_from_elsewhere);
    NOT_THE_LAST(elsewhere);
    return from_elsewhere;
}

static const void *const forced[] = {forced_near,      forced_far,        forced_over_voluntary,
                                     beyond_the_depth, forced_by_pointer, NULL};
static const void *const voluntary[] = {voluntary_near,       voluntary_far,       voluntary_over_forced,
                                        voluntary_by_pointer, voluntary_elsewhere, NULL};

static void forget(void)
{
    memset(&callers, 0, sizeof callers);
    last = NULL;
    callers.first = forced;
    callers.second = voluntary;
}

/* Through one call site in the test, whatever is asked how often. */
NOINLINE static gp_callers_verdict through(function *by, unsigned way)
{
    gp_callers_verdict verdict = by(way);
    NOT_THE_LAST(through);
    return verdict;
}

static void a_caller_is_recognised_near_and_far(void)
{
    forget();
    CHECK_EQUAL(through(forced_near, 0), GP_CALLERS_FIRST);
    CHECK_EQUAL(through(forced_far, 0), GP_CALLERS_FIRST);
    CHECK_EQUAL(through(voluntary_near, 0), GP_CALLERS_SECOND);
    CHECK_EQUAL(through(voluntary_far, 0), GP_CALLERS_SECOND);
}

static void the_nearer_of_two_callers_decides(void)
{
    forget();
    CHECK_EQUAL(through(forced_over_voluntary, 0), GP_CALLERS_SECOND);
    CHECK_EQUAL(through(voluntary_over_forced, 0), GP_CALLERS_FIRST);
}

static void nobody_known_is_neither(void)
{
    forget();
    CHECK_EQUAL(through(unknown, 0), GP_CALLERS_NEITHER);
    CHECK_EQUAL(ask(0), GP_CALLERS_NEITHER);
}

static void what_is_called_through_a_pointer_is_not_the_first_lists_doing(void)
{
    forget();
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(through(forced_by_pointer, 0), GP_CALLERS_NEITHER);
        CHECK_EQUAL(through(voluntary_by_pointer, 0), GP_CALLERS_SECOND);
    }
}

static void a_caller_behind_another_object_is_recognised(void)
{
    forget();
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(through(voluntary_elsewhere, 0), GP_CALLERS_SECOND);
}

static void a_caller_farther_than_the_depth_is_not_found(void)
{
    forget();
    CHECK_EQUAL(through(beyond_the_depth, 0), GP_CALLERS_NEITHER);
}

/* Remembering needs to know where return addresses stand, which x86-64 alone tells. */
#if defined(__x86_64__)
static void a_path_is_unwound_once(void)
{
    forget();
    for (int i = 0; i < 100; i++) {
        CHECK_EQUAL(through(forced_far, 3), GP_CALLERS_FIRST);
        CHECK_EQUAL(through(voluntary_near, 0), GP_CALLERS_SECOND);
        CHECK_EQUAL(through(forced_far, 5), GP_CALLERS_FIRST);
    }
    CHECK_EQUAL(callers.unwound, 3);
    CHECK_EQUAL(callers.count, 3);
}

static void a_path_to_nobody_known_is_unwound_once_too(void)
{
    forget();
    for (int i = 0; i < 10; i++) {
        CHECK_EQUAL(through(beyond_the_depth, 0), GP_CALLERS_NEITHER);
        CHECK_EQUAL(callers.unwound, 1);
    }
    CHECK_EQUAL(callers.count, 1);
}
#endif

static void more_paths_than_are_remembered_are_still_judged_right(void)
{
    forget();
    for (int round = 0; round < 3; round++)
        for (unsigned way = 0; way < GP_CALLERS_PATHS; way++) {
            CHECK_EQUAL(through(forced_far, way), GP_CALLERS_FIRST);
            CHECK_EQUAL(through(voluntary_far, way), GP_CALLERS_SECOND);
        }
    CHECK(callers.count <= GP_CALLERS_PATHS);
#if defined(__x86_64__)
    CHECK_EQUAL(callers.count, GP_CALLERS_PATHS);
    CHECK_EQUAL(callers.unwound, GP_CALLERS_PATHS + 3 * GP_CALLERS_PATHS);
#endif
}

static void errno_stays_as_it_was(void)
{
    forget();
    errno = ENOTSUP;
    through(forced_far, 0);
    CHECK_EQUAL(errno, ENOTSUP);
    through(forced_far, 0);
    through(unknown, 0);
    CHECK_EQUAL(errno, ENOTSUP);
}

int main(void)
{
    gp_callers_prepare((const void *)main);
    a_caller_is_recognised_near_and_far();
    the_nearer_of_two_callers_decides();
    nobody_known_is_neither();
    a_caller_behind_another_object_is_recognised();
    a_caller_farther_than_the_depth_is_not_found();
    what_is_called_through_a_pointer_is_not_the_first_lists_doing();
#if defined(__x86_64__)
    a_path_is_unwound_once();
    a_path_to_nobody_known_is_unwound_once_too();
#endif
    more_paths_than_are_remembered_are_still_judged_right();
    errno_stays_as_it_was();
    return gp_test_status();
}
