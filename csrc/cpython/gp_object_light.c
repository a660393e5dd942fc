#include <Python.h>

#include "cpython/gp_object_light.h"

enum {
    DIGITS = 16, /* of 30 bits */
    TEXT = 1 << 12 /* characters */,
    ITEMS = 32,
};

/* What all types with a size have after the head, and dicts and sets, too. */
typedef struct {
    PyObject head;
    Py_ssize_t size;
} sized;

typedef struct {
    const PyTypeObject *type;
    Py_ssize_t limit; /* up to this size; 0: of any, since it has none that matters */
    bool finds_items, finds_members;
} known_type;

static const known_type types[] = {
    {&PyFloat_Type, 0, false, false},         {&PyBool_Type, 0, false, false},
    {&PyComplex_Type, 0, false, false},       {&PyUnicode_Type, TEXT, true, false},
    {&PyBytes_Type, TEXT, true, false},       {&PyTuple_Type, ITEMS, true, false},
    {&PyList_Type, ITEMS, true, false},       {&PyDict_Type, ITEMS, true, true},
    {&PySet_Type, ITEMS, false, true},        {&PyFrozenSet_Type, ITEMS, false, true},
    {&PyRange_Type, 0, true, true},           {&PyRangeIter_Type, 0, false, false},
    {&PyListIter_Type, 0, false, false},      {&PyTupleIter_Type, 0, false, false},
    {&PySetIter_Type, 0, false, false},       {&PyDictIterKey_Type, 0, false, false},
    {&PyDictIterValue_Type, 0, false, false}, {&PyDictIterItem_Type, 0, false, false},
    {&PyUnicodeIter_Type, 0, false, false},   {&PyBytesIter_Type, 0, false, false},
    {&PyModule_Type, 0, false, false},
};

static const known_type *find(const PyTypeObject *type)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].type == type)
            return &types[i];
    return NULL;
}

/* Of an integer's size the low bits are the sign since 3.12, before that it is negative with the number
 * (Include/cpython/longintrepr.h, Include/internal/pycore_long.h). */
static bool has_few_digits(Py_ssize_t size)
{
#if PY_VERSION_HEX >= 0x030C0000
    return (size_t)size >> 3 <= DIGITS;
#else
    return size <= DIGITS && size >= -DIGITS;
#endif
}

bool gp_object_is_light(gp_safe_reader *reader, const void *object)
{
    sized copy;
    if (object == Py_None)
        return true;
    if (!gp_safe_read(reader, object, &copy, sizeof copy))
        return false;
    if (Py_IS_TYPE(&copy.head, &PyLong_Type))
        return has_few_digits(copy.size);
    const known_type *known = find(Py_TYPE(&copy.head));
    return known != NULL && (known->limit == 0 || (copy.size >= 0 && copy.size <= known->limit));
}

bool gp_object_is_going(gp_safe_reader *reader, const void *object)
{
    PyObject head;
    return gp_safe_read(reader, object, &head, sizeof head) && Py_REFCNT(&head) == 0;
}

static const known_type *find_of(gp_safe_reader *reader, const void *object)
{
    PyObject head;
    return gp_safe_read(reader, object, &head, sizeof head) ? find(Py_TYPE(&head)) : NULL;
}

bool gp_object_finds_items(gp_safe_reader *reader, const void *object)
{
    const known_type *known = find_of(reader, object);
    return known != NULL && known->finds_items;
}

bool gp_object_finds_members(gp_safe_reader *reader, const void *object)
{
    const known_type *known = find_of(reader, object);
    return known != NULL && known->finds_members;
}
