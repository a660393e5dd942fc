#define _GNU_SOURCE
#include "recording/gp_recorder.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "recording/gp_chunk.h"
#include "base/gp_clock.h"
#include "base/gp_futex.h"
#include "base/gp_helper.h"
#include "base/gp_memory.h"
#include "recording/gp_output.h"

enum {
    WRITE_SIZE = 4 << 20,          /* bytes: so many are written without waiting for more */
    CROWDED = GP_TIMELINE_MAX / 8, /* events at once: the next ones are fetched sooner */
    SNAPSHOT_SHARE = 64,           /* a 64th of the time so far may pass between two snapshots */
};

#define MS_NS UINT64_C(1000000)
static const uint64_t drain_ns = 50 * MS_NS;
static const uint64_t crowded_ns = 5 * MS_NS;
static const uint64_t snapshot_ns = 1000 * MS_NS;
static const uint64_t flush_look_ns =
    20 * MS_NS; /* how often to check that the recorder's thread still runs */

/* Why the thread is woken. */
enum {
    WAKE = 1,
    STOP = 2, /* write the end */
    HALT = 4, /* leave everything as it is */
};

enum {
    SLOT_FREE,
    SLOT_CLAIMED,
    SLOT_PUBLISHED, /* the source is complete */
};

typedef struct {
    gp_source source;
    _Atomic uint32_t state;
    /* used by the thread; zero while the slot is free */
    uint64_t events_end; /* when the last of its events ended */
    bool begun;
    uint64_t snapshot_at; /* when the next is due */
} slot;

struct gp_recorder {
    pid_t pid;
    gp_helper helper;
    bool never_has_thread;
    _Atomic bool without_thread; /* it is in the list below */
    gp_recorder *next;
    _Atomic bool finished;
    _Atomic uint32_t wishes; /* WAKE, STOP, HALT */
    _Atomic uint32_t flushes_wanted, flushes_done;
    void (*_Atomic last_act)(int ending); /* set before `ending` */
    _Atomic int ending;                   /* what ends the process; 0: nothing */
    _Atomic uint32_t questions;           /* to sources: begun and ended ones */
    slot slots[GP_RECORDER_SOURCES];
    _Atomic int error;
    _Atomic uint64_t bytes_written, events_written;

    pthread_mutex_t queue_lock;
    gp_buffer queue; /* whole chunks; guarded by the lock */

    /* used by the thread; while there is none, by its starter */
    gp_output output;
    uint64_t started_ns;
    uint64_t due_ns; /* when to ask the sources again */
    gp_buffer out, taken;
    gp_news news;
    uint64_t events_in_out;
    bool ended; /* the end is written */
};

_Atomic uint32_t gp_recorders_without_thread;

/* A thread that has this lock blocks all signals: no handler waits for what it has interrupted. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static gp_recorder *without_thread;
static _Atomic pid_t list_pid;         /* the process whose recorders these are */
static _Atomic uint64_t attention_due; /* ticks */
static _Atomic uint32_t attentions;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static sigset_t lock_list(void)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&list_lock);
    return before;
}

