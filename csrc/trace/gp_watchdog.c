#define _GNU_SOURCE
#include "trace/gp_watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/gp_futex.h"
#include "base/gp_helper.h"
#include "books/gp_labels.h"

#define MS_NS UINT64_C(1000000)

enum {
    LOOKS = 4, /* within the limit */
    WRITABLE_MS = 100,
};

struct gp_watchdog {
    gp_helper helper;
    _Atomic uint32_t halted;
    _Atomic uint64_t reported;
    _Atomic int64_t spared[GP_WATCHDOG_SPARED]; /* native identifiers; 0: none */
    uint64_t limit, period_ns;
    gp_clock_rate rate;
    gp_watchdog_eyes eyes;
    int fd;
    dev_t device;
    ino_t inode;
    gp_watchdog_name *names;
    size_t name_count;

    /* the thread's */
    gp_stall_look stall; /* the hold reported last; its end is yet to be reported if it has a thread */
    gp_stall_look_hold last;
    unsigned levels; /* of its stack, told so far */
    char text[GP_WATCHDOG_TEXT];
    size_t size;
};

/* ---- text ---- */

/* What does not fit is left out; there is always room for the end of the line. */
__attribute__((format(printf, 2, 3))) static void add(gp_watchdog *watchdog, const char *format, ...)
{
    size_t room = sizeof watchdog->text - 1 - watchdog->size;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(watchdog->text + watchdog->size, room, format, arguments);
    va_end(arguments);
    if (size > 0)
        watchdog->size += (size_t)size < room ? (size_t)size : room - 1;
}

/* How many bytes of a character that a terminal might obey: C0, DEL, and C1, which is two bytes of UTF-8. */
static int obeyed(const unsigned char *at)
{
    if (at[0] < 0x20 || at[0] == 0x7F)
        return 1;
    return at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0 ? 2 : 0;
}

static void add_text(gp_watchdog *watchdog, gp_text name)
{
    const unsigned char *at = (const unsigned char *)name.bytes, *end = at + name.size;
    for (; at != end && *at != '\0'; at++)
        switch (at + 1 != end ? obeyed(at) : *at < 0x20 || *at == 0x7F) {
        case 0:
            add(watchdog, "%c", *at);
            break;
        case 2:
            at++; /* fall through */
        default:
            add(watchdog, "\\x%02x", *at);
        }
}

static void add_name(gp_watchdog *watchdog, const char *name)
{
    add_text(watchdog, (gp_text){name, strlen(name)});
}

static void add_thread(gp_watchdog *watchdog, const gp_stall_look_thread *thread)
{
    char label[GP_LABEL_NAME_MAX + 1];
    const char *name = gp_labels_get(thread->label & GP_STALL_LOOK_LABEL, label) ? label : NULL;
    for (size_t i = 0; name == NULL && i < watchdog->name_count; i++)
        if (watchdog->names[i].native_id == thread->native_id)
            name = watchdog->names[i].name;
    char os_name[sizeof thread->os_name + 1] = "";
    memcpy(os_name, thread->os_name, sizeof thread->os_name);
    add_name(watchdog, name != NULL ? name : os_name);
}

/* A callee has no file. */
static void add_level(void *context, gp_text function, gp_text file, uint64_t line)
{
    gp_watchdog *watchdog = context;
    size_t size = function.size + file.size + sizeof "  (:-2147483648)\n";
    if (watchdog->levels++ >= GP_WATCHDOG_DEPTH || sizeof watchdog->text - watchdog->size < size)
        return; /* no half lines; only escapes may still make one */
    add(watchdog, "  ");
    add_text(watchdog, function);
    if (file.size != 0) {
        add(watchdog, " (");
        add_text(watchdog, file);
        add(watchdog, ":%" PRIu64 ")", line);
    }
    add(watchdog, "\n");
}

static uint64_t to_ms(const gp_watchdog *watchdog, uint64_t ticks)
{
    return (gp_clock_to_ns(watchdog->rate, ticks) + MS_NS / 2) / MS_NS;
}

