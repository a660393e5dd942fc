#include <Python.h>

#include "cpython/gp_lock_objects.h"

#include <string.h>
#if PY_VERSION_HEX < 0x030C0000
#include <structmember.h>
#endif

#include "base/gp_safe_read.h"
#include "cpython/gp_dict_layout.h"

typedef struct {
    const void *key, *value;
} short_entry;

typedef struct {
    Py_hash_t hash;
    const void *key, *value;
} long_entry;

enum {
    ENTRIES_MAX = 512, /* of a dict */
    PIECE = 32,        /* entries read at once */
    ITEMS_MAX = 128,   /* of a list or tuple */
    SLOTS_MAX = 32,    /* words of an object in which attributes may be */
    BASES_MAX = 6,     /* types whose attributes are looked at */
};

bool gp_lock_fetch(gp_lock_reads *reads, const void *from, void *to, size_t size)
{
    return reads->left-- > 0 && gp_safe_read_once(from, to, size);
}

/* ---- text and types ---- */

bool gp_lock_read_string(gp_lock_reads *reads, const void *from, char text[GP_LOCK_PART_MAX])
{
    PyASCIIObject copy;
    if (from == NULL || !gp_lock_fetch(reads, from, &copy, sizeof copy) ||
        Py_TYPE(&copy) != &PyUnicode_Type || !copy.state.compact || !copy.state.ascii || copy.length <= 0)
        return false;
    size_t size = copy.length < GP_LOCK_PART_MAX ? (size_t)copy.length : GP_LOCK_PART_MAX - 1;
    memset(text, 0, GP_LOCK_PART_MAX);
    return gp_lock_fetch(reads, (const char *)from + sizeof copy, text, size);
}

bool gp_lock_read_type(gp_lock_reads *reads, const void *of, const void **type)
{
    return of != NULL && (uintptr_t)of % sizeof(void *) == 0 &&
           gp_lock_fetch(reads, (const char *)of + offsetof(PyObject, ob_type), type, sizeof *type);
}

static bool read_name_of(gp_lock_reads *reads, const void *type, char text[GP_LOCK_PART_MAX])
{
    const char *name;
    char bytes[GP_LOCK_PART_MAX] = "";
    if (!gp_lock_fetch(reads, (const char *)type + offsetof(PyTypeObject, tp_name), &name, sizeof name) ||
        !gp_lock_fetch(reads, name, bytes, GP_LOCK_PART_MAX - 1))
        return false;
    const char *dot = strrchr(bytes, '.');
    strcpy(text, dot != NULL ? dot + 1 : bytes);
    return text[0] != '\0';
}

bool gp_lock_read_type_name(gp_lock_reads *reads, const void *of, char text[GP_LOCK_PART_MAX])
{
    const void *type;
    return gp_lock_read_type(reads, of, &type) && read_name_of(reads, type == &PyType_Type ? of : type, text);
}

/* ---- dicts ---- */

typedef struct {
    gp_dict_keys head;
    const char *entries;
    size_t count, size; /* of an entry */
    size_t key_at, value_at;
} keys_copy;

static bool read_keys(gp_lock_reads *reads, const void *keys, keys_copy *copy)
{
    if (keys == NULL || !gp_lock_fetch(reads, keys, &copy->head, sizeof copy->head) ||
        copy->head.entry_count < 0 || copy->head.log2_index_bytes > 32)
        return false;
    bool general = copy->head.kind == 0;
    copy->entries =
        (const char *)keys + offsetof(gp_dict_keys, indices) + ((size_t)1 << copy->head.log2_index_bytes);
    copy->count = copy->head.entry_count < ENTRIES_MAX ? (size_t)copy->head.entry_count : ENTRIES_MAX;
    copy->size = general ? sizeof(long_entry) : sizeof(short_entry);
    copy->key_at = general ? offsetof(long_entry, key) : offsetof(short_entry, key);
    copy->value_at = general ? offsetof(long_entry, value) : offsetof(short_entry, value);
    return true;
}

