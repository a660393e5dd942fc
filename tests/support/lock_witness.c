/* Sees which functions that may wait for a lock gilprobe's core calls, and what the calling thread holds
 * then: nothing, the GIL, or the GIL's mutex. To be preloaded (LD_PRELOAD); glibc. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <unwind.h>

#define EXPORT __attribute__((visibility("default")))
#define CALLER ((uintptr_t)__builtin_return_address(0))

enum { KINDS = 64, NOTHING = 0, GIL = 1, MUTEX = 2, STATES = 3 };

static const char *const state_names[STATES] = {"nothing", "GIL", "mutex"};

static uintptr_t low, high; /* of the object that is watched */
static const char *names[KINDS];
static atomic_ulong counts[KINDS][STATES];
static pthread_mutex_t *gil_mutex;

#define STATIC_THREAD __attribute__((tls_model("initial-exec"))) static __thread
STATIC_THREAD bool has_gil_mutex, learns, unwinds;

static void *(*thread_state)(void), *(*own_state)(void); /* the interpreter's */
static bool current_is_everybodys; /* until 3.11 the current state is that of the GIL's holder */

static int holds(void)
{
    if (has_gil_mutex)
        return MUTEX;
    void *current = thread_state != NULL ? thread_state() : NULL;
    return current != NULL && (!current_is_everybodys || current == own_state()) ? GIL : NOTHING;
}

