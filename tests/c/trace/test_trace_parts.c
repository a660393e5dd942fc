#define _GNU_SOURCE
#include "trace/gp_trace_parts.h"

#include "gp_test.h"
#include "interpreter.h"
#include "recording/gp_recorder.h"
#include "trace/gp_tracer_object.h"

/* An interpreter with a GIL of its own. */
static interpreter *begin_other(size_t place, uint32_t id)
{
    interpreter_begin(place, id);
    return interpreter_at(place);
}

static void end_other(interpreter *other)
{
    other->lives = false; /* no more: nobody destroys its locks */
}

static gp_session *begin_trace(void)
{
    begin_prepared();
    return start((gp_tracer_wishes){0});
}

static bool missed_others(gp_session *session)
{
    reading read = read_part(session, 0);
    return (read.totals.flags & GP_SNAPSHOT_OTHERS_MISSED) != 0;
}

static void check_part(gp_session *session, size_t part, uint32_t id, const worker *one)
{
    reading read = read_part(session, part);
    CHECK_EQUAL(read.totals.interpreter, id);
    check_possible(&read);
    check_counted(&read, one);
}

/* ---- parts ---- */

static void a_gil_is_a_part_from_its_first_acquisition_on(void)
{
    gp_session *session = begin_trace();
    CHECK_EQUAL(gp_tracer_parts(session), 1);
    worker one = use(begin_other(1, 7), 30);
    CHECK_EQUAL(gp_tracer_parts(session), 2);
    worker two = use(begin_other(2, 8), 20);
    CHECK_EQUAL(gp_tracer_parts(session), 3);
    check_part(session, 1, 7, &one);
    check_part(session, 2, 8, &two);
    reading main_part = read_part(session, 0);
    CHECK_EQUAL(main_part.count, 1); /* those threads took another GIL */
    CHECK(!missed_others(session));
    gp_tracer_forget(session);
}

static void several_threads_may_take_several_gils(void)
{
    enum { OTHERS = 3, WORKERS = 2 * OTHERS };
    worker workers[WORKERS], here_too;
    gp_session *session = begin_trace();
    for (int i = 0; i < WORKERS; i++)
        begin_work(&workers[i],
                   i < OTHERS ? begin_other(1 + (size_t)i, 10 + (uint32_t)i) : workers[i - OTHERS].of, 200);
    begin_work(&here_too, main_interpreter(), 200);
    for (int i = 0; i < 50; i++) {
        cycle_gil();
        for (size_t part = 0; part < gp_tracer_parts(session); part++) {
            reading read = read_part(session, part);
            check_possible(&read);
        }
    }
    interpreter_let_go(main_interpreter());
    for (int i = 0; i < WORKERS; i++)
        end_work(&workers[i]);
    end_work(&here_too);
    interpreter_take_gil(main_interpreter());
    CHECK_EQUAL(gp_tracer_parts(session), 1 + OTHERS);
    for (size_t part = 1; part <= OTHERS; part++) {
        reading read = read_part(session, part);
        CHECK_EQUAL(read.count, 2);
        for (int i = 0; i < WORKERS; i++)
            if (workers[i].of->id == read.totals.interpreter)
                check_counted(&read, &workers[i]);
    }
    reading read = read_part(session, 0);
    check_counted(&read, &here_too);
    CHECK_EQUAL(atomic_load(&mallocs_in_wrappers), 0);
    gp_tracer_forget(session);
}

