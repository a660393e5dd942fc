/* The stream of a GIL: what comes in which order, random journals against a plain list, and journals that are
 * written while they are read. */

#include "stream/gp_stream.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gp_test.h"

/* The reader under test is a copy, in which threads go on before one of its looks at what they share. */
static int looks_until_then;
static void (*go_on)(void);

static void may_go_on(void)
{
    if (looks_until_then != 0 && --looks_until_then == 0)
        go_on();
}

#pragma push_macro("atomic_load")
#pragma push_macro("atomic_load_explicit")
#undef atomic_load
#undef atomic_load_explicit
#define atomic_load(object) (may_go_on(), *(object)) /* which is atomic, too */
#define atomic_load_explicit(object, order) atomic_load(object)
#include "stream/gp_stream.c"
#pragma pop_macro("atomic_load")
#pragma pop_macro("atomic_load_explicit")

enum {
    THREADS = 6,
    CYCLES = 20000,
};

static gp_stream stream;
static gp_note rooms[THREADS][GP_JOURNAL_NOTES];
static gp_journal journals[THREADS];
static bool memory_is_gone;

void *__real_gp_memory_map(size_t size);
void *__wrap_gp_memory_map(size_t size);

void *__wrap_gp_memory_map(size_t size)
{
    return memory_is_gone ? NULL : __real_gp_memory_map(size);
}

static void begin_anew(void)
{
    gp_stream_clear(&stream);
    memset(&stream, 0, sizeof stream);
    memset(journals, 0, sizeof journals);
    memset(rooms, 0, sizeof rooms);
    pthread_mutex_init(&stream.lock, NULL);
    stream.generation = 1;
    for (int i = 0; i < THREADS; i++)
        gp_journal_begin(&journals[i], rooms[i], NULL, 1, false);
}

static void take(int journal, uint64_t asked, uint64_t now)
{
    journals[journal].asking = asked;
    gp_stream_take(&stream, &journals[journal]);
    gp_journal_take(&journals[journal], now);
}

static void release(int journal, uint64_t now)
{
    gp_journal_release(&journals[journal], now, 7, false);
}

static void ask(int journal, uint64_t now)
{
    gp_journal_ask(&journals[journal], now);
    gp_stream_list(&stream, &journals[journal]);
}

static int listed_journals(void)
{
    int count = 0;
    for (const gp_journal *journal = stream.listed; journal != NULL; journal = journal->next_listed)
        count++;
    return count;
}

static void expect(int journal, gp_step_kind kind, uint64_t when)
{
    gp_step step = {.journal = NULL};
    CHECK(gp_stream_next(&stream, &step));
    CHECK_EQUAL(step.journal - journals, journal);
    CHECK_EQUAL(step.kind, kind);
    CHECK_EQUAL(step.time, when);
}

static void expect_end(void)
{
    gp_step step;
    CHECK(!gp_stream_next(&stream, &step));
    gp_stream_end(&stream);
}

/* ---- what comes in which order ---- */

static void a_journal_begins_with_the_gil_or_without(void)
{
    begin_anew();
    CHECK(journals[0].doing == GP_JOURNAL_OFF && journals[0].fresh);
    gp_journal_begin(&journals[0], rooms[0], NULL, 1, true);
    CHECK(journals[0].doing == GP_JOURNAL_HOLDS && !journals[0].fresh);
    CHECK(gp_journal_has_room(&journals[0]));
    CHECK_EQUAL(gp_journal_unread(&journals[0]), 0);
}

static void steps_of_all_threads_come_in_order_of_time(void)
{
    begin_anew();
    take(0, GP_ASKED_UNSEEN, 10);
    gp_journal_ask(&journals[1], 15);
    gp_stream_list(&stream, &journals[1]);
    gp_journal_release(&journals[0], 20, 7, false);
    take(1, 15, 22);
    gp_journal_release(&journals[1], 30, 8, true);
    take(0, GP_ASKED_AT_ONCE, 35);
    CHECK(gp_stream_begin(&stream, gp_stream_known_until(&stream)));
    expect(0, GP_STEP_TAKE, 10);
    expect(1, GP_STEP_ASK, 15);
    expect(0, GP_STEP_RELEASE, 20);
    expect(1, GP_STEP_TAKE, 22);
    expect(1, GP_STEP_RELEASE, 30);
    expect(0, GP_STEP_TAKE, 35);
    expect_end();
}

static void what_is_under_way_is_read_once(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    gp_journal_release(&journals[0], 20, 7, false);
    gp_journal_ask(&journals[0], 25);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 10);
    expect(0, GP_STEP_RELEASE, 20);
    expect(0, GP_STEP_ASK, 25);
    expect_end();
    take(0, 25, 40);
    CHECK_EQUAL(journals[0].asking, GP_ASKED_AT_ONCE); /* unless it must wait again */
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 40);
    expect_end();
    CHECK(gp_stream_begin(&stream, 100));
    expect_end();
}

static void what_comes_after_the_limit_waits(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    gp_journal_release(&journals[0], 20, 7, false);
    take(0, GP_ASKED_AT_ONCE, 30);
    CHECK(gp_stream_begin(&stream, 20));
    expect(0, GP_STEP_TAKE, 10);
    expect(0, GP_STEP_RELEASE, 20);
    expect_end();
    CHECK(gp_stream_begin(&stream, 30));
    expect(0, GP_STEP_TAKE, 30);
    expect_end();
}

static void nobody_takes_before_the_holder_lets_go(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    gp_journal_release(&journals[0], 23, 7, false); /* by a clock that is ahead */
    take(1, GP_ASKED_AT_ONCE, 21);
    gp_journal_release(&journals[1], 30, 7, false);
    take(0, GP_ASKED_AT_ONCE, 31);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 10);
    expect(0, GP_STEP_RELEASE, 23);
    expect(1, GP_STEP_TAKE, 21);
    expect(1, GP_STEP_RELEASE, 30);
    expect(0, GP_STEP_TAKE, 31);
    expect_end();
}

