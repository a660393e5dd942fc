#ifndef GP_EVENTS_H
#define GP_EVENTS_H

/* Events of a ring as a chunk of a recording. */

#include "base/gp_buffer.h"
#include "base/gp_ring.h"

/* Append an EVNT chunk with these events, at most GP_CHUNK_EVENTS_MAX; nothing if there are none. *end is
 * when the last one of the source ended; 0 at the start. Returns how many were written: without memory
 * out->failed is set and they are lost. */
size_t gp_events_encode(uint64_t *end, const gp_interval *events, size_t count, uint32_t interpreter,
                        uint64_t dropped, gp_buffer *out);

#endif
