#include "recording/gp_chunk.h"

/* ---- checksum: eight bytes a step, each through a table of its own ("slicing by 8", Kounavis and Berry,
 * IEEE ISCC 2005) ---- */

enum {
    SLICES = 8,
};

static const uint32_t polynomial = 0xEDB88320; /* that of IEEE 802.3, lowest power first */

static uint32_t tables[SLICES][256]; /* [n][byte]: the effect of a byte on the remainder n bytes later */

/* When the library is loaded: later any thread may need it first, also where it may take no lock. */
__attribute__((constructor)) static void fill_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t rest = byte;
        for (int bit = 0; bit < 8; bit++)
            rest = rest >> 1 ^ (rest & 1 ? polynomial : 0);
        tables[0][byte] = rest;
    }
    for (int slice = 1; slice < SLICES; slice++)
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t rest = tables[slice - 1][byte];
            tables[slice][byte] = rest >> 8 ^ tables[0][rest & 0xFF];
        }
}

uint32_t gp_crc32(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    crc = ~crc;
    for (; size >= SLICES; size -= SLICES, at += SLICES) {
        crc ^= gp_chunk_get32(at);
        crc = tables[7][crc & 0xFF] ^ tables[6][crc >> 8 & 0xFF] ^ tables[5][crc >> 16 & 0xFF] ^
              tables[4][crc >> 24] ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^
              tables[0][at[7]];
    }
    for (; size != 0; size--)
        crc = crc >> 8 ^ tables[0][(crc ^ *at++) & 0xFF];
    return ~crc;
}

/* ---- header and chunks ---- */

uint32_t gp_chunk_get32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void put32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

void gp_chunk_put_header(gp_buffer *out)
{
    uint8_t header[GP_RECORDING_HEADER] = "GILPROBE";
    put32(header + 8, GP_RECORDING_VERSION);
    put32(header + 12, gp_crc32(0, header, 12));
    gp_buffer_raw(out, header, sizeof header);
}

size_t gp_chunk_begin(gp_buffer *out, const char type[4])
{
    size_t begin = out->size;
    gp_buffer_raw(out, type, 4);
    gp_buffer_raw(out, (const uint8_t[8]){0}, 8);
    return begin;
}

uint32_t gp_chunk_checksum(const uint8_t header[GP_CHUNK_HEADER], const void *payload, size_t size)
{
    return gp_crc32(gp_crc32(0, header, 8), payload, size);
}

void gp_chunk_end(gp_buffer *out, size_t begin)
{
    if (out->failed)
        return;
    uint8_t *header = out->bytes + begin;
    size_t size = out->size - begin - GP_CHUNK_HEADER;
    if (size > GP_CHUNK_PAYLOAD_MAX) {
        out->failed = true;
        return;
    }
    put32(header + 4, (uint32_t)size);
    put32(header + 8, gp_chunk_checksum(header, header + GP_CHUNK_HEADER, size));
}
