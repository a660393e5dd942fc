/* The books are kept later than what they tell of: by threads that pass by, beside those that want to read.
 */

#define _GNU_SOURCE
#include "trace/gp_tracer.h"

#include "gp_test.h"

#include <signal.h>
#include <sys/stat.h>

#include "interpreter.h"
#include "recording/gp_recorder.h"
#include "trace/gp_trace_parts.h"
#include "trace/gp_tracer_object.h"
#include "walk.h"

static gp_stream *const stream = &gp_tracer.main_gil.state.stream;

static void nap(void)
{
    usleep(100);
}

/* ---- moments ---- */

int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);

static _Thread_local void (*at_next_books)(void); /* called once, when the thread has got the books */

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    int status = __real_pthread_mutex_trylock(mutex);
    if (status == 0 && mutex == &stream->lock)
        call_once(&at_next_books);
    return status;
}

static bool books_are_locked(void)
{
    int status = __real_pthread_mutex_trylock(&stream->lock);
    if (status == 0)
        pthread_mutex_unlock(&stream->lock);
    return status != 0;
}

/* ---- a thread that takes the main GIL as often as it is told to ---- */

typedef struct {
    pthread_t thread;
    int64_t native_id;
    atomic_ulong wanted, done;
    atomic_bool over;
    void (*_Atomic at_map)(void), (*_Atomic at_books)(void); /* what it does at its next moment */
    gp_thread *_Atomic record;
} taker;

static _Thread_local taker *self;

static void take_once(void)
{
    interpreter_take_gil(main_interpreter());
    interpreter_let_go(main_interpreter());
    atomic_fetch_add(&self->done, 1);
}

static void *take_as_told(void *context)
{
    self = context;
    self->native_id = own_number();
    while (!atomic_load(&self->over)) {
        if (atomic_load(&self->done) >= atomic_load(&self->wanted)) {
            nap();
            continue;
        }
        at_next_map = atomic_exchange(&self->at_map, NULL);
        at_next_books = atomic_exchange(&self->at_books, NULL);
        while (atomic_load(&self->done) < atomic_load(&self->wanted))
            take_once();
        self->record = gp_wrappers_current();
    }
    return NULL;
}

static void tell(taker *one, unsigned long times)
{
    atomic_fetch_add(&one->wanted, times);
}

static void await(taker *one)
{
    while (atomic_load(&one->done) < atomic_load(&one->wanted))
        nap();
}

/* It has taken the GIL once, and so is known. */
static void begin_taker(taker *one)
{
    memset(one, 0, sizeof *one);
    tell(one, 1);
    CHECK_EQUAL(pthread_create(&one->thread, NULL, take_as_told, one), 0);
    await(one);
}

static void end_taker(taker *one)
{
    atomic_store(&one->over, true);
    CHECK_EQUAL(pthread_join(one->thread, NULL), 0);
}

/* The calling thread lets the GIL go for that. */
static gp_session *begin_with(taker *one, gp_tracer_wishes wishes)
{
    begin_prepared();
    gp_session *session = start(wishes);
    interpreter_let_go(main_interpreter());
    begin_taker(one);
    return session;
}

static reading read_again(gp_session *session)
{
    interpreter_take_gil(main_interpreter());
    reading read = read_part(session, 0);
    interpreter_let_go(main_interpreter());
    return read;
}

static void check_all_counted(const reading *read, const taker *one)
{
    gp_account_row row = row_of(read, one->native_id);
    CHECK_EQUAL(row.acquisitions, atomic_load(&one->done));
    CHECK_EQUAL(row.releases, atomic_load(&one->done));
    CHECK_EQUAL(row.imbalance_ticks, 0);
}

/* As it stands there; nothing is read for it. */
static uint64_t acquisitions_in_books(gp_session *session, const taker *one)
{
    for (size_t n = 0; n < session->account_count; n++)
        if (gp_account_nth(session, n)->thread->native_id == one->native_id)
            return gp_account_nth(session, n)->acquisitions;
    return 0;
}

/* ---- who keeps them ---- */

