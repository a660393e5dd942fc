#include "locks/gp_lock_books.h"

#include <string.h>

#include "base/gp_buffer.h"
#include "base/gp_hist.h"

enum {
    PRUNE_FIRST = 1024, /* steps in the history, until it is pruned */
    TRIES = 3,          /* to read of a thread what it waits for while it goes on */
};

void gp_lock_books_list(gp_lock_books *books, gp_lock_journal *journal)
{
    /* An exchange, also where it is listed, and in take_listed: a load might be done before what was noted is
     * seen by others, and the reader take the journal off the list in between, without the note. */
    if (atomic_exchange(&journal->listed, true))
        return;
    gp_lock_journal *first = atomic_load_explicit(&books->listed, memory_order_relaxed);
    do
        atomic_store_explicit(&journal->next_listed, first, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&books->listed, &first, journal, memory_order_release,
                                                  memory_order_relaxed));
}

gp_status gp_lock_books_add(gp_lock_books *books, gp_lock_journal *journal)
{
    gp_lock_journals *all = &books->journals;
    gp_lock_journal **journals =
        gp_array_enlarge(all->journals, sizeof *journals, all->count, all->count + 1, &all->room);
    if (journals == NULL)
        return GP_ENOMEM;
    all->journals = journals;
    journals[all->count++] = journal;
    return GP_OK;
}

/* ---- one wait ---- */

/* What a part of a wait is charged to. */
typedef struct {
    gp_lock_session *session;
    gp_rows *rows;
    gp_lock_row_key key;
} charging;

static void charge(void *context, uint32_t holder, uint32_t place, uint64_t since, uint64_t until)
{
    charging *to = context;
    gp_lock_row_key key = to->key;
    key.kind = GP_LOCK_ROW_BLAME;
    key.holder = holder;
    key.holder_place = place;
    gp_lock_row *row = gp_lock_table_row(to->rows, key);
    if (row != NULL)
        row->ticks += until - since;
    else
        to->session->lost_ticks += until - since;
}

