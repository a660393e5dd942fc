#define _GNU_SOURCE

#include "recording/gp_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recording/gp_chunk.h"
#include "base/gp_descriptors.h"

enum {
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

static int create_in(int folder, const char *path)
{
    return openat(folder, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int create(const char *path)
{
    return create_in(AT_FDCWD, path);
}

/* Create the file beside the one in the way, to be renamed over it: at each moment one of them is there,
 * whole. */
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

/* Keep an open descriptor, and remember its file. Returns 0 or an errno: then it is closed. */
static int keep(gp_output *output, int fd)
{
    struct stat found;
    fd = gp_descriptors_raise(fd);
    if (fstat(fd, &found) != 0) {
        int error = errno;
        close(fd);
        return error;
    }
    output->fd = fd;
    output->device = found.st_dev;
    output->inode = found.st_ino;
    return 0;
}

static int keep_file(gp_output *output, int fd)
{
    /* whatever the umask is, since it may have to be opened again */
    if (fchmod(fd, 0600) != 0) {
        int error = errno;
        close(fd);
        return error;
    }
    int error = keep(output, fd);
    /* release: see gp_recorder_identity */
    atomic_store_explicit(&output->made, error == 0, memory_order_release);
    return error;
}

static int begin(gp_output *output, const char *path)
{
    output->fd = -1;
    output->made = false;
    output->pinned = false;
    output->size = 0;
    output->error = 0;
    output->beside[0] = '\0';
    atomic_store(&output->current_path, output->path);
    return make_absolute(output->path, path);
}

int gp_output_open(gp_output *output, const char *path, bool replace)
{
    int error = begin(output, path);
    if (error != 0)
        return error;
    int fd = create(output->path);
    if (fd < 0 && errno == EEXIST && replace)
        fd = create_beside(output);
    if (fd < 0)
        return errno;
    error = keep_file(output, fd);
    if (error != 0)
        unlink(atomic_load(&output->current_path));
    return error;
}

/* The last part of an absolute path, after the last slash. */
static char *name_in(char *path)
{
    return strrchr(path, '/') + 1;
}

static int keep_folder(gp_output *output)
{
    char *name = name_in(output->path), first = *name;
    *name = '\0';
    int folder = open(output->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *name = first;
    return folder < 0 ? errno : keep(output, folder);
}

int gp_output_open_later(gp_output *output, const char *path)
{
    int error = begin(output, path);
    return error != 0 ? error : keep_folder(output);
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
    if (output->made)
        unlink(atomic_load(&output->current_path));
    gp_output_close(output);
}

static bool is_ours(const gp_output *output, int fd)
{
    struct stat found;
    return fd >= 0 && fstat(fd, &found) == 0 && found.st_dev == output->device &&
           found.st_ino == output->inode;
}

/* The folder's descriptor still leads there after a chroot. */
static bool make_file(gp_output *output)
{
    int folder = output->fd;
    bool known = is_ours(output, folder);
    int fd = known ? create_in(folder, name_in(output->path)) : create(output->path);
    output->error = fd < 0 ? errno : keep_file(output, fd);
    if (known)
        close(folder);
    if (output->error != 0)
        output->fd = -1;
    return output->error == 0;
}

/* While a file is not open its inode may go to another file, even at the same path. */
static bool begins_as_ours(const gp_output *output, int fd)
{
    uint8_t head[GP_OUTPUT_HEAD];
    size_t size = output->size < sizeof head ? (size_t)output->size : sizeof head;
    ssize_t found = pread(fd, head, size != 0 ? size : 1, 0);
    return found == (ssize_t)size && memcmp(head, output->head, size) == 0;
}

/* The program may have closed the descriptor, and its number may be another file now: leave that one alone
 * and open ours again. */
static bool have_file(gp_output *output)
{
    if (!output->made)
        return make_file(output);
    if (is_ours(output, output->fd))
        return true;
    int fd = open(atomic_load(&output->current_path), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (!is_ours(output, fd) || !begins_as_ours(output, fd)) {
        output->error = fd < 0 ? errno : ESTALE;
        if (fd >= 0)
            close(fd);
        output->fd = -1;
        return false;
    }
    output->fd = gp_descriptors_raise(fd);
    return true;
}

/* Whether its beginning is long enough to tell it from another file with its inode. */
static bool is_known_again(const gp_output *output)
{
    return !output->made || output->size >= GP_OUTPUT_HEAD;
}

void gp_output_rest(gp_output *output)
{
    if (!output->pinned && is_known_again(output))
        gp_output_close(output);
}

void gp_output_hold(gp_output *output)
{
    if (output->error != 0 || is_ours(output, output->fd))
        return;
    if (output->made)
        have_file(output);
    else
        (void)keep_folder(output); /* if that fails the path is used */
}

void gp_output_pin(gp_output *output)
{
    output->pinned = true;
    gp_output_hold(output);
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

static void remember_head(gp_output *output, const uint8_t *bytes, size_t size)
{
    if (output->size >= GP_OUTPUT_HEAD)
        return;
    size_t room = GP_OUTPUT_HEAD - (size_t)output->size;
    memcpy(output->head + output->size, bytes, size < room ? size : room);
}

void gp_output_write(gp_output *output, const uint8_t *bytes, size_t size)
{
    if (output->error != 0 || size == 0 || !have_file(output))
        return;
    struct stat now;
    if (fstat(output->fd, &now) != 0 || (uint64_t)now.st_size < output->size) {
        output->error = ESTALE; /* somebody has shortened it: what we append would come after a hole */
        return;
    }
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
        /* if it fails, a reader copes with the rest */
        int ignored = ftruncate(output->fd, (off_t)(output->size + written));
        (void)ignored;
    }
    remember_head(output, bytes, written);
    output->size += written;
}

void gp_output_sync(gp_output *output)
{
    if (output->error == 0 && output->made && have_file(output) && fdatasync(output->fd) != 0)
        output->error = errno;
}

void gp_output_close(gp_output *output)
{
    if (is_ours(output, output->fd) && close(output->fd) != 0 && output->error == 0 && errno != EINTR)
        output->error = errno;
    output->fd = -1;
}
