#ifndef GP_LOOKER_H
#define GP_LOOKER_H

/* The looker: a native thread that looks at the holder of each traced GIL at random times (gp_looks.h). It
 * takes neither a GIL nor a GIL's mutex, and reads only what may change or go under its eyes.
 *
 * It begins when a thread has to wait for a GIL: then the process has several threads already. It looks often
 * while threads wait, less often where none does, seldom where nobody uses the GIL, and takes no more than a
 * hundredth of a processor in any case. Soon after the program has one thread again it ends, until the next
 * wait. Where there is no tracer there is no looker.
 *
 * Times between two looks are exponentially distributed: so no work of the program can be in step with them,
 * and each moment is as likely to be seen. What makes the looker look more often must not be what it looks
 * at: it goes by what was in the last second. */

#include <stdatomic.h>
#include <stdbool.h>

#include "base/gp_paths.h"
#include "books/gp_gil_state.h"
#include "recording/gp_reader.h"

enum {
    GP_LOOKED_CALLEE = 160, /* bytes of a callee's name, terminated */
    GP_LOOKED_TASK = 64,    /* and of a task's */
};

/* What was seen at one look. */
typedef struct {
    const void *holder;             /* the state of the thread ... */
    uint64_t found;                 /* ... and when it was where it was seen, by gp_clock_ticks */
    bool stays;                     /* it has been there since the glance, and nobody else had the GIL */
    size_t depth;                   /* levels; 0: the holder runs no Python */
    bool truncated;                 /* there are more */
    char callee[GP_LOOKED_CALLEE];  /* what the innermost level runs in C; empty: nothing, or not known */
    size_t callback;                /* the level that an event loop called, + 1; 0: none did */
    char task[GP_LOOKED_TASK];      /* the task that it is a step of; empty: of none */
    gp_site_key keys[GP_STACK_MAX]; /* of the levels, from the innermost */
} gp_looked;

typedef enum {
    GP_LOOKED_AT_HOLDER,
    GP_LOOKED_FREE,   /* nobody has the GIL */
    GP_LOOKED_UNSEEN, /* it has moved on meanwhile, or can't be read */
} gp_looked_at;

/* What the looker sees with. One thread at a time; nothing there is to be trusted. */
typedef struct {
    void (*glance)(const void *cond); /* notes where the holder is, before the look */
    gp_looked_at (*look)(const void *cond, gp_looked *looked); /* at the GIL with this condition */
    /* Append a level's description, as a recording has it (PLAC), and tell whether it stands for the level
     * that called it (gp_naming). False if it can't be read. */
    bool (*describe)(gp_site_key key, gp_buffer *description, bool *stands_for_caller);
    void (*forked)(void); /* in a forked child, without that thread. Async-signal-safe */
} gp_looker_eyes;

/* A thread waits for a GIL that is to be looked at. Any thread. False: there is no looker, and
 * gp_looker_begin may start one. */
bool gp_looker_hear_of_wait(void);

/* Start it, if there is none. Without a GIL or any lock. */
void gp_looker_begin(void);

/* Whether it, or what it knows, is there though no session wants looks any more. */
bool gp_looker_is_left(void);

/* End it and forget all if it is left. Without a GIL or any lock. */
void gp_looker_end(void);

/* Called for a level of Python; a callee has no file. */
typedef void gp_looker_tell(void *context, gp_text function, gp_text file, uint64_t line);

/* Look once at the holder of the GIL with this condition, which may be gone, and tell what was seen, from the
 * innermost level on; `tell` may be NULL. Any thread, without a GIL's mutex or lock: waits for others that
 * look. `site` and `stack` are GP_UNSEEN if nothing was. */
gp_look gp_looker_see(const gp_gil_state *gil, const void *cond, gp_looker_tell *tell, void *context);

/* Whether nobody looks now. Async-signal-safe. */
bool gp_looker_is_free(void);

/* A code object goes. */
void gp_looker_forget_code(const void *code);

/* As long as this number stays the same, what has been found out of a code object is true. Whoever looks. */
uint32_t gp_looker_deaths(const void *code);

/* Tell where most looks saw the thread with this state while a callback of an event loop ran there, as far
 * back as looks are remembered. Under the lock of the main GIL's stream. */
void gp_looker_tell_callback(gp_callback *callback, const void *thread_state);

/* In a forked child, which has no such thread, after the books were kept. */
void gp_looker_forked(void);

#endif
