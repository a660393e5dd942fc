#define _GNU_SOURCE
#include "base/gp_memory.h"

#if defined(_WIN32)

#include <stdlib.h>

/* There is no tracer here, so no hook that could deadlock with malloc. */
void *gp_memory_map(size_t size)
{
    return calloc(1, size);
}

void gp_memory_unmap(void *memory, size_t size)
{
    (void)size;
    free(memory);
}

#else

#include <errno.h>
#include <sys/mman.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

void *gp_memory_map(size_t size)
{
    int saved = errno;
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    return memory == MAP_FAILED ? NULL : memory;
}

void gp_memory_unmap(void *memory, size_t size)
{
    if (memory != NULL)
        munmap(memory, size);
}

#endif
