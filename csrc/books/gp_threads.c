#define _GNU_SOURCE
#include "books/gp_threads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/gp_clock.h"
#include "base/gp_memory.h"
#include "base/gp_utf8.h"

enum {
    RETIRED = 2, /* generations back: by then nobody looks at a thread's state */
};

typedef struct gp_threads_alive {
    pid_t id;
    bool claimed; /* by the thread that had the number */
} listed;

static void read_own_name(gp_thread *thread)
{
    char name[16] = "";
    prctl(PR_GET_NAME, name); /* any bytes, cut anywhere */
    gp_utf8_repair(name);
    gp_thread_write_name(thread, name);
}

/* Destructor of the thread-local key. The thread may take and drop the GIL even later, so its record stays
 * valid. */
static void thread_exits(void *value)
{
    uint64_t now = gp_clock_ticks();
    for (gp_thread *thread = value; thread != NULL; thread = thread->sibling) {
        read_own_name(thread); /* whoever made the thread may have named it only while it ran */
        gp_thread_exit(thread, now);
    }
}

gp_status gp_threads_prepare(gp_threads *threads)
{
    if (!threads->prepared && pthread_key_create(&threads->exit_key, thread_exits) != 0)
        return GP_ENOMEM;
    threads->prepared = true;
    return GP_OK;
}

static int compare_ids(const void *a, const void *b)
{
    pid_t x = ((const listed *)a)->id, y = ((const listed *)b)->id;
    return (x > y) - (x < y);
}

static bool add_alive(gp_threads *threads, pid_t id, size_t *room)
{
    if (threads->alive_count == *room) {
        size_t larger = *room != 0 ? 2 * *room : 64;
        listed *moved = realloc(threads->alive, larger * sizeof *moved);
        if (moved == NULL)
            return false;
        threads->alive = moved;
        *room = larger;
    }
    threads->alive[threads->alive_count++] = (listed){.id = id};
    return true;
}

void gp_threads_list_alive(gp_threads *threads)
{
    threads->alive_count = 0;
    DIR *folder = opendir("/proc/self/task");
    if (folder == NULL)
        return;
    size_t room = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        pid_t id = (pid_t)atol(entry->d_name);
        if (id > 0 && !add_alive(threads, id, &room))
            break;
    }
    closedir(folder);
    qsort(threads->alive, threads->alive_count, sizeof *threads->alive, compare_ids);
}

bool gp_threads_claim_alive(gp_threads *threads, const gp_thread *thread)
{
    const listed wanted = {.id = (pid_t)thread->native_id};
    listed *found = threads->alive_count != 0
                        ? bsearch(&wanted, threads->alive, threads->alive_count, sizeof wanted, compare_ids)
                        : NULL;
    bool first = found != NULL && !found->claimed;
    if (first)
        found->claimed = true;
    return first;
}

/* As gp_threads_list_alive, by name: /proc/self/task/ID/comm ends with a line feed. */
static void read_name(gp_thread *thread)
{
    char path[48], name[17];
    snprintf(path, sizeof path, "/proc/self/task/%lld/comm", (long long)thread->native_id);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    ssize_t length = read(file, name, sizeof name - 1);
    close(file);
    if (length <= 0)
        return;
    length -= name[length - 1] == '\n';
    memset(name + length, 0, sizeof name - (size_t)length);
    gp_utf8_repair(name);
    gp_thread_write_name(thread, name);
}

void gp_threads_name_alive(const gp_threads *threads)
{
    for (size_t i = 0; i < gp_threads_count(threads); i++) {
        gp_thread *thread = gp_threads_at(threads, i);
        bool named = atomic_load_explicit(&thread->label, memory_order_relaxed) != 0;
        if (!named && !atomic_load_explicit(&thread->exited, memory_order_acquire))
            read_name(thread);
    }
}

size_t gp_threads_count(const gp_threads *threads)
{
    return __atomic_load_n(&threads->count, __ATOMIC_ACQUIRE); /* acquire: and what has been registered */
}

gp_thread *gp_threads_at(const gp_threads *threads, size_t index)
{
    return &threads->pages[index / GP_THREAD_PAGE][index % GP_THREAD_PAGE];
}

