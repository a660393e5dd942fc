#define _GNU_SOURCE
#include "base/gp_safe_read.h"

#if !defined(_WIN32)
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#endif
#if defined(__linux__)
#include <sys/uio.h>
#endif

void gp_safe_reader_open(gp_safe_reader *reader)
{
#if defined(__linux__)
    reader->way = GP_SAFE_READER_SYSTEM_CALL;
#elif !defined(_WIN32)
    reader->way = GP_SAFE_READER_PIPE;
#else
    reader->way = GP_SAFE_READER_NONE;
#endif
    reader->pipe[0] = reader->pipe[1] = -1;
}

#if defined(_WIN32)

void gp_safe_reader_close(gp_safe_reader *reader)
{
    (void)reader;
}

bool gp_safe_read(gp_safe_reader *reader, const void *from, void *to, size_t size)
{
    (void)reader, (void)from, (void)to;
    return size == 0;
}

bool gp_safe_read_parts(gp_safe_reader *reader, const gp_safe_part *parts, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += parts[i].size;
    (void)reader;
    return size == 0;
}

bool gp_safe_read_once(const void *from, void *to, size_t size)
{
    (void)from, (void)to;
    return size == 0;
}

#else

enum {
    PIECE = 4096, /* a pipe takes as much without blocking (PIPE_BUF) */
};

void gp_safe_reader_close(gp_safe_reader *reader)
{
    for (int end = 0; end < 2; end++)
        if (reader->pipe[end] >= 0)
            close(reader->pipe[end]);
    reader->pipe[0] = reader->pipe[1] = -1;
}

static bool make_pipe(gp_safe_reader *reader)
{
    if (reader->pipe[0] >= 0)
        return true;
    int ends[2];
    if (pipe(ends) != 0)
        return false;
    for (int end = 0; end < 2; end++) {
        fcntl(ends[end], F_SETFD, FD_CLOEXEC);
        fcntl(ends[end], F_SETFL, O_NONBLOCK);
        reader->pipe[end] = ends[end];
    }
    return true;
}

static ssize_t write_piece(int end, const char *from, size_t size)
{
    ssize_t written;
    do
        written = write(end, from, size);
    while (written < 0 && errno == EINTR);
    return written;
}

static bool read_piece(int end, char *to, size_t size)
{
    while (size != 0) {
        ssize_t got = read(end, to, size);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            return false;
        if (got > 0) {
            to += got;
            size -= (size_t)got;
        }
    }
    return true;
}

static bool read_by_pipe(gp_safe_reader *reader, const char *from, char *to, size_t size)
{
    if (!make_pipe(reader)) {
        reader->way = GP_SAFE_READER_NONE;
        return false;
    }
    while (size != 0) {
        size_t piece = size < PIECE ? size : PIECE;
        ssize_t written = write_piece(reader->pipe[1], from, piece);
        /* take out again what was written before a bad address */
        if (written > 0 && !read_piece(reader->pipe[0], to, (size_t)written))
            reader->way = GP_SAFE_READER_NONE;
        if (written != (ssize_t)piece || reader->way == GP_SAFE_READER_NONE)
            return false;
        from += piece;
        to += piece;
        size -= piece;
    }
    return true;
}

#if defined(__linux__)
static bool read_by_system_call(gp_safe_reader *reader, const gp_safe_part *parts, size_t count)
{
    struct iovec here[GP_SAFE_PARTS_MAX], there[GP_SAFE_PARTS_MAX];
    size_t used = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size == 0)
            continue;
        here[used] = (struct iovec){parts[i].to, parts[i].size};
        there[used++] = (struct iovec){(void *)parts[i].from, parts[i].size};
        size += parts[i].size;
    }
    ssize_t got = process_vm_readv(getpid(), here, used, there, used, 0);
    if (got < 0 && errno != EFAULT)
        reader->way = GP_SAFE_READER_PIPE;
    return got == (ssize_t)size;
}
#endif

bool gp_safe_read_once(const void *from, void *to, size_t size)
{
#if defined(__linux__)
    int saved = errno;
    struct iovec here = {to, size}, there = {(void *)from, size};
    bool whole = process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)size;
    errno = saved;
    return whole;
#else
    (void)from, (void)to;
    return size == 0;
#endif
}

bool gp_safe_read_parts(gp_safe_reader *reader, const gp_safe_part *parts, size_t count)
{
#if defined(__linux__)
    if (reader->way == GP_SAFE_READER_SYSTEM_CALL && read_by_system_call(reader, parts, count))
        return true;
#endif
    if (reader->way != GP_SAFE_READER_PIPE)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!read_by_pipe(reader, parts[i].from, parts[i].to, parts[i].size))
            return false;
    return true;
}

bool gp_safe_read(gp_safe_reader *reader, const void *from, void *to, size_t size)
{
    return size == 0 || gp_safe_read_parts(reader, &(gp_safe_part){from, to, size}, 1);
}

#endif
