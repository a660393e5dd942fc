#include "hooks/gp_handshake.h"

#include <stdbool.h>
#include <string.h>

#include "gp_test.h"

static const char objects[6];
static const void *const M = &objects[0], *const C = &objects[1], *const S = &objects[2],
                         *const SC = &objects[3], *const OTHER = &objects[4];

enum { LONGEST = 32 };

typedef struct {
    gp_handshake_step steps[LONGEST];
    size_t count;
} sequence;

static void add(sequence *to, gp_call call, const void *object)
{
    to->steps[to->count++] = (gp_handshake_step){call, object};
}

typedef struct {
    bool asked, switched; /* another thread had asked for the GIL; and had not got it yet */
    int waits;
} variant;

static sequence cycle(variant is)
{
    sequence made = {.count = 0};
    add(&made, GP_CALL_LOCK, M);
    add(&made, GP_CALL_SIGNAL, C);
    add(&made, GP_CALL_UNLOCK, M);
    if (is.asked) {
        add(&made, GP_CALL_LOCK, S);
        if (is.switched)
            add(&made, GP_CALL_WAIT, SC);
        add(&made, GP_CALL_UNLOCK, S);
    }
    add(&made, GP_CALL_LOCK, M);
    for (int i = 0; i < is.waits; i++)
        add(&made, GP_CALL_TIMEDWAIT, C);
    add(&made, GP_CALL_LOCK, S);
    add(&made, GP_CALL_SIGNAL, SC);
    add(&made, GP_CALL_UNLOCK, S);
    add(&made, GP_CALL_UNLOCK, M);
    return made;
}

static const variant variants[] = {
    {false, false, 0}, {true, false, 0}, {true, true, 0},
    {false, false, 1}, {true, false, 3}, {true, true, 12},
};

enum { VARIANTS = sizeof variants / sizeof *variants };

static bool accepted(const sequence *given)
{
    gp_gil_locks locks = {OTHER, OTHER, OTHER, OTHER};
    gp_status status = gp_handshake_recognise(given->steps, given->count, &locks);
    if (status == GP_OK)
        return true;
    CHECK_EQUAL(status, GP_EUNSUPPORTED);
    CHECK(locks.mutex == OTHER && locks.cond == OTHER && locks.switch_mutex == OTHER &&
          locks.switch_cond == OTHER);
    return false;
}

static void every_cycle_of_the_gil_names_its_locks(void)
{
    for (size_t v = 0; v < VARIANTS; v++) {
        sequence given = cycle(variants[v]);
        gp_gil_locks locks = {0};
        CHECK_EQUAL(gp_handshake_recognise(given.steps, given.count, &locks), GP_OK);
        CHECK(locks.mutex == M && locks.cond == C && locks.switch_mutex == S && locks.switch_cond == SC);
    }
}

static void a_sequence_cut_short_anywhere_is_refused(void)
{
    for (size_t v = 0; v < VARIANTS; v++) {
        sequence given = cycle(variants[v]);
        while (given.count-- > 0) {
            CHECK(!accepted(&given));
            if (given.count == 0)
                break;
        }
    }
}

static bool same(const sequence *a, const sequence *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->steps[i].call != b->steps[i].call || a->steps[i].object != b->steps[i].object)
            return false;
    return true;
}

/* Whether it is a cycle, found by making every cycle of its length and comparing: the slow twin. Its locks
 * are taken from where they must stand: at both ends. */
static bool is_a_cycle(const sequence *given)
{
    if (given->count < 8)
        return false;
    const gp_handshake_step *steps = given->steps;
    const void *renamed[] = {steps[0].object, steps[1].object, steps[given->count - 4].object,
                             steps[given->count - 3].object};
    if (renamed[0] == renamed[2] || renamed[1] == renamed[3])
        return false;
    for (int asked = 0; asked < 3; asked++)
        for (int waits = 0; waits < LONGEST - 11; waits++) {
            sequence twin = cycle((variant){asked > 0, asked == 2, waits});
            for (size_t i = 0; i < twin.count; i++)
                twin.steps[i].object = renamed[(const char *)twin.steps[i].object - objects];
            if (same(&twin, given))
                return true;
        }
    return false;
}

