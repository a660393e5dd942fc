#define _GNU_SOURCE
#include "recording/gp_recorder.h"

#include "gp_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/gp_clock.h"
#include "recording/gp_output.h"
#include "older_system.h"
#include "walk.h"

/* ---- a session as the recorder sees it ---- */

typedef struct {
    pthread_mutex_t lock; /* for the timeline */
    gp_timeline timeline;
    _Atomic uint32_t accounts, places; /* that may be referred to */
    uint32_t described_accounts, described_places;
    _Atomic uint32_t snapshots, finals, seen;
    bool no_memory, sees_holds;
    _Atomic bool over;
    _Atomic uint32_t noted, caught_up; /* events that are to come into the timeline, and that have */
    const gp_recorder *recorder;
} fake;

#define FAKE(...) {.lock = PTHREAD_MUTEX_INITIALIZER, __VA_ARGS__}

static bool push(fake *session, gp_interval event)
{
    pthread_mutex_lock(&session->lock);
    bool added = gp_timeline_add(&session->timeline, event);
    pthread_mutex_unlock(&session->lock);
    return added;
}

static bool push_hold(fake *session, uint64_t start, uint64_t end)
{
    return push(session, (gp_interval){GP_EVENT_HOLD, 0, GP_NOWHERE, start, end});
}

static void free_timeline(fake *session)
{
    gp_buffer_free(&session->timeline.events);
}

static void describe(fake *session, gp_buffer *threads, gp_buffer *places)
{
    if (session->no_memory)
        threads->failed = true;
    for (; session->described_accounts < session->accounts; session->described_accounts++) {
        gp_buffer_number(threads, session->described_accounts);
        gp_buffer_signed(threads, 4711);
        gp_buffer_number(threads, 0);
        gp_buffer_string(threads, "worker", 6);
        gp_buffer_number(threads, 5);
    }
    for (; session->described_places < session->places; session->described_places++) {
        gp_buffer_number(places, session->described_places);
        gp_buffer_number(places, 0);
        gp_buffer_number(places, GP_PLACE_PYTHON);
        gp_buffer_number(places, 12);
        gp_buffer_string(places, "spin", 4);
        gp_buffer_string(places, "app.py", 6);
    }
}

static void snapshot(fake *session, bool final, gp_buffer *out)
{
    session->snapshots++;
    session->finals += final;
    gp_buffer_number(out, final ? GP_SNAPSHOT_FINAL : 0);
    gp_buffer_number(out, 0);
    gp_buffer_number(out, (uint64_t)1 << 32);
    for (int i = 0; i < 6; i++)
        gp_buffer_number(out, session->snapshots);
    gp_buffer_number(out, 0);
    uint32_t places = session->places;
    gp_buffer_number(out, places != 0); /* the place that was numbered last */
    if (places != 0) {
        gp_buffer_number(out, places - 1);
        gp_buffer_raw(out, (uint8_t[3]){1, 2, 3}, 3);
    }
    gp_buffer_number(out, 0);
    gp_buffer_number(out, 0);
}

/* A hold that was under way in the snapshot, at the place that was numbered last. */
static void see(fake *session, gp_buffer *out)
{
    const uint64_t numbers[] = {0, 0, 1, 2, session->places, 1};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        gp_buffer_number(out, numbers[i]);
    session->seen++;
}

/* Events may be known, and not be in the timeline yet. */
static void catch_up(fake *session)
{
    if (session->recorder != NULL)
        CHECK_EQUAL(gp_recorder_questions(session->recorder) % 2, 1);
    for (; session->caught_up < session->noted; session->caught_up++)
        CHECK(push_hold(session, session->caught_up, session->caught_up + 1));
}

static void tell_news(void *context, gp_news_wish wish, gp_news *news)
{
    fake *session = context;
    catch_up(session);
    pthread_mutex_lock(&session->lock);
    gp_timeline_take(&session->timeline, &news->timeline);
    pthread_mutex_unlock(&session->lock);
    if (wish != GP_NEWS_ALONE)
        snapshot(session, wish == GP_NEWS_FINAL, &news->snapshot);
    if (wish == GP_NEWS_SNAPSHOT && session->sees_holds)
        see(session, &news->seen);
    describe(session, &news->threads, &news->places);
    news->ended = session->over;
}

static gp_source source_of(fake *session, bool timeline)
{
    return (gp_source){.context = session, .timeline = timeline, .read = tell_news};
}

