#ifndef INTERPRETER_H
#define INTERPRETER_H

/* What the tests of csrc/trace have in common: a tracer's host that is made of interpreter_object.h, and the
 * reading of what was booked. The tracer's state is the process's: each promise is tested in a process of its
 * own (in_child). The linker has the core call what is called __wrap_ here (tests/c/CMakeLists.txt). */

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/gp_memory.h"
#include "gp_test.h"
#include "interpreter_object.h"
#include "recording/gp_reader.h"
#include "trace/gp_tracer.h"

/* ---- a system that refuses ---- */

void *__real_gp_memory_map(size_t size);
void *__wrap_gp_memory_map(size_t size);
int __real_mprotect(void *start, size_t size, int protection);
int __wrap_mprotect(void *start, size_t size, int protection);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static atomic_long maps_left = LONG_MAX; /* so many times there is memory */
static atomic_bool pages_stay;           /* no page becomes writable */
static _Thread_local bool in_wrappers;   /* the thread runs what the interpreter calls */
static atomic_ulong mallocs_in_wrappers;
static _Thread_local void (*at_next_map)(void); /* called once, when the thread asks for memory */

static inline void call_once(void (**what)(void))
{
    void (*call)(void) = *what;
    *what = NULL;
    if (call != NULL)
        call();
}

void *__wrap_gp_memory_map(size_t size)
{
    call_once(&at_next_map);
    return atomic_fetch_sub(&maps_left, 1) > 0 ? __real_gp_memory_map(size) : NULL;
}

int __wrap_mprotect(void *start, size_t size, int protection)
{
    if (!atomic_load(&pages_stay))
        return __real_mprotect(start, size, protection);
    errno = EACCES;
    return -1;
}

void *__wrap_malloc(size_t size)
{
    atomic_fetch_add(&mallocs_in_wrappers, in_wrappers);
    return __real_malloc(size);
}

/* ---- the host ---- */

enum { CODES = 4 };

typedef struct {
    const char *_Atomic name; /* of the function; the line is the instruction */
} code_object;

static code_object codes[CODES];
static _Thread_local gp_site_key keys_here[3]; /* where the calling thread is, from the innermost level */
static _Thread_local size_t depth_here;

static bool gil_is_off;
static atomic_bool nobody_knows_who_lives;
static void (*code_gone)(const void *code);

static inline interpreter *main_interpreter(void)
{
    return interpreter_at(0);
}

static inline void cycle_gil(void)
{
    if (gil_is_off)
        return;
    interpreter_let_go(main_interpreter());
    interpreter_take_gil(main_interpreter());
}

static inline uint32_t identify(const void *mutex, const void *main_mutex)
{
    ptrdiff_t distance = (const char *)mutex - (const char *)main_mutex;
    return ((interpreter *)((char *)main_interpreter() + distance))->id;
}

static inline size_t living(uint32_t *identifiers, size_t room)
{
    size_t count = 0;
    for (size_t place = 0; place < INTERPRETERS && !nobody_knows_who_lives; place++) {
        if (!interpreter_at(place)->lives)
            continue;
        if (count == room)
            return 0;
        identifiers[count++] = interpreter_at(place)->id;
    }
    return count;
}

static inline gp_site_key here(void)
{
    return depth_here != 0 ? keys_here[0] : (gp_site_key){NULL, 0};
}

static inline const void *instruction(const void *state)
{
    gp_site_key key = here();
    return state != NULL && key.code != NULL ? (const char *)key.code + key.instruction : NULL;
}

static inline const void *const *last_holder(const void *cond)
{
    (void)cond;
    return NULL;
}

static inline const int *taken(const void *cond)
{
    (void)cond;
    return (const int *)&main_interpreter()->gil.locked;
}

/* Nothing is remembered: each time it is walked. */
static inline uint32_t recognise(gp_paths *paths, const void *state)
{
    (void)paths;
    (void)state;
    return GP_ROW_NONE;
}

static inline gp_walked walk(const gp_paths *paths, gp_path_frame *frames, gp_site_key *keys)
{
    (void)paths;
    for (size_t i = 0; i < depth_here; i++)
        frames[i] = (gp_path_frame){&keys_here[i], NULL, (uint32_t)i};
    frames[depth_here] = (gp_path_frame){GP_PATH_END, NULL, GP_ROW_NONE};
    memcpy(keys, keys_here, depth_here * sizeof *keys);
    return (gp_walked){.count = depth_here, .fresh = depth_here + 1};
}

