#define _GNU_SOURCE
#include "trace/gp_wrappers.h"

#include "gp_test.h"

#include <sys/stat.h>

#include "hooks/gp_hooks.h"
#include "interpreter.h"
#include "recording/gp_recorder.h"
#include "trace/gp_trace_parts.h"
#include "trace/gp_tracer_object.h"

static bool reason_has(const char *reason, const char *words)
{
    return strstr(reason, words) != NULL;
}

static interpreter_gil *main_gil(void)
{
    return &main_interpreter()->gil;
}

/* ---- the slots ---- */

static void an_object_without_those_calls_is_refused(void)
{
    const char *reason = "";
    begin_interpreter();
    host.interpreter = (const void *)getppid; /* in the C library */
    CHECK_EQUAL(gp_wrappers_find(&host, &reason), GP_EUNSUPPORTED);
    CHECK(reason_has(reason, "does not import"));
}

static void an_address_in_no_object_is_refused(void)
{
    const char *reason = "";
    begin_interpreter();
    char *nowhere = malloc(1);
    host.interpreter = nowhere;
    CHECK_EQUAL(gp_wrappers_find(&host, &reason), GP_EUNSUPPORTED);
    CHECK(reason_has(reason, "no readable dynamic section"));
    free(nowhere);
}

/* Where the interpreter calls this function of the C library. */
static gp_slot slot_of(const char *name)
{
    gp_hook hook = {.name = name};
    CHECK_EQUAL(gp_hooks_find(host.interpreter, &hook, 1), GP_OK);
    CHECK_EQUAL(hook.slot_count, 1);
    return hook.slots[0];
}

/* As another tool would do it. */
static void *put(const gp_slot *slot, void *value)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *start_of_page = (void *)((uintptr_t)slot->address & ~(page - 1)), *before = *slot->address;
    mprotect(start_of_page, page, PROT_READ | PROT_WRITE);
    *slot->address = value;
    if (slot->relro)
        mprotect(start_of_page, page, PROT_READ);
    return before;
}

static void begin_found(void)
{
    const char *reason = "";
    begin_interpreter();
    CHECK_EQUAL(gp_wrappers_find(&host, &reason), GP_OK);
    interpreter_take_gil(main_interpreter());
}

static void wrappers_stand_in_the_slots_from_install_to_remove(void)
{
    begin_found();
    gp_slot lock = slot_of("pthread_mutex_lock"), wait = slot_of("pthread_cond_wait");
    void *before = *lock.address, *waits_before = *wait.address;
    CHECK_EQUAL(gp_wrappers_install(&host), GP_OK);
    CHECK(gp_wrappers_in_place());
    CHECK(*lock.address != before);
    CHECK(*wait.address == waits_before); /* only the handshake needs that one */
    put(&lock, before);
    CHECK(!gp_wrappers_in_place());
    CHECK_EQUAL(gp_wrappers_install(&host), GP_OK);
    CHECK(gp_wrappers_in_place());
    gp_wrappers_remove();
    CHECK(*lock.address == before);
    cycle_gil();
}

static void pages_that_stay_read_only_leave_all_as_it_was(void)
{
    gp_wrappers_notes taken = {.count = 0};
    begin_found();
    void *before = *slot_of("pthread_mutex_lock").address;
    atomic_store(&pages_stay, true);
    CHECK_EQUAL(gp_wrappers_handshake(&host, &taken), GP_ESYSTEM);
    CHECK_EQUAL(gp_wrappers_install(&host), GP_ESYSTEM);
    CHECK_EQUAL(taken.count, 0);
    CHECK(*slot_of("pthread_mutex_lock").address == before);
    atomic_store(&pages_stay, false);
    CHECK_EQUAL(gp_wrappers_handshake(&host, &taken), GP_OK);
}

/* ---- the handshake ---- */