static int end_of(int (*test)(void))
{
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(test());
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

static void in_child(int (*test)(void))
{
    CHECK_EQUAL(end_of(test), 0);
}

/* ---- files ---- */

static char directory[] = "/tmp/gp_recorder_XXXXXX";
static char path[64];

static gp_recorder *open_new(void)
{
    gp_recorder *recorder = NULL;
    int error = 0;
    unlink(path);
    CHECK_EQUAL(gp_recorder_open(path, 0, &recorder, &error), GP_OK);
    CHECK_EQUAL(error, 0);
    if (recorder == NULL)
        abort();
    return recorder;
}

static walk_result *read_back(void)
{
    struct stat file;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &file) == 0);
    uint8_t *bytes = malloc((size_t)file.st_size + 1);
    CHECK_EQUAL(read(fd, bytes, (size_t)file.st_size + 1), file.st_size);
    close(fd);
    walk_result *found = walk_recording(bytes, (size_t)file.st_size, true);
    free(bytes);
    if (found->wrong != NULL)
        fprintf(stderr, "at %zu: %s\n", found->offset, found->wrong);
    return found;
}

static size_t files_in_directory(void)
{
    size_t count = 0;
    DIR *listing = opendir(directory);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(listing);
    return count;
}

static int error_of(const gp_recorder *recorder)
{
    uint64_t bytes, events;
    return gp_recorder_error(recorder, &bytes, &events);
}

/* The descriptor of our file among those of the process, -1 if there is none. */
static int find_fd(void)
{
    struct stat ours, file;
    if (stat(path, &ours) != 0)
        return -1;
    for (int fd = 1023; fd > 2; fd--)
        if (fstat(fd, &file) == 0 && file.st_ino == ours.st_ino && file.st_dev == ours.st_dev)
            return fd;
    return -1;
}

/* ---- a source with many events ---- */

enum {
    EVENTS = 300000,
    THREADS = 50,
    PLACES = 1000,
};

static uint64_t kept_events, kept_hold;

static void *produce(void *context)
{
    fake *session = context;
    for (uint64_t i = 0; i < EVENTS; i++) {
        uint32_t account = (uint32_t)(i * THREADS / EVENTS), place = (uint32_t)(i * PLACES / EVENTS);
        session->accounts = account + 1; /* known before it is referred to */
        session->places = place + 1;
        if (push(session, (gp_interval){i & 1 ? GP_EVENT_WAIT : GP_EVENT_HOLD, account,
                                        i % 3 != 0 ? place : GP_NOWHERE, i * 100, i * 100 + 60})) {
            kept_events++;
            kept_hold += i & 1 ? 0 : 60;
        }
        if (i % 1000 == 0)
            usleep(100);
    }
    return NULL;
}

static void every_event_stands_behind_what_it_refers_to(void)
{
    fake session = FAKE(.accounts = 0, .sees_holds = true);
    gp_source source = source_of(&session, true);
    gp_recorder *recorder = open_new();
    pthread_t producer;
    uint64_t bytes, events, sum = 0;
    CHECK_EQUAL(gp_recorder_put(recorder, "META", "{}", 2), GP_OK);
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    pthread_create(&producer, NULL, produce, &session);
    pthread_join(producer, NULL);
    CHECK_EQUAL(gp_recorder_put(recorder, "LABL", "\1\3one\2\3two", 10), GP_OK);
    gp_recorder_finish(recorder);
    gp_recorder_finish(recorder);
    CHECK_EQUAL(gp_recorder_error(recorder, &bytes, &events), 0);
    walk_result *found = read_back();
    CHECK(found->wrong == NULL && !found->cut);
    CHECK_EQUAL(found->metas, 1);
    CHECK_EQUAL(found->labels, 2);
    CHECK_EQUAL(found->events, kept_events);
    CHECK_EQUAL(events, kept_events);
    CHECK_EQUAL(found->events + session.timeline.dropped, EVENTS);
    for (size_t i = 0; i < THREADS; i++)
        sum += found->sums[i].hold;
    CHECK_EQUAL(sum, kept_hold);
    CHECK_EQUAL(found->thread_total, THREADS);
    CHECK_EQUAL(found->place_total, PLACES);
    CHECK_EQUAL(found->finals, 1);
    CHECK_EQUAL(session.finals, 1);
    CHECK(session.seen >= 1);
    CHECK_EQUAL(found->seen, session.seen);
    CHECK_EQUAL(found->handoffs, session.snapshots); /* the last one is the final one */
    CHECK_EQUAL(found->offset, bytes);
    CHECK(bytes <= 16 * events);
    walk_free(found);
    gp_recorder_free(recorder);
    free_timeline(&session);
}