static void a_thread_that_has_noted_much_keeps_the_books(void)
{
    taker one;
    gp_session *session = begin_with(&one, (gp_tracer_wishes){0});
    tell(&one, GP_JOURNAL_DUE / 2);
    end_taker(&one);
    CHECK_EQUAL(acquisitions_in_books(session, &one), 0); /* for little it does not */
    begin_taker(&one);
    tell(&one, 20 * GP_JOURNAL_DUE);
    await(&one);
    end_taker(&one);
    CHECK(acquisitions_in_books(session, &one) >= atomic_load(&one.done) - GP_JOURNAL_DUE);
    reading read = read_again(session);
    check_all_counted(&read, &one);
    gp_tracer_forget(session);
}

static void a_thread_that_passes_by_does_not_wait_for_who_keeps_them(void)
{
    taker one;
    gp_session *session = begin_with(&one, (gp_tracer_wishes){0});
    gp_trace_parts_lock(session);
    tell(&one, GP_JOURNAL_NOTES - 10);
    await(&one);
    gp_trace_parts_unlock(session);
    reading read = read_again(session);
    check_all_counted(&read, &one);
    end_taker(&one);
    gp_tracer_forget(session);
}

static void a_thread_without_room_for_its_note_waits_until_there_is_some(void)
{
    taker one;
    gp_session *session = begin_with(&one, (gp_tracer_wishes){0});
    tell(&one, 1);
    await(&one);
    tell(&one, 1); /* so that the record has been told */
    await(&one);
    while (one.record == NULL)
        nap();
    gp_trace_parts_lock(session);
    tell(&one, 3 * GP_JOURNAL_NOTES);
    while (gp_journal_has_room(&one.record->journal))
        nap();
    usleep(5000);
    CHECK(!gp_journal_has_room(&one.record->journal) &&
          gp_journal_unread(&one.record->journal) <= GP_JOURNAL_NOTES);
    CHECK(atomic_load(&one.done) < atomic_load(&one.wanted));
    gp_trace_parts_unlock(session);
    await(&one);
    reading read = read_again(session);
    check_possible(&read);
    check_all_counted(&read, &one);
    end_taker(&one);
    gp_tracer_forget(session);
}

/* ---- beside readers ---- */

static atomic_bool over;

static void *take_and_give_way(void *context)
{
    worker *one = context;
    one->native_id = own_number();
    while (!atomic_load(&over))
        cycle(one);
    return NULL;
}

/* As a recorder does it, without the GIL. */
static void *keep_reading(void *context)
{
    gp_session *session = context;
    uint64_t before = 0;
    while (!atomic_load(&over)) {
        gp_buffer snapshot = {0};
        reading read = {.count = 0};
        uint64_t now = gp_trace_parts_lock(session);
        gp_snapshot_facts facts = gp_trace_parts_facts(session);
        gp_snapshot_write(session, &facts, GP_ROW_NONE, now, &snapshot);
        gp_trace_parts_unlock(session);
        gp_cursor cursor = gp_cursor_over(snapshot.bytes, snapshot.size);
        read_rows(&read, &cursor);
        gp_buffer_free(&snapshot);
        check_possible(&read);
        uint64_t acquisitions = 0;
        for (size_t i = 0; i < read.count; i++)
            acquisitions += read.rows[i].acquisitions;
        CHECK(acquisitions >= before);
        before = acquisitions;
    }
    return NULL;
}

static void *keep_looking(void *context)
{
    const gp_stall_look_hold nobodys = {NULL, 0};
    gp_stall_look seen;
    uint64_t now, ended_at;
    (void)context;
    while (!atomic_load(&over))
        if (gp_tracer_look(&nobodys, 1, &seen, &now)) {
            CHECK(seen.hold.since <= now && seen.waiter_count > 0);
            gp_tracer_follow(&seen.hold, &ended_at);
            CHECK(ended_at >= seen.hold.since);
        }
    return NULL;
}