static void a_release_that_was_not_seen_is_none(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    take(0, GP_ASKED_AT_ONCE, 30);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 10);
    expect(0, GP_STEP_TAKE, 30);
    expect_end();
}

static void a_forced_release_is_followed_by_no_asking(void)
{
    gp_step step;
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    gp_journal_release(&journals[0], 20, 7, true);
    gp_journal_ask(&journals[0], 22);
    take(0, 22, 30);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 10);
    CHECK(gp_stream_next(&stream, &step));
    CHECK(step.kind == GP_STEP_RELEASE && step.forced);
    CHECK_EQUAL(step.place, 7);
    expect(0, GP_STEP_TAKE, 30);
    expect_end();
}

static size_t count_cycles(gp_cycles *cycles)
{
    size_t most = gp_stream_cycles(&stream, cycles), count = 0;
    const gp_note *note = cycles->first;
    while (count < most && gp_note_is_cycle(note, note->release, (uint32_t)(cycles->number + count)) &&
           note->taken <= cycles->until) {
        count++;
        note++;
    }
    return count;
}

static void whole_cycles_come_at_once(void)
{
    gp_cycles cycles;
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    for (uint64_t t = 20; t < 60; t += 10) {
        gp_journal_release(&journals[0], t, 7, false);
        take(0, GP_ASKED_AT_ONCE, t + 5);
    }
    gp_journal_ask(&journals[1], 42);
    gp_stream_list(&stream, &journals[1]);
    CHECK(gp_stream_begin(&stream, 100));
    CHECK_EQUAL(count_cycles(&cycles), 0); /* it has not got the GIL yet */
    expect(0, GP_STEP_TAKE, 10);
    CHECK_EQUAL(count_cycles(&cycles), 2);
    CHECK(cycles.journal == &journals[0] && cycles.first->released == 20 && cycles.first[1].taken == 35);
    gp_stream_skip(&stream, &cycles, 2);
    CHECK_EQUAL(count_cycles(&cycles), 0);
    expect(0, GP_STEP_RELEASE, 40);
    expect(1, GP_STEP_ASK, 42);
    expect(0, GP_STEP_TAKE, 45);
    CHECK_EQUAL(count_cycles(&cycles), 1);
    gp_stream_skip(&stream, &cycles, 1);
    expect_end();
}

static void idle_journals_are_forgotten_until_they_wake(void)
{
    begin_anew();
    for (int i = 0; i < THREADS; i++) {
        take(i, GP_ASKED_AT_ONCE, (uint64_t)i * 10 + 10);
        gp_journal_release(&journals[i], (uint64_t)i * 10 + 15, 7, false);
    }
    CHECK(gp_stream_begin(&stream, 1000));
    for (int i = 0; i < THREADS; i++) {
        expect(i, GP_STEP_TAKE, i * 10 + 10);
        expect(i, GP_STEP_RELEASE, i * 10 + 15);
    }
    expect_end();
    CHECK_EQUAL(listed_journals(), 1); /* who took it last */
    take(2, GP_ASKED_AT_ONCE, 200);
    CHECK(gp_stream_begin(&stream, 1000));
    expect(2, GP_STEP_TAKE, 200);
    expect_end();
}

/* ---- threads that go on at one of the reader's looks ---- */

/* What three threads do, in parts as small as others may see: first who, then what. */
typedef enum {
    MARKS, /* that it has taken the GIL */
    NOTES, /* the taking */
    FREES,
    YIELDS, /* frees, forced */
    ASKS,
    WANTS, /* asks because it was made to let go: that is no step */
    LISTS,
} part;

static const struct {
    int who;
    part what;
} play[] = {
    {0, MARKS}, {0, NOTES}, {0, FREES}, {1, MARKS}, {1, NOTES}, {2, ASKS},  {1, FREES}, {2, LISTS},
    {2, MARKS}, {2, NOTES}, {2, FREES}, {0, MARKS}, {0, NOTES}, {1, ASKS},  {1, LISTS}, {0, YIELDS},
    {1, MARKS}, {1, NOTES}, {0, WANTS}, {0, LISTS}, {1, FREES}, {0, MARKS}, {0, NOTES}, {0, FREES},
    {0, MARKS}, {0, NOTES}, {0, FREES}, {2, MARKS}, {2, NOTES},
};

enum { PARTS = sizeof play / sizeof *play, PLAYERS = 3, ALL = -1 };

static struct {
    int part;  /* which comes next */
    int burst; /* how many come at the look */
    int count;
    gp_step steps[PARTS];
} played;

static uint64_t time_of(int number)
{
    return 10 * (uint64_t)number + 10;
}

static void play_part(void)
{
    int number = played.part++;
    gp_journal *journal = &journals[play[number].who];
    switch (play[number].what) {
    case MARKS:
        gp_stream_take(&stream, journal);
        break;
    case NOTES:
        gp_journal_take(journal, time_of(number));
        break;
    case FREES:
    case YIELDS:
        gp_journal_release(journal, time_of(number), 7, play[number].what == YIELDS);
        break;
    case ASKS:
    case WANTS:
        gp_journal_ask(journal, time_of(number));
        break;
    case LISTS:
        gp_stream_list(&stream, journal);
        break;
    }
}

static void play_on(void)
{
    for (int i = 0; i < played.burst && played.part < PARTS; i++)
        play_part();
}

static void read_up_to(uint64_t limit)
{
    CHECK(gp_stream_begin(&stream, limit));
    while (played.count < PARTS && gp_stream_next(&stream, &played.steps[played.count]))
        played.count++;
    gp_stream_end(&stream);
}

