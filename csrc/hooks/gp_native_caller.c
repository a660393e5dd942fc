#define _GNU_SOURCE
#include "hooks/gp_native_caller.h"

#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/gp_hash.h"
#include "base/gp_safe_read.h"
#include "base/gp_utf8.h"
#include "hooks/gp_unwind.h"

enum {
    DEPTH = 16,            /* frames looked at */
    FUNCTIONS_TRIED = 4,   /* of the native code, from the innermost, for one that has a name */
    PATHS = 64,            /* of which it is known where they lead; further ones are not followed */
    SYMBOLS_MAX = 1 << 15, /* of one object, that are looked through */
    AT_ONCE = 64,          /* of them */
    ENTRIES_MAX = 256,     /* of a dynamic section */
    SYMBOL_ROOM = 100,     /* bytes of names, with their terminators */
    OBJECT_ROOM = 64,
};

/* Two of them that were loaded to one place, one after the other, differ. */
typedef struct {
    uintptr_t low; /* address; 0: none */
    uint64_t path; /* a hash of it */
} identity;

/* Return addresses, innermost first, as in gp_callers_path. */
typedef struct {
    uint32_t depth, number;
    identity object; /* the one that is named */
    struct {
        ptrdiff_t offset;
        uintptr_t address;
    } levels[DEPTH];
} known_path;

typedef struct {
    identity is;
    uintptr_t high; /* the end of its extent */
    uintptr_t base;
    const ElfW(Dyn) * dynamic;
    const uint8_t *unwind_header;
    char name[OBJECT_ROOM];
} object;

static gp_unwind_tables interpreter, own;
static known_path paths[PATHS];
static uint32_t path_count;

/* ---- objects ---- */

#if defined(__GLIBC__)
/* struct dl_find_object of <dlfcn.h>, glibc 2.35; weak, so that older ones are served too */
typedef struct {
    unsigned long long flags;
    void *low, *high;
    struct link_map *map;
    void *unwind_header;
    unsigned long long reserved[7];
} found_object;

extern int find_object(void *address, found_object *found) __asm__("_dl_find_object") __attribute__((weak));

static bool find(uintptr_t address, found_object *found)
{
    return &find_object != NULL && find_object((void *)address, found) == 0;
}

static identity identify(const found_object *found)
{
    identity is = {.low = (uintptr_t)found->low};
    for (const char *path = found->map->l_name; *path != '\0'; path++)
        is.path = gp_mix(is.path ^ (uint8_t)*path);
    return is;
}

/* The calling thread will return to `address`: the object stays. */
static bool object_at(uintptr_t address, object *of)
{
    found_object found;
    if (!find(address, &found))
        return false;
    const char *path = found.map->l_name;
    if (path[0] == '\0') /* the program itself */
        path = (const char *)getauxval(AT_EXECFN);
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    *of = (object){
        .is = identify(&found),
        .high = (uintptr_t)found.high,
        .base = found.map->l_addr,
        .dynamic = found.map->l_ld,
        .unwind_header = found.unwind_header,
    };
    snprintf(of->name, sizeof of->name, "%s", slash != NULL ? slash + 1 : path != NULL ? path : "");
    return of->name[0] != '\0';
}

static identity identity_at(uintptr_t address)
{
    found_object found;
    return find(address, &found) ? identify(&found) : (identity){0};
}
#else
static bool object_at(uintptr_t address, object *of)
{
    (void)address, (void)of;
    return false;
}

static identity identity_at(uintptr_t address)
{
    (void)address;
    return (identity){0};
}
#endif

static bool begins_with(const object *of, const char *text)
{
    return strncmp(of->name, text, strlen(text)) == 0;
}

/* What stands between native code and Python. */
static bool is_in_between(const object *of)
{
    return begins_with(of, "_ctypes.") || begins_with(of, "_cffi_backend.") || begins_with(of, "libffi.");
}

/* It only begins threads. */
static bool is_c_library(const object *of)
{
    return begins_with(of, "libc.so.") || begins_with(of, "libpthread.so.") ||
           begins_with(of, "libasan.so.") || begins_with(of, "libtsan.so.");
}

/* ---- functions ---- */

typedef struct {
    uintptr_t symbols, strings;
    uint32_t count;
} symbol_table;

/* glibc relocates the pointers of a dynamic section in place, where it can write to it. */
static uintptr_t pointer_in(const object *of, uintptr_t value)
{
    return value >= of->is.low && value < of->high ? value : of->base + value;
}

