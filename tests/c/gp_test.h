#ifndef GP_TEST_H
#define GP_TEST_H

/* A test is a plain program: it goes on after a failed check, and its exit status is 1 if there was one. */

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

static atomic_int gp_test_failures; /* checks may stand in any thread */

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                        \
            atomic_fetch_add(&gp_test_failures, 1);                                                          \
        }                                                                                                    \
    } while (0)

/* For integers; shows both sides. */
#define CHECK_EQUAL(actual, expected)                                                                        \
    do {                                                                                                     \
        intmax_t gp_actual = (intmax_t)(actual), gp_expected = (intmax_t)(expected);                         \
        if (gp_actual != gp_expected) {                                                                      \
            fprintf(stderr, "%s:%d: %s is %jd, expected %s = %jd\n", __FILE__, __LINE__, #actual, gp_actual, \
                    #expected, gp_expected);                                                                 \
            atomic_fetch_add(&gp_test_failures, 1);                                                          \
        }                                                                                                    \
    } while (0)

static inline int gp_test_status(void)
{
    return atomic_load(&gp_test_failures) == 0 ? 0 : 1;
}

#endif
