#define _GNU_SOURCE
#include "hooks/gp_hooks.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gp_test.h"

/* ---- the object, its hooks, and others who want the same slots ---- */

enum { CALLED, TAKEN, BOTH, FUNCTIONS };

typedef struct {
    void *handle;
    const char *path;
    int (*functions[FUNCTIONS])(void);
} loaded;

static gp_hook hooks[FUNCTIONS];
static void *next[FUNCTIONS];
static atomic_ulong wrapped[FUNCTIONS], interposed;
static int (*behind_interposer)(void), (*behind_upper)(void);

#define WRAPPER(name, function)                                                                              \
    static int name(void)                                                                                    \
    {                                                                                                        \
        atomic_fetch_add(&wrapped[function], 1);                                                             \
        return ((int (*)(void))__atomic_load_n(&next[function], __ATOMIC_RELAXED))();                        \
    }

WRAPPER(wrap_called, CALLED)
WRAPPER(wrap_taken, TAKEN)
WRAPPER(wrap_both, BOTH)

/* Who asks the loader waits for a lock. The linker has gp_hooks.c call this one (--wrap). */
static atomic_ulong walks;

int __real_dl_iterate_phdr(int (*look)(struct dl_phdr_info *, size_t, void *), void *data);
int __wrap_dl_iterate_phdr(int (*look)(struct dl_phdr_info *, size_t, void *), void *data);

int __wrap_dl_iterate_phdr(int (*look)(struct dl_phdr_info *, size_t, void *), void *data)
{
    atomic_fetch_add(&walks, 1);
    return __real_dl_iterate_phdr(look, data);
}

static int interposer(void)
{
    atomic_fetch_add(&interposed, 1);
    return behind_interposer();
}

static loaded load(const char *path)
{
    loaded made = {.handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL), .path = strrchr(path, '/')};
    static const char *const names[FUNCTIONS] = {"object_calls", "object_takes", "object_does_both"};
    if (made.handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    for (int i = 0; i < FUNCTIONS; i++)
        made.functions[i] = (int (*)(void))dlsym(made.handle, names[i]);
    hooks[CALLED] = (gp_hook){.name = "getppid", .wrapper = wrap_called, .library = getppid};
    hooks[TAKEN] = (gp_hook){.name = "getpgrp", .wrapper = wrap_taken, .library = getpgrp};
    hooks[BOTH] = (gp_hook){.name = "getuid", .wrapper = wrap_both, .library = getuid};
    for (int i = 0; i < FUNCTIONS; i++)
        next[i] = NULL, hooks[i].next = &next[i];
    CHECK_EQUAL(gp_hooks_find((const void *)made.functions[CALLED], hooks, FUNCTIONS), GP_OK);
    for (int i = 0; i < FUNCTIONS; i++) {
        CHECK(hooks[i].slot_count >= 1);
        atomic_store(&wrapped[i], 0);
    }
    atomic_store(&interposed, 0);
    return made;
}

static void call_all(const loaded *object)
{
    CHECK_EQUAL(object->functions[CALLED](), getppid());
    CHECK_EQUAL(object->functions[TAKEN](), getpgrp());
    CHECK_EQUAL(object->functions[BOTH](), (int)getuid());
}

static void check_wrapped(unsigned called, unsigned taken, unsigned both)
{
    CHECK_EQUAL(atomic_load(&wrapped[CALLED]), called);
    CHECK_EQUAL(atomic_load(&wrapped[TAKEN]), taken);
    CHECK_EQUAL(atomic_load(&wrapped[BOTH]), both);
}

/* What stands in all slots, one after the other. */
typedef struct {
    void *values[FUNCTIONS * GP_HOOK_SLOTS];
} slot_values;

static slot_values standing(void)
{
    slot_values read = {{NULL}};
    for (int i = 0; i < FUNCTIONS; i++)
        for (size_t n = 0; n < hooks[i].slot_count; n++)
            read.values[i * GP_HOOK_SLOTS + n] = *hooks[i].slots[n].address;
    return read;
}

static bool stands(const slot_values *expected)
{
    slot_values now = standing();
    return memcmp(&now, expected, sizeof now) == 0;
}

/* As another tool would do it. */
static void *put(const gp_slot *slot, void *value)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *start = (void *)((uintptr_t)slot->address & ~(page - 1)), *before = *slot->address;
    if (slot->relro)
        mprotect(start, page, PROT_READ | PROT_WRITE);
    *slot->address = value;
    if (slot->relro)
        mprotect(start, page, PROT_READ);
    return before;
}

/* ---- the promises, for either kind of binding ---- */

