#include "cpython/gp_frames_layout.h"

#include "cpython/gp_object_names.h"

#include <string.h>

#include "cpython/gp_frames_read_safely.h"

enum {
    PAGE = 4096, /* or a multiple of it */
};

void gp_name_append(gp_name *name, const char *text)
{
    while (*text != '\0' && name->size + 1 < name->room)
        name->bytes[name->size++] = *text++;
    if (name->room != 0)
        name->bytes[name->size] = '\0';
}

void gp_name_cut(gp_name *name, size_t size)
{
    name->size = size;
    if (name->room != 0)
        name->bytes[size] = '\0';
}

void gp_name_remove(gp_name *name, size_t begin, size_t end)
{
    memmove(name->bytes + begin, name->bytes + end, name->size - end);
    gp_name_cut(name, name->size - (end - begin));
}

/* Names of C are ASCII; whatever else stands there is no name. */
bool gp_object_is_name(const char *text)
{
    const char *byte = text;
    while (*byte > ' ' && *byte < 0x7F)
        byte++;
    return byte != text && *byte == '\0';
}

/* A string of C: no more than is readable, up to its end or to the end of the page and then of the next. */
bool gp_object_read_text(gp_safe_reader *reader, const char *from, char text[GP_NAME_PART_MAX])
{
    size_t left = PAGE - (uintptr_t)from % PAGE,
           first = left < GP_NAME_PART_MAX - 1 ? left : GP_NAME_PART_MAX - 1;
    memset(text, 0, GP_NAME_PART_MAX);
    if (from == NULL || !gp_safe_read(reader, from, text, first))
        return false;
    if (memchr(text, '\0', first) == NULL &&
        !gp_safe_read(reader, from + first, text + first, GP_NAME_PART_MAX - 1 - first))
        return false;
    return gp_object_is_name(text);
}

bool gp_object_text(gp_safe_reader *reader, const char *from, gp_name *name)
{
    char text[GP_NAME_PART_MAX];
    if (!gp_object_read_text(reader, from, text))
        return false;
    gp_name_append(name, text);
    return true;
}

bool gp_object_read_type(gp_safe_reader *reader, const void *type, gp_type_copy *copy)
{
    return gp_safe_read(reader, type, copy, sizeof copy->bytes) && copy->type.tp_basicsize > 0 &&
           (copy->type.tp_flags & Py_TPFLAGS_READY) != 0;
}

bool gp_object_type(gp_safe_reader *reader, const void *type, gp_name *name)
{
    gp_type_copy copy;
    return gp_object_read_type(reader, type, &copy) && gp_object_text(reader, copy.type.tp_name, name);
}

bool gp_object_type_name(gp_safe_reader *reader, const void *object, gp_name *name)
{
    PyObject head;
    return gp_safe_read(reader, object, &head, sizeof head) && gp_object_type(reader, Py_TYPE(&head), name);
}

bool gp_object_string(gp_safe_reader *reader, const void *string, gp_name *name)
{
    char text[GP_NAME_PART_MAX];
    gp_frames_safe_string(reader, string, text, sizeof text);
    gp_name_append(name, text);
    return strcmp(text, "?") != 0;
}
