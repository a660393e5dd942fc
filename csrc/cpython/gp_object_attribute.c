#include "cpython/gp_frames_layout.h"

#include "cpython/gp_object_attribute.h"

#include <stdint.h>
#include <string.h>

#include "cpython/gp_dict_layout.h"
#include "cpython/gp_frames_read_safely.h"

enum {
    ENTRIES_MAX = 8, /* attributes that are looked at: who has more is no object of a library in C */
    NAME_MAX_SIZE = 32,
};

/* Words of an entry: a hash, if the keys may be no strings (kind 0), the key, the value. */
typedef struct {
    const void *words[3];
} entry;

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
    gp_dict_keys head;
    if (keys == NULL || !gp_safe_read(reader, keys, &head, sizeof head) || head.log2_index_bytes > 32)
        return NULL;
    Py_ssize_t count = head.entry_count < ENTRIES_MAX ? head.entry_count : ENTRIES_MAX;
    const char *entries = keys + offsetof(gp_dict_keys, indices) + ((size_t)1 << head.log2_index_bytes);
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
    const char *values =
        copy.ma_values != NULL ? (const char *)copy.ma_values + offsetof(gp_dict_values, values) : NULL;
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
    const char *dict = read_word(reader, of + GP_DICT_AT), *values = NULL;
#if PY_VERSION_HEX >= 0x030D0000
    if (dict == NULL && (is->type.tp_flags & Py_TPFLAGS_INLINE_VALUES) != 0)
        values = of + is->type.tp_basicsize + offsetof(gp_dict_values, values);
#elif PY_VERSION_HEX >= 0x030C0000
    if (((uintptr_t)dict & 1) != 0)
        values = dict + 1;
#else
    values = read_word(reader, of + GP_DICT_AT - sizeof(void *));
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
