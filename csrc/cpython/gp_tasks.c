#include "cpython/gp_frames_layout.h"

#include "cpython/gp_tasks.h"

#include <string.h>

#include "cpython/gp_frames_read_safely.h"

#define Py_BUILD_CORE 1
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_tstate.h>
#else
#undef _PyGC_FINALIZED /* as in gp_callee.c */
#include <internal/pycore_dict.h>
#include <internal/pycore_interp.h>
#endif
#undef Py_BUILD_CORE

/* ---- the task ---- */

enum {
    /* of a TaskObj (Modules/_asynciomodule.c), up to the name, which follows the coroutine: 136 to 152 bytes
     * in 3.11 to 3.15, of 144 to 176 */
    TASK_WORDS = 19,
};

/* In 3.11 a task without a name of its own gets this text, later a number (task_get_name). */
static void leave_number_out(char *name)
{
    static const char given[] = "Task-";
    if (strncmp(name, given, sizeof given - 1) != 0)
        return;
    char *number = name + sizeof given - 1;
    if (number[strspn(number, "0123456789")] == '\0' && *number != '\0')
        strcpy(number, "N");
}

static void read_name(gp_safe_reader *reader, const void *object, char *name, size_t room)
{
    PyObject head;
    if (gp_safe_read(reader, object, &head, sizeof head) && Py_TYPE(&head) == &PyLong_Type)
        strcpy(name, "Task-N");
    else
        gp_frames_safe_string(reader, object, name, room);
    leave_number_out(name);
}

/* Which coroutine the task was made for; `count`: none of these, or this is no task. */
static size_t match(gp_safe_reader *reader, const void *task, const void *const *coroutines, size_t count,
                    char *name, size_t room)
{
    const void *words[TASK_WORDS];
    if (!gp_safe_read(reader, task, words, sizeof words))
        return count;
    for (size_t level = 0; level < count; level++)
        for (size_t word = sizeof(PyObject) / sizeof *words; word + 1 < TASK_WORDS; word++)
            if (coroutines[level] != NULL && words[word] == coroutines[level]) {
                read_name(reader, words[word + 1], name, room);
                return level;
            }
    return count;
}

/* ---- which task runs ---- */

#if PY_VERSION_HEX >= 0x030E0000

void gp_tasks_prepare(void)
{
}

/* Since 3.14 the thread state has it (enter_task in Modules/_asynciomodule.c). */
size_t gp_tasks_read(gp_safe_reader *reader, const void *thread_state, const void *const *coroutines,
                     size_t count, char *name, size_t room)
{
    const void *task = NULL;
    const char *place = (const char *)thread_state + offsetof(_PyThreadStateImpl, asyncio_running_task);
    if (!gp_safe_read(reader, place, &task, sizeof task) || task == NULL)
        return count;
    return match(reader, task, coroutines, count, name, room);
}

#else

/* Until 3.13 the module _asyncio has a dictionary of running tasks by their event loops. It is found through
 * sys.modules, by the names' objects: names in code are interned. */

enum {
    ENTRIES_READ = 256, /* of a dictionary, at once */
    MODULES_MAX = 1 << 16,
    RUNNING_MAX = 64,   /* entries for running tasks that are looked at; most are of tasks that ran before */
    LOOKS_BETWEEN = 64, /* searches for the module, of which one is made */
};

/* Once a trace has begun; the looker may run before. */
static const void *_Atomic module_name, *_Atomic attribute_name;

static struct {
    const void *interpreter, *running; /* its dictionary of running tasks */
    unsigned looks;                    /* since the last search */
} known;

void gp_tasks_prepare(void)
{
    if (module_name == NULL)
        module_name = PyUnicode_InternFromString("_asyncio");
    if (attribute_name == NULL)
        attribute_name = PyUnicode_InternFromString("_current_tasks");
    PyErr_Clear();
}

/* A dictionary's entries: words of each, and which of them are key and value. */
typedef struct {
    const char *entries;
    size_t count, words, key;
} gp_table;

