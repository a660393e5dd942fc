#include "hooks/gp_callers.h"

#include <errno.h>
#include <string.h>
#include <unwind.h>

#include "hooks/gp_unwind.h"

enum {
    FARTHEST_CALL = 64 << 20, /* bytes that a direct call spans: more than any interpreter's code */
};

typedef struct {
    const gp_callers *callers;
    const char *frame;
    size_t frames;
    bool inside; /* beyond the call that reaches the function asked about, which may be of any kind */
    bool direct; /* all calls since name their targets */
    bool exact;  /* every return address stood where it is expected */
    gp_callers_path path;
} unwinding;

static bool listed(const void *const *functions, uintptr_t start, uint32_t *nth)
{
    for (*nth = 0; functions[*nth] != NULL; ++*nth)
        if ((uintptr_t)functions[*nth] == start)
            return true;
    return false;
}

/* Whether the call that returns to `address` names its target. The bytes of an indirect call can look like
 * that, but the target would be too far away. */
static bool called_directly(uintptr_t address)
{
#if defined(__x86_64__)
    const unsigned char *call = (const unsigned char *)address - 5; /* E8 and 32 bits relative to its end */
    int32_t distance;
    memcpy(&distance, call + 1, sizeof distance);
    return call[0] == 0xE8 && distance > -FARTHEST_CALL && distance < FARTHEST_CALL;
#elif defined(__aarch64__)
    return *(const uint32_t *)(address - 4) >> 26 == 0x25; /* BL; BLR takes a register */
#else
    (void)address;
    return true;
#endif
}

/* Add the frame's return address to the path. Where it stands is known on x86-64 only: right below the
 * canonical frame address of the function it returns from (System V ABI supplement for AMD64, 3.2.2). */
static void remember(unwinding *state, uintptr_t address, uintptr_t cfa)
{
#if defined(__x86_64__)
    uintptr_t place = cfa - sizeof(uintptr_t);
    if (*(const uintptr_t *)place != address) {
        state->exact = false;
        return;
    }
    size_t level = state->path.depth;
    state->path.levels[level].offset = (const char *)place - state->frame;
    state->path.levels[level].address = address;
    state->path.depth++;
#else
    (void)address, (void)cfa;
    state->exact = false;
#endif
}

/* Whether the path ends at the function that begins at `start` and goes on at `address`. */
static bool judge(unwinding *state, uintptr_t address, uintptr_t cfa, uintptr_t start)
{
    if (state->inside)
        state->direct = state->direct && called_directly(address);
    state->inside |= start == 0 || start != (uintptr_t)state->callers->wrapper;
    remember(state, address, cfa);
    if (listed(state->callers->second, start, &state->path.nth))
        state->path.verdict = GP_CALLERS_SECOND;
    else if (state->direct && listed(state->callers->first, start, &state->path.nth))
        state->path.verdict = GP_CALLERS_FIRST;
    else
        return start == 0 || ++state->frames == GP_CALLERS_DEPTH;
    return true;
}

static gp_unwind_tables tables;

void gp_callers_prepare(const void *code)
{
    (void)gp_unwind_find(code, &tables); /* without tables every function is in another object */
}

/* libgcc's unwind.inc calls back before it steps to the frame: the canonical frame address is that of the
 * function that this one has called. */
static _Unwind_Reason_Code judge_frame(struct _Unwind_Context *context, void *data)
{
    unwinding *state = data;
    uintptr_t cfa = _Unwind_GetCFA(context);
    if (cfa - sizeof(uintptr_t) < (uintptr_t)state->frame)
        return _URC_NO_REASON; /* frames of the unwinder */
    bool ends = judge(state, _Unwind_GetIP(context), cfa, _Unwind_GetRegionStart(context));
    return ends ? _URC_END_OF_STACK : _URC_NO_REASON;
}

/* A function of another library stands between. Its tables are not known here: ask the C library. */
static void walk_by_library(unwinding *state)
{
    int saved = errno;
    _Unwind_Backtrace(judge_frame, state);
    errno = saved;
}

static void walk(unwinding *state)
{
    gp_unwind_frame at = gp_unwind_begin(&tables, state->frame);
    if (at.start == 0) {
        walk_by_library(state);
        return;
    }
    while (state->exact && !judge(state, at.address, at.cfa, at.start))
        state->exact = gp_unwind_step(&tables, &at);
}

static gp_callers_verdict unwind(gp_callers *callers, const char *frame)
{
    unwinding state = {.callers = callers, .frame = frame, .direct = true, .exact = true};
    walk(&state);
    callers->unwound++;
    if (state.exact && state.path.depth != 0 && callers->count < GP_CALLERS_PATHS)
        callers->paths[callers->count++] = state.path;
    return state.path.verdict;
}

gp_callers_verdict gp_callers_search(gp_callers *callers, const char *frame, const gp_callers_path **last)
{
    for (size_t i = 0; i < callers->count; i++) {
        if (gp_callers_came_by(&callers->paths[i], frame)) {
            *last = &callers->paths[i];
            return callers->paths[i].verdict;
        }
    }
    return unwind(callers, frame);
}
