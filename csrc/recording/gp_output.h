#ifndef GP_OUTPUT_H
#define GP_OUTPUT_H

/* The file of a recording, in a process that knows nothing of it. A program that closes our descriptor, or
 * gets its number for a file of its own, must neither lose its data nor find ours in its files. Linux. One
 * thread at a time. */

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
    _Atomic bool made;            /* false: `fd` is the folder's */
    bool pinned;                  /* the descriptor stays open between two writes */
    uint8_t head[GP_OUTPUT_HEAD]; /* the first bytes written, to recognise the file by */
    uint64_t size;                /* bytes written; after an error whole chunks only */
    int error;                    /* errno of the first failure; from then on nothing is written */
    char path[PATH_MAX];          /* absolute, to open it again if the program has closed the descriptor */
    char beside[PATH_MAX];        /* used until gp_output_commit, if a file is in the way; else empty */
    const char *_Atomic current_path; /* one of these two */
} gp_output;

/* Create the file, readable by its owner only. If a regular file is there already and `replace` is set, that
 * one stays until gp_output_commit. Returns 0 or an errno: EEXIST if something is in the way. */
int gp_output_open(gp_output *output, const char *path, bool replace);

/* Take the name, and so replace a file that is in the way. Returns 0 or an errno: that file is then
 * unchanged. Any thread. */
int gp_output_commit(gp_output *output);

/* Close and remove the file. */
void gp_output_discard(gp_output *output);

/* Make the file with the first write. If something is in the way then, it stays, and that write fails.
 * Returns 0 or the errno of opening the folder. */
int gp_output_open_later(gp_output *output, const char *path);

/* For a thread of the program that writes: close the descriptor, which is in the program's own table. The
 * next write opens the file again by its path. Not if it is pinned, nor while too little is in it to
 * recognise it. */
void gp_output_rest(gp_output *output);

/* Open the descriptor and keep it until the next gp_output_rest: the path may change or vanish meanwhile. */
void gp_output_hold(gp_output *output);

/* The same, and gp_output_rest no longer closes it. */
void gp_output_pin(gp_output *output);

/* Append whole chunks (after a header, at the start of the file). After a failure, kept in `error`, the file
 * is cut back to the last whole chunk. ESTALE if somebody has put another file in its place while it was not
 * open, or has shortened it. The caller blocks SIGXFSZ. */
void gp_output_write(gp_output *output, const uint8_t *bytes, size_t size);

/* Write the file to the disk. */
void gp_output_sync(gp_output *output);

/* Close the descriptor if it is still ours. */
void gp_output_close(gp_output *output);

#endif