/* As gp_trace_parts_catch_up does. */
static void catch_up(void)
{
    read_up_to(gp_stream_known_until(&stream));
    read_up_to(gp_stream_now(&stream, time_of(played.part - 1)));
}

static int next_played(int number, int who)
{
    for (; number < PARTS; number++) {
        bool hold = play[number].what == NOTES || play[number].what == FREES || play[number].what == YIELDS;
        bool asks = play[number].what == ASKS;
        if (who == ALL ? hold : play[number].who == who && (hold || asks))
            break;
    }
    return number;
}

static int next_read(int at, int who)
{
    for (; at < played.count; at++) {
        const gp_step *step = &played.steps[at];
        if (who == ALL ? step->kind != GP_STEP_ASK : step->journal == &journals[who])
            break;
    }
    return at;
}

/* Whether all steps of a thread came once and in order; of ALL, takings and releases. */
static bool all_came(int who)
{
    static const gp_step_kind kinds[] = {
        [NOTES] = GP_STEP_TAKE, [FREES] = GP_STEP_RELEASE, [YIELDS] = GP_STEP_RELEASE, [ASKS] = GP_STEP_ASK};
    int at = next_read(0, who);
    for (int number = next_played(0, who); number < PARTS; number = next_played(number + 1, who)) {
        const gp_step *step = &played.steps[at];
        if (at == played.count || step->journal != &journals[play[number].who] ||
            step->kind != kinds[play[number].what] || step->time != time_of(number))
            return false;
        at = next_read(at + 1, who);
    }
    return at == played.count;
}

static void begin_to_play(void)
{
    gp_stream_restart(&stream, NULL, 1);
    played.part = played.count = 0;
    for (int i = 0; i < PLAYERS; i++) {
        memset(&journals[i], 0, sizeof journals[i]);
        memset(rooms[i], 0, PARTS * sizeof *rooms[i]);
        gp_journal_begin(&journals[i], rooms[i], NULL, 1, false);
    }
}

/* Returns whether there was such a look. */
static bool play_at_look(int before, int looks, int burst)
{
    begin_to_play();
    while (played.part < before / 2)
        play_part();
    catch_up();
    while (played.part < before)
        play_part();
    played.burst = burst;
    looks_until_then = looks;
    catch_up();
    bool looked = looks_until_then == 0;
    looks_until_then = 0;
    while (played.part < PARTS)
        play_part();
    read_up_to(time_of(PARTS));
    for (int who = ALL; who < PLAYERS; who++)
        CHECK(all_came(who));
    return looked;
}

/* However far they are when the reading begins, at whatever look they go on, and however far. */
static void all_steps_come_in_order_whenever_threads_go_on(void)
{
    begin_anew();
    go_on = play_on;
    for (int before = 1; before < PARTS; before++)
        for (int burst = 1; burst <= PARTS - before; burst *= 2)
            for (int looks = 1; play_at_look(before, looks, burst); looks++)
                ;
}

static void an_asking_that_is_noted_late_comes_late(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    release(0, 20);
    take(2, GP_ASKED_AT_ONCE, 22);
    CHECK(gp_stream_begin(&stream, 22));
    expect(0, GP_STEP_TAKE, 10);
    expect(0, GP_STEP_RELEASE, 20);
    expect(2, GP_STEP_TAKE, 22);
    expect_end();
    ask(1, 15);
    release(2, 30);
    CHECK(gp_stream_begin(&stream, 40));
    expect(1, GP_STEP_ASK, 15);
    expect(2, GP_STEP_RELEASE, 30);
    expect_end();
    take(1, 15, 41);
    CHECK(gp_stream_begin(&stream, 50));
    expect(1, GP_STEP_TAKE, 41);
    expect_end();
}

/* Also where the clock of the next holder's processor is behind. */
static void a_tag_comes_within_its_hold(void)
{
    gp_step step;
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    gp_journal_tag(&journals[0], 5, 14);
    CHECK(gp_stream_begin(&stream, 20));
    expect(0, GP_STEP_TAKE, 10);
    CHECK(gp_stream_next(&stream, &step) && step.kind == GP_STEP_TAG && step.place == 5);
    expect_end();
    gp_journal_tag(&journals[0], 6, 25);
    gp_journal_tag(&journals[0], 0, 26);
    release(0, 27);
    take(1, GP_ASKED_AT_ONCE, 22);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAG, 25);
    expect(0, GP_STEP_TAG, 26);
    expect(0, GP_STEP_RELEASE, 27);
    expect(1, GP_STEP_TAKE, 22);
    expect_end();
}

/* Each half of a cycle is read as soon as it is there. */
static void a_cycle_is_read_in_its_middle(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    for (uint64_t t = 10; t < 100000; t += 30) {
        CHECK(gp_stream_begin(&stream, t + 1));
        expect(0, GP_STEP_TAKE, (int64_t)t);
        expect_end();
        release(0, t + 10);
        CHECK(gp_stream_begin(&stream, t + 9));
        expect_end();
        CHECK(gp_stream_begin(&stream, t + 10));
        expect(0, GP_STEP_RELEASE, (int64_t)t + 10);
        expect_end();
        bool waits = t % 4 == 0; /* or gets it at once */
        if (waits)
            ask(0, t + 10); /* in the same tick */
        CHECK(gp_stream_begin(&stream, t + 20));
        if (waits)
            expect(0, GP_STEP_ASK, (int64_t)t + 10);
        expect_end();
        take(0, waits ? t + 10 : GP_ASKED_AT_ONCE, t + 30);
    }
}

