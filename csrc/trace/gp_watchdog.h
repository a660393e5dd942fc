#ifndef GP_WATCHDOG_H
#define GP_WATCHDOG_H

/* Says, while it lasts, that a thread keeps the GIL for long and makes others wait, and where that thread is:
 * a native thread that never takes the GIL looks every now and then, and writes to a descriptor. Where there
 * is no tracer gp_watchdog_start answers GP_EUNSUPPORTED. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_status.h"
#include "trace/gp_looker.h"
#include "trace/gp_stall_look.h"

enum {
    GP_WATCHDOG_DEPTH = 20,  /* levels of a stack that are shown */
    GP_WATCHDOG_SPARED = 2,  /* threads whose holds are not told */
    GP_WATCHDOG_TEXT = 4096, /* bytes of one message at most: a pipe takes as many at once */
};

/* What the watchdog sees with. Called on its thread, without the GIL. */
typedef struct {
    bool (*look)(const gp_stall_look_hold *but, uint64_t limit, gp_stall_look *stall,
                 uint64_t *now); /* gp_tracer_look */
    gp_stall_look_end (*follow)(const gp_stall_look_hold *hold, uint64_t *ended_at);
    gp_look (*see)(gp_looker_tell *tell, void *context); /* gp_tracer_see */
    /* Keep what was seen of a hold (gp_seen_hold_in_stall). */
    void (*keep)(const gp_stall_look *stall, const gp_look *look, uint64_t now);
} gp_watchdog_eyes;

/* A thread that has no label; see gp_labels.h for the others. */
typedef struct {
    int64_t native_id;
    const char *name; /* UTF-8, terminated */
} gp_watchdog_name;

typedef struct gp_watchdog gp_watchdog;

/* Begin to watch for holds that make somebody wait for longer than `limit_ns`, and write to a duplicate of
 * `fd`. Copies the names. GP_EINVAL for a limit of 0; GP_ENOMEM; GP_EUNSUPPORTED; GP_ESYSTEM with an errno in
 * *error. */
gp_status gp_watchdog_start(uint64_t limit_ns, int fd, const gp_watchdog_eyes *eyes,
                            const gp_watchdog_name *names, size_t name_count, gp_watchdog **watchdog,
                            int *error);

/* Don't tell the holds of a thread, which is `number` of GP_WATCHDOG_SPARED: it deals with what was told. 0
 * as `native_id` ends that. Any thread. */
void gp_watchdog_spare(gp_watchdog *watchdog, unsigned number, int64_t native_id);

/* Holds reported so far. Any thread. */
uint64_t gp_watchdog_reported(const gp_watchdog *watchdog);

/* End it and free it; not with the GIL's mutex. NULL is fine. In a forked child, where nobody watches, only
 * its memory is given back. */
void gp_watchdog_stop(gp_watchdog *watchdog);

#endif
