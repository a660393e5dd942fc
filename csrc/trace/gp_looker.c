#include "trace/gp_looker.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "base/gp_clock.h"
#include "base/gp_futex.h"
#include "base/gp_hash.h"
#include "base/gp_helper.h"
#include "base/gp_utf8.h"
#include "recording/gp_format.h"
#include "recording/gp_reader.h"
#include "trace/gp_trace_parts.h"
#include "trace/gp_tracer_object.h"

#define MS_NS UINT64_C(1000000)

enum {
    KNOWN = 2048,       /* levels that need not be described again; a power of 2 */
    DEATHS = 1024,      /* counters of code objects that went; a power of 2 */
    WATCHING = 1 << 20, /* no counter moves so far by chance */
    IDLE_LOOKS = 16,    /* so many in a row that found no holder: nobody uses the GIL */
    SHARE = 100,        /* the looker takes a hundredth of a processor at most ... */
    SHARE_ALONE = 333,  /* ... and this part of one where nobody waits */
    COSTS = 8,          /* the mean goes by about so many looks */
    TRIES = 5,          /* to see a holder that is to be seen now */
    TASKS_MAX = 256,    /* names of tasks that are told apart */
    TASKS_SLOTS = 512,  /* a power of 2 */
    RECENT = 512,       /* looks that are remembered one by one; a power of 2 */
};

/* For how long the thread sleeps at most until it sees whether it is the only one beside the program's; and
 * for how long it lives, since to begin and to end costs more than a look. */
static const uint64_t nap_ns = 50 * MS_NS, life_ns = 20 * MS_NS;

/* Between two looks, on average: while threads wait, where none does, where nobody uses the GIL. And for how
 * long after a wait the first counts. */
static const uint64_t busy_ns = 3 * MS_NS, alone_ns = 10 * MS_NS, idle_ns = 50 * MS_NS;
static const uint64_t busy_for_ns = 1000 * MS_NS;
static const uint64_t try_again_ns = 1000 * MS_NS; /* after a thread could not be made */

typedef enum {
    NONE,
    BEGINS,
    RUNS,
    LEAVES, /* by itself, if it may */
    ENDS,
} existence;

/* What lies in the bell, by which the looker is woken. */
enum {
    SILENT,
    RUNG, /* somebody waits, after a time in which nobody did */
    HALT,
};

/* What is known of a level. An address means a code object only as long as that lives: an entry is valid
 * while the counter of its code is what it was. */
typedef struct {
    gp_site_key key;
    uint32_t deaths;
    uint32_t site; /* number in `looked` */
    bool stands_for_caller;
} level;

/* A look at the main GIL that saw its holder. */
typedef struct {
    _Atomic uint64_t time; /* 0: none */
    const void *_Atomic holder;
    _Atomic uint32_t site;
} recent_look;

static struct {
    _Atomic uint32_t existence;
    _Atomic uint64_t failed_ns; /* when a thread could not be made last; 0: never */

    /* what others tell it */
    _Atomic uint32_t bell; /* it sleeps here */
    _Atomic bool dozes;    /* it need not be woken before */
    _Atomic bool heard;    /* somebody has waited since the last look */
    _Atomic uint32_t deaths[DEATHS];

    gp_helper helper; /* its owner's */

    /* the thread's */
    uint64_t seed;
    uint64_t leave_ns; /* not before */
    uint64_t next_ns;  /* when to look ... */
    uint64_t mean_ns;  /* ... after a time that is as long on average */
    uint64_t busy_until_ns, cost_ns, spent_ns;
    unsigned idle_looks;

    /* of whoever looks, who has the lock: nobody waits for anything else with it */
    uint32_t generation; /* of the main GIL's watching: before it nobody told which code objects went */
    gp_looked seen;
    gp_buffer description;
    level known[KNOWN];
    uint64_t tasks[TASKS_SLOTS]; /* hashes of those names; 0: none */
    size_t task_count;
    recent_look recent[RECENT];
    uint32_t recent_count;
} looker;

static pthread_mutex_t looking = PTHREAD_MUTEX_INITIALIZER;
static gp_places *const looked = &gp_tracer.looked; /* under the same lock */

/* ---- levels ---- */

static _Atomic uint32_t *deaths_of(const void *code)
{
    return &looker.deaths[gp_mix((uintptr_t)code) & (DEATHS - 1)];
}

