#define _GNU_SOURCE
#include "trace/gp_tracer.h"

#include "gp_test.h"
#include "interpreter.h"
#include "recording/gp_recorder.h"
#include "trace/gp_wrappers.h"
#include "walk.h"

static bool reason_has(const char *reason, const char *words)
{
    if (strstr(reason, words) != NULL)
        return true;
    fprintf(stderr, "the reason is: %s\n", reason);
    return false;
}

/* ---- learning ---- */

static void a_tracer_that_was_not_prepared_says_so(void)
{
    const char *reason = "";
    begin_interpreter();
    interpreter_take_gil(main_interpreter());
    CHECK_EQUAL(gp_tracer_learn(&host, &reason), GP_EUNSUPPORTED);
    CHECK(reason_has(reason, "not been prepared"));
}

static void an_object_that_can_not_be_hooked_is_refused(void)
{
    const char *reason = "";
    begin_interpreter();
    host.interpreter = (const void *)getppid; /* of the C library, which imports none of those functions */
    gp_tracer_prepare(&host);
    interpreter_take_gil(main_interpreter());
    CHECK_EQUAL(gp_tracer_learn(&host, &reason), GP_EUNSUPPORTED);
    CHECK(reason_has(reason, "does not import"));
    gp_session *session = NULL;
    CHECK_EQUAL(gp_tracer_start(&host, &(gp_tracer_wishes){0}, &session, &reason), GP_EUNSUPPORTED);
    CHECK(session == NULL);
}

static void a_process_without_room_for_a_thread_local_value_says_so(void)
{
    static pthread_key_t keys[4096];
    const char *reason = "";
    size_t count = 0;
    begin_interpreter();
    while (count < 4096 && pthread_key_create(&keys[count], NULL) == 0)
        count++;
    gp_tracer_prepare(&host);
    interpreter_take_gil(main_interpreter());
    CHECK_EQUAL(gp_tracer_learn(&host, &reason), GP_EUNSUPPORTED);
    CHECK(reason_has(reason, "no room for one more thread-local value"));
    CHECK_EQUAL(pthread_key_delete(keys[0]), 0);
    gp_tracer_prepare(&host);
    CHECK_EQUAL(gp_tracer_learn(&host, &reason), GP_OK);
}

/* A free-threaded build may switch its GIL on at any time. */
static void a_gil_that_is_off_is_asked_for_again(void)
{
    const char *reason = "";
    begin_prepared();
    gil_is_off = true;
    CHECK_EQUAL(gp_tracer_learn(&host, &reason), GP_EUNSUPPORTED);
    CHECK(reason_has(reason, "the GIL is off"));
    gil_is_off = false;
    CHECK_EQUAL(gp_tracer_learn(&host, &reason), GP_OK);
    gil_is_off = true; /* what was learnt stays */
    CHECK_EQUAL(gp_tracer_learn(&host, &reason), GP_OK);
}

static void cycle_strangely(void)
{
    interpreter_let_go(main_interpreter());
    interpreter_take_gil(main_interpreter());
    interpreter_let_go(main_interpreter());
    interpreter_take_gil(main_interpreter());
}

static void cycle_for_long(void)
{
    for (int i = 0; i < GP_HANDSHAKE_MAX; i++)
        cycle_gil();
}

static void an_interpreter_that_uses_its_locks_in_another_way_is_refused(void)
{
    void (*const ways[])(void) = {cycle_strangely, cycle_for_long};
    begin_prepared();
    for (int i = 0; i < 2; i++) {
        const char *reason = "";
        host.cycle_gil = ways[i];
        CHECK_EQUAL(gp_tracer_learn(&host, &reason), GP_EUNSUPPORTED);
        CHECK(reason_has(reason, "does not know"));
    }
}

