#include "cpython/gp_frames_layout.h"

#include "cpython/gp_object_names.h"

#include <string.h>

#include "cpython/gp_frames_read_safely.h"

enum {
    PAGE = 4096,    /* or a multiple of it */
    PART_MAX = 80,  /* bytes of one name */
    WITHIN_MAX = 4, /* callables in callables */
};

/* What is read of a type: up to its flags. */
typedef union {
    PyTypeObject type;
    char bytes[offsetof(PyTypeObject, tp_flags) + sizeof(unsigned long)];
} type_copy;

void gp_name_append(gp_name *name, const char *text)
{
    while (*text != '\0' && name->size + 1 < name->room)
        name->bytes[name->size++] = *text++;
    if (name->room != 0)
        name->bytes[name->size] = '\0';
}

/* Names of C are ASCII; whatever else stands there is no name. */
static bool is_name(const char *text)
{
    const char *byte = text;
    while (*byte > ' ' && *byte < 0x7F)
        byte++;
    return byte != text && *byte == '\0';
}

/* A string of C: no more than is readable, up to its end or to the end of the page and then of the next. */
static bool read_text(gp_safe_reader *reader, const char *from, char text[PART_MAX])
{
    size_t left = PAGE - (uintptr_t)from % PAGE, first = left < PART_MAX - 1 ? left : PART_MAX - 1;
    memset(text, 0, PART_MAX);
    if (from == NULL || !gp_safe_read(reader, from, text, first))
        return false;
    if (memchr(text, '\0', first) == NULL &&
        !gp_safe_read(reader, from + first, text + first, PART_MAX - 1 - first))
        return false;
    return is_name(text);
}

static bool append_text(gp_safe_reader *reader, const char *from, gp_name *name)
{
    char text[PART_MAX];
    if (!read_text(reader, from, text))
        return false;
    gp_name_append(name, text);
    return true;
}

static bool read_type(gp_safe_reader *reader, const void *type, type_copy *copy)
{
    return gp_safe_read(reader, type, copy, sizeof copy->bytes) && copy->type.tp_basicsize > 0 &&
           (copy->type.tp_flags & Py_TPFLAGS_READY) != 0;
}

static bool append_type(gp_safe_reader *reader, const void *type, gp_name *name)
{
    type_copy copy;
    return read_type(reader, type, &copy) && append_text(reader, copy.type.tp_name, name);
}

bool gp_object_type_name(gp_safe_reader *reader, const void *object, gp_name *name)
{
    PyObject head;
    return gp_safe_read(reader, object, &head, sizeof head) && append_type(reader, Py_TYPE(&head), name);
}

bool gp_object_string(gp_safe_reader *reader, const void *string, gp_name *name)
{
    char text[PART_MAX];
    gp_frames_safe_string(reader, string, text, sizeof text);
    gp_name_append(name, text);
    return strcmp(text, "?") != 0;
}

/* ---- functions of C ---- */

static bool append_method(gp_safe_reader *reader, const PyMethodDef *method, gp_name *name)
{
    PyMethodDef copy;
    return gp_safe_read(reader, method, &copy, sizeof copy) && append_text(reader, copy.ml_name, name);
}

/* "module.", or nothing for built-in functions. */
static void append_module(gp_safe_reader *reader, const void *module, gp_name *name)
{
    char text[PART_MAX];
    gp_frames_safe_string(reader, module, text, sizeof text);
    if (!is_name(text) || strcmp(text, "?") == 0 || strcmp(text, "builtins") == 0)
        return;
    gp_name_append(name, text);
    gp_name_append(name, ".");
}

/* What a function is a method of, if it is one: a class, or an object. A capsule is how extensions give data
 * to their functions. */
static bool append_owner(gp_safe_reader *reader, const void *self, gp_name *name)
{
    PyObject head;
    type_copy type;
    if (self == NULL || !gp_safe_read(reader, self, &head, sizeof head) ||
        Py_IS_TYPE(&head, &PyModule_Type) || Py_IS_TYPE(&head, &PyCapsule_Type) ||
        !read_type(reader, Py_TYPE(&head), &type))
        return false;
    bool is_class = (type.type.tp_flags & Py_TPFLAGS_TYPE_SUBCLASS) != 0;
    if (!(is_class ? append_type(reader, self, name) : append_text(reader, type.type.tp_name, name)))
        return false;
    gp_name_append(name, ".");
    return true;
}

static bool append_function(gp_safe_reader *reader, const void *object, bool is_method, gp_name *name)
{
    PyCFunctionObject function;
    if (!gp_safe_read(reader, object, &function, sizeof function))
        return false;
    if (!is_method || !append_owner(reader, function.m_self, name))
        append_module(reader, function.m_module, name);
    return append_method(reader, function.m_ml, name);
}

