#ifndef GP_EVENTS_H
#define GP_EVENTS_H

/* Events of a ring as a chunk of a recording. */

#include "base/gp_buffer.h"
#include "base/gp_ring.h"

/* Where the encoder of one ring stands. Zeroed at the start. */
typedef struct {
    gp_ring_decoder decoder;
    uint64_t end; /* of the interval before */
} gp_events_encoder;

/* Append an EVNT chunk with what gp_ring_pop_many gave (at most GP_CHUNK_EVENTS_MAX), nothing if that holds
 * no interval. Returns the number of intervals. Without memory `out` is failed and they are lost. */
size_t gp_events_encode(gp_events_encoder *encoder, const gp_event *events, size_t count,
                        uint32_t interpreter, uint64_t dropped, gp_buffer *out);

#endif
