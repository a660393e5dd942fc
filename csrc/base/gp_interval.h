#ifndef GP_INTERVAL_H
#define GP_INTERVAL_H

/* A hold or a wait of one thread: an event of a timeline. */

#include <stdint.h>

enum {
    GP_INTERVAL_ACCOUNTS = 1 << 20, /* accounts that an event can tell apart */
};

#define GP_NOWHERE UINT32_MAX /* instead of a place: not known */

typedef enum {
    GP_EVENT_HOLD,
    GP_EVENT_WAIT,
} gp_event_kind;

/* [start, end) of an account (< GP_INTERVAL_ACCOUNTS), in ticks since the session's start. */
typedef struct {
    uint32_t kind : 1, account : 31;
    uint32_t place; /* or GP_NOWHERE */
    uint64_t start, end;
} gp_interval;

#endif