static void pages_that_stay_read_only_are_an_error_and_no_more(void)
{
    const char *reason = "";
    gp_session *session = NULL;
    begin_prepared();
    atomic_store(&pages_stay, true);
    CHECK_EQUAL(gp_tracer_learn(&host, &reason), GP_ESYSTEM);
    CHECK(reason_has(reason, "can't be made writable"));
    atomic_store(&pages_stay, false);
    CHECK_EQUAL(gp_tracer_learn(&host, &reason), GP_OK);
    atomic_store(&pages_stay, true);
    reason = "";
    CHECK_EQUAL(gp_tracer_start(&host, &(gp_tracer_wishes){0}, &session, &reason), GP_ESYSTEM);
    CHECK(reason_has(reason, "can't be made writable"));
    CHECK(session == NULL && code_gone == NULL);
    CHECK_EQUAL(gp_tracer_sessions(), 0);
    atomic_store(&pages_stay, false);
    gp_tracer_forget(start((gp_tracer_wishes){0}));
}

/* ---- sessions ---- */

static void each_acquisition_and_each_release_is_counted(void)
{
    enum { WORKERS = 4, CYCLES = 300 };
    worker workers[WORKERS];
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){.cpu = true});
    for (int i = 0; i < WORKERS; i++)
        begin_work(&workers[i], main_interpreter(), CYCLES);
    interpreter_let_go(main_interpreter());
    for (int i = 0; i < WORKERS; i++)
        end_work(&workers[i]);
    interpreter_take_gil(main_interpreter());
    stop(session);
    reading read = read_part(session, 0);
    check_possible(&read);
    CHECK_EQUAL(read.count, WORKERS + 1);
    CHECK_EQUAL(row_of(&read, own_number()).acquisitions, 1);
    CHECK(read.totals.flags & GP_SNAPSHOT_CPU);
    for (int i = 0; i < WORKERS; i++) {
        CHECK(row_of(&read, workers[i].native_id).hold_cpu_ns > 0);
        check_counted(&read, &workers[i]);
        CHECK(row_of(&read, workers[i].native_id).ended);
    }
    CHECK_EQUAL(atomic_load(&mallocs_in_wrappers), 0);
    gp_tracer_forget(session);
}

/* The main thread holds the GIL until another one has asked for it. */
static void give_way_once(worker *other)
{
    begin_work(other, main_interpreter(), 1);
    while (!interpreter_give_way(main_interpreter()))
        ;
    end_work(other);
}

static void a_release_that_another_thread_asked_for_is_forced(void)
{
    worker other;
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    give_way_once(&other);
    cycle_gil();
    interpreter_let_go_unlisted(main_interpreter());
    interpreter_take_gil(main_interpreter());
    reading read = read_part(session, 0);
    gp_account_row own = row_of(&read, own_number()), waited = row_of(&read, other.native_id);
    CHECK_EQUAL(own.forced_releases, 1);
    CHECK_EQUAL(own.acquisitions, 3);
    CHECK(read.totals.flags & GP_SNAPSHOT_TOLD_APART);
    CHECK(waited.wait_ns > 0 && waited.contended_acquisitions == 1);
    CHECK(read.totals.contended_ns > 0);
    check_possible(&read);
    gp_tracer_forget(session);
}

static void releases_that_are_not_told_apart_are_none_forced(void)
{
    static const void *const nothing[] = {NULL};
    worker other;
    begin_prepared();
    host.voluntary = nothing; /* as where the functions have other names */
    gp_session *session = start((gp_tracer_wishes){0});
    give_way_once(&other);
    reading read = read_part(session, 0);
    CHECK_EQUAL(row_of(&read, own_number()).forced_releases, 0);
    CHECK((read.totals.flags & GP_SNAPSHOT_TOLD_APART) == 0);
    gp_tracer_forget(session);
}

enum { BURNT_NS = 50000, BURNT_HOLDS = GP_JOURNAL_NOTES / 2 };

static void *burn(void *context)
{
    worker *self = context;
    self->native_id = own_number();
    for (int i = 0; i < BURNT_HOLDS; i++) {
        interpreter_take_gil(self->of);
        uint64_t begin = gp_clock_thread_cpu_ns();
        while (gp_clock_thread_cpu_ns() - begin < BURNT_NS)
            ;
        interpreter_let_go(self->of);
    }
    return NULL;
}

