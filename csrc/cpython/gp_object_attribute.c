#include "cpython/gp_frames_layout.h"

#include "cpython/gp_object_attribute.h"

#include <stdint.h>
#include <string.h>

#include "cpython/gp_frames_read_safely.h"

enum {
    ENTRIES_MAX = 8, /* attributes that are looked at: who has more is no object of a library in C */
    NAME_MAX_SIZE = 32,
};

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

/* Words of an entry: a hash, if the keys may be no strings (kind 0), the key, the value. */
typedef struct {
    const void *words[3];
} entry;

/* Values that are not with their keys: what is in front of them. */
#if PY_VERSION_HEX >= 0x030D0000
#define VALUES_HEAD 8 /* capacity, size, embedded, valid, and what aligns the values */
#else
#define VALUES_HEAD 0
#endif

#if PY_VERSION_HEX >= 0x030D0000
#define Py_BUILD_CORE 1
#include <internal/pycore_dict.h>
#undef Py_BUILD_CORE
_Static_assert(offsetof(keys_head, entry_count) == offsetof(struct _dictkeysobject, dk_nentries) &&
                   offsetof(keys_head, kind) == offsetof(struct _dictkeysobject, dk_kind) &&
                   offsetof(keys_head, indices) == offsetof(struct _dictkeysobject, dk_indices) &&
                   sizeof(PyDictUnicodeEntry) == 2 * sizeof(void *) &&
                   sizeof(PyDictKeyEntry) == sizeof(entry) && offsetof(PyDictValues, values) == VALUES_HEAD &&
                   (int)DICT_KEYS_GENERAL == 0,
               "pycore_dict.h");
#endif

/* Where an object's dict is, from the object (MANAGED_DICT_OFFSET in pycore_object.h). */
#if defined(Py_GIL_DISABLED)
#define DICT_AT (-(ptrdiff_t)sizeof(void *))
#else
#define DICT_AT (-3 * (ptrdiff_t)sizeof(void *))
#endif

static const void *read_word(gp_safe_reader *reader, const char *from)
{
    const void *word;
    return gp_safe_read(reader, from, &word, sizeof word) ? word : NULL;
}

static bool is_called(gp_safe_reader *reader, const void *key, const char *name)
{
    char text[NAME_MAX_SIZE];
    if (key == NULL)
        return false;
    gp_frames_safe_string(reader, key, text, sizeof text);
    return strcmp(text, name) == 0;
}

/* `values`: where they are if they are not with the keys; NULL. */
static const void *find_in_keys(gp_safe_reader *reader, const char *keys, const char *values,
                                const char *name)
{
    keys_head head;
    if (keys == NULL || !gp_safe_read(reader, keys, &head, sizeof head) || head.log2_index_bytes > 32)
        return NULL;
    Py_ssize_t count = head.entry_count < ENTRIES_MAX ? head.entry_count : ENTRIES_MAX;
    const char *entries = keys + offsetof(keys_head, indices) + ((size_t)1 << head.log2_index_bytes);
    size_t hash = head.kind == 0, size = (2 + hash) * sizeof(void *);
    for (Py_ssize_t i = 0; i < count; i++) {
        entry found;
        if (!gp_safe_read(reader, entries + (size_t)i * size, &found, size))
            return NULL;
        if (is_called(reader, found.words[hash], name))
            return values != NULL ? read_word(reader, values + (size_t)i * sizeof(void *))
                                  : found.words[hash + 1];
    }
    return NULL;
}

static const void *find_in_dict(gp_safe_reader *reader, const void *dict, const char *name)
{
    PyDictObject copy;
    if (dict == NULL || !gp_safe_read(reader, dict, &copy, sizeof copy) || Py_TYPE(&copy) != &PyDict_Type)
        return NULL;
    const char *values = copy.ma_values != NULL ? (const char *)copy.ma_values + VALUES_HEAD : NULL;
    return find_in_keys(reader, (const char *)copy.ma_keys, values, name);
}

/* What is read of an object's type. */
typedef struct {
    PyTypeObject type;
    const char *cached_keys;
} shape;

/* From 3.13 on attributes follow the object as long as no dict has been made of them; before, they lie
 * elsewhere: in 3.12 the pointer to them has its lowest bit set, in 3.11 it is in front of that to the dict
 * (Include/internal/pycore_object.h). */
static const void *find_managed(gp_safe_reader *reader, const char *of, const shape *is, const char *name)
{
    const char *dict = read_word(reader, of + DICT_AT), *values = NULL;
#if PY_VERSION_HEX >= 0x030D0000
    if (dict == NULL && (is->type.tp_flags & Py_TPFLAGS_INLINE_VALUES) != 0)
        values = of + is->type.tp_basicsize + VALUES_HEAD;
#elif PY_VERSION_HEX >= 0x030C0000
    if (((uintptr_t)dict & 1) != 0)
        values = dict + 1;
#else
    values = read_word(reader, of + DICT_AT - sizeof(void *));
#endif
    return values != NULL ? find_in_keys(reader, is->cached_keys, values, name)
                          : find_in_dict(reader, dict, name);
}

const void *gp_object_attribute(gp_safe_reader *reader, const void *owner, const char *name)
{
    shape is;
    const char *of = owner, *type = read_word(reader, of + offsetof(PyObject, ob_type));
    if (type == NULL || !gp_safe_read(reader, type, &is.type, sizeof is.type) ||
        (is.type.tp_flags & Py_TPFLAGS_HEAPTYPE) == 0)
        return NULL;
    is.cached_keys = read_word(reader, type + offsetof(PyHeapTypeObject, ht_cached_keys));
    if ((is.type.tp_flags & Py_TPFLAGS_MANAGED_DICT) != 0)
        return find_managed(reader, of, &is, name);
    return is.type.tp_dictoffset > 0
               ? find_in_dict(reader, read_word(reader, of + is.type.tp_dictoffset), name)
               : NULL;
}
