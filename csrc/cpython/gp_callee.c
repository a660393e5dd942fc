#include "cpython/gp_frames_layout.h"

#include "cpython/gp_callee.h"

#include <stdatomic.h>
#include <string.h>

#if !defined(_WIN32)
#include <time.h>
#include <unistd.h>
#endif

#include "cpython/gp_callee_look.h"
#include "cpython/gp_object_callable.h"
#include "cpython/gp_object_light.h"
#include "cpython/gp_opcodes.h"
#include "cpython/gp_operators.h"

enum {
    OPERANDS_MAX = 3, /* places of the stack that an operator's objects lie in */
    LASTS_SEEN = 3,   /* times */
    LASTS_NS = 1000,  /* of the thread's time: an instruction that takes as long does more than usual */
};

/* ---- the collector ---- */

/* Which generation is being collected: its counter and those of all younger ones are reset at the begin, the
 * next one's is raised (gc_collect_main in Python/gc.c, until 3.12 Modules/gcmodule.c). -1: can't be told. */
static int generation(const gp_collector *gc)
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
    const size_t place = offsetof(gp_collector, permanent_generation) - sizeof generations;
#else
    const size_t place = offsetof(gp_collector, generations);
#endif
    memcpy(generations, (const char *)gc + place, sizeof generations);
    if (generations[1].count != 0)
        return 0;
    return generations[2].count != 0 ? 1 : 2;
#endif
}

static _Atomic(const void *) collects_in, collects; /* as gp_callee_collects was told */

void gp_callee_collects(const void *interpreter, const void *frame)
{
    atomic_store_explicit(&collects, frame, memory_order_relaxed);
    atomic_store_explicit(&collects_in, interpreter, memory_order_relaxed);
}

/* Whether it is this frame that made the collector run: another thread may run, too, while a finalizer of the
 * first one waits. Since 3.15 the collector knows its frame. */
static bool is_by(const gp_collector *gc, const gp_seen_thread *look)
{
#if PY_VERSION_HEX >= 0x030F0000
    return (const char *)gc->frame == look->address;
#else
    (void)gc;
    const void *frame = atomic_load_explicit(&collects, memory_order_relaxed);
    const void *interpreter = atomic_load_explicit(&collects_in, memory_order_relaxed);
    return frame == NULL || interpreter != look->state.interpreter || frame == look->address;
#endif
}

static bool name_collection(const gp_seen_thread *look, gp_name *name)
{
    if (look->collector.collecting != 1 || !is_by(&look->collector, look))
        return false;
    int number = generation(&look->collector);
    char text[] = " (generation 0)";
    text[sizeof text - 3] = (char)('0' + number);
    gp_name_append(name, "garbage collection");
    if (number >= 0)
        gp_name_append(name, text);
    return true;
}

/* ---- calls ---- */

#if PY_VERSION_HEX >= 0x030D0000
#define CALLABLE_TO_TUPLE 2 /* between them lies NULL */
#else
#define CALLABLE_TO_TUPLE 1
#endif

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

/* The callable, with its arguments. */
static const void *find_callable(gp_seen_thread *look, ptrdiff_t place, gp_arguments *arguments)
{
    const void *callable = gp_seen_object(look, place), *self = gp_seen_object(look, place - 1);
    if (look->at.opcode == CALL_FUNCTION_EX) {
        arguments->tuple = gp_seen_object(look, place - CALLABLE_TO_TUPLE);
        return callable;
    }
#if PY_VERSION_HEX < 0x030D0000
    if (callable == NULL) { /* a function that is no method lies one place higher, over NULL */
        callable = self;
        self = NULL;
    }
#endif
    if (self != NULL)
        arguments->first[arguments->count++] = self;
    for (uint32_t i = 0; i < look->at.argument && arguments->count < GP_ARGUMENTS_MAX; i++)
        arguments->first[arguments->count++] = gp_seen_object(look, place - 2 - (ptrdiff_t)i);
    return callable;
}

/* A call whose innermost frame is the caller's: C runs; of a Python function it is what makes its frame, or
 * what frees it with all that was in it. */
