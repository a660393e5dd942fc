/* How a wait is divided among those who had the lock meanwhile. */

#include "locks/gp_lock_history.h"

#include <string.h>

#include "gp_test.h"
#include "locks/gp_lock_table.h"

enum { KEY = 0x1000, SEM = 0x2000, A = 1, B = 2, C = 3, W = 9 };

/* What was charged, by holder; the last two stand for nobody and for nobody seen. */
typedef struct {
    uint64_t ticks[5];
    uint64_t at; /* parts follow each other without a gap */
    uint32_t places[5];
} charged;

static void add_part(void *context, uint32_t holder, uint32_t place, uint64_t since, uint64_t until)
{
    charged *sums = context;
    size_t at = holder == GP_LOCK_NOBODY ? 0 : holder == GP_LOCK_UNSEEN ? 4 : holder;
    CHECK(at < 5);
    CHECK_EQUAL(since, sums->at);
    CHECK(until > since);
    sums->ticks[at] += until - since;
    sums->places[at] = place;
    sums->at = until;
}

static charged divide(const gp_lock_history *history, uint64_t since, uint64_t until, bool failed)
{
    charged sums = {.at = since};
    gp_lock_waited wait = {.account = W, .since = since, .until = until, .failed = failed};
    gp_lock_history_divide(gp_lock_history_of(history, KEY), wait, add_part, &sums);
    CHECK_EQUAL(sums.at, until);
    return sums;
}

static void release(gp_lock_history *history, uint64_t at, uint32_t account, uintptr_t sem)
{
    gp_lock_step made = {.at = at, .sem = sem, .account = account, .place = 100 + account};
    CHECK(gp_lock_history_add(history, KEY, &made));
}

static void take(gp_lock_history *history, uint64_t at, uint32_t account, uintptr_t sem)
{
    gp_lock_step made = {
        .at = at, .sem = sem, .account = account, .place = 200 + account, .kind = GP_LOCK_TAKEN};
    CHECK(gp_lock_history_add(history, KEY, &made));
}

static void a_wait_without_a_release_is_behind_nobody_that_was_seen(void)
{
    gp_lock_history history = {0};
    CHECK(gp_lock_history_of(&history, KEY) == NULL);
    CHECK_EQUAL(divide(&history, 10, 50, false).ticks[4], 40);
    release(&history, 5, A, SEM); /* before the wait */
    CHECK_EQUAL(divide(&history, 10, 50, false).ticks[4], 40);
    release(&history, 60, A, SEM); /* after it */
    CHECK_EQUAL(divide(&history, 10, 50, false).ticks[4], 40);
    gp_lock_history_clear(&history);
}

static void a_wait_is_cut_at_each_release(void)
{
    gp_lock_history history = {0};
    release(&history, 40, B, SEM + 16); /* they come in any order */
    release(&history, 20, A, SEM);
    take(&history, 22, B, SEM);
    take(&history, 50, W, SEM + 16);
    charged sums = divide(&history, 10, 50, false);
    CHECK_EQUAL(sums.ticks[A], 10);
    CHECK_EQUAL(sums.ticks[B], 18);
    CHECK_EQUAL(sums.ticks[0], 12); /* 20 to 22 until B ran, 40 to 50 until the waiter did */
    CHECK_EQUAL(sums.ticks[4], 0);
    CHECK_EQUAL(sums.places[A], 101);
    CHECK_EQUAL(sums.places[B], 102);
    gp_lock_history_clear(&history);
}

static void who_barges_in_has_the_lock_at_once(void)
{
    gp_lock_history history = {0};
    release(&history, 20, A, SEM);
    release(&history, 25, C, SEM + 16);
    take(&history, 50, W, SEM);
    charged sums = divide(&history, 10, 50, false);
    CHECK_EQUAL(sums.ticks[A], 10);
    CHECK_EQUAL(sums.ticks[C], 5);
    CHECK_EQUAL(sums.ticks[0], 25);
    gp_lock_history_clear(&history);
}

static void a_wait_that_failed_ends_behind_somebody(void)
{
    gp_lock_history history = {0};
    release(&history, 20, A, SEM);
    charged sums = divide(&history, 10, 50, true);
    CHECK_EQUAL(sums.ticks[A], 10);
    CHECK_EQUAL(sums.ticks[4], 30);
    gp_lock_history_clear(&history);
}

static void the_release_before_a_wait_tells_who_had_the_lock(void)
{
    gp_lock_history history = {0};
    release(&history, 5, A, SEM);
    release(&history, 40, B, SEM + 16);
    take(&history, 12, B, SEM);
    charged sums = divide(&history, 10, 40, false);
    CHECK_EQUAL(sums.ticks[0], 2); /* B was on its way */
    CHECK_EQUAL(sums.ticks[B], 28);
    gp_lock_history_clear(&history);
}