void gp_looker_forget_code(const void *code)
{
    /* release: who describes the object that comes next at this address sees the new number */
    atomic_fetch_add_explicit(deaths_of(code), 1, memory_order_release);
}

uint32_t gp_looker_deaths(const void *code)
{
    /* between two watchings nobody told which code objects went */
    return atomic_load_explicit(deaths_of(code), memory_order_acquire) + looker.generation * WATCHING;
}

/* What is known of the level now; NULL if it can't be read, or there is no memory. */
static const level *meet(gp_site_key key)
{
    level *entry =
        &looker.known[gp_mix((uintptr_t)key.code + (uint32_t)key.instruction * GP_GOLDEN) & (KNOWN - 1)];
    uint32_t deaths = gp_looker_deaths(key.code);
    if (gp_site_same(entry->key, key) && entry->deaths == deaths)
        return entry;
    gp_buffer_clear(&looker.description);
    *entry = (level){.key = {NULL, 0}};
    if (!gp_tracer.host->looker_eyes->describe(key, &looker.description, &entry->stands_for_caller))
        return NULL;
    entry->site = gp_places_described(looked, &looker.description);
    if (entry->site == GP_ROW_NONE)
        return NULL;
    entry->key = key;
    entry->deaths = deaths;
    return entry;
}

/* A place that is known by few bytes. */
static uint32_t describe(gp_place_kind kind, const char *name)
{
    gp_buffer *text = &looker.description;
    gp_buffer_clear(text);
    gp_buffer_number(text, kind);
    if (kind == GP_PLACE_PYTHON)
        gp_buffer_number(text, 0);
    if (kind == GP_PLACE_PYTHON || kind == GP_PLACE_TASK)
        gp_buffer_string(text, name, strlen(name));
    if (kind == GP_PLACE_PYTHON)
        gp_buffer_string(text, "", 0);
    return gp_places_described(looked, text);
}

/* ---- tasks ---- */

static void forget_tasks(void)
{
    memset(looker.tasks, 0, sizeof looker.tasks);
    looker.task_count = 0;
    for (size_t i = 0; i < RECENT; i++)
        atomic_store(&looker.recent[i].time, 0);
}

static uint64_t hash_of(const char *name)
{
    uint64_t hash = 0;
    for (; *name != '\0'; name++)
        hash = gp_mix(hash ^ (uint8_t)*name) + GP_GOLDEN;
    return hash | 1;
}

/* Whether a name is one of those that places may have: programs may make new ones without end. */
static bool is_admitted(const char *name)
{
    uint64_t hash = hash_of(name);
    size_t at = hash & (TASKS_SLOTS - 1);
    while (looker.tasks[at] != 0 && looker.tasks[at] != hash)
        at = (at + 1) & (TASKS_SLOTS - 1);
    if (looker.tasks[at] == 0 && looker.task_count == TASKS_MAX)
        return false;
    looker.task_count += looker.tasks[at] == 0;
    looker.tasks[at] = hash;
    return true;
}

/* The place that stands above the level that an event loop called. */
static uint32_t task_of(const gp_looked *seen)
{
    return describe(GP_PLACE_TASK, is_admitted(seen->task) ? seen->task : "(other tasks)");
}

/* ---- places ---- */

/* The innermost level that stands for itself; the innermost one if none does. GP_ROW_NONE: not all could be
 * described. */
static uint32_t own_site(const gp_looked *seen, size_t *number)
{
    uint32_t innermost = GP_ROW_NONE;
    *number = 0;
    for (size_t i = 0; i < seen->depth; i++) {
        const level *at = meet(seen->keys[i]);
        if (at == NULL)
            return GP_ROW_NONE;
        if (!at->stands_for_caller) {
            *number = i;
            return at->site;
        }
        innermost = i == 0 ? at->site : innermost;
    }
    return innermost;
}

/* That level, below the task and the level that the event loop called. */
static uint32_t site_of(const gp_looked *seen)
{
    size_t number;
    uint32_t site = own_site(seen, &number), place;
    if (seen->callback == 0 || site == GP_ROW_NONE)
        return site;
    const level *called = meet(seen->keys[seen->callback - 1]);
    if (called == NULL || (place = task_of(seen)) == GP_ROW_NONE)
        return GP_ROW_NONE;
    place = gp_places_called(looked, place, called->site);
    if (place == GP_ROW_NONE || number == seen->callback - 1)
        return place;
    return gp_places_called(looked, place, site);
}

