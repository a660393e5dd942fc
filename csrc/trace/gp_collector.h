#ifndef GP_COLLECTOR_H
#define GP_COLLECTOR_H

/* The garbage collector tells when it starts and when it stops; the books make pauses of that (gp_pauses.h).
 *
 * Both by the thread that collects, with the main GIL. They never allocate with malloc, and call no Python.
 * Nothing where no session runs, or the thread has no record. */

#include <stdint.h>

void gp_collector_starts(uint32_t generation);
void gp_collector_stops(uint64_t collected, uint64_t uncollectable);

#endif