static void every_way_of_calling_is_redirected(const char *path)
{
    loaded object = load(path);
    CHECK_EQUAL(gp_hooks_install(hooks, FUNCTIONS, false), GP_OK);
    CHECK(gp_hooks_in_place(hooks, FUNCTIONS));
    call_all(&object);
    call_all(&object); /* the dynamic linker has not put the function back in the first call */
    check_wrapped(2, 2, 6);
    CHECK(gp_hooks_in_place(hooks, FUNCTIONS));
    gp_hooks_remove(hooks, FUNCTIONS);
    call_all(&object);
    check_wrapped(2, 2, 6);
    CHECK(!gp_hooks_buried(hooks, FUNCTIONS));
    dlclose(object.handle);
}

static void removal_puts_back_what_stood_in_the_slots(const char *path)
{
    loaded object = load(path);
    slot_values unbound = standing();
    gp_hooks_install(hooks, FUNCTIONS, false);
    call_all(&object);
    gp_hooks_remove(hooks, FUNCTIONS);
    CHECK(stands(&unbound));
    call_all(&object);
    slot_values bound = standing();
    gp_hooks_install(hooks, FUNCTIONS, false);
    CHECK(!stands(&bound));
    gp_hooks_remove(hooks, FUNCTIONS);
    CHECK(stands(&bound));
    gp_hooks_remove(hooks, FUNCTIONS);
    CHECK(stands(&bound));
    dlclose(object.handle);
}

static void a_second_installation_changes_nothing(const char *path)
{
    loaded object = load(path);
    slot_values before = standing();
    gp_hooks_install(hooks, FUNCTIONS, false);
    gp_hooks_install(hooks, FUNCTIONS, false);
    call_all(&object);
    check_wrapped(1, 1, 3);
    gp_hooks_remove(hooks, FUNCTIONS);
    CHECK(stands(&before));
    dlclose(object.handle);
}

/* The lines of /proc/self/maps that speak of the object. */
static void read_protections(const loaded *object, char *text, size_t size)
{
    char line[512];
    FILE *file = fopen("/proc/self/maps", "re");
    text[0] = '\0';
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strstr(line, object->path) != NULL && strlen(text) + strlen(line) < size)
            strcat(text, line);
    if (file != NULL)
        fclose(file);
}

static void pages_are_as_protected_as_before(const char *path)
{
    char before[4096], during[4096], after[4096];
    loaded object = load(path);
    read_protections(&object, before, sizeof before);
    CHECK(strstr(before, "rw-p") != NULL);
    gp_hooks_install(hooks, FUNCTIONS, false);
    read_protections(&object, during, sizeof during);
    gp_hooks_remove(hooks, FUNCTIONS);
    read_protections(&object, after, sizeof after);
    CHECK(strcmp(before, during) == 0);
    CHECK(strcmp(before, after) == 0);
    dlclose(object.handle);
}

static void an_interposer_that_was_there_first_is_called_behind_ours(const char *path)
{
    loaded object = load(path);
    behind_interposer = getppid;
    put(&hooks[CALLED].slots[0], interposer);
    slot_values before = standing();
    gp_hooks_install(hooks, FUNCTIONS, false);
    CHECK(next[CALLED] == interposer);
    call_all(&object);
    check_wrapped(1, 1, 3);
    CHECK_EQUAL(atomic_load(&interposed), 1);
    gp_hooks_remove(hooks, FUNCTIONS);
    CHECK(stands(&before));
    dlclose(object.handle);
}

/* Put an interposer on top of our wrapper, and take ours away below it. */
static loaded bury(const char *path, slot_values *before)
{
    loaded object = load(path);
    *before = standing();
    gp_hooks_install(hooks, FUNCTIONS, false);
    behind_interposer = (int (*)(void))put(&hooks[CALLED].slots[0], interposer);
    CHECK(!gp_hooks_in_place(hooks, FUNCTIONS));
    CHECK(!gp_hooks_buried(hooks, FUNCTIONS));
    gp_hooks_remove(hooks, FUNCTIONS);
    return object;
}

static void an_interposer_that_came_later_keeps_its_slot(const char *path)
{
    slot_values before;
    loaded object = bury(path, &before);
    CHECK(gp_hooks_buried(hooks, FUNCTIONS));
    CHECK(*hooks[CALLED].slots[0].address == (void *)interposer);
    call_all(&object);
    CHECK_EQUAL(atomic_load(&interposed), 1);
    check_wrapped(1, 0, 0); /* through the interposer, still */
    dlclose(object.handle);
}

static void a_buried_wrapper_that_is_still_called_gets_no_second_on_top(const char *path)
{
    slot_values before;
    loaded object = bury(path, &before);
    for (unsigned i = 1; i <= 3; i++) {
        CHECK_EQUAL(gp_hooks_install(hooks, FUNCTIONS, true), GP_OK);
        CHECK(*hooks[CALLED].slots[0].address == (void *)interposer);
        CHECK(gp_hooks_in_place(hooks, FUNCTIONS));
        call_all(&object);
        check_wrapped(i, i, 3 * i);
        CHECK_EQUAL(atomic_load(&interposed), i);
        gp_hooks_remove(hooks, FUNCTIONS);
        CHECK(gp_hooks_buried(hooks, FUNCTIONS));
    }
    dlclose(object.handle);
}

