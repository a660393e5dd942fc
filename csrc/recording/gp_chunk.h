#ifndef GP_CHUNK_H
#define GP_CHUNK_H

/* The outer form of a recording (docs/recording-format.md), for the writer and the reader: a header, then
 * chunks with a checksum each. */

#include <stddef.h>
#include <stdint.h>

#include "base/gp_buffer.h"

enum {
    GP_RECORDING_VERSION = 1,
    GP_RECORDING_HEADER = 16,          /* bytes before the first chunk */
    GP_CHUNK_HEADER = 12,              /* bytes before the payload */
    GP_CHUNK_PAYLOAD_MAX = 1 << 26,    /* bytes */
    GP_CHUNK_EVENTS_MAX = 1 << 20,     /* events of one EVNT */
    GP_CHUNK_LOCK_WAITS_MAX = 1 << 18, /* waits of one LWAT */
};

/* The CRC-32 of zlib, PNG and Ethernet; `crc` is that of the bytes before, 0 at the start. */
uint32_t gp_crc32(uint32_t crc, const void *bytes, size_t size);

uint32_t gp_chunk_get32(const uint8_t *bytes);

/* Append the recording's header. */
void gp_chunk_put_header(gp_buffer *out);

/* Begin a chunk. Returns its position, for gp_chunk_end. What is appended in between is its payload. */
size_t gp_chunk_begin(gp_buffer *out, const char type[4]);

/* Complete the chunk with its length and checksum. If the payload is too long, out->failed is set. */
void gp_chunk_end(gp_buffer *out, size_t begin);

/* The checksum that a chunk must carry: of its type, its length and its payload. */
uint32_t gp_chunk_checksum(const uint8_t header[GP_CHUNK_HEADER], const void *payload, size_t size);

#endif
