#define _GNU_SOURCE
#include "gp_recorder.h"

#if defined(__linux__) && defined(__LP64__) /* the futex call's timespec is that of the C library */

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "gp_chunk.h"
#include "gp_clock.h"
#include "gp_events.h"
#include "gp_memory.h"
#include "gp_output.h"

enum {
    BATCH = 1 << 16,        /* slots in one go, and events in one chunk */
    WRITE_SIZE = 4 << 20,   /* bytes that are not kept back any longer */
    CROWDED = 8,            /* a ring is crowded from 1/8 on */
    STACK_SIZE = 256 << 10, /* bytes */
    SNAPSHOT_SHARE = 64,    /* of the time so far that may pass between two snapshots */
};

#define MS_NS UINT64_C(1000000)
static const uint64_t drain_ns = 50 * MS_NS;
static const uint64_t crowded_ns = 5 * MS_NS;
static const uint64_t snapshot_ns = 1000 * MS_NS;

/* What the thread is woken for. */
enum {
    WAKE = 1,
    STOP = 2,
};

typedef struct {
    gp_source source;
    _Atomic bool published; /* the source may be read */
    gp_events_encoder encoder;
    bool begun;
    uint64_t snapshot_at; /* when the next is due */
} slot;

struct gp_recorder {
    pid_t pid;
    pthread_t thread;
    _Atomic pid_t thread_id;
    _Atomic bool finished;
    _Atomic uint32_t wishes; /* WAKE, STOP */
    _Atomic uint32_t flushes_wanted, flushes_done;
    slot slots[GP_RECORDER_SOURCES];
    _Atomic uint32_t slot_count;
    _Atomic int error;
    _Atomic uint64_t bytes_written, events_written;

    pthread_mutex_t queue_lock;
    gp_buffer queue; /* whole chunks; under the lock */

    /* the thread's */
    gp_output output;
    uint64_t started_ns;
    gp_event *batch;
    gp_buffer out, taken, threads, places, snapshot;
    uint64_t events_in_out;
};

/* ---- sleeping and waking: futexes, since a descriptor can be closed by the program, and a condition is not
 * async-signal-safe ---- */

