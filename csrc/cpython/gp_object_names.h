#ifndef GP_OBJECT_NAMES_H
#define GP_OBJECT_NAMES_H

/* How objects are called that a thread works with while nobody holds it up: by safe reads only, without the
 * GIL. Memory may be gone or changing; then a name is missing, or wrong. */

#include <Python.h>

#include <stdbool.h>
#include <stddef.h>

#include "base/gp_safe_read.h"

/* A name that is being put together: terminated, and cut where there is no more room. */
typedef struct {
    char *bytes;
    size_t room, size;
} gp_name;

void gp_name_append(gp_name *name, const char *text);

/* Leave only so many bytes; and remove those between two places. */
void gp_name_cut(gp_name *name, size_t size);
void gp_name_remove(gp_name *name, size_t begin, size_t end);

/* Append the name of an object's type: `list`, `re.Pattern`. False if it can't be read. */
bool gp_object_type_name(gp_safe_reader *reader, const void *object, gp_name *name);

/* Append a string object: ASCII, or with what is not replaced. */
bool gp_object_string(gp_safe_reader *reader, const void *string, gp_name *name);

/* For gp_object_*.c only. */

enum {
    GP_NAME_PART_MAX = 80, /* bytes of one part of a name, terminated */
};

/* What is read of a type: up to its flags. */
typedef union {
    PyTypeObject type;
    char bytes[offsetof(PyTypeObject, tp_flags) + sizeof(unsigned long)];
} gp_type_copy;

bool gp_object_read_type(gp_safe_reader *reader, const void *type, gp_type_copy *copy);

/* Read a name that is a string of C. False if no name stands there. */
bool gp_object_read_text(gp_safe_reader *reader, const char *from, char text[GP_NAME_PART_MAX]);

/* Append such a name, or that of a type. */
bool gp_object_text(gp_safe_reader *reader, const char *from, gp_name *name);
bool gp_object_type(gp_safe_reader *reader, const void *type, gp_name *name);

/* Whether a text may be a name of C. */
bool gp_object_is_name(const char *text);

#endif
