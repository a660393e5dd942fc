#ifndef GP_SIGHT_H
#define GP_SIGHT_H

/* A look at a GIL from outside: the hold that is under way, if it has made others wait for long. */

#include "gp_machine.h"

enum {
    GP_SIGHT_WAITERS = 8,        /* of whom it is noted who they are */
    GP_SIGHT_LABEL = 0x7FFFFFFF, /* the part of a label that stands for a name; the rest says that it ends */
};

typedef struct {
    int64_t native_id;
    uint32_t label;
    char os_name[16];
} gp_sight_thread;

/* A hold, to be recognised. */
typedef struct {
    const gp_thread *thread; /* compare, never dereference outside of M. NULL: none */
    uint64_t since;
} gp_sight_hold;

typedef struct {
    gp_sight_hold hold;
    gp_sight_thread holder;
    const void *thread_state; /* the holder's, NULL if not known; it may be gone */
    uint32_t waiter_count;
    gp_sight_thread waiters[GP_SIGHT_WAITERS]; /* the first of them */
} gp_sight;

/* What became of a hold. */
typedef enum {
    GP_SIGHT_GOES_ON,
    GP_SIGHT_ENDED,     /* at *ended_at */
    GP_SIGHT_LONG_OVER, /* its thread has taken the GIL again since; *ended_at is not later than now */
} gp_sight_end;

/* Look: whether there is a hold, other than `but`, for whose end somebody has waited for `limit` ticks at
 * `now`. Under M, without the GIL. */
bool gp_sight_take(const gp_machine *machine, const gp_sight_hold *but, uint64_t limit, uint64_t now,
                   gp_sight *sight);

/* What became of a hold that was seen. Under M. */
gp_sight_end gp_sight_follow(const gp_machine *machine, const gp_sight_hold *hold, uint64_t now,
                             uint64_t *ended_at);

#endif