static void check_recognised(const gp_wrappers_notes *taken)
{
    gp_gil_locks locks;
    CHECK(taken->count <= GP_HANDSHAKE_MAX);
    CHECK_EQUAL(gp_handshake_recognise(taken->steps, taken->count, &locks), GP_OK);
    CHECK(locks.mutex == &main_gil()->mutex && locks.cond == &main_gil()->cond);
    CHECK(locks.switch_mutex == &main_gil()->switch_mutex && locks.switch_cond == &main_gil()->switch_cond);
}

static void a_handshake_notes_what_one_cycle_calls(void)
{
    gp_wrappers_notes taken = {.count = 0};
    begin_found();
    void *before = *slot_of("pthread_cond_wait").address;
    CHECK_EQUAL(gp_wrappers_handshake(&host, &taken), GP_OK);
    CHECK_EQUAL(taken.count, 8);
    check_recognised(&taken);
    CHECK(*slot_of("pthread_cond_wait").address == before);
    cycle_gil();
    CHECK_EQUAL(taken.count, 8);
}

/* It gets the GIL as the main thread gives it up for the handshake. */
static void *hold_for_long(void *context)
{
    interpreter_take_gil(context);
    usleep(20000); /* some hundred rounds of the other's waiting, or fewer while other programs run */
    interpreter_let_go(context);
    return NULL;
}

static void a_handshake_that_has_to_wait_for_long_is_as_short(void)
{
    gp_wrappers_notes taken = {.count = 0};
    pthread_t other;
    begin_found();
    CHECK_EQUAL(pthread_create(&other, NULL, hold_for_long, main_interpreter()), 0);
    while (!main_gil()->wanted)
        ;
    CHECK_EQUAL(gp_wrappers_handshake(&host, &taken), GP_OK);
    check_recognised(&taken);
    pthread_join(other, NULL);
}

/* What another thread calls in the handshake is not noted; it has none of its own. */
static void a_handshake_notes_only_its_own_thread(void)
{
    worker other;
    begin_found();
    begin_work(&other, main_interpreter(), 200);
    for (int i = 0; i < 50; i++) {
        gp_wrappers_notes taken = {.count = 0};
        CHECK_EQUAL(gp_wrappers_handshake(&host, &taken), GP_OK);
        check_recognised(&taken);
    }
    interpreter_let_go(main_interpreter());
    end_work(&other);
}

static void the_release_in_the_handshake_is_known_to_be_voluntary(void)
{
    begin_found();
    CHECK(!gp_tracer.releases_told_apart);
    CHECK_EQUAL(gp_wrappers_handshake(&host, &(gp_wrappers_notes){.count = 0}), GP_OK);
    CHECK(gp_tracer.releases_told_apart);
}

/* As where the functions have other names. */
static void verdicts_are_not_trusted_if_that_one_is_not_found_out(void)
{
    static const void *const nothing[] = {NULL};
    begin_found();
    host.voluntary = nothing;
    CHECK_EQUAL(gp_wrappers_handshake(&host, &(gp_wrappers_notes){.count = 0}), GP_OK);
    CHECK(!gp_tracer.releases_told_apart);
}

/* ---- locks that are no GIL's ---- */

static void calls_with_other_locks_pass_through(void)
{
    const struct timespec past = {.tv_sec = 1};
    interpreter_gil other = {.cond = PTHREAD_COND_INITIALIZER};
    pthread_mutexattr_t checked;
    CHECK_EQUAL(pthread_mutexattr_init(&checked), 0);
    CHECK_EQUAL(pthread_mutexattr_settype(&checked, PTHREAD_MUTEX_ERRORCHECK), 0);
    CHECK_EQUAL(pthread_mutex_init(&other.mutex, &checked), 0);
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    errno = 4711;
    CHECK_EQUAL(interpreter_lock(&other.mutex), 0);
    CHECK_EQUAL(interpreter_lock(&other.mutex), EDEADLK);
    CHECK_EQUAL(interpreter_signal(&other.cond), 0);
    CHECK_EQUAL(interpreter_wait_until(&other.cond, &other.mutex, &past), ETIMEDOUT);
    CHECK_EQUAL(interpreter_unlock(&other.mutex), 0);
    CHECK_EQUAL(errno, 4711);
    reading read = read_part(session, 0);
    CHECK_EQUAL(row_of(&read, own_number()).releases, 0);
    CHECK_EQUAL(gp_tracer_parts(session), 1);
    gp_tracer_forget(session);
}