static void unlock_list(const sigset_t *before)
{
    pthread_mutex_unlock(&list_lock);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

static void wish(gp_recorder *recorder, uint32_t what)
{
    atomic_fetch_or(&recorder->wishes, what);
    gp_futex_wake(&recorder->wishes);
}

static bool in_child(const gp_recorder *recorder)
{
    return getpid() != recorder->pid;
}

/* ---- the thread ---- */

static void tell_error(gp_recorder *recorder)
{
    atomic_store(&recorder->error, recorder->output.error);
}

static void fail(gp_recorder *recorder, int error)
{
    if (recorder->output.error == 0)
        recorder->output.error = error;
    tell_error(recorder);
}

static bool has_failed(const gp_recorder *recorder)
{
    return recorder->output.error != 0;
}

static void write_out(gp_recorder *recorder)
{
    if (recorder->out.failed)
        fail(recorder, ENOMEM);
    gp_output_write(&recorder->output, recorder->out.bytes, recorder->out.size);
    gp_buffer_clear(&recorder->out);
    atomic_store(&recorder->bytes_written, recorder->output.size);
    tell_error(recorder);
    if (!has_failed(recorder))
        atomic_fetch_add(&recorder->events_written, recorder->events_in_out);
    recorder->events_in_out = 0;
}

static void put_queued(gp_recorder *recorder)
{
    pthread_mutex_lock(&recorder->queue_lock);
    gp_buffer queued = recorder->queue;
    recorder->queue = recorder->taken;
    pthread_mutex_unlock(&recorder->queue_lock);
    gp_buffer_raw(&recorder->out, queued.bytes, queued.size);
    gp_buffer_clear(&queued);
    recorder->taken = queued;
}

static void put_described(gp_recorder *recorder, const char type[4], uint32_t interpreter, gp_buffer *entries)
{
    if (entries->failed)
        fail(recorder, ENOMEM); /* what follows would refer to nothing */
    if (entries->size == 0)
        return;
    size_t begin = gp_chunk_begin(&recorder->out, type);
    gp_buffer_number(&recorder->out, interpreter);
    gp_buffer_raw(&recorder->out, entries->bytes, entries->size);
    gp_chunk_end(&recorder->out, begin);
    gp_buffer_clear(entries);
}

static void put_whole(gp_recorder *recorder, const char type[4], gp_buffer *payload)
{
    if (payload->failed)
        fail(recorder, ENOMEM);
    if (payload->size == 0)
        return;
    size_t begin = gp_chunk_begin(&recorder->out, type);
    gp_buffer_raw(&recorder->out, payload->bytes, payload->size);
    gp_chunk_end(&recorder->out, begin);
    gp_buffer_clear(payload);
}

static void put_snapshot(gp_recorder *recorder, gp_news_wish wish)
{
    gp_buffer *snapshot = &recorder->news.snapshot;
    if (snapshot->failed && wish == GP_NEWS_FINAL)
        fail(recorder, ENOMEM);
    if (!snapshot->failed && snapshot->size != 0) {
        size_t begin = gp_chunk_begin(&recorder->out, "SNAP");
        gp_buffer_raw(&recorder->out, snapshot->bytes, snapshot->size);
        gp_chunk_end(&recorder->out, begin);
    }
    gp_buffer_clear(snapshot);
}

/* After an error they are thrown away. */
static void put_news(gp_recorder *recorder, slot *at, gp_news_wish wish)
{
    gp_news *news = &recorder->news;
    put_described(recorder, "THRD", at->source.interpreter, &news->threads);
    put_described(recorder, "PLAC", at->source.interpreter, &news->places);
    if (!at->begun)
        put_snapshot(recorder, wish); /* before the first event: it has the clock's rate */
    recorder->events_in_out +=
        gp_timeline_put(&news->timeline, &at->events_end, at->source.interpreter, &recorder->out);
    put_snapshot(recorder, wish);
    put_described(recorder, "SEEN", at->source.interpreter, &news->seen);
    put_described(recorder, "PAUS", at->source.interpreter, &news->pauses);
    put_whole(recorder, "LNAM", &news->lock_names);
    put_whole(recorder, "LWAT", &news->lock_waits);
    put_whole(recorder, "LOCK", &news->locks);
    at->begun = true;
    if (recorder->out.size >= WRITE_SIZE || recorder->out.failed)
        write_out(recorder);
}

static void put_round(gp_recorder *recorder, slot *at, gp_news_wish wish)
{
    recorder->news.timeline.events.size = 0; /* not all sources have one */
    recorder->news.ended = false;
    atomic_fetch_add(&recorder->questions, 1);
    at->source.read(at->source.context, wish, &recorder->news);
    atomic_fetch_add(&recorder->questions, 1);
    put_news(recorder, at, wish);
}

/* Whether a snapshot is due. The next one is about a second later, or later still: the size of all snapshots
 * together should grow with the logarithm of the recording's length. */
static gp_news_wish next_snapshot(const gp_recorder *recorder, slot *at, gp_news_wish wanted)
{
    uint64_t now = gp_clock_monotonic_ns();
    if (wanted == GP_NEWS_ALONE && now < at->snapshot_at)
        return GP_NEWS_ALONE;
    uint64_t share = (now - recorder->started_ns) / SNAPSHOT_SHARE;
    at->snapshot_at = now + (share > snapshot_ns ? share : snapshot_ns);
    return wanted == GP_NEWS_ALONE ? GP_NEWS_SNAPSHOT : wanted;
}

static bool is_published(const slot *at)
{
    /* acquire: pairs with the release in gp_recorder_add, the source is complete */
    return atomic_load_explicit(&at->state, memory_order_acquire) == SLOT_PUBLISHED;
}

static void free_slot(slot *at)
{
    at->events_end = 0;
    at->begun = false;
    at->snapshot_at = 0;
    /* release: the next one to claim the slot finds it zeroed */
    atomic_store_explicit(&at->state, SLOT_FREE, memory_order_release);
}

/* Returns after how long to look again. */
static uint64_t fetch(gp_recorder *recorder, slot *at, gp_news_wish wanted)
{
    gp_news_wish wish = next_snapshot(recorder, at, wanted);
    if (!at->begun) {
        put_round(recorder, at, GP_NEWS_SNAPSHOT);
        wish = wanted;
    }
    put_round(recorder, at, wish);
    uint64_t pause = !at->source.timeline                                    ? snapshot_ns
                     : gp_timeline_count(&recorder->news.timeline) > CROWDED ? crowded_ns
                                                                             : drain_ns;
    if (recorder->news.ended) {
        if (wanted != GP_NEWS_FINAL)
            put_round(recorder, at, GP_NEWS_FINAL);
        free_slot(at);
    }
    return pause;
}

/* Returns after how long to look again. */
static uint64_t fetch_all(gp_recorder *recorder, gp_news_wish wanted)
{
    uint64_t pause = snapshot_ns;
    put_queued(recorder);
    for (uint32_t i = 0; i < GP_RECORDER_SOURCES; i++) {
        slot *at = &recorder->slots[i];
        uint64_t wait = is_published(at) ? fetch(recorder, at, wanted) : snapshot_ns;
        if (wait < pause)
            pause = wait;
    }
    recorder->due_ns = gp_clock_monotonic_ns() + pause;
    return pause;
}

static int describe_ending(char *text, size_t room, int ending)
{
    if (ending > 0)
        return snprintf(text, room, "{\"reason\": \"signal\", \"signal\": %d}", ending);
    if (ending < 0)
        return snprintf(text, room, "{\"reason\": \"exit\", \"status\": %d}", gp_ending_status(ending));
    return snprintf(text, room, "{\"reason\": \"stopped\"}");
}

/* Why the recording ends. Without this chunk the process was killed or crashed. */
static void put_done(gp_recorder *recorder, int ending)
{
    char reason[64];
    int size = describe_ending(reason, sizeof reason, ending);
    size_t begin = gp_chunk_begin(&recorder->out, "DONE");
    gp_buffer_raw(&recorder->out, reason, (size_t)size);
    gp_chunk_end(&recorder->out, begin);
    write_out(recorder);
}

static void end_process(gp_recorder *recorder, int ending)
{
    atomic_store(&recorder->ending, 0);
    atomic_load (&recorder->last_act)(ending);
}

/* Whether no source has an event: then the file has none either. */
static bool saw_nothing(const gp_recorder *recorder)
{
    for (int i = 0; i < GP_RECORDER_SOURCES; i++)
        if (is_published(&recorder->slots[i]) && !recorder->slots[i].source.timeline)
            return false;
    return recorder->events_in_out == 0;
}

/* Write what there is. Returns after how many nanoseconds to come again. */
static uint64_t serve(gp_recorder *recorder, bool stop)
{
    int ending = atomic_load(&recorder->ending);
    uint32_t flushes = atomic_load(&recorder->flushes_wanted);
    bool flush = flushes != atomic_load(&recorder->flushes_done);
    uint64_t pause = fetch_all(recorder, stop              ? GP_NEWS_FINAL
                                         : flush || ending ? GP_NEWS_SNAPSHOT
                                                           : GP_NEWS_ALONE);
    if (ending < 0 && !recorder->output.made && saw_nothing(recorder))
        end_process(recorder, ending);
    write_out(recorder);
    if (stop || ending != 0)
        put_done(recorder, ending);
    if (flush) {
        gp_output_sync(&recorder->output);
        tell_error(recorder);
        atomic_store(&recorder->flushes_done, flushes);
        gp_futex_wake(&recorder->flushes_done);
    }
    if (ending != 0)
        end_process(recorder, ending);
    recorder->ended |= stop;
    return pause;
}

/* Whether the file need not be made yet. */
static bool is_early(gp_recorder *recorder)
{
    return !recorder->output.made && !has_failed(recorder) && atomic_load(&recorder->ending) == 0 &&
           atomic_load(&recorder->flushes_wanted) == atomic_load(&recorder->flushes_done) &&
           gp_clock_monotonic_ns() - recorder->started_ns < drain_ns;
}

/* Little is done around a fork, since it may be one of many: nothing before it, unless it is time anyway, and
 * nothing at once after it. */
static void run(void *context)
{
    gp_recorder *recorder = context;
    if (recorder->output.size != 0)
        gp_futex_wait(&recorder->wishes, 0, crowded_ns);
    for (;;) {
        uint32_t wishes = atomic_exchange(&recorder->wishes, 0);
        if ((wishes & (HALT | STOP)) == 0 && is_early(recorder)) {
            gp_futex_wait(&recorder->wishes, 0, drain_ns);
            continue;
        }
        if ((wishes & HALT) != 0 && (wishes & STOP) == 0) {
            if (gp_clock_monotonic_ns() >= recorder->due_ns || atomic_load(&recorder->ending) != 0)
                serve(recorder, false);
            return;
        }
        uint64_t pause = serve(recorder, (wishes & STOP) != 0);
        if (recorder->ended) {
            gp_output_close(&recorder->output); /* only this thread's table may have the descriptor */
            return;
        }
        gp_futex_wait(&recorder->wishes, 0, pause);
    }
}

static void halt(void *context)
{
    wish(context, HALT);
}

static void forked(void *context)
{
    gp_recorder *recorder = context;
    gp_output_close(&recorder->output);
}

/* ---- without a thread ---- */

static void put_in_list(gp_recorder *recorder)
{
    sigset_t before = lock_list();
    recorder->next = without_thread;
    without_thread = recorder;
    atomic_store(&list_pid, recorder->pid);
    atomic_store(&recorder->without_thread, true);
    atomic_fetch_add(&gp_recorders_without_thread, 1);
    unlock_list(&before);
}

/* Under the list's lock. */
static void take_out_of_list(gp_recorder *recorder)
{
    for (gp_recorder **at = &without_thread; *at != NULL; at = &(*at)->next)
        if (*at == recorder) {
            *at = recorder->next;
            atomic_store(&recorder->without_thread, false);
            atomic_fetch_sub(&gp_recorders_without_thread, 1);
            return;
        }
}

/* Another thread may have had the lock: it is made anew. */
static void forked_in_child(void)
{
    pthread_mutex_init(&list_lock, NULL);
    for (gp_recorder *recorder = without_thread; recorder != NULL; recorder = recorder->next) {
        atomic_store(&recorder->without_thread, false);
        forked(recorder);
    }
    without_thread = NULL;
    atomic_store(&gp_recorders_without_thread, 0);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forked_in_child);
}