static void only_a_thread_that_takes_a_gil_is_recognised(void)
{
    gp_session *session = begin_trace();
    interpreter_gil *gil = &begin_other(1, 7)->gil;
    interpreter_lock(&gil->switch_mutex);
    interpreter_lock(&gil->mutex); /* in the other order */
    interpreter_unlock(&gil->mutex);
    interpreter_unlock(&gil->switch_mutex);
    interpreter_lock(&gil->mutex);
    interpreter_unlock(&gil->mutex);
    interpreter_lock(&gil->switch_mutex); /* after it */
    interpreter_unlock(&gil->switch_mutex);
    CHECK_EQUAL(gp_tracer_parts(session), 1);
    gp_gil *found = gp_trace_parts_recognise(&gil->mutex, &gil->switch_mutex);
    CHECK(found != NULL && found != &gp_tracer.main_gil);
    CHECK_EQUAL(gp_tracer_parts(session), 2);
    CHECK(gp_trace_parts_recognise(&gil->mutex, &gil->switch_mutex) == found);
    CHECK_EQUAL(gp_tracer_parts(session), 2);
    gp_tracer_forget(session);
}

static void a_later_trace_takes_in_the_gils_that_were_found_before(void)
{
    gp_session *first = begin_trace();
    interpreter *other = begin_other(1, 7);
    worker before = use(other, 5);
    gp_session *second = start((gp_tracer_wishes){0});
    CHECK_EQUAL(gp_tracer_parts(second), 2);
    gp_trace_parts_extend(second); /* once only */
    CHECK_EQUAL(gp_tracer_parts(second), 2);
    worker after = use(other, 6);
    check_part(first, 1, 7, &before);
    check_part(first, 1, 7, &after);
    check_part(second, 1, 7, &after);
    reading later = read_part(second, 1);
    CHECK_EQUAL(row_of(&later, before.native_id).acquisitions, 0);
    gp_tracer_forget(second);
    gp_tracer_forget(first);
}

static void a_gil_that_was_found_is_forgotten_with_the_last_trace(void)
{
    gp_session *session = begin_trace();
    interpreter *other = begin_other(1, 7);
    use(other, 5);
    CHECK(gp_tracer.other_count > 0);
    stop(session);
    CHECK_EQUAL(gp_tracer.other_count, 0);
    use(other, 5);
    gp_session *again = start((gp_tracer_wishes){0});
    CHECK_EQUAL(gp_tracer_parts(again), 1);
    worker after = use(other, 5);
    check_part(again, 1, 7, &after);
    gp_tracer_forget(again);
    gp_tracer_forget(session);
}

/* The record of a thread that is gone serves another, two traces later. */
static void a_record_from_another_gil_serves_as_any(void)
{
    begin_prepared();
    interpreter *other = begin_other(1, 7);
    for (int i = 0; i < 4; i++) {
        gp_session *session = start((gp_tracer_wishes){0});
        if (i == 0)
            use(other, 5); /* the last one that had it */
        gp_tracer_forget(session);
    }
    size_t records = gp_threads_count(&gp_tracer.threads);
    gp_session *session = start((gp_tracer_wishes){0});
    interpreter_let_go(main_interpreter());
    worker one = use(main_interpreter(), 4 * GP_JOURNAL_NOTES);
    interpreter_take_gil(main_interpreter());
    CHECK_EQUAL(gp_threads_count(&gp_tracer.threads), records);
    reading read = read_part(session, 0);
    check_possible(&read);
    check_counted(&read, &one);
    gp_tracer_forget(session);
}

static void stopping_the_others_leaves_the_main_part_running(void)
{
    gp_session *session = begin_trace();
    interpreter *other = begin_other(1, 7);
    worker before = use(other, 5);
    gp_trace_parts_stop_others(session);
    worker after = use(other, 5);
    cycle_gil();
    check_part(session, 1, 7, &before);
    reading ended = read_part(session, 1), running = read_part(session, 0);
    CHECK(ended.totals.flags & GP_SNAPSHOT_FINAL);
    CHECK_EQUAL(row_of(&ended, after.native_id).native_id, -1);
    CHECK((running.totals.flags & GP_SNAPSHOT_FINAL) == 0);
    CHECK_EQUAL(row_of(&running, own_number()).acquisitions, 1);
    gp_tracer_forget(session);
}

/* ---- interpreters that end ---- */

