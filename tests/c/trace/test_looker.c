#define _GNU_SOURCE
#include "trace/gp_looker.h"

#include <dirent.h>
#include <stdio.h>
#include <time.h>

#include "base/gp_helper.h"
#include "gp_test.h"
#include "interpreter.h"

/* ---- what there is to see ---- */

static gp_site_key seen_key;               /* of the holder, which runs one level ... */
static char seen_callee[GP_LOOKED_CALLEE]; /* ... and this in C; written while there is no looker */
static atomic_bool unreadable;
static atomic_ulong looks, descriptions;

static void glance(const void *cond)
{
    (void)cond;
}

/* A look waits at the gate until its holder has moved on. */
enum { OPEN, CLOSED, AT_GATE };
static atomic_int gate;

static void wait_at_gate(void)
{
    int closed = CLOSED;
    if (atomic_compare_exchange_strong(&gate, &closed, AT_GATE))
        while (atomic_load(&gate) != OPEN)
            sched_yield();
}

static gp_looked_at look(const void *cond, gp_looked *looked)
{
    const interpreter_gil *gil =
        (const interpreter_gil *)((const char *)cond - offsetof(interpreter_gil, cond));
    atomic_fetch_add(&looks, 1);
    wait_at_gate();
    looked->found = gp_clock_ticks();
    looked->stays = false;
    looked->truncated = false;
    looked->depth = 1;
    looked->keys[0] = seen_key;
    memcpy(looked->callee, seen_callee, sizeof looked->callee);
    return atomic_load(&unreadable) ? GP_LOOKED_UNSEEN : gil->locked ? GP_LOOKED_AT_HOLDER : GP_LOOKED_FREE;
}

static bool describe_level(gp_site_key key, gp_buffer *description, bool *stands_for_caller)
{
    atomic_fetch_add(&descriptions, 1);
    gp_buffer_number(description, GP_PLACE_PYTHON);
    describe(key, description);
    *stands_for_caller = false;
    return true;
}

static void forget_nothing(void)
{
}

static const gp_looker_eyes eyes = {glance, look, describe_level, forget_nothing};

/* ---- sessions and threads ---- */

static gp_session *begin_with_looks(void)
{
    codes[0].name = "busy";
    codes[1].name = "other";
    seen_key = (gp_site_key){&codes[0], 7};
    host.looker_eyes = &eyes;
    begin_prepared();
    be_at(1, 3);
    return start((gp_tracer_wishes){.sites = true, .looks = true});
}

