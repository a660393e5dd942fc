#include "base/gp_buffer.h"

#include <string.h>

#include "base/gp_memory.h"

enum {
    FIRST_ROOM = 4096,
};

static bool grow(gp_buffer *buffer, size_t needed)
{
    size_t room = buffer->room != 0 ? buffer->room : FIRST_ROOM;
    while (room < needed) {
        if (room > SIZE_MAX / 2)
            return false;
        room *= 2;
    }
    uint8_t *bytes = gp_memory_map(room);
    if (bytes == NULL)
        return false;
    if (buffer->size != 0)
        memcpy(bytes, buffer->bytes, buffer->size);
    gp_memory_unmap(buffer->bytes, buffer->room);
    buffer->bytes = bytes;
    buffer->room = room;
    return true;
}

bool gp_buffer_reserve(gp_buffer *buffer, size_t more)
{
    if (buffer->failed)
        return false;
    if (more <= buffer->room - buffer->size)
        return true;
    buffer->failed = more > SIZE_MAX - buffer->size || !grow(buffer, buffer->size + more);
    return !buffer->failed;
}

void gp_buffer_number(gp_buffer *buffer, uint64_t value)
{
    if (!gp_buffer_reserve(buffer, GP_NUMBER_MAX))
        return;
    uint8_t *end = gp_number_put(buffer->bytes + buffer->size, value);
    buffer->size = (size_t)(end - buffer->bytes);
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
