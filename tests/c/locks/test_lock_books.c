/* The books of locks, fed with what threads would have noted. */

#include "locks/gp_lock_books.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/gp_hist.h"
#include "gp_test.h"

/* The reader under test is a copy, in which threads go on before one of its looks at what they share. */
static int looks_until_then;
static void (*go_on)(void);

static void may_go_on(void)
{
    if (looks_until_then != 0 && --looks_until_then == 0)
        go_on();
}

#undef atomic_load
#define atomic_load(object) (may_go_on(), atomic_load_explicit(object, memory_order_seq_cst))
#include "locks/gp_lock_books.c"
#undef atomic_load
#define atomic_load(object) atomic_load_explicit(object, memory_order_seq_cst)

enum { KEY = 0x1000, LOCK = 3, PLACE = 20, THREADS = 5, TURNS = 4000 };

static gp_lock_books new_books(void)
{
    return (gp_lock_books){.rate = {(uint64_t)1 << 32}}; /* a tick is a nanosecond */
}

static gp_lock_journal *add_thread(gp_lock_books *books, uint32_t account)
{
    gp_lock_journal *journal = aligned_alloc(_Alignof(gp_lock_journal), sizeof *journal);
    memset(journal, 0, sizeof *journal);
    journal->account = account;
    CHECK_EQUAL(gp_lock_books_add(books, journal), GP_OK);
    return journal;
}

static gp_lock_session *begin(gp_lock_books *books, uint64_t now)
{
    gp_lock_session *session = calloc(1, sizeof *session);
    session->start = now;
    session->stop = UINT64_MAX;
    session->next = books->sessions;
    books->sessions = session;
    return session;
}

static void clear(gp_lock_books *books)
{
    while (books->sessions != NULL) {
        gp_lock_session *session = books->sessions;
        books->sessions = session->next;
        gp_rows_clear(&session->rows, &gp_lock_rows);
        gp_buffer_free(&session->waits);
        free(session);
    }
    for (size_t i = 0; i < books->journals.count; i++)
        free(books->journals.journals[i]);
    gp_lock_history_clear(&books->history);
}

static bool add_note(gp_lock_journal *journal, const gp_lock_note *note)
{
    gp_lock_note *next = gp_lock_journal_next(journal);
    if (next == NULL)
        return false;
    *next = *note;
    gp_lock_journal_publish(journal);
    return true;
}

/* A thread whose notes pile up reads, as hooks do. */
static void add(gp_lock_books *books, gp_lock_journal *journal, gp_lock_note note)
{
    note.lock = LOCK;
    note.place = note.place != 0 ? note.place : PLACE;
    if (gp_lock_journal_unread(journal) >= GP_LOCK_DUE)
        gp_lock_books_read(books);
    CHECK(add_note(journal, &note));
    gp_lock_books_list(books, journal);
}

static void note_wait(gp_lock_books *books, gp_lock_journal *journal, uint64_t since, uint64_t until,
                      uint32_t flags)
{
    add(books, journal,
        (gp_lock_note){
            .since = since, .until = until, .key = KEY, .sem = (uintptr_t)journal, .flags = flags});
}

static void note_release(gp_lock_books *books, gp_lock_journal *journal, uint64_t at,
                         const gp_lock_journal *woken)
{
    add(books, journal,
        (gp_lock_note){.until = at, .key = KEY, .sem = (uintptr_t)woken, .flags = GP_LOCK_RELEASE});
}

static gp_lock_row sum_of(const gp_rows *table, gp_lock_row_kind kind, uint32_t waiter, uint32_t holder)
{
    gp_lock_row sum = {.count = 0};
    for (size_t i = 0; i < table->count; i++) {
        const gp_lock_row *row = (const gp_lock_row *)table->rows + i;
        if (row->key.kind != kind || (kind != GP_LOCK_ROW_LENGTH && row->key.waiter != waiter) ||
            (kind == GP_LOCK_ROW_BLAME && row->key.holder != holder))
            continue;
        CHECK_EQUAL(row->key.lock, LOCK);
        sum.count += row->count;
        sum.ticks += row->ticks;
        sum.spun += row->spun;
        sum.longest = row->longest > sum.longest ? row->longest : sum.longest;
    }
    return sum;
}

