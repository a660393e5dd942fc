#ifndef GP_MEMORY_H
#define GP_MEMORY_H

/* Memory for code that runs in the interpreter's own calls: straight from the operating system, since
 * malloc's locks may be held by the very thread that runs the hook. errno is left alone. */

#include <stddef.h>

/* Zeroed memory; only pages that are touched use up any. NULL if there is none. */
void *gp_memory_map(size_t size);

/* `size` as given to gp_memory_map. NULL is fine. */
void gp_memory_unmap(void *memory, size_t size);

#endif
