#ifndef GP_RECORDER_H
#define GP_RECORDER_H

/* The writer of a recording (docs/recording-format.md): a native thread that never takes the GIL and never
 * calls Python. It drains the sessions' rings into the file some twenty times a second, and adds a snapshot
 * of each session about once a second, so that a process that is killed leaves nearly all.
 *
 * The thread blocks all signals. Whatever goes wrong with the file, the program goes on: the first error is
 * kept, and from then on events are thrown away. 64-bit Linux; elsewhere gp_recorder_open answers
 * GP_EUNSUPPORTED.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gp_buffer.h"
#include "gp_ring.h"
#include "gp_status.h"

enum {
    GP_RECORDER_SOURCES = 256, /* at one time */
};

/* One session of one GIL. Its functions are called on the recorder's thread, never at the same time, without
 * any lock held; they must not wait for the GIL, since gp_recorder_finish may be called with it. All stays
 * valid until gp_recorder_finish has returned. */
typedef struct {
    void *context;
    gp_ring *ring; /* NULL: no timeline */
    uint32_t interpreter;
    /* Append what is new since the last call: the entries of THRD and PLAC, without the interpreter's number.
     * All must be there that is referred to by an event that came into the ring before the call, and by a
     * snapshot that was taken before it. */
    void (*describe)(void *context, gp_buffer *threads, gp_buffer *places);
    /* Append the payload of a SNAP. `final`: the session has ended, and this is the last call. */
    void (*snapshot)(void *context, bool final, gp_buffer *out);
    /* Whether the session has ended: its last snapshot is taken then, and its place is free for another.
     * NULL: it lasts until gp_recorder_finish. */
    bool (*ended)(void *context);
} gp_source;

typedef struct gp_recorder gp_recorder;

/* Create the file, readable by its owner only, and start the thread. A regular file of that name is replaced
 * if `replace` is set; a symbolic link never is. GP_ENOMEM; GP_EUNSUPPORTED; GP_ESYSTEM with an errno in
 * *error, EEXIST if something is in the way. */
gp_status gp_recorder_open(const char *path, bool replace, gp_recorder **recorder, int *error);

/* Have one more session recorded, from a moment later on. Any thread; never allocates or blocks, so that it
 * may be called in a hook. GP_ENOMEM if there are GP_RECORDER_SOURCES already. */
gp_status gp_recorder_add(gp_recorder *recorder, const gp_source *source);

/* Queue a chunk: META, LABL or NAME. Any thread, not in a hook. GP_EINVAL if the payload is too long,
 * GP_ENOMEM. */
gp_status gp_recorder_put(gp_recorder *recorder, const char type[4], const void *payload, size_t size);

/* Write what the rings hold and a snapshot of each session to the disk, and wait up to `timeout_ns` for that.
 * Whether it was done in time. Any thread; async-signal-safe. False at once in a forked child and on the
 * recorder's own thread, and soon where that is paused around a fork (gp_helper.h). */
bool gp_recorder_flush(gp_recorder *recorder, uint64_t timeout_ns);

/* Have the same written, and that `signal` ended the recording (DONE), and then call `last_act(signal)` on
 * the recorder's thread, or the one that finishes the recording. Returns at once. The first of several
 * signals counts. Any thread; async-signal-safe, for the signal's handler. */
void gp_recorder_end_by_signal(gp_recorder *recorder, int signal, void (*last_act)(int signal));

/* Whether the thread runs: not while it is paused around a fork. Async-signal-safe. */
bool gp_recorder_runs(const gp_recorder *recorder);

/* How many questions to sources have begun and ended: an odd number that stays the same is one that goes on,
 * perhaps because it wants the GIL's mutex, which the asking thread may have. Async-signal-safe. */
uint32_t gp_recorder_questions(const gp_recorder *recorder);

/* Stop the thread after it has written everything, with a final snapshot of each session and DONE, and close
 * the file. Call it when the sessions have ended. Nothing the second time, and in a forked child. */
void gp_recorder_finish(gp_recorder *recorder);

/* errno of the first failure, 0 if there was none; how much has gone to the file. Any thread. */
int gp_recorder_error(const gp_recorder *recorder, uint64_t *bytes_written, uint64_t *events_written);

/* Finish if need be, and free. In a forked child the same as gp_recorder_abandon. NULL is fine. */
void gp_recorder_free(gp_recorder *recorder);

/* In a forked child, which has no such thread: close the descriptor, write nothing, and give back what can be
 * given back. NULL is fine. */
void gp_recorder_abandon(gp_recorder *recorder);

#endif