static uint64_t blame(const gp_rows *table, uint32_t waiter, uint32_t holder)
{
    return sum_of(table, GP_LOCK_ROW_BLAME, waiter, holder).ticks;
}

static void a_wait_is_booked_behind_who_released(void)
{
    gp_lock_books books = new_books();
    gp_lock_journal *holder = add_thread(&books, 1), *waiter = add_thread(&books, 2);
    gp_lock_session *session = begin(&books, 50);
    note_release(&books, holder, 130, waiter);
    note_wait(&books, waiter, 100, 140, 0);
    note_wait(&books, waiter, 10, 40, 0); /* before the session */
    gp_lock_books_read(&books);
    gp_lock_row waits = sum_of(&session->rows, GP_LOCK_ROW_WAITS, 2, 0);
    CHECK_EQUAL(waits.count, 1);
    CHECK_EQUAL(waits.ticks, 40);
    CHECK_EQUAL(waits.longest, 40);
    CHECK_EQUAL(blame(&session->rows, 2, 1), 30);
    CHECK_EQUAL(blame(&session->rows, 2, GP_LOCK_NOBODY), 10);
    CHECK_EQUAL(sum_of(&session->rows, GP_LOCK_ROW_LENGTH, 0, 0).count, 1);
    clear(&books);
}

static void single_waits_are_kept_with_who_ended_them(void)
{
    gp_lock_books books = new_books();
    gp_lock_journal *holder = add_thread(&books, 1), *waiter = add_thread(&books, 2);
    gp_lock_session *session = begin(&books, 50), *other = begin(&books, 50);
    session->keeps_waits = true;
    note_release(&books, holder, 130, waiter);
    add(&books, waiter,
        (gp_lock_note){.since = 100, .until = 140, .key = KEY, .sem = (uintptr_t)waiter, .stack = 7});
    note_wait(&books, waiter, 150, 160, GP_LOCK_FAILED);
    gp_lock_books_read(&books);
    const gp_lock_wait *waits = (const gp_lock_wait *)session->waits.bytes;
    CHECK_EQUAL(session->waits.size, 2 * sizeof *waits);
    CHECK_EQUAL(waits[0].since, 100);
    CHECK_EQUAL(waits[0].until, 140);
    CHECK_EQUAL(waits[0].released, 130);
    CHECK_EQUAL(waits[0].account, 2);
    CHECK_EQUAL(waits[0].holder, 1);
    CHECK_EQUAL(waits[0].holder_place, PLACE);
    CHECK_EQUAL(waits[0].stack, 7);
    CHECK_EQUAL(waits[1].holder, GP_LOCK_UNSEEN);
    CHECK_EQUAL(waits[1].flags, GP_LOCK_FAILED);
    CHECK_EQUAL(other->waits.size, 0);
    clear(&books);
}

static void a_wait_that_goes_on_is_one(void)
{
    gp_lock_books books = new_books();
    gp_lock_journal *waiter = add_thread(&books, 2);
    gp_lock_session *session = begin(&books, 0);
    note_wait(&books, waiter, 100, 140, 0);
    note_wait(&books, waiter, 142, 200, GP_LOCK_GOES_ON); /* 2 ticks of which were no wait */
    note_wait(&books, waiter, 300, 310, 0);
    gp_lock_books_read(&books);
    gp_lock_row waits = sum_of(&session->rows, GP_LOCK_ROW_WAITS, 2, 0);
    CHECK_EQUAL(waits.count, 2);
    CHECK_EQUAL(waits.ticks, 108);
    CHECK_EQUAL(waits.longest, 98);
    CHECK_EQUAL(sum_of(&session->rows, GP_LOCK_ROW_LENGTH, 0, 0).count, 2);
    CHECK_EQUAL(gp_lock_table_row(&session->rows, (gp_lock_row_key){GP_LOCK_ROW_LENGTH, LOCK,
                                                                    (uint32_t)gp_hist_index(98), 0, 0, 0})
                    ->count,
                1);
    clear(&books);
}

