#ifndef GP_SAMPLER_H
#define GP_SAMPLER_H

/* A thread that reads a number again and again, while others change it. It knows no Python and takes no lock
 * of theirs. The number is a reference count; whoever starts a sampler keeps the object alive. Linux;
 * elsewhere gp_sampler_start returns GP_EUNSUPPORTED.
 *
 * Between two samples it sleeps if there is time for that, else it polls the clock and keeps a processor
 * busy. It has the lowest priority, so that a program that needs that processor gets it, and counts the
 * samples it misses. */

#include <stddef.h>
#include <stdint.h>

#include "base/gp_hist.h"
#include "base/gp_status.h"

enum {
    GP_SAMPLER_SLEEP_NS = 50000,     /* from this period on there is time to sleep */
    GP_SAMPLER_KEEP_MAX = 1 << 24,   /* changes */
    GP_SAMPLER_PERIOD_MIN_NS = 1000, /* 1 MHz */
    GP_SAMPLER_NOT_COUNTED = -1,     /* what `read` returns instead of a number */
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
    uint64_t missed;                  /* periods without a sample */
    uint64_t not_counted;             /* samples without a number; none of the fields below includes them */
    int64_t first, last, least, most; /* GP_SAMPLER_NOT_COUNTED if there was no number */
    uint64_t changes;                 /* samples that differ from the one before */
    const gp_sampler_change *kept;    /* the first of these changes */
    size_t kept_count;
    const gp_hist *hist; /* of the numbers, which are not nanoseconds here */
} gp_sampler_seen;

typedef struct gp_sampler gp_sampler;

/* Sample `object` at once, then every `period_ns`: `read` less `own`, the references of whoever keeps it
 * alive. GP_EINVAL if `period_ns` or `keep` (changes) is out of range; GP_ENOMEM; GP_ESYSTEM with an errno in
 * *error. */
gp_status gp_sampler_start(const void *object, gp_sampler_read read, int64_t own, uint64_t period_ns,
                           size_t keep, gp_sampler **sampler, int *error);

/* Sample once more and end the thread. Does nothing the second time. May wait until the thread gets a
 * processor. */
void gp_sampler_stop(gp_sampler *sampler);

/* The result. Only after gp_sampler_stop; valid until gp_sampler_free. */
gp_sampler_seen gp_sampler_result(const gp_sampler *sampler);

/* Stop it and free it. NULL is fine. */
void gp_sampler_free(gp_sampler *sampler);

#endif
