#ifndef GP_OBJECT_ATTRIBUTE_H
#define GP_OBJECT_ATTRIBUTE_H

/* What an object keeps as an attribute of its own, in its dict or without one. By safe reads only, without
 * the GIL: an attribute that is just being set may be missing, and what is returned may be gone. */

#include "base/gp_safe_read.h"

/* The value of an attribute of `owner` with this name, of ASCII. NULL: there is none, or it can't be read. */
const void *gp_object_attribute(gp_safe_reader *reader, const void *owner, const char *name);

#endif
