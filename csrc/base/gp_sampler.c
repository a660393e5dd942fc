#define _GNU_SOURCE
#include "base/gp_sampler.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/gp_clock.h"
#include "base/gp_futex.h"
#include "base/gp_helper.h"

enum { LOWEST = 19 };

struct gp_sampler {
    gp_helper helper;
    _Atomic uint32_t halted;
    const void *object;
    gp_sampler_read read;
    int64_t own;
    gp_clock_rate rate;
    uint64_t period; /* ticks */
    uint64_t begun, next;
    uint64_t begun_ns;
    bool sleeps;
    bool stopped;
    _Atomic pid_t lowered; /* the thread, once it has lowered its priority and until it ends; 0: none ... */
    _Atomic int nice;      /* ... which it had before */

    /* used by the thread; before its start and after its end by the owner */
    gp_sampler_seen seen;
    size_t keep;
    gp_sampler_change *kept;
    gp_hist hist;
};

/* ---- looking ---- */

static void note_change(gp_sampler *sampler, uint64_t now, int64_t count)
{
    gp_sampler_seen *seen = &sampler->seen;
    if (seen->kept_count < sampler->keep)
        sampler->kept[seen->kept_count++] =
            (gp_sampler_change){gp_clock_to_ns(sampler->rate, now - sampler->begun), count};
    seen->changes++;
    seen->last = count;
}

static void note_number(gp_sampler *sampler, int64_t count)
{
    gp_sampler_seen *seen = &sampler->seen;
    if (seen->least == GP_SAMPLER_NOT_COUNTED || count < seen->least)
        seen->least = count;
    if (count > seen->most)
        seen->most = count;
    gp_hist_record(&sampler->hist, (uint64_t)count);
}

static void look(gp_sampler *sampler, uint64_t now)
{
    gp_sampler_seen *seen = &sampler->seen;
    int64_t count = sampler->read(sampler->object);
    if (count != GP_SAMPLER_NOT_COUNTED)
        count = count > sampler->own ? count - sampler->own : 0;
    if (seen->samples++ == 0)
        seen->first = seen->last = count;
    if (count != seen->last)
        note_change(sampler, now, count);
    if (count == GP_SAMPLER_NOT_COUNTED)
        seen->not_counted++;
    else
        note_number(sampler, count);
}

/* ---- waiting ---- */

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* relaxed: no other data depends on it; the join makes the thread's results visible */
static bool is_halted(gp_sampler *sampler)
{
    return atomic_load_explicit(&sampler->halted, memory_order_relaxed) != 0;
}

/* Returns the time, once the next sample is due or the sampler is halted. */
static uint64_t await_next(gp_sampler *sampler)
{
    uint64_t now;
    while ((now = gp_clock_ticks()) < sampler->next && !is_halted(sampler))
        if (sampler->sleeps)
            gp_futex_wait(&sampler->halted, 0, gp_clock_to_ns(sampler->rate, sampler->next - now));
        else
            relax();
    return now;
}

/* Leave the processor to others; sleep as exactly as the system can (timer slack). A thread that a real-time
 * one starts would inherit its priority. */
static void lower_priority(gp_sampler *sampler)
{
    static const struct sched_param none = {0};
    atomic_store(&sampler->nice, getpriority(PRIO_PROCESS, 0));
    sched_setscheduler(0, SCHED_BATCH, &none);
    setpriority(PRIO_PROCESS, 0, LOWEST); /* of the thread, on Linux */
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    atomic_store(&sampler->lowered, atomic_load(&sampler->helper.id));
}

static void run(void *context)
{
    gp_sampler *sampler = context;
    if (!is_halted(sampler))
        lower_priority(sampler);
    for (;;) {
        uint64_t now = await_next(sampler);
        if (is_halted(sampler))
            break;
        look(sampler, now);
        uint64_t late = (now - sampler->next) / sampler->period;
        sampler->seen.missed += late;
        sampler->next += (late + 1) * sampler->period;
    }
    atomic_store(&sampler->lowered, 0);
    atomic_store(&sampler->halted, 0); /* for the time after a pause */
}

static void halt(void *context)
{
    gp_sampler *sampler = context;
    atomic_store(&sampler->halted, 1);
    gp_futex_wake(&sampler->halted);
    /* Else who waits for the thread's end would wait until no other thread wants a processor. Where the
     * process may not raise a priority, it stays low. Before its begin it has no number: 0 is the caller. */
    pid_t lowered = atomic_load(&sampler->lowered);
    if (lowered != 0)
        setpriority(PRIO_PROCESS, (id_t)lowered, atomic_load(&sampler->nice));
}

static void forked(void *context)
{
    (void)context;
}

/* ---- its beginning and end ---- */

static gp_sampler *make(size_t keep)
{
    gp_sampler *made = calloc(1, sizeof *made);
    if (made == NULL)
        return NULL;
    made->kept = calloc(keep + 1, sizeof *made->kept);
    if (made->kept == NULL) {
        free(made);
        return NULL;
    }
    made->keep = keep;
    made->helper = (gp_helper){.context = made, .run = run, .halt = halt, .forked = forked};
    made->seen.first = made->seen.last = made->seen.least = made->seen.most = GP_SAMPLER_NOT_COUNTED;
    return made;
}

static void begin(gp_sampler *sampler, uint64_t period_ns)
{
    gp_clock_init();
    sampler->rate = gp_clock_rate_estimate();
    sampler->period = gp_clock_from_ns(sampler->rate, period_ns);
    sampler->sleeps = period_ns >= GP_SAMPLER_SLEEP_NS;
    sampler->begun = gp_clock_ticks();
    sampler->begun_ns = gp_clock_monotonic_ns();
    sampler->next = sampler->begun + sampler->period;
    look(sampler, sampler->begun);
}

gp_status gp_sampler_start(const void *object, gp_sampler_read read, int64_t own, uint64_t period_ns,
                           size_t keep, gp_sampler **sampler, int *error)
{
    if (period_ns < GP_SAMPLER_PERIOD_MIN_NS || period_ns > INT64_MAX || keep > GP_SAMPLER_KEEP_MAX)
        return GP_EINVAL;
    gp_sampler *made = make(keep);
    if (made == NULL)
        return GP_ENOMEM;
    made->object = object;
    made->read = read;
    made->own = own;
    begin(made, period_ns);
    *error = gp_helper_start(&made->helper);
    if (*error != 0) {
        made->stopped = true;
        gp_sampler_free(made);
        return GP_ESYSTEM;
    }
    *sampler = made;
    return GP_OK;
}

void gp_sampler_stop(gp_sampler *sampler)
{
    if (sampler->stopped)
        return;
    sampler->stopped = true;
    gp_helper_stop(&sampler->helper);
    uint64_t now = gp_clock_ticks();
    look(sampler, now);
    if (now > sampler->next)
        sampler->seen.missed += (now - sampler->next) / sampler->period;
    sampler->seen.elapsed_ns = gp_clock_monotonic_ns() - sampler->begun_ns;
}

gp_sampler_seen gp_sampler_result(const gp_sampler *sampler)
{
    gp_sampler_seen seen = sampler->seen;
    seen.kept = sampler->kept;
    seen.hist = &sampler->hist;
    return seen;
}

void gp_sampler_free(gp_sampler *sampler)
{
    if (sampler == NULL)
        return;
    gp_sampler_stop(sampler);
    free(sampler->kept);
    free(sampler);
}
