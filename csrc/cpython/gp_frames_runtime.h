#ifndef GP_FRAMES_RUNTIME_H
#define GP_FRAMES_RUNTIME_H

/* The calling thread's state, which is needed at each release of the GIL. After a system call the processor
 * mispredicts calls into other libraries: each costs some tens of nanoseconds, while other threads wait. So
 * the place where the interpreter keeps what its functions return is looked up once, and read directly. For
 * gp_frames*.c only; include gp_frames_layout.h first. */

#if !defined(_WIN32)
#include <pthread.h>
#endif

#if PY_VERSION_HEX >= 0x030D0000
#define GP_FRAMES_FINALIZING() Py_IsFinalizing()
#else
#define GP_FRAMES_FINALIZING() _Py_IsFinalizing()
#endif

/* Members of _PyRuntime (Include/internal/pycore_runtime.h). NULL: not found, the interpreter's functions are
 * called. */
typedef struct {
    const void *const *finalizing; /* the thread that finalizes the interpreter, if one does */
    const Py_tss_t *key;           /* of the thread-local state; NULL since 3.15, which has no key */
    /* The state of the thread that runs. Until 3.11 a thread keeps the GIL as it goes to another interpreter
     * (PyThreadState_Swap in Python/pystate.c), and the GIL does not tell; NULL since 3.12. */
    const void *current;
} gp_frames_runtime;

extern gp_frames_runtime gp_frames_found;

/* _PyRuntime, looked up by name (gp_frames_prepare). NULL if the build does not export it. */
extern const void *gp_frames_runtime_state;

/* Find the members; keep only those that agree with the public functions. Needs the GIL. */
void gp_frames_find_runtime(void);

static inline bool gp_frames_is_finalizing(void)
{
    if (__builtin_expect(gp_frames_found.finalizing == NULL, 0))
        return GP_FRAMES_FINALIZING();
    return __atomic_load_n(gp_frames_found.finalizing, __ATOMIC_RELAXED) != NULL;
}

/* NULL if the thread has none. Not while the interpreter finalizes: later the key may be another's. */
static inline const PyThreadState *gp_frames_own_state(void)
{
#if !defined(_WIN32)
    /* the key is read anew, since a forked child has another (_PyGILState_Reinit in Python/pystate.c) */
    const Py_tss_t *key = gp_frames_found.key;
    if (__builtin_expect(key != NULL, 1))
        return key->_is_initialized ? pthread_getspecific((pthread_key_t)key->_key) : NULL;
#endif
    return PyGILState_GetThisThreadState();
}

#endif
