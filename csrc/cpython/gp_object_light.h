#ifndef GP_OBJECT_LIGHT_H
#define GP_OBJECT_LIGHT_H

/* Which objects an operator deals with in no time, as plain Python code does all the time: its operators are
 * no callees. By safe reads only, without the GIL. */

#include <stdbool.h>

#include "base/gp_safe_read.h"

/* A number of few digits, a short text, a short list; also an iterator over what is in memory already.
 * Of an unknown type: false. */
bool gp_object_is_light(gp_safe_reader *reader, const void *object);

/* Nobody refers to it any more: it is being freed, or was. */
bool gp_object_is_going(gp_safe_reader *reader, const void *object);

/* It finds an item by its index or its key without a search; and tells so whether it contains one. */
bool gp_object_finds_items(gp_safe_reader *reader, const void *object);
bool gp_object_finds_members(gp_safe_reader *reader, const void *object);

#endif