static bool open_table(gp_safe_reader *reader, const void *dictionary, gp_table *table)
{
    PyDictObject dict;
    PyDictKeysObject keys;
    if (!gp_safe_read(reader, dictionary, &dict, sizeof dict) || Py_TYPE(&dict) != &PyDict_Type ||
        dict.ma_values != NULL || !gp_safe_read(reader, dict.ma_keys, &keys, sizeof keys) ||
        keys.dk_log2_index_bytes > 32 || keys.dk_nentries < 0)
        return false;
    bool general = keys.dk_kind == DICT_KEYS_GENERAL;
    table->entries = (const char *)dict.ma_keys + offsetof(PyDictKeysObject, dk_indices) +
                     ((size_t)1 << keys.dk_log2_index_bytes);
    table->count = (size_t)keys.dk_nentries < MODULES_MAX ? (size_t)keys.dk_nentries : MODULES_MAX;
    table->words = (general ? sizeof(PyDictKeyEntry) : sizeof(PyDictUnicodeEntry)) / sizeof(void *);
    table->key = general ? offsetof(PyDictKeyEntry, me_key) / sizeof(void *) : 0;
    return true;
}

/* The value of a key that is the same object; NULL: there is none. */
static const void *value_of(gp_safe_reader *reader, const void *dictionary, const void *key)
{
    const void *words[ENTRIES_READ * 3];
    gp_table table;
    if (key == NULL || !open_table(reader, dictionary, &table))
        return NULL;
    size_t size = table.words * sizeof(void *);
    for (size_t from = 0, read; from < table.count; from += read) {
        read = table.count - from < ENTRIES_READ ? table.count - from : ENTRIES_READ;
        if (!gp_safe_read(reader, table.entries + from * size, words, read * size))
            return NULL;
        for (size_t i = 0; i < read; i++)
            if (words[i * table.words + table.key] == key)
                return words[i * table.words + table.key + 1];
    }
    return NULL;
}

/* What a module's object begins with (moduleobject.h, internal/pycore_moduleobject.h). */
typedef struct {
    PyObject base;
    const void *dictionary;
} module_head;

static const void *find_running(gp_safe_reader *reader, const char *interpreter)
{
    const void *modules = NULL;
    module_head module;
#if PY_VERSION_HEX >= 0x030C0000
    const char *place = interpreter + offsetof(PyInterpreterState, imports.modules);
#else
    const char *place = interpreter + offsetof(PyInterpreterState, modules);
#endif
    if (!gp_safe_read(reader, place, &modules, sizeof modules))
        return NULL;
    const void *found = value_of(reader, modules, module_name);
    if (found == NULL || !gp_safe_read(reader, found, &module, sizeof module) ||
        Py_TYPE(&module.base) != &PyModule_Type)
        return NULL;
    return value_of(reader, module.dictionary, attribute_name);
}

/* The dictionary of running tasks of the thread's interpreter; NULL: not known. */
static const void *running_tasks(gp_safe_reader *reader, const void *thread_state)
{
    const char *place = (const char *)thread_state + offsetof(PyThreadState, interp), *interpreter;
    if (!gp_safe_read(reader, place, &interpreter, sizeof interpreter))
        return NULL;
    if (interpreter == known.interpreter && (known.running != NULL || ++known.looks < LOOKS_BETWEEN))
        return known.running;
    known.interpreter = interpreter;
    known.running = find_running(reader, interpreter);
    known.looks = 0;
    return known.running;
}

size_t gp_tasks_read(gp_safe_reader *reader, const void *thread_state, const void *const *coroutines,
                     size_t count, char *name, size_t room)
{
    const void *words[RUNNING_MAX * 3], *running = running_tasks(reader, thread_state);
    gp_table table;
    if (running == NULL)
        return count;
    if (!open_table(reader, running, &table)) {
        known.running = NULL; /* the module has gone */
        return count;
    }
    size_t entries = table.count < RUNNING_MAX ? table.count : RUNNING_MAX, level = count;
    if (!gp_safe_read(reader, table.entries, words, entries * table.words * sizeof(void *)))
        return count;
    for (size_t i = entries; i-- > 0 && level == count;) {
        const void *task = words[i * table.words + table.key + 1];
        if (task != NULL)
            level = match(reader, task, coroutines, count, name, room);
    }
    return level;
}

#endif
