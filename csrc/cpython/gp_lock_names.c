#include <Python.h>

#include "cpython/gp_lock_names.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/gp_safe_read.h"
#include "cpython/gp_callee.h"
#include "cpython/gp_frames.h"
#include "cpython/gp_lock_holders.h"
#include "cpython/gp_lock_runtime.h"
#include "locks/gp_lock_trace.h"

enum {
    PAGE = 4096,   /* or a multiple of it */
    TYPE_MAX = 64, /* bytes of a type's name */
};

/* What is read of a type: up to its flags. */
typedef union {
    PyTypeObject type;
    char bytes[offsetof(PyTypeObject, tp_flags) + sizeof(unsigned long)];
} type_copy;

static bool read_flags(const void *type, unsigned long *flags)
{
    return (uintptr_t)type % sizeof(void *) == 0 &&
           gp_safe_read_once((const char *)type + offsetof(PyTypeObject, tp_flags), flags, sizeof *flags) &&
           (*flags & Py_TPFLAGS_READY) != 0;
}

/* Names of C are ASCII. */
static bool read_name(const char *from, char name[TYPE_MAX])
{
    size_t first = PAGE - (uintptr_t)from % PAGE;
    first = first < TYPE_MAX - 1 ? first : TYPE_MAX - 1;
    memset(name, 0, TYPE_MAX);
    if (!gp_safe_read_once(from, name, first))
        return false;
    if (memchr(name, '\0', first) == NULL &&
        !gp_safe_read_once(from + first, name + first, TYPE_MAX - 1 - first))
        return false;
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-<>[]$ ");
    return length != 0 && name[length] == '\0';
}