/* `name` is a literal: one address for one name. */
static void count(const char *name)
{
    for (int i = 0; i < KINDS; i++) {
        const char *none = NULL;
        if (__atomic_load_n(&names[i], __ATOMIC_ACQUIRE) == name ||
            __atomic_compare_exchange_n(&names[i], &none, name, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ||
            none == name) {
            atomic_fetch_add(&counts[i][holds()], 1);
            return;
        }
    }
}

static bool watched(uintptr_t caller)
{
    return caller >= low && caller < high;
}

static void note(const char *name, uintptr_t caller)
{
    if (watched(caller))
        count(name);
}

static void *look_up(void *where, const char *name)
{
    static void *(*real)(void *, const char *);
    static const char *const versions[] = {"GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.34"};
    for (int i = 0; real == NULL && i < 3; i++)
        *(void **)&real = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    return real(where, name);
}

static void *next(const char *name)
{
    return look_up(RTLD_NEXT, name);
}

/* ---- what may wait ---- */

#define PASS_ON(result, name, parameters, arguments)                                                         \
    EXPORT result name parameters;                                                                           \
    result name parameters                                                                                   \
    {                                                                                                        \
        static result(*real) parameters;                                                                     \
        note(#name, CALLER);                                                                                 \
        if (real == NULL)                                                                                    \
            *(void **)&real = next(#name);                                                                   \
        return real arguments;                                                                               \
    }

PASS_ON(int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
PASS_ON(int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
PASS_ON(int, pthread_spin_lock, (pthread_spinlock_t * lock), (lock))
PASS_ON(int, pthread_once, (pthread_once_t * once, void (*run)(void)), (once, run))
PASS_ON(int, pthread_create,
        (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data),
        (thread, attributes, run, data))
PASS_ON(int, pthread_join, (pthread_t thread, void **result), (thread, result))
PASS_ON(int, pthread_key_create, (pthread_key_t * key, void (*end)(void *)), (key, end))
PASS_ON(int, pthread_setspecific, (pthread_key_t key, const void *value), (key, value))
PASS_ON(int, pthread_setname_np, (pthread_t thread, const char *name), (thread, name))
PASS_ON(int, __register_atfork, (void (*a)(void), void (*b)(void), void (*c)(void), void *object),
        (a, b, c, object))
PASS_ON(int, sem_wait, (sem_t * semaphore), (semaphore))
PASS_ON(int, dladdr, (const void *address, Dl_info *info), (address, info))
PASS_ON(FILE *, fopen, (const char *path, const char *mode), (path, mode))
PASS_ON(FILE *, fdopen, (int fd, const char *mode), (fd, mode))
PASS_ON(int, fclose, (FILE * file), (file))
PASS_ON(int, fflush, (FILE * file), (file))
PASS_ON(int, fputs, (const char *text, FILE *file), (text, file))
PASS_ON(DIR *, opendir, (const char *path), (path))
PASS_ON(struct dirent *, readdir, (DIR * folder), (folder))
PASS_ON(int, closedir, (DIR * folder), (folder))
PASS_ON(void, qsort, (void *base, size_t size, size_t width, int (*compare)(const void *, const void *)),
        (base, size, width, compare))
PASS_ON(char *, strerror, (int error), (error))

/* The loader's look-up counts also where the unwinder calls it on behalf of the object. */
EXPORT int dl_iterate_phdr(int (*look)(struct dl_phdr_info *, size_t, void *), void *data)
{
    static int (*real)(int (*)(struct dl_phdr_info *, size_t, void *), void *);
    if (watched(CALLER) || unwinds)
        count("dl_iterate_phdr");
    if (real == NULL)
        *(void **)&real = next("dl_iterate_phdr");
    return real(look, data);
}

EXPORT _Unwind_Reason_Code _Unwind_Backtrace(_Unwind_Trace_Fn trace, void *data)
{
    static _Unwind_Reason_Code (*real)(_Unwind_Trace_Fn, void *);
    bool ours = watched(CALLER);
    if (real == NULL)
        *(void **)&real = next("_Unwind_Backtrace");
    if (ours)
        count("_Unwind_Backtrace");
    unwinds = ours;
    _Unwind_Reason_Code code = real(trace, data);
    unwinds = false;
    return code;
}

/* A jump to the real one, which looks at who calls it. */
EXPORT void *dlsym(void *handle, const char *name)
{
    static void *(*real)(void *, const char *);
    note("dlsym", CALLER);
    if (real == NULL)
        *(void **)&real = next("dlsym");
    return real(handle, name);
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

EXPORT void *malloc(size_t size)
{
    note("malloc", CALLER);
    return __libc_malloc(size);
}

EXPORT void *calloc(size_t number, size_t size)
{
    note("calloc", CALLER);
    return __libc_calloc(number, size);
}

EXPORT void *realloc(void *memory, size_t size)
{
    note("realloc", CALLER);
    return __libc_realloc(memory, size);
}

EXPORT void free(void *memory)
{
    note("free", CALLER);
    __libc_free(memory);
}

/* ---- mutexes ---- */

static int (*real_lock)(pthread_mutex_t *), (*real_trylock)(pthread_mutex_t *),
    (*real_unlock)(pthread_mutex_t *);

static void note_mutex(const char *ours, const char *gils, const char *others, const pthread_mutex_t *mutex,
                       uintptr_t caller)
{
    note(mutex == gil_mutex ? gils : watched((uintptr_t)mutex) ? ours : others, caller);
}

EXPORT int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    if (real_lock == NULL)
        *(void **)&real_lock = next("pthread_mutex_lock");
    note_mutex("pthread_mutex_lock (ours)", "pthread_mutex_lock (the GIL's)", "pthread_mutex_lock (others)",
               mutex, CALLER);
    int status = real_lock(mutex);
    if (learns && gil_mutex == NULL)
        gil_mutex = mutex;
    has_gil_mutex |= mutex == gil_mutex && status == 0;
    return status;
}

EXPORT int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    if (real_trylock == NULL)
        *(void **)&real_trylock = next("pthread_mutex_trylock");
    int status = real_trylock(mutex);
    has_gil_mutex |= mutex == gil_mutex && status == 0;
    return status;
}

EXPORT int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    if (real_unlock == NULL)
        *(void **)&real_unlock = next("pthread_mutex_unlock");
    has_gil_mutex &= mutex != gil_mutex;
    return real_unlock(mutex);
}

/* ---- the object ---- */

/* From the first to the last of its bytes: the ELF header stands at the beginning. */
static void watch(void *handle)
{
    struct link_map *map;
    dlinfo(handle, RTLD_DI_LINKMAP, &map);
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)map->l_addr;
    const ElfW(Phdr) *segments = (const ElfW(Phdr) *)(map->l_addr + header->e_phoff);
    low = map->l_addr;
    for (int i = 0; i < header->e_phnum; i++)
        if (segments[i].p_type == PT_LOAD)
            high = map->l_addr + segments[i].p_vaddr + segments[i].p_memsz;
}

/* The calling thread has the GIL, as it imports: the first mutex that a release locks is the GIL's. */
static void find_gil_mutex(void)
{
    void *(*save)(void), (*restore)(void *);
    *(void **)&save = look_up(RTLD_DEFAULT, "PyEval_SaveThread");
    *(void **)&restore = look_up(RTLD_DEFAULT, "PyEval_RestoreThread");
    *(void **)&own_state = look_up(RTLD_DEFAULT, "PyGILState_GetThisThreadState");
    *(void **)&thread_state = look_up(RTLD_DEFAULT, "PyThreadState_GetUnchecked"); /* since 3.13 */
    if (thread_state == NULL)
        *(void **)&thread_state = look_up(RTLD_DEFAULT, "_PyThreadState_UncheckedGet");
    current_is_everybodys = *(const unsigned long *)look_up(RTLD_DEFAULT, "Py_Version") < 0x030C0000;
    learns = true;
    restore(save());
    learns = false;
}

EXPORT void *dlopen(const char *path, int flags)
{
    static void *(*real)(const char *, int);
    note("dlopen", CALLER);
    if (real == NULL)
        *(void **)&real = next("dlopen");
    void *handle = real(path, flags);
    if (handle != NULL && path != NULL && high == 0 && strstr(path, "gilprobe/_native/tracer.") != NULL) {
        find_gil_mutex();
        watch(handle);
    }
    return handle;
}

/* ---- for the test ---- */

/* Write a line for each function and what was held; nothing if the core was not seen. */
EXPORT void witness_report(char *text, size_t room)
{
    size_t size = 0;
    text[0] = '\0';
    if (gil_mutex == NULL || thread_state == NULL)
        return;
    for (int i = 0; i < KINDS && names[i] != NULL; i++)
        for (int state = 0; state < STATES && size < room; state++)
            if (atomic_load(&counts[i][state]) != 0)
                size += (size_t)snprintf(text + size, room - size, "%s\t%s\n", names[i], state_names[state]);
}