/* Of each hold, though it is read much later. */
static void the_cpu_time_of_all_holds_is_booked(void)
{
    worker one = {.of = main_interpreter()};
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){.cpu = true});
    interpreter_let_go(main_interpreter());
    CHECK_EQUAL(pthread_create(&one.thread, NULL, burn, &one), 0);
    end_work(&one);
    interpreter_take_gil(main_interpreter());
    reading read = read_part(session, 0);
    CHECK(row_of(&read, one.native_id).hold_cpu_ns >= (uint64_t)BURNT_NS * BURNT_HOLDS);
    CHECK(row_of(&read, one.native_id).hold_cpu_ns <= (uint64_t)BURNT_NS * BURNT_HOLDS * 20);
    gp_tracer_forget(session);
}

static void a_second_session_has_accounts_of_its_own(void)
{
    begin_prepared();
    gp_session *first = start((gp_tracer_wishes){0});
    worker before = use(main_interpreter(), 0);
    cycle_gil();
    gp_session *second = start((gp_tracer_wishes){.cpu = true});
    CHECK_EQUAL(gp_tracer_sessions(), 2);
    cycle_gil();
    cycle_gil();
    reading later = read_part(second, 0), all = read_part(first, 0);
    CHECK_EQUAL(row_of(&all, own_number()).acquisitions, 3);
    CHECK_EQUAL(row_of(&later, own_number()).acquisitions, 2);
    CHECK_EQUAL(row_of(&all, before.native_id).native_id, -1);
    CHECK(later.totals.elapsed_ns < all.totals.elapsed_ns);
    stop(first); /* the hooks stay for the other */
    CHECK_EQUAL(gp_tracer_sessions(), 1);
    cycle_gil();
    all = read_part(first, 0);
    later = read_part(second, 0);
    CHECK_EQUAL(row_of(&all, own_number()).acquisitions, 3);
    CHECK_EQUAL(row_of(&later, own_number()).acquisitions, 3);
    gp_tracer_forget(second);
    gp_tracer_forget(first);
    CHECK_EQUAL(gp_tracer_sessions(), 0);
}

static void the_last_stop_takes_the_hooks_out_and_a_later_start_finds_them(void)
{
    begin_prepared();
    for (int i = 0; i < 3; i++) {
        gp_session *session = start((gp_tracer_wishes){0});
        CHECK(code_gone != NULL);
        cycle_gil();
        stop(session);
        CHECK(code_gone == NULL);
        reading ended = read_part(session, 0);
        stop(session); /* nothing, the second time */
        cycle_gil();
        reading again = read_part(session, 0);
        CHECK(ended.totals.flags & GP_SNAPSHOT_FINAL);
        CHECK((ended.totals.flags & GP_SNAPSHOT_HOOKS_LOST) == 0);
        CHECK_EQUAL(again.totals.elapsed_ns, ended.totals.elapsed_ns);
        CHECK_EQUAL(row_of(&again, own_number()).acquisitions, 1);
        gp_tracer_forget(session);
    }
    gp_tracer_forget(NULL);
}

static void a_session_that_is_forgotten_ends(void)
{
    begin_prepared();
    gp_tracer_forget(start((gp_tracer_wishes){0}));
    CHECK_EQUAL(gp_tracer_sessions(), 0);
    CHECK(code_gone == NULL);
    cycle_gil();
}

/* With memory for one thing more each time, until there is enough. */
static void without_memory_nothing_begins(void)
{
    gp_session *session = NULL;
    const char *reason = "";
    gp_tracer_wishes wishes = {.sites = true, .stacks = true};
    long enough = 0;
    begin_prepared();
    CHECK_EQUAL(gp_tracer_learn(&host, &reason), GP_OK);
    for (; session == NULL && enough < 1000; enough++) {
        atomic_store(&maps_left, enough);
        gp_status status = gp_tracer_start(&host, &wishes, &session, &reason);
        atomic_store(&maps_left, LONG_MAX);
        CHECK_EQUAL(status, session == NULL ? GP_ENOMEM : GP_OK);
        CHECK_EQUAL(gp_tracer_sessions(), session != NULL);
        CHECK((code_gone != NULL) == (session != NULL));
    }
    CHECK(enough > 2);
    cycle_gil();
    gp_tracer_forget(session);
}

