#ifndef GP_BUFFER_H
#define GP_BUFFER_H

/* A growable buffer for the payloads of a recording (docs/recording-format.md). Its memory comes from
 * gp_memory.h, so that it may be filled where malloc must not be called. One thread at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GP_NUMBER_MAX = 10,     /* bytes of the longest number */
    GP_STRING_MAX = 0xFFFF, /* bytes of the longest string */
};

/* Zeroed memory is an empty buffer. */
typedef struct {
    uint8_t *bytes;
    size_t size, room;
    bool failed; /* there was no memory: the content is useless until gp_buffer_clear */
} gp_buffer;

/* An array of at least `wanted` elements of this size: `array`, or if it is too small another, to which its
 * first `used` elements are moved. It has *room elements, twice as many each time; 0 at first, where `array`
 * is NULL. NULL without memory: `array` is then as before. */
void *gp_array_enlarge(void *array, size_t size, size_t used, size_t wanted, size_t *room);

/* Make room for `more` bytes behind `size`. False, and `failed` is set, when there is no memory. */
bool gp_buffer_reserve(gp_buffer *buffer, size_t more);

/* Write an unsigned LEB128 varint to `at`, which has room for GP_NUMBER_MAX bytes; returns its end. */
static inline uint8_t *gp_number_put(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* Fold the sign into the lowest bit, so that small negative numbers are short too. */
static inline uint64_t gp_number_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
}

/* Append a number, a signed number, a string (its length, then its first GP_STRING_MAX bytes), bytes as they
 * are. Without memory they set `failed`. */
void gp_buffer_number(gp_buffer *buffer, uint64_t value);
void gp_buffer_signed(gp_buffer *buffer, int64_t value);
void gp_buffer_string(gp_buffer *buffer, const char *string, size_t size);
void gp_buffer_raw(gp_buffer *buffer, const void *bytes, size_t size);

/* Append several numbers. */
void gp_buffer_add(gp_buffer *buffer, const uint64_t *numbers, size_t count);
#define gp_buffer_numbers(buffer, ...)                                                                       \
    gp_buffer_add(buffer, (const uint64_t[]){__VA_ARGS__},                                                   \
                  sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* Empty it and forget a failure; keeps the room. */
void gp_buffer_clear(gp_buffer *buffer);

/* Give its memory back; it is empty afterwards. */
void gp_buffer_free(gp_buffer *buffer);

#endif