static void the_part_of_an_interpreter_that_has_ended_ends_at_its_last_event(void)
{
    gp_session *session = begin_trace();
    interpreter *other = begin_other(1, 7);
    worker mine = {.of = other};
    cycle(&mine);
    worker one = use(other, 5);
    cycle(&mine);
    end_other(other);
    usleep(2000);
    reading all = read_part(session, 0), ended = read_part(session, 1);
    CHECK(ended.totals.flags & GP_SNAPSHOT_FINAL);
    CHECK(ended.totals.elapsed_ns + 2000000 <= all.totals.elapsed_ns);
    check_part(session, 1, 7, &one);
    reading again = read_part(session, 1);
    CHECK_EQUAL(again.totals.elapsed_ns, ended.totals.elapsed_ns);
    gp_tracer_forget(session);
}

static void as_long_as_nobody_knows_who_lives_all_do(void)
{
    gp_session *session = begin_trace();
    interpreter *other = begin_other(1, 7);
    use(other, 5);
    end_other(other);
    nobody_knows_who_lives = true;
    gp_trace_parts_close_ended();
    reading read = read_part(session, 1);
    CHECK((read.totals.flags & GP_SNAPSHOT_FINAL) == 0);
    nobody_knows_who_lives = false;
    gp_trace_parts_close_ended();
    read = read_part(session, 1);
    CHECK(read.totals.flags & GP_SNAPSHOT_FINAL);
    gp_tracer_forget(session);
}

/* It gets the memory of the one before, and so all addresses of its locks. */
static void an_interpreter_in_the_place_of_another_is_a_part_of_its_own(void)
{
    gp_session *session = begin_trace();
    worker one = use(begin_other(1, 7), 5);
    end_other(interpreter_at(1));
    usleep(2000);
    worker two = use(begin_other(1, 8), 6);
    reading all = read_part(session, 0);
    CHECK_EQUAL(gp_tracer_parts(session), 3);
    check_part(session, 1, 7, &one);
    check_part(session, 2, 8, &two);
    reading first = read_part(session, 1), second = read_part(session, 2);
    CHECK_EQUAL(first.count, 1);
    CHECK_EQUAL(second.count, 1);
    CHECK(first.totals.flags & GP_SNAPSHOT_FINAL);
    CHECK(first.totals.elapsed_ns + 2000000 <= all.totals.elapsed_ns);
    gp_tracer_forget(session);
}

/* The end of the one before is noticed when a thread has locked the first mutex of the new one. */
static void an_interpreter_is_found_while_the_one_before_it_is_closed(void)
{
    gp_session *session = begin_trace();
    worker one = use(begin_other(1, 7), 5);
    end_other(interpreter_at(1));
    usleep(2000);
    interpreter_gil *gil = &begin_other(1, 8)->gil;
    interpreter_lock(&gil->mutex);
    gp_trace_parts_close_ended();
    interpreter_lock(&gil->switch_mutex);
    interpreter_signal(&gil->switch_cond);
    interpreter_unlock(&gil->switch_mutex);
    interpreter_unlock(&gil->mutex);
    CHECK_EQUAL(gp_tracer_parts(session), 3);
    check_part(session, 1, 7, &one);
    reading all = read_part(session, 0), first = read_part(session, 1), second = read_part(session, 2);
    CHECK_EQUAL(first.count, 1);
    CHECK(first.totals.elapsed_ns + 2000000 <= all.totals.elapsed_ns);
    CHECK_EQUAL(row_of(&second, own_number()).acquisitions, 1);
    gp_tracer_forget(session);
}

static void *come_and_go(void *context)
{
    static _Atomic uint32_t last_id = 100;
    size_t place = *(size_t *)context;
    for (int i = 0; i < 40; i++) {
        interpreter *other = begin_other(place, atomic_fetch_add(&last_id, 1));
        interpreter_take_gil(other);
        interpreter_let_go(other);
        interpreter_take_gil(other);
        interpreter_let_go(other);
        end_other(other);
    }
    return NULL;
}