static void count_length(gp_lock_books *books, gp_rows *rows, uint32_t lock, uint64_t ticks, int change)
{
    uint32_t bucket = (uint32_t)gp_hist_index(gp_clock_to_ns(books->rate, ticks));
    gp_lock_row *row = gp_lock_table_row(
        rows, (gp_lock_row_key){.kind = GP_LOCK_ROW_LENGTH, .lock = lock, .waiter = bucket});
    if (row != NULL)
        row->count += (uint64_t)change;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Keep a wait for the recording. */
static void keep(gp_lock_session *session, gp_lock_wait wait, const gp_lock_past *past)
{
    gp_buffer *waits = &session->waits;
    const gp_lock_step *end =
        (wait.flags & GP_LOCK_FAILED) == 0 ? gp_lock_history_release(past, wait.since, wait.until) : NULL;
    if (end != NULL) {
        wait.released = end->at;
        wait.holder = end->account;
        wait.holder_place = end->place;
    }
    if (waits->size + sizeof wait > GP_LOCK_WAITS_SIZE || !gp_buffer_reserve(waits, sizeof wait)) {
        waits->failed = false; /* what is there is whole */
        session->dropped++;
        return;
    }
    memcpy(waits->bytes + waits->size, &wait, sizeof wait);
    waits->size += sizeof wait;
}

/* Book a wait in a session: the journal's last one, if it goes on with that. */
static void book(gp_lock_books *books, gp_lock_session *session, gp_rows *rows,
                 const gp_lock_journal *journal, const gp_lock_note *note, bool goes_on)
{
    uint64_t since = later(note->since, session->start), until = earlier(note->until, session->stop);
    if (until <= since)
        return;
    charging to = {session, rows, {GP_LOCK_ROW_WAITS, note->lock, journal->account, note->place, 0, 0}};
    gp_lock_row *row = gp_lock_table_row(rows, to.key);
    if (row == NULL) {
        session->lost_ticks += until - since;
        return;
    }
    uint64_t opened = goes_on ? later(journal->open_since, session->start) : since;
    goes_on = goes_on && journal->open_until > session->start;
    row->count += !goes_on;
    row->ticks += until - since;
    row->longest = later(row->longest, until - opened);
    row->spun += earlier(note->spun, until - since);
    if (goes_on)
        count_length(books, rows, note->lock, journal->open_until - opened, -1);
    count_length(books, rows, note->lock, until - opened, 1);
    gp_lock_waited wait = {.account = journal->account,
                           .since = since,
                           .until = until,
                           .failed = (note->flags & GP_LOCK_FAILED) != 0,
                           .own = (note->flags & GP_LOCK_BY_ITSELF) != 0,
                           .place = note->place};
    const gp_lock_past *past = gp_lock_history_of(&books->history, note->key);
    gp_lock_history_divide(past, wait, charge, &to);
    if (session->keeps_waits && rows == &session->rows) /* else it is still under way */
        keep(session,
             (gp_lock_wait){.since = since,
                            .until = until,
                            .account = journal->account,
                            .lock = note->lock,
                            .place = note->place,
                            .stack = note->stack,
                            .holder = GP_LOCK_UNSEEN,
                            .holder_place = GP_ROW_NONE,
                            .spun = (uint32_t)earlier(note->spun, until - since),
                            .flags =
                                (note->flags & ~(uint32_t)GP_LOCK_GOES_ON) | (goes_on ? GP_LOCK_GOES_ON : 0)},
             past);
}

/* A thread does not know by what it was stopped: whoever lets it go does. */
static uint32_t lock_of(const gp_lock_books *books, const gp_lock_note *note)
{
    if (note->lock + 1 != atomic_load_explicit(&books->stop_lock, memory_order_relaxed) ||
        note->lock == GP_ROW_NONE)
        return note->lock;
    const gp_lock_step *end =
        gp_lock_history_release(gp_lock_history_of(&books->history, note->key), note->since, note->until);
    return end != NULL && end->lock != GP_ROW_NONE ? end->lock : note->lock;
}

static void book_everywhere(gp_lock_books *books, gp_lock_journal *journal, gp_lock_note *note)
{
    note->lock = lock_of(books, note);
    bool goes_on =
        (note->flags & GP_LOCK_GOES_ON) != 0 && journal->open_until != 0 && journal->open_lock == note->lock;
    /* what was between the two parts is no wait */
    journal->open_since = goes_on ? journal->open_since + (note->since - journal->open_until) : note->since;
    for (gp_lock_session *session = books->sessions; session != NULL; session = session->next)
        book(books, session, &session->rows, journal, note, goes_on);
    journal->open_until = note->until;
    journal->open_lock = note->lock;
}

/* ---- what is noted ---- */

static void add_step(gp_lock_books *books, uintptr_t key, const gp_lock_step *step)
{
    if (key != 0 && !gp_lock_history_add(&books->history, key, step))
        books->forgotten++;
}

static void add_steps_of_wait(gp_lock_books *books, gp_lock_journal *journal, const gp_lock_note *note)
{
    gp_lock_step step = {.account = journal->account, .place = note->place, .sem = note->sem};
    if (note->spun != 0) {
        step.at = note->since;
        step.kind = GP_LOCK_ASKED;
        add_step(books, note->key, &step);
    }
    bool told = (note->flags & GP_LOCK_SPUN) != 0 && note->since == journal->spin_told;
    step.at = note->until;
    step.kind = GP_LOCK_TAKEN;
    if ((note->flags & GP_LOCK_FAILED) == 0 && !told)
        add_step(books, note->key, &step);
}

static void add_steps(gp_lock_books *books, gp_lock_journal *journal)
{
    for (; journal->seen < journal->upto; journal->seen++) {
        const gp_lock_note *note = gp_lock_journal_note(journal, journal->seen);
        gp_lock_step released = {.at = note->until,
                                 .sem = note->sem,
                                 .account = journal->account,
                                 .place = note->place,
                                 .lock = note->lock};
        if ((note->flags & GP_LOCK_RELEASE) != 0)
            add_step(books, note->key, &released);
        else
            add_steps_of_wait(books, journal, note);
    }
}

/* A thread notes a spin when it spins or waits the next time: if it is over, it has the lock since then. */
static void look_at_spin(gp_lock_books *books, gp_lock_journal *journal, uint64_t now)
{
    gp_lock_spin *spin = &journal->spin;
    uint64_t since = atomic_load(&spin->since), until = atomic_load(&spin->until);
    gp_lock_step step = {
        .at = until, .account = journal->account, .place = atomic_load(&spin->place), .kind = GP_LOCK_TAKEN};
    uintptr_t key = atomic_load(&spin->key);
    if (since == 0 || since == journal->spin_told || atomic_load(&spin->yields) ||
        !gp_lock_has_looked(spin, books->rhythm) || now - until < books->gap_ticks ||
        atomic_load(&spin->since) != since)
        return;
    journal->spin_told = since;
    add_step(books, key, &step);
}

static void book_waits(gp_lock_books *books, gp_lock_journal *journal)
{
    uint64_t number = atomic_load_explicit(&journal->read, memory_order_relaxed);
    for (; number < journal->limit; number++) {
        gp_lock_note *note = gp_lock_journal_note(journal, number);
        if ((note->flags & GP_LOCK_RELEASE) == 0)
            book_everywhere(books, journal, note);
    }
    /* release: the owner may write over what is read */
    atomic_store_explicit(&journal->read, number, memory_order_release);
}

/* Take the journals that have something to read, before those in `reading`. Of journals that come the second
 * time only releases are read: of their waits not all releases before need be there. */
static gp_lock_journal *take_listed(gp_lock_books *books, gp_lock_journal *reading, bool waits)
{
    gp_lock_journal *journal = atomic_exchange(&books->listed, NULL);
    while (journal != NULL) {
        gp_lock_journal *next = atomic_load_explicit(&journal->next_listed, memory_order_relaxed);
        /* before its notes are counted: what comes then is listed */
        atomic_exchange(&journal->listed, false);
        if (!journal->being_read) {
            journal->being_read = true;
            journal->next_read = reading;
            journal->limit = atomic_load(waits ? &journal->noted : &journal->read);
            reading = journal;
        }
        journal = next;
    }
    return reading;
}

#define EACH_READ(journal, reading)                                                                          \
    for (gp_lock_journal *journal = (reading); journal != NULL; journal = journal->next_read)

/* Every release that a thread must know of which stands in a note of the first look is noted at the second
 * look: see gp_lock_journal.h. */
static void read_once(gp_lock_books *books)
{
    uint64_t now = gp_clock_ticks();
    gp_lock_journal *reading = take_listed(books, NULL, true);
    if (reading == NULL)
        return;
    reading = take_listed(books, reading, false);
    EACH_READ(journal, reading)
    journal->upto = atomic_load_explicit(&journal->noted, memory_order_acquire);
    EACH_READ(journal, reading)
    add_steps(books, journal);
    EACH_READ(journal, reading)
    look_at_spin(books, journal, now);
    for (gp_lock_journal *journal = reading; journal != NULL; journal = journal->next_read) {
        book_waits(books, journal);
        journal->being_read = false;
        if (journal->limit != journal->upto || atomic_load(&journal->spin.since) != 0)
            gp_lock_books_list(books, journal);
    }
}

/* ---- what is under way ---- */

static void need(gp_lock_books *books, uintptr_t key, uint64_t since)
{
    gp_lock_past *past = key != 0 ? gp_lock_history_of(&books->history, key) : NULL;
    if (past != NULL)
        past->needed = earlier(past->needed, since);
}

/* A wait that is noted and not booked needs its releases, too. */
static void need_notes(gp_lock_books *books, gp_lock_journal *journal)
{
    uint64_t end = atomic_load_explicit(&journal->noted, memory_order_acquire);
    for (uint64_t number = atomic_load(&journal->read); number < end; number++) {
        const gp_lock_note *note = gp_lock_journal_note(journal, number);
        if ((note->flags & GP_LOCK_RELEASE) == 0)
            need(books, note->key, note->since);
    }
}

static void prune(gp_lock_books *books)
{
    gp_lock_history_forget_all_needs(&books->history);
    for (size_t i = 0; i < books->journals.count; i++) {
        gp_lock_journal *journal = books->journals.journals[i];
        /* in the order in which a thread goes through them: what it leaves meanwhile is found in the next
         * one, a spin as a wait, or as a note */
        need(books, atomic_load(&journal->spin.key), atomic_load(&journal->spin.since));
        need(books, atomic_load(&journal->waiting.key), atomic_load(&journal->waiting.since));
        need_notes(books, journal);
    }
    gp_lock_history_prune(&books->history);
    books->prune_at = 2 * books->history.steps + PRUNE_FIRST;
}

void gp_lock_books_read(gp_lock_books *books)
{
    read_once(books);
    if (books->history.steps >= books->prune_at && books->history.steps >= PRUNE_FIRST)
        prune(books);
}

/* What a thread waits for, as a note that ends now. False: nothing. */
static bool note_waiting(const gp_lock_journal *journal, uint64_t now, gp_lock_note *note)
{
    const gp_lock_waiting *waiting = &journal->waiting;
    uint64_t since = atomic_load(&waiting->since), until = atomic_load(&waiting->until);
    *note = (gp_lock_note){.since = since,
                           .until = until != 0 ? until : now,
                           .key = atomic_load(&waiting->key),
                           .place = atomic_load(&waiting->place),
                           .lock = atomic_load(&waiting->lock),
                           .stack = atomic_load(&waiting->stack),
                           .spun = atomic_load(&waiting->spun),
                           .flags = GP_LOCK_FAILED | (atomic_load(&waiting->own) ? GP_LOCK_BY_ITSELF : 0)};
    return note->key != 0 && since != 0;
}

static bool note_spinning(const gp_lock_journal *journal, gp_lock_note *note)
{
    const gp_lock_spin *spin = &journal->spin;
    *note = (gp_lock_note){.since = atomic_load(&spin->since),
                           .until = atomic_load(&spin->until),
                           .key = atomic_load(&spin->key),
                           .place = atomic_load(&spin->place),
                           .lock = atomic_load(&spin->lock),
                           .stack = atomic_load(&spin->stack),
                           .flags = GP_LOCK_FAILED | GP_LOCK_SPUN |
                                    (atomic_load(&spin->own) ? GP_LOCK_BY_ITSELF : 0)};
    note->spun = (uint32_t)earlier(note->until - note->since, UINT32_MAX);
    return note->since != 0 && note->until > note->since;
}

/* A thread that goes on meanwhile may have noted what it waited for: then that is read, and its next one is
 * looked at. */
static void book_under_way(gp_lock_books *books, gp_lock_session *session, gp_rows *rows,
                           gp_lock_journal *journal, uint64_t now)
{
    gp_lock_note waiting, spinning;
    for (int i = 0; i < TRIES; i++) {
        bool waits = note_waiting(journal, now, &waiting), spins = note_spinning(journal, &spinning);
        if (atomic_load(&journal->noted) != atomic_load(&journal->read)) {
            read_once(books);
            continue;
        }
        if (waits)
            book(books, session, rows, journal, &waiting, false);
        if (spins)
            book(books, session, rows, journal, &spinning, false);
        return;
    }
}

void gp_lock_books_read_to(gp_lock_books *books, gp_lock_session *session, gp_rows *rows, uint64_t now)
{
    gp_lock_books_read(books);
    gp_lock_books_read(books); /* what came between the two looks of the first */
    for (size_t i = 0; i < books->journals.count; i++)
        book_under_way(books, session, rows, books->journals.journals[i], now);
}
