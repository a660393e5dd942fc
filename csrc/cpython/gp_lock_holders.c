#include "cpython/gp_frames_layout.h"

#include "cpython/gp_lock_holders.h"

#include <string.h>

#include "cpython/gp_lock_objects.h"

enum {
    READS_MAX = 2000,  /* of memory of others, each some hundred nanoseconds */
    BEGIN = 320,       /* bytes of an object in which it may point to its lock */
    LIBRARY_UP = 12,   /* frames of the standard library that are looked at, from the one that waits */
    FRAMES_UP = 3,     /* frames of the program's whose variables are looked at */
    LIBRARY_MAX = 512, /* bytes of a path */
};

/* What is looked for, and how far. */
typedef struct {
    uintptr_t object, lock;
    gp_lock_reads reads;
    gp_lock_holder *holder;
    const void *root; /* the value of the variable by which it was found */
    bool in_library;  /* items of containers don't count: the library keeps all kinds of things */
} search;

/* ---- text ---- */

static void append(char *text, const char *more)
{
    size_t used = strlen(text), room = GP_LOCK_HOLDER_MAX - 1 - used, size = strlen(more);
    size = size < room ? size : room;
    memcpy(text + used, more, size);
    text[used + size] = '\0';
}

static void become(char *text, const char *other)
{
    text[0] = '\0';
    append(text, other);
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

/* Or it has the lock in itself. Within its own size: what lies behind it is another object. */
static bool has_in_it(search *in, const void *from, uintptr_t lock)
{
    uintptr_t words[BEGIN / sizeof(uintptr_t)];
    const void *type;
    Py_ssize_t size;
    if (!gp_lock_read_type(&in->reads, from, &type) || has_no_lock(type) ||
        !gp_lock_fetch(&in->reads, (const char *)type + offsetof(PyTypeObject, tp_basicsize), &size,
                       sizeof size) ||
        size <= (Py_ssize_t)sizeof(PyObject))
        return false;
    if (lock - (uintptr_t)from < (size_t)size)
        return true;
    size_t begin = size < BEGIN ? (size_t)size : BEGIN;
    if (!gp_lock_fetch(&in->reads, from, words, begin))
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
    bool found = in->object != 0 ? (uintptr_t)what == in->object : has_in_it(in, what, in->lock);
    if (found)
        in->holder->object = (uintptr_t)what;
    return found;
}

/* ---- paths ---- */

/* A path to an object: how it is written, and how many more attributes may follow. */
typedef struct path {
    const struct path *before; /* the path to what has it as an attribute; NULL: a variable */
    const char *text;
    const void *object;
    int more;
    search *in;
} path;

/* Types that are there for nothing but to wait: who has one has its locks. */
static bool is_synchronizer(search *in, const void *object)
{
    char module[GP_LOCK_PART_MAX];
    return gp_lock_read_type_module(&in->reads, object, module) &&
           (strcmp(module, "threading") == 0 || strcmp(module, "queue") == 0);
}

static void name_owner(search *in, const path *of)
{
    char type[GP_LOCK_PART_MAX];
    if (of != NULL && gp_lock_read_type_name(&in->reads, of->object, type) && strcmp(type, "module") != 0)
        become(in->holder->owner, type);
}

/* It is an attribute of what `from` leads to. */
static void found_attribute(const path *from, const char *text)
{
    search *in = from->in;
    char type[GP_LOCK_PART_MAX];
    become(in->holder->name, text);
    while (from != NULL && is_synchronizer(in, from->object) &&
           gp_lock_read_type_name(&in->reads, from->object, type)) {
        become(in->holder->name, from->text);
        become(in->holder->type, type);
        in->holder->object = (uintptr_t)from->object;
        from = from->before;
    }
    in->holder->owner[0] = '\0';
    name_owner(in, from);
}

static bool visit_item(void *context, const void *key, const void *value)
{
    const path *from = context;
    (void)key;
    char text[GP_LOCK_HOLDER_MAX] = "";
    if (!is_it(from->in, value))
        return false;
    append(text, from->text);
    append(text, "[...]");
    become(from->in->holder->name, text);
    from->in->holder->owner[0] = '\0';
    name_owner(from->in, from->before);
    return true;
}

static bool visit_attribute(void *context, const void *key, const void *value)
{
    const path *from = context;
    search *in = from->in;
    char name[GP_LOCK_PART_MAX], text[GP_LOCK_HOLDER_MAX] = "";
    bool found = is_it(in, value);
    if ((!found && from->more == 0) || !gp_lock_read_string(&in->reads, key, name))
        return false;
    append(text, from->text);
    append(text, ".");
    append(text, name);
    if (found) {
        found_attribute(from, text);
        return true;
    }
    path next = {from, text, value, from->more - 1, in};
    return (!in->in_library && gp_lock_visit_items(&in->reads, value, visit_item, &next)) ||
           gp_lock_visit_attributes(&in->reads, value, visit_attribute, &next);
}

/* ---- variables ---- */

/* How a variable leads to it: it is it, or so many attributes lie between; or it contains it. */
typedef enum {
    ITSELF = -1,
    ATTRIBUTE = 0,
    ATTRIBUTE_OF_ATTRIBUTE = 1,
    ITEM = 2,
    OF_MODULE = 3,
} way;

/* Modules have so much that they come last. */
static bool is_worth_it(search *in, const void *value, way how)
{
    const void *type;
    return gp_lock_read_type(&in->reads, value, &type) && (type == &PyModule_Type) == (how == OF_MODULE);
}

/* It is the dict that has the attributes of this value. Only free-threaded builds lock dicts. */
static bool is_dict_of(search *in, const char *name, const void *value)
{
#if defined(Py_GIL_DISABLED)
    path from = {NULL, name, value, 0, in};
    if (in->object == 0 || (uintptr_t)gp_lock_dict_of(&in->reads, value) != in->object)
        return false;
    in->holder->object = in->object;
    become(in->holder->name, name);
    append(in->holder->name, ".__dict__");
    in->holder->owner[0] = '\0';
    name_owner(in, &from);
    return true;
#else
    (void)in, (void)name, (void)value;
    return false;
#endif
}

static bool leads_to_it(search *in, const char *name, const void *value, way how)
{
    path from = {NULL, name, value, how == ATTRIBUTE_OF_ATTRIBUTE, in};
    bool found;
    if (value == NULL || (how != ITSELF && !is_worth_it(in, value, how)))
        return false;
    if (how == ITSELF)
        found = is_it(in, value) && (become(in->holder->name, name), true);
    else if (how == ITEM)
        found = gp_lock_visit_items(&in->reads, value, visit_item, &from);
    else
        found = is_dict_of(in, name, value) ||
                gp_lock_visit_attributes(&in->reads, value, visit_attribute, &from);
    if (found)
        in->root = value;
    return found;
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
    bool is_cell = value != NULL && gp_lock_fetch(&in->reads, value, &copy, sizeof copy) &&
                   Py_TYPE(&copy) == &PyCell_Type;
    return is_cell ? copy.ob_ref : value;
}

static bool local_leads_to_it(search *in, const gp_frame *frame, const PyCodeObject *code, int i, way how)
{
    PyObject *name = PyTuple_GET_ITEM(code->co_localsplusnames, i);
    const void *value = local_at(frame, i);
    if (value != NULL && (how != ITSELF || in->object == 0 || (uintptr_t)value != in->object))
        value = in_cell(in, value);
    return PyUnicode_IS_COMPACT_ASCII(name) &&
           leads_to_it(in, (const char *)PyUnicode_1BYTE_DATA(name), value, how);
}

static bool find_local(search *in, const gp_frame *frame, const PyCodeObject *code, way how)
{
    for (int i = 0; i < code->co_nlocalsplus; i++)
        if (local_leads_to_it(in, frame, code, i, how))
            return true;
    return false;
}

static bool is_local_named(const PyCodeObject *code, int i, const char *wanted)
{
    PyObject *name = PyTuple_GET_ITEM(code->co_localsplusnames, i);
    return PyUnicode_IS_COMPACT_ASCII(name) && strcmp((const char *)PyUnicode_1BYTE_DATA(name), wanted) == 0;
}

/* The object whose method it is; -1: there is none. */
static int self_of(const PyCodeObject *code)
{
    bool has = code->co_argcount > 0 && (is_local_named(code, 0, "self") || is_local_named(code, 0, "cls"));
    return has ? 0 : -1;
}

typedef struct {
    search *in;
    way how;
} global_visit;

static bool visit_global(void *context, const void *key, const void *value)
{
    const global_visit *with = context;
    char name[GP_LOCK_PART_MAX];
    if (with->how == ITSELF) {
        if (!is_it(with->in, value) || !gp_lock_read_string(&with->in->reads, key, name))
            return false;
        become(with->in->holder->name, name);
        with->in->root = value;
        return true;
    }
    return gp_lock_read_string(&with->in->reads, key, name) && strncmp(name, "__", 2) != 0 &&
           leads_to_it(with->in, name, value, with->how);
}

/* The name of a module, from its dict. */
typedef struct {
    search *in;
    char *name;
} module_visit;

static bool visit_module_name(void *context, const void *key, const void *value)
{
    const module_visit *with = context;
    char name[GP_LOCK_PART_MAX];
    return gp_lock_read_string(&with->in->reads, key, name) && strcmp(name, "__name__") == 0 &&
           gp_lock_read_string(&with->in->reads, value, with->name);
}

static void read_module(search *in, const gp_frame *frame, char *text)
{
    char name[GP_LOCK_PART_MAX] = "";
    module_visit with = {in, name};
    gp_lock_reads spare = {64}; /* also if the search has used up its own */
    gp_lock_reads left = in->reads;
    in->reads = spare;
    if (gp_lock_visit_dict(&in->reads, frame->f_globals, visit_module_name, &with))
        become(text, name);
    in->reads = left;
}

static bool find_global(search *in, const gp_frame *frame, way how)
{
    global_visit with = {in, how};
    if (!gp_lock_visit_dict(&in->reads, frame->f_globals, visit_global, &with))
        return false;
    if (in->holder->owner[0] == '\0' && how != OF_MODULE)
        read_module(in, frame, in->holder->owner);
    return true;
}

/* ---- frames ---- */

static char library[LIBRARY_MAX]; /* the folder, with a slash at its end; empty: not known */

void gp_lock_holders_prepare(void)
{
    PyObject *folder = PySys_GetObject("_stdlib_dir"); /* borrowed */
    Py_ssize_t size;
    const char *text =
        folder != NULL && PyUnicode_Check(folder) ? PyUnicode_AsUTF8AndSize(folder, &size) : NULL;
    PyErr_Clear();
    if (text == NULL || size + 2 > LIBRARY_MAX)
        return;
    memcpy(library, text, (size_t)size);
    memcpy(library + size, "/", 2);
}

static bool begins_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The file of a frame's code; NULL: it has none that can be told. */
static const char *file_of(const PyCodeObject *code)
{
    PyObject *file = code->co_filename;
    return PyUnicode_IS_COMPACT_ASCII(file) ? (const char *)PyUnicode_1BYTE_DATA(file) : NULL;
}

static bool is_library(const PyCodeObject *code)
{
    const char *file = file_of(code);
    if (file == NULL)
        return false;
    if (begins_with(file, "<frozen "))
        return true;
    return library[0] != '\0' && begins_with(file, library) && strstr(file, "/site-packages/") == NULL &&
           strstr(file, "/dist-packages/") == NULL;
}

static const PyCodeObject *code_of(const gp_frame *frame)
{
    const PyCodeObject *code = gp_frame_executable(frame);
    bool runs = frame->owner < GP_FRAMES_NOT_PYTHON && code != NULL && PyCode_Check((PyObject *)code);
    return runs ? code : NULL;
}

/* In the program's own frames: what says most comes first. */
static bool find_in_frame(search *in, const gp_frame *frame, const PyCodeObject *code)
{
    int self = self_of(code);
    in->in_library = false;
    in->holder->owner[0] = '\0';
    return (self >= 0 && local_leads_to_it(in, frame, code, self, ATTRIBUTE)) ||
           find_global(in, frame, ITSELF) || find_local(in, frame, code, ITSELF) ||
           find_local(in, frame, code, ATTRIBUTE) || find_local(in, frame, code, ITEM) ||
           find_local(in, frame, code, ATTRIBUTE_OF_ATTRIBUTE) || find_global(in, frame, ITEM) ||
           find_global(in, frame, ATTRIBUTE) || find_global(in, frame, OF_MODULE);
}

/* ---- the library's frames ---- */

/* The attribute of the library's object that leads to the lock: the first of them. */
static void keep_part(gp_lock_holder *holder)
{
    const char *dot = strchr(holder->name, '.');
    become(holder->part, dot != NULL ? dot + 1 : "");
    holder->part[strcspn(holder->part, ".[")] = '\0';
}

/* The import system has a lock for each module. */
static bool is_of_import(search *in, const void *object, const char *type)
{
    const void *name;
    char text[GP_LOCK_PART_MAX];
    if (strcmp(type, "_ModuleLock") != 0)
        return false;
    name = gp_lock_attribute(&in->reads, object, "name");
    if (name == NULL || !gp_lock_read_string(&in->reads, name, text))
        return false;
    become(in->holder->imported, text);
    return true;
}

/* From now on the object whose method runs is looked for, which has the lock. */
static void go_on_with_self(search *in, const gp_frame *frame, const void *self)
{
    gp_lock_holder *holder = in->holder;
    char type[GP_LOCK_PART_MAX], module[GP_LOCK_HOLDER_MAX] = "";
    if (!gp_lock_read_type_name(&in->reads, self, type))
        return;
    keep_part(holder);
    if (is_of_import(in, self, type))
        return;
    holder->synchronizer = is_synchronizer(in, self);
    read_module(in, frame, module);
    become(holder->type, type);
    become(holder->owner, module);
    holder->name[0] = '\0';
    holder->object = in->object = (uintptr_t)self;
}

/* True: that is all that there is to find. */
static bool find_in_library(search *in, const gp_frame *frame, const PyCodeObject *code)
{
    gp_lock_holder before = *in->holder;
    int self = self_of(code);
    const void *value = self >= 0 ? local_at(frame, self) : NULL;
    if (value != NULL)
        value = in_cell(in, value);
    in->in_library = true;
    if (in->object == 0 && find_local(in, frame, code, ITSELF))
        in->object = before.object = in->holder->object;
    if (value != NULL ? leads_to_it(in, "self", value, ATTRIBUTE) : find_local(in, frame, code, ATTRIBUTE)) {
        const void *has = in->root;
        go_on_with_self(in, frame, has);
        return in->holder->imported[0] != '\0';
    }
    *in->holder = before;
    in->holder->owner[0] = '\0';
    if (before.type[0] == '\0' && find_global(in, frame, ITSELF))
        return true;
    *in->holder = before;
    return false;
}

/* What nothing of the program leads to has the name that it has where it is waited for. */
static void name_by_innermost(search *in, const gp_frame *frame)
{
    const PyCodeObject *code = NULL;
    for (; frame != NULL && code == NULL; frame = code == NULL ? frame->previous : frame)
        code = code_of(frame);
    in->reads = (gp_lock_reads){READS_MAX / 4};
    if (code != NULL && in->holder->name[0] == '\0' && in->holder->type[0] == '\0')
        find_local(in, frame, code, ITSELF);
}

bool gp_lock_holders_find(uintptr_t wanted, uintptr_t lock, const void *frame, gp_lock_holder *holder)
{
    search in = {.object = wanted, .lock = lock, .reads = {READS_MAX}, .holder = holder};
    gp_lock_holder found = {.object = 0}; /* in the library */
    int inner = 0, own = 0;
    *holder = (gp_lock_holder){.object = 0};
    for (const gp_frame *at = frame; at != NULL && own < FRAMES_UP && in.reads.left > 0; at = at->previous) {
        const PyCodeObject *code = code_of(at);
        if (code == NULL)
            continue;
        if (is_library(code)) {
            if (own == 0 && inner++ < LIBRARY_UP && find_in_library(&in, at, code))
                return true;
            continue;
        }
        if (own++ == 0)
            found = *holder;
        if (find_in_frame(&in, at, code))
            return true;
        *holder = found;
    }
    name_by_innermost(&in, frame);
    return holder->object != 0;
}

bool gp_lock_holders_imports(const void *frame)
{
    for (const gp_frame *at = frame; at != NULL; at = at->previous) {
        const PyCodeObject *code = code_of(at);
        if (code != NULL)
            return file_of(code) != NULL && begins_with(file_of(code), "<frozen importlib");
    }
    return false;
}