/* ---- the calling thread's records ---- */

static void a_thread_has_a_record_from_its_first_event_on(void)
{
    begin_prepared();
    CHECK(gp_wrappers_current() == NULL && gp_wrappers_elsewhere() == NULL);
    gp_session *session = start((gp_tracer_wishes){0});
    gp_thread *record = gp_wrappers_current();
    CHECK(record != NULL && record->native_id == own_number());
    cycle_gil();
    CHECK(gp_wrappers_current() == record);
    CHECK(gp_wrappers_follow() == record);
    gp_tracer_forget(session);
    session = start((gp_tracer_wishes){0});
    CHECK(gp_wrappers_current() == record);
    gp_tracer_forget(session);
}

static void *hide_and_follow(void *context)
{
    (void)context;
    gp_tracer_hide();
    interpreter_take_gil(main_interpreter());
    CHECK(gp_wrappers_current() == NULL);
    CHECK(gp_wrappers_follow() == NULL);
    interpreter_let_go(main_interpreter());
    return NULL;
}

static void a_hidden_thread_gets_no_record_and_one_that_has_one_keeps_it(void)
{
    pthread_t other;
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    gp_tracer_hide();
    CHECK(gp_wrappers_follow() != NULL);
    interpreter_let_go(main_interpreter());
    CHECK_EQUAL(pthread_create(&other, NULL, hide_and_follow, NULL), 0);
    pthread_join(other, NULL);
    interpreter_take_gil(main_interpreter());
    gp_tracer_forget(session);
    session = start((gp_tracer_wishes){0});
    CHECK(gp_wrappers_follow() != NULL);
    gp_tracer_forget(session);
}

static void a_thread_has_a_record_at_each_gil_and_one_label(void)
{
    begin_prepared();
    interpreter_begin(1, 7);
    interpreter_begin(2, 8);
    gp_session *session = start((gp_tracer_wishes){0});
    gp_tracer_label(41);
    interpreter_let_go(main_interpreter());
    for (size_t place = 1; place <= 2; place++) {
        interpreter_take_gil(interpreter_at(place));
        interpreter_let_go(interpreter_at(place));
    }
    interpreter_take_gil(main_interpreter());
    const gp_thread *last = gp_wrappers_elsewhere();
    CHECK(last != NULL && last->next_elsewhere != NULL && last->next_elsewhere->next_elsewhere == NULL);
    for (size_t part = 0; part <= 2; part++) {
        reading read = read_part(session, part);
        CHECK_EQUAL(row_of(&read, own_number()).label, 41);
    }
    gp_tracer_label(42);
    for (size_t part = 0; part <= 2; part++) {
        reading read = read_part(session, part);
        CHECK_EQUAL(row_of(&read, own_number()).label, 42);
    }
    gp_tracer_forget(session);
}

static void without_memory_a_thread_has_no_record_and_works(void)
{
    enum { PAGE = GP_THREAD_PAGE };
    begin_prepared();
    gp_session *session = start((gp_tracer_wishes){0});
    interpreter_let_go(main_interpreter());
    for (int i = 1; i < PAGE; i++) /* the records of so many come at one time */
        use(main_interpreter(), 1);
    atomic_store(&maps_left, 0);
    worker lost = use(main_interpreter(), 3);
    atomic_store(&maps_left, LONG_MAX);
    interpreter_take_gil(main_interpreter());
    gp_snapshot_facts facts = gp_trace_parts_facts(session);
    CHECK(facts.lost >= 1);
    CHECK_EQUAL(lost.acquisitions, 3 + lost.forced);
    gp_tracer_forget(session);
}

/* ---- where ---- */