static bool append_of_type(gp_safe_reader *reader, const PyDescrObject *descriptor, gp_name *name)
{
    if (!append_type(reader, descriptor->d_type, name))
        return false;
    gp_name_append(name, ".");
    return true;
}

static bool append_descriptor(gp_safe_reader *reader, const void *object, gp_name *name)
{
    PyMethodDescrObject descriptor;
    return gp_safe_read(reader, object, &descriptor, sizeof descriptor) &&
           append_of_type(reader, &descriptor.d_common, name) &&
           append_method(reader, descriptor.d_method, name);
}

static bool append_slot(gp_safe_reader *reader, const void *object, gp_name *name)
{
    PyWrapperDescrObject descriptor;
    struct wrapperbase base;
    return gp_safe_read(reader, object, &descriptor, sizeof descriptor) &&
           append_of_type(reader, &descriptor.d_common, name) &&
           gp_safe_read(reader, descriptor.d_base, &base, sizeof base) &&
           append_text(reader, base.name, name);
}

/* numpy/ufuncobject.h, the same since numpy 1.0 */
static bool append_ufunc(gp_safe_reader *reader, const void *object, gp_name *name)
{
    struct {
        PyObject head;
        int counts[4];
        const void *functions, *data;
        int number_of_types, reserved;
        const void *types;
        const char *name;
    } copy;
    if (!gp_safe_read(reader, object, &copy, sizeof copy))
        return false;
    gp_name_append(name, "ufunc ");
    return append_text(reader, copy.name, name);
}

/* ---- any callable ---- */

typedef enum {
    FUNCTION,
    DESCRIPTOR,
    SLOT,
    PYTHON,
    BOUND,
    OTHER,
} callable_kind;

static callable_kind kind_of(const PyTypeObject *type)
{
    const struct {
        const PyTypeObject *type;
        callable_kind kind;
    } kinds[] = {
        {&PyCFunction_Type, FUNCTION},     {&PyCMethod_Type, FUNCTION},
        {&PyMethodDescr_Type, DESCRIPTOR}, {&PyClassMethodDescr_Type, DESCRIPTOR},
        {&PyWrapperDescr_Type, SLOT},      {&PyFunction_Type, PYTHON},
        {&PyMethod_Type, BOUND},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].type == type)
            return kinds[i].kind;
    return OTHER;
}

/* What is called with an object that begins with its head and then a callable: a bound method, a partial
 * (partialobject in Modules/_functoolsmodule.c), a bound slot (wrapperobject in Objects/descrobject.c). */
static const void *within(gp_safe_reader *reader, const void *object)
{
    struct {
        PyObject head;
        const void *callable;
    } copy;
    return gp_safe_read(reader, object, &copy, sizeof copy) ? copy.callable : NULL;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

/* An object of a type that this interpreter does not export, or of an extension's. *next: it is one with a
 * callable in it. */
static bool append_other(gp_safe_reader *reader, const void *object, const void *type, const void **next,
                         gp_name *name)
{
    type_copy copy;
    char text[PART_MAX];
    if (!read_type(reader, type, &copy) || copy.type.tp_call == NULL)
        return false;
    if ((copy.type.tp_flags & Py_TPFLAGS_TYPE_SUBCLASS) != 0)
        return append_type(reader, object, name);
    if (!read_text(reader, copy.type.tp_name, text))
        return false;
    if (strcmp(text, "functools.partial") == 0 || strcmp(text, "method-wrapper") == 0)
        return (*next = within(reader, object)) != NULL;
    if (strcmp(text, "numpy.ufunc") == 0)
        return append_ufunc(reader, object, name);
    if (ends_with(text, "cython_function_or_method"))
        return append_function(reader, object, false, name);
    gp_name_append(name, text);
    return true;
}

static bool append_known(gp_safe_reader *reader, callable_kind kind, const void *object, gp_name *name)
{
    switch (kind) {
    case FUNCTION:
        return append_function(reader, object, true, name);
    case DESCRIPTOR:
        return append_descriptor(reader, object, name);
    default:
        return append_slot(reader, object, name);
    }
}

gp_callable gp_object_callable(gp_safe_reader *reader, const void *object, gp_name *name)
{
    PyObject head;
    for (int level = 0; level < WITHIN_MAX && object != NULL; level++) {
        const void *next = NULL;
        if (!gp_safe_read(reader, object, &head, sizeof head))
            return GP_CALLABLE_UNKNOWN;
        callable_kind kind = kind_of(Py_TYPE(&head));
        if (kind == PYTHON)
            return GP_CALLABLE_PYTHON;
        bool found = kind == BOUND   ? (next = within(reader, object)) != NULL
                     : kind == OTHER ? append_other(reader, object, Py_TYPE(&head), &next, name)
                                     : append_known(reader, kind, object, name);
        if (!found || next == NULL)
            return found ? GP_CALLABLE_C : GP_CALLABLE_UNKNOWN;
        object = next;
    }
    return GP_CALLABLE_UNKNOWN;
}
