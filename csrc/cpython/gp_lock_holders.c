#include "cpython/gp_frames_layout.h"

#include "cpython/gp_lock_holders.h"

#include <string.h>

#include "base/gp_safe_read.h"

/* How a dict keeps its entries, the same in 3.11 to 3.15 (Include/internal/pycore_dict.h, which 3.12 can't
 * include beside Python.h). */
typedef struct {
    Py_ssize_t refcount;
    uint8_t log2_size, log2_index_bytes, kind;
#if defined(Py_GIL_DISABLED)
    uint8_t mutex;
#endif
    uint32_t version;
    Py_ssize_t usable, entry_count;
    char indices[];
} keys_head;

typedef struct {
    const void *key, *value;
} short_entry;

typedef struct {
    Py_hash_t hash;
    const void *key, *value;
} long_entry;

/* Values that are not with their keys, as from an object's attributes. */
typedef struct {
#if PY_VERSION_HEX >= 0x030D0000
    uint8_t capacity, size, embedded, valid;
#endif
    const void *values[1];
} values_head;

#if PY_VERSION_HEX >= 0x030D0000
#define Py_BUILD_CORE 1
#include <internal/pycore_dict.h>
#undef Py_BUILD_CORE
_Static_assert(offsetof(keys_head, entry_count) == offsetof(struct _dictkeysobject, dk_nentries) &&
                   offsetof(keys_head, kind) == offsetof(struct _dictkeysobject, dk_kind) &&
                   offsetof(keys_head, indices) == offsetof(struct _dictkeysobject, dk_indices) &&
                   offsetof(short_entry, value) == offsetof(PyDictUnicodeEntry, me_value) &&
                   offsetof(long_entry, value) == offsetof(PyDictKeyEntry, me_value) &&
                   offsetof(values_head, values) == offsetof(PyDictValues, values) &&
                   (int)DICT_KEYS_GENERAL == 0,
               "pycore_dict.h");
#endif

/* Where an object's dict is, from the object (MANAGED_DICT_OFFSET in pycore_object.h). */
#if defined(Py_GIL_DISABLED)
#define DICT_AT (-(ptrdiff_t)sizeof(void *))
#else
#define DICT_AT (-3 * (ptrdiff_t)sizeof(void *))
#endif

enum {
    READS_MAX = 400,   /* of memory of others, each some hundred nanoseconds */
    ENTRIES_MAX = 512, /* of a dict */
    PIECE = 32,        /* entries read at once */
    BEGIN = 320,       /* bytes of an object in which it may point to its lock */
    PART_MAX = 48,     /* bytes of one name */
    FRAMES_UP = 3, /* frames whose variables are looked at: the one that waits, and those that called it */
};

/* What is looked for, and how far. */
typedef struct {
    uintptr_t object, lock;
    int reads;
    gp_lock_holder *holder;
} search;

static bool fetch(search *in, const void *from, void *to, size_t size)
{
    return in->reads-- > 0 && gp_safe_read_once(from, to, size);
}

/* ---- text ---- */

static void append(char *text, const char *more)
{
    size_t used = strlen(text), room = GP_LOCK_HOLDER_MAX - 1 - used, size = strlen(more);
    size = size < room ? size : room;
    memcpy(text + used, more, size);
    text[used + size] = '\0';
}

/* Names of variables are mostly ASCII; of others there is none. */
static bool read_string(search *in, const void *from, char text[PART_MAX])
{
    PyASCIIObject copy;
    if (from == NULL || !fetch(in, from, &copy, sizeof copy) || Py_TYPE(&copy) != &PyUnicode_Type ||
        !copy.state.compact || !copy.state.ascii || copy.length <= 0)
        return false;
    size_t size = copy.length < PART_MAX ? (size_t)copy.length : PART_MAX - 1;
    memset(text, 0, PART_MAX);
    return fetch(in, (const char *)from + sizeof copy, text, size);
}

static bool read_type_name(search *in, const void *of, char text[PART_MAX])
{
    const PyTypeObject *type;
    const char *name;
    char bytes[PART_MAX] = "";
    if (!fetch(in, (const char *)of + offsetof(PyObject, ob_type), &type, sizeof type) ||
        !fetch(in, (const char *)type + offsetof(PyTypeObject, tp_name), &name, sizeof name) ||
        !fetch(in, name, bytes, PART_MAX - 1))
        return false;
    const char *dot = strrchr(bytes, '.');
    strcpy(text, dot != NULL ? dot + 1 : bytes);
    return true;
}