/* See "DT_GNU_HASH" in the Linux Standard Base's mailing lists: buckets have the first symbol of each chain,
 * of which the last one ends all; its entry is odd. */
static uint32_t count_hashed(uintptr_t table)
{
    uint32_t head[4], last = 0, some[AT_ONCE];
    if (!gp_safe_read_once((const void *)table, head, sizeof head))
        return 0;
    uint32_t buckets = head[0], first = head[1];
    uintptr_t at = table + sizeof head + (uintptr_t)head[2] * sizeof(uintptr_t);
    for (uint32_t i = 0; i < buckets && i < SYMBOLS_MAX; i += AT_ONCE) {
        uint32_t count = buckets - i < AT_ONCE ? buckets - i : AT_ONCE;
        if (!gp_safe_read_once((const void *)(at + i * sizeof *some), some, count * sizeof *some))
            return 0;
        for (uint32_t j = 0; j < count; j++)
            last = some[j] > last ? some[j] : last;
    }
    if (last < first)
        return 0;
    for (at += (uintptr_t)buckets * sizeof *some;; last++) {
        if (last >= SYMBOLS_MAX ||
            !gp_safe_read_once((const void *)(at + (uintptr_t)(last - first) * sizeof *some), some,
                               sizeof *some))
            return 0;
        if ((some[0] & 1) != 0)
            return last + 1;
    }
}

static bool find_symbols(const object *of, symbol_table *table)
{
    ElfW(Dyn) entry = {.d_tag = !DT_NULL};
    *table = (symbol_table){0};
    for (int i = 0; i < ENTRIES_MAX && entry.d_tag != DT_NULL; i++) {
        if (!gp_safe_read_once(of->dynamic + i, &entry, sizeof entry))
            return false;
        uintptr_t value = pointer_in(of, entry.d_un.d_ptr);
        if (entry.d_tag == DT_SYMTAB)
            table->symbols = value;
        else if (entry.d_tag == DT_STRTAB)
            table->strings = value;
        else if (entry.d_tag == DT_GNU_HASH)
            table->count = count_hashed(value);
    }
    return table->symbols != 0 && table->strings != 0;
}

static bool contains(const object *of, const ElfW(Sym) * symbol, uintptr_t address)
{
    uintptr_t start = of->base + symbol->st_value;
    return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF && address >= start &&
           address - start < symbol->st_size;
}

static bool read_name(uintptr_t from, char name[SYMBOL_ROOM])
{
    size_t size = 0;
    for (; size < SYMBOL_ROOM - 1; size++)
        if (!gp_safe_read_once((const void *)(from + size), &name[size], 1))
            return false;
        else if (name[size] == '\0')
            return true;
    name[size] = '\0';
    return true;
}

/* The exported function of the object that contains `address`. */
static bool function_at(const object *of, uintptr_t address, char name[SYMBOL_ROOM], uintptr_t *start)
{
    symbol_table table;
    ElfW(Sym) some[AT_ONCE];
    if (!find_symbols(of, &table))
        return false;
    for (uint32_t i = 0; i < table.count; i += AT_ONCE) {
        uint32_t count = table.count - i < AT_ONCE ? table.count - i : AT_ONCE;
        if (!gp_safe_read_once((const void *)(table.symbols + i * sizeof *some), some, count * sizeof *some))
            return false;
        for (uint32_t j = 0; j < count; j++)
            if (contains(of, &some[j], address)) {
                *start = of->base + some[j].st_value;
                return read_name(table.strings + some[j].st_name, name);
            }
    }
    return false;
}

/* Whether it is others who have called the interpreter, at the function that begins at `entered`. Its own
 * threads begin in the C library, with a function that is not exported; its main one comes from the program.
 */
static bool is_called_by_others(uintptr_t entered, const object *caller)
{
    object of;
    char name[SYMBOL_ROOM];
    uintptr_t start;
    bool exported = object_at(entered, &of) && function_at(&of, entered, name, &start) && start == entered;
    bool begins = exported && (strcmp(name, "Py_BytesMain") == 0 || strcmp(name, "Py_Main") == 0 ||
                               strcmp(name, "Py_RunMain") == 0);
    return !begins && (exported || !is_c_library(caller));
}

/* ---- paths ---- */

/* False: there is no more room, or the address does not stand where it is expected. */
static bool remember(known_path *path, const char *frame, const gp_unwind_frame *at)
{
    uintptr_t place = at->cfa - sizeof(uintptr_t);
    if (path->depth == DEPTH || *(const uintptr_t *)place != at->address)
        return false;
    path->levels[path->depth].offset = (const char *)place - frame;
    path->levels[path->depth].address = at->address;
    path->depth++;
    return true;
}