static gp_status read_with_memory_for(gp_session *session, long maps)
{
    gp_buffer places = {0}, snapshot = {0};
    gp_call_stack at = {.keys = keys_here, .depth = depth_here};
    atomic_store(&maps_left, maps);
    gp_status status = gp_tracer_read(session, 0, &at, &places, &snapshot);
    atomic_store(&maps_left, LONG_MAX);
    gp_buffer_free(&places);
    gp_buffer_free(&snapshot);
    return status;
}

static void a_reading_without_memory_says_so_and_the_next_is_whole(void)
{
    gp_status status = GP_ENOMEM;
    long enough = 0;
    begin_prepared();
    codes[0].name = "spin";
    be_at(0, 1);
    gp_session *session = start((gp_tracer_wishes){.sites = true});
    cycle_gil();
    reading read = read_part(session, 0);
    for (; status == GP_ENOMEM && enough < 1000; enough++) {
        cycle_gil();
        status = read_with_memory_for(session, enough);
    }
    CHECK(enough > 2);
    CHECK_EQUAL(status, GP_OK);
    read = read_part(session, 0);
    check_possible(&read);
    CHECK_EQUAL(row_of(&read, own_number()).acquisitions, (uint64_t)enough + 1);
    CHECK_EQUAL(releases_of(&read, "spin"), (uint64_t)enough + 1);
    gp_tracer_forget(session);
}

/* What a thread has done is read once. */
static void a_thread_without_memory_for_an_account_is_told_of(void)
{
    worker other;
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    interpreter_let_go(main_interpreter());
    for (int i = 0; i <= GP_ACCOUNT_CHUNK; i++) /* there is memory for so many at one time */
        other = use(main_interpreter(), 1);
    interpreter_take_gil(main_interpreter());
    CHECK_EQUAL(read_with_memory_for(session, 1), GP_ENOMEM); /* for the order of the steps */
    reading read = read_part(session, 0);
    CHECK(read.totals.lost > 0);
    CHECK_EQUAL(row_of(&read, other.native_id).acquisitions, 0);
    CHECK_EQUAL(row_of(&read, own_number()).acquisitions, 1);
    gp_tracer_forget(session);
}

/* ---- places ---- */

static void a_hold_belongs_to_the_place_where_it_ends(void)
{
    begin_prepared();
    codes[0].name = "spin";
    codes[1].name = "sleep";
    be_at(0, 1);
    gp_session *session = start((gp_tracer_wishes){.sites = true});
    cycle_gil();
    cycle_gil();
    be_at(1, 7);
    cycle_gil();
    depth_here = 0; /* native code */
    cycle_gil();
    stop(session);
    reading read = read_part(session, 0);
    check_possible(&read);
    CHECK_EQUAL(releases_of(&read, "spin"), 2);
    CHECK_EQUAL(releases_of(&read, "sleep"), 1);
    CHECK_EQUAL(read.place_count, 3);
    gp_tracer_forget(session);
}

static void a_stack_is_a_place_below_another(void)
{
    begin_prepared();
    codes[0].name = "inner";
    codes[1].name = "outer";
    codes[2].name = "other";
    be_at(0, 1);
    keys_here[1] = (gp_site_key){&codes[1], 2};
    depth_here = 2;
    gp_session *session = start((gp_tracer_wishes){.stacks = true});
    cycle_gil();
    keys_here[1] = (gp_site_key){&codes[2], 3};
    cycle_gil();
    reading read = read_part(session, 0);
    CHECK_EQUAL(read.place_count, 4); /* the inner one twice */
    CHECK_EQUAL(releases_of(&read, "inner"), 2);
    CHECK_EQUAL(releases_of(&read, "outer"), 0);
    CHECK((read.totals.flags & (GP_SNAPSHOT_SITES | GP_SNAPSHOT_STACKS)) ==
          (GP_SNAPSHOT_SITES | GP_SNAPSHOT_STACKS));
    gp_tracer_forget(session);
}

/* ---- who a thread is ---- */

