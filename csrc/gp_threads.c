#define _GNU_SOURCE
#include "gp_threads.h"

#if defined(__linux__)

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gp_utf8.h"

enum {
    PAGES = GP_THREADS_MAX / GP_THREAD_PAGE,
    SPARES = 256, /* found at one time; more are found at the next */
};

static gp_thread *pages[PAGES];
static size_t count; /* registered so far */
static uint64_t lost;

static gp_thread **table; /* all of them as one array */
static size_t table_room;

static gp_thread *spares[SPARES];
static size_t spare_count;

static pid_t *alive; /* sorted */
static size_t alive_count;

static pthread_key_t exit_key;
static bool prepared;

/* Destructor of the thread-local key. The thread may take and drop the GIL even later, so its books stay open
 * to it. */
static void thread_exits(void *value)
{
    gp_thread *thread = value;
    atomic_store_explicit(&thread->ended_at, gp_clock_ticks(), memory_order_relaxed);
    /* release: whoever sees that it has exited sees when */
    atomic_store_explicit(&thread->exited, true, memory_order_release);
}

gp_status gp_threads_prepare(void)
{
    if (!prepared && pthread_key_create(&exit_key, thread_exits) != 0)
        return GP_ENOMEM;
    prepared = true;
    return GP_OK;
}

static int compare_ids(const void *a, const void *b)
{
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return (x > y) - (x < y);
}

static bool add_alive(pid_t id, size_t *room)
{
    if (alive_count == *room) {
        size_t larger = *room != 0 ? 2 * *room : 64;
        pid_t *moved = realloc(alive, larger * sizeof *moved);
        if (moved == NULL)
            return false;
        alive = moved;
        *room = larger;
    }
    alive[alive_count++] = id;
    return true;
}

void gp_threads_list_alive(void)
{
    alive_count = 0;
    DIR *folder = opendir("/proc/self/task");
    if (folder == NULL)
        return;
    size_t room = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        pid_t id = (pid_t)atol(entry->d_name);
        if (id > 0 && !add_alive(id, &room))
            break;
    }
    closedir(folder);
    qsort(alive, alive_count, sizeof *alive, compare_ids);
}

bool gp_threads_was_alive(const gp_thread *thread)
{
    pid_t id = (pid_t)thread->native_id;
    return alive_count != 0 && bsearch(&id, alive, alive_count, sizeof id, compare_ids) != NULL;
}

size_t gp_threads_count(void)
{
    return count;
}

gp_thread *gp_threads_at(size_t index)
{
    return &pages[index / GP_THREAD_PAGE][index % GP_THREAD_PAGE];
}

uint64_t gp_threads_lost(void)
{
    return lost;
}

void gp_threads_collect_spares(uint32_t generation)
{
    spare_count = 0;
    for (size_t i = 0; i < count && spare_count < SPARES; i++) {
        gp_thread *thread = gp_threads_at(i);
        if (atomic_load_explicit(&thread->exited, memory_order_acquire) &&
            generation - thread->generation > 1)
            spares[spare_count++] = thread;
    }
}

/* Never freed: a thread's local storage is reached again after its destructors have run. */
static gp_thread *books(void)
{
    if (spare_count > 0)
        return spares[--spare_count];
    if (count == GP_THREADS_MAX)
        return NULL;
    gp_thread **page = &pages[count / GP_THREAD_PAGE];
    if (*page == NULL) {
        void *memory = mmap(NULL, GP_THREAD_PAGE * sizeof(gp_thread), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return NULL;
        *page = memory;
    }
    gp_thread *thread = gp_threads_at(count);
    thread->index = (uint32_t)count++;
    return thread;
}

gp_thread *gp_threads_register(void)
{
    int saved = errno;
    gp_thread *thread = books();
    if (thread != NULL) {
        thread->native_id = (int64_t)syscall(SYS_gettid);
        prctl(PR_GET_NAME, thread->os_name); /* any bytes, cut anywhere */
        gp_utf8_repair(thread->os_name);
        atomic_store_explicit(&thread->label, 0, memory_order_relaxed);
        atomic_store_explicit(&thread->exited, false, memory_order_relaxed);
        thread->account_session = 0;
        pthread_setspecific(exit_key, thread);
    } else {
        lost++;
    }
    errno = saved;
    return thread;
}

void gp_threads_forked(gp_thread *self)
{
    pid_t id = (pid_t)syscall(SYS_gettid);
    if (self != NULL)
        self->native_id = (int64_t)id;
    if (alive_count != 0) { /* this one is left, and the others' numbers may come again */
        alive[0] = id;
        alive_count = 1;
    }
}

gp_thread *const *gp_threads_all(size_t *all_count)
{
    if (table_room < count) {
        size_t room = count + GP_THREAD_PAGE;
        gp_thread **larger = realloc(table, room * sizeof(gp_thread *));
        if (larger == NULL) {
            *all_count = 0;
            return NULL;
        }
        table = larger;
        table_room = room;
    }
    for (size_t i = 0; i < count; i++)
        table[i] = gp_threads_at(i);
    *all_count = count;
    return table;
}

#endif