/* What the thread does in one round, done on a thread of the program. */
static void serve_here(gp_recorder *recorder)
{
    if (is_early(recorder))
        return;
    serve(recorder, false);
    gp_output_rest(&recorder->output);
}

/* Start the thread with its file open: the program may rename FILE before our thread runs for the first time.
 * Returns whether there is a thread. */
static bool hand_over(gp_recorder *recorder)
{
    if (recorder->never_has_thread)
        return false;
    gp_output_hold(&recorder->output);
    if (gp_helper_start(&recorder->helper) == 0)
        return true;
    gp_output_rest(&recorder->output);
    return false;
}

/* Called at each release of the GIL, so it reads no clock and makes no atomic addition. Relaxed: of several
 * threads one may miss another's count. A timeline has room for much more than comes in between. */
static bool attention_is_due(uint64_t now)
{
    enum { OFTEN = 1 << 14 };
    uint32_t count = atomic_load_explicit(&attentions, memory_order_relaxed) + 1;
    atomic_store_explicit(&attentions, count, memory_order_relaxed);
    if ((int64_t)(now - atomic_load_explicit(&attention_due, memory_order_relaxed)) < 0 && count % OFTEN != 0)
        return false;
    atomic_store_explicit(&attention_due, now + gp_clock_from_ns(gp_clock_rate_estimate(), drain_ns),
                          memory_order_relaxed);
    return true;
}