static uint32_t stack_of(const gp_looked *seen)
{
    uint32_t place = seen->truncated ? describe(GP_PLACE_DEEPER, NULL) : GP_ROW_NONE;
    if (seen->truncated && place == GP_ROW_NONE)
        return GP_ROW_NONE;
    for (size_t i = seen->depth; i-- > 0;) {
        const level *at = meet(seen->keys[i]);
        if (at != NULL && i + 1 == seen->callback) {
            uint32_t task = task_of(seen);
            place = task != GP_ROW_NONE ? gp_places_called(looked, place, task) : GP_ROW_NONE;
            if (place == GP_ROW_NONE)
                return GP_ROW_NONE;
        }
        if (at == NULL || (place = gp_places_called(looked, place, at->site)) == GP_ROW_NONE)
            return GP_ROW_NONE;
    }
    return place;
}

/* Below the level that calls it. */
static uint32_t with_callee(uint32_t place, uint32_t callee)
{
    return place != GP_ROW_NONE ? gp_places_called(looked, place, callee) : GP_ROW_NONE;
}

/* False: not all of it could be described. */
static bool find_places(const gp_looked *seen, bool stacks, gp_look *look)
{
    look->site = look->stack = GP_NO_FRAME;
    if (seen->depth == 0)
        return true;
    look->site = site_of(seen);
    look->stack = stacks ? stack_of(seen) : look->site;
    if (seen->callee[0] != '\0') {
        uint32_t callee = describe(GP_PLACE_PYTHON, seen->callee);
        if (callee == GP_ROW_NONE)
            return false;
        look->site = with_callee(look->site, callee);
        look->stack = stacks ? with_callee(look->stack, callee) : look->site;
    }
    return look->site != GP_ROW_NONE && look->stack != GP_ROW_NONE;
}

/* ---- looking ---- */

/* One that begins now. With the lock. */
static gp_look begin_look(const gp_gil_state *gil, const void *cond)
{
    gp_tracer.host->looker_eyes->glance(cond);
    looker.generation = atomic_load(&gp_tracer.main_gil.state.generation);
    return (gp_look){.time = gp_clock_ticks(),
                     .generation = atomic_load(&gil->generation),
                     .stands_for = (uint32_t)(looker.mean_ns / GP_LOOK_UNIT_NS),
                     .site = GP_UNSEEN,
                     .stack = GP_UNSEEN};
}

/* It began with begin_look. With the lock. */
static void take_look(gp_look *look, const void *cond, bool stacks)
{
    gp_looked_at at = gp_tracer.host->looker_eyes->look(cond, &looker.seen);
    look->until = gp_clock_ticks();
    if (at == GP_LOOKED_FREE)
        look->site = look->stack = GP_LOOK_FREE;
    if (at != GP_LOOKED_AT_HOLDER)
        return;
    look->until = looker.seen.stays ? look->time : looker.seen.found;
    if (!find_places(&looker.seen, stacks, look))
        look->site = look->stack = GP_UNSEEN;
}

/* Who reads it meanwhile may find parts of two looks, which is rare and does little harm. Relaxed: the place
 * it names was published to whoever has its number. */
static void remember(const gp_look *look)
{
    recent_look *slot = &looker.recent[looker.recent_count++ & (RECENT - 1)];
    atomic_store_explicit(&slot->time, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->holder, looker.seen.holder, memory_order_relaxed);
    atomic_store_explicit(&slot->site, look->site, memory_order_relaxed);
    atomic_store_explicit(&slot->time, looker.seen.found, memory_order_release);
}

/* Where nobody keeps the books, since one thread holds for long, the looker does. */
static void keep_books(gp_gil *gil)
{
    gp_gil_lock(gil);
    if (gp_gil_state_running(&gil->state))
        gp_trace_parts_catch_up(gil);
    gp_gil_unlock(gil);
}

