#ifndef GP_SEEN_H
#define GP_SEEN_H

/* A stack that was read without the GIL while its thread ran: by name, since its code objects may be gone by
 * the time it is used. One thread at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_buffer.h"

enum {
    GP_SEEN_LEVELS = 20,
};

/* Zeroed memory is an empty stack. */
typedef struct {
    gp_buffer text; /* each level as a recording has it behind the number of its parent (PLAC) */
    size_t depth;
    size_t ends[GP_SEEN_LEVELS]; /* of each level in `text`, the innermost first */
} gp_seen_stack;

/* Append the next level, further out than those before; both names are terminated UTF-8. Levels beyond
 * GP_SEEN_LEVELS are left out. */
void gp_seen_add(gp_seen_stack *stack, const char *function, const char *file, int32_t line);

/* The text of a level. */
static inline const uint8_t *gp_seen_text(const gp_seen_stack *stack, size_t level, size_t *size)
{
    size_t begin = level == 0 ? 0 : stack->ends[level - 1];
    *size = stack->ends[level] - begin;
    return stack->text.bytes + begin;
}

/* Empty it; keeps its memory. */
void gp_seen_clear(gp_seen_stack *stack);

/* Give its memory back. */
void gp_seen_free(gp_seen_stack *stack);

/* Why a hold was looked at. */
typedef enum {
    GP_SEEN_AT_SNAPSHOT, /* it was under way in the snapshot before */
    GP_SEEN_IN_STALL,    /* it had made others wait for long */
} gp_seen_reason;

/* What the operating system said of the thread. */
typedef enum {
    GP_SEEN_UNKNOWN,
    GP_SEEN_RUNS,
    GP_SEEN_BLOCKED, /* in the kernel */
    GP_SEEN_STOPPED, /* by a debugger */
} gp_seen_state;

#endif