void gp_recorder_attend(uint64_t now)
{
    if (!attention_is_due(now))
        return;
    int saved = errno;
    sigset_t before = lock_list();
    for (gp_recorder *recorder = without_thread; recorder != NULL; recorder = recorder->next)
        serve_here(recorder);
    unlock_list(&before);
    errno = saved;
}

void gp_recorder_bring_threads(void)
{
    int saved = errno;
    sigset_t before = lock_list();
    for (gp_recorder *recorder = without_thread, *next; recorder != NULL; recorder = next) {
        next = recorder->next;
        if (hand_over(recorder))
            take_out_of_list(recorder);
    }
    unlock_list(&before);
    errno = saved;
}

bool gp_recorder_has_no_thread(const gp_recorder *recorder)
{
    return atomic_load(&recorder->without_thread);
}

static bool is_free(gp_recorder *recorder)
{
    if (pthread_mutex_trylock(&recorder->queue_lock) != 0)
        return false;
    pthread_mutex_unlock(&recorder->queue_lock);
    for (int i = 0; i < GP_RECORDER_SOURCES; i++) {
        const slot *at = &recorder->slots[i];
        if (is_published(at) && at->source.is_free != NULL && !at->source.is_free(at->source.context))
            return false;
    }
    return true;
}

void gp_recorder_end_here(gp_recorder *recorder, int ending, void (*last_act)(int ending))
{
    atomic_store(&recorder->last_act, last_act);
    if (pthread_mutex_trylock(&list_lock) != 0)
        return;
    if (gp_recorder_has_no_thread(recorder) && is_free(recorder)) {
        atomic_store(&recorder->ending, ending);
        serve(recorder, false);
    }
    pthread_mutex_unlock(&list_lock);
}