/* ---- whether it is this one ---- */

/* Types of which the program has many objects, none of them with a lock on the heap. */
static bool has_no_lock(const void *type)
{
    const void *const types[] = {&PyUnicode_Type, &PyLong_Type,     &PyBool_Type, &PyFloat_Type,
                                 &PyBytes_Type,   &PyTuple_Type,    &PyList_Type, &PyDict_Type,
                                 &PySet_Type,     &PyFunction_Type, &PyType_Type, &PyCFunction_Type,
                                 &PyModule_Type,  &PyMethod_Type,   &PyCell_Type, &PyFrozenSet_Type};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i] == type)
            return true;
    return type == Py_TYPE(Py_None);
}

/* Within its own size: what lies behind it is another object. */
static bool points_to(search *in, const void *from, uintptr_t lock)
{
    uintptr_t words[BEGIN / sizeof(uintptr_t)];
    const char *type;
    Py_ssize_t size;
    if ((uintptr_t)from % sizeof(void *) != 0 ||
        !fetch(in, (const char *)from + offsetof(PyObject, ob_type), &type, sizeof type) ||
        has_no_lock(type) || !fetch(in, type + offsetof(PyTypeObject, tp_basicsize), &size, sizeof size) ||
        size <= (Py_ssize_t)sizeof(PyObject))
        return false;
    size_t begin = size < BEGIN ? (size_t)size : BEGIN;
    if (!fetch(in, from, words, begin))
        return false;
    for (size_t i = sizeof(PyObject) / sizeof *words; i < begin / sizeof *words; i++)
        if (words[i] == lock)
            return true;
    return false;
}

static bool is_it(search *in, const void *what)
{
    if (what == NULL)
        return false;
    bool found = in->object != 0 ? (uintptr_t)what == in->object : points_to(in, what, in->lock);
    if (found)
        in->holder->object = (uintptr_t)what;
    return found;
}

/* ---- dicts and attributes ---- */

/* The name of the entry whose value it is. */
typedef struct {
    keys_head head;
    const char *entries;
    size_t count, size; /* of an entry */
    size_t key_at, value_at;
} keys_copy;

static bool read_keys(search *in, const void *keys, keys_copy *copy)
{
    if (keys == NULL || !fetch(in, keys, &copy->head, sizeof copy->head) || copy->head.entry_count < 0 ||
        copy->head.log2_index_bytes > 32)
        return false;
    bool general = copy->head.kind == 0;
    copy->entries =
        (const char *)keys + offsetof(keys_head, indices) + ((size_t)1 << copy->head.log2_index_bytes);
    copy->count = copy->head.entry_count < ENTRIES_MAX ? (size_t)copy->head.entry_count : ENTRIES_MAX;
    copy->size = general ? sizeof(long_entry) : sizeof(short_entry);
    copy->key_at = general ? offsetof(long_entry, key) : offsetof(short_entry, key);
    copy->value_at = general ? offsetof(long_entry, value) : offsetof(short_entry, value);
    return true;
}

/* Called with each key and value of a dict. True ends it. */
typedef bool visit(search *in, const void *key, const void *value, void *context);