static bool name_call(gp_seen_thread *look, ptrdiff_t place, gp_name *name)
{
    gp_arguments arguments = {.count = 0};
    if (!gp_seen_stack(look, place, GP_SEEN_SLOTS))
        return false;
    const void *callable = find_callable(look, place, &arguments);
    switch (gp_object_callable(look->reader, callable, &arguments, name)) {
    case GP_CALLABLE_C:
        gp_object_append_iterator(look->reader, &arguments, name);
        return !gp_seen_is_over(look);
    case GP_CALLABLE_PYTHON:
        look->must_last = true;
        gp_name_append(name, "freeing");
        return true;
    default:
        return false;
    }
}

/* ---- operators ---- */

static bool append_attribute(gp_seen_thread *look, gp_name *name)
{
    const void *string;
    PyVarObject head;
    const char *names = (const char *)look->code.code.co_names;
    uint32_t index = gp_operators_attribute(look->at);
    return gp_safe_read(look->reader, names, &head, sizeof head) && index < (size_t)Py_SIZE(&head) &&
           gp_safe_read(look->reader, names + offsetof(PyTupleObject, ob_item) + index * sizeof string,
                        &string, sizeof string) &&
           gp_object_string(look->reader, string, name);
}

static bool append_type(gp_seen_thread *look, const void *object, gp_name *name)
{
    return object == NULL || gp_object_type_with_callable(look->reader, object, name);
}

/* The objects of an operator; NULL where it has none, or none that can be read. */
typedef struct {
    const void *first, *second, *key;
} operands;

static operands read_operands(gp_seen_thread *look, const gp_operator *operator)
{
    return (operands){
        operator->first != 0 ? gp_seen_object(look, operator->first) : NULL,
        operator->second != 0 ? gp_seen_object(look, operator->second) : NULL,
        operator->key != 0 ? gp_seen_object(look, operator->key) : NULL,
    };
}

static bool is_light(gp_seen_thread *look, const gp_operator *operator, operands objects)
{
    gp_safe_reader *reader = look->reader;
    switch (operator->light_if) {
    case GP_LIGHT_OPERANDS:
        return gp_object_is_light(reader, objects.first) &&
               (operator->second == 0 || gp_object_is_light(reader, objects.second));
    case GP_LIGHT_LOOP:
        return gp_object_is_light(reader, objects.first) || gp_object_finds_items(reader, objects.first) ||
               gp_object_finds_members(reader, objects.first);
    case GP_LIGHT_ITEM:
        return gp_object_finds_items(reader, objects.first) && gp_object_is_light(reader, objects.key);
    case GP_LIGHT_MEMBER:
        return gp_object_is_light(reader, objects.key) &&
               (gp_object_finds_members(reader, objects.first) || gp_object_is_light(reader, objects.first));
    case GP_LIGHT_KNOWN:
        return look->at.specialised;
    default:
        look->must_last = (operator->first == 0 || gp_object_is_light(reader, objects.first)) &&
                          (operator->second == 0 || gp_object_is_light(reader, objects.second));
        return false;
    }
}

static bool name_operator(gp_seen_thread *look, gp_name *name)
{
    gp_operator operator;
    if (!gp_operators_find(look->at, &operator) || (operator.leaves_objects && gp_seen_is_over(look)))
        return false;
    if (!gp_seen_stack(look, OPERANDS_MAX, OPERANDS_MAX))
        return false;
    operands objects = read_operands(look, &operator);
    if ((operator.first != 0 && objects.first == NULL) || (operator.second != 0 && objects.second == NULL) ||
        is_light(look, &operator, objects))
        return false;
    gp_name_append(name, operator.before);
    if (!append_type(look, objects.first, name))
        return false;
    gp_name_append(name, operator.between);
    if (!append_type(look, objects.second, name) ||
        (operator.names_attribute && !append_attribute(look, name)))
        return false;
    gp_name_append(name, operator.after);
    return true;
}

/* ---- what lasts ---- */