static void an_interposer_that_dropped_ours_is_hooked_again(const char *path)
{
    slot_values before;
    loaded object = bury(path, &before);
    behind_interposer = getppid;
    CHECK_EQUAL(gp_hooks_install(hooks, FUNCTIONS, false), GP_OK);
    CHECK(!gp_hooks_buried(hooks, FUNCTIONS));
    call_all(&object);
    check_wrapped(1, 1, 3);
    CHECK_EQUAL(atomic_load(&interposed), 1);
    gp_hooks_remove(hooks, FUNCTIONS);
    CHECK(*hooks[CALLED].slots[0].address == (void *)interposer);
    CHECK(!gp_hooks_buried(hooks, FUNCTIONS));
    dlclose(object.handle);
}

/* It puts back what it had found: our wrapper, although we are gone. */
static void a_wrapper_put_back_after_removal_goes_with_the_next(const char *path)
{
    slot_values before;
    loaded object = bury(path, &before);
    put(&hooks[CALLED].slots[0], (void *)behind_interposer);
    call_all(&object);
    check_wrapped(1, 0, 0);
    CHECK_EQUAL(gp_hooks_install(hooks, FUNCTIONS, true), GP_OK);
    CHECK(!gp_hooks_buried(hooks, FUNCTIONS));
    call_all(&object);
    check_wrapped(2, 1, 3);
    put(&hooks[CALLED].slots[0], interposer);
    CHECK(!gp_hooks_in_place(hooks, FUNCTIONS));
    put(&hooks[CALLED].slots[0], wrap_called);
    gp_hooks_remove(hooks, FUNCTIONS);
    CHECK(stands(&before));
    CHECK(!gp_hooks_buried(hooks, FUNCTIONS));
    dlclose(object.handle);
}

/* One that was there first, and is below our wrapper; one that came later, and puts back what it found. */
static int upper(void)
{
    return behind_upper();
}

static loaded be_between_two(const char *path)
{
    loaded object = load(path);
    behind_interposer = getppid;
    put(&hooks[CALLED].slots[0], interposer);
    gp_hooks_install(hooks, FUNCTIONS, false);
    behind_upper = (int (*)(void))put(&hooks[CALLED].slots[0], upper);
    call_all(&object);
    check_wrapped(1, 1, 3);
    CHECK_EQUAL(atomic_load(&interposed), 1);
    gp_hooks_remove(hooks, FUNCTIONS);
    return object;
}

static void a_wrapper_that_is_left_behind_calls_no_earlier_interposer(const char *path)
{
    loaded object = be_between_two(path);
    for (int i = 0; i < FUNCTIONS; i++)
        CHECK(next[i] == hooks[i].library);
    call_all(&object);
    check_wrapped(2, 1, 3);
    put(&hooks[CALLED].slots[0], (void *)behind_upper);
    call_all(&object);
    check_wrapped(3, 1, 3);
    CHECK_EQUAL(atomic_load(&interposed), 1);
    dlclose(object.handle);
}

static void an_interposer_of_an_earlier_time_is_not_put_back(const char *path)
{
    loaded object = be_between_two(path);
    put(&hooks[CALLED].slots[0], (void *)behind_upper);
    CHECK_EQUAL(gp_hooks_install(hooks, FUNCTIONS, false), GP_OK);
    call_all(&object);
    CHECK_EQUAL(atomic_load(&interposed), 1);
    gp_hooks_remove(hooks, FUNCTIONS);
    CHECK(*hooks[CALLED].slots[0].address == hooks[CALLED].library);
    CHECK(!gp_hooks_buried(hooks, FUNCTIONS));
    dlclose(object.handle);
}

static void a_second_removal_changes_nothing(const char *path)
{
    loaded object = load(path);
    behind_interposer = getppid;
    put(&hooks[CALLED].slots[0], interposer);
    gp_hooks_install(hooks, FUNCTIONS, false);
    gp_hooks_remove(hooks, FUNCTIONS);
    slot_values after = standing();
    gp_hooks_remove(hooks, FUNCTIONS);
    CHECK(stands(&after));
    CHECK(!gp_hooks_buried(hooks, FUNCTIONS));
    dlclose(object.handle);
}