static void nap(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static bool is_looker(const char *task)
{
    char path[300], name[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", task);
    FILE *file = fopen(path, "r");
    bool read = file != NULL && fgets(name, sizeof name, file) != NULL;
    if (file != NULL)
        fclose(file);
    return read && strcmp(name, "gilprobe-looker\n") == 0;
}

/* Lookers of this process, by the system. */
static int count_lookers(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/task");
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        count += is_looker(entry->d_name);
    closedir(folder);
    return count;
}

static void await_looks(unsigned long more)
{
    for (unsigned long until = atomic_load(&looks) + more; atomic_load(&looks) < until;)
        nap();
}

/* A thread has to wait for the main GIL, which the calling one has, until a few looks were taken. */
static void make_wait(unsigned long more)
{
    worker one;
    begin_work(&one, main_interpreter(), 1);
    await_looks(more);
    CHECK_EQUAL(count_lookers(), 1);
    interpreter_let_go(main_interpreter());
    end_work(&one);
    interpreter_take_gil(main_interpreter());
}

typedef struct {
    uint64_t unseen, free, looks, waiting;
    char seen[READING_ROWS][16];     /* names of places */
    uint64_t looks_at[READING_ROWS]; /* by place */
    size_t places;
} looks_read;

static void read_described(looks_read *read, const gp_buffer *places)
{
    gp_cursor cursor = gp_cursor_over(places->bytes, places->size);
    for (; !gp_cursor_at_end(&cursor); read->places++) {
        gp_place_row row;
        gp_read_place(&cursor, (uint32_t)read->places, &row);
        if (row.function.size != 0 && row.function.size < 16)
            memcpy(read->seen[read->places], row.function.bytes, row.function.size);
    }
    CHECK(cursor.wrong == NULL);
}

/* The looks come last in a snapshot: all before is read and left. */
static looks_read read_looks(gp_session *session)
{
    looks_read read = {0};
    reading rest = {0};
    gp_buffer places = {0}, snapshot = {0};
    gp_call_stack at = {.keys = keys_here, .depth = depth_here};
    CHECK_EQUAL(gp_tracer_read(session, 0, &at, &places, &snapshot), GP_OK);
    gp_cursor cursor = gp_cursor_over(snapshot.bytes, snapshot.size);
    read_rows(&rest, &cursor);
    for (uint64_t left = gp_cursor_rows(&cursor, GP_ROW_BLAME); left > 0; left--)
        gp_read_blame(&cursor, &rest.totals, &(gp_blame_row){0});
    for (uint64_t left = gp_cursor_rows(&cursor, GP_ROW_STALL); left > 0; left--)
        gp_read_stall(&cursor, &rest.totals, &(gp_stall_row){0});
    gp_looks_row counts;
    gp_read_looks(&cursor, &counts);
    read.unseen = counts.unseen;
    read.free = counts.free;
    for (uint64_t left = gp_cursor_rows(&cursor, GP_ROW_TALLY); left > 0; left--) {
        gp_tally_row tally;
        gp_read_tally(&cursor, &rest.totals, &tally);
        read.looks += tally.looks;
        read.waiting += tally.waiting;
        read.looks_at[tally.looked] += tally.looks;
    }
    CHECK(cursor.wrong == NULL && gp_cursor_at_end(&cursor));
    read_described(&read, &places);
    gp_buffer_free(&places);
    gp_buffer_free(&snapshot);
    return read;
}

static uint64_t looks_of(const looks_read *read, const char *name)
{
    uint64_t count = 0;
    for (size_t i = 0; i < read->places; i++)
        count += strcmp(read->seen[i], name) == 0 ? read->looks_at[i] : 0;
    return count;
}

/* As the binding does it: without the GIL. */
static void end_looker(void)
{
    interpreter_let_go(main_interpreter());
    gp_looker_end();
    interpreter_take_gil(main_interpreter());
    CHECK(!gp_looker_is_left());
    CHECK_EQUAL(count_lookers(), 0);
}

/* ---- promises ---- */

static void there_is_no_looker_before_anybody_has_waited(void)
{
    gp_session *session = begin_with_looks();
    for (int i = 0; i < 1000; i++)
        cycle_gil();
    use(main_interpreter(), 0); /* a second thread, which wants nothing */
    CHECK_EQUAL(count_lookers(), 0);
    stop(session);
    CHECK(!gp_looker_is_left());
    CHECK_EQUAL(atomic_load(&looks), 0);
}

static void a_wait_brings_it_and_the_last_session_ends_it(void)
{
    gp_session *session = begin_with_looks(),
               *second = start((gp_tracer_wishes){.sites = true, .looks = true});
    make_wait(20);
    looks_read read = read_looks(session);
    CHECK(looks_of(&read, "busy") != 0);
    CHECK_EQUAL(looks_of(&read, "busy"), read.looks);
    CHECK(read.waiting != 0);
    stop(session);
    CHECK(!gp_looker_is_left());
    stop(second);
    CHECK(gp_looker_is_left());
    end_looker();
    gp_tracer_forget(session);
    gp_tracer_forget(second);
    session = start((gp_tracer_wishes){.sites = true, .looks = true}); /* and anew */
    CHECK_EQUAL(read_looks(session).looks, 0);
    make_wait(20);
    read = read_looks(session);
    CHECK(looks_of(&read, "busy") != 0);
    stop(session);
    end_looker();
}

#if !defined(__SANITIZE_THREAD__) /* which has a thread of its own there */
static void it_leaves_a_process_of_one_thread_until_somebody_waits_again(void)
{
    gp_session *session = begin_with_looks();
    for (int i = 0; i < 3; i++) {
        make_wait(10);
        while (count_lookers() != 0) /* the worker has ended */
            nap();
        CHECK(gp_helpers_alone());
    }
    looks_read read = read_looks(session);
    CHECK_EQUAL(looks_of(&read, "busy"), read.looks);
    CHECK(read.looks != 0);
    stop(session);
    end_looker(); /* what it knows */
}
#endif

static void nobody_looks_for_a_session_that_does_not_want_it(void)
{
    host.looker_eyes = &eyes;
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){.sites = true}),
               *blind = start((gp_tracer_wishes){.looks = true});
    worker one;
    begin_work(&one, main_interpreter(), 1);
    while (!main_interpreter()->gil.wanted) /* it waits */
        nap();
    CHECK_EQUAL(count_lookers(), 0);
    interpreter_let_go(main_interpreter());
    end_work(&one);
    interpreter_take_gil(main_interpreter());
    stop(session);
    stop(blind);
    CHECK_EQUAL(atomic_load(&looks), 0);
}

