#include "cpython/gp_linetable.h"

/* Only the first byte of an entry has the top bit set. Below it are the kind (4 bits) and the number of code
 * units that the entry covers, less one (3 bits). */
enum {
    ENTRY = 0x80,
    KIND_ONE_LINE = 10, /* and the next two kinds: the kind says the distance in lines */
    KIND_NO_COLUMNS = 13,
    KIND_LONG = 14,
    KIND_NOWHERE = 15,
    CODE_UNIT = 2,
};

static int32_t as_line(int64_t line)
{
    return line > 0 && line <= INT32_MAX ? (int32_t)line : 0;
}

/* Six bits a byte, the lowest first, bit 6 set where more follow; the lowest bit of the whole is the sign. */
static int64_t signed_number(const uint8_t *at, const uint8_t *end)
{
    uint32_t value = 0;
    for (unsigned shift = 0; at < end && shift < 32; shift += 6, at++) {
        value |= (uint32_t)(*at & 0x3F) << shift;
        if ((*at & 0x40) == 0)
            break;
    }
    int64_t magnitude = value >> 1;
    return value & 1 ? -magnitude : magnitude;
}

static int64_t line_distance(unsigned kind, const uint8_t *rest, const uint8_t *end)
{
    if (kind == KIND_NO_COLUMNS || kind == KIND_LONG)
        return signed_number(rest, end);
    return kind >= KIND_ONE_LINE && kind < KIND_NO_COLUMNS ? (int64_t)kind - KIND_ONE_LINE : 0;
}

void gp_linetable_begin(gp_linetable_search *search, int32_t first_line, int32_t instruction)
{
    *search = (gp_linetable_search){.instruction = instruction, .line = first_line};
    if (instruction < 0) {
        search->found = true;
        search->answer = as_line(first_line);
    }
}

static void take_entry(gp_linetable_search *search, const uint8_t *entry, const uint8_t *end)
{
    unsigned kind = (*entry >> 3) & 0xF;
    search->line += line_distance(kind, entry + 1, end);
    search->covered += ((*entry & 7) + 1) * CODE_UNIT;
    if (search->instruction < search->covered) {
        search->found = true;
        search->answer = kind == KIND_NOWHERE ? 0 : as_line(search->line);
    }
}

size_t gp_linetable_feed(gp_linetable_search *search, const uint8_t *piece, size_t size, bool last)
{
    const uint8_t *entry = piece, *end = piece + size;
    if (size != 0 && (*entry & ENTRY) == 0)
        return 0; /* this is no table */
    while (entry < end && !search->found) {
        const uint8_t *next = entry + 1;
        while (next < end && (*next & ENTRY) == 0)
            next++;
        if (next == end && !last)
            break; /* it may go on in the next piece */
        take_entry(search, entry, next);
        entry = next;
    }
    return (size_t)(entry - piece);
}

int32_t gp_linetable_line(const uint8_t *table, size_t size, int32_t first_line, int32_t instruction)
{
    gp_linetable_search search;
    gp_linetable_begin(&search, first_line, instruction);
    gp_linetable_feed(&search, table, size, true);
    return search.found ? search.answer : 0;
}
