#define _GNU_SOURCE
#include "trace/gp_tracer_object.h"

#include "gp_test.h"

#include <sys/wait.h>
#include <unistd.h>

enum { OTHERS = GP_OTHER_GILS_MAX };

/* Memory where a GIL may be: its locks have distances that are the same for all. */
typedef struct {
    char mutex[40], cond[48], switch_mutex[40], switch_cond[48];
} gil_memory;

static gil_memory memory[GP_OTHER_GILS_MAX + 2];

static gp_gil_locks locks_of(size_t n)
{
    return (gp_gil_locks){memory[n].mutex, memory[n].cond, memory[n].switch_mutex, memory[n].switch_cond};
}

static gp_gil *add(size_t n, uint32_t interpreter)
{
    gp_gil_locks locks = locks_of(n);
    gp_gil_table_lock();
    gp_gil *added = gp_gil_table_add(&locks, interpreter);
    gp_gil_table_unlock();
    return added;
}

static void forget(gp_gil *gil)
{
    gp_gil_table_lock();
    gp_gil_table_remove(gil);
    gp_gil_table_unlock();
}

static void check_found(size_t n, const gp_gil *expected)
{
    CHECK(gp_gil_table_with_mutex(memory[n].mutex) == expected);
    CHECK(gp_gil_table_with_cond(memory[n].cond) == expected);
    CHECK(gp_gil_table_with_switch_mutex(memory[n].switch_mutex) == expected);
}

/* ---- locks that are laid out alike ---- */

static void the_locks_of_a_gil_follow_from_one_of_them(void)
{
    gp_gil_locks known = locks_of(3), earlier = gp_gil_table_laid_out(&known, memory[1].switch_mutex),
                 later = gp_gil_table_laid_out(&known, memory[7].switch_mutex);
    CHECK(earlier.mutex == memory[1].mutex && earlier.cond == memory[1].cond);
    CHECK(earlier.switch_mutex == memory[1].switch_mutex && earlier.switch_cond == memory[1].switch_cond);
    CHECK(later.mutex == memory[7].mutex && later.cond == memory[7].cond);
    CHECK(later.switch_mutex == memory[7].switch_mutex && later.switch_cond == memory[7].switch_cond);
}

static bool recognised(const void *first, const void *second)
{
    gp_gil_locks known = locks_of(0);
    return gp_gil_table_recognise(&known, first, second);
}

static void only_both_mutexes_in_their_order_are_a_gils(void)
{
    gil_memory *gil = &memory[2];
    CHECK(recognised(gil->mutex, gil->switch_mutex));
    CHECK(!recognised(gil->switch_mutex, gil->mutex));
    CHECK(!recognised(gil->mutex, gil->mutex));
    CHECK(!recognised(gil->mutex, gil->cond));
    CHECK(!recognised(memory[3].mutex, gil->switch_mutex));
    CHECK(!recognised(gil->mutex, memory[3].switch_mutex));
    CHECK(!recognised(NULL, gil->switch_mutex));
}

/* ---- rows ---- */

static void a_gil_is_found_by_each_lock_that_is_asked_for_until_it_is_removed(void)
{
    gp_gil *one = add(1, 11), *two = add(2, 12);
    CHECK(one != NULL && two != NULL && one != two && one != &gp_tracer.main_gil);
    CHECK_EQUAL(one->interpreter, 11);
    CHECK_EQUAL(two->interpreter, 12);
    check_found(1, one);
    check_found(2, two);
    check_found(3, NULL);
    CHECK(gp_gil_table_with_mutex(memory[1].cond) == NULL);
    forget(one);
    check_found(1, NULL);
    check_found(2, two);
    forget(two);
    check_found(2, NULL);
}

static void the_main_gil_is_not_among_the_others(void)
{
    gp_tracer.main_gil.locks = locks_of(0);
    gp_gil *other = add(1, 1);
    check_found(0, NULL);
    forget(other);
    gp_tracer.main_gil.locks = (gp_gil_locks){0};
}

static void the_count_says_how_many_rows_may_be_in_use(void)
{
    CHECK_EQUAL(gp_tracer.other_count, 0);
    gp_gil *rows[] = {add(1, 1), add(2, 2), add(3, 3)};
    CHECK_EQUAL(gp_tracer.other_count, 3);
    forget(rows[1]); /* one behind it is in use */
    CHECK_EQUAL(gp_tracer.other_count, 3);
    forget(rows[2]);
    CHECK_EQUAL(gp_tracer.other_count, 1);
    forget(rows[0]);
    CHECK_EQUAL(gp_tracer.other_count, 0);
}