static uint64_t waited_for(const gp_rows *table, uint32_t lock)
{
    const gp_lock_row *rows = table->rows;
    uint64_t ticks = 0;
    for (size_t i = 0; i < table->count; i++)
        if (rows[i].key.kind == GP_LOCK_ROW_WAITS && rows[i].key.lock == lock)
            ticks += rows[i].ticks;
    return ticks;
}

static void a_stop_is_of_what_ended_it(void)
{
    enum { STOP = LOCK, COLLECTOR = 7, OTHER = 8 };
    gp_lock_books books = new_books();
    gp_lock_journal *stopping = add_thread(&books, 1), *stopped = add_thread(&books, 2);
    gp_lock_session *session = begin(&books, 0);
    books.stop_lock = STOP + 1;
    gp_lock_note notes[] = {
        {.until = 130, .key = KEY, .lock = COLLECTOR, .flags = GP_LOCK_RELEASE},
        {.until = 230, .key = KEY, .lock = OTHER, .flags = GP_LOCK_RELEASE},
        {.until = 330, .key = KEY, .lock = GP_ROW_NONE, .flags = GP_LOCK_RELEASE},
        {.since = 100, .until = 131, .key = KEY, .lock = STOP},
        {.since = 133, .until = 233, .key = KEY, .lock = STOP, .flags = GP_LOCK_GOES_ON},
        {.since = 300, .until = 331, .key = KEY, .lock = STOP},
        {.since = 400, .until = 450, .key = KEY, .lock = STOP},
        {.since = 100, .until = 131, .key = KEY, .lock = OTHER + 1},
    };
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        gp_lock_journal *journal = i < 3 ? stopping : stopped;
        CHECK(add_note(journal, &notes[i]));
        gp_lock_books_list(&books, journal);
    }
    gp_lock_books_read(&books);
    CHECK_EQUAL(waited_for(&session->rows, COLLECTOR), 31);
    CHECK_EQUAL(waited_for(&session->rows, OTHER), 100); /* another stop is another wait */
    CHECK_EQUAL(waited_for(&session->rows, STOP), 31 + 50);
    CHECK_EQUAL(waited_for(&session->rows, OTHER + 1), 31); /* no stop */
    clear(&books);
}

static void what_is_under_way_counts_up_to_now(void)
{
    gp_lock_books books = new_books();
    gp_lock_journal *holder = add_thread(&books, 1), *waiter = add_thread(&books, 2),
                    *spinner = add_thread(&books, 3);
    gp_lock_session *session = begin(&books, 120);
    gp_rows under_way = {0};
    note_release(&books, holder, 130, spinner);
    atomic_store(&waiter->waiting.key, KEY);
    atomic_store(&waiter->waiting.lock, LOCK);
    atomic_store(&waiter->waiting.since, 100);
    atomic_store(&spinner->spin.key, KEY);
    atomic_store(&spinner->spin.lock, LOCK);
    atomic_store(&spinner->spin.since, 121);
    atomic_store(&spinner->spin.until, 131);
    atomic_store(&spinner->spin.yields, true);
    for (int i = 0; i < 2; i++) { /* looking changes nothing */
        gp_rows_clear(&under_way, &gp_lock_rows);
        gp_lock_books_read_to(&books, session, &under_way, 200);
        CHECK_EQUAL(sum_of(&under_way, GP_LOCK_ROW_WAITS, 2, 0).ticks, 80);
        CHECK_EQUAL(blame(&under_way, 2, 1), 10);
        CHECK_EQUAL(blame(&under_way, 2, GP_LOCK_UNSEEN), 70);
        CHECK_EQUAL(sum_of(&under_way, GP_LOCK_ROW_WAITS, 3, 0).spun, 10);
        CHECK_EQUAL(session->rows.count, 0);
    }
    atomic_store(&waiter->waiting.until, 150); /* it failed then, and was not tried again yet */
    gp_rows_clear(&under_way, &gp_lock_rows);
    gp_lock_books_read_to(&books, session, &under_way, 200);
    CHECK_EQUAL(sum_of(&under_way, GP_LOCK_ROW_WAITS, 2, 0).ticks, 30);
    session->stop = 140;
    gp_lock_books_read_to(&books, session, &session->rows, 140);
    CHECK_EQUAL(sum_of(&session->rows, GP_LOCK_ROW_WAITS, 2, 0).ticks, 20);
    gp_rows_clear(&under_way, &gp_lock_rows);
    clear(&books);
}