/* The wrapper's call of ours stands in between, where the compiler has left it one. */
static bool leave_wrapper(known_path *path, const char *frame, gp_unwind_frame *at)
{
    gp_unwind_enter(&own, at);
    if (at->start == 0 || !remember(path, frame, at) || !gp_unwind_step(&own, at))
        return false;
    gp_unwind_enter(&interpreter, at);
    return at->start != 0;
}

/* From a function of the interpreter to the code that called the outermost one of them, which is `entered`.
 */
static bool leave_interpreter(known_path *path, const char *frame, gp_unwind_frame *at, uintptr_t *entered)
{
    *entered = 0;
    *at = gp_unwind_begin(&interpreter, frame);
    if (at->start == 0 && !leave_wrapper(path, frame, at))
        return false;
    while (remember(path, frame, at)) {
        if (at->start == 0)
            return *entered != 0;
        *entered = at->start;
        if (!gp_unwind_step(&interpreter, at))
            return false;
    }
    return false;
}

/* To the caller of a function of the object. */
static bool step_in(known_path *path, const char *frame, gp_unwind_frame *at, const object *of)
{
    gp_unwind_tables tables;
    if (gp_unwind_open(of->unwind_header, &tables) != GP_OK)
        return false;
    gp_unwind_enter(&tables, at);
    return at->start != 0 && gp_unwind_step(&tables, at) && remember(path, frame, at);
}

/* Find the object to name, and its innermost function with a name: "" if none is near. */
static void search(known_path *path, const char *frame, gp_unwind_frame at, object *named,
                   char function[SYMBOL_ROOM])
{
    object of = *named, next;
    uintptr_t start;
    for (int tried = 0; tried < FUNCTIONS_TRIED;) {
        bool in_between = is_in_between(&of);
        tried += !in_between;
        if (!in_between && function_at(&of, at.address - 1, function, &start))
            return;
        if (!step_in(path, frame, &at, &of) || !object_at(at.address - 1, &next))
            break;
        bool same = next.is.low == of.is.low;
        if (!same && (!in_between || is_c_library(&next)))
            break;
        of = next;
        if (!same)
            *named = next;
    }
    function[0] = '\0';
}

static uint32_t follow(known_path *path, const char *frame, uint32_t (*number_of)(const char *name),
                       uint32_t none)
{
    gp_unwind_frame at;
    object of;
    char function[SYMBOL_ROOM], name[SYMBOL_ROOM + OBJECT_ROOM + 20];
    uintptr_t entered;
    if (!leave_interpreter(path, frame, &at, &entered) || !object_at(at.address - 1, &of) ||
        !is_called_by_others(entered, &of))
        return none;
    search(path, frame, at, &of, function);
    path->object = of.is;
    if (function[0] != '\0')
        snprintf(name, sizeof name, "%s (%s)", function, of.name);
    else
        snprintf(name, sizeof name, "(native code of %s)", of.name);
    gp_utf8_repair(name);
    return number_of(name);
}

static bool came_by(const known_path *path, const char *frame)
{
    for (uint32_t level = 0; level < path->depth; level++)
        if (*(const uintptr_t *)(frame + path->levels[level].offset) != path->levels[level].address)
            return false;
    return true;
}

static bool is_still_there(const known_path *path)
{
    identity now = path->object.low != 0 ? identity_at(path->object.low) : path->object;
    return now.low == path->object.low && now.path == path->object.path;
}

void gp_native_caller_prepare(const void *code)
{
    (void)gp_unwind_find(code, &interpreter); /* without tables nothing is named */
    (void)gp_unwind_find((const void *)gp_native_caller, &own);
}

uint32_t gp_native_caller(const char *frame, uint32_t (*number_of)(const char *name), uint32_t none)
{
    uint32_t at = 0;
    int saved = errno;
    if (interpreter.count == 0)
        return none;
    while (at < path_count && !came_by(&paths[at], frame))
        at++;
    if (at < path_count && is_still_there(&paths[at]))
        return paths[at].number;
    if (at == PATHS)
        return none;
    paths[at] = (known_path){.depth = 0};
    paths[at].number = follow(&paths[at], frame, number_of, none);
    path_count += at == path_count && paths[at].depth != 0;
    errno = saved;
    return paths[at].number;
}