static void the_books_are_right_beside_all_who_keep_and_read_them(void)
{
    enum { WORKERS = 3, READINGS = 300 };
    worker workers[WORKERS];
    pthread_t reader, looker;
    begin_prepared();
    codes[0].name = "f";
    gp_session *session = start((gp_tracer_wishes){.sites = true, .cpu = true});
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.of = main_interpreter()};
        CHECK_EQUAL(pthread_create(&workers[i].thread, NULL, take_and_give_way, &workers[i]), 0);
    }
    CHECK_EQUAL(pthread_create(&reader, NULL, keep_reading, session), 0);
    CHECK_EQUAL(pthread_create(&looker, NULL, keep_looking, NULL), 0);
    for (int i = 0; i < READINGS; i++) {
        be_at(0, i % 20);
        cycle_gil();
        reading read = read_part(session, 0);
        check_possible(&read);
    }
    atomic_store(&over, true);
    interpreter_let_go(main_interpreter());
    for (int i = 0; i < WORKERS; i++)
        end_work(&workers[i]);
    pthread_join(reader, NULL);
    pthread_join(looker, NULL);
    interpreter_take_gil(main_interpreter());
    stop(session);
    reading read = read_part(session, 0);
    check_possible(&read);
    for (int i = 0; i < WORKERS; i++)
        check_counted(&read, &workers[i]);
    CHECK_EQUAL(row_of(&read, own_number()).acquisitions, READINGS + 1);
    CHECK_EQUAL(releases_of(&read, "f"), READINGS + 1);
    CHECK_EQUAL(atomic_load(&mallocs_in_wrappers), 0);
    gp_tracer_forget(session);
}

/* What nobody has read yet is in the file, too. */
static void a_recording_that_is_flushed_has_all_that_was_noted(void)
{
    static uint8_t bytes[1 << 16];
    char path[] = "/tmp/gp_keeping_XXXXXX";
    gp_recorder *recorder = NULL;
    int error = 0, file = mkstemp(path);
    taker one;
    CHECK(file >= 0);
    CHECK_EQUAL(gp_recorder_open(path, GP_RECORDER_REPLACE, &recorder, &error), GP_OK);
    gp_session *session = begin_with(&one, (gp_tracer_wishes){.timeline = true, .recorder = recorder});
    tell(&one, 20);
    await(&one);
    CHECK(gp_recorder_flush(recorder, 100000000000));
    FILE *written = fopen(path, "rb");
    size_t size = written != NULL ? fread(bytes, 1, sizeof bytes, written) : 0;
    walk_result *found = walk_recording(bytes, size, true);
    CHECK(found->wrong == NULL);
    uint64_t holds = 0;
    for (uint32_t i = 0; i < found->thread_total; i++)
        holds += found->sums[i].holds;
    CHECK_EQUAL(holds, 1 + atomic_load(&one.done)); /* and that in which the trace began */
    walk_free(found);
    if (written != NULL)
        fclose(written);
    end_taker(&one);
    interpreter_take_gil(main_interpreter());
    stop(session);
    gp_recorder_free(recorder);
    gp_tracer_forget(session);
    close(file);
    CHECK_EQUAL(unlink(path), 0);
}

/* ---- signals ---- */

static atomic_ulong cycles_in_handler;
static atomic_uint handled;

static void use_the_gil(int number)
{
    (void)number;
    CHECK(books_are_locked());
    for (unsigned long i = 0; i < atomic_load(&cycles_in_handler); i++)
        take_once();
    atomic_fetch_add(&handled, 1);
}

static void interrupt(void)
{
    raise(SIGUSR1);
}

enum { FITS = GP_JOURNAL_NOTES - GP_JOURNAL_DUE - 2 }; /* notes, when the books are due */

/* A handler of the program's runs while its thread keeps the books, and uses the GIL. */
static reading interrupt_with(unsigned long cycles, bool at_books)
{
    taker one;
    gp_session *session = begin_with(&one, (gp_tracer_wishes){0});
    signal(SIGUSR1, use_the_gil);
    atomic_store(&cycles_in_handler, cycles);
    atomic_store(at_books ? &one.at_books : &one.at_map, interrupt);
    tell(&one, 4 * GP_JOURNAL_NOTES + cycles);
    await(&one);
    CHECK_EQUAL(atomic_load(&handled), 1);
    reading read = read_again(session);
    CHECK(row_of(&read, one.native_id).acquisitions <= atomic_load(&one.done));
    CHECK_EQUAL(row_of(&read, one.native_id).imbalance_ticks, 0);
    CHECK(read.held_ns <= read.totals.elapsed_ns);
    if (cycles <= FITS)
        check_all_counted(&read, &one);
    else
        CHECK(read.totals.lost > 0);
    CHECK_EQUAL(row_of(&read, one.native_id).acquisitions + read.totals.lost, atomic_load(&one.done));
    end_taker(&one);
    gp_tracer_forget(session);
    return read;
}

