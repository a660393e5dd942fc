#define _GNU_SOURCE
#include "trace/gp_watchdog.h"

#include "gp_test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "books/gp_labels.h"
#include "older_system.h"

/* What there is to see: written before `show`, and while nothing is shown. */
static gp_stall_look shown;
static atomic_bool show, over, known; /* known: what is shown was seen before */
static size_t levels;

static bool look(const gp_stall_look_hold *but, uint64_t limit, gp_stall_look *stall, uint64_t *now)
{
    CHECK(limit > 0);
    if (!atomic_load(&show))
        return false;
    atomic_store(&known, but->since == shown.hold.since);
    if (atomic_load(&known))
        return false;
    *stall = shown;
    *now = shown.hold.since + gp_clock_from_ns(gp_clock_rate_estimate(), 103000000);
    return true;
}

static gp_stall_look_end follow(const gp_stall_look_hold *hold, uint64_t *ended_at)
{
    *ended_at = hold->since + gp_clock_from_ns(gp_clock_rate_estimate(), 350000000);
    return atomic_load(&over) ? GP_STALL_LOOK_ENDED : GP_STALL_LOOK_GOES_ON;
}

static gp_text text_of(const char *text)
{
    return (gp_text){text, strlen(text)};
}

static gp_look see(gp_looker_tell *tell, void *context)
{
    static char file[200];
    memset(file, 'f', sizeof file - 1);
    for (size_t i = 0; i < levels; i++)
        tell(context, text_of("en\ncode\xc2\x9b"), text_of(levels > 1 ? file : "/app/co\x1b[dec.py"), 120);
    return (gp_look){.stack = levels != 0 ? (uint32_t)levels : GP_UNSEEN};
}

static atomic_size_t kept; /* levels, of all messages */

static void keep(const gp_stall_look *stall, const gp_look *look, uint64_t now)
{
    CHECK_EQUAL(stall->hold.since, shown.hold.since);
    CHECK(now > stall->hold.since);
    if (look->stack != GP_UNSEEN)
        atomic_fetch_add(&kept, look->stack);
}

static const gp_watchdog_eyes eyes = {look, follow, see, keep};
static int ends[2];

static gp_watchdog *begin(void)
{
    static const gp_watchdog_name names[] = {{4711, "Main\rThread"}};
    gp_watchdog *watchdog = NULL;
    int error = 0;
    CHECK_EQUAL(pipe(ends), 0);
    CHECK_EQUAL(gp_watchdog_start(1000000, ends[1], &eyes, names, 1, &watchdog, &error), GP_OK);
    return watchdog;
}

/* Read up to the end of a line that begins so. */
static void read_up_to(char *text, size_t room, const char *line)
{
    size_t size = 0;
    struct pollfd readable = {.fd = ends[0], .events = POLLIN};
    text[0] = '\0';
    while (strstr(text, line) == NULL && poll(&readable, 1, 20000) == 1) {
        ssize_t count = read(ends[0], text + size, room - 1 - size);
        if (count <= 0)
            break;
        text[size += (size_t)count] = '\0';
    }
}

static void end(gp_watchdog *watchdog, uint64_t reported)
{
    CHECK_EQUAL(gp_watchdog_reported(watchdog), reported);
    gp_watchdog_stop(watchdog);
    atomic_store(&show, false);
    atomic_store(&over, false);
    atomic_store(&known, false);
    close(ends[0]);
    close(ends[1]);
}

static void show_a_hold(uint64_t since, uint32_t waiters, size_t depth)
{
    static gp_thread thread;
    levels = depth;
    shown = (gp_stall_look){.hold = {&thread, since}, .waiter_count = waiters};
    shown.holder.native_id = 4711;
    for (uint32_t i = 0; i < waiters && i < GP_STALL_LOOK_WAITERS; i++) {
        shown.waiters[i].label = i + 1;
        memcpy(shown.waiters[i].os_name, "python", 7);
    }
    atomic_store(&show, true);
}

static void a_hold_is_told_once_and_its_end(void)
{
    char text[GP_WATCHDOG_TEXT];
    gp_watchdog *watchdog = begin();
    gp_labels_set(1, "Worker-1", 8);
    gp_labels_set(1, "Other", 5);
    show_a_hold(1000, 2, 1);
    read_up_to(text, sizeof text, ":120)\n");
    CHECK(strcmp(text, "gilprobe: GIL held for 103 ms by Main\\x0dThread (thread 4711) while 2 threads wait "
                       "(Worker-1, python), in:\n"
                       "  en\\x0acode\\x9b (/app/co\\x1b[dec.py:120)\n") == 0);
    atomic_store(&over, true);
    read_up_to(text, sizeof text, "\n");
    CHECK(strcmp(text, "gilprobe: GIL let go by Main\\x0dThread (thread 4711) after 350 ms\n") == 0);
    CHECK_EQUAL(atomic_load(&kept), 1);
    end(watchdog, 1);
}

