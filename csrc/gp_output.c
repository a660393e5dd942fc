#define _GNU_SOURCE

#if defined(__linux__)

#include "gp_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gp_chunk.h"

enum {
    HIGH_FD = 200, /* programs expect the low numbers for their own files, and close them by number */
    NAME_TRIES = 100,
};

static int make_absolute(char absolute[PATH_MAX], const char *path)
{
    size_t length = 0;
    absolute[0] = '\0';
    if (path[0] != '/') {
        if (getcwd(absolute, PATH_MAX) == NULL)
            return errno == ERANGE ? ENAMETOOLONG : errno;
        length = strlen(absolute);
        if (length + 1 >= PATH_MAX)
            return ENAMETOOLONG;
        absolute[length++] = '/';
    }
    if (path[0] == '\0')
        return ENOENT;
    if (strlen(path) >= PATH_MAX - length)
        return ENAMETOOLONG;
    strcpy(absolute + length, path);
    return 0;
}

static int raise_fd(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (high < 0)
        return fd; /* the limit is lower: it has to do */
    close(fd);
    return high;
}

static int create(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* Create the file beside the one in the way, which is put in its place at once: that one is never half gone.
 */
static int create_beside(gp_output *output)
{
    struct stat old;
    if (lstat(output->path, &old) != 0 || !S_ISREG(old.st_mode)) {
        errno = EEXIST;
        return -1;
    }
    int fd = -1;
    for (int i = 0; i < NAME_TRIES && fd < 0; i++) {
        int length =
            snprintf(output->beside, PATH_MAX, "%.*s.%ld.%d", PATH_MAX - 1, output->path, (long)getpid(), i);
        if (length >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        fd = create(output->beside);
        if (fd < 0 && errno != EEXIST)
            return -1;
    }
    atomic_store(&output->current_path, output->beside);
    return fd;
}

int gp_output_open(gp_output *output, const char *path, bool replace)
{
    struct stat made;
    int error = make_absolute(output->path, path);
    if (error != 0)
        return error;
    output->beside[0] = '\0';
    atomic_store(&output->current_path, output->path);
    int fd = create(output->path);
    if (fd < 0 && errno == EEXIST && replace)
        fd = create_beside(output);
    if (fd < 0)
        return errno;
    fd = raise_fd(fd);
    /* whatever the umask is: it may have to be opened again */
    if (fchmod(fd, 0600) != 0 || fstat(fd, &made) != 0) {
        error = errno;
        unlink(atomic_load(&output->current_path));
        close(fd);
        return error;
    }
    output->fd = fd;
    output->device = made.st_dev;
    output->inode = made.st_ino;
    output->size = 0;
    output->error = 0;
    return 0;
}

int gp_output_commit(gp_output *output)
{
    if (output->beside[0] == '\0')
        return 0;
    if (rename(output->beside, output->path) != 0)
        return errno;
    atomic_store(&output->current_path, output->path);
    return 0;
}

void gp_output_discard(gp_output *output)
{
    unlink(atomic_load(&output->current_path));
    gp_output_close(output);
}

static bool is_ours(const gp_output *output, int fd)
{
    struct stat found;
    return fd >= 0 && fstat(fd, &found) == 0 && found.st_dev == output->device &&
           found.st_ino == output->inode;
}

/* The number may have been closed, and given to another file since: that one is the program's, so leave it
 * alone and open ours again. */
static bool have_file(gp_output *output)
{
    if (is_ours(output, output->fd))
        return true;
    int fd = open(atomic_load(&output->current_path), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (!is_ours(output, fd)) {
        output->error = fd < 0 ? errno : ESTALE;
        if (fd >= 0)
            close(fd);
        output->fd = -1;
        return false;
    }
    output->fd = raise_fd(fd);
    return true;
}

/* Bytes of the whole chunks among the first `size` of what was to be written. */
static size_t whole_chunks(const uint8_t *bytes, size_t size, bool from_start)
{
    size_t whole = from_start ? GP_RECORDING_HEADER : 0;
    if (size < whole)
        return 0;
    while (size - whole >= GP_CHUNK_HEADER) {
        size_t chunk = GP_CHUNK_HEADER + (size_t)gp_chunk_get32(bytes + whole + 4);
        if (chunk > size - whole)
            break;
        whole += chunk;
    }
    return whole;
}

void gp_output_write(gp_output *output, const uint8_t *bytes, size_t size)
{
    if (output->error != 0 || size == 0 || !have_file(output))
        return;
    size_t written = 0;
    while (written < size) {
        /* pwrite: the position belongs to every process that inherited the descriptor */
        ssize_t count = pwrite(output->fd, bytes + written, size - written, (off_t)(output->size + written));
        if (count > 0)
            written += (size_t)count;
        else if (count == 0 || errno != EINTR) {
            output->error = count == 0 ? EIO : errno;
            break;
        }
    }
    if (output->error != 0) {
        written = whole_chunks(bytes, written, output->size == 0);
        /* a reader copes with the rest too */
        int ignored = ftruncate(output->fd, (off_t)(output->size + written));
        (void)ignored;
    }
    output->size += written;
}

void gp_output_sync(gp_output *output)
{
    if (output->error == 0 && have_file(output) && fdatasync(output->fd) != 0)
        output->error = errno;
}

void gp_output_close(gp_output *output)
{
    if (is_ours(output, output->fd) && close(output->fd) != 0 && output->error == 0 && errno != EINTR)
        output->error = errno;
    output->fd = -1;
}

#endif
