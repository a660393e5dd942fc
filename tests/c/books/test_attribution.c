#include "books/gp_attribution.h"

#include <string.h>

#include "gp_test.h"

/* ---- a session with two threads ---- */

static const char code[4]; /* their addresses stand for code objects */
static gp_session *session;
static gp_thread threads[2];
static gp_account *accounts[2];
static size_t met_count;

static void met(gp_site_key key, gp_buffer *description)
{
    met_count++;
    gp_buffer_number(description, key.code != NULL ? (uint64_t)((const char *)key.code - code) : 99);
    gp_buffer_number(description, (uint64_t)(-100 < key.instruction ? key.instruction + 100 : 0));
}

static const gp_naming naming = {.met = met};

static void begin(bool stacks)
{
    session = gp_session_new(1, 1000);
    session->wants_sites = true;
    session->wants_stacks = stacks;
    met_count = 0;
    for (uint32_t i = 0; i < 2; i++) {
        threads[i] = (gp_thread){.index = i};
        accounts[i] = gp_account_of(session, &threads[i]);
    }
}

static void end(void)
{
    gp_session_free(session);
}

static uint32_t place_of(size_t account, const gp_site_key *keys, size_t depth, bool truncated)
{
    gp_call_stack at = {.keys = keys, .depth = depth, .truncated = truncated};
    return gp_attribution_place(session, accounts[account], &at, &naming);
}

static uint32_t site_of(size_t account, size_t which, int32_t instruction)
{
    return place_of(account, &(gp_site_key){&code[which], instruction}, 1, false);
}

/* ---- places ---- */

static void a_site_is_one_place_for_all_threads_and_is_described_once(void)
{
    begin(false);
    uint32_t first = site_of(0, 0, 2), other = site_of(0, 0, 4);
    CHECK(first != other);
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(site_of(0, 0, 2), first);
        CHECK_EQUAL(site_of(1, 0, 2), first);
        CHECK_EQUAL(site_of(1, 0, 4), other);
    }
    CHECK_EQUAL(met_count, 2);
    CHECK_EQUAL(accounts[1]->last_place, other);
    CHECK_EQUAL(session->places.count, 2);
    end();
}

/* A program that makes code as it goes makes the same places again. */
static void code_that_is_forgotten_is_the_same_place_if_its_description_is(void)
{
    begin(false);
    uint32_t first = site_of(0, 0, 2);
    gp_session_forget_code(session, &code[0], 2);
    accounts[0] = gp_account_of(session, &threads[0]);
    CHECK_EQUAL(site_of(0, 0, 2), first);
    CHECK_EQUAL(met_count, 2); /* but it was asked for again */
    CHECK_EQUAL(session->places.count, 1);
    end();
}

static void a_thread_without_a_frame_has_a_place_of_its_own(void)
{
    begin(false);
    uint32_t mine = place_of(0, NULL, 0, false), others = place_of(1, NULL, 0, false);
    CHECK(mine != others);
    CHECK_EQUAL(place_of(0, NULL, 0, false), mine);
    CHECK_EQUAL(session->native_places, 2);
    end();
}

static void a_stack_is_a_tree_from_its_outermost_level(void)
{
    begin(true);
    const gp_site_key one[] = {{&code[0], 2}, {&code[1], 4}, {&code[2], 6}}; /* the innermost first */
    const gp_site_key two[] = {{&code[0], 2}, {&code[1], 8}, {&code[2], 6}};
    uint32_t first = place_of(0, one, 3, false), second = place_of(0, two, 3, false);
    CHECK(first != second);
    CHECK_EQUAL(session->places.count, 5); /* the outermost is one */
    CHECK_EQUAL(place_of(1, one, 3, false), first);
    CHECK_EQUAL(place_of(0, one + 1, 2, false), session->places.rows[first].parent);
    CHECK(place_of(0, one, 3, true) != first); /* there are levels below that one */
    CHECK_EQUAL(place_of(0, one, 3, false), first);
    end();
}

static bool stands_for_second(gp_site_key *key)
{
    if (key->code != &code[3])
        return false;
    *key = (gp_site_key){&code[1], 4};
    return true;
}

