#ifndef GP_PEEK_H
#define GP_PEEK_H

/* Read memory of this process that may be unmapped, freed or changing, without a fault: the kernel does the
 * reading. What comes back may be torn or garbage; the caller must not believe a word of it. */

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    GP_PEEK_SYSTEM_CALL, /* process_vm_readv on the process itself; a sandbox may forbid it */
    GP_PEEK_PIPE,        /* write() to a pipe, which refuses a bad address, and read() back */
    GP_PEEK_NONE,        /* neither works: nothing is readable */
} gp_peek_way;

/* For one thread. The pipe is made when it is needed. */
typedef struct {
    gp_peek_way way;
    int pipe[2]; /* -1 while there is none */
} gp_peek;

void gp_peek_open(gp_peek *peek);
void gp_peek_close(gp_peek *peek);

/* Copy `size` bytes. Returns false if not all of them can be read; `to` is then undefined. */
bool gp_peek_read(gp_peek *peek, const void *from, void *to, size_t size);

/* The same by the system call alone, for hooks: false too where that is forbidden. Leaves errno alone. */
bool gp_peek_once(const void *from, void *to, size_t size);

#endif
