#include "books/gp_attribution.h"

#include <string.h>

#include "gp_test.h"
#include "recording/gp_reader.h"

/* ---- a session with two threads, and the places of their GIL ---- */

static const char code[4]; /* their addresses stand for code objects */
static gp_session *session;
static gp_thread threads[2];
static gp_account *accounts[2];
static gp_places places;

/* As PLAC has a Python function. */
static void met(gp_site_key key, gp_buffer *description)
{
    char name = key.code != NULL ? (char)('a' + ((const char *)key.code - code)) : '?';
    gp_buffer_number(description, key.code != NULL ? GP_PLACE_PYTHON : GP_PLACE_DEEPER);
    if (key.code == NULL)
        return;
    gp_buffer_number(description, (uint64_t)key.instruction);
    gp_buffer_string(description, &name, 1);
    gp_buffer_string(description, "app.py", 6);
}

static gp_session *session_of(bool stacks)
{
    gp_session *made = gp_session_new(1 + stacks, 1000);
    made->wants_sites = true;
    made->wants_stacks = stacks;
    return made;
}

static void begin(bool stacks)
{
    gp_places_clear(&places);
    places.naming.met = met;
    session = session_of(stacks);
    for (uint32_t i = 0; i < 2; i++) {
        threads[i] = (gp_thread){.index = i};
        accounts[i] = gp_account_of(session, &threads[i]);
    }
}

static void end(void)
{
    gp_session_free(session);
}

/* What a release notes. */
static uint32_t number_of(const gp_site_key *keys, size_t depth, bool truncated)
{
    return gp_places_stack(&places, &(gp_call_stack){keys, depth, truncated});
}

static uint32_t place_of(size_t account, uint32_t number)
{
    return gp_attribution_place(session, accounts[account], &places, number);
}

static uint32_t site_of(size_t account, size_t which, int32_t instruction)
{
    return place_of(account, number_of(&(gp_site_key){&code[which], instruction}, 1, false));
}

/* What the session has described so far: all its places, with their numbers in order. */
static gp_place_row described(uint32_t place)
{
    gp_cursor cursor = gp_cursor_over(session->described.bytes, session->described.size);
    gp_place_row row = {.kind = 0}, found = {.kind = 0};
    uint32_t count = 0;
    for (; !gp_cursor_at_end(&cursor) && cursor.wrong == NULL; count++) {
        gp_read_place(&cursor, count, &row);
        if (count == place)
            found = row;
    }
    CHECK(cursor.wrong == NULL);
    CHECK_EQUAL(count, session->place_count);
    return found;
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
    CHECK_EQUAL(accounts[1]->last_place, other);
    CHECK_EQUAL(session->place_count, 2);
    CHECK_EQUAL(described(other).kind, GP_PLACE_PYTHON);
    CHECK_EQUAL(described(other).parent, GP_NOWHERE);
    end();
}

static void a_session_numbers_its_places_as_it_meets_them(void)
{
    enum { MANY = 1000 };
    begin(false);
    uint32_t numbers[MANY];
    for (int32_t i = 0; i < MANY; i++)
        numbers[i] = number_of(&(gp_site_key){&code[0], i}, 1, false);
    for (uint32_t i = 0; i < MANY; i++)
        CHECK_EQUAL(place_of(0, numbers[MANY - 1 - i]), i);
    for (uint32_t i = 0; i < MANY; i++)
        CHECK_EQUAL(place_of(1, numbers[MANY - 1 - i]), i);
    CHECK_EQUAL(session->place_count, MANY);
    CHECK_EQUAL(described(MANY - 1).kind, GP_PLACE_PYTHON);
    end();
}

static void a_thread_without_a_frame_has_a_place_of_its_own(void)
{
    begin(false);
    uint32_t mine = place_of(0, GP_NO_FRAME), others = place_of(1, GP_NO_FRAME);
    CHECK(mine != others);
    CHECK_EQUAL(place_of(0, GP_NO_FRAME), mine);
    CHECK_EQUAL(session->native_places, 2);
    CHECK_EQUAL(described(others).kind, GP_PLACE_NATIVE);
    end();
}

static void where_nobody_could_look_is_one_place(void)
{
    begin(false);
    uint32_t unseen = place_of(0, GP_UNSEEN);
    CHECK(unseen != GP_ROW_NONE);
    CHECK_EQUAL(place_of(1, GP_UNSEEN), unseen);
    CHECK_EQUAL(gp_attribution_looked(session, accounts[0], &places, GP_UNSEEN), unseen);
    CHECK(place_of(1, GP_NO_FRAME) != unseen);
    CHECK_EQUAL(described(unseen).kind, GP_PLACE_UNSEEN);
    CHECK_EQUAL(place_of(0, GP_ROW_NONE), GP_ROW_NONE);
    CHECK_EQUAL(accounts[0]->last_place, GP_ROW_NONE);
    end();
}

static void a_stack_is_a_tree_from_its_outermost_level(void)
{
    begin(true);
    const gp_site_key one[] = {{&code[0], 2}, {&code[1], 4}, {&code[2], 6}}; /* the innermost first */
    const gp_site_key two[] = {{&code[0], 2}, {&code[1], 8}, {&code[2], 6}};
    uint32_t first = place_of(0, number_of(one, 3, false)), second = place_of(0, number_of(two, 3, false));
    CHECK(first != second);
    CHECK_EQUAL(session->place_count, 5); /* the outermost is one */
    CHECK_EQUAL(place_of(1, number_of(one, 3, false)), first);
    CHECK_EQUAL(place_of(0, number_of(one + 1, 2, false)), described(first).parent);
    uint32_t cut = place_of(0, number_of(one, 3, true)); /* there are levels below that one */
    CHECK(cut != first);
    uint32_t deeper = described(described(described(cut).parent).parent).parent;
    CHECK_EQUAL(described(deeper).kind, GP_PLACE_DEEPER);
    CHECK_EQUAL(place_of(0, number_of(one, 3, false)), first);
    end();
}

static void a_session_without_stacks_knows_their_innermost_levels(void)
{
    begin(false);
    const gp_site_key one[] = {{&code[0], 2}, {&code[1], 4}}, two[] = {{&code[0], 2}, {&code[1], 8}};
    uint32_t site = place_of(0, number_of(one, 2, false));
    CHECK_EQUAL(place_of(1, number_of(two, 2, false)), site);
    CHECK_EQUAL(place_of(1, number_of(one, 2, true)), site);
    CHECK_EQUAL(site_of(1, 0, 2), site);
    CHECK_EQUAL(session->place_count, 1);
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
    CHECK_EQUAL(session->places[place].hold, 42);
    CHECK_EQUAL(session->places[place].releases, 2);
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
    CHECK_EQUAL(session->places[place].wait, 80);
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
    CHECK_EQUAL(((gp_blame *)session->blame.rows)[0].wait, 15);
    CHECK_EQUAL(((gp_blame *)session->blame.rows)[1].wait, 20);
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
    a_session_numbers_its_places_as_it_meets_them();
    a_thread_without_a_frame_has_a_place_of_its_own();
    where_nobody_could_look_is_one_place();
    a_stack_is_a_tree_from_its_outermost_level();
    a_session_without_stacks_knows_their_innermost_levels();
    a_hold_without_a_place_is_counted_as_lost();
    a_wait_belongs_to_the_last_place_and_is_cut_at_the_start();
    of_very_many_waits_the_longest_are_kept();
    a_waiter_is_charged_by_holder_and_place_and_blames_the_longest();
    gp_places_clear(&places);
    return gp_test_status();
}