static void much_is_cut_at_the_end_of_a_line(void)
{
    char text[2 * GP_WATCHDOG_TEXT];
    gp_watchdog *watchdog = begin();
    show_a_hold(2000, 9, 1000);
    read_up_to(text, sizeof text, ":120)\n");
    size_t size = strlen(text);
    CHECK(size > GP_WATCHDOG_TEXT / 2 && size <= GP_WATCHDOG_TEXT);
    CHECK_EQUAL(text[size - 1], '\n');
    CHECK(strstr(text, "while 9 threads wait (Worker-1, python, ") != NULL);
    CHECK(strstr(text, ", ...), in:\n") != NULL);
    end(watchdog, 1);
}

static void a_spared_thread_is_not_told(void)
{
    char text[GP_WATCHDOG_TEXT];
    gp_watchdog *watchdog = begin();
    gp_watchdog_spare(watchdog, 1, 4711);
    gp_watchdog_spare(watchdog, GP_WATCHDOG_SPARED, 4711); /* there is none of this number */
    show_a_hold(2500, 1, 1);
    while (!atomic_load(&known))
        usleep(1000);
    end(watchdog, 0);
    watchdog = begin();
    gp_watchdog_spare(watchdog, 0, 4711);
    gp_watchdog_spare(watchdog, 0, 0);
    show_a_hold(2600, 1, 1);
    read_up_to(text, sizeof text, ":120)\n");
    end(watchdog, 1);
}

static void nobody_who_reads_keeps_nobody(void)
{
    static char full[1 << 16];
    gp_watchdog *watchdog = begin();
    CHECK_EQUAL(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    CHECK_EQUAL(write(ends[1], full, 4096), 4096);
    show_a_hold(3000, 1, 0);
    while (gp_watchdog_reported(watchdog) == 0)
        usleep(1000);
    end(watchdog, 1);
}

static int find_duplicate(void)
{
    struct stat pipe_end, found;
    CHECK_EQUAL(fstat(ends[1], &pipe_end), 0);
    for (int fd = 200; fd < 1000; fd++)
        if (fstat(fd, &found) == 0 && found.st_dev == pipe_end.st_dev && found.st_ino == pipe_end.st_ino)
            return fd;
    return -1;
}

/* The program may close what is not its own, and get the number for a file. */
static void nothing_is_written_to_the_programs_files(void)
{
    int other[2];
    CHECK_EQUAL(make_system_older(), 0); /* else it does not have the number */
    gp_watchdog *watchdog = begin();
    CHECK_EQUAL(pipe2(other, O_NONBLOCK), 0);
    int replaced = find_duplicate();
    CHECK(replaced >= 200);
    CHECK_EQUAL(dup2(other[1], replaced), replaced);
    show_a_hold(4000, 1, 0);
    while (gp_watchdog_reported(watchdog) == 0)
        usleep(1000);
    end(watchdog, 1);
    char byte;
    CHECK(read(other[0], &byte, 1) == -1 && errno == EAGAIN);
    CHECK_EQUAL(close(replaced), 0); /* nor has it been closed */
    close(other[0]);
    close(other[1]);
}

static void in_child(void (*test)(void))
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        test();
        _exit(gp_test_status());
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
}

static void a_forked_child_closes_the_descriptor(void)
{
    int status = -1;
    gp_watchdog *watchdog = begin();
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQUAL(find_duplicate(), -1);
        gp_watchdog_stop(watchdog);
        _exit(gp_test_status());
    }
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
    end(watchdog, 0);
}

static void bad_arguments_are_refused(void)
{
    gp_watchdog *watchdog = NULL;
    int error = 0;
    CHECK_EQUAL(gp_watchdog_start(0, 2, &eyes, NULL, 0, &watchdog, &error), GP_EINVAL);
    CHECK_EQUAL(gp_watchdog_start(1, 9999, &eyes, NULL, 0, &watchdog, &error), GP_ESYSTEM);
    CHECK_EQUAL(error, EBADF);
    gp_watchdog_stop(NULL);
}

int main(void)
{
    gp_clock_init();
    a_hold_is_told_once_and_its_end();
    much_is_cut_at_the_end_of_a_line();
    a_spared_thread_is_not_told();
    nobody_who_reads_keeps_nobody();
    in_child(nothing_is_written_to_the_programs_files);
    a_forked_child_closes_the_descriptor();
    bad_arguments_are_refused();
    return gp_test_status();
}