static const void *word_at(const char *bytes)
{
    const void *word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* `values`: where they are if not with the keys; NULL. */
static bool visit_keys(search *in, const void *keys, const char *values, visit *called, void *context)
{
    keys_copy copy;
    char bytes[PIECE * sizeof(long_entry)];
    const void *others[PIECE];
    if (!read_keys(in, keys, &copy))
        return false;
    for (size_t first = 0; first < copy.count; first += PIECE) {
        size_t count = copy.count - first < PIECE ? copy.count - first : PIECE;
        if (!fetch(in, copy.entries + first * copy.size, bytes, count * copy.size) ||
            (values != NULL && !fetch(in, values + first * sizeof *others, others, count * sizeof *others)))
            return false;
        for (size_t i = 0; i < count; i++) {
            const char *entry = bytes + i * copy.size;
            const void *value = values != NULL ? others[i] : word_at(entry + copy.value_at);
            if (value != NULL && called(in, word_at(entry + copy.key_at), value, context))
                return true;
        }
    }
    return false;
}

static bool visit_dict(search *in, const void *dict, visit *called, void *context)
{
    PyDictObject copy;
    if (dict == NULL || !fetch(in, dict, &copy, sizeof copy) ||
        (Py_TYPE(&copy) != &PyDict_Type && copy.ma_keys == NULL))
        return false;
    const char *values =
        copy.ma_values != NULL ? (const char *)copy.ma_values + offsetof(values_head, values) : NULL;
    return visit_keys(in, copy.ma_keys, values, called, context);
}

/* What is read of an object's type. */
typedef struct {
    unsigned long flags;
    Py_ssize_t basic_size, dict_offset;
    const void *cached_keys;
} shape;

static bool read_shape(search *in, const void *of, shape *is)
{
    const char *type;
    if ((uintptr_t)of % sizeof(void *) != 0 ||
        !fetch(in, (const char *)of + offsetof(PyObject, ob_type), &type, sizeof type) ||
        !fetch(in, type + offsetof(PyTypeObject, tp_flags), &is->flags, sizeof is->flags) ||
        (is->flags & (Py_TPFLAGS_READY | Py_TPFLAGS_HEAPTYPE)) != (Py_TPFLAGS_READY | Py_TPFLAGS_HEAPTYPE) ||
        (is->flags & Py_TPFLAGS_TYPE_SUBCLASS) != 0)
        return false;
    return fetch(in, type + offsetof(PyTypeObject, tp_basicsize), &is->basic_size, sizeof is->basic_size) &&
           fetch(in, type + offsetof(PyTypeObject, tp_dictoffset), &is->dict_offset,
                 sizeof is->dict_offset) &&
           fetch(in, type + offsetof(PyHeapTypeObject, ht_cached_keys), &is->cached_keys,
                 sizeof is->cached_keys);
}

#if PY_VERSION_HEX >= 0x030D0000

/* Attributes follow the object as long as no dict has been made of them (pycore_object.h). */
static bool visit_managed(search *in, const char *of, const shape *is, visit *called, void *context)
{
    const void *dict;
    if (fetch(in, of + DICT_AT, &dict, sizeof dict) && dict != NULL)
        return visit_dict(in, dict, called, context);
    if ((is->flags & Py_TPFLAGS_INLINE_VALUES) == 0)
        return false;
    return visit_keys(in, is->cached_keys, of + is->basic_size + offsetof(values_head, values), called,
                      context);
}

#elif PY_VERSION_HEX >= 0x030C0000

/* A dict, or, with the lowest bit set, the values (PyDictOrValues in pycore_object.h). */
static bool visit_managed(search *in, const char *of, const shape *is, visit *called, void *context)
{
    uintptr_t pointer;
    if (!fetch(in, of + DICT_AT, &pointer, sizeof pointer))
        return false;
    if ((pointer & 1) == 0)
        return visit_dict(in, (const void *)pointer, called, context);
    return visit_keys(in, is->cached_keys, (const char *)pointer + 1 + offsetof(values_head, values), called,
                      context);
}

#else

/* The values, or NULL and a dict (_PyObject_ValuesPointer in pycore_object.h). */
static bool visit_managed(search *in, const char *of, const shape *is, visit *called, void *context)
{
    const char *pointers[2];
    if (!fetch(in, of + DICT_AT - sizeof *pointers, pointers, sizeof pointers))
        return false;
    return pointers[0] != NULL
               ? visit_keys(in, is->cached_keys, pointers[0] + offsetof(values_head, values), called, context)
               : visit_dict(in, pointers[1], called, context);
}

#endif

static bool visit_attributes(search *in, const void *of, visit *called, void *context)
{
    shape is;
    const void *dict;
    if (!read_shape(in, of, &is))
        return false;
    if ((is.flags & Py_TPFLAGS_MANAGED_DICT) != 0)
        return visit_managed(in, of, &is, called, context);
    return is.dict_offset > 0 && fetch(in, (const char *)of + is.dict_offset, &dict, sizeof dict) &&
           visit_dict(in, dict, called, context);
}

/* ---- the search ---- */

/* A path to an object: what is in front of an attribute's name, and how many more attributes may follow. */
typedef struct {
    const char *before;
    const void *object;
    int more;
} path;

static bool visit_attribute(search *in, const void *key, const void *value, void *context)
{
    const path *from = context;
    char name[PART_MAX], whole[GP_LOCK_HOLDER_MAX] = "";
    bool found = is_it(in, value);
    if ((!found && from->more == 0) || !read_string(in, key, name))
        return false;
    append(whole, from->before);
    append(whole, ".");
    append(whole, name);
    if (found) {
        strcpy(in->holder->name, whole);
        if (read_type_name(in, from->object, name))
            append(in->holder->owner, name);
        return true;
    }
    path next = {whole, value, from->more - 1};
    return visit_attributes(in, value, visit_attribute, &next);
}

static bool is_variable(search *in, const char *name, const void *value, int more)
{
    path from = {name, value, more};
    if (is_it(in, value)) {
        append(in->holder->name, name);
        return true;
    }
    return more >= 0 && value != NULL && visit_attributes(in, value, visit_attribute, &from);
}

static const void *local_at(const gp_frame *frame, int i)
{
#if PY_VERSION_HEX >= 0x030E0000
    return (const void *)(frame->localsplus[i].bits & ~(uintptr_t)3);
#else
    return frame->localsplus[i];
#endif
}

/* What a cell holds, if it is one. */
static const void *in_cell(search *in, const void *value)
{
    PyCellObject copy;
    bool is_cell = value != NULL && fetch(in, value, &copy, sizeof copy) && Py_TYPE(&copy) == &PyCell_Type;
    return is_cell ? copy.ob_ref : value;
}

/* First the variables themselves, then their attributes. */
static bool find_local(search *in, const gp_frame *frame, const PyCodeObject *code, int more)
{
    for (int i = 0; i < code->co_nlocalsplus; i++) {
        PyObject *name = PyTuple_GET_ITEM(code->co_localsplusnames, i);
        const void *value = local_at(frame, i);
        if (value != NULL && (more >= 0 || in->object == 0 || (uintptr_t)value != in->object))
            value = in_cell(in, value);
        if (PyUnicode_IS_COMPACT_ASCII(name) &&
            is_variable(in, (const char *)PyUnicode_1BYTE_DATA(name), value, more))
            return true;
    }
    return false;
}

static bool visit_global(search *in, const void *key, const void *value, void *context)
{
    char name[PART_MAX];
    const int *more = context;
    if (*more < 0)
        return is_it(in, value) && read_string(in, key, name) && (append(in->holder->name, name), true);
    path from = {name, value, *more};
    return read_string(in, key, name) && visit_attributes(in, value, visit_attribute, &from);
}

static bool visit_module_name(search *in, const void *key, const void *value, void *context)
{
    char name[PART_MAX];
    if (!read_string(in, key, name) || strcmp(name, "__name__") != 0)
        return false;
    return read_string(in, value, context);
}

static bool find_global(search *in, const gp_frame *frame)
{
    int more = -1;
    char module[PART_MAX] = "";
    if (!visit_dict(in, frame->f_globals, visit_global, &more))
        return false;
    if (visit_dict(in, frame->f_globals, visit_module_name, module))
        append(in->holder->owner, module);
    return true;
}

static bool find_in_frame(search *in, const gp_frame *frame)
{
    const PyCodeObject *code = gp_frame_executable(frame);
    if (frame->owner >= GP_FRAMES_NOT_PYTHON || code == NULL || !PyCode_Check((PyObject *)code))
        return false;
    return find_local(in, frame, code, -1) || find_local(in, frame, code, 0) || find_global(in, frame) ||
           find_local(in, frame, code, 1);
}

bool gp_lock_holders_find(uintptr_t wanted, uintptr_t lock, const void *frame, gp_lock_holder *holder)
{
    search in = {.object = wanted, .lock = lock, .reads = READS_MAX, .holder = holder};
    const gp_frame *at = frame;
    for (int i = 0; i < FRAMES_UP && at != NULL && in.reads > 0; i++, at = at->previous)
        if (find_in_frame(&in, at))
            return true;
    *holder = (gp_lock_holder){.object = 0};
    return false;
}
