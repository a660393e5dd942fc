#define _GNU_SOURCE
#include "base/gp_clock.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if !defined(_WIN32)
#include <fcntl.h>
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

gp_clock_kind gp_clock_selected = GP_CLOCK_MONOTONIC;

static bool chosen, initialised;
static gp_clock_anchor begun; /* since when the rate has been measured */
static gp_clock_rate estimate = {(uint64_t)1 << 32};

enum {
    ANCHOR_TRIES = 8,
    CALIBRATION_NS = 500000,
    CALIBRATION_OLD_NS = 1000000000, /* a process that was stopped for long may go on with another counter */
    SHORTEST_INTERVAL_NS = 1000000,
};

/* The clock of a thread by its identifier: MAKE_THREAD_CPUCLOCK in include/linux/posix-timers_types.h. */
uint64_t gp_clock_cpu_ns_of(int64_t native_id)
{
    struct timespec now = {0, 0};
#if defined(__linux__)
    clock_gettime((clockid_t)(~(uint32_t)native_id << 3 | 6), &now);
#else
    (void)native_id;
#endif
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* If the counter drifts between cores or stops in sleep states, Linux chooses another clock source. */
static bool kernel_trusts_counter(void)
{
#if defined(_WIN32)
    return true;
#else
    char name[64] = "";
    /* open(), not fopen(): a thread that flushes all streams holds the lock of their list and may wait for
     * one of them */
    int file = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return true; /* no sysfs: believe the processor */
    if (read(file, name, sizeof name - 1) < 0)
        name[0] = '\0';
    close(file);
    return strncmp(name, "tsc", 3) == 0 || strncmp(name, "kvm-clock", 9) == 0 ||
           strncmp(name, "hyperv_clocksource_tsc_page", 27) == 0 ||
           strncmp(name, "arch_sys_counter", 16) == 0;
#endif
}

static bool counter_is_invariant(void)
{
#if defined(__x86_64__) || defined(__i386__)
    unsigned eax, ebx, ecx, edx;
    /* Intel SDM vol. 3 "Invariant TSC", AMD APM vol. 3 appendix E.4.7: CPUID 8000_0007h, EDX bit 8 */
    if (!__get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx))
        return false;
    return (edx & (1u << 8)) != 0;
#elif defined(__aarch64__)
    return true; /* Arm ARM D12: the generic timer runs at a fixed frequency on all cores */
#else
    return false;
#endif
}

uint64_t gp_clock_slow_ticks(void)
{
    return gp_clock_monotonic_ns();
}

gp_clock_anchor gp_clock_anchor_now(void)
{
    /* Keep the pair that was read closest together: a preemption in between would be taken for drift. */
    gp_clock_anchor best = {0, 0};
    uint64_t narrowest = UINT64_MAX;
    for (int i = 0; i < ANCHOR_TRIES; i++) {
        uint64_t before = gp_clock_ticks();
        uint64_t ns = gp_clock_monotonic_ns();
        uint64_t after = gp_clock_ticks();
        if (after - before < narrowest) {
            narrowest = after - before;
            best.ticks = before + (after - before) / 2;
            best.monotonic_ns = ns;
        }
    }
    return best;
}

static gp_clock_rate rate_of(gp_clock_anchor first, gp_clock_anchor last)
{
    gp_clock_rate rate = estimate;
    uint64_t ticks = last.ticks - first.ticks;
    if (ticks != 0)
        rate.factor = (uint64_t)(((unsigned __int128)(last.monotonic_ns - first.monotonic_ns) << 32) / ticks);
    return rate;
}

static void calibrate(void)
{
    if (gp_clock_selected == GP_CLOCK_MONOTONIC) {
        estimate.factor = (uint64_t)1 << 32;
        return;
    }
    if (gp_clock_monotonic_ns() - begun.monotonic_ns > CALIBRATION_OLD_NS)
        begun = gp_clock_anchor_now();
    while (gp_clock_monotonic_ns() - begun.monotonic_ns < CALIBRATION_NS)
        ;
    estimate = rate_of(begun, gp_clock_anchor_now());
}

void gp_clock_begin(void)
{
    if (chosen)
        return;
    if (counter_is_invariant() && kernel_trusts_counter())
        gp_clock_selected = GP_CLOCK_COUNTER;
    begun = gp_clock_anchor_now();
    chosen = true;
}

void gp_clock_init(void)
{
    if (initialised)
        return;
    gp_clock_begin();
    calibrate();
    initialised = true;
}

void gp_clock_force(gp_clock_kind kind)
{
    gp_clock_selected = kind;
    begun = gp_clock_anchor_now();
    calibrate();
    chosen = initialised = true;
}

const char *gp_clock_name(void)
{
    if (gp_clock_selected == GP_CLOCK_MONOTONIC)
        return "monotonic";
#if defined(__aarch64__)
    return "cntvct";
#else
    return "tsc";
#endif
}

gp_clock_rate gp_clock_rate_estimate(void)
{
    return estimate;
}

gp_clock_rate gp_clock_rate_between(gp_clock_anchor first, gp_clock_anchor last)
{
    if (gp_clock_selected == GP_CLOCK_MONOTONIC ||
        last.monotonic_ns - first.monotonic_ns < SHORTEST_INTERVAL_NS)
        return estimate;
    return rate_of(first, last);
}