void gp_recorder_pin_files(void)
{
    /* a child of vfork calls this too, in our memory: its parent's lock may be held for good */
    if (atomic_load(&gp_recorders_without_thread) == 0 || getpid() != atomic_load(&list_pid))
        return;
    sigset_t before = lock_list();
    for (gp_recorder *recorder = without_thread; recorder != NULL; recorder = recorder->next)
        gp_output_pin(&recorder->output);
    unlock_list(&before);
}

/* ---- its beginning and end ---- */

/* Start the thread, or put the recorder in the list of those without. Then try now whether a thread could be
 * made: better not begin than leave all writing to the program's threads. Returns 0 or an errno. */
static int begin_to_write(gp_recorder *recorder, unsigned how)
{
    bool alone = (how & GP_RECORDER_ALONE) != 0 && gp_helpers_alone();
    recorder->never_has_thread = (how & GP_RECORDER_NO_THREAD) != 0;
    int error = recorder->never_has_thread ? 0 : alone ? gp_helper_try() : gp_helper_start(&recorder->helper);
    if (error == 0 && (alone || recorder->never_has_thread)) {
        pthread_once(&fork_once, watch_forks);
        gp_output_rest(&recorder->output);
        put_in_list(recorder);
    }
    return error;
}

static void end_writing(gp_recorder *recorder)
{
    sigset_t before = lock_list();
    take_out_of_list(recorder);
    unlock_list(&before);
    gp_helper_stop(&recorder->helper);
}