/* Returns whether anybody had the GIL. */
static bool look_at(gp_gil *gil)
{
    const void *cond = __atomic_load_n(&gil->locks.cond, __ATOMIC_ACQUIRE);
    if (cond == NULL || gil->state.wanting_looks == 0)
        return false;
    /* without room the books are far behind, which they are not after this */
    if (gp_looks_unread(&gil->state.looks) >= GP_LOOKS_MAX / 2)
        keep_books(gil);
    pthread_mutex_lock(&looking);
    gp_look look = begin_look(&gil->state, cond);
    bool begun = gp_looks_begin(&gil->state.looks, &look);
    take_look(&look, cond, gil->state.wanting_stacks != 0);
    if (gil == &gp_tracer.main_gil && look.site < GP_LOOK_FREE)
        remember(&look);
    pthread_mutex_unlock(&looking);
    if (begun)
        gp_looks_end(&gil->state.looks, &look);
    return look.site != GP_LOOK_FREE;
}

static void look_at_all(void)
{
    uint32_t others = __atomic_load_n(&gp_tracer.other_count, __ATOMIC_ACQUIRE);
    bool held = look_at(&gp_tracer.main_gil);
    for (uint32_t i = 0; i < others; i++)
        held |= look_at(&gp_tracer.other_gils[i]);
    looker.idle_looks = held ? 0 : looker.idle_looks + 1;
}

/* Of a callee's place it is the function. */
static void tell_level(const gp_place_name *name, gp_looker_tell *tell, void *context)
{
    gp_cursor text = gp_cursor_over(name->text, name->size);
    if (gp_cursor_number(&text) != GP_PLACE_PYTHON)
        return;
    uint64_t line = gp_cursor_number(&text);
    gp_text function = gp_cursor_string(&text), file = gp_cursor_string(&text);
    tell(context, function, file, line);
}

gp_look gp_looker_see(const gp_gil_state *gil, const void *cond, gp_looker_tell *tell, void *context)
{
    gp_look look = {.site = GP_UNSEEN, .stack = GP_UNSEEN};
    const bool sees = gp_tracer.host != NULL && gp_tracer.host->looker_eyes != NULL;
    pthread_mutex_lock(&looking);
    for (int i = 0; i < TRIES && look.site == GP_UNSEEN && sees; i++) {
        look = begin_look(gil, cond);
        take_look(&look, cond, true);
    }
    if (look.site == GP_LOOK_FREE)
        look.site = look.stack = GP_UNSEEN;
    uint32_t place = look.stack;
    for (; tell != NULL && place < looked->count; place = gp_places_at(looked, place)->parent)
        tell_level(gp_places_at(looked, place), tell, context);
    pthread_mutex_unlock(&looking);
    return look;
}

bool gp_looker_is_free(void)
{
    bool is = pthread_mutex_trylock(&looking) == 0;
    if (is)
        pthread_mutex_unlock(&looking);
    return is;
}

/* ---- when ---- */

static uint64_t next_number(void)
{
    return gp_mix(looker.seed += GP_GOLDEN); /* splitmix64 */
}

/* An exponentially distributed time, by comparisons of uniform numbers alone: J. von Neumann, "Various
 * techniques used in connection with random digits", 1951. */
static uint64_t random_gap(uint64_t mean_ns)
{
    for (uint64_t whole = 0;; whole++) {
        uint64_t first = next_number(), last = first, next;
        unsigned falling = 1;
        for (; (next = next_number()) < last; last = next)
            falling++;
        if (falling % 2 == 1)
            return whole * mean_ns + (uint64_t)((unsigned __int128)first * mean_ns >> 64);
    }
}