static void each_session_has_its_own_part(void)
{
    gp_lock_books books = new_books();
    gp_lock_journal *holder = add_thread(&books, 1), *waiter = add_thread(&books, 2);
    gp_lock_session *first = begin(&books, 0), *second = begin(&books, 125);
    note_release(&books, holder, 130, waiter);
    note_wait(&books, waiter, 100, 140, 0);
    gp_lock_books_read(&books);
    CHECK_EQUAL(blame(&first->rows, 2, 1), 30);
    CHECK_EQUAL(blame(&second->rows, 2, 1), 5);
    CHECK_EQUAL(sum_of(&second->rows, GP_LOCK_ROW_WAITS, 2, 0).ticks, 15);
    clear(&books);
}

static void set_waiting(gp_lock_journal *journal, uint64_t since)
{
    atomic_store(&journal->waiting.key, since != 0 ? KEY : 0);
    atomic_store(&journal->waiting.since, since);
}

/* Threads pass a lock round in any order; some barge in. What is known of each turn is added up beside. */
static void made_up_turns_are_divided_rightly(unsigned seed)
{
    gp_lock_books books = new_books();
    gp_lock_journal *threads[THREADS];
    uint64_t truth[THREADS][THREADS + 1] = {{0}}, since[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i] = add_thread(&books, i);
        since[i] = 1000;
        set_waiting(threads[i], since[i]);
    }
    gp_lock_session *session = begin(&books, 0);
    uint64_t now = 1000;
    size_t holder = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t hold = 10 + (seed = seed * 1103515245 + 12345) / 65536 % 1000, gap = 1 + seed / 7919 % 50;
        size_t next = (holder + 1 + seed / 104729 % (THREADS - 1)) % THREADS;
        for (size_t i = 0; i < THREADS; i++)
            if (i != holder)
                truth[i][holder] += now + hold - (since[i] > now ? since[i] : now);
        now += hold;
        note_release(&books, threads[holder], now, threads[next]);
        for (size_t i = 0; i < THREADS; i++)
            if (i != holder) /* until the next one runs nobody has it */
                truth[i][THREADS] += gap;
        now += gap;
        note_wait(&books, threads[next], since[next], now, 0);
        set_waiting(threads[next], 0);
        set_waiting(threads[holder], since[holder] = now); /* it wants it again */
        holder = next;
    }
    for (size_t i = 0; i < THREADS; i++)
        if (i != holder) /* one of them has only begun */
            note_wait(&books, threads[i], since[i], now, GP_LOCK_FAILED);
    gp_lock_books_read(&books);
    for (uint32_t i = 0; i < THREADS; i++) {
        uint64_t sum = blame(&session->rows, i, GP_LOCK_NOBODY) + blame(&session->rows, i, GP_LOCK_UNSEEN);
        for (uint32_t k = 0; k < THREADS; k++) {
            CHECK_EQUAL(blame(&session->rows, i, k), truth[i][k]);
            sum += blame(&session->rows, i, k);
        }
        CHECK_EQUAL(sum, sum_of(&session->rows, GP_LOCK_ROW_WAITS, i, 0).ticks);
        CHECK(blame(&session->rows, i, GP_LOCK_NOBODY) <= truth[i][THREADS]);
    }
    CHECK_EQUAL(sum_of(&session->rows, GP_LOCK_ROW_LENGTH, 0, 0).count, TURNS + THREADS - 2);
    CHECK(books.history.steps < TURNS / 2); /* what nobody needs is given up */
    clear(&books);
}