static void a_place_that_stands_for_its_caller_is_that_one(void)
{
    const gp_naming importing = {met, stands_for_second};
    begin(false);
    gp_call_stack at = {.keys = &(gp_site_key){&code[3], 2}, .depth = 1};
    uint32_t callers = site_of(1, 1, 4);
    CHECK_EQUAL(gp_attribution_place(session, accounts[0], &at, &importing), callers);
    CHECK_EQUAL(session->places.count, 1);
    end();
}

/* ---- holds, waits, blame ---- */

static void a_hold_without_a_place_is_counted_as_lost(void)
{
    begin(false);
    uint32_t place = site_of(0, 0, 2);
    gp_attribution_book_hold(session, place, 30);
    gp_attribution_book_hold(session, place, 12);
    gp_attribution_book_hold(session, GP_ROW_NONE, 5);
    CHECK_EQUAL(session->places.rows[place].hold, 42);
    CHECK_EQUAL(session->places.rows[place].releases, 2);
    CHECK_EQUAL(session->sites_lost, 5);
    end();
}

static void a_wait_belongs_to_the_last_place_and_is_cut_at_the_start(void)
{
    begin(false);
    uint32_t place = site_of(0, 0, 2);
    session->stall_floor = 40;
    gp_attribution_book_wait(session, accounts[0], 900, 1050); /* the session began at 1000 */
    gp_attribution_book_wait(session, accounts[0], 1100, 1130);
    CHECK_EQUAL(session->places.rows[place].wait, 80);
    CHECK_EQUAL(session->stall_count, 1); /* the other was below the floor */
    CHECK_EQUAL(session->stalls[0].start, 1000);
    CHECK_EQUAL(session->stalls[0].ticks, 50);
    CHECK_EQUAL(session->stalls[0].holder, GP_ROW_NONE);
    end();
}

static void of_very_many_waits_the_longest_are_kept(void)
{
    begin(false);
    for (uint64_t i = 1; i <= 5 * GP_STALLS_MAX; i++) { /* each length once, in no order */
        uint64_t ticks = i * 7 % (5 * GP_STALLS_MAX + 1);
        gp_attribution_book_wait(session, accounts[0], 1000, 1000 + ticks);
    }
    CHECK_EQUAL(session->stall_count, GP_STALLS_MAX);
    for (size_t i = 0; i < GP_STALLS_MAX; i++) {
        CHECK(session->stalls[i].ticks > 4 * GP_STALLS_MAX);
        for (size_t other = 0; other < i; other++)
            CHECK(session->stalls[i].ticks != session->stalls[other].ticks);
    }
    end();
}

static void a_waiter_is_charged_by_holder_and_place_and_blames_the_longest(void)
{
    begin(false);
    gp_charge charges[] = {{.ticks = 10, .longest = 6, .holder = 1, .place = 0},
                           {.ticks = 20, .longest = 20, .holder = 1, .place = 1},
                           {.ticks = 5, .longest = 5, .holder = 1, .place = 0}};
    for (int i = 0; i < 3; i++) {
        gp_attribution_charge(session, accounts[0], &charges[i]);
        gp_attribution_suspect(accounts[0], &charges[i]);
    }
    CHECK_EQUAL(session->blame.count, 2);
    CHECK_EQUAL(session->blame.rows[0].wait, 15);
    CHECK_EQUAL(session->blame.rows[1].wait, 20);
    CHECK_EQUAL(accounts[0]->blamed, 35);
    gp_attribution_book_wait(session, accounts[0], 1000, 1035);
    CHECK_EQUAL(session->stalls[0].holder, 1);
    CHECK_EQUAL(session->stalls[0].holder_place, 1);
    CHECK_EQUAL(session->stalls[0].holder_ticks, 20);
    CHECK_EQUAL(accounts[0]->culprit_ticks, 0); /* the next wait begins anew */
    end();
}

int main(void)
{
    gp_clock_init();
    a_site_is_one_place_for_all_threads_and_is_described_once();
    code_that_is_forgotten_is_the_same_place_if_its_description_is();
    a_thread_without_a_frame_has_a_place_of_its_own();
    a_stack_is_a_tree_from_its_outermost_level();
    a_place_that_stands_for_its_caller_is_that_one();
    a_hold_without_a_place_is_counted_as_lost();
    a_wait_belongs_to_the_last_place_and_is_cut_at_the_start();
    of_very_many_waits_the_longest_are_kept();
    a_waiter_is_charged_by_holder_and_place_and_blames_the_longest();
    return gp_test_status();
}