static void who_was_seen_with_the_lock_has_it_until_the_next_one(void)
{
    gp_lock_history history = {0};
    take(&history, 20, A, 0);
    take(&history, 30, B, 0); /* A released it while nobody slept */
    take(&history, 50, W, 0);
    charged sums = divide(&history, 10, 50, false);
    CHECK_EQUAL(sums.ticks[4], 10);
    CHECK_EQUAL(sums.ticks[A], 10);
    CHECK_EQUAL(sums.places[A], 201); /* where it had waited */
    CHECK_EQUAL(sums.ticks[B], 20);
    sums = divide(&history, 25, 40, true); /* it was A's when the wait began */
    CHECK_EQUAL(sums.ticks[A], 5);
    CHECK_EQUAL(sums.ticks[B], 10);
    gp_lock_history_clear(&history);
}

static void who_asks_again_has_released_it(void)
{
    gp_lock_history history = {0};
    gp_lock_step asked = {.at = 26, .account = A, .kind = GP_LOCK_ASKED};
    take(&history, 20, A, 0);
    CHECK(gp_lock_history_add(&history, KEY, &asked));
    charged sums = divide(&history, 10, 50, false);
    CHECK_EQUAL(sums.ticks[A], 6);
    CHECK_EQUAL(sums.ticks[4], 34);
    CHECK_EQUAL(divide(&history, 30, 50, false).ticks[4], 20); /* not A, which wants it, too */
    asked.account = B;
    asked.at = 22; /* what others want changes nothing */
    CHECK(gp_lock_history_add(&history, KEY, &asked));
    CHECK_EQUAL(divide(&history, 24, 26, false).ticks[A], 2);
    gp_lock_history_clear(&history);
}

static void who_has_the_lock_itself_waits_behind_itself_until_another_is_seen(void)
{
    gp_lock_history history = {0};
    gp_lock_waited own = {.account = C, .since = 10, .until = 50, .own = true, .place = 7};
    charged alone = {.at = 10}, beside = {.at = 10};
    gp_lock_history_divide(NULL, own, add_part, &alone);
    CHECK_EQUAL(alone.ticks[C], 40);
    CHECK_EQUAL(alone.places[C], 7);
    take(&history, 20, A, 0);
    release(&history, 35, A, SEM);
    gp_lock_history_divide(gp_lock_history_of(&history, KEY), own, add_part, &beside);
    CHECK_EQUAL(beside.ticks[C], 10);
    CHECK_EQUAL(beside.ticks[A], 15);
    CHECK_EQUAL(beside.ticks[0], 15);
    gp_lock_history_clear(&history);
}

static void what_nobody_needs_is_forgotten(void)
{
    gp_lock_history history = {0};
    gp_lock_step made = {.at = 1};
    for (uintptr_t key = KEY; key < KEY + 500; key++)
        CHECK(gp_lock_history_add(&history, key, &made));
    for (uint64_t at = 2; at <= 100; at++)
        release(&history, at, A, SEM);
    gp_lock_history_forget_all_needs(&history);
    gp_lock_history_of(&history, KEY)->needed = 90;
    gp_lock_history_of(&history, KEY + 7)->needed = 0;
    gp_lock_history_prune(&history);
    CHECK_EQUAL(history.count, 2);
    CHECK_EQUAL(gp_lock_history_of(&history, KEY)->count, 11); /* one before those that are needed */
    CHECK_EQUAL(gp_lock_history_of(&history, KEY + 7)->count, 1);
    CHECK_EQUAL(history.steps, 12);
    CHECK(gp_lock_history_of(&history, KEY + 8) == NULL);
    CHECK_EQUAL(divide(&history, 90, 100, false).ticks[A], 10);
    gp_lock_history_clear(&history);
    CHECK_EQUAL(history.count, 0);
}

static void the_history_is_bounded(void)
{
    gp_lock_history history = {0};
    gp_lock_step made = {.at = 1};
    size_t added = 0;
    while (added <= GP_LOCK_STEPS_MAX && gp_lock_history_add(&history, KEY, &made))
        added++;
    CHECK_EQUAL(added, GP_LOCK_STEPS_MAX);
    gp_lock_history_clear(&history);
    CHECK(gp_lock_history_add(&history, KEY, &made));
    gp_lock_history_clear(&history);
}

int main(void)
{
    a_wait_without_a_release_is_behind_nobody_that_was_seen();
    a_wait_is_cut_at_each_release();
    who_barges_in_has_the_lock_at_once();
    a_wait_that_failed_ends_behind_somebody();
    the_release_before_a_wait_tells_who_had_the_lock();
    who_was_seen_with_the_lock_has_it_until_the_next_one();
    who_asks_again_has_released_it();
    who_has_the_lock_itself_waits_behind_itself_until_another_is_seen();
    what_nobody_needs_is_forgotten();
    the_history_is_bounded();
    return gp_test_status();
}