uint64_t gp_threads_lost(const gp_threads *threads)
{
    return __atomic_load_n(&threads->lost, __ATOMIC_RELAXED);
}

void gp_threads_collect_spares(gp_threads *threads, uint32_t generation)
{
    threads->spare_count = 0;
    for (size_t i = 0; i < threads->count && threads->spare_count < GP_THREADS_SPARES; i++) {
        gp_thread *thread = gp_threads_at(threads, i);
        if (atomic_load_explicit(&thread->exited, memory_order_acquire) &&
            generation - thread->journal.generation >= RETIRED && !atomic_load(&thread->journal.listed))
            threads->spares[threads->spare_count++] = thread;
    }
}

/* By the kernel, since a thread may run code after the destructors of its thread-local keys. One whose number
 * has gone to another thread of this process counts as not gone, until that one is. */
bool gp_threads_gone(const gp_thread *thread)
{
    int saved = errno;
    bool gone = syscall(SYS_tgkill, getpid(), (pid_t)thread->native_id, 0) != 0 && errno == ESRCH;
    errno = saved;
    return gone;
}

void gp_threads_retire(gp_threads *threads, gp_thread *thread)
{
    pthread_mutex_lock(&threads->lock);
    thread->gil_state = NULL;
    thread->journal.generation -= RETIRED; /* if there is no room, gp_threads_collect_spares finds it */
    if (threads->spare_count < GP_THREADS_SPARES)
        threads->spares[threads->spare_count++] = thread;
    pthread_mutex_unlock(&threads->lock);
}

/* Never freed: a thread's local storage is reached again after its destructors have run. */
static gp_thread *free_record(gp_threads *threads, int64_t native_id)
{
    if (threads->spare_count > 0) {
        gp_thread *spare = threads->spares[--threads->spare_count];
        spare->native_id = native_id;
        return spare;
    }
    if (threads->count == GP_THREADS_MAX)
        return NULL;
    gp_thread **page = &threads->pages[threads->count / GP_THREAD_PAGE];
    if (*page == NULL)
        *page = gp_memory_map(GP_THREAD_PAGE * sizeof(gp_thread));
    if (*page == NULL)
        return NULL;
    gp_thread *thread = gp_threads_at(threads, threads->count);
    thread->index = (uint32_t)threads->count;
    thread->native_id = native_id; /* others may look from now on */
    __atomic_store_n(&threads->count, threads->count + 1, __ATOMIC_RELEASE);
    return thread;
}

gp_thread *gp_threads_register(gp_threads *threads)
{
    int saved = errno;
    pthread_mutex_lock(&threads->lock);
    gp_thread *thread = free_record(threads, (int64_t)syscall(SYS_gettid));
    pthread_mutex_unlock(&threads->lock);
    if (thread == NULL) {
        __atomic_add_fetch(&threads->lost, 1, __ATOMIC_RELAXED);
    } else {
        read_own_name(thread);
        atomic_store_explicit(&thread->label, 0, memory_order_relaxed);
        atomic_store_explicit(&thread->native, 0, memory_order_relaxed);
        atomic_store_explicit(&thread->exited, false, memory_order_release);
        thread->account_session = 0;
        thread->sibling = pthread_getspecific(threads->exit_key);
        pthread_setspecific(threads->exit_key, thread);
    }
    errno = saved;
    return thread;
}

void gp_threads_forked(gp_threads *threads, gp_thread *self)
{
    pid_t id = (pid_t)syscall(SYS_gettid);
    pthread_mutex_init(&threads->lock, NULL);
    if (self != NULL)
        self->native_id = (int64_t)id;
    if (threads->alive_count != 0) { /* this one is left, and the others' numbers may come again */
        threads->alive[0] = (listed){.id = id};
        threads->alive_count = 1;
    }
}

gp_thread **gp_threads_all(const gp_threads *threads, size_t *count)
{
    size_t known = gp_threads_count(threads);
    gp_thread **all = gp_memory_map((known + 1) * sizeof *all);
    *count = all != NULL ? known : 0;
    for (size_t i = 0; i < *count; i++)
        all[i] = gp_threads_at(threads, i);
    return all;
}

void gp_threads_free_all(gp_thread **all, size_t count)
{
    gp_memory_unmap(all, (count + 1) * sizeof *all);
}