static void a_signal_handler_may_use_the_gil_while_its_thread_keeps_the_books(void)
{
    interrupt_with(FITS, false);
}

static void a_signal_handler_may_use_it_as_soon_as_its_thread_has_the_books(void)
{
    interrupt_with(FITS, true);
}

static void *be_met_and_interrupted(void *context)
{
    static taker unknown;
    (void)context;
    self = &unknown;
    at_next_map = interrupt;
    take_once();
    return NULL;
}

static void a_signal_handler_may_use_the_gil_while_its_thread_is_met(void)
{
    pthread_t thread;
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    interpreter_let_go(main_interpreter());
    for (int i = 1; i < GP_THREAD_PAGE; i++) /* the next record needs memory */
        use(main_interpreter(), 1);
    signal(SIGUSR1, use_the_gil);
    atomic_store(&cycles_in_handler, 3);
    CHECK_EQUAL(pthread_create(&thread, NULL, be_met_and_interrupted, NULL), 0);
    pthread_join(thread, NULL);
    CHECK_EQUAL(atomic_load(&handled), 1);
    interpreter_take_gil(main_interpreter());
    stop(session);
    gp_tracer_forget(session);
}

/* There is no room for what the handler does any more, and nobody but its own thread to make some. */
static void a_signal_handler_does_not_wait_for_what_it_has_interrupted(void)
{
    interrupt_with(5 * GP_JOURNAL_NOTES, false);
}

static void a_signal_handler_does_not_wait_for_a_lock_that_its_thread_has_just_got(void)
{
    interrupt_with(5 * GP_JOURNAL_NOTES, true);
}

static bool has_one_thread(void)
{
    struct stat folder;
    return stat("/proc/self/task", &folder) == 0 && folder.st_nlink == 3;
}

static void use_the_gil_for_long(int number)
{
    (void)number;
    CHECK(books_are_locked());
    for (int i = 0; i < 3; i++) {
        usleep(60000); /* then it is time to write again */
        interpreter_take_gil(main_interpreter());
        interpreter_let_go(main_interpreter());
    }
    atomic_fetch_add(&handled, 1);
}

/* It would have to read what is being read. */
static void a_signal_handler_writes_no_recording_while_its_thread_keeps_the_books(void)
{
    char path[] = "/tmp/gp_keeping_XXXXXX";
    gp_recorder *recorder = NULL;
    int error = 0, file = mkstemp(path);
    CHECK(file >= 0);
    begin_prepared();
    if (has_one_thread()) { /* ThreadSanitizer brings one of its own */
        CHECK_EQUAL(gp_recorder_open(path, GP_RECORDER_REPLACE | GP_RECORDER_ALONE, &recorder, &error),
                    GP_OK);
        gp_session *session = start((gp_tracer_wishes){.recorder = recorder});
        signal(SIGUSR1, use_the_gil_for_long);
        at_next_books = interrupt;
        for (int i = 0; i < 2 * GP_JOURNAL_DUE; i++)
            cycle_gil();
        CHECK_EQUAL(atomic_load(&handled), 1);
        CHECK(gp_recorder_has_no_thread(recorder));
        reading read = read_part(session, 0);
        CHECK_EQUAL(row_of(&read, own_number()).acquisitions, 2 * GP_JOURNAL_DUE + 3);
        stop(session);
        gp_recorder_free(recorder);
        gp_tracer_forget(session);
    }
    close(file);
    CHECK_EQUAL(unlink(path), 0);
}

static void fork_and_go_on(int number)
{
    (void)number;
    CHECK(books_are_locked());
    pid_t child = fork();
    if (child == 0) {
        interpreter_after_fork();
        for (int i = 0; i < 3 * GP_JOURNAL_NOTES; i++)
            cycle_gil();
        _exit(gp_test_status());
    }
    check_exit(child);
    atomic_fetch_add(&handled, 1);
}

static void fork_in_a_handler(bool at_books)
{
    taker one;
    gp_session *session = begin_with(&one, (gp_tracer_wishes){0});
    signal(SIGUSR1, fork_and_go_on);
    atomic_store(at_books ? &one.at_books : &one.at_map, interrupt);
    tell(&one, 4 * GP_JOURNAL_NOTES);
    await(&one);
    CHECK_EQUAL(atomic_load(&handled), 1);
    reading read = read_again(session);
    check_possible(&read);
    check_all_counted(&read, &one);
    end_taker(&one);
    gp_tracer_forget(session);
}

