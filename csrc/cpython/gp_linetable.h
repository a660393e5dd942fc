#ifndef GP_LINETABLE_H
#define GP_LINETABLE_H

/* The location table of a code object (CPython 3.11 and later: Objects/locations.md, since 3.14
 * InternalDocs/code_objects.md): which line an instruction belongs to. The bytes may be anything: bytes that
 * are no table give no line. Never allocates. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A search for one instruction. The table may come in pieces. */
typedef struct {
    int64_t instruction; /* in bytes from the first one */
    int64_t covered;     /* bytes of code that the entries so far cover */
    int64_t line;        /* of the last entry that has one */
    bool found;          /* an entry covers the instruction: `answer` is the result */
    int32_t answer;
} gp_linetable_search;

/* Begin: `first_line` is the code object's. */
void gp_linetable_begin(gp_linetable_search *search, int32_t first_line, int32_t instruction);

/* Go on with the next piece; `last`: the table ends with it. Returns how many of its bytes were used: the
 * next piece begins there. If none of GP_LINETABLE_PIECE or more bytes were used, the bytes are no table:
 * stop. */
size_t gp_linetable_feed(gp_linetable_search *search, const uint8_t *piece, size_t size, bool last);

enum {
    GP_LINETABLE_PIECE = 64, /* more than the longest entry, which is 26 bytes */
};

/* Return the line of an instruction, 0 if it has none. An instruction below 0 is that of a frame that has not
 * begun: it has the first line. */
int32_t gp_linetable_line(const uint8_t *table, size_t size, int32_t first_line, int32_t instruction);

#endif