static void the_file_belongs_to_its_owner_and_replaces_only_files(void)
{
    struct stat file;
    char link_path[80];
    gp_recorder *recorder = open_new(), *none = NULL;
    int error = 0;
    CHECK_EQUAL(stat(path, &file), 0);
    CHECK_EQUAL(file.st_mode & 07777, 0600);
    ino_t first = file.st_ino;
    CHECK_EQUAL(gp_recorder_open(path, 0, &none, &error), GP_ESYSTEM);
    CHECK_EQUAL(error, EEXIST);
    gp_recorder_free(recorder);

    CHECK_EQUAL(chmod(path, 0644), 0);
    CHECK_EQUAL(gp_recorder_open(path, GP_RECORDER_REPLACE, &recorder, &error), GP_OK);
    CHECK_EQUAL(stat(path, &file), 0);
    CHECK_EQUAL(file.st_mode & 07777, 0600);
    CHECK(file.st_ino != first);
    gp_recorder_free(recorder);
    CHECK_EQUAL(files_in_directory(), 1);

    snprintf(link_path, sizeof link_path, "%s/link", directory);
    CHECK_EQUAL(symlink(path, link_path), 0);
    CHECK_EQUAL(gp_recorder_open(link_path, GP_RECORDER_REPLACE, &none, &error), GP_ESYSTEM);
    CHECK_EQUAL(error, EEXIST);
    unlink(link_path);
    CHECK_EQUAL(gp_recorder_open("/dev/full", GP_RECORDER_REPLACE, &none, &error), GP_ESYSTEM);
    CHECK_EQUAL(error, EEXIST);
    CHECK_EQUAL(gp_recorder_open(directory, GP_RECORDER_REPLACE, &none, &error), GP_ESYSTEM);
    CHECK_EQUAL(gp_recorder_open("", GP_RECORDER_REPLACE, &none, &error), GP_ESYSTEM);
    CHECK_EQUAL(error, ENOENT);
    CHECK_EQUAL(gp_recorder_open("/nowhere/at/all", GP_RECORDER_REPLACE, &none, &error), GP_ESYSTEM);
    CHECK_EQUAL(error, ENOENT);
    CHECK(none == NULL);
}

static void a_flush_writes_what_is_there_without_an_end(void)
{
    fake session = FAKE(.accounts = 1);
    gp_source source = source_of(&session, true);
    gp_recorder *recorder = open_new();
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    for (uint64_t i = 0; i < 700; i++)
        CHECK(push_hold(&session, i, i + 1));
    CHECK(gp_recorder_flush(recorder, 20000000000u));
    walk_result *found = read_back();
    CHECK(found->wrong == NULL && !found->cut);
    CHECK_EQUAL(found->events, 700);
    CHECK(found->snapshots >= 1);
    CHECK_EQUAL(found->finals, 0);
    walk_free(found);
    gp_recorder_free(recorder);
    CHECK_EQUAL(session.finals, 1);
    free_timeline(&session);
}

static void what_is_noted_comes_into_the_timeline_before_it_is_written(void)
{
    fake session = FAKE(.accounts = 1, .recorder = open_new());
    gp_recorder *recorder = (gp_recorder *)session.recorder;
    gp_source source = source_of(&session, true);
    session.noted = 5; /* before the source is known, too */
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    for (uint32_t noted = 300; noted <= 900; noted += 300) {
        session.noted = noted;
        CHECK(gp_recorder_flush(recorder, 20000000000u));
        CHECK_EQUAL(session.caught_up, noted);
        walk_result *found = read_back();
        CHECK(found->wrong == NULL && !found->cut);
        CHECK_EQUAL(found->events, noted);
        walk_free(found);
    }
    session.noted = 1000;
    gp_recorder_free(recorder);
    walk_result *found = read_back();
    CHECK_EQUAL(found->events, 1000); /* those of the end as well */
    walk_free(found);
    free_timeline(&session);
}