static void an_asking_before_the_first_taking_is_read(void)
{
    begin_anew();
    ask(1, GP_ASKED_EARLIER);
    CHECK(gp_stream_begin(&stream, 100));
    expect(1, GP_STEP_ASK, GP_ASKED_EARLIER);
    expect_end();
    CHECK(gp_stream_begin(&stream, 100));
    expect_end();
    take(1, GP_ASKED_EARLIER, 110);
    CHECK(gp_stream_begin(&stream, 200));
    expect(1, GP_STEP_TAKE, 110);
    expect_end();
}

static void who_was_not_seen_to_take_it_lets_it_go(void)
{
    gp_cycles cycles;
    gp_step step;
    begin_anew();
    gp_stream_list(&stream, &journals[1]);
    release(1, 20);
    CHECK(gp_stream_begin(&stream, 100));
    expect(1, GP_STEP_RELEASE, 20);
    expect_end();
    CHECK_EQUAL(listed_journals(), 0);
    gp_stream_list(&stream, &journals[3]);
    release(3, 21);
    ask(3, 25);
    CHECK(gp_stream_begin(&stream, 100));
    expect(3, GP_STEP_RELEASE, 21);
    expect(3, GP_STEP_ASK, 25);
    expect_end();
    gp_stream_list(&stream, &journals[4]);
    release(4, 26);
    take(4, GP_ASKED_AT_ONCE, 28);
    CHECK(gp_stream_begin(&stream, 100));
    CHECK_EQUAL(count_cycles(&cycles), 0); /* the state must be told that it had the GIL */
    expect(4, GP_STEP_RELEASE, 26);
    expect(4, GP_STEP_TAKE, 28);
    expect_end();
    gp_journal_place(&journals[2], 9);
    take(2, GP_ASKED_UNSEEN, 30);
    CHECK(gp_stream_begin(&stream, 100));
    CHECK(gp_stream_next(&stream, &step));
    CHECK(step.kind == GP_STEP_TAKE && step.unseen_before);
    CHECK_EQUAL(step.asked, GP_ASKED_UNSEEN);
    CHECK_EQUAL(step.place, 9);
    expect_end();
}

/* The rest of its cycle is not left for the next reading, though its turn had not come when this one began.
 */
static void whose_release_was_called_for_goes_on(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    take(1, GP_ASKED_AT_ONCE, 40);
    CHECK(gp_stream_begin(&stream, 100));
    release(0, 23); /* noted after the reading has begun */
    take(0, GP_ASKED_AT_ONCE, 60);
    expect(0, GP_STEP_TAKE, 10);
    expect(0, GP_STEP_RELEASE, 23);
    expect(1, GP_STEP_TAKE, 40);
    expect(0, GP_STEP_TAKE, 60);
    expect_end();

    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 10);
    expect_end();
    take(1, GP_ASKED_AT_ONCE, 40);
    CHECK(gp_stream_begin(&stream, 100)); /* the first journal has nothing */
    release(0, 43);                       /* by a clock that is ahead */
    take(0, GP_ASKED_AT_ONCE, 60);
    expect(0, GP_STEP_RELEASE, 43);
    expect(1, GP_STEP_TAKE, 40);
    expect(0, GP_STEP_TAKE, 60);
    expect_end();
}

static void cycles_are_read_up_to_the_limit_and_around_the_end_of_the_ring(void)
{
    enum { MANY = 5 * GP_JOURNAL_NOTES / 2 };
    gp_cycles cycles;
    gp_step step;
    uint64_t noted = 0, read = 0;
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 1);
    CHECK(gp_stream_begin(&stream, 1));
    expect(0, GP_STEP_TAKE, 1);
    expect_end();
    while (read < MANY) {
        for (; gp_journal_has_room(&journals[0]); noted++) {
            release(0, noted * 10 + 10);
            take(0, GP_ASKED_AT_ONCE, noted * 10 + 15);
        }
        CHECK_EQUAL(gp_journal_unread(&journals[0]), GP_JOURNAL_NOTES - 1);
        uint64_t most = read + 77; /* cycles, and half a one */
        CHECK(gp_stream_begin(&stream, most * 10 + 10));
        for (size_t count; (count = count_cycles(&cycles)) != 0; read += count) {
            CHECK(cycles.journal == &journals[0]);
            for (size_t i = 0; i < count; i++)
                CHECK_EQUAL(cycles.first[i].taken, (read + i) * 10 + 15);
            gp_stream_skip(&stream, &cycles, count);
            CHECK_EQUAL(stream.last, (read + count - 1) * 10 + 15);
        }
        CHECK_EQUAL(read, most);
        expect(0, GP_STEP_RELEASE, (int64_t)most * 10 + 10);
        expect_end();
        CHECK(gp_stream_begin(&stream, most * 10 + 15));
        CHECK(gp_stream_next(&stream, &step) && step.kind == GP_STEP_TAKE);
        expect_end();
        read++;
    }
}

