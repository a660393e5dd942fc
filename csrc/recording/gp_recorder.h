#ifndef GP_RECORDER_H
#define GP_RECORDER_H

/* The writer of a recording (docs/recording-format.md): a native thread that never takes the GIL and never
 * calls Python. It writes the sessions' rings to the file some twenty times a second, and a snapshot of each
 * session about once a second, so that a process that is killed leaves nearly everything.
 *
 * Some system calls work in processes of one thread only (unshare(2), setns(2)). So as long as the process
 * has one thread there may be no thread of ours: the program's own does the same work, as often, after it has
 * released the GIL (gp_recorder_attend). No other thread has to wait for it then.
 *
 * Our thread blocks all signals. If anything goes wrong with the file, the program goes on: the first error
 * is kept, and from then on events are thrown away. Where there is no tracer gp_recorder_open answers
 * GP_EUNSUPPORTED. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/gp_buffer.h"
#include "base/gp_ring.h"
#include "base/gp_status.h"

enum {
    GP_RECORDER_SOURCES = 256, /* at one time */
};

/* How a recording is made: flags. */
enum {
    GP_RECORDER_REPLACE = 1,   /* a regular file of that name */
    GP_RECORDER_PENDING = 2,   /* ... not before gp_recorder_commit */
    GP_RECORDER_ALONE = 4,     /* no thread of ours while the process has one thread */
    GP_RECORDER_NO_THREAD = 8, /* never a thread of ours: for sources without a ring, which can't get full */
    GP_RECORDER_LATER = 16, /* the file, which must not exist, is made some 50 ms later, or when the recording
                               ends or is flushed: a process that is gone by then leaves none */
};

/* One session of one GIL. Its functions are called on the recorder's thread, one at a time, without any lock
 * held. They must not wait for the GIL, since gp_recorder_finish may be called with it. All stays valid until
 * gp_recorder_finish has returned. */
typedef struct {
    void *context;
    gp_ring *ring; /* NULL: no timeline */
    uint32_t interpreter;
    /* Have the ring hold all events so far. NULL: it does. */
    void (*catch_up)(void *context);
    /* Append what is new since the last call: the entries of THRD and PLAC, without the interpreter's number.
     * They must include all that is referred to by an event that was in the ring before the call, or by a
     * snapshot taken before it. */
    void (*describe)(void *context, gp_buffer *threads, gp_buffer *places);
    /* Whether nobody has any of the locks that the functions below take: a signal handler must not wait for
     * what it has interrupted. NULL: they take none. Async-signal-safe. */
    bool (*is_free)(void *context);
    /* Append the payload of a SNAP. `final`: the session has ended, and this is the last call. */
    void (*snapshot)(void *context, bool final, gp_buffer *out);
    /* Append what is new of holds that were seen under way: the entries of SEEN, without the interpreter's
     * number. They refer to what `describe` tells when it is called afterwards. NULL: nothing. */
    void (*seen)(void *context, gp_buffer *out);
    /* Whether the session has ended: then its last snapshot is taken, and its slot is free for another
     * source. NULL: it lasts until gp_recorder_finish. */
    bool (*ended)(void *context);
} gp_source;

typedef struct gp_recorder gp_recorder;

/* Create the file, readable by its owner only, and start the thread; `how` is a sum of GP_RECORDER_ flags. A
 * symbolic link is never replaced. GP_ENOMEM; GP_EUNSUPPORTED; GP_ESYSTEM with an errno in *error, EEXIST if
 * something is in the way; GP_ETHREAD with an errno in *error, also if a thread that may be needed later
 * can't be made. After an error everything is as before. */
gp_status gp_recorder_open(const char *path, unsigned how, gp_recorder **recorder, int *error);

/* Replace the file that GP_RECORDER_PENDING has left in place. Returns 0 or an errno. */
int gp_recorder_commit(gp_recorder *recorder);

/* Instead of gp_recorder_finish: no recording, and the file is removed. */
void gp_recorder_discard(gp_recorder *recorder);

/* How many recorders have no thread now; to be read without a lock. */
extern __attribute__((visibility("hidden"))) _Atomic uint32_t gp_recorders_without_thread;