static int what_the_program_does_to_the_descriptor_hurts_nobody(void)
{
    CHECK_EQUAL(make_system_older(), 0); /* else nobody has it */
    char other_path[80], content[16] = {0};
    fake session = FAKE(.accounts = 1);
    gp_source source = source_of(&session, true);
    gp_recorder *recorder = open_new();
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    CHECK(gp_recorder_flush(recorder, 20000000000u));
    int fd = find_fd();
    CHECK(fd >= 200);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);

    snprintf(other_path, sizeof other_path, "%s/other", directory);
    int other = open(other_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQUAL(write(other, "mine", 4), 4);
    CHECK_EQUAL(dup2(other, fd), fd);
    CHECK(push_hold(&session, 0, 1));
    CHECK(gp_recorder_flush(recorder, 20000000000u));
    CHECK_EQUAL(pread(other, content, sizeof content, 0), 4);
    CHECK(memcmp(content, "mine", 4) == 0);
    CHECK_EQUAL(fcntl(fd, F_GETFD), 0); /* the program's own is open still */
    close(fd);
    close(other);
    unlink(other_path);

    CHECK_EQUAL(close(find_fd()), 0);
    gp_recorder_free(recorder);
    walk_result *found = read_back();
    CHECK(found->wrong == NULL && !found->cut);
    CHECK_EQUAL(found->events, 1);
    CHECK_EQUAL(found->finals, 1);
    walk_free(found);
    free_timeline(&session);
    return gp_test_status();
}

static int a_file_that_is_gone_is_an_error_and_no_more(void)
{
    CHECK_EQUAL(make_system_older(), 0);
    fake session = FAKE(.accounts = 0);
    gp_source source = source_of(&session, false);
    gp_recorder *recorder = open_new();
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    CHECK(gp_recorder_flush(recorder, 20000000000u));
    CHECK_EQUAL(close(find_fd()), 0);
    CHECK_EQUAL(unlink(path), 0);
    CHECK(!gp_recorder_flush(recorder, 20000000000u));
    CHECK_EQUAL(error_of(recorder), ENOENT);
    gp_recorder_free(recorder);
    CHECK_EQUAL(files_in_directory(), 0);
    return gp_test_status();
}

/* Even its close(2) of all it finds does not reach the file, which need not have a name any more. */
static int nobody_else_has_the_descriptor(void)
{
    struct stat ours, found;
    if (syscall(SYS_close_range, 1000u, 1000u, 0) != 0)
        return 0;
    fake session = FAKE(.accounts = 1);
    gp_source source = source_of(&session, true);
    gp_recorder *recorder = open_new();
    int fd = open(path, O_RDONLY);
    CHECK_EQUAL(fstat(fd, &ours), 0);
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    for (int other = 3; other < 1024; other++)
        CHECK(other == fd || fstat(other, &found) != 0 || found.st_ino != ours.st_ino);
    CHECK_EQUAL(unlink(path), 0);
    CHECK(push_hold(&session, 0, 1));
    CHECK(gp_recorder_flush(recorder, 20000000000u));
    CHECK_EQUAL(error_of(recorder), 0);
    CHECK_EQUAL(lseek(fd, 0, SEEK_END) > 0, 1);
    gp_recorder_free(recorder);
    close(fd);
    free_timeline(&session);
    return gp_test_status();
}

static gp_recorder *open_later(fake *session)
{
    gp_recorder *recorder = NULL;
    gp_source source = source_of(session, true);
    int error = 0;
    unlink(path);
    CHECK_EQUAL(gp_recorder_open(path, GP_RECORDER_LATER, &recorder, &error), GP_OK);
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    return recorder;
}

static void leave(int ending)
{
    _exit(gp_test_status() == 0 ? gp_ending_status(ending) : 1);
}

static int who_ends_by_exit_without_an_event_leaves_no_file(void)
{
    fake session = FAKE(.accounts = 1);
    gp_recorder_end(open_later(&session), gp_ending_by_exit(3), leave);
    pause();
    return 1;
}

static int who_ends_by_exit_with_one_leaves_a_whole_file(void)
{
    fake session = FAKE(.accounts = 1);
    gp_recorder *recorder = open_later(&session);
    CHECK(push_hold(&session, 0, 1));
    gp_recorder_end(recorder, gp_ending_by_exit(256 + 3), leave);
    pause();
    return 1;
}

static int who_ends_by_exit_with_one_that_is_only_noted_leaves_it(void)
{
    fake session = FAKE(.accounts = 1, .noted = 1);
    gp_recorder_end(open_later(&session), gp_ending_by_exit(3), leave);
    pause();
    return 1;
}