static void interpreters_may_come_and_go_while_traces_begin_and_end(void)
{
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    size_t places[THREADS];
    gp_session *session = begin_trace();
    use(begin_other(THREADS + 1, 7), 2);
    for (size_t i = 0; i < THREADS; i++) {
        places[i] = i + 1;
        CHECK_EQUAL(pthread_create(&threads[i], NULL, come_and_go, &places[i]), 0);
    }
    for (int i = 0; i < 100; i++) {
        gp_session *second = start((gp_tracer_wishes){.sites = true});
        reading first = read_part(session, gp_tracer_parts(session) - 1);
        reading later = read_part(second, gp_tracer_parts(second) - 1);
        check_possible(&first);
        check_possible(&later);
        first = read_part(session, 1);
        CHECK_EQUAL(first.totals.interpreter, 7);
        gp_tracer_forget(second);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    end_other(interpreter_at(THREADS + 1));
    gp_trace_parts_close_ended();
    CHECK_EQUAL(gp_tracer.other_count, 0);
    CHECK_EQUAL(gp_tracer_parts(session), 2 + 40 * THREADS);
    for (size_t part = 2; part < gp_tracer_parts(session); part++) {
        reading read = read_part(session, part);
        check_possible(&read);
        CHECK_EQUAL(read.count, 1);
        CHECK_EQUAL(read.rows[0].acquisitions, 2);
    }
    gp_tracer_forget(session);
}

/* ---- too many of them ---- */

static void gils_that_find_no_row_are_missed_until_others_have_ended(void)
{
    gp_session *session = begin_trace();
    for (uint32_t n = 1; n <= GP_OTHER_GILS_MAX; n++)
        use(begin_other(n, n), 1);
    CHECK_EQUAL(gp_tracer_parts(session), GP_OTHER_GILS_MAX + 1);
    CHECK(!missed_others(session));
    interpreter *late = begin_other(GP_OTHER_GILS_MAX + 1, GP_OTHER_GILS_MAX + 1);
    worker missed = use(late, 3);
    CHECK_EQUAL(missed.acquisitions, 3 + missed.forced);
    CHECK_EQUAL(gp_tracer_parts(session), GP_OTHER_GILS_MAX + 1);
    CHECK(missed_others(session));
    end_other(interpreter_at(5));
    gp_trace_parts_close_ended();
    worker found = use(late, 3);
    CHECK_EQUAL(gp_tracer_parts(session), GP_OTHER_GILS_MAX + 2);
    check_part(session, GP_OTHER_GILS_MAX + 1, GP_OTHER_GILS_MAX + 1, &found);
    gp_tracer_forget(session);
}

static void a_trace_takes_in_no_more_than_its_share(void)
{
    gp_session *session = begin_trace();
    interpreter_let_go(main_interpreter());
    for (uint32_t n = 1; n <= GP_TRACE_PARTS_MAX + 1; n++) {
        interpreter *other = begin_other(1, n);
        interpreter_take_gil(other);
        interpreter_let_go(other);
        end_other(other);
    }
    interpreter_take_gil(main_interpreter());
    CHECK_EQUAL(gp_tracer_parts(session), GP_TRACE_PARTS_MAX + 1);
    CHECK(missed_others(session));
    gp_tracer_forget(session);
}

/* With memory for one thing more each time, until there is enough. */
static void a_part_without_memory_is_missed(void)
{
    gp_session *session = begin_trace();
    long enough = 0;
    for (uint32_t id = 1; gp_tracer_parts(session) == 1 && enough < 1000; id++, enough++) {
        interpreter *other = begin_other(1, id);
        atomic_store(&maps_left, enough);
        CHECK_EQUAL(use(other, 2).cycles, 2);
        atomic_store(&maps_left, LONG_MAX);
        if (gp_tracer_parts(session) == 1)
            CHECK(missed_others(session));
        end_other(other);
    }
    CHECK(enough > 1 && enough < 1000);
    CHECK(gp_trace_parts_new(&gp_tracer.main_gil, false, false, false, NULL) != NULL);
    atomic_store(&maps_left, 0);
    CHECK(gp_trace_parts_new(&gp_tracer.main_gil, false, false, false, NULL) == NULL);
    atomic_store(&maps_left, LONG_MAX);
    gp_tracer_forget(session);
}

/* ---- nothing changes meanwhile ---- */

static atomic_uint met, asked_for; /* how often a thread has taken the GIL, and how often it shall */

static void *take_when_asked(void *context)
{
    while (atomic_load(&met) < 2) {
        if (atomic_load(&met) == atomic_load(&asked_for)) {
            usleep(100);
            continue;
        }
        interpreter_take_gil(context);
        interpreter_let_go(context);
        atomic_fetch_add(&met, 1);
    }
    return NULL;
}

static void have_it_taken(unsigned times)
{
    atomic_store(&asked_for, times);
    while (atomic_load(&met) != times)
        usleep(100);
}

/* While a part is locked, a thread that is known takes the GIL as it likes: it only notes so. */
static void check_held(gp_session *session, size_t part, interpreter *of)
{
    pthread_t thread;
    gp_session *which = part == 0 ? session : session->others;
    atomic_store(&met, 0);
    atomic_store(&asked_for, 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, take_when_asked, of), 0);
    have_it_taken(1);
    gp_trace_parts_lock(which);
    size_t accounts = which->account_count;
    uint64_t acquisitions = gp_account_nth(which, accounts - 1)->acquisitions;
    have_it_taken(2);
    CHECK_EQUAL(which->account_count, accounts);
    CHECK_EQUAL(gp_account_nth(which, accounts - 1)->acquisitions, acquisitions);
    gp_trace_parts_unlock(which);
    pthread_join(thread, NULL);
    gp_trace_parts_lock(which);
    CHECK_EQUAL(gp_account_nth(which, accounts - 1)->acquisitions, acquisitions + 1);
    gp_trace_parts_unlock(which);
}