/* Each is left to single steps. */
static void a_cycle_with_a_wait_is_not_among_the_whole_ones(void)
{
    gp_cycles cycles;
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    release(0, 20);
    take(0, GP_ASKED_AT_ONCE, 25);
    release(0, 30);
    take(0, 31, 35);
    gp_journal_release(&journals[0], 40, 7, true);
    take(0, GP_ASKED_AT_ONCE, 45);
    take(0, GP_ASKED_AT_ONCE, 55); /* its release was not seen */
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 10);
    CHECK_EQUAL(count_cycles(&cycles), 1);
    gp_stream_skip(&stream, &cycles, 1);
    for (uint64_t when = 30; when < 50; when += 10) {
        CHECK_EQUAL(count_cycles(&cycles), 0);
        expect(0, GP_STEP_RELEASE, (int64_t)when);
        CHECK_EQUAL(count_cycles(&cycles), 0);
        if (when == 30)
            expect(0, GP_STEP_ASK, 31);
        expect(0, GP_STEP_TAKE, (int64_t)when + 5);
    }
    CHECK_EQUAL(count_cycles(&cycles), 0);
    expect(0, GP_STEP_TAKE, 55);
    expect_end();
    release(0, 60);
    take(0, GP_ASKED_AT_ONCE, 65);
    take(0, GP_ASKED_AT_ONCE, 75); /* nor its */
    release(0, 80);
    take(0, GP_ASKED_AT_ONCE, 85);
    CHECK(gp_stream_begin(&stream, 100));
    CHECK_EQUAL(count_cycles(&cycles), 1);
    gp_stream_skip(&stream, &cycles, 1);
    CHECK_EQUAL(count_cycles(&cycles), 0);
    expect(0, GP_STEP_TAKE, 75);
    CHECK_EQUAL(count_cycles(&cycles), 1);
    gp_stream_skip(&stream, &cycles, 1);
    expect_end();
}

static void cpu_time_comes_with_the_release_of_its_hold(void)
{
    static gp_cpu_span spans[GP_JOURNAL_NOTES];
    gp_step step;
    begin_anew();
    gp_journal_begin(&journals[0], rooms[0], spans, 1, true);
    gp_stream_restart(&stream, &journals[0], 1);
    for (uint64_t i = 0; i < 4; i++) {
        gp_journal_begin_cpu(&journals[0], 100 * i + 1);
        atomic_store(&journals[0].cpu_until, 100 * i + 50);
        release(0, 100 * i + 60);
        if (i == 3)
            break;
        gp_journal_keep_cpu(&journals[0]);
        take(0, GP_ASKED_AT_ONCE, 100 * i + 90);
    }
    CHECK(gp_stream_begin(&stream, 1000));
    for (uint64_t i = 0; i < 4; i++) {
        CHECK(gp_stream_next(&stream, &step) && step.kind == GP_STEP_RELEASE);
        CHECK_EQUAL(step.cpu->since, 100 * i + 1);
        CHECK_EQUAL(step.cpu->until, 100 * i + 50);
        if (i != 3)
            expect(0, GP_STEP_TAKE, (int64_t)(100 * i + 90));
    }
    expect_end();
}

/* ---- up to when ---- */

static void without_the_gil_all_is_known_up_to_the_last_taking(void)
{
    begin_anew();
    stream.limit = 5;
    CHECK_EQUAL(gp_stream_known_until(&stream), 5); /* nobody has taken it */
    take(0, GP_ASKED_AT_ONCE, 10);
    CHECK_EQUAL(gp_stream_known_until(&stream), 10);
    CHECK_EQUAL(gp_stream_now(&stream, 99), 0); /* there is more to be read */
    release(0, 20);
    take(1, GP_ASKED_AT_ONCE, 30);
    CHECK_EQUAL(gp_stream_known_until(&stream), 30);
    CHECK(gp_stream_begin(&stream, 30));
    expect(0, GP_STEP_TAKE, 10);
    CHECK_EQUAL(stream.last, 10);
    expect(0, GP_STEP_RELEASE, 20);
    expect(1, GP_STEP_TAKE, 30);
    expect_end();
    CHECK_EQUAL(gp_stream_known_until(&stream), 30);
    CHECK_EQUAL(gp_stream_now(&stream, 99), 99);
    release(1, 40); /* one may have taken it, and not said so yet; two can't */
    CHECK_EQUAL(gp_stream_now(&stream, 99), 99);
    take(0, GP_ASKED_AT_ONCE, 50);
    CHECK_EQUAL(gp_stream_now(&stream, 99), 30);
}

/* ---- watching begins anew, and memory ---- */

static void a_restart_forgets_all_but_the_holder(void)
{
    begin_anew();
    for (int i = 0; i < THREADS; i++)
        ask(i, 10);
    CHECK_EQUAL(listed_journals(), THREADS);
    gp_journal_begin(&journals[2], rooms[2], NULL, 2, true);
    CHECK_EQUAL(listed_journals(), THREADS); /* the list stays whole */
    gp_stream_restart(&stream, &journals[2], 2);
    CHECK_EQUAL(listed_journals(), 1);
    ask(3, 10); /* of the generation before */
    CHECK_EQUAL(listed_journals(), 2);
    release(2, 20);
    CHECK(gp_stream_begin(&stream, 100));
    expect(2, GP_STEP_RELEASE, 20);
    expect_end();
    gp_journal_begin(&journals[3], rooms[3], NULL, 2, false);
    ask(3, 30);
    take(3, 30, 40);
    CHECK(gp_stream_begin(&stream, 100));
    expect(3, GP_STEP_ASK, 30);
    expect(3, GP_STEP_TAKE, 40);
    expect_end();
    gp_stream_restart(&stream, NULL, 2);
    CHECK_EQUAL(listed_journals(), 0);
    CHECK(stream.latest == NULL && stream.holder == NULL);
    release(3, 50);
    take(2, GP_ASKED_AT_ONCE, 60);
    CHECK_EQUAL(listed_journals(), 1); /* it comes again when it has something new */
}

static void without_memory_all_waits_for_the_next_reading(void)
{
    begin_anew();
    take(0, GP_ASKED_AT_ONCE, 10);
    release(0, 20);
    ask(1, 15);
    memory_is_gone = true;
    CHECK(!gp_stream_begin(&stream, 100));
    expect_end();
    memory_is_gone = false;
    CHECK_EQUAL(listed_journals(), 2);
    CHECK(gp_stream_begin(&stream, 100));
    expect(0, GP_STEP_TAKE, 10);
    expect(1, GP_STEP_ASK, 15);
    expect(0, GP_STEP_RELEASE, 20);
    expect_end();
}