/* Do what their threads would do, if it is due. Call it if there are any, after the GIL was released at `now`
 * (ticks). Without the GIL and without any lock that a source takes. Leaves errno alone. */
void gp_recorder_attend(uint64_t now);

/* The process has a second thread: start those of the recorders. Called on that second thread, otherwise as
 * above. */
void gp_recorder_bring_threads(void);

/* Whether this recorder has no thread now. Async-signal-safe. */
bool gp_recorder_has_no_thread(const gp_recorder *recorder);

/* gp_recorder_end_by_signal and gp_recorder_end_by_exit for a recorder without a thread, done on the calling
 * thread. They return only if that is not possible at this moment; then nothing was done. The first is for
 * the signal's handler. */
void gp_recorder_end_here_by_signal(gp_recorder *recorder, int signal, void (*last_act)(int signal));
void gp_recorder_end_here_by_exit(gp_recorder *recorder, int status, void (*last_act)(int status));

/* The process is about to lose the path to its files, or the right to open them: keep files open from now on
 * that are closed between two writes (gp_output_pin). Any thread. */
void gp_recorder_pin_files(void);

/* Record one more session, soon. Any thread; never allocates or blocks, so it may be called in a hook.
 * GP_ENOMEM if there are GP_RECORDER_SOURCES already. */
gp_status gp_recorder_add(gp_recorder *recorder, const gp_source *source);

/* Queue a chunk: META, LABL or NAME. Any thread, not in a hook. GP_EINVAL if the payload is too long,
 * GP_ENOMEM. */
gp_status gp_recorder_put(gp_recorder *recorder, const char type[4], const void *payload, size_t size);

/* Write what the rings hold and a snapshot of each session to the disk, and wait up to `timeout_ns` for that.
 * Returns whether it was done in time. Any thread. False at once in a forked child and on the recorder's own
 * thread, soon while that thread is paused around a fork (gp_helper.h). Async-signal-safe while that thread
 * runs; without it (gp_recorder_attend) not for a signal's handler. */
bool gp_recorder_flush(gp_recorder *recorder, uint64_t timeout_ns);

/* Write the same, and that `signal` ended the recording (DONE); then call `last_act(signal)` on the
 * recorder's thread, or on the one that finishes the recording. Returns at once. The first of several signals
 * counts. Any thread; async-signal-safe, for the signal's handler. */
void gp_recorder_end_by_signal(gp_recorder *recorder, int signal, void (*last_act)(int signal));

/* The same if the process ends by _exit(status). If the file has not been made by then, and nobody has
 * released the GIL, it is not made any more. */
void gp_recorder_end_by_exit(gp_recorder *recorder, int status, void (*last_act)(int status));

/* Whether the recorder's thread runs: not while it is paused around a fork. Async-signal-safe. */
bool gp_recorder_runs(const gp_recorder *recorder);

/* How often a question to a source has begun or ended. While the number stays odd, one question lasts,
 * perhaps because it waits for the GIL's mutex, which the calling thread may have. Async-signal-safe. */
uint32_t gp_recorder_questions(const gp_recorder *recorder);

/* Stop the thread after it has written everything, with a final snapshot of each session and DONE, and close
 * the file. Call it when the sessions have ended. Does nothing the second time, and in a forked child. */
void gp_recorder_finish(gp_recorder *recorder);

/* Returns the errno of the first failure, 0 if there was none, and how much was written to the file. Any
 * thread. */
int gp_recorder_error(const gp_recorder *recorder, uint64_t *bytes_written, uint64_t *events_written);

/* Device and inode of the file. False if it has not been made. Any thread. */
bool gp_recorder_identity(const gp_recorder *recorder, uint64_t *device, uint64_t *inode);

/* Finish if need be, and free. In a forked child the same as gp_recorder_abandon. NULL is fine. */
void gp_recorder_free(gp_recorder *recorder);

/* In a forked child, which has no such thread: close the descriptor, write nothing, and free what can be
 * freed. NULL is fine. */
void gp_recorder_abandon(gp_recorder *recorder);

#endif
