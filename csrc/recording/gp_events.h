#ifndef GP_EVENTS_H
#define GP_EVENTS_H

/* Events of a ring as a chunk of a recording. */

#include "base/gp_buffer.h"
#include "base/gp_ring.h"

/* The state of the encoder of one ring. Zeroed at the start. */
typedef struct {
    gp_ring_decoder decoder;
    uint64_t end; /* of the last interval */
} gp_events_encoder;

/* Append an EVNT chunk with events from gp_ring_pop_many (at most GP_CHUNK_EVENTS_MAX), nothing if they hold
 * no interval. Returns the number of intervals. Without memory out->failed is set and they are lost. */
size_t gp_events_encode(gp_events_encoder *encoder, const gp_event *events, size_t count,
                        uint32_t interpreter, uint64_t dropped, gp_buffer *out);

#endif