static uint64_t longer(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t mean_gap(uint64_t now)
{
    if (atomic_exchange_explicit(&looker.heard, false, memory_order_relaxed))
        looker.busy_until_ns = now + busy_for_ns;
    if (now < looker.busy_until_ns)
        return longer(busy_ns, SHARE * looker.cost_ns);
    return longer(looker.idle_looks < IDLE_LOOKS ? alone_ns : idle_ns, SHARE_ALONE * looker.cost_ns);
}

/* What the thread has used since the last look is what that has cost, with all around it. */
static void learn_cost(void)
{
    uint64_t spent = gp_clock_thread_cpu_ns(), cost = spent - looker.spent_ns;
    looker.spent_ns = spent;
    looker.cost_ns += cost / COSTS - looker.cost_ns / COSTS;
}

/* Choose when to look next, by what is known now. */
static void choose_next(void)
{
    uint64_t now = gp_clock_monotonic_ns();
    looker.mean_ns = mean_gap(now);
    looker.next_ns = now + random_gap(looker.mean_ns);
    atomic_store(&looker.dozes, looker.mean_ns > busy_ns && now >= looker.busy_until_ns);
}

/* Sleep until the next look, but not for long. Returns whether it is time for that. */
static bool nap(void)
{
    uint64_t now = gp_clock_monotonic_ns(), left = looker.next_ns - now;
    uint32_t rung = RUNG;
    if (now >= looker.next_ns)
        return true;
    gp_futex_wait(&looker.bell, SILENT, left < nap_ns ? left : nap_ns);
    /* a look at once would be in step with the wait */
    if (atomic_compare_exchange_strong(&looker.bell, &rung, SILENT))
        choose_next();
    return false;
}

/* A process of one thread may do what others may not (unshare(2)): whoever waits next brings the looker back.
 */
static bool leave(void)
{
    uint32_t runs = RUNS;
    uint64_t now = gp_clock_monotonic_ns();
    if (now < looker.leave_ns)
        return false;
    looker.leave_ns = now + life_ns; /* to ask costs as much as a part of a look */
    if (!gp_helpers_seem_alone() || !atomic_compare_exchange_strong(&looker.existence, &runs, LEAVES))
        return false;
    bool left = gp_helper_leave(&looker.helper);
    atomic_store(&looker.existence, left ? NONE : RUNS);
    return left;
}

static void run(void *context)
{
    (void)context;
    looker.leave_ns = gp_clock_monotonic_ns() + life_ns;
    looker.spent_ns = gp_clock_thread_cpu_ns();
    looker.seed ^= gp_clock_ticks();
    choose_next();
    while (atomic_load(&looker.bell) != HALT) {
        if (leave())
            return;
        if (!nap())
            continue;
        look_at_all();
        learn_cost();
        choose_next();
    }
    atomic_store(&looker.bell, SILENT); /* for the time after a pause */
}

static void halt(void *context)
{
    (void)context;
    atomic_store(&looker.bell, HALT);
    gp_futex_wake(&looker.bell);
}

static void forked(void *context)
{
    (void)context;
    gp_tracer.host->looker_eyes->forked();
}

/* ---- where a callback of an event loop was ---- */

/* Find the sites at which a thread was seen from `start` on. */
static uint32_t find_recent(const void *holder, uint64_t start, uint64_t ticks, uint32_t sites[RECENT])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < RECENT; i++) {
        const recent_look *look = &looker.recent[i];
        uint64_t time = atomic_load_explicit(&look->time, memory_order_acquire);
        if (time >= start && time - start <= ticks &&
            atomic_load_explicit(&look->holder, memory_order_relaxed) == holder)
            sites[count++] = atomic_load_explicit(&look->site, memory_order_relaxed);
    }
    return count;
}

static uint32_t most_frequent(const uint32_t *sites, uint32_t count, uint32_t *times)
{
    uint32_t found = 0;
    *times = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t same = 0;
        for (uint32_t j = 0; j < count; j++)
            same += sites[j] == sites[i];
        if (same > *times) {
            *times = same;
            found = sites[i];
        }
    }
    return found;
}

static void copy(char *to, size_t room, gp_text text)
{
    size_t size = text.size < room ? text.size : room - 1;
    memcpy(to, text.bytes, size);
    to[size] = '\0';
    gp_utf8_repair(to);
}

/* Write the names of a place; those of its caller, if it is a callee. */
static void tell_place(uint32_t number, gp_callback *callback)
{
    const gp_place_name *name = gp_places_at(looked, number);
    gp_cursor cursor = gp_cursor_over(name->text, name->size);
    if (gp_cursor_number(&cursor) != GP_PLACE_PYTHON)
        return;
    callback->where.line = (uint32_t)gp_cursor_number(&cursor);
    gp_text function = gp_cursor_string(&cursor), file = gp_cursor_string(&cursor);
    if (file.size == 0 && callback->where.line == 0 && name->parent != GP_ROW_NONE) {
        copy(callback->callee, sizeof callback->callee, function);
        tell_place(name->parent, callback);
        return;
    }
    copy(callback->where.function, sizeof callback->where.function, function);
    copy(callback->where.file, sizeof callback->where.file, file);
}

