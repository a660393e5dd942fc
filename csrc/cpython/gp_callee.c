#include "cpython/gp_frames_layout.h"

/* until 3.12 public and internal headers define it differently (gh-105268) */
#undef _PyGC_FINALIZED
#define Py_BUILD_CORE 1
#include <internal/pycore_interp.h>
#undef Py_BUILD_CORE

#include "cpython/gp_callee.h"

#include <stdatomic.h>
#include <string.h>

#if !defined(_WIN32)
#include <unistd.h>
#endif

#include "cpython/gp_frames_read_safely.h"
#include "cpython/gp_object_names.h"
#include "cpython/gp_opcodes.h"
#include "cpython/gp_stack_depth.h"

enum {
    SLOTS_MAX = 2, /* objects on the frame's stack that a name comes from */
    AGAIN = 2,     /* how often a look is repeated: what is gone then was too short to be seen */
};

/* What is seen of a thread at one look. */
typedef struct {
    gp_safe_reader *reader;
    const void *thread_state;
    const char *address; /* of the frame */
    gp_frame frame;
    gp_code_copy code;
    int32_t instruction; /* in bytes from the first one */
    gp_instruction at;
    const char *slots[SLOTS_MAX]; /* where those objects lie */
    uintptr_t objects[SLOTS_MAX]; /* and what they are, with the interpreter's tags */
    size_t slot_count;
} look;

/* ---- the frame ---- */

static bool read_frame(look *look)
{
    look->address = gp_frames_safe_innermost(look->reader, look->thread_state);
    return look->address != NULL &&
           gp_safe_read(look->reader, look->address, &look->frame, offsetof(gp_frame, localsplus)) &&
           gp_frames_safe_locate(look->reader, &look->frame, &look->code, &look->instruction);
}

static bool read_instruction(look *look)
{
    const char *first = (const char *)look->frame.GP_FRAMES_INSTRUCTION - look->instruction;
    return gp_stack_depth_find(look->reader, gp_frame_executable(&look->frame), &look->code.code, first,
                               look->instruction, &look->at);
}

/* Where the frame's stack begins. */
static const char *bottom(const look *look)
{
    return look->address + offsetof(gp_frame, localsplus) +
           look->code.code.co_nlocalsplus * (ptrdiff_t)sizeof(void *);
}

/* How many objects lie on the stack as the interpreter left it when it called C; the static depth where it
 * does not save that. */
static ptrdiff_t saved_depth(const look *look)
{
#if PY_VERSION_HEX >= 0x030E0000
    return ((const char *)look->frame.stackpointer - bottom(look)) / (ptrdiff_t)sizeof(void *);
#else
    return look->at.depth;
#endif
}

/* The object so many places from the top of the stack, as it is before the instruction; NULL: there is none,
 * or it can't be read. Small integers that lie there themselves are no objects either. */
static const void *object_at(look *look, ptrdiff_t from_top)
{
    ptrdiff_t slot = look->at.depth - from_top;
    uintptr_t object;
    if (look->at.depth < 0 || slot < 0 || slot >= look->code.code.co_stacksize ||
        look->slot_count == SLOTS_MAX)
        return NULL;
    const char *place = bottom(look) + slot * (ptrdiff_t)sizeof object;
    if (!gp_safe_read(look->reader, place, &object, sizeof object))
        return NULL;
    look->slots[look->slot_count] = place;
    look->objects[look->slot_count++] = object;
#if PY_VERSION_HEX >= 0x030E0000
    return (object & 3) == 3 ? NULL : (const void *)(object & ~(uintptr_t)3);
#else
    return (const void *)object;
#endif
}

/* Whether the thread is still where it was, at work on the same objects. */
static bool is_unchanged(const look *look)
{
    gp_frame frame;
    uintptr_t object;
    if (gp_frames_safe_innermost(look->reader, look->thread_state) != look->address ||
        !gp_safe_read(look->reader, look->address, &frame, offsetof(gp_frame, localsplus)) ||
        frame.GP_FRAMES_INSTRUCTION != look->frame.GP_FRAMES_INSTRUCTION ||
        gp_frame_executable(&frame) != gp_frame_executable(&look->frame))
        return false;
    for (size_t i = 0; i < look->slot_count; i++)
        if (!gp_safe_read(look->reader, look->slots[i], &object, sizeof object) || object != look->objects[i])
            return false;
#if PY_VERSION_HEX >= 0x030E0000
    return frame.stackpointer == look->frame.stackpointer;
#else
    return true;
#endif
}

/* ---- the collector ---- */

typedef struct _gc_runtime_state collector;

/* Which generation is being collected: its counter and those of all younger ones are reset at the begin, the
 * next one's is raised (gc_collect_main in Python/gc.c, until 3.12 Modules/gcmodule.c). -1: can't be told. */
static int generation(const collector *gc)
{
#if defined(Py_GIL_DISABLED)
    (void)gc;
    return -1;
#else
    struct gc_generation generations[NUM_GENERATIONS];
#if PY_VERSION_HEX >= 0x030E0000 && PY_VERSION_HEX < 0x030F0000
    /* the first ones of 3.14 had other members there, for an incremental collector */
    if (Py_Version < 0x030E0A00)
        return -1;
    const size_t place = offsetof(collector, permanent_generation) - sizeof generations;
#else
    const size_t place = offsetof(collector, generations);
#endif
    memcpy(generations, (const char *)gc + place, sizeof generations);
    if (generations[1].count != 0)
        return 0;
    return generations[2].count != 0 ? 1 : 2;
#endif
}