static void a_label_is_the_threads_from_its_first_record_on(void)
{
    begin_prepared();
    gp_tracer_label(5); /* not known yet */
    gp_session *session = start((gp_tracer_wishes){0});
    reading read = read_part(session, 0);
    CHECK_EQUAL(row_of(&read, own_number()).label, 0);
    gp_tracer_label(6);
    read = read_part(session, 0);
    CHECK_EQUAL(row_of(&read, own_number()).label, 6);
    gp_tracer_forget(session);
}

static void *hide_and_work(void *context)
{
    gp_tracer_hide();
    return work(context);
}

static void a_hidden_thread_is_in_no_session(void)
{
    worker ours = {.of = main_interpreter(), .cycles = 20}, theirs;
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    interpreter_let_go(main_interpreter());
    CHECK_EQUAL(pthread_create(&ours.thread, NULL, hide_and_work, &ours), 0);
    begin_work(&theirs, main_interpreter(), 20);
    end_work(&ours);
    end_work(&theirs);
    interpreter_take_gil(main_interpreter());
    stop(session);
    reading read = read_part(session, 0);
    CHECK_EQUAL(read.count, 2);
    CHECK_EQUAL(row_of(&read, ours.native_id).native_id, -1);
    check_counted(&read, &theirs);
    gp_tracer_forget(session);
}

/* ---- a look from outside ---- */

static const gp_stall_look_hold nobodys;

static void a_hold_that_makes_others_wait_is_seen_and_its_end(void)
{
    worker other;
    gp_stall_look seen;
    uint64_t now, ended_at;
    begin_prepared();
    CHECK(!gp_tracer_look(&nobodys, 0, &seen, &now));
    gp_session *session = start((gp_tracer_wishes){0});
    cycle_gil();
    CHECK(!gp_tracer_look(&nobodys, 0, &seen, &now)); /* nobody waits */
    begin_work(&other, main_interpreter(), 1);
    while (!gp_tracer_look(&nobodys, 1, &seen, &now))
        ;
    CHECK_EQUAL(seen.holder.native_id, own_number());
    CHECK_EQUAL(seen.waiter_count, 1);
    CHECK(now >= seen.hold.since);
    CHECK_EQUAL(gp_tracer_follow(&seen.hold, &ended_at), GP_STALL_LOOK_GOES_ON);
    CHECK(!gp_tracer_look(&seen.hold, 1, &(gp_stall_look){0}, &now)); /* that one is known */
    interpreter_let_go(main_interpreter());
    end_work(&other);
    CHECK_EQUAL(gp_tracer_follow(&seen.hold, &ended_at), GP_STALL_LOOK_ENDED);
    CHECK(ended_at > seen.hold.since && ended_at <= gp_clock_ticks());
    interpreter_take_gil(main_interpreter());
    CHECK_EQUAL(gp_tracer_follow(&seen.hold, &ended_at), GP_STALL_LOOK_LONG_OVER);
    gp_tracer_forget(session);
    CHECK_EQUAL(gp_tracer_follow(&seen.hold, &ended_at), GP_STALL_LOOK_LONG_OVER);
    CHECK(!gp_tracer_look(&nobodys, 0, &seen, &now));
}

/* ---- threads that are inside while traces come and go ---- */

static atomic_bool over;

static void *keep_working(void *context)
{
    worker *self = context;
    self->native_id = own_number();
    while (!atomic_load(&over))
        cycle(self);
    return NULL;
}

static void *keep_looking(void *context)
{
    gp_stall_look seen;
    uint64_t now;
    (void)context;
    while (!atomic_load(&over))
        if (gp_tracer_look(&nobodys, 1000, &seen, &now))
            gp_tracer_follow(&seen.hold, &now);
    return NULL;
}