static gp_status open_recorder(gp_recorder *made, const char *path, unsigned how, int *error)
{
    *error = (how & GP_RECORDER_LATER) != 0
                 ? gp_output_open_later(&made->output, path)
                 : gp_output_open(&made->output, path, (how & GP_RECORDER_REPLACE) != 0);
    if (*error != 0)
        return GP_ESYSTEM;
    gp_chunk_put_header(&made->out);
    made->helper =
        (gp_helper){.context = made, .run = run, .halt = halt, .forked = forked, .fd = &made->output.fd};
    *error = begin_to_write(made, how);
    gp_status status = *error == 0 ? GP_OK : GP_ETHREAD;
    if (status == GP_OK && (how & GP_RECORDER_PENDING) == 0 && (*error = gp_recorder_commit(made)) != 0) {
        end_writing(made);
        status = GP_ESYSTEM;
    }
    if (status != GP_OK) {
        gp_output_discard(&made->output);
        gp_buffer_free(&made->out);
    }
    return status;
}

gp_status gp_recorder_open(const char *path, unsigned how, gp_recorder **recorder, int *error)
{
    gp_recorder *made = gp_memory_map(sizeof *made);
    if (made == NULL)
        return GP_ENOMEM;
    made->pid = getpid();
    made->started_ns = gp_clock_monotonic_ns();
    made->due_ns = made->started_ns + drain_ns;
    pthread_mutex_init(&made->queue_lock, NULL);
    gp_status status = open_recorder(made, path, how, error);
    if (status != GP_OK)
        gp_memory_unmap(made, sizeof *made);
    else
        *recorder = made;
    return status;
}

int gp_recorder_commit(gp_recorder *recorder)
{
    return gp_output_commit(&recorder->output);
}

void gp_recorder_discard(gp_recorder *recorder)
{
    if (!in_child(recorder) && !recorder->finished && recorder->output.made)
        unlink(atomic_load(&recorder->output.current_path));
    gp_recorder_finish(recorder);
}

static slot *claim_slot(gp_recorder *recorder)
{
    for (uint32_t i = 0; i < GP_RECORDER_SOURCES; i++) {
        uint32_t expected = SLOT_FREE;
        if (atomic_compare_exchange_strong(&recorder->slots[i].state, &expected, SLOT_CLAIMED))
            return &recorder->slots[i];
    }
    return NULL;
}

gp_status gp_recorder_add(gp_recorder *recorder, const gp_source *source)
{
    slot *at = claim_slot(recorder);
    if (at == NULL)
        return GP_ENOMEM;
    at->source = *source;
    /* release: a thread that sees the slot published sees the source */
    atomic_store_explicit(&at->state, SLOT_PUBLISHED, memory_order_release);
    wish(recorder, WAKE);
    return GP_OK;
}

gp_status gp_recorder_put(gp_recorder *recorder, const char type[4], const void *payload, size_t size)
{
    if (size > GP_CHUNK_PAYLOAD_MAX)
        return GP_EINVAL;
    if (in_child(recorder) || atomic_load(&recorder->error) != 0)
        return GP_OK; /* like everything else then: there is no file any more */
    pthread_mutex_lock(&recorder->queue_lock);
    gp_buffer *queue = &recorder->queue;
    size_t begin = gp_chunk_begin(queue, type);
    gp_buffer_raw(queue, payload, size);
    gp_chunk_end(queue, begin);
    bool failed = queue->failed;
    if (failed) {
        queue->size = begin;
        queue->failed = false;
    }
    pthread_mutex_unlock(&recorder->queue_lock);
    return failed ? GP_ENOMEM : GP_OK;
}

/* Flush on this thread if the recorder has none. Returns whether it did. */
static bool flush_here(gp_recorder *recorder)
{
    if (!gp_recorder_has_no_thread(recorder))
        return false;
    sigset_t before = lock_list();
    bool here = gp_recorder_has_no_thread(recorder);
    if (here)
        serve_here(recorder);
    unlock_list(&before);
    return here;
}