/* ---- many journals, against a plain list ---- */

enum { CROWD = 1000, DEALS = 3000 };

static gp_note crowd_rooms[CROWD][GP_JOURNAL_NOTES];
static gp_journal crowd[CROWD];
static uint64_t drawn = 1;

static uint64_t draw(uint64_t below)
{
    drawn ^= drawn << 13;
    drawn ^= drawn >> 7;
    drawn ^= drawn << 17;
    return drawn % below;
}

/* What was noted, in the order in which it was. */
typedef struct {
    const gp_journal *journal;
    gp_step_kind kind;
    uint64_t time;
} deed;

static deed deeds[4 * DEALS];
static size_t deed_count, deeds_read;

static void note_deed(const gp_journal *journal, gp_step_kind kind, uint64_t time)
{
    deeds[deed_count++] = (deed){journal, kind, time};
}

static void read_deeds(uint64_t limit)
{
    gp_step step;
    size_t wrong = 0;
    CHECK(gp_stream_begin(&stream, limit));
    for (; gp_stream_next(&stream, &step); deeds_read++) {
        const deed *should = &deeds[deeds_read];
        wrong += step.journal != should->journal || step.kind != should->kind || step.time != should->time;
    }
    gp_stream_end(&stream);
    CHECK_EQUAL(wrong, 0);
    CHECK(deeds_read == deed_count || deeds[deeds_read].time > limit);
}

/* Everybody asks, and gets it in any order; more of them than fit into the first heap. */
static void of_many_journals_the_steps_come_in_order_of_time(void)
{
    static bool waits[CROWD];
    uint64_t time = 10;
    int holder_now = 0;
    begin_anew();
    for (int i = 0; i < CROWD; i++)
        gp_journal_begin(&crowd[i], crowd_rooms[i], NULL, 1, i == 0);
    gp_stream_restart(&stream, &crowd[0], 1);
    for (int deal = 0; deal < DEALS; deal++) {
        int next = (int)draw(CROWD), asks = deal == DEALS / 2 ? CROWD : (int)draw(4);
        for (int i = 0; i < asks; i++) {
            int who = asks == CROWD ? i : (int)draw(CROWD);
            if (waits[who] || who == holder_now || deed_count > 3 * DEALS)
                continue;
            waits[who] = true;
            gp_journal_ask(&crowd[who], ++time);
            gp_stream_list(&stream, &crowd[who]);
            note_deed(&crowd[who], GP_STEP_ASK, time);
        }
        gp_journal_release(&crowd[holder_now], ++time, 7, false);
        note_deed(&crowd[holder_now], GP_STEP_RELEASE, time);
        if (draw(50) == 0)
            read_deeds(time - draw(20));
        if (!waits[next])
            crowd[next].asking = GP_ASKED_AT_ONCE;
        waits[next] = false;
        holder_now = next;
        gp_stream_take(&stream, &crowd[next]);
        gp_journal_take(&crowd[next], ++time);
        note_deed(&crowd[next], GP_STEP_TAKE, time);
    }
    read_deeds(time);
    CHECK_EQUAL(deeds_read, deed_count);
    CHECK(stream.heap_room > CROWD / 2);
}

/* Each stamp is off by less than what a hold lasts. All that a thread did comes in its order, and nobody
 * takes the GIL from somebody who has it. */
static void clocks_that_disagree_change_no_order(void)
{
    enum { SKEW = 8 };
    uint64_t time = 1000, lags[THREADS] = {0};
    size_t next_deed[THREADS] = {0}, total = 0, wrong = 0;
    static deed of[THREADS][2 * DEALS];
    size_t counts[THREADS] = {0};
    const gp_journal *has_it = &journals[0];
    gp_step step;
    begin_anew();
    gp_journal_begin(&journals[0], rooms[0], NULL, 1, true);
    gp_stream_restart(&stream, &journals[0], 1);
    int self = 0;
    for (int i = 1; i < THREADS; i++)
        lags[i] = draw(SKEW);
    for (int deal = 0; deal < DEALS; deal++) {
        time += SKEW + draw(SKEW);
        release(self, time - lags[self]);
        of[self][counts[self]++] = (deed){&journals[self], GP_STEP_RELEASE, time - lags[self]};
        self = (int)draw(THREADS);
        time += draw(3) + (counts[self] == 0 ? SKEW : 0);
        uint64_t stamp = time - lags[self];
        const deed *last = counts[self] != 0 ? &of[self][counts[self] - 1] : NULL;
        if (last != NULL && last->time > stamp)
            stamp = last->time;
        take(self, GP_ASKED_AT_ONCE, stamp);
        of[self][counts[self]++] = (deed){&journals[self], GP_STEP_TAKE, stamp};
        total += 2;
        if (deal % 40 != 0 && deal + 1 != DEALS)
            continue;
        uint64_t limit = deal + 1 == DEALS ? UINT64_MAX : gp_stream_known_until(&stream);
        CHECK(gp_stream_begin(&stream, limit));
        while (gp_stream_next(&stream, &step)) {
            int who = (int)(step.journal - journals);
            const deed *should = &of[who][next_deed[who]++];
            wrong += should->kind != step.kind || should->time != step.time;
            wrong += step.kind == GP_STEP_TAKE ? has_it != NULL : has_it != step.journal;
            has_it = step.kind == GP_STEP_TAKE ? step.journal : NULL;
            total--;
        }
        gp_stream_end(&stream);
    }
    CHECK_EQUAL(wrong, 0);
    CHECK_EQUAL(total, 0);
}

/* ---- threads and a reader at the same time ---- */

static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool over;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

typedef struct {
    gp_step_kind kind;
    uint64_t time;
} step_log;