static inline void describe(gp_site_key key, gp_buffer *buffer)
{
    const char *name = ((const code_object *)key.code)->name;
    gp_buffer_number(buffer, (uint64_t)key.instruction);
    gp_buffer_string(buffer, name, strlen(name));
    gp_buffer_string(buffer, "app.py", 6);
}

static inline void watch_code(void (*gone)(const void *code))
{
    code_gone = gone;
}

static gp_tracer_host host = {
    .cycle_gil = cycle_gil,
    .identify = identify,
    .living = living,
    .instruction = instruction,
    .last_holder = last_holder,
    .taken = taken,
    .here = here,
    .recognise = recognise,
    .walk = walk,
    .describe = describe,
    .watch_code = watch_code,
};

/* Begin the main interpreter: the calling thread is one that has not got its GIL yet. */
static inline void begin_interpreter(void)
{
    interpreter_begin(0, 0);
    host.voluntary = interpreter_voluntary();
    host.forced = interpreter_forced();
    host.interpreter = host.voluntary[0];
}

/* And prepare the tracer; then the thread has the GIL. */
static inline void begin_prepared(void)
{
    begin_interpreter();
    gp_tracer_prepare(&host);
    interpreter_take_gil(main_interpreter());
}

static inline gp_session *start(gp_tracer_wishes wishes)
{
    gp_session *session = NULL;
    const char *reason = "";
    CHECK_EQUAL(gp_tracer_start(&host, &wishes, &session, &reason), GP_OK);
    if (session == NULL) {
        fprintf(stderr, "%s\n", reason);
        exit(1);
    }
    return session;
}

static const gp_call_stack no_stack;

static inline void stop(gp_session *session)
{
    gp_tracer_stop(session, &no_stack);
}

static inline void be_at(size_t code, int32_t line)
{
    keys_here[0] = (gp_site_key){&codes[code], line};
    depth_here = 1;
}

/* ---- threads that use a GIL ---- */

typedef struct {
    interpreter *of;
    unsigned cycles;
    pthread_t thread;
    _Atomic int64_t native_id;
    uint64_t acquisitions, forced; /* what there was to see */
} worker;

static inline int64_t own_number(void)
{
    return (int64_t)syscall(SYS_gettid);
}

static inline void cycle(worker *self)
{
    errno = 4711;
    in_wrappers = true;
    interpreter_take_gil(self->of);
    self->acquisitions++;
    for (int turn = 0; turn < 4; turn++) {
        bool gave_way = interpreter_give_way(self->of);
        self->forced += gave_way;
        self->acquisitions += gave_way;
    }
    interpreter_let_go(self->of);
    in_wrappers = false;
    CHECK_EQUAL(errno, 4711);
}

static inline void *work(void *context)
{
    worker *self = context;
    self->native_id = own_number();
    for (unsigned i = 0; i < self->cycles; i++)
        cycle(self);
    return NULL;
}

static inline void begin_work(worker *self, interpreter *of, unsigned cycles)
{
    *self = (worker){.of = of, .cycles = cycles};
    CHECK_EQUAL(pthread_create(&self->thread, NULL, work, self), 0);
}

/* Without the GIL. */
static inline void end_work(worker *self)
{
    CHECK_EQUAL(pthread_join(self->thread, NULL), 0);
}

/* One thread takes a GIL so often, and is gone. The calling one may have the main GIL. */
static inline worker use(interpreter *of, unsigned cycles)
{
    worker one;
    begin_work(&one, of, cycles);
    end_work(&one);
    return one;
}

/* ---- what was booked ---- */

enum { READING_ROWS = 256 };

typedef struct {
    gp_totals_row totals;
    size_t count, place_count;
    gp_account_row rows[READING_ROWS];
    uint64_t held_ns;
    uint64_t releases_at[READING_ROWS]; /* by place */
    char names[READING_ROWS][16];       /* of places, as far as they are of Python */
} reading;

