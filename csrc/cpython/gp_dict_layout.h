#ifndef GP_DICT_LAYOUT_H
#define GP_DICT_LAYOUT_H

/* How a dict keeps its entries, the same in 3.11 to 3.15 (Include/internal/pycore_dict.h, which 3.12 can't
 * include beside Python.h). Behind Python.h, for whoever reads dicts as bytes. */

#include <stddef.h>
#include <stdint.h>

typedef struct {
    Py_ssize_t refcount;
    uint8_t log2_size, log2_index_bytes, kind;
#if defined(Py_GIL_DISABLED)
    uint8_t mutex;
#endif
    uint32_t version;
    Py_ssize_t usable, entry_count;
    char indices[];
} gp_dict_keys;

/* Values that are not with their keys, as from an object's attributes. */
typedef struct {
#if PY_VERSION_HEX >= 0x030D0000
    uint8_t capacity, size, embedded, valid;
#endif
    const void *values[1];
} gp_dict_values;

#if PY_VERSION_HEX >= 0x030D0000
#define Py_BUILD_CORE 1
#include <internal/pycore_dict.h>
#undef Py_BUILD_CORE
/* an entry is a key and a value, behind a hash if the keys may be no strings (kind 0) */
_Static_assert(offsetof(gp_dict_keys, entry_count) == offsetof(struct _dictkeysobject, dk_nentries) &&
                   offsetof(gp_dict_keys, kind) == offsetof(struct _dictkeysobject, dk_kind) &&
                   offsetof(gp_dict_keys, indices) == offsetof(struct _dictkeysobject, dk_indices) &&
                   offsetof(gp_dict_values, values) == offsetof(PyDictValues, values) &&
                   offsetof(PyDictUnicodeEntry, me_value) == sizeof(void *) &&
                   sizeof(PyDictUnicodeEntry) == 2 * sizeof(void *) &&
                   offsetof(PyDictKeyEntry, me_value) == 2 * sizeof(void *) &&
                   sizeof(PyDictKeyEntry) == 3 * sizeof(void *) && (int)DICT_KEYS_GENERAL == 0,
               "pycore_dict.h");
#endif

/* Where an object's dict is, from the object (MANAGED_DICT_OFFSET in pycore_object.h). */
#if defined(Py_GIL_DISABLED)
#define GP_DICT_AT (-(ptrdiff_t)sizeof(void *))
#else
#define GP_DICT_AT (-3 * (ptrdiff_t)sizeof(void *))
#endif

#endif