static const void *word_at(const char *bytes)
{
    const void *word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* `values`: where they are if not with the keys; NULL. */
static bool visit_keys(gp_lock_reads *reads, const void *keys, const char *values, gp_lock_visit_key *visit,
                       void *context)
{
    keys_copy copy;
    char bytes[PIECE * sizeof(long_entry)];
    const void *others[PIECE];
    if (!read_keys(reads, keys, &copy))
        return false;
    for (size_t first = 0; first < copy.count; first += PIECE) {
        size_t count = copy.count - first < PIECE ? copy.count - first : PIECE;
        if (!gp_lock_fetch(reads, copy.entries + first * copy.size, bytes, count * copy.size) ||
            (values != NULL &&
             !gp_lock_fetch(reads, values + first * sizeof *others, others, count * sizeof *others)))
            return false;
        for (size_t i = 0; i < count; i++) {
            const char *entry = bytes + i * copy.size;
            const void *value = values != NULL ? others[i] : word_at(entry + copy.value_at);
            if (value != NULL && visit(context, word_at(entry + copy.key_at), value))
                return true;
        }
    }
    return false;
}

bool gp_lock_visit_dict(gp_lock_reads *reads, const void *dict, gp_lock_visit_key *visit, void *context)
{
    PyDictObject copy;
    if (dict == NULL || !gp_lock_fetch(reads, dict, &copy, sizeof copy) ||
        (Py_TYPE(&copy) != &PyDict_Type && copy.ma_keys == NULL))
        return false;
    const char *values =
        copy.ma_values != NULL ? (const char *)copy.ma_values + offsetof(gp_dict_values, values) : NULL;
    return visit_keys(reads, copy.ma_keys, values, visit, context);
}

/* An entry by its name. */
typedef struct {
    gp_lock_reads *reads;
    const char *name;
    const void *found;
} lookup;

static bool is_named(void *context, const void *key, const void *value)
{
    lookup *of = context;
    char name[GP_LOCK_PART_MAX];
    if (!gp_lock_read_string(of->reads, key, name) || strcmp(name, of->name) != 0)
        return false;
    of->found = value;
    return true;
}

/* ---- attributes ---- */

/* What is read of an object's type. */
typedef struct {
    const char *type;
    unsigned long flags;
    Py_ssize_t basic_size, dict_offset;
    const void *cached_keys, *mro;
} shape;

/* Of types that Python code made. */
static bool read_shape(gp_lock_reads *reads, const void *of, shape *is)
{
    const void *type;
    const unsigned long made = Py_TPFLAGS_READY | Py_TPFLAGS_HEAPTYPE;
    if (!gp_lock_read_type(reads, of, &type))
        return false;
    is->type = type;
    PyTypeObject copy;
    if (!gp_lock_fetch(reads, type, &copy, sizeof copy) || (copy.tp_flags & made) != made)
        return false;
    is->flags = copy.tp_flags;
    is->basic_size = copy.tp_basicsize;
    is->dict_offset = copy.tp_dictoffset;
    is->mro = copy.tp_mro;
    return gp_lock_fetch(reads, is->type + offsetof(PyHeapTypeObject, ht_cached_keys), &is->cached_keys,
                         sizeof is->cached_keys);
}

#if PY_VERSION_HEX >= 0x030D0000

/* Attributes follow the object as long as no dict has been made of them (pycore_object.h). */
static bool visit_managed(gp_lock_reads *reads, const char *of, const shape *is, gp_lock_visit_key *visit,
                          void *context)
{
    const void *dict;
    if (gp_lock_fetch(reads, of + GP_DICT_AT, &dict, sizeof dict) && dict != NULL)
        return gp_lock_visit_dict(reads, dict, visit, context);
    if ((is->flags & Py_TPFLAGS_INLINE_VALUES) == 0)
        return false;
    return visit_keys(reads, is->cached_keys, of + is->basic_size + offsetof(gp_dict_values, values), visit,
                      context);
}

#elif PY_VERSION_HEX >= 0x030C0000

/* A dict, or, with the lowest bit set, the values (PyDictOrValues in pycore_object.h). */
static bool visit_managed(gp_lock_reads *reads, const char *of, const shape *is, gp_lock_visit_key *visit,
                          void *context)
{
    uintptr_t pointer;
    if (!gp_lock_fetch(reads, of + GP_DICT_AT, &pointer, sizeof pointer))
        return false;
    if ((pointer & 1) == 0)
        return gp_lock_visit_dict(reads, (const void *)pointer, visit, context);
    return visit_keys(reads, is->cached_keys, (const char *)pointer + 1 + offsetof(gp_dict_values, values),
                      visit, context);
}

#else

/* The values, or NULL and a dict (_PyObject_ValuesPointer in pycore_object.h). */
static bool visit_managed(gp_lock_reads *reads, const char *of, const shape *is, gp_lock_visit_key *visit,
                          void *context)
{
    const char *pointers[2];
    if (!gp_lock_fetch(reads, of + GP_DICT_AT - sizeof *pointers, pointers, sizeof pointers))
        return false;
    return pointers[0] != NULL ? visit_keys(reads, is->cached_keys,
                                            pointers[0] + offsetof(gp_dict_values, values), visit, context)
                               : gp_lock_visit_dict(reads, pointers[1], visit, context);
}

#endif

static bool visit_own(gp_lock_reads *reads, const void *of, const shape *is, gp_lock_visit_key *visit,
                      void *context)
{
    const void *dict;
    if ((is->flags & Py_TPFLAGS_MANAGED_DICT) != 0)
        return visit_managed(reads, of, is, visit, context);
    return is->dict_offset > 0 &&
           gp_lock_fetch(reads, (const char *)of + is->dict_offset, &dict, sizeof dict) &&
           gp_lock_visit_dict(reads, dict, visit, context);
}

/* The slots of an object are members of its type: each has its place in the object. */
typedef struct {
    gp_lock_reads *reads;
    gp_lock_visit_key *visit;
    void *context;
    const void *words[SLOTS_MAX]; /* of the object, from its head on */
    size_t count;                 /* 0: it has no slots */
    const void *of;
} class_visit;

static bool visit_class_attribute(void *context, const void *key, const void *value)
{
    class_visit *with = context;
    PyMemberDescrObject descriptor;
    PyMemberDef member;
    const void *type;
    if (with->visit(with->context, key, value))
        return true;
    if (with->count == 0 || !gp_lock_read_type(with->reads, value, &type) || type != &PyMemberDescr_Type ||
        !gp_lock_fetch(with->reads, value, &descriptor, sizeof descriptor) ||
        !gp_lock_fetch(with->reads, descriptor.d_member, &member, sizeof member))
        return false;
    size_t at = ((size_t)member.offset - sizeof(PyObject)) / sizeof(void *);
    return at < with->count && with->words[at] != NULL && with->visit(with->context, key, with->words[at]);
}

static bool visit_class(const shape *is, class_visit *with)
{
    struct {
        PyVarObject head;
        const char *types[BASES_MAX];
    } mro;
    size_t count;
    if (is->mro == NULL || !gp_lock_fetch(with->reads, is->mro, &mro.head, sizeof mro.head) ||
        mro.head.ob_size <= 0)
        return false;
    count = mro.head.ob_size < BASES_MAX ? (size_t)mro.head.ob_size : BASES_MAX;
    if (!gp_lock_fetch(with->reads, (const char *)is->mro + offsetof(PyTupleObject, ob_item), mro.types,
                       count * sizeof *mro.types))
        return false;
    for (size_t i = 0; i < count; i++) {
        unsigned long flags;
        const void *dict;
        if (!gp_lock_fetch(with->reads, mro.types[i] + offsetof(PyTypeObject, tp_flags), &flags,
                           sizeof flags) ||
            (flags & Py_TPFLAGS_HEAPTYPE) == 0)
            continue;
        if (gp_lock_fetch(with->reads, mro.types[i] + offsetof(PyTypeObject, tp_dict), &dict, sizeof dict) &&
            gp_lock_visit_dict(with->reads, dict, visit_class_attribute, with))
            return true;
    }
    return false;
}

static void read_slots(const shape *is, class_visit *with)
{
    Py_ssize_t count = (is->basic_size - (Py_ssize_t)sizeof(PyObject)) / (Py_ssize_t)sizeof(void *);
    if (count <= 0 || count > SLOTS_MAX)
        return;
    with->count = (size_t)count;
    if (!gp_lock_fetch(with->reads, (const char *)with->of + sizeof(PyObject), with->words,
                       with->count * sizeof(void *)))
        with->count = 0;
}

/* Of a class, the attributes that it has for all of its objects. */
static bool visit_type(gp_lock_reads *reads, const void *of, gp_lock_visit_key *visit, void *context)
{
    shape is = {.type = of};
    class_visit with = {.reads = reads, .visit = visit, .context = context, .of = of};
    return gp_lock_fetch(reads, (const char *)of + offsetof(PyTypeObject, tp_mro), &is.mro, sizeof is.mro) &&
           visit_class(&is, &with);
}

/* A module begins with its dict (PyModuleObject in pycore_moduleobject.h). */
static bool visit_module(gp_lock_reads *reads, const void *of, gp_lock_visit_key *visit, void *context)
{
    const void *dict;
    return gp_lock_fetch(reads, (const char *)of + sizeof(PyObject), &dict, sizeof dict) &&
           gp_lock_visit_dict(reads, dict, visit, context);
}

bool gp_lock_visit_attributes(gp_lock_reads *reads, const void *of, gp_lock_visit_key *visit, void *context)
{
    shape is;
    const void *type;
    if (!gp_lock_read_type(reads, of, &type))
        return false;
    if (type == &PyModule_Type)
        return visit_module(reads, of, visit, context);
    if (type == &PyType_Type)
        return visit_type(reads, of, visit, context);
    if (!read_shape(reads, of, &is) || (is.flags & Py_TPFLAGS_TYPE_SUBCLASS) != 0)
        return false;
    if (visit_own(reads, of, &is, visit, context))
        return true;
    class_visit with = {.reads = reads, .visit = visit, .context = context, .of = of};
    read_slots(&is, &with);
    return visit_class(&is, &with);
}

const void *gp_lock_dict_of(gp_lock_reads *reads, const void *of)
{
    shape is;
    const void *type, *dict = NULL;
    ptrdiff_t at = 0;
    if (!gp_lock_read_type(reads, of, &type))
        return NULL;
    if (type == &PyType_Type)
        at = offsetof(PyTypeObject, tp_dict);
    else if (type == &PyModule_Type)
        at = sizeof(PyObject);
    else if (read_shape(reads, of, &is))
        at = (is.flags & Py_TPFLAGS_MANAGED_DICT) != 0 ? GP_DICT_AT : is.dict_offset;
    return at != 0 && gp_lock_fetch(reads, (const char *)of + at, &dict, sizeof dict) ? dict : NULL;
}

const void *gp_lock_attribute(gp_lock_reads *reads, const void *of, const char *name)
{
    shape is;
    lookup wanted = {reads, name, NULL};
    if (read_shape(reads, of, &is))
        visit_own(reads, of, &is, is_named, &wanted);
    return wanted.found;
}

bool gp_lock_read_type_module(gp_lock_reads *reads, const void *of, char text[GP_LOCK_PART_MAX])
{
    shape is;
    const void *dict;
    lookup wanted = {reads, "__module__", NULL};
    return read_shape(reads, of, &is) &&
           gp_lock_fetch(reads, is.type + offsetof(PyTypeObject, tp_dict), &dict, sizeof dict) &&
           gp_lock_visit_dict(reads, dict, is_named, &wanted) &&
           gp_lock_read_string(reads, wanted.found, text);
}

/* ---- items ---- */

static bool visit_array(gp_lock_reads *reads, const char *items, Py_ssize_t size, gp_lock_visit_key *visit,
                        void *context)
{
    const void *values[ITEMS_MAX];
    size_t count = size < ITEMS_MAX ? (size_t)size : ITEMS_MAX;
    if (size <= 0 || !gp_lock_fetch(reads, items, values, count * sizeof *values))
        return false;
    for (size_t i = 0; i < count; i++)
        if (values[i] != NULL && visit(context, NULL, values[i]))
            return true;
    return false;
}

bool gp_lock_visit_items(gp_lock_reads *reads, const void *of, gp_lock_visit_key *visit, void *context)
{
    const void *type;
    PyListObject list;
    PyVarObject head;
    if (!gp_lock_read_type(reads, of, &type))
        return false;
    if (type == &PyList_Type)
        return gp_lock_fetch(reads, of, &list, sizeof list) &&
               visit_array(reads, (const char *)list.ob_item, Py_SIZE(&list), visit, context);
    if (type == &PyTuple_Type)
        return gp_lock_fetch(reads, of, &head, sizeof head) &&
               visit_array(reads, (const char *)of + offsetof(PyTupleObject, ob_item), head.ob_size, visit,
                           context);
    return type == &PyDict_Type && gp_lock_visit_dict(reads, of, visit, context);
}