static void what_can_not_be_seen_is_counted(void)
{
    gp_session *session = begin_with_looks();
    atomic_store(&unreadable, true);
    make_wait(10);
    looks_read read = read_looks(session);
    CHECK(read.unseen >= 10);
    CHECK_EQUAL(read.looks, 0);
    stop(session);
    end_looker();
}

static void *stay_until(void *over)
{
    while (!atomic_load((atomic_bool *)over))
        nap();
    return NULL;
}

/* The looker may not run for long when a look has begun. */
static void what_was_seen_in_a_later_hold_counts_where_the_first_ended(void)
{
    pthread_t second; /* else the looker leaves */
    atomic_bool over = false;
    gp_session *session = begin_with_looks();
    make_wait(1);
    looks_read read = read_looks(session);
    uint64_t before = looks_of(&read, "other");
    atomic_store(&gate, CLOSED);
    CHECK_EQUAL(pthread_create(&second, NULL, stay_until, &over), 0);
    while (atomic_load(&gate) != AT_GATE)
        nap();
    cycle_gil();
    atomic_store(&gate, OPEN);
    await_looks(1); /* that one has ended */
    atomic_store(&over, true);
    pthread_join(second, NULL);
    read = read_looks(session);
    CHECK_EQUAL(looks_of(&read, "other"), before + 1);
    stop(session);
    end_looker();
}

static void a_callee_is_a_level_below_its_caller(void)
{
    gp_session *session = begin_with_looks();
    strcpy(seen_callee, "sorted");
    make_wait(10);
    looks_read read = read_looks(session);
    CHECK(read.looks != 0);
    CHECK_EQUAL(looks_of(&read, "sorted"), read.looks);
    stop(session);
    end_looker();
}

/* An address of a code object may be another's later. */
static void a_level_is_described_once_as_long_as_its_code_lives(void)
{
    gp_session *session = begin_with_looks();
    make_wait(10);
    CHECK_EQUAL(atomic_load(&descriptions), 1);
    codes[0].name = "next";
    code_gone(&codes[0]);
    make_wait(10);
    CHECK_EQUAL(atomic_load(&descriptions), 2);
    looks_read read = read_looks(session);
    CHECK(looks_of(&read, "busy") != 0 && looks_of(&read, "next") != 0);
    stop(session);
    end_looker();
}

#if !defined(__SANITIZE_THREAD__) /* which bears no new threads there */
static void a_forked_child_has_none_until_somebody_waits_there(void)
{
    gp_session *session = begin_with_looks();
    make_wait(10);
    uint64_t before = read_looks(session).looks;
    pid_t child = fork();
    if (child == 0) {
        interpreter_after_fork();
        CHECK_EQUAL(count_lookers(), 0);
        CHECK(read_looks(session).looks >= before);
        make_wait(10);
        looks_read read = read_looks(session);
        CHECK(read.looks > before);
        CHECK_EQUAL(looks_of(&read, "busy"), read.looks);
        stop(session);
        end_looker();
        _exit(gp_test_status());
    }
    check_exit(child);
    make_wait(1); /* the parent's goes on */
    stop(session);
    end_looker();
}
#endif

static void each_traced_gil_is_looked_at(void)
{
    gp_session *session = begin_with_looks();
    interpreter_begin(1, 1);
    use(interpreter_at(1), 3);
    CHECK_EQUAL(gp_tracer_parts(session), 2);
    make_wait(20);
    looks_read read = read_looks(session);
    uint64_t at_main = read.looks + read.unseen + read.free;
    CHECK(at_main >= 5);
    CHECK(atomic_load(&looks) >= 2 * at_main);
    stop(session);
    end_looker();
}

int main(void)
{
    IN_CHILD(there_is_no_looker_before_anybody_has_waited);
    IN_CHILD(a_wait_brings_it_and_the_last_session_ends_it);
#if !defined(__SANITIZE_THREAD__)
    IN_CHILD(it_leaves_a_process_of_one_thread_until_somebody_waits_again);
#endif
    IN_CHILD(nobody_looks_for_a_session_that_does_not_want_it);
    IN_CHILD(what_can_not_be_seen_is_counted);
    IN_CHILD(what_was_seen_in_a_later_hold_counts_where_the_first_ended);
    IN_CHILD(a_callee_is_a_level_below_its_caller);
    IN_CHILD(a_level_is_described_once_as_long_as_its_code_lives);
#if !defined(__SANITIZE_THREAD__)
    IN_CHILD(a_forked_child_has_none_until_somebody_waits_there);
#endif
    IN_CHILD(each_traced_gil_is_looked_at);
    return gp_test_status();
}
