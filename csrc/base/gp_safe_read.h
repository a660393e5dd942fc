#ifndef GP_SAFE_READ_H
#define GP_SAFE_READ_H

/* Read memory of this process that may be unmapped, freed or changing, without a fault: the kernel does the
 * reading. What comes back may be torn or garbage; the caller must check all of it. */

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    GP_SAFE_READER_SYSTEM_CALL, /* process_vm_readv on the process itself; a sandbox may forbid it */
    GP_SAFE_READER_PIPE,        /* write() to a pipe, which refuses a bad address, and read() back */
    GP_SAFE_READER_NONE,        /* neither works: nothing is readable */
} gp_safe_reader_way;

/* For one thread at a time. The pipe is made when it is needed. */
typedef struct {
    gp_safe_reader_way way;
    int pipe[2]; /* -1 while there is none */
} gp_safe_reader;

void gp_safe_reader_open(gp_safe_reader *reader);
void gp_safe_reader_close(gp_safe_reader *reader);

/* Copy `size` bytes. Returns false if not all of them can be read; `to` is then undefined. */
bool gp_safe_read(gp_safe_reader *reader, const void *from, void *to, size_t size);

/* Copy several parts, in order, for little more than one costs. */
typedef struct {
    const void *from;
    void *to;
    size_t size; /* 0: left out */
} gp_safe_part;

enum {
    GP_SAFE_PARTS_MAX = 4,
};

bool gp_safe_read_parts(gp_safe_reader *reader, const gp_safe_part *parts, size_t count);

/* The same as gp_safe_read by the system call alone, for hooks: false also where it is forbidden. Leaves
 * errno alone. */
bool gp_safe_read_once(const void *from, void *to, size_t size);

#endif