void gp_looker_tell_callback(gp_callback *callback, const void *thread_state)
{
    uint32_t sites[RECENT];
    callback->looks = find_recent(thread_state, callback->start, callback->ticks, sites);
    if (callback->looks == 0)
        return;
    uint32_t site = most_frequent(sites, callback->looks, &callback->seen);
    tell_place(site, callback);
}

/* ---- its beginning and end ---- */

static bool is_wanted(void)
{
    return gp_tracer.main_gil.state.wanting_looks != 0;
}

/* A recording knows its places also if nobody looks at random times for it. */
static bool is_known_to_somebody(void)
{
    return gp_gil_state_running(&gp_tracer.main_gil.state);
}

bool gp_looker_hear_of_wait(void)
{
    if (atomic_load_explicit(&looker.existence, memory_order_relaxed) == NONE) {
        uint64_t failed = atomic_load_explicit(&looker.failed_ns, memory_order_relaxed);
        return failed != 0 && gp_clock_monotonic_ns() - failed < try_again_ns;
    }
    atomic_store_explicit(&looker.heard, true, memory_order_relaxed);
    uint32_t silent = SILENT;
    if (atomic_load(&looker.dozes) && atomic_exchange(&looker.dozes, false) &&
        atomic_compare_exchange_strong(&looker.bell, &silent, RUNG))
        gp_futex_wake(&looker.bell);
    return true;
}

bool gp_looker_is_left(void)
{
    return (!is_wanted() && atomic_load(&looker.existence) != NONE) ||
           (!is_known_to_somebody() && __atomic_load_n(&looked->count, __ATOMIC_RELAXED) != 0);
}

void gp_looker_begin(void)
{
    int saved = errno;
    uint32_t none = NONE;
    if (!atomic_compare_exchange_strong(&looker.existence, &none, BEGINS))
        return;
    looker.helper = (gp_helper){
        .context = &looker, .run = run, .halt = halt, .forked = forked, .name = "gilprobe-looker"};
    atomic_store(&looker.bell, SILENT);
    atomic_store(&looker.heard, true);
    int error = gp_helper_start_at_once(&looker.helper);
    atomic_store(&looker.failed_ns, error == 0 || error == EBUSY ? 0 : gp_clock_monotonic_ns());
    atomic_store(&looker.existence, error == 0 ? RUNS : NONE);
    gp_looker_end(); /* if the last session has ended meanwhile */
    errno = saved;
}

/* If no session knows its places any more, the next looker begins with none. */
static void forget_all(void)
{
    gp_gil_lock(&gp_tracer.main_gil); /* no session begins meanwhile */
    pthread_mutex_lock(&looking);
    if (!is_known_to_somebody()) {
        gp_places_clear(looked);
        memset(looker.known, 0, sizeof looker.known);
        forget_tasks();
        gp_buffer_free(&looker.description);
    }
    pthread_mutex_unlock(&looking);
    gp_gil_unlock(&gp_tracer.main_gil);
}

/* Returns what it was before; ENDS if it can't be ended, since it begins, or others do it. */
static existence end_existence(void)
{
    for (;;) {
        uint32_t was = atomic_load(&looker.existence);
        bool ends = was == RUNS || was == NONE;
        if (ends && atomic_compare_exchange_strong(&looker.existence, &was, ENDS))
            return was;
        if (!ends && was != LEAVES)
            return ENDS;
        sched_yield();
    }
}

void gp_looker_end(void)
{
    existence was = is_wanted() ? ENDS : end_existence();
    if (was == ENDS)
        return;
    if (was == RUNS)
        gp_helper_stop(&looker.helper);
    forget_all();
    atomic_store(&looker.existence, NONE);
}

void gp_looker_forked(void)
{
    /* the fork may have come while the looker was writing: nothing of this is whole, nor can it be given back
     */
    pthread_mutex_init(&looking, NULL);
    *looked = (gp_places){0};
    looker.description = (gp_buffer){0};
    memset(looker.known, 0, sizeof looker.known);
    forget_tasks();
    for (gp_session *session = gp_tracer.main_gil.state.sessions; session != NULL; session = session->next)
        gp_session_forget_looked(session);
    gp_looks_discard(&gp_tracer.main_gil.state.looks);
    looker.busy_until_ns = 0;
    atomic_store(&looker.dozes, false);
    atomic_store(&looker.bell, SILENT);
    atomic_store(&looker.existence, NONE);
}
