#ifndef GP_STALL_LOOK_H
#define GP_STALL_LOOK_H

/* A look at a GIL from outside: the hold that is under way, if it has made others wait for long. */

#include "books/gp_gil_state.h"

enum {
    GP_STALL_LOOK_WAITERS = 8, /* of whom it is noted who they are */
    GP_STALL_LOOK_LABEL =
        0x7FFFFFFF, /* the part of a label that stands for a name; the rest says that it ends */
};

typedef struct {
    int64_t native_id;
    uint32_t label;
    char os_name[16];
} gp_stall_look_thread;

/* A hold, to be recognised. */
typedef struct {
    const gp_thread *thread; /* compare, never dereference without the GIL's mutex. NULL: none */
    uint64_t since;
} gp_stall_look_hold;

typedef struct {
    gp_stall_look_hold hold;
    gp_stall_look_thread holder;
    uint32_t waiter_count;
    gp_stall_look_thread waiters[GP_STALL_LOOK_WAITERS]; /* the first of them */
} gp_stall_look;

/* What became of a hold. */
typedef enum {
    GP_STALL_LOOK_GOES_ON,
    GP_STALL_LOOK_ENDED,     /* at *ended_at */
    GP_STALL_LOOK_LONG_OVER, /* its thread has taken the GIL again since; *ended_at is not later than now */
} gp_stall_look_end;

/* Look: whether there is a hold, other than `but`, for whose end somebody has waited for `limit` ticks at
 * `now`. Under the GIL's mutex, without the GIL. */
bool gp_stall_look_take(const gp_gil_state *gil, const gp_stall_look_hold *but, uint64_t limit, uint64_t now,
                        gp_stall_look *stall);

/* What became of a hold that was seen. Under the GIL's mutex. */
gp_stall_look_end gp_stall_look_follow(const gp_gil_state *gil, const gp_stall_look_hold *hold, uint64_t now,
                                       uint64_t *ended_at);

#endif
