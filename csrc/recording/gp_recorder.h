#ifndef GP_RECORDER_H
#define GP_RECORDER_H

/* The writer of a recording (docs/recording-format.md): a native thread that never takes the GIL and never
 * calls Python. It writes the sessions' timelines to the file some twenty times a second, and a snapshot of
 * each session about once a second, so that a process that is killed leaves nearly everything.
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
#include "base/gp_status.h"
#include "recording/gp_timeline.h"

enum {
    GP_RECORDER_SOURCES = 256, /* at one time */
};

/* How a recording is made: flags. */
enum {
    GP_RECORDER_REPLACE = 1, /* a regular file of that name */
    GP_RECORDER_PENDING = 2, /* ... not before gp_recorder_commit */
    GP_RECORDER_ALONE = 4,   /* no thread of ours while the process has one thread */
    GP_RECORDER_NO_THREAD =
        8,                  /* never a thread of ours: for sources without a timeline, which can't get full */
    GP_RECORDER_LATER = 16, /* the file, which must not exist, is made some 50 ms later, or when the recording
                               ends or is flushed: a process that is gone by then leaves none */
};

/* What the recorder wants of a source. */
typedef enum {
    GP_NEWS_ALONE,
    GP_NEWS_SNAPSHOT, /* and a snapshot */
    GP_NEWS_FINAL,    /* the same, and it is the last call */
} gp_news_wish;

/* What is new at a source: all that the others refer to is described in the first two, or was before. */
typedef struct {
    gp_buffer threads, places; /* entries of THRD and PLAC, without the interpreter's number */
    gp_timeline timeline;
    gp_buffer snapshot;                      /* the payload of a SNAP */
    gp_buffer seen;                          /* entries of SEEN, without the interpreter's number */
    gp_buffer pauses;                        /* of PAUS */
    gp_buffer lock_names, lock_waits, locks; /* the payloads of LNAM, LWAT and LOCK */
    bool ended; /* the session: its slot is free for another source after one more, final call */
} gp_news;

/* One session of one GIL. Its functions are called on the recorder's thread, one at a time, without any lock
 * held. They must not wait for the GIL, since gp_recorder_finish may be called with it. All stays valid until
 * gp_recorder_finish has returned. */
typedef struct {
    void *context;
    uint32_t interpreter;
    bool timeline; /* it has one */
    /* Append what is new since the last call, to empty news. */
    void (*read)(void *context, gp_news_wish wish, gp_news *news);
    /* Whether nobody has any of the locks that `read` takes: a signal handler must not wait for what it has
     * interrupted. NULL: it takes none. Async-signal-safe. */
    bool (*is_free)(void *context);
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

/* gp_recorder_end for a recorder without a thread, done on the calling thread. Returns only if that is not
 * possible at this moment; then nothing was done. */
void gp_recorder_end_here(gp_recorder *recorder, int ending, void (*last_act)(int ending));

/* The process is about to lose the path to its files, or the right to open them: keep files open from now on
 * that are closed between two writes (gp_output_pin). Any thread. */
void gp_recorder_pin_files(void);

/* Record one more session, soon. Any thread; never allocates or blocks, so it may be called in a hook.
 * GP_ENOMEM if there are GP_RECORDER_SOURCES already. */
gp_status gp_recorder_add(gp_recorder *recorder, const gp_source *source);

/* Queue a chunk: META, LABL or NAME. Any thread, not in a hook. GP_EINVAL if the payload is too long,
 * GP_ENOMEM. */
gp_status gp_recorder_put(gp_recorder *recorder, const char type[4], const void *payload, size_t size);

/* Write what the timelines hold and a snapshot of each session to the disk, and wait up to `timeout_ns` for
 * that. Returns whether it was done in time. Any thread. False at once in a forked child and on the
 * recorder's own thread, soon while that thread is paused around a fork (gp_helper.h). Async-signal-safe
 * while that thread runs; without it (gp_recorder_attend) not for a signal's handler. */
bool gp_recorder_flush(gp_recorder *recorder, uint64_t timeout_ns);

/* What ends a process: a signal (its number), or _exit(status), of which the system keeps 8 bits. */
static inline int gp_ending_by_exit(int status)
{
    return -1 - (status & 0xFF);
}

static inline int gp_ending_status(int ending)
{
    return -1 - ending;
}

/* Write the same, and what ended the recording (DONE); then call `last_act(ending)` on the recorder's thread,
 * or on the one that finishes the recording. Returns at once. The first of several endings counts. By _exit,
 * if the file has not been made by then and nobody has released the GIL, it is not made any more. Any thread;
 * async-signal-safe, for a signal's handler. */
void gp_recorder_end(gp_recorder *recorder, int ending, void (*last_act)(int ending));

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