static uint32_t where(void)
{
    return gp_wrappers_where(&gp_tracer.main_gil);
}

static const gp_place_name *name_of(uint32_t place)
{
    return gp_places_at(&gp_tracer.main_gil.state.places, place);
}

/* The function's name in the description, which ends with the file's. */
static bool is_called(uint32_t place, const char *name)
{
    size_t size = strlen(name);
    const gp_place_name *found = name_of(place);
    return found->size >= size + 7 && memcmp(found->text + found->size - 7 - size, name, size) == 0;
}

static void be_in_two_levels(void)
{
    codes[1].name = "inner";
    codes[2].name = "outer";
    be_at(1, 5);
    keys_here[1] = (gp_site_key){&codes[2], 6};
    depth_here = 2;
}

static void the_innermost_level_is_enough_unless_the_whole_stack_is_asked_for(void)
{
    begin_prepared();
    gp_session *accounts = start((gp_tracer_wishes){0});
    be_in_two_levels();
    CHECK_EQUAL(where(), GP_ROW_NONE); /* nobody wants to know */
    gp_session *sites = start((gp_tracer_wishes){.sites = true});
    uint32_t site = where();
    CHECK(is_called(site, "inner"));
    CHECK_EQUAL(name_of(site)->parent, GP_ROW_NONE);
    CHECK_EQUAL(gp_tracer.main_gil.state.places.count, 1);
    gp_session *stacks = start((gp_tracer_wishes){.stacks = true});
    uint32_t stack = where();
    CHECK(is_called(stack, "inner") && is_called(name_of(stack)->parent, "outer"));
    CHECK_EQUAL(name_of(stack)->site, site);
    gp_tracer_forget(stacks);
    CHECK_EQUAL(where(), site); /* that is enough again */
    depth_here = 0;
    CHECK_EQUAL(where(), GP_NO_FRAME);
    gp_tracer_forget(sites);
    gp_tracer_forget(accounts);
}

/* What it remembers of the last places is as good as asking anew. */
static void places_are_the_same_each_time_they_are_met(void)
{
    enum { LINES = 100 };
    uint32_t first[LINES];
    begin_prepared();
    codes[0].name = "f";
    gp_session *session = start((gp_tracer_wishes){.sites = true});
    for (int turn = 0; turn < 3; turn++)
        for (int line = 0; line < LINES; line++) {
            be_at(0, line);
            uint32_t place = where();
            CHECK_EQUAL(place, turn == 0 ? (uint32_t)line : first[line]);
            first[line] = place;
            CHECK_EQUAL(where(), place);
        }
    gp_tracer_forget(session);
}

static bool stands_for_caller(gp_site_key *key)
{
    if (key->code != &codes[0] || depth_here < 2)
        return false;
    *key = keys_here[1];
    return true;
}

/* As the import system's functions do for whoever imports. */
static void a_place_that_stands_for_its_caller_is_looked_up_each_time(void)
{
    begin_prepared();
    host.stands_for_caller = stands_for_caller;
    codes[0].name = "helper";
    codes[1].name = "one";
    codes[2].name = "two";
    gp_session *session = start((gp_tracer_wishes){.sites = true});
    be_at(0, 1);
    depth_here = 2;
    for (size_t turn = 0; turn < 4; turn++) {
        keys_here[1] = (gp_site_key){&codes[1 + turn % 2], 7};
        cycle_gil();
    }
    reading read = read_part(session, 0);
    CHECK_EQUAL(releases_of(&read, "one"), 2);
    CHECK_EQUAL(releases_of(&read, "two"), 2);
    CHECK_EQUAL(releases_of(&read, "helper"), 0);
    gp_tracer_forget(session);
}

/* ---- another tool on top ---- */

static atomic_ulong seen_by_other;
static int (*behind_other)(pthread_mutex_t *mutex);

static int other_lock(pthread_mutex_t *mutex)
{
    atomic_fetch_add(&seen_by_other, 1);
    return behind_other(mutex);
}

