#ifndef GP_OPERATORS_H
#define GP_OPERATORS_H

/* What instructions do that are no calls, in words: as in the source where it is short, else as people say.
 */

#include "cpython/gp_stack_depth.h"

/* When it takes no time, as plain Python code's do. */
typedef enum {
    GP_LIGHT_OPERANDS,        /* if its objects are light (gp_object_light.h) */
    GP_LIGHT_LOOP,            /* if the first object is light, or finds items or members */
    GP_LIGHT_ITEM,            /* if the first object finds items, and the key is light */
    GP_LIGHT_MEMBER,          /* if the first object finds members, and the key is light */
    GP_LIGHT_KNOWN,           /* if it is specialised: the attribute is where the interpreter remembers it */
    GP_LIGHT_UNLESS_IT_LASTS, /* of objects that are light, or that are not known */
} gp_light_if;

/* The words, and around them the types of one or two objects on the frame's stack: `before`, first type,
 * `between`, second type, `after`. Places count from the top of the stack as it is before the instruction; 0:
 * there is no such object. */
typedef struct {
    uint8_t opcode, first, second, key;
    gp_light_if light_if;
    bool leaves_objects;  /* on the stack until C has returned */
    bool names_attribute; /* the name of the attribute stands after the first type */
    const char *before, *between, *after;
} gp_operator;

/* False: it is none that can take long. */
bool gp_operators_find(gp_instruction at, gp_operator *found);

/* The index of the attribute's name in co_names. */
uint32_t gp_operators_attribute(gp_instruction at);

/* Whether it lets an object go, and does nothing else that can take long. */
bool gp_operators_frees(gp_instruction at);

#endif