static void a_signal_handler_may_fork_while_its_thread_keeps_the_books(void)
{
    fork_in_a_handler(false);
}

static void a_signal_handler_may_fork_as_soon_as_its_thread_has_the_books(void)
{
    fork_in_a_handler(true);
}

/* ---- forks ---- */

static atomic_bool inside, left;

static void stay_inside(void)
{
    atomic_store(&inside, true);
    usleep(20000);
    atomic_store(&left, true);
}

/* The child finds the books whole, and free. */
static void a_fork_waits_for_who_keeps_the_books(void)
{
    taker one;
    gp_session *session = begin_with(&one, (gp_tracer_wishes){0});
    interpreter_take_gil(main_interpreter());
    unsigned long all = 1 + GP_JOURNAL_DUE - 1; /* with the last one, the books are due */
    atomic_store(&one.at_map, stay_inside);
    tell(&one, GP_JOURNAL_DUE - 1);
    interpreter_let_go(main_interpreter());
    while (!atomic_load(&inside))
        nap();
    interpreter_take_gil(main_interpreter());
    pid_t child = fork();
    if (child == 0) {
        interpreter_after_fork();
        CHECK(atomic_load(&left));
        CHECK(!books_are_locked());
        cycle_gil();
        reading read = read_part(session, 0);
        check_possible(&read);
        CHECK_EQUAL(row_of(&read, one.native_id).acquisitions, all);
        CHECK(row_of(&read, one.native_id).ended);
        CHECK_EQUAL(row_of(&read, own_number()).acquisitions, 3);
        gp_tracer_forget(session);
        _exit(gp_test_status());
    }
    check_exit(child);
    interpreter_let_go(main_interpreter());
    await(&one);
    end_taker(&one);
    reading read = read_again(session);
    check_possible(&read);
    check_all_counted(&read, &one);
    gp_tracer_forget(session);
}

/* A fork without the GIL waits for nobody. Who keeps the books may just have taken the list of journals. */
static void a_child_of_a_fork_without_the_gil_reads_what_its_thread_notes(void)
{
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    cycle_gil();
    interpreter_let_go(main_interpreter());
    gp_journal *taken = atomic_exchange(&stream->listed, NULL);
    CHECK(taken != NULL);
    pid_t child = fork();
    if (child == 0) {
        interpreter_after_fork();
        cycle_gil();
        reading read = read_part(session, 0);
        CHECK_EQUAL(row_of(&read, own_number()).acquisitions, 3);
        _exit(gp_test_status());
    }
    check_exit(child);
    atomic_store(&stream->listed, taken);
    interpreter_take_gil(main_interpreter());
    gp_tracer_forget(session);
}

/* ---- the end of a trace, and the begin of another ---- */

static void *wait_and_take(void *context)
{
    worker *one = context;
    one->native_id = own_number();
    interpreter_take_gil(one->of);
    one->acquisitions++;
    interpreter_let_go(one->of);
    return NULL;
}

/* However often it has looked at the GIL meanwhile. */
static void a_thread_waits_since_it_asked_first(void)
{
    enum { HELD_NS = 20000000 };
    worker one = {.of = main_interpreter()};
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    CHECK_EQUAL(pthread_create(&one.thread, NULL, wait_and_take, &one), 0);
    while (!main_interpreter()->gil.wanted)
        nap();
    uint64_t begin = gp_clock_monotonic_ns();
    while (gp_clock_monotonic_ns() - begin < HELD_NS)
        nap();
    interpreter_let_go(main_interpreter());
    end_work(&one);
    interpreter_take_gil(main_interpreter());
    reading read = read_part(session, 0);
    check_possible(&read);
    CHECK(row_of(&read, one.native_id).wait_ns >= HELD_NS / 2); /* the clock's rate is known roughly yet */
    gp_tracer_forget(session);
}

static bool waits_in(gp_session *session, const worker *one)
{
    reading read = read_part(session, 0);
    return row_of(&read, one->native_id).wait_ns > 0;
}

