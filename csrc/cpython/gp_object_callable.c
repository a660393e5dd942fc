#include "cpython/gp_frames_layout.h"

#include "cpython/gp_object_callable.h"

#include <string.h>

#include "cpython/gp_frames_read_safely.h"
#include "cpython/gp_object_attribute.h"

enum {
    WITHIN_MAX = 6, /* callables in callables */
};

/* ---- functions of C ---- */

static bool append_method(gp_safe_reader *reader, const PyMethodDef *method, gp_name *name)
{
    PyMethodDef copy;
    return gp_safe_read(reader, method, &copy, sizeof copy) && gp_object_text(reader, copy.ml_name, name);
}

/* "module.", or nothing for built-in functions. */
static void append_module(gp_safe_reader *reader, const void *module, gp_name *name)
{
    char text[GP_NAME_PART_MAX];
    gp_frames_safe_string(reader, module, text, sizeof text);
    if (!gp_object_is_name(text) || strcmp(text, "?") == 0 || strcmp(text, "builtins") == 0)
        return;
    gp_name_append(name, text);
    gp_name_append(name, ".");
}

/* What a function is a method of, if it is one: a class, or an object. A capsule is how extensions give data
 * to their functions. */
static bool append_owner(gp_safe_reader *reader, const void *self, gp_name *name)
{
    PyObject head;
    gp_type_copy type;
    if (self == NULL || !gp_safe_read(reader, self, &head, sizeof head) ||
        Py_IS_TYPE(&head, &PyModule_Type) || Py_IS_TYPE(&head, &PyCapsule_Type) ||
        !gp_object_read_type(reader, Py_TYPE(&head), &type))
        return false;
    bool is_class = (type.type.tp_flags & Py_TPFLAGS_TYPE_SUBCLASS) != 0;
    if (!(is_class ? gp_object_type(reader, self, name) : gp_object_text(reader, type.type.tp_name, name)))
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
    if (!gp_object_type(reader, descriptor->d_type, name))
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
           gp_object_text(reader, base.name, name);
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
    return gp_object_text(reader, copy.name, name);
}

/* A function of ctypes has the name of its symbol as an attribute (CDLL.__getitem__ in Lib/ctypes), if it was
 * found by that. Its type is a class of Python's. */
static bool append_foreign(gp_safe_reader *reader, const void *object, gp_name *name)
{
    size_t begin = name->size;
    const void *found = gp_object_attribute(reader, object, "__name__");
    if (found != NULL && gp_object_string(reader, found, name)) {
        gp_name_append(name, " (ctypes)");
        return true;
    }
    gp_name_cut(name, begin);
    return false;
}

/* Whether a class is derived from that of all foreign functions. */
static bool is_foreign(gp_safe_reader *reader, const void *type)
{
    const PyTypeObject *base;
    char text[GP_NAME_PART_MAX];
    gp_type_copy copy;
    return gp_safe_read(reader, (const char *)type + offsetof(PyTypeObject, tp_base), &base, sizeof base) &&
           gp_object_read_type(reader, base, &copy) && gp_object_read_text(reader, copy.type.tp_name, text) &&
           strcmp(text, "_ctypes.CFuncPtr") == 0;
}

/* ---- what calls another one ---- */

/* What is in an object after its head: a bound method, a partial and a bound slot begin with two objects
 * (PyMethodObject; partialobject in Modules/_functoolsmodule.c, wrapperobject in Objects/descrobject.c), a
 * method caller with a name (methodcallerobject in Modules/_operator.c), iterators that call a function with
 * that and what they iterate over (Python/bltinmodule.c, Modules/itertoolsmodule.c). */
typedef struct {
    PyObject head;
    const void *first, *second;
} pair;

/* lru_cache_object in Modules/_functoolsmodule.c */
typedef struct {
    PyObject head;
    const void *root[5], *wrapper;
    int typed;
    const void *cache;
    Py_ssize_t hits;
    const void *function;
} cached_function;