static void a_file_that_is_made_later_is_whole_or_not_there(void)
{
    CHECK_EQUAL(end_of(who_ends_by_exit_without_an_event_leaves_no_file), 3);
    CHECK_EQUAL(files_in_directory(), 0);
    CHECK_EQUAL(end_of(who_ends_by_exit_with_one_leaves_a_whole_file), 3);
    walk_result *found = read_back();
    CHECK(found->wrong == NULL && !found->cut);
    CHECK_EQUAL(found->events, 1);
    walk_free(found);
    CHECK_EQUAL(end_of(who_ends_by_exit_with_one_that_is_only_noted_leaves_it), 3);
    found = read_back();
    CHECK_EQUAL(found->events, 1);
    walk_free(found);

    fake session = FAKE(.accounts = 1);
    gp_recorder *recorder = open_later(&session);
    CHECK(gp_recorder_flush(recorder, 20000000000u));
    CHECK_EQUAL(files_in_directory(), 1);
    gp_recorder_free(recorder);
    free_timeline(&session);
    session = (fake)FAKE(.accounts = 1);
    recorder = open_later(&session);
    while (files_in_directory() == 0) /* by itself */
        usleep(1000);
    gp_recorder_free(recorder);
    free_timeline(&session);
    unlink(path);
}

/* In a child: the limit can't be raised again. */
static int record_beyond_the_limit(void)
{
    struct rlimit limit = {100000, 100000};
    fake session = FAKE(.accounts = 1);
    gp_source source = source_of(&session, true);
    uint64_t bytes, events, lost = 0;
    setrlimit(RLIMIT_FSIZE, &limit);
    gp_recorder *recorder = open_new();
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    for (int round = 0; round < 40; round++) {
        for (uint64_t i = 0; i < 2000; i++)
            lost += !push_hold(&session, i, i + 1000000);
        gp_recorder_flush(recorder, 20000000000u);
    }
    CHECK_EQUAL(lost, 0); /* what can't be written is thrown away, so that the timeline does not fill */
    gp_recorder_finish(recorder);
    CHECK_EQUAL(gp_recorder_error(recorder, &bytes, &events), EFBIG);
    CHECK(bytes > 50000 && bytes <= 100000);
    CHECK_EQUAL(gp_recorder_put(recorder, "LABL", "", 0), GP_OK);
    gp_recorder_free(recorder);
    walk_result *found = read_back();
    CHECK(found->wrong == NULL && !found->cut); /* it was cut back to whole chunks */
    CHECK_EQUAL(found->offset, bytes);
    CHECK(found->events >= events && events != 0);
    walk_free(found);
    free_timeline(&session);
    return gp_test_status();
}

static void a_full_disk_is_an_error_that_stays(void)
{
    struct stat device;
    gp_output output = {.fd = open("/dev/full", O_WRONLY), .made = true, .path = "/dev/full"};
    CHECK_EQUAL(fstat(output.fd, &device), 0);
    output.device = device.st_dev;
    output.inode = device.st_ino;
    gp_output_write(&output, (const uint8_t *)"bytes", 5);
    CHECK_EQUAL(output.error, ENOSPC);
    CHECK_EQUAL(output.size, 0);
    gp_output_write(&output, (const uint8_t *)"bytes", 5);
    gp_output_sync(&output);
    gp_output_close(&output);
    CHECK_EQUAL(output.error, ENOSPC);
}

/* Its inode could go to a file that has nothing in it either, and take what was meant for this one. */
static void a_file_with_nothing_in_it_stays_open(void)
{
    uint8_t beginning[GP_OUTPUT_HEAD] = {1};
    gp_output output;
    CHECK_EQUAL(gp_output_open(&output, path, false), 0);
    int fd = output.fd;
    gp_output_rest(&output);
    CHECK_EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
    gp_output_write(&output, beginning, sizeof beginning);
    gp_output_rest(&output);
    CHECK_EQUAL(fcntl(fd, F_GETFD), -1);
    gp_output_write(&output, beginning, sizeof beginning);
    CHECK_EQUAL(output.error, 0);
    CHECK_EQUAL(output.size, 2 * sizeof beginning);
    gp_output_discard(&output);
}