static void a_spin_that_is_over_tells_who_has_the_lock(void)
{
    gp_lock_books books = new_books();
    gp_lock_journal *spinner = add_thread(&books, 1), *waiter = add_thread(&books, 2);
    gp_lock_session *session = begin(&books, 0);
    set_waiting(waiter, 90);
    atomic_store(&spinner->spin.key, KEY);
    atomic_store(&spinner->spin.until, 110);
    atomic_store(&spinner->spin.since, 100);
    gp_lock_books_list(&books, spinner);
    for (int i = 0; i < 3; i++) /* it is told once, and stays in view */
        gp_lock_books_read(&books);
    CHECK_EQUAL(gp_lock_history_of(&books.history, KEY)->count, 1);
    CHECK(atomic_load(&spinner->listed));
    note_wait(&books, waiter, 90, 140, 0);
    add(&books, spinner, (gp_lock_note){.since = 100, .until = 110, .key = KEY, .flags = GP_LOCK_SPUN});
    gp_lock_spin_end(&spinner->spin);
    gp_lock_books_read(&books);
    CHECK_EQUAL(blame(&session->rows, 2, GP_LOCK_UNSEEN), 20);
    CHECK_EQUAL(blame(&session->rows, 2, 1), 30);
    CHECK_EQUAL(gp_lock_history_of(&books.history, KEY)->count, 2); /* and the waiter's own */
    clear(&books);
}

static void a_spin_that_is_over_needs_no_history(void)
{
    gp_lock_books books = new_books();
    gp_lock_journal *spinner = add_thread(&books, 1);
    begin(&books, 0);
    note_wait(&books, spinner, 80, 90, 0);
    gp_lock_books_read(&books);
    atomic_store(&spinner->spin.key, KEY);
    prune(&books); /* it is about to spin */
    CHECK_EQUAL(books.history.steps, 1);
    atomic_store(&spinner->spin.since, 100);
    prune(&books);
    CHECK_EQUAL(books.history.steps, 1);
    gp_lock_spin_end(&spinner->spin);
    prune(&books);
    CHECK_EQUAL(books.history.steps, 0);
    clear(&books);
}

/* ---- a thread that goes on at each of the reader's looks ---- */

static gp_lock_books seen;
static gp_lock_journal *goes_on;

static void look_for(int looks, void (*then)(void), void (*read)(gp_lock_books *books))
{
    looks_until_then = looks;
    go_on = then;
    read(&seen);
    if (looks_until_then != 0)
        then();
    looks_until_then = 0;
}

static void sleep_after_spin(void)
{
    atomic_store(&goes_on->waiting.key, KEY);
    gp_lock_spin_end(&goes_on->spin);
    atomic_store(&goes_on->waiting.since, 100);
}

static void a_spin_that_becomes_a_wait_needs_its_history_all_the_time(void)
{
    for (int looks = 1; looks < 16; looks++) {
        seen = new_books();
        gp_lock_journal *holder = add_thread(&seen, 1);
        goes_on = add_thread(&seen, 2);
        gp_lock_session *session = begin(&seen, 0);
        note_wait(&seen, holder, 80, 90, 0);
        gp_lock_books_read(&seen);
        atomic_store(&goes_on->spin.key, KEY);
        atomic_store(&goes_on->spin.since, 100);
        look_for(looks, sleep_after_spin, prune);
        note_wait(&seen, goes_on, 100, 140, 0);
        gp_lock_books_read(&seen);
        CHECK_EQUAL(blame(&session->rows, 2, 1), 40);
        clear(&seen);
    }
}

static void note_one_more(void)
{
    note_wait(&seen, goes_on, 100, 140, 0);
}

