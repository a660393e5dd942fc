#include "base/gp_utf8.h"

#include <stdint.h>
#include <string.h>

static const char cut[] = "...";

static uint32_t code_point(const gp_utf8_source *source, size_t index)
{
    uint32_t point;
    switch (source->width) {
    case 1:
        return ((const uint8_t *)source->units)[index];
    case 2:
        return ((const uint16_t *)source->units)[index];
    default:
        point = ((const uint32_t *)source->units)[index];
        return point <= 0x10FFFF ? point : 0xFFFD;
    }
}

static size_t encoded_size(uint32_t point)
{
    return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

static size_t encode(uint32_t point, char *bytes)
{
    static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    size_t size = encoded_size(point);
    for (size_t i = size - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    bytes[0] = (char)(marks[size] | point);
    return size;
}

static size_t mark_size(size_t room)
{
    return room < sizeof cut - 1 ? room : sizeof cut - 1;
}

size_t gp_utf8_head(gp_utf8_source source, char *bytes, size_t room)
{
    size_t mark = mark_size(room), used = 0, kept = 0; /* kept: bytes that leave room for the mark */
    for (size_t i = 0; i < source.length; i++) {
        uint32_t point = code_point(&source, i);
        if (encoded_size(point) > room - used) {
            memcpy(bytes + kept, cut, mark);
            return kept + mark;
        }
        used += encode(point, bytes + used);
        if (used <= room - mark)
            kept = used;
    }
    return used;
}

size_t gp_utf8_tail(gp_utf8_source source, char *bytes, size_t room)
{
    size_t mark = mark_size(room), used = 0;
    size_t first = source.length, kept = first; /* kept: the first unit that leaves room for the mark */
    while (first > 0) {
        size_t size = encoded_size(code_point(&source, first - 1));
        if (size > room - used)
            break;
        used += size;
        first--;
        if (used <= room - mark)
            kept = first;
    }
    size_t written = 0;
    if (first > 0) {
        memcpy(bytes, cut, mark);
        written = mark;
        first = kept;
    }
    for (size_t i = first; i < source.length; i++)
        written += encode(code_point(&source, i), bytes + written);
    return written;
}

size_t gp_utf8_cut(const char *bytes, size_t size, size_t room)
{
    if (size <= room)
        return size;
    while (room > 0 && ((uint8_t)bytes[room] & 0xC0) == 0x80)
        room--;
    return room;
}

/* Bytes of the character that begins here; 0 if there is none. Stops at a terminating zero. */
static size_t character_size(const char *at)
{
    uint8_t first = (uint8_t)at[0];
    size_t size = first < 0x80 ? 1 : first < 0xC0 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (size < 2)
        return size;
    uint32_t point = first & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) {
        if (((uint8_t)at[i] & 0xC0) != 0x80)
            return 0;
        point = point << 6 | ((uint8_t)at[i] & 0x3F);
    }
    /* the shortest form only, and a code point; a first byte above 0xF7 begins none */
    return first < 0xF8 && encoded_size(point) == size && point <= 0x10FFFF ? size : 0;
}

void gp_utf8_repair(char *string)
{
    while (*string != '\0') {
        size_t size = character_size(string);
        if (size == 0)
            *string = '?';
        string += size != 0 ? size : 1;
    }
}