/* ---- the descriptor ---- */

/* The number may have been closed, and given to another file since: that one is the program's. */
static bool is_ours(const gp_watchdog *watchdog)
{
    struct stat found;
    return watchdog->fd >= 0 && fstat(watchdog->fd, &found) == 0 && found.st_dev == watchdog->device &&
           found.st_ino == watchdog->inode;
}

static void close_ours(gp_watchdog *watchdog)
{
    if (is_ours(watchdog))
        close(watchdog->fd);
    watchdog->fd = -1;
}

/* With one call, so that lines do not mix. A message that nobody reads is dropped: this thread must not
 * block, since others wait for its end. */
static void put(gp_watchdog *watchdog)
{
    struct pollfd writable = {.fd = watchdog->fd, .events = POLLOUT};
    if (watchdog->size != 0 && watchdog->text[watchdog->size - 1] != '\n')
        watchdog->text[watchdog->size++] = '\n';
    if (is_ours(watchdog) && poll(&writable, 1, WRITABLE_MS) == 1) {
        ssize_t ignored = write(watchdog->fd, watchdog->text, watchdog->size);
        (void)ignored;
    }
    watchdog->size = 0;
}

/* ---- the thread ---- */

static void report(gp_watchdog *watchdog, uint64_t now)
{
    const gp_stall_look *stall = &watchdog->stall;
    uint32_t count = stall->waiter_count;
    add(watchdog, "gilprobe: GIL held for %" PRIu64 " ms by ", to_ms(watchdog, now - stall->hold.since));
    add_thread(watchdog, &stall->holder);
    add(watchdog, " (thread %" PRId64 ") while %" PRIu32 " thread%s wait%s (", stall->holder.native_id, count,
        count == 1 ? "" : "s", count == 1 ? "s" : "");
    for (uint32_t i = 0; i < count && i < GP_STALL_LOOK_WAITERS; i++) {
        add(watchdog, i == 0 ? "" : ", ");
        add_thread(watchdog, &stall->waiters[i]);
    }
    add(watchdog, count > GP_STALL_LOOK_WAITERS ? ", ...), in:\n" : "), in:\n");
    watchdog->levels = 0;
    gp_look look = watchdog->eyes.see(add_level, watchdog);
    if (watchdog->levels == 0)
        add(watchdog, look.stack == GP_UNSEEN ? "  (not seen)\n" : "  (no Python code)\n");
    watchdog->eyes.keep(stall, &look, now);
    atomic_fetch_add(&watchdog->reported, 1); /* first: who reads the message finds it counted */
    put(watchdog);
}

static void report_end(gp_watchdog *watchdog)
{
    uint64_t ended_at;
    gp_stall_look *stall = &watchdog->stall;
    if (stall->hold.thread == NULL)
        return;
    gp_stall_look_end end = watchdog->eyes.follow(&stall->hold, &ended_at);
    if (end == GP_STALL_LOOK_GOES_ON)
        return;
    add(watchdog, "gilprobe: GIL let go by ");
    add_thread(watchdog, &stall->holder);
    add(watchdog, " (thread %" PRId64 ") after %s%" PRIu64 " ms\n", stall->holder.native_id,
        end == GP_STALL_LOOK_ENDED ? "" : "at most ", to_ms(watchdog, ended_at - stall->hold.since));
    put(watchdog);
    stall->hold.thread = NULL;
}

/* Relaxed: a thread is spared before it deals with anything. */
static bool is_spared(const gp_watchdog *watchdog)
{
    for (unsigned i = 0; i < GP_WATCHDOG_SPARED; i++)
        if (atomic_load_explicit(&watchdog->spared[i], memory_order_relaxed) ==
            watchdog->stall.holder.native_id)
            return true;
    return false;
}