static void insert(sequence *into, size_t at, gp_handshake_step step)
{
    memmove(&into->steps[at + 1], &into->steps[at], (into->count - at) * sizeof *into->steps);
    into->steps[at] = step;
    into->count++;
}

static void one_call_more_anywhere_is_refused(void)
{
    for (size_t v = 0; v < VARIANTS; v++)
        for (size_t at = 0; at <= cycle(variants[v]).count; at++)
            for (int call = 0; call < GP_CALLS; call++)
                for (size_t object = 0; object < 5; object++) {
                    sequence given = cycle(variants[v]);
                    insert(&given, at, (gp_handshake_step){(gp_call)call, &objects[object]});
                    /* but for another round of waiting */
                    CHECK_EQUAL(accepted(&given), is_a_cycle(&given));
                }
}

static void two_calls_in_the_wrong_order_are_refused(void)
{
    for (size_t v = 0; v < VARIANTS; v++)
        for (size_t at = 0; at + 1 < cycle(variants[v]).count; at++) {
            sequence given = cycle(variants[v]), plain = given;
            gp_handshake_step first = given.steps[at];
            given.steps[at] = given.steps[at + 1];
            given.steps[at + 1] = first;
            CHECK_EQUAL(accepted(&given), same(&given, &plain));
        }
}

static void a_call_on_another_object_is_refused(void)
{
    for (size_t v = 0; v < VARIANTS; v++)
        for (size_t at = 0; at < cycle(variants[v]).count; at++) {
            sequence given = cycle(variants[v]);
            given.steps[at].object = OTHER;
            /* a lock that occurs once may be any */
            CHECK_EQUAL(accepted(&given), is_a_cycle(&given));
        }
}

static void replace(sequence *given, const void *object, const void *replacement)
{
    for (size_t i = 0; i < given->count; i++)
        if (given->steps[i].object == object)
            given->steps[i].object = replacement;
}

static void locks_that_are_not_four_are_refused(void)
{
    for (size_t v = 0; v < VARIANTS; v++) {
        sequence one_mutex = cycle(variants[v]), one_cond = cycle(variants[v]);
        replace(&one_mutex, S, M);
        replace(&one_cond, SC, C);
        CHECK(!accepted(&one_mutex));
        CHECK(!accepted(&one_cond));
    }
}

static void two_cycles_are_not_one(void)
{
    sequence given = cycle(variants[0]), second = given;
    memcpy(&given.steps[given.count], second.steps, second.count * sizeof *second.steps);
    given.count *= 2;
    CHECK(!accepted(&given));
}

static uint64_t draw(uint64_t below)
{
    static uint64_t state = 20;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static void mutate(sequence *given)
{
    size_t at = (size_t)draw(given->count);
    switch (draw(5)) {
    case 0:
        given->steps[at].call = (gp_call)draw(GP_CALLS);
        break;
    case 1:
        given->steps[at].object = &objects[draw(5)];
        break;
    case 2:
        if (given->count < LONGEST)
            insert(given, at, given->steps[draw(given->count)]);
        break;
    case 3:
        if (given->count > 1)
            memmove(&given->steps[at], &given->steps[at + 1], (--given->count - at) * sizeof *given->steps);
        break;
    default: {
        size_t other = (size_t)draw(given->count);
        gp_handshake_step step = given->steps[at];
        given->steps[at] = given->steps[other];
        given->steps[other] = step;
    }
    }
}

static void a_mutated_cycle_is_accepted_only_if_it_is_one_again(void)
{
    for (int i = 0; i < 100000; i++) {
        sequence given = cycle(variants[draw(VARIANTS)]);
        for (uint64_t n = 1 + draw(4); n > 0; n--)
            mutate(&given);
        CHECK_EQUAL(accepted(&given), is_a_cycle(&given));
    }
}

int main(void)
{
    every_cycle_of_the_gil_names_its_locks();
    a_sequence_cut_short_anywhere_is_refused();
    one_call_more_anywhere_is_refused();
    two_calls_in_the_wrong_order_are_refused();
    a_call_on_another_object_is_refused();
    locks_that_are_not_four_are_refused();
    two_cycles_are_not_one();
    a_mutated_cycle_is_accepted_only_if_it_is_one_again();
    return gp_test_status();
}
