#include <Python.h>

#include "cpython/gp_lock_host.h"

#include <string.h>

#include "cpython/gp_frames.h"
#include "cpython/gp_lock_holders.h"
#include "cpython/gp_lock_names.h"

/* ---- where threads are ---- */

static bool frames_agree;

void gp_lock_host_use_frames(void)
{
    gp_lock_holders_prepare();
    frames_agree = true;
}

static const void *located(const void *level, gp_lock_spot *spot)
{
    if (level == NULL)
        return NULL;
    const PyCodeObject *code = spot->key.code;
    spot->proof[0] = code->co_qualname;
    spot->proof[1] = code->co_linetable;
    spot->first_line = code->co_firstlineno;
    return level;
}

static const void *innermost(gp_lock_spot *spot)
{
    return frames_agree ? located(gp_frames_innermost(&spot->key), spot) : NULL;
}

static const void *outer(const void *level, gp_lock_spot *spot)
{
    return located(gp_frames_outer(level, &spot->key), spot);
}

static bool ends_with(const gp_frames_text *text, const char *end)
{
    size_t length = strlen(end);
    return text->size >= length && memcmp(text->bytes + text->size - length, end, length) == 0;
}

static bool is(const gp_frames_text *text, const char *name)
{
    return text->size == strlen(name) && memcmp(text->bytes, name, text->size) == 0;
}

/* Lib/threading.py and Lib/queue.py: only there a wait is that of the caller. */
static gp_lock_role role_of(const gp_frames_text *function, const gp_frames_text *file)
{
    static const char *const work[] = {
        "Condition.wait", "Thread.join", "Thread._wait_for_tstate_lock", "_shutdown", "_ThreadHandle.join",
    };
    if (!ends_with(file, "/threading.py") && !ends_with(file, "/queue.py"))
        return GP_LOCK_ROLE_USER;
    for (size_t i = 0; i < sizeof work / sizeof *work; i++)
        if (is(function, work[i]))
            return GP_LOCK_ROLE_WORK;
    return GP_LOCK_ROLE_HELPER;
}

static gp_lock_role describe(const gp_lock_spot *spot, gp_buffer *text)
{
    gp_frames_text function, file;
    int32_t line;
    gp_frames_describe(spot->key, &function, &file, &line);
    gp_buffer_number(text, line > 0 ? (uint64_t)line : 0);
    gp_buffer_string(text, function.bytes, function.size);
    gp_buffer_string(text, file.bytes, file.size);
    return role_of(&function, &file);
}

/* ---- what a thread has ---- */

#if defined(Py_GIL_DISABLED)

enum {
    TWO = 2,           /* Include/internal/pycore_critical_section.h: it has two locks; */
    INACTIVE = 1,      /* they are released while the thread is detached */
    SECTIONS_MAX = 64, /* within each other */
};

/* The sections are on the thread's own stack. The one that it enters now has no lock yet. */
static bool has(uintptr_t key)
{
    const PyThreadState *thread = PyThreadState_GetUnchecked();
    uintptr_t section = thread != NULL ? thread->critical_section : 0;
    for (int i = 0; i < SECTIONS_MAX && (section & ~(uintptr_t)(TWO | INACTIVE)) != 0; i++) {
        const PyCriticalSection2 *entered = (const void *)(section & ~(uintptr_t)(TWO | INACTIVE));
        bool active = (section & INACTIVE) == 0;
        if (active && ((uintptr_t)entered->_cs_base._cs_mutex == key ||
                       ((section & TWO) != 0 && (uintptr_t)entered->_cs_mutex2 == key)))
            return true;
        section = entered->_cs_base._cs_prev;
    }
    return false;
}

#else

static bool has(uintptr_t key)
{
    (void)key;
    return false;
}

#endif

/* Since 3.15 threads look at a lock again after some of their yields, each at its own (Python/lock.c,
 * _PyMutex_LockTimed, RELOAD_SPIN_MASK). */
static uint32_t spin_phase(void)
{
#if defined(Py_GIL_DISABLED)
    return (uint32_t)(_Py_ThreadId() >> 12);
#else
    return 0;
#endif
}

/* ---- a lock for the trial ---- */

#if PY_VERSION_HEX >= 0x030D0000

/* One at a time, and never freed: a thread may still be about to leave it. */
static PyMutex trial_lock;

static void *new_lock(void)
{
    return &trial_lock;
}

static void acquire(void *lock)
{
    PyMutex_Lock(lock);
}

static void release(void *lock)
{
    PyMutex_Unlock(lock);
}

static void free_lock(void *lock)
{
    (void)lock;
}

#else

static void *new_lock(void)
{
    return PyThread_allocate_lock();
}

static void acquire(void *lock)
{
    PyThread_acquire_lock(lock, WAIT_LOCK);
}

static void release(void *lock)
{
    PyThread_release_lock(lock);
}

static void free_lock(void *lock)
{
    PyThread_free_lock(lock);
}

#endif

/* ---- all of it ---- */

void gp_lock_host_prepare(void)
{
    static gp_lock_host host;
    host.interpreter = (const void *)PyEval_SaveThread;
    host.parks = PY_VERSION_HEX >= 0x030D0000;
    host.spin_phase = spin_phase;
    host.innermost = innermost;
    host.outer = outer;
    host.describe = describe;
    host.name = gp_lock_names_append;
    host.has = has;
    host.name_stop = gp_lock_names_append_stop;
    host.new_lock = new_lock;
    host.acquire = acquire;
    host.release = release;
    host.free_lock = free_lock;
    gp_lock_prepare(&host);
}