static void what_is_noted_while_it_is_read_is_read_next(void)
{
    for (int looks = 1; looks < 16; looks++) {
        seen = new_books();
        goes_on = add_thread(&seen, 2);
        gp_lock_session *session = begin(&seen, 0);
        note_wait(&seen, goes_on, 80, 90, 0);
        look_for(looks, note_one_more, gp_lock_books_read);
        gp_lock_books_read(&seen);
        CHECK_EQUAL(sum_of(&session->rows, GP_LOCK_ROW_WAITS, 2, 0).count, 2);
        CHECK_EQUAL(sum_of(&session->rows, GP_LOCK_ROW_WAITS, 2, 0).ticks, 50);
        clear(&seen);
    }
}

/* ---- threads that note while another reads ---- */

static gp_lock_books shared;
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int still_run;

static void *note_on(void *journal)
{
    for (uint64_t i = 1; i <= 20000; i++) {
        gp_lock_note note = {.since = 10 * i, .until = 10 * i + 7, .key = KEY, .sem = i, .lock = LOCK};
        while (!add_note(journal, &note))
            gp_lock_books_list(&shared, journal);
        gp_lock_books_list(&shared, journal);
        if (gp_lock_journal_unread(journal) >= GP_LOCK_DUE && pthread_mutex_trylock(&shared_lock) == 0) {
            gp_lock_books_read(&shared);
            pthread_mutex_unlock(&shared_lock);
        }
    }
    atomic_fetch_sub(&still_run, 1);
    return NULL;
}

static void nothing_is_lost_or_read_twice(void)
{
    pthread_t threads[3];
    shared = new_books();
    gp_lock_session *session = begin(&shared, 0);
    atomic_store(&still_run, 3);
    gp_lock_journal *journals[3];
    for (uint32_t i = 0; i < 3; i++)
        journals[i] = add_thread(&shared, i);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, note_on, journals[i]), 0);
    while (atomic_load(&still_run) != 0) {
        pthread_mutex_lock(&shared_lock);
        gp_lock_books_read(&shared);
        pthread_mutex_unlock(&shared_lock);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    gp_rows none = {0};
    gp_lock_books_read_to(&shared, session, &none, 1 << 30);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQUAL(sum_of(&session->rows, GP_LOCK_ROW_WAITS, i, 0).count, 20000);
        CHECK_EQUAL(sum_of(&session->rows, GP_LOCK_ROW_WAITS, i, 0).ticks, 20000 * 7);
    }
    clear(&shared);
}

static void a_spin_is_over_only_after_a_look_at_the_lock(void)
{
    gp_lock_spin spin = {.phase = 6};
    const gp_lock_rhythm unknown = {0, 0}, last = {0, 40}, fourth = {4, 40};
    for (uint32_t tries = 1; tries <= 40; tries++) {
        atomic_store(&spin.tries, tries);
        CHECK(gp_lock_has_looked(&spin, unknown));
        CHECK_EQUAL(gp_lock_has_looked(&spin, last), tries == 40);
        CHECK_EQUAL(gp_lock_has_looked(&spin, fourth), tries % 4 == 2 || tries == 40);
    }
}

int main(void)
{
    a_spin_is_over_only_after_a_look_at_the_lock();
    a_wait_is_booked_behind_who_released();
    single_waits_are_kept_with_who_ended_them();
    a_wait_that_goes_on_is_one();
    a_stop_is_of_what_ended_it();
    what_is_under_way_counts_up_to_now();
    each_session_has_its_own_part();
    for (unsigned seed = 1; seed <= 5; seed++)
        made_up_turns_are_divided_rightly(seed);
    a_spin_that_is_over_tells_who_has_the_lock();
    a_spin_that_is_over_needs_no_history();
    a_spin_that_becomes_a_wait_needs_its_history_all_the_time();
    what_is_noted_while_it_is_read_is_read_next();
    nothing_is_lost_or_read_twice();
    return gp_test_status();
}
