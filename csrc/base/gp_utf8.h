#ifndef GP_UTF8_H
#define GP_UTF8_H

/* Text in units of a fixed width, as the interpreter keeps it (PEP 393), to UTF-8 in a buffer of a fixed
 * size. Lone surrogates become three bytes each, as with Python's error handler "surrogatepass"; a value that
 * is no code point becomes U+FFFD. Never allocates; the output is not terminated. */

#include <stddef.h>

enum {
    GP_UTF8_MAX = 4, /* bytes a code point */
};

typedef struct {
    const void *units;
    size_t length;  /* in units */
    unsigned width; /* of a unit in bytes: 1 (Latin-1), 2 or 4 */
} gp_utf8_source;

/* Write the text; if `room` bytes are too few, its beginning and "...". Returns the bytes written. */
size_t gp_utf8_head(gp_utf8_source source, char *bytes, size_t room);

/* Write the text; if `room` bytes are too few, "..." and its end. Returns the bytes written. */
size_t gp_utf8_tail(gp_utf8_source source, char *bytes, size_t room);

/* How many bytes of UTF-8 there are in the first `room`, without a part of a character. */
size_t gp_utf8_cut(const char *bytes, size_t size, size_t room);

/* Replace each byte of a terminated string that is not part of UTF-8 by a question mark. */
void gp_utf8_repair(char *string);

#endif