static void check_one_cycle(gp_session *session)
{
    unsigned long before = atomic_load(&seen_by_other);
    cycle_gil();
    CHECK_EQUAL(atomic_load(&seen_by_other), before + 3); /* M twice, S once */
    stop(session);
    reading read = read_part(session, 0);
    CHECK_EQUAL(row_of(&read, own_number()).acquisitions, 1);
    CHECK_EQUAL(row_of(&read, own_number()).imbalance_ticks, 0);
}

/* It leads to our wrapper, which stays below it after the stop, and is not to be put on top. */
static void a_wrapper_below_anothers_sees_each_call_once(void)
{
    begin_prepared();
    gp_slot slot = slot_of("pthread_mutex_lock");
    gp_session *first = start((gp_tracer_wishes){0});
    behind_other = (int (*)(pthread_mutex_t *))put(&slot, (void *)other_lock);
    check_one_cycle(first);
    reading read = read_part(first, 0);
    CHECK(read.totals.flags & GP_SNAPSHOT_HOOKS_LOST);
    cycle_gil();
    for (int i = 0; i < 2; i++) {
        gp_session *again = start((gp_tracer_wishes){0});
        CHECK(*slot.address == (void *)other_lock);
        check_one_cycle(again);
        read = read_part(again, 0);
        CHECK((read.totals.flags & GP_SNAPSHOT_HOOKS_LOST) == 0);
        gp_tracer_forget(again);
    }
    gp_tracer_forget(first);
}

static void a_tool_that_was_there_first_still_sees_each_call(void)
{
    begin_prepared();
    gp_slot slot = slot_of("pthread_mutex_lock");
    behind_other = (int (*)(pthread_mutex_t *))put(&slot, (void *)other_lock);
    gp_session *session = start((gp_tracer_wishes){0});
    worker other;
    begin_work(&other, main_interpreter(), 100);
    interpreter_let_go(main_interpreter());
    end_work(&other);
    interpreter_take_gil(main_interpreter());
    reading all = read_part(session, 0);
    check_possible(&all);
    check_counted(&all, &other);
    gp_tracer_forget(session);
    session = start((gp_tracer_wishes){0});
    check_one_cycle(session);
    CHECK(*slot.address == (void *)other_lock);
    gp_tracer_forget(session);
}

/* ---- threads that meet at the GIL ---- */

static int (*behind_wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static atomic_uint waits;

static int counted_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    waits++;
    return behind_wait(cond, mutex, until);
}

static bool somebody_asks(void)
{
    for (size_t i = 0; i < gp_threads_count(&gp_tracer.threads); i++)
        if (atomic_load(&gp_threads_at(&gp_tracer.threads, i)->journal.asked) != 0)
            return true;
    return false;
}

/* One more thread wants the GIL while the calling one has it for some time more. */
static void check_meeting(uint64_t courtesy, bool sleeps)
{
    begin_prepared();
    gp_slot slot = slot_of("pthread_cond_timedwait");
    behind_wait = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))put(
        &slot, (void *)counted_wait);
    gp_session *session = start((gp_tracer_wishes){0});
    gp_tracer.courtesy_ticks = courtesy;
    worker other;
    begin_work(&other, main_interpreter(), 1);
    while (!somebody_asks() || (sleeps && atomic_load(&waits) == 0))
        usleep(100);
    uint64_t since = gp_clock_ticks();
    usleep(2000);
    uint64_t waited = gp_clock_ticks() - since;
    interpreter_let_go(main_interpreter());
    end_work(&other);
    interpreter_take_gil(main_interpreter());
    reading all = read_part(session, 0);
    check_possible(&all);
    check_counted(&all, &other);
    gp_account_row row = row_of(&all, other.native_id);
    CHECK_EQUAL(row.contended_acquisitions, 1);
    CHECK(row.wait_ns >= gp_clock_to_ns(gp_clock_rate_estimate(), waited) / 2);
    CHECK_EQUAL(atomic_load(&waits) != 0, sleeps);
    gp_tracer_forget(session);
}