static void who_has_locked_a_part_keeps_it_from_changing(void)
{
    gp_session *session = begin_trace();
    interpreter *other = begin_other(1, 7);
    use(other, 1);
    check_held(session, 1, other);
    interpreter_let_go(main_interpreter());
    check_held(session, 0, main_interpreter());
    interpreter_take_gil(main_interpreter());
    gp_tracer_forget(session);
}

/* ---- code that goes ---- */

/* Another function may get the memory of a code object. */
static void replace_code(gp_tracer_wishes wishes)
{
    begin_prepared();
    interpreter *other = begin_other(1, 7);
    gp_session *session = start(wishes);
    const char *const names[] = {"first", "second"};
    codes[3].name = "elsewhere";
    for (int i = 0; i < 2; i++) {
        codes[0].name = codes[1].name = names[i];
        be_at(0, 1);
        cycle_gil();
        cycle_gil();
        code_gone(&codes[0]);
        code_gone(&codes[2]); /* was never met */
        be_at(3, 1);
        interpreter_let_go(main_interpreter());
        be_at(1, 1);
        interpreter_take_gil(other);
        interpreter_let_go(other);
        interpreter_take_gil(other);
        code_gone(&codes[1]); /* each with the GIL that guards it */
        be_at(3, 1);
        interpreter_let_go(other);
        interpreter_take_gil(main_interpreter());
    }
    for (size_t part = 0; part < 2; part++) {
        reading read = read_part(session, part);
        CHECK_EQUAL(releases_of(&read, "first"), part == 0 ? 2 : 1);
        CHECK_EQUAL(releases_of(&read, "second"), part == 0 ? 2 : 1);
    }
    gp_tracer_forget(session);
}

static void code_in_the_place_of_another_is_another_place(void)
{
    replace_code((gp_tracer_wishes){.sites = true});
}

static void code_in_the_place_of_another_is_another_level_of_a_stack(void)
{
    replace_code((gp_tracer_wishes){.stacks = true});
}

/* ---- forks ---- */

