#ifndef GP_OBJECT_CALLABLE_H
#define GP_OBJECT_CALLABLE_H

/* What runs when an object is called. By safe reads only, as gp_object_names.h. */

#include "cpython/gp_object_names.h"

enum {
    GP_ARGUMENTS_MAX = 4, /* the first ones: who calls another callable has it among them */
};

/* What an object is called with, from its first argument on. */
typedef struct {
    const void *first[GP_ARGUMENTS_MAX];
    size_t count;
    const void *tuple; /* has those that follow; NULL: they are not known */
    size_t taken;      /* of the tuple */
} gp_arguments;

typedef enum {
    GP_CALLABLE_UNKNOWN, /* it can't be called, or not be read */
    GP_CALLABLE_C,       /* its name is appended: `sorted`, `zlib.compress`, `list.sort` */
    GP_CALLABLE_PYTHON,  /* it runs Python code: no name is appended */
} gp_callable;

/* Name what is called with a callable. One that only calls another one is looked through: a bound method, a
 * partial, `Context.run`, a cache. Of the arguments those are left that a function, or a method beside its
 * object, is called with. */
gp_callable gp_object_callable(gp_safe_reader *reader, const void *object, gp_arguments *arguments,
                               gp_name *name);

/* Append the name of an object's type, as gp_object_type_name does; of an iterator that calls a function of C
 * for each item, with that: `map(sorted)`. */
bool gp_object_type_with_callable(gp_safe_reader *reader, const void *object, gp_name *name);

/* Append " over map(sorted)" if the first of those is such an iterator, which the call then works through. */
void gp_object_append_iterator(gp_safe_reader *reader, gp_arguments *arguments, gp_name *name);

#endif