/* Whether it is this frame that made the collector run: another thread may run, too, while a finalizer of the
 * first one waits. Since 3.15 the collector knows its frame. */
static bool is_by(const collector *gc, const look *look)
{
#if PY_VERSION_HEX >= 0x030F0000
    return (const char *)gc->frame == look->address;
#else
    (void)gc, (void)look;
    return true;
#endif
}

static bool name_collection(look *look, gp_name *name)
{
    const char *interpreter;
    collector gc;
    if (!gp_safe_read(look->reader, (const char *)look->thread_state + offsetof(PyThreadState, interp),
                      &interpreter, sizeof interpreter) ||
        !gp_safe_read(look->reader, interpreter + offsetof(PyInterpreterState, gc), &gc, sizeof gc) ||
        gc.collecting != 1 || !is_by(&gc, look))
        return false;
    int number = generation(&gc);
    char text[] = " (generation 0)";
    text[sizeof text - 3] = (char)('0' + number);
    gp_name_append(name, "garbage collection");
    if (number >= 0)
        gp_name_append(name, text);
    return true;
}

/* ---- calls ---- */

/* Where the callable of a call lies, in places from the top of the stack; 0: this is no call. */
static ptrdiff_t callable_place(gp_instruction at)
{
    ptrdiff_t arguments = (ptrdiff_t)at.argument;
    switch (at.opcode) {
#if PY_VERSION_HEX < 0x030C0000
    case PRECALL:
        return arguments + 2;
    case CALL:
        return 2; /* the arguments are counted as gone since PRECALL */
#else
    case CALL:
        return arguments + 2;
#endif
#if PY_VERSION_HEX >= 0x030D0000
    case CALL_KW:
        return arguments + 3;
#endif
    case CALL_FUNCTION_EX:
#if PY_VERSION_HEX >= 0x030E0000
        return 4;
#elif PY_VERSION_HEX >= 0x030D0000
        return 3 + (arguments & 1);
#else
        return 2 + (arguments & 1);
#endif
    default:
        return 0;
    }
}

static const void *find_callable(look *look, ptrdiff_t place)
{
    const void *callable = object_at(look, place);
#if PY_VERSION_HEX < 0x030D0000
    /* a function that is no method lies one place higher, over NULL */
    if (callable == NULL && look->slot_count != 0 && look->at.opcode != CALL_FUNCTION_EX)
        callable = object_at(look, place - 1);
#endif
    return callable;
}

/* A call whose innermost frame is the caller's: C runs; of a Python function it is what makes its frame, or
 * what frees it with all that was in it. */
static bool name_call(look *look, ptrdiff_t place, gp_name *name)
{
    const void *callable = find_callable(look, place);
    switch (gp_object_callable(look->reader, callable, name)) {
    case GP_CALLABLE_C:
        return saved_depth(look) == look->at.depth;
    case GP_CALLABLE_PYTHON:
        gp_name_append(name, "freeing");
        return true;
    default:
        return false;
    }
}

/* ---- look ---- */

static bool name_callee(look *look, gp_name *name)
{
    if (name_collection(look, name))
        return true;
    if (!read_instruction(look))
        return false;
    ptrdiff_t place = callable_place(look->at);
    return place != 0 && name_call(look, place, name);
}

static bool take_look(look *look, gp_name *name)
{
    if (!read_frame(look) || !name_callee(look, name))
        return false;
    for (int again = 0; again < AGAIN; again++)
        if (!is_unchanged(look))
            return false;
    return true;
}

/* The process whose thread is in here; 0: none. A forked child may find its parent. */
static _Atomic int inside;

static bool enter(void)
{
#if defined(_WIN32)
    return false;
#else
    int nobody = 0, self = (int)getpid();
    /* acquire: what the last one left in gp_stack_depth.c */
    if (atomic_compare_exchange_strong_explicit(&inside, &nobody, self, memory_order_acquire,
                                                memory_order_relaxed))
        return true;
    if (nobody == self || !atomic_compare_exchange_strong_explicit(
                              &inside, &nobody, self, memory_order_acquire, memory_order_relaxed))
        return false;
    gp_stack_depth_forget();
    return true;
#endif
}

bool gp_callee_read_at(gp_safe_reader *reader, const void *thread_state, gp_site_key *at, char *name,
                       size_t room)
{
    gp_name text = {name, room, 0};
    look look = {.reader = reader, .thread_state = thread_state};
    if (thread_state == NULL || !enter())
        return false;
    bool named = take_look(&look, &text);
    atomic_store_explicit(&inside, 0, memory_order_release); /* with what was left */
    *at = (gp_site_key){gp_frame_executable(&look.frame), look.instruction};
    return named;
}

bool gp_callee_read(gp_safe_reader *reader, const void *thread_state, char *name, size_t room)
{
    gp_site_key at;
    return gp_callee_read_at(reader, thread_state, &at, name, room);
}
