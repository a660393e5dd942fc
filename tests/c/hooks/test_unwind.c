#include "hooks/gp_unwind.h"

#include <stdlib.h>
#include <string.h>

#include "gp_test.h"

#include <unwind.h>

#define NOINLINE __attribute__((noinline, noclone))
/* What follows a call keeps it from becoming a jump, which would take the caller off the stack. */
#define NOT_THE_LAST(value) __asm__ volatile("" : : "r"(value) : "memory")

enum { FRAMES = 64 };

/* The same stack as the C library's unwinder sees it: its addresses, from the caller of a function on. */
typedef struct {
    uintptr_t above; /* frames below are the unwinding's own */
    gp_unwind_frame frames[FRAMES];
    size_t count;
} reference;

static gp_unwind_tables tables;
static size_t compared; /* frames of the last comparison */
static bool ended;      /* outside of this object */

static _Unwind_Reason_Code collect(struct _Unwind_Context *context, void *data)
{
    reference *found = data;
    uintptr_t cfa = _Unwind_GetCFA(context);
    if (cfa - sizeof(uintptr_t) < found->above)
        return _URC_NO_REASON;
    if (found->count == FRAMES)
        return _URC_END_OF_STACK;
    found->frames[found->count++] =
        (gp_unwind_frame){_Unwind_GetIP(context), _Unwind_GetRegionStart(context), cfa, 0};
    return _URC_NO_REASON;
}

NOINLINE static void compare(void)
{
    const char *frame = __builtin_frame_address(0);
    reference expected = {.above = (uintptr_t)frame};
    _Unwind_Backtrace(collect, &expected);
    gp_unwind_frame at = gp_unwind_begin(&tables, frame);
    compared = 0;
    bool more = true;
    for (; more && at.start != 0 && compared < expected.count; compared++) {
        CHECK_EQUAL(at.address, expected.frames[compared].address);
        CHECK_EQUAL(at.start, expected.frames[compared].start);
        CHECK_EQUAL(at.cfa, expected.frames[compared].cfa);
        more = gp_unwind_step(&tables, &at);
    }
    ended = more && at.start == 0;
    if (ended)
        CHECK_EQUAL(at.address, expected.frames[compared].address);
}

/* ---- functions whose frames are found in different ways ---- */

typedef void function(unsigned depth);

static function *volatile next;

NOINLINE static void plain(unsigned depth)
{
    (depth != 0 ? next : (function *)compare)(depth - 1);
    NOT_THE_LAST(depth);
}

/* The size of the frame is not known to the compiler: found by rbp. */
NOINLINE static void growing(unsigned depth)
{
    char *room = __builtin_alloca(depth * 40 + 1);
    memset(room, (int)depth, depth * 40 + 1);
    (depth != 0 ? next : (function *)compare)(depth - 1);
    NOT_THE_LAST(room);
}

/* All registers that a function must leave as they were are in use. */
NOINLINE static void crowded(unsigned depth)
{
    (depth != 0 ? next : (function *)compare)(depth - 1);
    __asm__ volatile("" : : "r"(depth) : "rbx", "r12", "r13", "r14", "r15", "memory");
}

NOINLINE static void large(unsigned depth)
{
    volatile char room[5000];
    room[depth] = 1;
    (depth != 0 ? next : (function *)compare)(depth - 1);
    NOT_THE_LAST(room[depth]);
}

/* With instructions that come after an early return: what was remembered is restored. */
NOINLINE static void returning_early(unsigned depth)
{
    if (depth > 1000)
        return;
    volatile char room[100];
    room[0] = (char)depth;
    if (depth == 0)
        compare();
    else
        next(depth - 1);
    NOT_THE_LAST(room[0]);
}

/* The stack is aligned anew: what leads on is in no register that is followed. */
NOINLINE static void realigned(unsigned depth)
{
    _Alignas(128) volatile char room[128];
    char *more = __builtin_alloca(depth + 1);
    room[0] = (char)depth;
    more[0] = 1;
    (depth != 0 ? next : (function *)compare)(depth - 1);
    NOT_THE_LAST(room[0] + more[0]);
}

static function *const ways[] = {plain, growing, crowded, large, returning_early};

/* ---- the promises ---- */

static void each_frame_is_the_one_that_the_c_library_finds(void)
{
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (size_t other = 0; other < sizeof ways / sizeof *ways; other++) {
            next = ways[other];
            ways[i](7);
            CHECK(compared >= 9); /* these, and at least who called them */
            CHECK(ended);
        }
}

static void a_frame_that_is_not_understood_ends_it(void)
{
    next = plain;
    realigned(3);
    CHECK(compared >= 4);
}

NOINLINE static void another_object_ends_it(void)
{
    gp_unwind_tables others;
    CHECK_EQUAL(gp_unwind_find((const void *)qsort, &others), GP_OK);
    gp_unwind_frame caller = gp_unwind_begin(&others, __builtin_frame_address(0));
    CHECK_EQUAL(caller.start, 0);
    CHECK(!gp_unwind_step(&others, &caller));
    NOT_THE_LAST(caller.start);
}

static void an_address_in_no_object_is_refused(void)
{
    void *nowhere = malloc(1);
    CHECK_EQUAL(gp_unwind_find(nowhere, &tables), GP_EUNSUPPORTED);
    free(nowhere);
}

int main(void)
{
    CHECK_EQUAL(gp_unwind_find((const void *)main, &tables), GP_OK);
    each_frame_is_the_one_that_the_c_library_finds();
    a_frame_that_is_not_understood_ends_it();
    another_object_ends_it();
    an_address_in_no_object_is_refused();
    return gp_test_status();
}
