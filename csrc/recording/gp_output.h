#ifndef GP_OUTPUT_H
#define GP_OUTPUT_H

/* The file that a recording goes to, inside a process that knows nothing of it: a program that closes or
 * re-uses our descriptor must neither lose its own data nor find ours in its files. Linux. One thread at a
 * time. */

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    GP_OUTPUT_HEAD = 28, /* bytes: the header, and that of the first chunk with its checksum */
};

typedef struct {
    int fd;
    dev_t device;
    ino_t inode;
    _Atomic bool made;                /* else `fd` is of the folder */
    bool pinned;                      /* the descriptor stays open between two writes */
    uint8_t head[GP_OUTPUT_HEAD];     /* the first bytes written, by which the file is known again */
    uint64_t size;                    /* bytes written, whole chunks only once there was an error */
    int error;                        /* errno of the first failure; from then on nothing is written */
    char path[PATH_MAX];              /* absolute, for when the program has closed the descriptor */
    char beside[PATH_MAX];            /* until gp_output_commit, if a file is in the way; else empty */
    const char *_Atomic current_path; /* one of these two */
} gp_output;

/* Create the file for its owner only. One that is there already stays there until gp_output_commit, if it is
 * a regular file and `replace` is set. Returns 0 or an errno: EEXIST if something is in the way. */
int gp_output_open(gp_output *output, const char *path, bool replace);

/* Take the name, and so replace a file that is in the way. Returns 0 or an errno: that file is then whole.
 * Any thread. */
int gp_output_commit(gp_output *output);

/* Remove the file, as if it had not been made. */
void gp_output_discard(gp_output *output);

/* Have the file made with the first write. What is in the way then is kept, and an error of the output.
 * Returns 0 or an errno: of the folder. */
int gp_output_open_later(gp_output *output, const char *path);

/* Where a thread of the program writes: close the descriptor, which is in the program's own table, until the
 * next write opens the file again by its path; not if it is pinned, nor while too little stands in it to know
 * it again. */
void gp_output_rest(gp_output *output);

/* Have the descriptor, until the next rest: the path may then lead elsewhere, or nowhere. */
void gp_output_hold(gp_output *output);

/* The same, and no rest closes it any more. */
void gp_output_pin(gp_output *output);

/* Append whole chunks (after a header, at the start of the file). After a failure the file is cut back to the
 * last whole chunk. ESTALE if somebody has put another file in the place of one that was not open meanwhile,
 * or has shortened the file. The caller blocks SIGXFSZ. */
void gp_output_write(gp_output *output, const uint8_t *bytes, size_t size);

/* Have the file on the disk. */
void gp_output_sync(gp_output *output);

/* Close the descriptor if it is still ours. */
void gp_output_close(gp_output *output);

#endif
