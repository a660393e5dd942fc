#ifndef GP_LOCK_OBJECTS_H
#define GP_LOCK_OBJECTS_H

/* What an object has: entries of dicts, attributes, items of containers. By safe reads only, by a thread that
 * may be detached: another may change or free all of it meanwhile. Then something is missing, or wrong. */

#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GP_LOCK_PART_MAX = 48, /* bytes of one name, with its end: longer ones are cut */
};

/* How many more reads there may be, each some hundred nanoseconds. */
typedef struct {
    int left;
} gp_lock_reads;

bool gp_lock_fetch(gp_lock_reads *reads, const void *from, void *to, size_t size);

/* A string of ASCII; of others there is none. */
bool gp_lock_read_string(gp_lock_reads *reads, const void *from, char text[GP_LOCK_PART_MAX]);

/* The type of an object, and its name without its module; of a class its own name. */
bool gp_lock_read_type(gp_lock_reads *reads, const void *of, const void **type);
bool gp_lock_read_type_name(gp_lock_reads *reads, const void *of, char text[GP_LOCK_PART_MAX]);

/* The module that the type of an object was defined in, if that was done in Python. */
bool gp_lock_read_type_module(gp_lock_reads *reads, const void *of, char text[GP_LOCK_PART_MAX]);

/* Called with a key, mostly the string object that is a name, and a value. True ends it. */
typedef bool gp_lock_visit_key(void *context, const void *key, const void *value);

bool gp_lock_visit_dict(gp_lock_reads *reads, const void *dict, gp_lock_visit_key *visit, void *context);

/* The attributes of an object: its own, those in slots, those of its type; of a type and of a module those in
 * its dict. */
bool gp_lock_visit_attributes(gp_lock_reads *reads, const void *of, gp_lock_visit_key *visit, void *context);

/* The items of a list or tuple, and the values of a dict, up to some number; keys are NULL. */
bool gp_lock_visit_items(gp_lock_reads *reads, const void *of, gp_lock_visit_key *visit, void *context);

/* The dict that has the attributes of a class, a module or an object; NULL: there is none. */
const void *gp_lock_dict_of(gp_lock_reads *reads, const void *of);

/* The value of an attribute of the object itself; NULL: there is none. */
const void *gp_lock_attribute(gp_lock_reads *reads, const void *of, const char *name);

#endif