static void a_table_that_is_full_takes_another_once_there_is_room(void)
{
    gp_gil *rows[OTHERS];
    for (size_t n = 0; n < OTHERS; n++) {
        rows[n] = add(n + 1, (uint32_t)n);
        CHECK(rows[n] != NULL);
    }
    CHECK(add(OTHERS + 1, 4711) == NULL);
    check_found(OTHERS + 1, NULL);
    for (size_t n = 0; n < OTHERS; n++)
        check_found(n + 1, rows[n]);
    forget(rows[50]);
    CHECK(add(OTHERS + 1, 4711) == rows[50]);
    check_found(OTHERS + 1, rows[50]);
    check_found(51, NULL);
    for (size_t n = 0; n < OTHERS; n++)
        forget(rows[n]);
    CHECK_EQUAL(gp_tracer.other_count, 0);
}

static void no_words(gp_site_key key, gp_buffer *description)
{
    gp_buffer_number(description, (uint64_t)(-key.instruction));
}

/* An interpreter may have memory in which another one has ended. */
static void a_row_that_is_used_again_knows_nothing_of_the_gil_before(void)
{
    static const void *const forced[] = {NULL}, *const voluntary[] = {NULL};
    static gp_thread thread;
    bool lasting;
    gp_tracer.main_gil.releases = (gp_callers){.first = forced, .second = voluntary};
    gp_tracer.main_gil.state.places.naming.met = no_words;
    gp_gil *gil = add(1, 1);
    gil->releases.count = gil->releases.unwound = 5;
    gil->state.wanting_sites = gil->state.wanting_stacks = gil->state.wanting_cpu = 1;
    gil->state.last_release = 5;
    gil->state.holder = gil->state.waiters = &thread;
    gp_stream_take(&gil->state.stream, &thread.journal);
    CHECK_EQUAL(gp_places_site(&gil->state.places, (gp_site_key){NULL, GP_KEY_TRUNCATED}, &lasting), 0);
    forget(gil);
    CHECK(add(1, 2) == gil);
    CHECK_EQUAL(gil->interpreter, 2);
    CHECK(gil->state.holder == NULL && gil->state.waiters == NULL);
    CHECK(gil->state.stream.latest == NULL && gil->state.stream.listed == NULL);
    CHECK_EQUAL(gil->state.wanting_sites + gil->state.wanting_stacks + gil->state.wanting_cpu, 0);
    CHECK_EQUAL(gil->state.last_release, 0);
    CHECK_EQUAL(gil->state.places.count, 0);
    CHECK_EQUAL(gil->releases.count, 0);
    CHECK_EQUAL(gil->releases.unwound, 0);
    CHECK(gil->releases.first == forced && gil->releases.second == voluntary);
    check_found(1, gil);
    forget(gil);
    gp_tracer.main_gil.releases = (gp_callers){0};
}

/* ---- locks ---- */

typedef struct {
    gp_gil *gil; /* NULL: the table */
    bool got;
} trial;

static bool this_one_gets(gp_gil *gil)
{
    bool got = gil != NULL ? gp_gil_try_lock(gil) : gp_gil_table_try_lock();
    CHECK(gp_gil_table_is_locking() || !got);
    if (got && gil != NULL)
        gp_gil_unlock(gil);
    else if (got)
        gp_gil_table_unlock();
    return got;
}

static void *try_it(void *context)
{
    trial *one = context;
    CHECK(!gp_gil_table_is_locking());
    one->got = this_one_gets(one->gil);
    CHECK(!gp_gil_table_is_locking());
    return NULL;
}

static bool another_thread_gets(gp_gil *gil)
{
    trial one = {.gil = gil};
    pthread_t thread;
    CHECK_EQUAL(pthread_create(&thread, NULL, try_it, &one), 0);
    pthread_join(thread, NULL);
    return one.got;
}

static void one_thread_at_a_time_has_the_table(void)
{
    CHECK(another_thread_gets(NULL));
    gp_gil_table_lock();
    CHECK(!another_thread_gets(NULL));
    gp_gil_table_unlock();
    CHECK(gp_gil_table_try_lock());
    CHECK(!another_thread_gets(NULL));
    gp_gil_table_unlock();
}

static void one_thread_at_a_time_has_the_books_of_a_gil(void)
{
    gp_gil *one = add(1, 1), *two = add(2, 2);
    gp_gil_lock(one);
    CHECK(!another_thread_gets(one));
    CHECK(another_thread_gets(two) && another_thread_gets(NULL) && another_thread_gets(&gp_tracer.main_gil));
    CHECK(gp_gil_try_lock(two));
    CHECK(!another_thread_gets(two));
    gp_gil_unlock(two);
    CHECK(gp_gil_table_is_locking());
    gp_gil_unlock(one);
    CHECK(!gp_gil_table_is_locking());
    CHECK(another_thread_gets(one) && another_thread_gets(two));
    forget(two);
    forget(one);
}

