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

/* Append the name of an object's type: `list`, `re.Pattern`. False if it can't be read. */
bool gp_object_type_name(gp_safe_reader *reader, const void *object, gp_name *name);

/* Append a string object: ASCII, or with what is not replaced. */
bool gp_object_string(gp_safe_reader *reader, const void *string, gp_name *name);

typedef enum {
    GP_CALLABLE_UNKNOWN, /* it can't be called, or not be read */
    GP_CALLABLE_C,       /* its name is appended: `sorted`, `zlib.compress`, `list.sort` */
    GP_CALLABLE_PYTHON,  /* it runs Python code: no name is appended */
} gp_callable;

/* What is called with a callable: of a bound method and a partial, what is in it. */
gp_callable gp_object_callable(gp_safe_reader *reader, const void *object, gp_name *name);

#endif