static void a_forked_child_writes_nothing(void)
{
    fake session = FAKE(.accounts = 1);
    gp_source source = source_of(&session, true);
    gp_recorder *recorder = open_new();
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    CHECK(gp_recorder_flush(recorder, 20000000000u));
    for (int way = 0; way < 2; way++) {
        int status = -1;
        pid_t child = fork();
        if (child == 0) {
            push_hold(&session, 0, 1);
            gp_recorder_put(recorder, "LABL", "", 0);
            CHECK(!gp_recorder_flush(recorder, 1000000000));
            gp_recorder_finish(recorder);
            if (way == 0)
                gp_recorder_free(recorder);
            else
                gp_recorder_abandon(recorder);
            CHECK_EQUAL(find_fd(), -1);
            _exit(gp_test_status());
        }
        CHECK_EQUAL(waitpid(child, &status, 0), child);
        CHECK_EQUAL(status, 0);
    }
    gp_recorder_free(recorder);
    CHECK_EQUAL(session.finals, 1);
    walk_result *found = read_back();
    CHECK(found->wrong == NULL && !found->cut);
    CHECK_EQUAL(found->events, 0);
    CHECK_EQUAL(found->finals, 1);
    walk_free(found);
    free_timeline(&session);
}

static void a_killed_process_leaves_what_it_had_written(void)
{
    int ends[2], status = 0;
    char byte;
    unlink(path);
    CHECK_EQUAL(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        fake session = FAKE(.accounts = 1);
        gp_source source = source_of(&session, true);
        gp_recorder *recorder = open_new();
        gp_recorder_add(recorder, &source);
        for (uint64_t i = 0; i < 1000; i++)
            push_hold(&session, i, i + 1);
        gp_recorder_flush(recorder, 20000000000u);
        if (write(ends[1], "x", 1) != 1)
            _exit(1);
        for (uint64_t i = 1000;; i++) { /* killed in the middle of it */
            push_hold(&session, i, i + 1);
            gp_recorder_flush(recorder, 20000000000u);
        }
    }
    CHECK_EQUAL(read(ends[0], &byte, 1), 1);
    usleep(20000);
    kill(child, SIGKILL);
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status));
    close(ends[0]);
    close(ends[1]);
    walk_result *found = read_back();
    CHECK(found->wrong == NULL);
    CHECK(found->events >= 1000);
    CHECK(found->snapshots >= 1);
    CHECK_EQUAL(found->finals, 0);
    walk_free(found);
}

static void a_description_that_finds_no_memory_ends_the_recording(void)
{
    fake session = FAKE(.accounts = 1);
    gp_source source = source_of(&session, true);
    gp_recorder *recorder = open_new();
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    CHECK(gp_recorder_flush(recorder, 20000000000u));
    session.no_memory = true;
    CHECK(!gp_recorder_flush(recorder, 20000000000u));
    CHECK_EQUAL(error_of(recorder), ENOMEM);
    gp_recorder_free(recorder);
    walk_result *found = read_back();
    CHECK(found->wrong == NULL && !found->cut);
    walk_free(found);
    free_timeline(&session);
}

static void the_thread_takes_no_signals(void)
{
    char line[256], file[300];
    unsigned long long blocked = 0;
    bool seen = false;
    gp_recorder *recorder = open_new();
    CHECK(gp_recorder_flush(recorder, 20000000000u));
    DIR *listing = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        snprintf(file, sizeof file, "/proc/self/task/%.20s/status", entry->d_name);
        FILE *status = fopen(file, "r");
        bool ours = false;
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            ours |= strcmp(line, "Name:\tgilprobe\n") == 0;
            if (ours && sscanf(line, "SigBlk: %llx", &blocked) == 1)
                seen = true;
        }
        if (status != NULL)
            fclose(status);
    }
    closedir(listing);
    CHECK(seen);
    for (int number = 1; number < 32; number++)
        if (number != SIGKILL && number != SIGSTOP)
            CHECK(blocked >> (number - 1) & 1);
    gp_recorder_free(recorder);
}

static void there_is_an_end_to_sources_and_payloads(void)
{
    fake session = FAKE(.accounts = 0);
    gp_source source = source_of(&session, false);
    gp_recorder *recorder = open_new();
    for (int i = 0; i < GP_RECORDER_SOURCES; i++) {
        source.interpreter = (uint32_t)i % WALK_INTERPRETERS;
        CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    }
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_ENOMEM);
    CHECK_EQUAL(gp_recorder_put(recorder, "LABL", "", GP_CHUNK_PAYLOAD_MAX + 1), GP_EINVAL);
    gp_recorder_free(recorder);
    gp_recorder_free(NULL);
    gp_recorder_abandon(NULL);
    CHECK_EQUAL(session.finals, GP_RECORDER_SOURCES);
    walk_result *found = read_back();
    CHECK(found->wrong == NULL && !found->cut);
    CHECK_EQUAL(found->finals, GP_RECORDER_SOURCES);
    walk_free(found);
}

