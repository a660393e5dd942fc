#include "gp_callers.h"

#include <errno.h>

#if defined(_WIN32)

gp_callers_verdict gp_callers_search(gp_callers *callers, const char *frame)
{
    (void)callers, (void)frame;
    return GP_CALLERS_NEITHER;
}

#else

#include <unwind.h>

typedef struct {
    const gp_callers *callers;
    const char *frame;
    size_t frames;
    bool exact; /* every return address stood where it is expected */
    gp_callers_path path;
} unwinding;

static bool listed(const void *const *functions, uintptr_t start)
{
    for (; *functions != NULL; functions++)
        if ((uintptr_t)*functions == start)
            return true;
    return false;
}

/* Add the frame's return address to the path. Where it stands is known on x86-64 only: right below the
 * canonical frame address of the function it returns from, which is what the unwinder gives at this point
 * (System V ABI supplement for AMD64, 3.2.2; libgcc's unwind.inc calls back before it steps to the frame). */
static void remember(unwinding *state, uintptr_t address, uintptr_t cfa)
{
#if defined(__x86_64__)
    uintptr_t place = cfa - sizeof(uintptr_t);
    if (place < (uintptr_t)state->frame)
        return; /* a frame below the one asked about: the unwinding's own */
    size_t level = state->path.depth;
    if (level == GP_CALLERS_PATH_DEPTH || *(const uintptr_t *)place != address) {
        state->exact = false;
        return;
    }
    state->path.levels[level].offset = (const char *)place - state->frame;
    state->path.levels[level].address = address;
    state->path.depth++;
#else
    (void)address, (void)cfa;
    state->exact = false;
#endif
}

static _Unwind_Reason_Code judge_frame(struct _Unwind_Context *context, void *data)
{
    unwinding *state = data;
    uintptr_t start = _Unwind_GetRegionStart(context);
    remember(state, _Unwind_GetIP(context), _Unwind_GetCFA(context));
    if (listed(state->callers->first, start))
        state->path.verdict = GP_CALLERS_FIRST;
    else if (listed(state->callers->second, start))
        state->path.verdict = GP_CALLERS_SECOND;
    else
        return ++state->frames == GP_CALLERS_DEPTH ? _URC_END_OF_STACK : _URC_NO_REASON;
    return _URC_END_OF_STACK;
}

static gp_callers_verdict unwind(gp_callers *callers, const char *frame)
{
    unwinding state = {.callers = callers, .frame = frame, .exact = true};
    int saved = errno;
    _Unwind_Backtrace(judge_frame, &state);
    errno = saved;
    callers->unwound++;
    if (state.path.verdict != GP_CALLERS_NEITHER && state.exact && state.path.depth != 0 &&
        callers->count < GP_CALLERS_PATHS)
        callers->paths[callers->count++] = state.path;
    return state.path.verdict;
}

gp_callers_verdict gp_callers_search(gp_callers *callers, const char *frame)
{
    for (size_t i = 0; i < callers->count; i++) {
        if (gp_callers_came_by(&callers->paths[i], frame)) {
            callers->last = &callers->paths[i];
            return callers->paths[i].verdict;
        }
    }
    return unwind(callers, frame);
}

#endif