static void a_thread_may_wait_through_the_end_of_a_trace_and_the_begin_of_another(void)
{
    enum { TRACES = 4 };
    worker one = {.of = main_interpreter()};
    begin_prepared();
    gp_session *sessions[TRACES];
    sessions[0] = start((gp_tracer_wishes){0});
    host.cycle_gil = NULL; /* no handshake any more: this thread keeps the GIL */
    CHECK_EQUAL(pthread_create(&one.thread, NULL, wait_and_take, &one), 0);
    for (int i = 0; i < TRACES; i++) {
        while (!waits_in(sessions[i], &one))
            nap();
        stop(sessions[i]);
        reading read = read_part(sessions[i], 0);
        check_possible(&read);
        gp_account_row row = row_of(&read, one.native_id);
        CHECK_EQUAL(row.acquisitions, 0);
        if (i != 0) /* it waited already when this trace began */
            CHECK(row.wait_ns + 1 >= row.lifetime_ns);
        if (i + 1 < TRACES)
            sessions[i + 1] = start((gp_tracer_wishes){0});
    }
    gp_session *last = start((gp_tracer_wishes){0});
    interpreter_let_go(main_interpreter());
    end_work(&one);
    interpreter_take_gil(main_interpreter());
    reading read = read_part(last, 0);
    check_possible(&read);
    check_counted(&read, &one);
    gp_tracer_forget(last);
    for (int i = 0; i < TRACES; i++)
        gp_tracer_forget(sessions[i]);
}

/* It has noted less than anybody reads, and nobody asks it any more. */
static void the_notes_of_a_thread_that_has_ended_are_read(void)
{
    taker one, two;
    gp_session *session = begin_with(&one, (gp_tracer_wishes){0});
    tell(&one, 3);
    end_taker(&one);
    begin_taker(&two);
    end_taker(&two);
    interpreter_take_gil(main_interpreter());
    stop(session);
    reading read = read_part(session, 0);
    check_possible(&read);
    check_all_counted(&read, &one);
    check_all_counted(&read, &two);
    CHECK(row_of(&read, one.native_id).ended && row_of(&read, two.native_id).ended);
    gp_tracer_forget(session);
}

/* ---- many threads ---- */

typedef struct {
    uint64_t threads, acquisitions, releases;
} sums;

static sums sum_of(const reading *read)
{
    sums sum = {0};
    for (size_t i = 0; i < read->count && i < READING_ROWS; i++) {
        sum.threads += read->rows[i].merged;
        sum.acquisitions += read->rows[i].acquisitions;
        sum.releases += read->rows[i].releases;
    }
    return sum;
}

static void thousands_of_threads_may_come_and_go(void)
{
    enum { ROUNDS = 1000, AT_ONCE = 4 };
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    session->keep = 20;
    session->keep_largest = 4;
    interpreter_let_go(main_interpreter());
    sums all = {.threads = 1};
    for (int round = 0; round < ROUNDS; round++) {
        worker workers[AT_ONCE];
        for (unsigned i = 0; i < AT_ONCE; i++)
            begin_work(&workers[i], main_interpreter(), 1 + i);
        for (int i = 0; i < AT_ONCE; i++) {
            end_work(&workers[i]);
            all.threads++;
            all.acquisitions += workers[i].acquisitions;
        }
    }
    interpreter_take_gil(main_interpreter());
    stop(session);
    reading read = read_part(session, 0);
    check_possible(&read);
    sums booked = sum_of(&read);
    CHECK(read.count < READING_ROWS);
    CHECK_EQUAL(booked.threads, all.threads);
    CHECK_EQUAL(booked.acquisitions, all.acquisitions + 1);
    CHECK_EQUAL(booked.releases, all.acquisitions + 1);
    CHECK(gp_threads_count(&gp_tracer.threads) < ROUNDS); /* records serve again */
    gp_tracer_forget(session);
}

/* ---- threads whose first call tells little ---- */

static void *ask_and_exit(void *context)
{
    worker *one = context;
    one->native_id = own_number();
    if (one->cycles != 0)
        cycle(one);
    atomic_store(&inside, true);
    while (!atomic_load(&left))
        nap();
    interpreter_ask_and_exit(one->of);
    return NULL;
}

static bool is_known_to_wait(const worker *one)
{
    size_t last = gp_threads_count(&gp_tracer.threads) - 1;
    while (gp_threads_at(&gp_tracer.threads, last)->native_id != one->native_id)
        if (last-- == 0)
            return false;
    return atomic_load(&gp_threads_at(&gp_tracer.threads, last)->journal.asked) != 0;
}

