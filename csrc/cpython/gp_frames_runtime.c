#include "cpython/gp_frames_layout.h"

#include "cpython/gp_frames.h"
#include "cpython/gp_frames_runtime.h"

/* until 3.12 public and internal headers define it differently (gh-105268) */
#undef _PyGC_FINALIZED
#define Py_BUILD_CORE 1
#include <internal/pycore_runtime.h>
#undef Py_BUILD_CORE

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

gp_frames_runtime gp_frames_found;
const void *gp_frames_runtime_state;

void gp_frames_prepare(void)
{
#if !defined(_WIN32)
    gp_frames_runtime_state = dlsym(RTLD_DEFAULT, "_PyRuntime");
#endif
}

gp_frames_shortcuts gp_frames_shortcuts_found(void)
{
    return (gp_frames_shortcuts){gp_frames_found.finalizing != NULL, gp_frames_found.key != NULL};
}

#if !defined(_WIN32)

/* Until 3.11 the key is in a member `gilstate`; since 3.15 there is no key. */
#if PY_VERSION_HEX < 0x030C0000
#define KEY gilstate.autoTSSkey
#elif PY_VERSION_HEX < 0x030F0000
#define KEY autoTSSkey
#endif

static const Py_tss_t *find_key(const _PyRuntimeState *runtime)
{
#if defined(KEY)
    const PyThreadState *state = PyGILState_GetThisThreadState();
    const Py_tss_t *key = &runtime->KEY;
    if (state != NULL && key->_is_initialized == 1 && pthread_getspecific((pthread_key_t)key->_key) == state)
        return key;
#else
    (void)runtime;
#endif
    return NULL;
}

/* The member is NULL until the interpreter finalizes, so its value proves nothing: check its neighbour
 * `interpreters`. */
static const void *const *find_finalizing(const _PyRuntimeState *runtime)
{
    const void *const *member = (const void *const *)(const void *)&runtime->_finalizing;
    bool is_here = runtime->interpreters.main == PyInterpreterState_Main() && *member == NULL;
    return is_here && !GP_FRAMES_FINALIZING() ? member : NULL;
}

static const void *find_current(const _PyRuntimeState *runtime)
{
#if PY_VERSION_HEX < 0x030C0000
    const _Py_atomic_address *member = &runtime->gilstate.tstate_current;
    return member->_value == (uintptr_t)PyThreadState_Get() ? member : NULL;
#else
    (void)runtime;
    return NULL;
#endif
}

void gp_frames_find_runtime(void)
{
    const _PyRuntimeState *runtime = gp_frames_runtime_state;
    if (runtime == NULL || gp_frames_found.finalizing != NULL)
        return;
    gp_frames_found.key = find_key(runtime);
    gp_frames_found.current = find_current(runtime);
    gp_frames_found.finalizing = find_finalizing(runtime);
}

#else

void gp_frames_find_runtime(void)
{
}

#endif