/* ---- a process of one thread ---- */

static size_t threads_of_process(void)
{
    struct stat folder;
    return stat("/proc/self/task", &folder) == 0 ? (size_t)folder.st_nlink - 2 : 0;
}

static off_t size_of_file(void)
{
    struct stat file;
    return stat(path, &file) == 0 ? file.st_size : -1;
}

static bool busy;

static bool is_free(void *context)
{
    (void)context;
    return !busy;
}

static gp_recorder *open_without_thread(fake *session)
{
    gp_recorder *recorder = NULL;
    int error = 0;
    unlink(path);
    CHECK_EQUAL(gp_recorder_open(path, GP_RECORDER_ALONE, &recorder, &error), GP_OK);
    gp_source source = source_of(session, true);
    source.is_free = is_free;
    CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
    return recorder;
}

static void a_process_of_one_thread_writes_itself(void)
{
    fake session = FAKE(.accounts = 1);
    gp_recorder *recorder = open_without_thread(&session);
    CHECK_EQUAL(gp_recorders_without_thread, 1);
    CHECK_EQUAL(threads_of_process(), 1);
    errno = 4711;
    gp_recorder_attend(gp_clock_ticks());
    CHECK_EQUAL(errno, 4711);
    CHECK(size_of_file() > 0);
    push_hold(&session, 0, 1);
    CHECK(gp_recorder_flush(recorder, 1));
    CHECK_EQUAL(gp_timeline_count(&session.timeline), 0);
    gp_recorder_finish(recorder);
    CHECK_EQUAL(gp_recorders_without_thread, 0);
    CHECK_EQUAL(session.finals, 1);
    gp_recorder_free(recorder);
    free_timeline(&session);
}

static void a_second_thread_brings_the_recorders(void)
{
    fake session = FAKE(.accounts = 1);
    gp_recorder *recorder = open_without_thread(&session);
    gp_recorder_bring_threads();
    CHECK_EQUAL(gp_recorders_without_thread, 0);
    CHECK(gp_recorder_runs(recorder));
    CHECK_EQUAL(threads_of_process(), 2);
    CHECK(gp_recorder_flush(recorder, UINT64_C(60000000000)));
    gp_recorder_free(recorder);
    CHECK_EQUAL(threads_of_process(), 1);
    CHECK_EQUAL(session.finals, 1);
    free_timeline(&session);
}

static void a_file_that_is_renamed_once_there_is_a_thread_is_written_on(void)
{
    char moved[80];
    fake session = FAKE(.accounts = 1);
    gp_recorder *recorder = open_without_thread(&session);
    snprintf(moved, sizeof moved, "%s.moved", path);
    gp_recorder_bring_threads();
    CHECK_EQUAL(rename(path, moved), 0);
    gp_recorder_finish(recorder);
    CHECK_EQUAL(error_of(recorder), 0);
    gp_recorder_free(recorder);
    free_timeline(&session);
    CHECK_EQUAL(rename(moved, path), 0);
    walk_result *found = read_back();
    CHECK(found->wrong == NULL && !found->cut);
    CHECK_EQUAL(found->finals, 1);
    walk_free(found);
}

/* A file of no other inode: as where ours was replaced twice, and the last one has got its number. */
static void another_file_in_the_place_of_one_that_was_closed_is_left_alone(void)
{
    const char others[] = "another's, and longer than what we have written so far is: ";
    char content[sizeof others];
    fake session = FAKE(.accounts = 1);
    gp_recorder *recorder = open_without_thread(&session);
    CHECK(gp_recorder_flush(recorder, 1));
    CHECK_EQUAL(error_of(recorder), 0);
    int other = open(path, O_RDWR);
    off_t length = lseek(other, 0, SEEK_END);
    CHECK_EQUAL(pwrite(other, others, sizeof others, 0), sizeof others);
    push_hold(&session, 0, 1);
    CHECK(!gp_recorder_flush(recorder, 1));
    CHECK_EQUAL(error_of(recorder), ESTALE);
    gp_recorder_free(recorder);
    CHECK_EQUAL(pread(other, content, sizeof content, 0), sizeof content);
    CHECK(memcmp(content, others, sizeof others) == 0);
    CHECK(lseek(other, 0, SEEK_END) <= (length > (off_t)sizeof others ? length : (off_t)sizeof others));
    close(other);
    free_timeline(&session);
}

