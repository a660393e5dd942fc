/* What does an event of the timeline cost: to hand over, to encode, on the disk?
 *
 *     cmake --build BUILD --target recording_events && BUILD/recording_events FILE [EVENTS [PAUSE_EVERY]]
 *
 * writes EVENTS (10 million) made-up events of four threads as fast as the ring takes them, with a pause of 1
 * ms after each PAUSE_EVERY (0: none), and leaves the recording in FILE. Events that find no room are
 * counted. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/gp_clock.h"
#include "recording/gp_events.h"
#include "recording/gp_recorder.h"

enum {
    THREADS = 4,
    PLACES = 300,
    BATCH = 1 << 16,
};

static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint64_t)(((unsigned __int128)state * below) >> 64);
}

/* Holds of up to some microseconds of a 3 GHz counter that follow one another, each after a wait. */
static bool record(gp_ring *ring, uint64_t number, uint64_t *now)
{
    uint32_t account = (uint32_t)(number / 2 % THREADS), place = (uint32_t)(draw(draw(PLACES) + 1));
    if (number % 2 == 0)
        return gp_ring_push(
            ring, (gp_interval){GP_EVENT_WAIT, account, place, *now - draw(*now < 9000 ? *now : 9000), *now});
    uint64_t start = *now;
    *now += 200 + draw(6000);
    return gp_ring_push(ring, (gp_interval){GP_EVENT_HOLD, account, place, start, *now});
}

static void describe(void *context, gp_buffer *threads, gp_buffer *places)
{
    bool *described = context;
    for (uint64_t i = 0; i < THREADS && !*described; i++) {
        gp_buffer_number(threads, i);
        gp_buffer_signed(threads, 1000 + (int64_t)i);
        gp_buffer_number(threads, 0);
        gp_buffer_string(threads, "python", 6);
        gp_buffer_number(threads, 0);
    }
    for (uint64_t i = 0; i < PLACES && !*described; i++) {
        gp_buffer_number(places, i);
        gp_buffer_number(places, 0);
        gp_buffer_number(places, 0);
        gp_buffer_number(places, i + 1);
        gp_buffer_string(places, "function", 8);
        gp_buffer_string(places, "/srv/app/module.py", 18);
    }
    *described = true;
}

static void snapshot(void *context, bool final, gp_buffer *out)
{
    (void)context;
    gp_buffer_number(out, final);
    gp_buffer_number(out, 0);
    gp_buffer_number(out, ((uint64_t)1 << 32) / 3);
    for (int i = 0; i < 10; i++)
        gp_buffer_number(out, 0);
}

static double seconds_since(uint64_t begin)
{
    return (double)(gp_clock_monotonic_ns() - begin) / 1e9;
}

static void measure_encoder(void)
{
    gp_ring *ring;
    gp_interval *events = malloc(BATCH * sizeof *events);
    gp_buffer out = {0};
    uint64_t now = 0, end = 0, spent = 0, count = 0;
    if (events == NULL || gp_ring_new(BATCH, &ring) != GP_OK)
        exit(1);
    for (int round = 0; round < 50; round++) {
        for (uint64_t i = 0; i < BATCH; i++)
            record(ring, i, &now);
        size_t popped = gp_ring_pop_many(ring, events, BATCH);
        gp_buffer_clear(&out);
        uint64_t begin = gp_clock_monotonic_ns();
        count += gp_events_encode(&end, events, popped, 0, 0, &out);
        spent += gp_clock_monotonic_ns() - begin;
    }
    printf("encoding with its checksum: %.1f million events/s\n", (double)count * 1e3 / (double)spent);
    gp_buffer_free(&out);
    gp_ring_free(ring);
    free(events);
}

int main(int count, char **arguments)
{
    uint64_t wanted = count > 2 ? strtoull(arguments[2], NULL, 10) : 10000000;
    uint64_t pause_every = count > 3 ? strtoull(arguments[3], NULL, 10) : 0;
    uint64_t now = 0, bytes, events;
    bool described = false;
    gp_recorder *recorder;
    gp_source source = {.context = &described, .describe = describe, .snapshot = snapshot};
    struct rusage usage;
    int error = 0;
    gp_clock_init();
    measure_encoder();
    if (count < 2 || gp_ring_new(GP_RING_CAPACITY, &source.ring) != GP_OK ||
        gp_recorder_open(arguments[1], true, &recorder, &error) != GP_OK) {
        fprintf(stderr, "usage: %s FILE [EVENTS [PAUSE_EVERY]]; %s\n", arguments[0], strerror(error));
        return 2;
    }
    gp_recorder_add(recorder, &source);
    uint64_t begin = gp_clock_monotonic_ns();
    for (uint64_t i = 0; i < wanted; i++) {
        record(source.ring, i, &now);
        if (pause_every != 0 && i % pause_every == 0)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    double produced = seconds_since(begin);
    gp_recorder_finish(recorder);
    error = gp_recorder_error(recorder, &bytes, &events);
    getrusage(RUSAGE_SELF, &usage);
    printf("%" PRIu64 " events in %.2f s (%.1f ns each, as made up), written after %.2f s; %" PRIu64
           " dropped\n%.2f bytes an event, peak memory %ld MiB, error %d\n",
           wanted, produced, produced * 1e9 / (double)wanted, seconds_since(begin),
           gp_ring_dropped(source.ring), (double)bytes / (double)events, usage.ru_maxrss / 1024, error);
    gp_recorder_free(recorder);
    gp_ring_free(source.ring);
    return 0;
}