static void only_finding_the_slots_asks_the_loader(const char *path)
{
    unsigned long before = atomic_load(&walks);
    loaded object = load(path);
    unsigned long found = atomic_load(&walks);
    CHECK(found > before);
    for (int i = 0; i < 2; i++) {
        gp_hooks_install(hooks, FUNCTIONS, false);
        gp_hooks_in_place(hooks, FUNCTIONS);
        call_all(&object);
        gp_hooks_remove(hooks, FUNCTIONS);
    }
    CHECK_EQUAL(atomic_load(&walks), found);
    dlclose(object.handle);
}

/* A page that can't be made writable: a shared mapping of a file that is open for reading only. */
static void a_failed_installation_leaves_everything_as_it_was(const char *path)
{
    loaded object = load(path);
    slot_values before = standing();
    int file = open(path, O_RDONLY | O_CLOEXEC);
    void *page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, file, 0);
    CHECK(page != MAP_FAILED);
    gp_hook *last = &hooks[FUNCTIONS - 1];
    size_t slots = last->slot_count;
    last->slots[last->slot_count++] = (gp_slot){.address = page, .relro = true};
    errno = 0;
    CHECK_EQUAL(gp_hooks_install(hooks, FUNCTIONS, false), GP_ESYSTEM);
    CHECK_EQUAL(errno, EACCES);
    last->slot_count = slots;
    CHECK(stands(&before));
    CHECK(!gp_hooks_buried(hooks, FUNCTIONS));
    call_all(&object);
    check_wrapped(0, 0, 0);
    munmap(page, (size_t)sysconf(_SC_PAGESIZE));
    close(file);
    dlclose(object.handle);
}

static atomic_bool calling;

static void *keep_calling(void *data)
{
    while (atomic_load(&calling))
        call_all(data);
    return NULL;
}

static void threads_may_call_while_hooks_come_and_go(const char *path)
{
    enum { THREADS = 3, CYCLES = 10000 };
    pthread_t threads[THREADS];
    loaded object = load(path);
    call_all(&object); /* binds: the dynamic linker's own write to a slot could overtake ours */
    slot_values before = standing();
    atomic_store(&calling, true);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, keep_calling, &object), 0);
    for (int i = 0; i < CYCLES; i++) {
        CHECK_EQUAL(gp_hooks_install(hooks, FUNCTIONS, false), GP_OK);
        gp_hooks_remove(hooks, FUNCTIONS);
    }
    atomic_store(&calling, false);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(stands(&before));
    CHECK(!gp_hooks_buried(hooks, FUNCTIONS));
    dlclose(object.handle);
}

static void an_unknown_symbol_has_no_slots(const char *path)
{
    loaded object = load(path);
    gp_hook unknown = {.name = "gp_no_such_function", .wrapper = wrap_called, .library = getppid};
    CHECK_EQUAL(gp_hooks_find((const void *)object.functions[CALLED], &unknown, 1), GP_OK);
    CHECK_EQUAL(unknown.slot_count, 0);
    CHECK_EQUAL(gp_hooks_install(&unknown, 1, false), GP_OK);
    CHECK(gp_hooks_in_place(&unknown, 1));
    gp_hooks_remove(&unknown, 1);
    call_all(&object);
    check_wrapped(0, 0, 0);
    dlclose(object.handle);
}

static void an_address_in_no_object_is_refused(void)
{
    gp_hook hook = {.name = "getppid", .wrapper = wrap_called, .library = getppid};
    void *nowhere = malloc(1);
    CHECK_EQUAL(gp_hooks_find(nowhere, &hook, 1), GP_EUNSUPPORTED);
    CHECK_EQUAL(hook.slot_count, 0);
    free(nowhere);
}

int main(void)
{
    const char *const paths[] = {HOOKED_LAZY, HOOKED_NOW};
    for (int i = 0; i < 2; i++) {
        every_way_of_calling_is_redirected(paths[i]);
        removal_puts_back_what_stood_in_the_slots(paths[i]);
        a_second_installation_changes_nothing(paths[i]);
        pages_are_as_protected_as_before(paths[i]);
        an_interposer_that_was_there_first_is_called_behind_ours(paths[i]);
        an_interposer_that_came_later_keeps_its_slot(paths[i]);
        a_buried_wrapper_that_is_still_called_gets_no_second_on_top(paths[i]);
        an_interposer_that_dropped_ours_is_hooked_again(paths[i]);
        a_wrapper_put_back_after_removal_goes_with_the_next(paths[i]);
        a_wrapper_that_is_left_behind_calls_no_earlier_interposer(paths[i]);
        an_interposer_of_an_earlier_time_is_not_put_back(paths[i]);
        a_second_removal_changes_nothing(paths[i]);
        only_finding_the_slots_asks_the_loader(paths[i]);
        a_failed_installation_leaves_everything_as_it_was(paths[i]);
        threads_may_call_while_hooks_come_and_go(paths[i]);
        an_unknown_symbol_has_no_slots(paths[i]);
    }
    an_address_in_no_object_is_refused();
    return gp_test_status();
}
