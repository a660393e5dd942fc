#ifndef GP_CLOCK_H
#define GP_CLOCK_H

/* A clock for time stamps on a hot path: the processor's invariant counter where the kernel trusts it too,
 * else CLOCK_MONOTONIC. Stamps are ticks; only differences mean something, and only within one process. */

#include <stdint.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#include <x86intrin.h>
#endif

typedef enum {
    GP_CLOCK_MONOTONIC, /* a tick is a nanosecond */
    GP_CLOCK_COUNTER,   /* x86: rdtsc, aarch64: cntvct_el0 */
} gp_clock_kind;

/* Read-only after gp_clock_init; inlined readers need to see it. */
extern gp_clock_kind gp_clock_selected;

/* CLOCK_MONOTONIC in nanoseconds. Async-signal-safe. */
static inline uint64_t gp_clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* CPU time of the calling thread, nanoseconds: a system call. Leaves errno alone. Async-signal-safe. */
static inline uint64_t gp_clock_thread_cpu_ns(void)
{
    struct timespec now = {0, 0}; /* stays so where the system has no such clock */
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The same of any thread of this process; 0 if there is none, or the system does not tell. */
uint64_t gp_clock_cpu_ns_of(int64_t native_id);

/* gp_clock_monotonic_ns out of line, to keep the rare clock out of the hot path's registers. */
uint64_t gp_clock_slow_ticks(void);

/* One stamp where GP_CLOCK_COUNTER is selected. */
static inline uint64_t gp_clock_counter(void)
{
#if defined(__x86_64__) || defined(__i386__)
    return __rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
#else
    return 0;
#endif
}

/* One stamp, in ticks. Any thread; needs no GIL; async-signal-safe.
 * Not a serialising read: the processor may move it by some nanoseconds, and the fence that prevents that
 * would cost more than the error. */
static inline uint64_t gp_clock_ticks(void)
{
    return __builtin_expect(gp_clock_selected == GP_CLOCK_COUNTER, 1) ? gp_clock_counter()
                                                                      : gp_clock_slow_ticks();
}

/* Choose the clock, and begin to measure its rate. From one thread at a time. */
void gp_clock_begin(void);

/* The same, and estimate the rate: at once if it began 0.5 ms to a second ago, else 0.5 ms later. Nothing the
 * second time. Call it before the first stamp, from one thread at a time. */
void gp_clock_init(void);

/* Choose `kind` instead; for tests, and for a computer whose counter is wrong. Not while stamps are being
 * compared. */
void gp_clock_force(gp_clock_kind kind);

/* "tsc", "cntvct" or "monotonic". After gp_clock_init. */
const char *gp_clock_name(void);

/* Nanoseconds a tick, as the fixed-point number ns * 2**32. */
typedef struct {
    uint64_t factor;
} gp_clock_rate;

/* The rate known at start: good to about 1e-4, enough for a histogram's buckets. */
gp_clock_rate gp_clock_rate_estimate(void);

/* A pair of readings of both clocks, to derive an exact rate over the interval between two of them. */
typedef struct {
    uint64_t ticks;
    uint64_t monotonic_ns;
} gp_clock_anchor;

gp_clock_anchor gp_clock_anchor_now(void);

/* The rate over the interval between two anchors; the estimate if they are less than 1 ms apart. */
gp_clock_rate gp_clock_rate_between(gp_clock_anchor first, gp_clock_anchor last);

static inline uint64_t gp_clock_from_ns(gp_clock_rate rate, uint64_t ns)
{
    return (uint64_t)(((unsigned __int128)ns << 32) / rate.factor);
}

static inline uint64_t gp_clock_to_ns(gp_clock_rate rate, uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)ticks * rate.factor) >> 32);
}

#endif