static void traces_may_begin_and_end_while_threads_are_inside(void)
{
    enum { WORKERS = 3, TRACES = 60 };
    worker workers[WORKERS];
    pthread_t looker;
    begin_prepared();
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.of = main_interpreter()};
        CHECK_EQUAL(pthread_create(&workers[i].thread, NULL, keep_working, &workers[i]), 0);
    }
    CHECK_EQUAL(pthread_create(&looker, NULL, keep_looking, NULL), 0);
    for (int i = 0; i < TRACES; i++) {
        gp_session *session = start((gp_tracer_wishes){.cpu = i % 2 == 0, .timeline = i % 3 == 0});
        cycle_gil();
        reading read = read_part(session, 0);
        check_possible(&read);
        cycle_gil();
        stop(session);
        read = read_part(session, 0);
        check_possible(&read);
        CHECK_EQUAL(row_of(&read, own_number()).acquisitions, 2);
        gp_tracer_forget(session);
        cycle_gil();
    }
    atomic_store(&over, true);
    interpreter_let_go(main_interpreter());
    for (int i = 0; i < WORKERS; i++)
        end_work(&workers[i]);
    pthread_join(looker, NULL);
    CHECK_EQUAL(gp_tracer_sessions(), 0);
    CHECK_EQUAL(atomic_load(&mallocs_in_wrappers), 0);
}

/* Long enough for another thread to get the GIL, and to come as far as here. */
static void cycle_slowly(void)
{
    interpreter_let_go(main_interpreter());
    usleep(2000);
    interpreter_take_gil(main_interpreter());
}

static void *start_and_stop(void *context)
{
    (void)context;
    interpreter_take_gil(main_interpreter());
    for (int i = 0; i < 8; i++) {
        gp_session *session = start((gp_tracer_wishes){0});
        cycle_gil();
        reading read = read_part(session, 0);
        check_possible(&read);
        CHECK_EQUAL(row_of(&read, own_number()).acquisitions, 1);
        gp_tracer_forget(session);
        cycle_gil();
    }
    interpreter_let_go(main_interpreter());
    return NULL;
}

/* Learning gives the GIL up in its middle, so that several threads come to it. */
static void several_threads_may_begin_traces(void)
{
    pthread_t threads[3];
    begin_prepared();
    host.cycle_gil = cycle_slowly;
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, start_and_stop, NULL), 0);
    interpreter_let_go(main_interpreter());
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQUAL(gp_tracer_sessions(), 0);
}

/* ---- forks ---- */

static void a_forked_child_goes_on_with_the_thread_that_is_left(void)
{
    worker other;
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    begin_work(&other, main_interpreter(), 5);
    cycle_gil();
    interpreter_let_go(main_interpreter());
    end_work(&other);
    interpreter_take_gil(main_interpreter());
    pid_t child = fork();
    if (child == 0) {
        interpreter_after_fork();
        usleep(20000); /* with the GIL */
        cycle_gil();
        reading read = read_part(session, 0);
        check_possible(&read);
        CHECK_EQUAL(row_of(&read, own_number()).acquisitions, 3);
        CHECK(row_of(&read, own_number()).hold_ns >= 10000000);
        check_counted(&read, &other);
        stop(session);
        gp_tracer_forget(session);
        gp_tracer_forget(start((gp_tracer_wishes){0}));
        _exit(gp_test_status());
    }
    check_exit(child);
    reading read = read_part(session, 0);
    check_possible(&read);
    CHECK_EQUAL(row_of(&read, own_number()).acquisitions, 2);
    gp_tracer_forget(session);
}

/* Some of them have a lock, or are in the middle of a booking. */
static void a_fork_beside_threads_that_are_inside_leaves_one_that_goes_on(void)
{
    enum { WORKERS = 3 };
    worker workers[WORKERS];
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){.cpu = true});
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.of = main_interpreter()};
        CHECK_EQUAL(pthread_create(&workers[i].thread, NULL, keep_working, &workers[i]), 0);
    }
    for (int i = 0; i < 20; i++) {
        cycle_gil();
        pid_t child = fork();
        if (child == 0) {
            interpreter_after_fork();
            cycle_gil();
            reading read = read_part(session, 0);
            check_possible(&read);
            CHECK_EQUAL(row_of(&read, own_number()).acquisitions, (uint64_t)i + 2);
            for (size_t row = 0; row < read.count; row++)
                CHECK(read.rows[row].ended == (read.rows[row].native_id != own_number()));
            gp_tracer_forget(session);
            CHECK_EQUAL(gp_tracer_sessions(), 0);
            _exit(gp_test_status());
        }
        check_exit(child);
    }
    atomic_store(&over, true);
    interpreter_let_go(main_interpreter());
    for (int i = 0; i < WORKERS; i++)
        end_work(&workers[i]);
    interpreter_take_gil(main_interpreter());
    gp_tracer_forget(session);
}