static inline void read_rows(reading *read, gp_cursor *cursor)
{
    gp_read_totals(cursor, &read->totals);
    read->count = (size_t)gp_cursor_rows(cursor, GP_ROW_ACCOUNT);
    CHECK(read->count <= READING_ROWS);
    for (size_t i = 0; i < read->count && i < READING_ROWS; i++) {
        gp_read_account(cursor, &read->totals, &read->rows[i]);
        read->held_ns += read->rows[i].hold_ns;
        for (int histogram = 0; histogram < 2; histogram++) {
            uint32_t index = GP_NOWHERE;
            uint64_t number;
            for (uint64_t left = gp_cursor_rows(cursor, GP_ROW_BUCKET); left > 0; left--)
                gp_read_bucket(cursor, &index, &number);
        }
    }
    gp_site_row site = {.place = GP_NOWHERE};
    for (uint64_t left = gp_cursor_rows(cursor, GP_ROW_SITE); left > 0; left--) {
        gp_read_site(cursor, &read->totals, &site);
        if (site.place < READING_ROWS)
            read->releases_at[site.place] = site.releases;
    }
    CHECK(cursor->wrong == NULL);
}

static inline void read_places(reading *read, const gp_buffer *places)
{
    gp_cursor cursor = gp_cursor_over(places->bytes, places->size);
    for (; !gp_cursor_at_end(&cursor); read->place_count++) {
        gp_place_row row;
        gp_read_place(&cursor, (uint32_t)read->place_count, &row);
        if (read->place_count < READING_ROWS && row.kind == GP_PLACE_PYTHON && row.function.size < 16)
            memcpy(read->names[read->place_count], row.function.bytes, row.function.size);
    }
    CHECK(cursor.wrong == NULL);
}

static inline reading read_part(gp_session *session, size_t part)
{
    reading read = {.count = 0};
    gp_buffer places = {0}, snapshot = {0};
    gp_call_stack at = {.keys = keys_here, .depth = depth_here};
    CHECK_EQUAL(gp_tracer_read(session, part, &at, &places, &snapshot), GP_OK);
    gp_cursor cursor = gp_cursor_over(snapshot.bytes, snapshot.size);
    read_rows(&read, &cursor);
    read_places(&read, &places);
    gp_buffer_free(&places);
    gp_buffer_free(&snapshot);
    return read;
}

/* What must hold of any reading: times add up, and nothing lasts longer than the session. */
static inline void check_possible(const reading *read)
{
    CHECK(read->held_ns <= read->totals.elapsed_ns);
    CHECK(read->totals.contended_ns <= read->held_ns + read->count); /* each is rounded down */
    CHECK_EQUAL(read->totals.lost, 0);
    for (size_t i = 0; i < read->count && i < READING_ROWS; i++) {
        CHECK_EQUAL(read->rows[i].imbalance_ticks, 0);
        CHECK(read->rows[i].first_ns + read->rows[i].lifetime_ns <= read->totals.elapsed_ns);
    }
}

/* The thread's row; one of zeros if it has none. */
static inline gp_account_row row_of(const reading *read, int64_t native_id)
{
    for (size_t i = 0; i < read->count && i < READING_ROWS; i++)
        if (read->rows[i].native_id == native_id)
            return read->rows[i];
    return (gp_account_row){.native_id = -1};
}

static inline void check_counted(const reading *read, const worker *one)
{
    gp_account_row row = row_of(read, one->native_id);
    CHECK_EQUAL(row.acquisitions, one->acquisitions);
    CHECK_EQUAL(row.releases, one->acquisitions);
    CHECK_EQUAL(row.forced_releases, one->forced);
}

static inline uint64_t releases_of(const reading *read, const char *name)
{
    uint64_t releases = 0;
    for (size_t i = 0; i < read->place_count && i < READING_ROWS; i++)
        if (strcmp(read->names[i], name) == 0)
            releases += read->releases_at[i];
    return releases;
}

/* ---- processes ---- */

static inline void check_exit(pid_t child)
{
    int status = -1;
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    CHECK_EQUAL(status, 0);
}

static inline void in_child(const char *name, void (*test)(void))
{
    int before = atomic_load(&gp_test_failures);
    pid_t child = fork();
    if (child == 0) {
        atomic_store(&gp_test_failures, 0);
        test();
        _exit(gp_test_status());
    }
    check_exit(child);
    if (atomic_load(&gp_test_failures) != before)
        fprintf(stderr, "in %s\n", name);
}

#define IN_CHILD(test) in_child(#test, test)

#endif