static void futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    struct timespec relative = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, &relative, NULL, 0); /* on CLOCK_MONOTONIC */
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void wish(gp_recorder *recorder, uint32_t what)
{
    int saved = errno;
    atomic_fetch_or(&recorder->wishes, what);
    futex_wake(&recorder->wishes);
    errno = saved;
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

typedef enum {
    NO_SNAPSHOT,
    SNAPSHOT,
    FINAL_SNAPSHOT,
} snapshot_kind;

static void put_snapshot(gp_recorder *recorder, snapshot_kind kind)
{
    gp_buffer *snapshot = &recorder->snapshot;
    if (snapshot->failed && kind == FINAL_SNAPSHOT)
        fail(recorder, ENOMEM);
    if (!snapshot->failed && snapshot->size != 0) {
        size_t begin = gp_chunk_begin(&recorder->out, "SNAP");
        gp_buffer_raw(&recorder->out, snapshot->bytes, snapshot->size);
        gp_chunk_end(&recorder->out, begin);
    }
    gp_buffer_clear(snapshot);
}

/* Write `count` events and what they and the snapshot refer to. Both have been taken before that is
 * described, and stand behind it in the file. */
static void put_round(gp_recorder *recorder, slot *at, size_t count, snapshot_kind kind)
{
    const gp_source *source = &at->source;
    if (kind != NO_SNAPSHOT)
        source->snapshot(source->context, kind == FINAL_SNAPSHOT, &recorder->snapshot);
    source->describe(source->context, &recorder->threads, &recorder->places);
    put_described(recorder, "THRD", source->interpreter, &recorder->threads);
    put_described(recorder, "PLAC", source->interpreter, &recorder->places);
    if (count != 0)
        recorder->events_in_out += gp_events_encode(&at->encoder, recorder->batch, count, source->interpreter,
                                                    gp_ring_dropped(source->ring), &recorder->out);
    put_snapshot(recorder, kind);
    if (recorder->out.size >= WRITE_SIZE || recorder->out.failed)
        write_out(recorder);
}

static void throw_away(gp_recorder *recorder, const gp_source *source)
{
    while (source->ring != NULL && gp_ring_pop_many(source->ring, recorder->batch, BATCH) == BATCH)
        ;
}

/* A snapshot now; the next about a second later, or later still: the size of all snapshots together should
 * grow with the logarithm of the recording's length. */
static snapshot_kind next_snapshot(const gp_recorder *recorder, slot *at, snapshot_kind wanted)
{
    uint64_t now = gp_clock_monotonic_ns();
    if (wanted == NO_SNAPSHOT && now < at->snapshot_at)
        return NO_SNAPSHOT;
    uint64_t share = (now - recorder->started_ns) / SNAPSHOT_SHARE;
    at->snapshot_at = now + (share > snapshot_ns ? share : snapshot_ns);
    return wanted == NO_SNAPSHOT ? SNAPSHOT : wanted;
}

/* Returns whether the ring was crowded. */
static bool drain(gp_recorder *recorder, slot *at, snapshot_kind wanted)
{
    gp_ring *ring = at->source.ring;
    if (has_failed(recorder)) {
        throw_away(recorder, &at->source);
        return false;
    }
    snapshot_kind kind = next_snapshot(recorder, at, wanted);
    if (!at->begun) {
        /* the first snapshot stands before the first event: it has the clock's rate */
        put_round(recorder, at, 0, SNAPSHOT);
        at->begun = true;
        kind = wanted;
    }
    /* What is there now, and no more: a producer that is faster than the disk must not keep us here. */
    uint64_t pending = ring != NULL ? gp_ring_pending(ring) : 0;
    for (uint64_t left = pending; left != 0 && !has_failed(recorder);) {
        size_t count = gp_ring_pop_many(ring, recorder->batch, left < BATCH ? (size_t)left : BATCH);
        left -= count;
        put_round(recorder, at, count, left == 0 ? kind : NO_SNAPSHOT);
    }
    if (pending == 0)
        put_round(recorder, at, 0, kind);
    return ring != NULL && pending > ring->capacity / CROWDED;
}

/* Returns after how long to look again. */
static uint64_t drain_all(gp_recorder *recorder, snapshot_kind wanted)
{
    uint64_t pause = snapshot_ns;
    put_queued(recorder);
    /* acquire, both times: who sees a source published sees the source */
    uint32_t count = atomic_load_explicit(&recorder->slot_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        slot *at = &recorder->slots[i];
        if (!atomic_load_explicit(&at->published, memory_order_acquire))
            continue;
        uint64_t wait = drain(recorder, at, wanted) ? crowded_ns : drain_ns;
        if (at->source.ring != NULL && wait < pause)
            pause = wait;
    }
    write_out(recorder);
    return pause;
}

static void *run(void *context)
{
    gp_recorder *recorder = context;
    pthread_setname_np(pthread_self(), "gilprobe");
    atomic_store(&recorder->thread_id, (pid_t)syscall(SYS_gettid));
    gp_chunk_put_header(&recorder->out);
    for (;;) {
        bool stop = (atomic_exchange(&recorder->wishes, 0) & STOP) != 0;
        uint32_t flushes = atomic_load(&recorder->flushes_wanted);
        bool flush = flushes != atomic_load(&recorder->flushes_done);
        uint64_t pause = drain_all(recorder, stop ? FINAL_SNAPSHOT : flush ? SNAPSHOT : NO_SNAPSHOT);
        if (flush) {
            gp_output_sync(&recorder->output);
            tell_error(recorder);
            atomic_store(&recorder->flushes_done, flushes);
            futex_wake(&recorder->flushes_done);
        }
        if (stop)
            return NULL;
        futex_wait(&recorder->wishes, 0, pause);
    }
}

/* ---- its beginning and end ---- */

static int start_thread(gp_recorder *recorder)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    /* No handler of the program may run here, and SIGXFSZ must not end it: a new thread inherits the mask. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    error = pthread_create(&recorder->thread, &attributes, run, recorder);
    if (error == EINVAL) /* thread-local storage that is larger than this stack */
        error = pthread_create(&recorder->thread, NULL, run, recorder);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static void release(gp_recorder *recorder)
{
    gp_memory_unmap(recorder->batch, BATCH * sizeof *recorder->batch);
    gp_memory_unmap(recorder, sizeof *recorder);
}

gp_status gp_recorder_open(const char *path, bool replace, gp_recorder **recorder, int *error)
{
    gp_recorder *made = gp_memory_map(sizeof *made);
    if (made == NULL)
        return GP_ENOMEM;
    made->batch = gp_memory_map(BATCH * sizeof *made->batch);
    if (made->batch == NULL) {
        release(made);
        return GP_ENOMEM;
    }
    made->pid = getpid();
    made->started_ns = gp_clock_monotonic_ns();
    pthread_mutex_init(&made->queue_lock, NULL);
    *error = gp_output_open(&made->output, path, replace);
    if (*error == 0) {
        *error = start_thread(made);
        if (*error != 0) {
            unlink(made->output.path);
            gp_output_close(&made->output);
        }
    }
    if (*error != 0) {
        release(made);
        return GP_ESYSTEM;
    }
    *recorder = made;
    return GP_OK;
}

gp_status gp_recorder_add(gp_recorder *recorder, const gp_source *source)
{
    uint32_t number = atomic_load(&recorder->slot_count);
    do {
        if (number == GP_RECORDER_SOURCES)
            return GP_ENOMEM;
    } while (!atomic_compare_exchange_weak(&recorder->slot_count, &number, number + 1));
    recorder->slots[number].source = *source;
    /* release: who sees the source published sees the source */
    atomic_store_explicit(&recorder->slots[number].published, true, memory_order_release);
    wish(recorder, WAKE);
    return GP_OK;
}

gp_status gp_recorder_put(gp_recorder *recorder, const char type[4], const void *payload, size_t size)
{
    if (size > GP_CHUNK_PAYLOAD_MAX)
        return GP_EINVAL;
    if (in_child(recorder) || atomic_load(&recorder->error) != 0)
        return GP_OK; /* as for everything else then: there is no file any more */
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

bool gp_recorder_flush(gp_recorder *recorder, uint64_t timeout_ns)
{
    int saved = errno;
    if (in_child(recorder) || recorder->finished ||
        (pid_t)syscall(SYS_gettid) == atomic_load(&recorder->thread_id))
        return false;
    uint32_t ticket = atomic_fetch_add(&recorder->flushes_wanted, 1) + 1;
    wish(recorder, WAKE);
    uint64_t begin = gp_clock_monotonic_ns();
    bool done;
    for (;;) {
        uint32_t flushes = atomic_load(&recorder->flushes_done);
        done = (int32_t)(flushes - ticket) >= 0;
        uint64_t spent = gp_clock_monotonic_ns() - begin;
        if (done || spent >= timeout_ns)
            break;
        futex_wait(&recorder->flushes_done, flushes, timeout_ns - spent);
    }
    errno = saved;
    return done && atomic_load(&recorder->error) == 0;
}

void gp_recorder_finish(gp_recorder *recorder)
{
    if (in_child(recorder) || atomic_exchange(&recorder->finished, true))
        return;
    wish(recorder, STOP);
    pthread_join(recorder->thread, NULL);
    gp_output_close(&recorder->output);
    tell_error(recorder);
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
    gp_buffer_free(&recorder->threads);
    gp_buffer_free(&recorder->places);
    gp_buffer_free(&recorder->snapshot);
    pthread_mutex_destroy(&recorder->queue_lock);
    release(recorder);
}

void gp_recorder_abandon(gp_recorder *recorder)
{
    if (recorder == NULL)
        return;
    /* The buffers are left as they are: the fork may have caught the thread while it replaced their memory.
     */
    gp_output_close(&recorder->output);
    release(recorder);
}

#else

gp_status gp_recorder_open(const char *path, bool replace, gp_recorder **recorder, int *error)
{
    (void)path, (void)replace, (void)recorder, (void)error;
    return GP_EUNSUPPORTED;
}

/* Nobody has a recorder to call these with. */

gp_status gp_recorder_add(gp_recorder *recorder, const gp_source *source)
{
    (void)recorder, (void)source;
    return GP_EUNSUPPORTED;
}

gp_status gp_recorder_put(gp_recorder *recorder, const char type[4], const void *payload, size_t size)
{
    (void)recorder, (void)type, (void)payload, (void)size;
    return GP_EUNSUPPORTED;
}

bool gp_recorder_flush(gp_recorder *recorder, uint64_t timeout_ns)
{
    (void)recorder, (void)timeout_ns;
    return false;
}

void gp_recorder_finish(gp_recorder *recorder)
{
    (void)recorder;
}

int gp_recorder_error(const gp_recorder *recorder, uint64_t *bytes_written, uint64_t *events_written)
{
    (void)recorder, (void)bytes_written, (void)events_written;
    return 0;
}

void gp_recorder_free(gp_recorder *recorder)
{
    (void)recorder;
}

void gp_recorder_abandon(gp_recorder *recorder)
{
    (void)recorder;
}

#endif