/* As those of daemons do when the interpreter ends. */
static void a_thread_that_has_to_exit_takes_nothing(void)
{
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    for (unsigned cycles = 0; cycles < 2; cycles++) {
        worker one = {.of = main_interpreter(), .cycles = cycles};
        atomic_store(&inside, false);
        atomic_store(&left, false);
        CHECK_EQUAL(pthread_create(&one.thread, NULL, ask_and_exit, &one), 0);
        interpreter_let_go(main_interpreter());
        while (!atomic_load(&inside))
            nap();
        interpreter_take_gil(main_interpreter());
        atomic_store(&left, true);
        while (!is_known_to_wait(&one)) /* and nobody has read that */
            nap();
        interpreter_let_go(main_interpreter());
        end_work(&one);
        interpreter_take_gil(main_interpreter());
        reading read = read_part(session, 0);
        check_possible(&read);
        check_counted(&read, &one);
        CHECK(row_of(&read, one.native_id).wait_ns > 0);
        CHECK(row_of(&read, one.native_id).ended);
    }
    gp_tracer_forget(session);
}

/* Nobody saw it take the GIL, and so nobody counts that. */
static void a_thread_that_had_its_gil_before_the_trace_lets_it_go(void)
{
    begin_prepared();
    interpreter_begin(1, 7);
    interpreter *other = interpreter_at(1);
    gp_session *first = start((gp_tracer_wishes){0});
    interpreter_take_gil(other);
    gp_session *second = start((gp_tracer_wishes){0});
    interpreter_let_go(other);
    reading before = read_part(first, 1), after = read_part(second, 1);
    check_possible(&before);
    check_possible(&after);
    CHECK_EQUAL(row_of(&before, own_number()).acquisitions, 1);
    CHECK_EQUAL(row_of(&after, own_number()).acquisitions, 0);
    CHECK_EQUAL(row_of(&before, own_number()).releases, 1);
    CHECK_EQUAL(row_of(&after, own_number()).releases, 1);
    CHECK(row_of(&after, own_number()).hold_ns > 0);
    gp_tracer_forget(second);
    gp_tracer_forget(first);
}

int main(void)
{
    IN_CHILD(a_thread_that_has_noted_much_keeps_the_books);
    IN_CHILD(a_thread_that_passes_by_does_not_wait_for_who_keeps_them);
    IN_CHILD(a_thread_without_room_for_its_note_waits_until_there_is_some);
    IN_CHILD(the_books_are_right_beside_all_who_keep_and_read_them);
    IN_CHILD(a_recording_that_is_flushed_has_all_that_was_noted);
    IN_CHILD(a_signal_handler_may_use_the_gil_while_its_thread_keeps_the_books);
    IN_CHILD(a_signal_handler_may_use_it_as_soon_as_its_thread_has_the_books);
    IN_CHILD(a_signal_handler_may_use_the_gil_while_its_thread_is_met);
    IN_CHILD(a_signal_handler_does_not_wait_for_what_it_has_interrupted);
    IN_CHILD(a_signal_handler_does_not_wait_for_a_lock_that_its_thread_has_just_got);
    IN_CHILD(a_signal_handler_writes_no_recording_while_its_thread_keeps_the_books);
    IN_CHILD(a_signal_handler_may_fork_while_its_thread_keeps_the_books);
    IN_CHILD(a_signal_handler_may_fork_as_soon_as_its_thread_has_the_books);
    IN_CHILD(a_fork_waits_for_who_keeps_the_books);
    IN_CHILD(a_child_of_a_fork_without_the_gil_reads_what_its_thread_notes);
    IN_CHILD(a_thread_waits_since_it_asked_first);
    IN_CHILD(a_thread_may_wait_through_the_end_of_a_trace_and_the_begin_of_another);
    IN_CHILD(the_notes_of_a_thread_that_has_ended_are_read);
    IN_CHILD(thousands_of_threads_may_come_and_go);
    IN_CHILD(a_thread_that_has_to_exit_takes_nothing);
    IN_CHILD(a_thread_that_had_its_gil_before_the_trace_lets_it_go);
    return gp_test_status();
}