static step_log done[THREADS][3 * CYCLES], seen[THREADS][3 * CYCLES];
static size_t done_count[THREADS], seen_count[THREADS];

static void did(int self, gp_step_kind kind, uint64_t time)
{
    done[self][done_count[self]++] = (step_log){kind, time};
}

/* After a forced release all is wait: its asking is no step. */
static uint64_t lock_it(int self, bool forced)
{
    if (pthread_mutex_trylock(&gil) == 0)
        return GP_ASKED_AT_ONCE;
    uint64_t asked = now();
    if (!forced)
        did(self, GP_STEP_ASK, asked);
    gp_journal_ask(&journals[self], asked);
    gp_stream_list(&stream, &journals[self]);
    pthread_mutex_lock(&gil);
    return asked;
}

static const gp_journal *holder;
static uint64_t last_change;

static void see(const gp_step *step)
{
    size_t of = (size_t)(step->journal - journals);
    seen[of][seen_count[of]++] = (step_log){step->kind, step->time};
    if (step->kind == GP_STEP_ASK)
        return;
    CHECK(holder == (step->kind == GP_STEP_TAKE ? NULL : step->journal));
    holder = step->kind == GP_STEP_TAKE ? step->journal : NULL;
    CHECK(step->time >= last_change); /* one clock for all */
    last_change = step->time;
}

static void read_once(uint64_t limit)
{
    gp_step step;
    gp_cycles cycles;
    CHECK(gp_stream_begin(&stream, limit));
    do {
        size_t count = count_cycles(&cycles);
        for (size_t i = 0; i < count; i++) {
            const gp_note *note = &cycles.first[i];
            see(&(gp_step){.journal = cycles.journal, .kind = GP_STEP_RELEASE, .time = note->released});
            see(&(gp_step){.journal = cycles.journal, .kind = GP_STEP_TAKE, .time = note->taken});
        }
        if (count != 0)
            gp_stream_skip(&stream, &cycles, count);
        if (!gp_stream_next(&stream, &step))
            break;
        see(&step);
    } while (true);
    gp_stream_end(&stream);
}

/* Whoever passes by keeps the books. */
static void keep_books(void)
{
    if (pthread_mutex_trylock(&stream.lock) != 0)
        return;
    read_once(gp_stream_known_until(&stream));
    pthread_mutex_unlock(&stream.lock);
}

/* With the GIL. */
static void make_room(const gp_journal *journal)
{
    if (gp_journal_has_room(journal))
        return;
    pthread_mutex_lock(&stream.lock);
    read_once(now());
    pthread_mutex_unlock(&stream.lock);
    CHECK(gp_journal_has_room(journal));
}

static void spend_time(unsigned *seed)
{
    for (int k = rand_r(seed) % 64; k > 0; k--)
        (void)now();
}

static void *cycle(void *argument)
{
    int self = (int)(intptr_t)argument;
    unsigned seed = (unsigned)self + 1;
    bool forced = false;
    gp_journal *journal = &journals[self];
    for (int i = 0; i < CYCLES; i++) {
        uint64_t asked = lock_it(self, forced), taken = now();
        make_room(journal);
        did(self, GP_STEP_TAKE, taken);
        journal->asking = asked;
        gp_stream_take(&stream, journal);
        gp_journal_take(journal, taken);
        spend_time(&seed);
        uint64_t released = now();
        forced = rand_r(&seed) % 8 == 0;
        did(self, GP_STEP_RELEASE, released);
        gp_journal_release(journal, released, (uint32_t)self, forced);
        pthread_mutex_unlock(&gil);
        if (rand_r(&seed) % 16 == 0)
            keep_books();
        spend_time(&seed);
    }
    return NULL;
}

/* And somebody without the GIL wants to know all, up to now. */
static void *read_all(void *argument)
{
    while (!atomic_load(&over)) {
        pthread_mutex_lock(&stream.lock);
        read_once(gp_stream_known_until(&stream));
        uint64_t until = now();
        read_once(gp_stream_now(&stream, until));
        pthread_mutex_unlock(&stream.lock);
        sched_yield();
    }
    return argument;
}

static void a_reader_beside_the_threads_misses_nothing(void)
{
    pthread_t threads[THREADS], reader;
    begin_anew();
    CHECK_EQUAL(pthread_create(&reader, NULL, read_all, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, cycle, (void *)(intptr_t)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&over, true);
    pthread_join(reader, NULL);
    read_once(UINT64_MAX);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQUAL(seen_count[i], done_count[i]);
        size_t wrong = 0;
        for (size_t k = 0; k < done_count[i] && k < seen_count[i]; k++)
            wrong += seen[i][k].kind != done[i][k].kind || seen[i][k].time != done[i][k].time;
        CHECK_EQUAL(wrong, 0);
    }
}

enum { SPINS = 100000 };

/* In no time: its clock counts what it does. */
static void *cycle_without_a_pause(void *argument)
{
    gp_journal *journal = &journals[0];
    for (uint64_t t = 1; t < 3 * SPINS; t += 3) {
        gp_journal_release(journal, t, (uint32_t)t, false);
        journal->asking = GP_ASKED_AT_ONCE;
        if (t % 2 == 0)
            gp_journal_ask(journal, t + 1);
        while (!gp_journal_has_room(journal))
            sched_yield();
        gp_journal_take(journal, t + 2);
    }
    atomic_store(&over, true);
    return argument;
}