/* ---- recordings ---- */

static walk_result *read_back(const char *path)
{
    static uint8_t bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t size = file != NULL ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (file != NULL)
        fclose(file);
    walk_result *found = walk_recording(bytes, size, true);
    if (found->wrong != NULL)
        fprintf(stderr, "at %zu: %s\n", found->offset, found->wrong);
    return found;
}

static void a_timeline_holds_each_hold_and_wait(void)
{
    char directory[] = "/tmp/gp_tracer_XXXXXX", path[64];
    gp_recorder *recorder = NULL;
    int error = 0;
    begin_prepared();
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/recording", directory);
    CHECK_EQUAL(gp_recorder_open(path, 0, &recorder, &error), GP_OK);
    gp_session *session = start((gp_tracer_wishes){.timeline = true, .recorder = recorder});
    interpreter_let_go(main_interpreter());
    worker other = use(main_interpreter(), 50);
    interpreter_take_gil(main_interpreter());
    stop(session);
    gp_recorder_finish(recorder);
    reading read = read_part(session, 0);
    walk_result *found = read_back(path);
    CHECK(found->wrong == NULL && !found->cut);
    CHECK_EQUAL(found->finals, 1);
    CHECK_EQUAL(found->accounts, read.count);
    CHECK_EQUAL(found->dropped, 0);
    uint64_t holds = 0;
    for (uint32_t i = 0; i < found->thread_total; i++)
        holds += found->sums[i].holds;
    CHECK_EQUAL(holds, other.acquisitions + 2); /* the last one was under way at the stop */
    walk_free(found);
    gp_recorder_free(recorder);
    gp_tracer_forget(session);
    CHECK_EQUAL(unlink(path), 0);
    CHECK_EQUAL(rmdir(directory), 0);
}

int main(void)
{
    IN_CHILD(a_tracer_that_was_not_prepared_says_so);
    IN_CHILD(an_object_that_can_not_be_hooked_is_refused);
    IN_CHILD(a_process_without_room_for_a_thread_local_value_says_so);
    IN_CHILD(a_gil_that_is_off_is_asked_for_again);
    IN_CHILD(an_interpreter_that_uses_its_locks_in_another_way_is_refused);
    IN_CHILD(pages_that_stay_read_only_are_an_error_and_no_more);
    IN_CHILD(each_acquisition_and_each_release_is_counted);
    IN_CHILD(a_release_that_another_thread_asked_for_is_forced);
    IN_CHILD(releases_that_are_not_told_apart_are_none_forced);
    IN_CHILD(the_cpu_time_of_all_holds_is_booked);
    IN_CHILD(a_second_session_has_accounts_of_its_own);
    IN_CHILD(the_last_stop_takes_the_hooks_out_and_a_later_start_finds_them);
    IN_CHILD(a_session_that_is_forgotten_ends);
    IN_CHILD(without_memory_nothing_begins);
    IN_CHILD(a_reading_without_memory_says_so_and_the_next_is_whole);
    IN_CHILD(a_thread_without_memory_for_an_account_is_told_of);
    IN_CHILD(a_hold_belongs_to_the_place_where_it_ends);
    IN_CHILD(a_stack_is_a_place_below_another);
    IN_CHILD(a_label_is_the_threads_from_its_first_record_on);
    IN_CHILD(a_hidden_thread_is_in_no_session);
    IN_CHILD(a_hold_that_makes_others_wait_is_seen_and_its_end);
    IN_CHILD(traces_may_begin_and_end_while_threads_are_inside);
    IN_CHILD(several_threads_may_begin_traces);
    IN_CHILD(a_forked_child_goes_on_with_the_thread_that_is_left);
    IN_CHILD(a_fork_beside_threads_that_are_inside_leaves_one_that_goes_on);
    IN_CHILD(a_timeline_holds_each_hold_and_wait);
    return gp_test_status();
}