static void in_a_forked_child_the_other_interpreters_are_gone(void)
{
    begin_prepared();
    interpreter *other = begin_other(1, 7);
    gp_session *session = start((gp_tracer_wishes){.timeline = true});
    worker one = use(other, 5);
    pid_t child = fork();
    if (child == 0) {
        interpreter_after_fork();
        CHECK_EQUAL(gp_tracer.other_count, 0);
        CHECK(!session->wants_timeline && !session->others->wants_timeline);
        reading read = read_part(session, 1);
        CHECK(read.totals.flags & GP_SNAPSHOT_FINAL);
        CHECK((read.totals.flags & GP_SNAPSHOT_TIMELINE) == 0);
        check_counted(&read, &one);
        gp_tracer_forget(session);
        _exit(gp_test_status());
    }
    check_exit(child);
    reading read = read_part(session, 1);
    CHECK((read.totals.flags & GP_SNAPSHOT_FINAL) == 0);
    CHECK(read.totals.flags & GP_SNAPSHOT_TIMELINE);
    check_part(session, 1, 7, &one);
    gp_tracer_forget(session);
}

/* ---- recordings ---- */

static void a_recording_without_room_for_a_part_is_told(void)
{
    char directory[] = "/tmp/gp_trace_parts_XXXXXX", path[64];
    gp_recorder *recorder = NULL;
    int error = 0;
    begin_prepared();
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/recording", directory);
    CHECK_EQUAL(gp_recorder_open(path, GP_RECORDER_NO_THREAD, &recorder, &error), GP_OK);
    gp_session *session = start((gp_tracer_wishes){.recorder = recorder});
    for (int i = 1; i < GP_RECORDER_SOURCES; i++)
        CHECK_EQUAL(gp_trace_parts_record(session), GP_OK);
    CHECK_EQUAL(gp_trace_parts_record(session), GP_ENOMEM);
    worker one = use(begin_other(1, 7), 5);
    check_part(session, 1, 7, &one); /* traced all the same */
    CHECK(!missed_others(session));
    CHECK(session->others_unrecorded);
    stop(session);
    gp_recorder_free(recorder);
    gp_tracer_forget(session);
    CHECK_EQUAL(unlink(path), 0);
    CHECK_EQUAL(rmdir(directory), 0);
}

int main(void)
{
    IN_CHILD(a_gil_is_a_part_from_its_first_acquisition_on);
    IN_CHILD(several_threads_may_take_several_gils);
    IN_CHILD(only_a_thread_that_takes_a_gil_is_recognised);
    IN_CHILD(a_later_trace_takes_in_the_gils_that_were_found_before);
    IN_CHILD(a_gil_that_was_found_is_forgotten_with_the_last_trace);
    IN_CHILD(a_record_from_another_gil_serves_as_any);
    IN_CHILD(stopping_the_others_leaves_the_main_part_running);
    IN_CHILD(the_part_of_an_interpreter_that_has_ended_ends_at_its_last_event);
    IN_CHILD(as_long_as_nobody_knows_who_lives_all_do);
    IN_CHILD(an_interpreter_in_the_place_of_another_is_a_part_of_its_own);
    IN_CHILD(an_interpreter_is_found_while_the_one_before_it_is_closed);
    IN_CHILD(interpreters_may_come_and_go_while_traces_begin_and_end);
    IN_CHILD(gils_that_find_no_row_are_missed_until_others_have_ended);
    IN_CHILD(a_trace_takes_in_no_more_than_its_share);
    IN_CHILD(a_part_without_memory_is_missed);
    IN_CHILD(who_has_locked_a_part_keeps_it_from_changing);
    IN_CHILD(code_in_the_place_of_another_is_another_place);
    IN_CHILD(code_in_the_place_of_another_is_another_level_of_a_stack);
    IN_CHILD(in_a_forked_child_the_other_interpreters_are_gone);
    IN_CHILD(a_recording_without_room_for_a_part_is_told);
    return gp_test_status();
}
