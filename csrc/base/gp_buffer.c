#include "base/gp_buffer.h"

#include <string.h>

#include "base/gp_memory.h"

enum {
    FIRST_SIZE = 4096, /* bytes */
};

void *gp_array_enlarge(void *array, size_t size, size_t used, size_t wanted, size_t *room)
{
    size_t larger = *room != 0 ? *room : FIRST_SIZE / size;
    for (; larger < wanted; larger *= 2)
        if (larger > SIZE_MAX / 2 / size)
            return NULL;
    if (larger == *room)
        return array;
    void *memory = gp_memory_map(larger * size);
    if (memory == NULL)
        return NULL;
    if (used != 0)
        memcpy(memory, array, used * size);
    gp_memory_unmap(array, *room * size);
    *room = larger;
    return memory;
}

bool gp_buffer_reserve(gp_buffer *buffer, size_t more)
{
    if (buffer->failed)
        return false;
    if (more <= buffer->room - buffer->size)
        return true;
    uint8_t *bytes = more <= SIZE_MAX - buffer->size ? gp_array_enlarge(buffer->bytes, 1, buffer->size,
                                                                        buffer->size + more, &buffer->room)
                                                     : NULL;
    buffer->failed = bytes == NULL;
    if (bytes != NULL)
        buffer->bytes = bytes;
    return bytes != NULL;
}

void gp_buffer_number(gp_buffer *buffer, uint64_t value)
{
    if (!gp_buffer_reserve(buffer, GP_NUMBER_MAX))
        return;
    uint8_t *end = gp_number_put(buffer->bytes + buffer->size, value);
    buffer->size = (size_t)(end - buffer->bytes);
}

void gp_buffer_add(gp_buffer *buffer, const uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gp_buffer_number(buffer, numbers[i]);
}

void gp_buffer_signed(gp_buffer *buffer, int64_t value)
{
    gp_buffer_number(buffer, gp_number_zigzag(value));
}

void gp_buffer_string(gp_buffer *buffer, const char *string, size_t size)
{
    if (size > GP_STRING_MAX)
        size = GP_STRING_MAX;
    gp_buffer_number(buffer, size);
    gp_buffer_raw(buffer, string, size);
}

void gp_buffer_raw(gp_buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0 || !gp_buffer_reserve(buffer, size))
        return;
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
}

void gp_buffer_clear(gp_buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
}

void gp_buffer_free(gp_buffer *buffer)
{
    gp_memory_unmap(buffer->bytes, buffer->room);
    *buffer = (gp_buffer){0};
}
