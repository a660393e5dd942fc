#ifndef GP_SAMPLER_H
#define GP_SAMPLER_H

/* A thread that looks at a number over and over, while others change it: knows no Python and takes no lock
 * of theirs. The number is a reference count; whoever starts a sampler keeps what it belongs to alive. Linux.
 *
 * A period is waited for by sleeping where there is time to, else by looking at the clock: then the thread
 * keeps a processor busy. It has the lowest priority, so that a program that has use for that processor gets
 * it, and counts what it misses. */

#include <stddef.h>
#include <stdint.h>

#include "base/gp_hist.h"
#include "base/gp_status.h"

enum {
    GP_SAMPLER_SLEEP_NS = 50000,     /* from this period on there is time to sleep */
    GP_SAMPLER_KEEP_MAX = 1 << 24,   /* changes */
    GP_SAMPLER_PERIOD_MIN_NS = 1000, /* 1 MHz */
    GP_SAMPLER_NOT_COUNTED = -1,     /* what `read` answers instead of a number */
};

/* Any thread, without the GIL. Returns GP_SAMPLER_NOT_COUNTED or a number >= 0. */
typedef int64_t (*gp_sampler_read)(const void *object);

typedef struct {
    uint64_t at_ns; /* since the start */
    int64_t count;
} gp_sampler_change;

typedef struct {
    uint64_t elapsed_ns;
    uint64_t samples;
    uint64_t missed;                  /* periods that went by without a look */
    uint64_t not_counted;             /* samples; in none of what follows */
    int64_t first, last, least, most; /* GP_SAMPLER_NOT_COUNTED without a number */
    uint64_t changes;                 /* samples that differ from the one before */
    const gp_sampler_change *kept;    /* the first ones of them */
    size_t kept_count;
    const gp_hist *hist; /* of the numbers: here they are no nanoseconds */
} gp_sampler_seen;

typedef struct gp_sampler gp_sampler;

/* Look at `object` once, and each `period_ns` from then on: `read` less `own`, the references of whoever
 * keeps it alive. Returns GP_EINVAL for a period or a number of changes to keep that is out of range;
 * GP_ENOMEM; GP_ESYSTEM with *error. */
gp_status gp_sampler_start(const void *object, gp_sampler_read read, int64_t own, uint64_t period_ns,
                           size_t keep, gp_sampler **sampler, int *error);

/* Look once more, and end the thread; nothing the second time. May wait for the thread to get a processor. */
void gp_sampler_stop(gp_sampler *sampler);

/* What was seen. Only after the stop; valid until gp_sampler_free. */
gp_sampler_seen gp_sampler_result(const gp_sampler *sampler);

/* Stop it and free it. NULL is fine. */
void gp_sampler_free(gp_sampler *sampler);

#endif