/* The time that the thread has run, by the clock of its own; 0: not known. */
static uint64_t time_run(const gp_seen_thread *look)
{
#if defined(__linux__)
    struct timespec time;
    unsigned long id = look->state.native_id;
    if (id == 0)
        return 0;
    /* MAKE_THREAD_CPUCLOCK in the kernel's include/linux/posix-timers_types.h: what pthread_getcpuclockid
     * gives, which needs a thread that lives */
    clockid_t clock = (clockid_t)((~(unsigned)id << 3) | 6);
    return clock_gettime(clock, &time) == 0 ? (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec
                                            : 0;
#else
    (void)look;
    return 0;
#endif
}

/* What a thread was seen at that may last. */
typedef struct {
    const void *thread_state, *frame, *instruction;
    uintptr_t reference;  /* to the object that it works on */
    uintptr_t content[3]; /* the object's type and more: another one may get its address */
    uint64_t time;        /* that the thread had run by then */
} moment;

static bool read_object(const gp_seen_thread *look, const char *place, moment *now)
{
    if (!gp_safe_read(look->reader, place, &now->reference, sizeof now->reference))
        return false;
    const char *object = gp_seen_referred(now->reference);
    return object == NULL || gp_safe_read(look->reader, object + offsetof(PyObject, ob_type), now->content,
                                          sizeof now->content);
}

/* Where the local variable is that the instruction lets go; NULL: it does not. */
static const char *local_of(const gp_seen_thread *look)
{
    uint32_t number = look->at.argument;
    switch (look->at.opcode) {
#if PY_VERSION_HEX >= 0x030D0000
    case STORE_FAST_LOAD_FAST:
    case STORE_FAST_STORE_FAST:
        number >>= 4; /* two arguments in one */
        break;
#endif
    case STORE_FAST:
    case DELETE_FAST:
        break;
    default:
        return NULL;
    }
    return look->address + offsetof(gp_frame, localsplus) + number * sizeof(void *);
}

static moment moment_of(const gp_seen_thread *look)
{
    moment now = {look->thread_state, look->address, look->frame.GP_FRAMES_INSTRUCTION,
                  .time = time_run(look)};
    const char *place = look->work != NULL ? look->work : local_of(look);
    if (place != NULL && !read_object(look, place, &now))
        now.time = 0;
    return now;
}

static bool is_same_work(const moment *then, const moment *now)
{
    return then->thread_state == now->thread_state && then->frame == now->frame &&
           then->instruction == now->instruction && then->reference == now->reference &&
           memcmp(then->content, now->content, sizeof now->content) == 0 && then->time != 0 &&
           now->time >= then->time + LASTS_NS;
}

/* Whether an instruction that takes no time mostly takes long now: the thread is still there each time that
 * it has run for a while. It may not run while it is looked at, if only because this thread has its
 * processor: then the last looks count. */
static bool lasts(const gp_seen_thread *look)
{
    static moment last;
    static int seen; /* there, at so many looks in a row */
    moment now = moment_of(look), before;
    seen = is_same_work(&last, &now) ? seen + 1 : 0;
    last = now;
    for (int again = seen; again < LASTS_SEEN; again++) {
        before = now;
        now = moment_of(look);
        if (!gp_seen_is_unchanged(look) || !is_same_work(&before, &now))
            return false;
    }
    return true;
}

/* ---- look ---- */

/* An object on the stack lies there until it is freed, with no reference left. Of a local variable only the
 * new value is seen. */
static bool name_freeing(gp_seen_thread *look, gp_name *name)
{
    const void *object = NULL;
    if (look->at.opcode == POP_TOP && gp_seen_stack(look, 1, 1))
        object = gp_seen_object(look, 1);
    bool goes = object != NULL && gp_object_is_going(look->reader, object);
    /* as generators pop all the time what is sent to them */
    if (object != NULL && !goes && gp_object_is_light(look->reader, object))
        return false;
    look->must_last = !goes;
    gp_name_append(name, "freeing");
    return true;
}

static bool name_callee(gp_seen_thread *look, gp_name *name)
{
    if (name_collection(look, name))
        return true;
    if (!gp_seen_instruction(look))
        return false;
    ptrdiff_t place = callable_place(look->at);
    if (place != 0)
        return name_call(look, place, name);
    return gp_operators_frees(look->at) ? name_freeing(look, name) : name_operator(look, name);
}

static bool take_look(gp_seen_thread *look, gp_name *name)
{
    return gp_seen_frame(look) && name_callee(look, name) && (!look->must_last || lasts(look)) &&
           gp_seen_is_unchanged(look);
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
    gp_seen_thread look = {.reader = reader, .thread_state = thread_state};
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