/* What stands in the journal is read while it is written over. */
static void a_thread_that_never_pauses_is_read_whole(void)
{
    pthread_t thread;
    gp_step step;
    size_t wrong = 0;
    uint64_t last = 0;
    begin_anew();
    gp_journal_begin(&journals[0], rooms[0], NULL, 1, true);
    gp_stream_restart(&stream, &journals[0], 1);
    atomic_store(&over, false);
    CHECK_EQUAL(pthread_create(&thread, NULL, cycle_without_a_pause, NULL), 0);
    for (bool ends = false; !ends; sched_yield()) {
        ends = atomic_load(&over);
        CHECK(gp_stream_begin(&stream, UINT64_MAX));
        for (; gp_stream_next(&stream, &step); last = step.time) {
            bool asks = (last - 1) % 3 == 0 && last % 2 == 0;
            wrong += step.time != last + (last % 3 != 1 || asks ? 1 : 2);
            wrong += step.kind != (gp_step_kind)((step.time - 1) % 3);
            wrong += step.kind == GP_STEP_RELEASE && step.place != (uint32_t)step.time;
        }
        gp_stream_end(&stream);
    }
    pthread_join(thread, NULL);
    CHECK_EQUAL(wrong, 0);
    CHECK_EQUAL(last, 3 * SPINS);
}

enum { TURNS = 3 };

static void *take_turns(void *argument)
{
    for (uint64_t t = 1; t < 2 * SPINS; t += 2) {
        int self = (int)(t / 2 % TURNS);
        while (!gp_journal_has_room(&journals[self]))
            sched_yield();
        take(self, GP_ASKED_AT_ONCE, t);
        release(self, t + 1);
    }
    atomic_store(&over, true);
    return argument;
}

/* Each journal is idle again and again, and wakes while it is taken off the list. */
static void journals_that_take_turns_are_read_in_order(void)
{
    pthread_t thread;
    gp_step step;
    size_t wrong = 0;
    uint64_t last = 0;
    begin_anew();
    atomic_store(&over, false);
    CHECK_EQUAL(pthread_create(&thread, NULL, take_turns, NULL), 0);
    for (bool ends = false; !ends; sched_yield()) {
        ends = atomic_load(&over);
        CHECK(gp_stream_begin(&stream, ends ? UINT64_MAX : gp_stream_known_until(&stream)));
        for (; gp_stream_next(&stream, &step); last = step.time)
            wrong += step.time != last + 1 || step.journal - journals != (int)((step.time - 1) / 2 % TURNS);
        gp_stream_end(&stream);
    }
    pthread_join(thread, NULL);
    CHECK_EQUAL(wrong, 0);
    CHECK_EQUAL(last, 2 * SPINS);
}

/* Threads that have not seen yet that watching began anew list their journals as it does. */
static void *list_and_begin_anew(void *argument)
{
    int self = (int)(intptr_t)argument;
    gp_journal *journal = &journals[self];
    for (int i = 0; i < CYCLES; i++) {
        gp_journal_ask(journal, now());
        gp_stream_list(&stream, journal);
        if (i % 4 != 0)
            continue;
        pthread_mutex_lock(&stream.lock);
        if (journal->generation != stream.generation)
            gp_journal_begin(journal, rooms[self], NULL, stream.generation, false);
        pthread_mutex_unlock(&stream.lock);
    }
    return NULL;
}

static void *restart_and_read(void *argument)
{
    for (uint32_t generation = 2; !atomic_load(&over); generation++) {
        gp_step step;
        pthread_mutex_lock(&stream.lock);
        gp_stream_restart(&stream, NULL, generation);
        CHECK(gp_stream_begin(&stream, UINT64_MAX));
        while (gp_stream_next(&stream, &step))
            CHECK_EQUAL(step.journal->generation, generation);
        gp_stream_end(&stream);
        pthread_mutex_unlock(&stream.lock);
        sched_yield();
    }
    return argument;
}

static void the_list_is_whole_however_often_watching_begins_anew(void)
{
    pthread_t threads[THREADS], reader;
    begin_anew();
    atomic_store(&over, false);
    CHECK_EQUAL(pthread_create(&reader, NULL, restart_and_read, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, list_and_begin_anew, (void *)(intptr_t)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&over, true);
    pthread_join(reader, NULL);
    bool found[THREADS] = {false};
    int count = 0;
    for (const gp_journal *journal = stream.listed; journal != NULL && count <= THREADS;
         journal = journal->next_listed, count++)
        found[journal - journals] = true;
    CHECK(count <= THREADS);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(found[i], journals[i].listed);
}

int main(void)
{
    a_journal_begins_with_the_gil_or_without();
    steps_of_all_threads_come_in_order_of_time();
    what_is_under_way_is_read_once();
    what_comes_after_the_limit_waits();
    nobody_takes_before_the_holder_lets_go();
    a_release_that_was_not_seen_is_none();
    a_forced_release_is_followed_by_no_asking();
    whole_cycles_come_at_once();
    idle_journals_are_forgotten_until_they_wake();
    all_steps_come_in_order_whenever_threads_go_on();
    an_asking_that_is_noted_late_comes_late();
    a_tag_comes_within_its_hold();
    a_cycle_is_read_in_its_middle();
    an_asking_before_the_first_taking_is_read();
    who_was_not_seen_to_take_it_lets_it_go();
    whose_release_was_called_for_goes_on();
    cycles_are_read_up_to_the_limit_and_around_the_end_of_the_ring();
    a_cycle_with_a_wait_is_not_among_the_whole_ones();
    cpu_time_comes_with_the_release_of_its_hold();
    without_the_gil_all_is_known_up_to_the_last_taking();
    a_restart_forgets_all_but_the_holder();
    without_memory_all_waits_for_the_next_reading();
    of_many_journals_the_steps_come_in_order_of_time();
    clocks_that_disagree_change_no_order();
    a_reader_beside_the_threads_misses_nothing();
    a_thread_that_never_pauses_is_read_whole();
    journals_that_take_turns_are_read_in_order();
    the_list_is_whole_however_often_watching_begins_anew();
    gp_stream_clear(&stream);
    return gp_test_status();
}