bool gp_recorder_flush(gp_recorder *recorder, uint64_t timeout_ns)
{
    if (in_child(recorder) || recorder->finished || gp_helper_is_here(&recorder->helper))
        return false;
    uint32_t ticket = atomic_fetch_add(&recorder->flushes_wanted, 1) + 1;
    if (flush_here(recorder))
        return atomic_load(&recorder->error) == 0;
    wish(recorder, WAKE);
    uint64_t begin = gp_clock_monotonic_ns();
    bool done;
    for (;;) {
        bool runs = gp_helper_runs(&recorder->helper);
        uint32_t flushes = atomic_load(&recorder->flushes_done);
        done = (int32_t)(flushes - ticket) >= 0;
        uint64_t spent = gp_clock_monotonic_ns() - begin;
        if (done || !runs || spent >= timeout_ns)
            break;
        uint64_t left = timeout_ns - spent;
        gp_futex_wait(&recorder->flushes_done, flushes, left < flush_look_ns ? left : flush_look_ns);
    }
    return done && atomic_load(&recorder->error) == 0;
}

void gp_recorder_end(gp_recorder *recorder, int ending, void (*last_act)(int ending))
{
    int none = 0;
    atomic_store(&recorder->last_act, last_act);
    atomic_compare_exchange_strong(&recorder->ending, &none, ending);
    wish(recorder, WAKE);
}

bool gp_recorder_runs(const gp_recorder *recorder)
{
    return gp_helper_runs(&recorder->helper);
}

uint32_t gp_recorder_questions(const gp_recorder *recorder)
{
    return atomic_load(&recorder->questions);
}

/* Write the end on this thread: ours is paused around a fork, or could not be started again after one. */
static void end_here(gp_recorder *recorder)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    serve(recorder, true);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void gp_recorder_finish(gp_recorder *recorder)
{
    if (in_child(recorder) || atomic_exchange(&recorder->finished, true))
        return;
    wish(recorder, STOP);
    end_writing(recorder);
    if (!recorder->ended)
        end_here(recorder);
    gp_output_close(&recorder->output);
    tell_error(recorder);
}

bool gp_recorder_identity(const gp_recorder *recorder, uint64_t *device, uint64_t *inode)
{
    const gp_output *output = &recorder->output;
    /* acquire: pairs with the release in keep_file, device and inode are set */
    bool made = atomic_load_explicit(&output->made, memory_order_acquire);
    *device = (uint64_t)output->device;
    *inode = (uint64_t)output->inode;
    return made;
}

int gp_recorder_error(const gp_recorder *recorder, uint64_t *bytes_written, uint64_t *events_written)
{
    *bytes_written = atomic_load(&recorder->bytes_written);
    *events_written = atomic_load(&recorder->events_written);
    return atomic_load(&recorder->error);
}

void gp_recorder_free(gp_recorder *recorder)
{
    if (recorder == NULL)
        return;
    if (in_child(recorder)) {
        gp_recorder_abandon(recorder);
        return;
    }
    gp_recorder_finish(recorder);
    gp_buffer_free(&recorder->queue);
    gp_buffer_free(&recorder->taken);
    gp_buffer_free(&recorder->out);
    gp_buffer_free(&recorder->news.threads);
    gp_buffer_free(&recorder->news.places);
    gp_buffer_free(&recorder->news.timeline.events);
    gp_buffer_free(&recorder->news.seen);
    gp_buffer_free(&recorder->news.pauses);
    gp_buffer_free(&recorder->news.lock_names);
    gp_buffer_free(&recorder->news.lock_waits);
    gp_buffer_free(&recorder->news.locks);
    gp_buffer_free(&recorder->news.snapshot);
    pthread_mutex_destroy(&recorder->queue_lock);
    gp_memory_unmap(recorder, sizeof *recorder);
}

void gp_recorder_abandon(gp_recorder *recorder)
{
    if (recorder == NULL)
        return;
    /* The buffers are left as they are: at the fork the thread may have been replacing their memory. */
    gp_output_close(&recorder->output);
    gp_memory_unmap(recorder, sizeof *recorder);
}