static void a_thread_whose_holder_finishes_soon_waits_without_sleeping(void)
{
    check_meeting(UINT64_MAX, false);
}

static void a_thread_whose_holder_does_not_finish_soon_sleeps(void)
{
    check_meeting(0, true);
}

/* ---- a process of one thread ---- */

static off_t size_of(const char *path)
{
    struct stat file;
    return stat(path, &file) == 0 ? file.st_size : -1;
}

static bool has_one_thread(void)
{
    struct stat folder;
    return stat("/proc/self/task", &folder) == 0 && folder.st_nlink == 3;
}

static void a_process_of_one_thread_writes_when_it_has_let_the_gil_go(void)
{
    char directory[] = "/tmp/gp_wrappers_XXXXXX", path[64];
    gp_recorder *recorder = NULL;
    int error = 0;
    if (!has_one_thread())
        return; /* ThreadSanitizer brings one of its own */
    begin_prepared();
    CHECK(mkdtemp(directory) != NULL);
    snprintf(path, sizeof path, "%s/recording", directory);
    CHECK_EQUAL(gp_recorder_open(path, GP_RECORDER_ALONE, &recorder, &error), GP_OK);
    gp_session *session = start((gp_tracer_wishes){.recorder = recorder});
    CHECK_EQUAL(size_of(path), 0);
    errno = 4711;
    cycle_gil();
    CHECK_EQUAL(errno, 4711);
    CHECK(size_of(path) > 0);
    CHECK(gp_recorder_has_no_thread(recorder));
    use(main_interpreter(), 0); /* a thread that has nothing to do with the GIL */
    CHECK(gp_recorder_has_no_thread(recorder));
    interpreter_let_go(main_interpreter());
    use(main_interpreter(), 1);
    CHECK(!gp_recorder_has_no_thread(recorder)); /* from the second thread on */
    interpreter_take_gil(main_interpreter());
    stop(session);
    gp_recorder_free(recorder);
    gp_tracer_forget(session);
    CHECK_EQUAL(unlink(path), 0);
    CHECK_EQUAL(rmdir(directory), 0);
}

int main(void)
{
    IN_CHILD(an_object_without_those_calls_is_refused);
    IN_CHILD(an_address_in_no_object_is_refused);
    IN_CHILD(wrappers_stand_in_the_slots_from_install_to_remove);
    IN_CHILD(pages_that_stay_read_only_leave_all_as_it_was);
    IN_CHILD(a_handshake_notes_what_one_cycle_calls);
    IN_CHILD(a_handshake_that_has_to_wait_for_long_is_as_short);
    IN_CHILD(a_handshake_notes_only_its_own_thread);
    IN_CHILD(the_release_in_the_handshake_is_known_to_be_voluntary);
    IN_CHILD(verdicts_are_not_trusted_if_that_one_is_not_found_out);
    IN_CHILD(calls_with_other_locks_pass_through);
    IN_CHILD(a_thread_has_a_record_from_its_first_event_on);
    IN_CHILD(a_hidden_thread_gets_no_record_and_one_that_has_one_keeps_it);
    IN_CHILD(a_thread_has_a_record_at_each_gil_and_one_label);
    IN_CHILD(without_memory_a_thread_has_no_record_and_works);
    IN_CHILD(the_innermost_level_is_enough_unless_the_whole_stack_is_asked_for);
    IN_CHILD(places_are_the_same_each_time_they_are_met);
    IN_CHILD(a_place_that_stands_for_its_caller_is_looked_up_each_time);
    IN_CHILD(a_wrapper_below_anothers_sees_each_call_once);
    IN_CHILD(a_tool_that_was_there_first_still_sees_each_call);
    IN_CHILD(a_thread_whose_holder_finishes_soon_waits_without_sleeping);
    IN_CHILD(a_thread_whose_holder_does_not_finish_soon_sleeps);
    IN_CHILD(a_process_of_one_thread_writes_when_it_has_let_the_gil_go);
    return gp_test_status();
}