static void around_a_fork_nobody_else_has_a_lock(void)
{
    gp_gil *one = add(1, 1), *two = add(2, 2), *const all[] = {NULL, &gp_tracer.main_gil, one, two};
    gp_gil_table_about_to_fork();
    for (int i = 0; i < 4; i++)
        CHECK(!another_thread_gets(all[i]));
    gp_gil_table_forked_in_parent();
    for (int i = 0; i < 4; i++)
        CHECK(another_thread_gets(all[i]));
    CHECK(!gp_gil_table_is_locking());
    gp_gil_table_forked_in_parent(); /* a fork for which nobody took them */
    CHECK(!gp_gil_table_is_locking());
    gp_gil_lock(one);
    gp_gil_table_about_to_fork(); /* from a signal's handler: nothing is waited for */
    CHECK(another_thread_gets(two));
    gp_gil_table_forked_in_parent();
    CHECK(!another_thread_gets(one));
    gp_gil_unlock(one);
    forget(two);
    forget(one);
}

static void check_child(gp_gil *used, bool whole)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQUAL(gp_gil_table_forked_in_child(), whole);
        CHECK(this_one_gets(NULL) && this_one_gets(used) && this_one_gets(&gp_tracer.main_gil));
        forget(used);
        CHECK(add(2, 2) == used);
        _exit(gp_test_status());
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
}

/* The child's threads that could give the locks back are gone. */
static void in_a_forked_child_all_locks_are_free(void)
{
    gp_gil *used = add(1, 1);
    gp_gil_table_lock();
    gp_gil_lock(used);
    check_child(used, true);
    gp_gil_unlock(used);
    gp_gil_lock(&gp_tracer.main_gil);
    check_child(used, false); /* its books may be half kept */
    gp_gil_unlock(&gp_tracer.main_gil);
    gp_gil_table_unlock();
    gp_gil_table_about_to_fork();
    check_child(used, true);
    gp_gil_table_forked_in_parent();
    forget(used);
}

/* ---- threads that look while rows come and go ---- */

enum { LOOKERS = 3, ROUNDS = 3000, PLACES = 4 };

static atomic_bool over;
static atomic_ulong found;

/* What the hooks do: find the row without a lock, then ask under its own whose it is. */
static void look_at(size_t n)
{
    gp_gil *gil = gp_gil_table_with_mutex(memory[n].mutex);
    if (gil == NULL)
        return;
    gp_gil_lock(gil);
    if (gil->locks.mutex == memory[n].mutex) {
        atomic_fetch_add(&found, 1);
        CHECK_EQUAL(gil->interpreter % PLACES, n);
        CHECK(gil->locks.cond == memory[n].cond && gil->locks.switch_cond == memory[n].switch_cond);
        CHECK(gil->locks.switch_mutex == memory[n].switch_mutex);
    }
    gp_gil_unlock(gil);
}

static void *keep_looking(void *context)
{
    (void)context;
    for (size_t n = 0; !atomic_load(&over); n = (n + 1) % PLACES)
        look_at(n);
    return NULL;
}

static void who_finds_a_row_sees_all_of_it(void)
{
    pthread_t lookers[LOOKERS];
    gp_gil *rows[PLACES] = {NULL};
    atomic_store(&over, false);
    for (int i = 0; i < LOOKERS; i++)
        CHECK_EQUAL(pthread_create(&lookers[i], NULL, keep_looking, NULL), 0);
    for (uint32_t round = 0; round < ROUNDS || atomic_load(&found) < 100; round++) {
        uint32_t n = round * 7 / 3 % PLACES;
        if (rows[n] != NULL)
            forget(rows[n]);
        rows[n] = rows[n] == NULL ? add(n, round * PLACES + n) : NULL;
    }
    atomic_store(&over, true);
    for (int i = 0; i < LOOKERS; i++)
        pthread_join(lookers[i], NULL);
    for (int n = 0; n < PLACES; n++)
        if (rows[n] != NULL)
            forget(rows[n]);
    CHECK_EQUAL(gp_tracer.other_count, 0);
}

int main(void)
{
    the_locks_of_a_gil_follow_from_one_of_them();
    only_both_mutexes_in_their_order_are_a_gils();
    a_gil_is_found_by_each_lock_that_is_asked_for_until_it_is_removed();
    the_main_gil_is_not_among_the_others();
    the_count_says_how_many_rows_may_be_in_use();
    a_table_that_is_full_takes_another_once_there_is_room();
    a_row_that_is_used_again_knows_nothing_of_the_gil_before();
    one_thread_at_a_time_has_the_table();
    one_thread_at_a_time_has_the_books_of_a_gil();
    around_a_fork_nobody_else_has_a_lock();
    in_a_forked_child_all_locks_are_free();
    who_finds_a_row_sees_all_of_it();
    return gp_test_status();
}