static int ended_by;

static void last_act(int number)
{
    ended_by = number;
}

static void a_signal_waits_for_what_it_has_interrupted(void)
{
    fake session = FAKE(.accounts = 1);
    gp_recorder *recorder = open_without_thread(&session);
    busy = true;
    gp_recorder_end_here(recorder, SIGTERM, last_act);
    CHECK_EQUAL(ended_by, 0);
    busy = false;
    gp_recorder_end_here(recorder, SIGTERM, last_act);
    CHECK_EQUAL(ended_by, SIGTERM);
    gp_recorder_free(recorder);
    free_timeline(&session);
}

static void an_earlier_file_stays_until_the_new_one_is_wanted(void)
{
    gp_recorder *recorder = NULL;
    int error = 0;
    unlink(path);
    CHECK_EQUAL(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    const unsigned how = GP_RECORDER_REPLACE | GP_RECORDER_PENDING;
    CHECK_EQUAL(gp_recorder_open(path, how, &recorder, &error), GP_OK);
    CHECK(gp_recorder_flush(recorder, UINT64_C(60000000000)));
    CHECK_EQUAL(size_of_file(), 0);
    gp_recorder_discard(recorder);
    gp_recorder_free(recorder);
    CHECK_EQUAL(size_of_file(), 0);
    CHECK_EQUAL(gp_recorder_open(path, how, &recorder, &error), GP_OK);
    CHECK_EQUAL(gp_recorder_commit(recorder), 0);
    gp_recorder_free(recorder);
    CHECK(size_of_file() > 0);
}

static void a_session_that_has_ended_makes_room_for_another(void)
{
    enum { SESSIONS = 2 * GP_RECORDER_SOURCES };
    static fake sessions[SESSIONS];
    gp_recorder *recorder = open_new();
    for (int i = 0; i < SESSIONS; i++) {
        sessions[i] = (fake)FAKE(.accounts = 0);
        gp_source source = source_of(&sessions[i], false);
        CHECK_EQUAL(gp_recorder_add(recorder, &source), GP_OK);
        sessions[i].over = true;
        if (i % 100 == 99)
            CHECK(gp_recorder_flush(recorder, 20000000000u));
    }
    gp_recorder_free(recorder);
    for (int i = 0; i < SESSIONS; i++)
        CHECK_EQUAL(sessions[i].finals, 1);
    walk_result *found = read_back();
    CHECK(found->wrong == NULL && !found->cut);
    CHECK_EQUAL(found->finals, SESSIONS);
    walk_free(found);
}

int main(void)
{
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/recording", directory);
    the_file_belongs_to_its_owner_and_replaces_only_files();
    every_event_stands_behind_what_it_refers_to();
    a_flush_writes_what_is_there_without_an_end();
    what_is_noted_comes_into_the_timeline_before_it_is_written();
    in_child(what_the_program_does_to_the_descriptor_hurts_nobody);
    unlink(path);
    in_child(a_file_that_is_gone_is_an_error_and_no_more);
    in_child(nobody_else_has_the_descriptor);
    a_file_that_is_made_later_is_whole_or_not_there();
    a_full_disk_is_an_error_that_stays();
    a_file_with_nothing_in_it_stays_open();
    in_child(record_beyond_the_limit);
    a_forked_child_writes_nothing();
    a_killed_process_leaves_what_it_had_written();
    a_description_that_finds_no_memory_ends_the_recording();
    the_thread_takes_no_signals();
    there_is_an_end_to_sources_and_payloads();
    if (threads_of_process() == 1) { /* ThreadSanitizer brings a thread of its own */
        a_process_of_one_thread_writes_itself();
        a_second_thread_brings_the_recorders();
        a_file_that_is_renamed_once_there_is_a_thread_is_written_on();
        another_file_in_the_place_of_one_that_was_closed_is_left_alone();
        a_signal_waits_for_what_it_has_interrupted();
    }
    an_earlier_file_stays_until_the_new_one_is_wanted();
    a_session_that_has_ended_makes_room_for_another();
    unlink(path);
    CHECK_EQUAL(rmdir(directory), 0);
    return gp_test_status();
}