static const void *take_argument(gp_safe_reader *reader, gp_arguments *arguments)
{
    PyVarObject head;
    const void *first = NULL;
    if (arguments->count != 0) {
        first = arguments->first[0];
        memmove(&arguments->first[0], &arguments->first[1], --arguments->count * sizeof first);
        return first;
    }
    const char *tuple = arguments->tuple;
    if (tuple == NULL || !gp_safe_read(reader, tuple, &head, sizeof head) ||
        !Py_IS_TYPE(&head.ob_base, &PyTuple_Type) || (Py_ssize_t)arguments->taken >= Py_SIZE(&head))
        return NULL;
    tuple += offsetof(PyTupleObject, ob_item) + arguments->taken++ * sizeof first;
    return gp_safe_read(reader, tuple, &first, sizeof first) ? first : NULL;
}

/* What has no room is not known any more, and nor is what follows. */
static void put_first(gp_arguments *arguments, const void *object)
{
    if (arguments->count == GP_ARGUMENTS_MAX) {
        arguments->count--;
        arguments->tuple = NULL;
    }
    memmove(&arguments->first[1], &arguments->first[0], arguments->count++ * sizeof object);
    arguments->first[0] = object;
}

static void put_tuple_first(gp_safe_reader *reader, gp_arguments *arguments, const void *tuple)
{
    gp_arguments in_tuple = {.tuple = tuple};
    const void *taken[GP_ARGUMENTS_MAX], *next;
    size_t count = 0;
    while (count < GP_ARGUMENTS_MAX && (next = take_argument(reader, &in_tuple)) != NULL)
        taken[count++] = next;
    while (count != 0)
        put_first(arguments, taken[--count]);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

/* Functions that only call their first argument. A slot's first argument is the object whose slot it is. */
static bool calls_its_argument(const char *name)
{
    return strcmp(name, "_contextvars.Context.run") == 0 || strcmp(name, "Context.run") == 0 ||
           strcmp(name, "_operator.call") == 0 || ends_with(name, ".__call__");
}

/* ---- any callable ---- */

/* A callable that is being named. */
typedef struct {
    gp_safe_reader *reader;
    const void *object;
    gp_arguments *arguments;
    gp_name *name;
    const void *next; /* the callable that it calls, and does nothing else */
} naming;

/* A method caller: the method of its first argument. */
static bool append_method_of(naming *at)
{
    pair in;
    size_t begin = at->name->size;
    const void *object = take_argument(at->reader, at->arguments);
    if (object != NULL && gp_safe_read(at->reader, at->object, &in, sizeof in) &&
        gp_object_type_name(at->reader, object, at->name)) {
        gp_name_append(at->name, ".");
        if (gp_object_string(at->reader, in.first, at->name))
            return true;
    }
    gp_name_cut(at->name, begin);
    return false;
}

/* Find what is called with an object of a type that this interpreter does not export. */
static void find_next(naming *at, const char *type)
{
    pair in;
    cached_function cached;
    if (strcmp(type, "functools._lru_cache_wrapper") == 0) {
        if (gp_safe_read(at->reader, at->object, &cached, sizeof cached))
            at->next = cached.function;
        return;
    }
    bool is_partial = strcmp(type, "functools.partial") == 0, is_slot = strcmp(type, "method-wrapper") == 0;
    if ((!is_partial && !is_slot && strcmp(type, "staticmethod") != 0) ||
        !gp_safe_read(at->reader, at->object, &in, sizeof in))
        return;
    at->next = in.first;
    if (is_partial)
        put_tuple_first(at->reader, at->arguments, in.second);
    if (is_slot)
        put_first(at->arguments, in.second);
}

/* The name of the type is left where what is in the object can't be named. */
static bool append_by_type(naming *at, const void *class, const char *type)
{
    if (strcmp(type, "numpy.ufunc") == 0)
        return append_ufunc(at->reader, at->object, at->name);
    if (ends_with(type, "cython_function_or_method"))
        return append_function(at->reader, at->object, false, at->name);
    if (strcmp(type, "operator.methodcaller") == 0 && append_method_of(at))
        return true;
    if ((strcmp(type, "_FuncPtr") == 0 || strcmp(type, "CFunctionType") == 0) &&
        is_foreign(at->reader, class) && append_foreign(at->reader, at->object, at->name))
        return true;
    find_next(at, type);
    gp_name_append(at->name, type);
    return true;
}

static bool append_other(naming *at, const void *type)
{
    gp_type_copy copy;
    char text[GP_NAME_PART_MAX];
    if (!gp_object_read_type(at->reader, type, &copy) || copy.type.tp_call == NULL)
        return false;
    if ((copy.type.tp_flags & Py_TPFLAGS_TYPE_SUBCLASS) != 0)
        return gp_object_type(at->reader, at->object, at->name);
    return gp_object_read_text(at->reader, copy.type.tp_name, text) && append_by_type(at, type, text);
}

/* A bound method has no name of its own. */
static bool append_bound(naming *at)
{
    pair in;
    if (!gp_safe_read(at->reader, at->object, &in, sizeof in))
        return false;
    put_first(at->arguments, in.second);
    at->next = in.first;
    return in.first != NULL;
}

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

static bool append_one(naming *at, callable_kind kind, const void *type)
{
    switch (kind) {
    case FUNCTION:
        return append_function(at->reader, at->object, true, at->name);
    case DESCRIPTOR:
        take_argument(at->reader, at->arguments); /* the object whose method it is */
        return append_descriptor(at->reader, at->object, at->name);
    case SLOT:
        return append_slot(at->reader, at->object, at->name);
    case BOUND:
        return append_bound(at);
    default:
        return append_other(at, type);
    }
}

static gp_callable name_callable(naming at, int levels)
{
    PyObject head;
    size_t begin = at.name->size;
    if (levels == 0 || at.object == NULL || !gp_safe_read(at.reader, at.object, &head, sizeof head))
        return GP_CALLABLE_UNKNOWN;
    callable_kind kind = kind_of(Py_TYPE(&head));
    if (kind == PYTHON || !append_one(&at, kind, Py_TYPE(&head))) {
        gp_name_cut(at.name, begin);
        return kind == PYTHON ? GP_CALLABLE_PYTHON : GP_CALLABLE_UNKNOWN;
    }
    size_t end = at.name->size;
    if (at.next == NULL && calls_its_argument(at.name->bytes + begin))
        at.next = take_argument(at.reader, at.arguments);
    if (at.next == NULL)
        return GP_CALLABLE_C;
    gp_callable called = name_callable(
        (naming){.reader = at.reader, .object = at.next, .arguments = at.arguments, .name = at.name},
        levels - 1);
    if (called != GP_CALLABLE_UNKNOWN)
        gp_name_remove(at.name, begin, end);
    return called == GP_CALLABLE_UNKNOWN && begin != end ? GP_CALLABLE_C : called;
}

gp_callable gp_object_callable(gp_safe_reader *reader, const void *object, gp_arguments *arguments,
                               gp_name *name)
{
    return name_callable((naming){.reader = reader, .object = object, .arguments = arguments, .name = name},
                         WITHIN_MAX);
}

/* ---- iterators that call ---- */

/* False, and nothing is appended: it is none, or it calls Python code. */
static bool append_iterator(gp_safe_reader *reader, const void *object, gp_name *name)
{
    pair in;
    gp_arguments unknown = {.count = 0};
    if (object == NULL || !gp_safe_read(reader, object, &in, sizeof in))
        return false;
    bool is_map = Py_IS_TYPE(&in.head, &PyMap_Type);
    if (!is_map && !Py_IS_TYPE(&in.head, &PyFilter_Type))
        return false;
    size_t begin = name->size;
    gp_name_append(name, is_map ? "map(" : "filter(");
    if (gp_object_callable(reader, is_map ? in.second : in.first, &unknown, name) != GP_CALLABLE_C) {
        gp_name_cut(name, begin);
        return false;
    }
    gp_name_append(name, ")");
    return true;
}

bool gp_object_type_with_callable(gp_safe_reader *reader, const void *object, gp_name *name)
{
    return append_iterator(reader, object, name) || gp_object_type_name(reader, object, name);
}

void gp_object_append_iterator(gp_safe_reader *reader, gp_arguments *arguments, gp_name *name)
{
    size_t begin = name->size;
    gp_name_append(name, " over ");
    if (!append_iterator(reader, take_argument(reader, arguments), name))
        gp_name_cut(name, begin);
}