static void run(void *context)
{
    gp_watchdog *watchdog = context;
    while (atomic_load(&watchdog->halted) == 0) {
        uint64_t now;
        report_end(watchdog);
        if (watchdog->eyes.look(&watchdog->last, watchdog->limit, &watchdog->stall, &now)) {
            watchdog->last = watchdog->stall.hold;
            if (is_spared(watchdog))
                watchdog->stall.hold.thread = NULL;
            else
                report(watchdog, now);
        }
        gp_futex_wait(&watchdog->halted, 0, watchdog->period_ns);
    }
    report_end(watchdog);
    atomic_store(&watchdog->halted, 0); /* for the time after a pause */
}

static void halt(void *context)
{
    gp_watchdog *watchdog = context;
    atomic_store(&watchdog->halted, 1);
    gp_futex_wake(&watchdog->halted);
}

static void forked(void *context)
{
    close_ours(context); /* else whoever reads a pipe to its end would wait for the child */
}

/* ---- its beginning and end ---- */

static void release(gp_watchdog *watchdog)
{
    close_ours(watchdog);
    for (size_t i = 0; i < watchdog->name_count; i++)
        free((char *)watchdog->names[i].name);
    free(watchdog->names);
    free(watchdog);
}

static bool copy_names(gp_watchdog *watchdog, const gp_watchdog_name *names, size_t count)
{
    watchdog->names = calloc(count + 1, sizeof *names);
    for (size_t i = 0; watchdog->names != NULL && i < count; i++) {
        char *copy = strdup(names[i].name);
        if (copy == NULL)
            return false;
        watchdog->names[i] = (gp_watchdog_name){names[i].native_id, copy};
        watchdog->name_count++;
    }
    return watchdog->names != NULL;
}

static int duplicate(gp_watchdog *watchdog, int fd)
{
    struct stat found;
    watchdog->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (watchdog->fd < 0)
        return errno;
    watchdog->fd = gp_descriptors_raise(watchdog->fd);
    if (fstat(watchdog->fd, &found) != 0)
        return errno;
    watchdog->device = found.st_dev;
    watchdog->inode = found.st_ino;
    return 0;
}

static uint64_t period_of(uint64_t limit_ns)
{
    uint64_t period = limit_ns / LOOKS;
    return period < MS_NS ? MS_NS : period > 100 * MS_NS ? 100 * MS_NS : period;
}

static int begin(gp_watchdog *watchdog, int fd)
{
    int error = duplicate(watchdog, fd);
    return error != 0 ? error : gp_helper_start(&watchdog->helper);
}

gp_status gp_watchdog_start(uint64_t limit_ns, int fd, const gp_watchdog_eyes *eyes,
                            const gp_watchdog_name *names, size_t name_count, gp_watchdog **watchdog,
                            int *error)
{
    if (limit_ns == 0)
        return GP_EINVAL;
    gp_watchdog *made = calloc(1, sizeof *made);
    if (made == NULL)
        return GP_ENOMEM;
    made->fd = -1;
    made->rate = gp_clock_rate_estimate();
    made->limit = gp_clock_from_ns(made->rate, limit_ns);
    made->period_ns = period_of(limit_ns);
    made->eyes = *eyes;
    made->helper = (gp_helper){.context = made, .run = run, .halt = halt, .forked = forked, .fd = &made->fd};
    bool copied = copy_names(made, names, name_count);
    *error = copied ? begin(made, fd) : 0;
    if (!copied || *error != 0) {
        release(made);
        return copied ? GP_ESYSTEM : GP_ENOMEM;
    }
    *watchdog = made;
    return GP_OK;
}

void gp_watchdog_spare(gp_watchdog *watchdog, unsigned number, int64_t native_id)
{
    if (number < GP_WATCHDOG_SPARED)
        atomic_store_explicit(&watchdog->spared[number], native_id, memory_order_relaxed);
}

uint64_t gp_watchdog_reported(const gp_watchdog *watchdog)
{
    return atomic_load(&watchdog->reported);
}

void gp_watchdog_stop(gp_watchdog *watchdog)
{
    if (watchdog == NULL)
        return;
    gp_helper_stop(&watchdog->helper);
    release(watchdog);
}
