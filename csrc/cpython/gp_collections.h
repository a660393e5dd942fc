#ifndef GP_COLLECTIONS_H
#define GP_COLLECTIONS_H

/* Have the garbage collector of the calling thread's interpreter call us at the start and the stop of each
 * collection: by a built-in function in gc.callbacks. It makes no object and raises nothing, and Python sees
 * no frame of it. Costs about half a microsecond a collection, most of it the interpreter's own. */

#include <stdbool.h>

/* Be called from now on, or no more; `callbacks` is gc.callbacks, always the same list. What else is in
 * gc.callbacks stays as it is, also where the program has taken our function out of it. False without memory.
 * With the GIL, and no exception set. */
bool gp_collections_follow(void *callbacks, bool follow);

#endif