/* Whether there is an object at this address: its type must be a type, whose own type is one of types. */
static bool is_object(uintptr_t address, char name[TYPE_MAX])
{
    type_copy copy;
    const void *type;
    unsigned long flags;
    return address % sizeof(void *) == 0 && address > PAGE &&
           gp_safe_read_once((const char *)address + offsetof(PyObject, ob_type), &type, sizeof type) &&
           read_flags(type, &flags) && gp_safe_read_once(type, copy.bytes, sizeof copy.bytes) &&
           read_flags(Py_TYPE(&copy.type), &flags) && (flags & Py_TPFLAGS_TYPE_SUBCLASS) != 0 &&
           copy.type.tp_basicsize > 0 && read_name(copy.type.tp_name, name);
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

/* Objects that begin with their lock, right behind the head. */
static bool begins_with_lock(uintptr_t key, uintptr_t *object, char type[TYPE_MAX])
{
    static const char *const types[] = {"_thread.lock", "_thread.RLock", "_queue.SimpleQueue", NULL};
    *object = key - sizeof(PyObject);
    return is_object(*object, type) && is_one_of(type, types);
}

/* The lock that every object of a free-threaded build has in its head. */
static bool has_lock(uintptr_t key, uintptr_t *object, char type[TYPE_MAX])
{
#if defined(Py_GIL_DISABLED)
    *object = key - offsetof(PyObject, ob_mutex);
    return is_object(*object, type);
#else
    (void)key, (void)object, (void)type;
    return false;
#endif
}

static void append_string(gp_buffer *text, const char *string)
{
    gp_buffer_string(text, string, strlen(string));
}

/* A queue in C has a lock on which only those wait that want an item. */
static bool append_queue(gp_lock_what what, const char *type, gp_buffer *text)
{
    if (what != GP_LOCK_LOCK || strcmp(type, "_queue.SimpleQueue") != 0)
        return false;
    gp_buffer_number(text, GP_LOCK_PART);
    gp_buffer_number(text, GP_LOCK_WORK);
    append_string(text, "");
    append_string(text, "SimpleQueue.get");
    append_string(text, "");
    append_string(text, "");
    gp_buffer_number(text, 0);
    return true;
}

/* The address tells apart what has no name. */
static void append_object(gp_lock_what what, const char *type, uintptr_t object, const gp_lock_holder *holder,
                          gp_buffer *text)
{
    if (append_queue(what, type, text))
        return;
    const char *part = what == GP_LOCK_LOCK && holder->synchronizer ? "" : holder->part;
    bool has_part = holder->type[0] != '\0', has_name = holder->name[0] != '\0';
    if (has_part)
        gp_buffer_number(text, GP_LOCK_PART);
    gp_buffer_number(text, what);
    append_string(text, has_part ? holder->type : type);
    append_string(text, holder->name);
    append_string(text, holder->owner);
    if (has_part)
        append_string(text, part);
    gp_buffer_number(text, has_name || (has_part && part[0] != '\0') ? 0 : object);
}

/* The import system has a lock for each module that is imported. */
static bool append_imported(const gp_lock_holder *holder, gp_buffer *text)
{
    char name[sizeof holder->imported + 16];
    if (holder->imported[0] == '\0')
        return false;
    snprintf(name, sizeof name, "import of %s", holder->imported);
    gp_buffer_number(text, GP_LOCK_RUNTIME);
    append_string(text, name);
    return true;
}

static bool append_own(uintptr_t key, gp_buffer *text)
{
    const char *name = "";
    gp_lock_runtime_kind kind = gp_lock_runtime_find(key, &name);
    if (kind == GP_LOCK_NOT_OWN)
        return false;
    gp_buffer_number(text, kind == GP_LOCK_OWN ? GP_LOCK_RUNTIME : GP_LOCK_STOP);
    if (kind == GP_LOCK_OWN)
        append_string(text, name);
    return true;
}

static bool append_known(uintptr_t key, const void *frame, gp_buffer *text)
{
    char type[TYPE_MAX];
    uintptr_t object;
    gp_lock_holder holder = {.object = 0};
    bool is_lock = begins_with_lock(key, &object, type);
    if (!is_lock && !has_lock(key, &object, type))
        return false;
    gp_lock_holders_find(object, 0, frame, &holder);
    if (!append_imported(&holder, text))
        append_object(is_lock ? GP_LOCK_LOCK : GP_LOCK_OBJECT, type, object, &holder, text);
    return true;
}

/* A lock on the heap, to which some object points: which one only those tell that the program can reach. */
static bool append_pointed_at(uintptr_t key, const void *frame, gp_buffer *text)
{
    char type[TYPE_MAX] = "";
    gp_lock_holder holder = {.object = 0};
    if (!gp_lock_holders_find(0, key, frame, &holder))
        return false;
    if (append_imported(&holder, text))
        return true;
    if (!is_object(holder.object, type))
        return false;
    append_object(GP_LOCK_LOCK, type, holder.type[0] != '\0' ? holder.object : key, &holder, text);
    return true;
}

/* In 3.11 only a variable of C points to the import lock: a thread in the import system that waits for what
 * no object has waits for that. */
static bool append_import_lock(const void *frame, gp_buffer *text)
{
    if (PY_VERSION_HEX >= 0x030C0000 || frame == NULL || !gp_lock_holders_imports(frame))
        return false;
    gp_buffer_number(text, GP_LOCK_RUNTIME);
    append_string(text, "import lock");
    return true;
}

void gp_lock_names_append(uintptr_t key, bool parked, const void *frame, gp_buffer *text)
{
    bool own = parked || PY_VERSION_HEX < 0x030D0000;
    if ((own && append_own(key, text)) || (parked && append_known(key, frame, text)) ||
        append_pointed_at(key, frame, text) || append_import_lock(frame, text))
        return;
    gp_buffer_number(text, GP_LOCK_OTHER);
    gp_buffer_number(text, key);
}

static bool name_stop(char name[GP_CALLEE_MAX])
{
    gp_safe_reader reader;
    gp_safe_reader_open(&reader);
    bool named = gp_callee_read(&reader, gp_frames_thread_state(), name, GP_CALLEE_MAX);
    gp_safe_reader_close(&reader);
    return named;
}

void gp_lock_names_append_stop(gp_buffer *text)
{
    char name[GP_CALLEE_MAX] = "";
    bool named = name_stop(name), collects = strncmp(name, "garbage collection", 18) == 0;
    gp_buffer_number(text, named ? GP_LOCK_STOP_BY : GP_LOCK_STOP);
    if (named)
        append_string(text, collects ? "collector" : name);
}
