#ifndef GP_WORK_H
#define GP_WORK_H

/* The kernels: work of a known kind and amount. The same machine code runs with the GIL and without it.
 *
 * `init` sets a kernel up, gp_work_step runs it. That knows no Python: the caller has released the GIL, or
 * has not. A step stops early when Ctrl-C arrived, and the next one continues there: a program whose SIGINT
 * handler does not raise gets its whole result. One thread at a time for each object. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/gp_interrupt.h"

typedef struct gp_work gp_work;

/* The first member of every kernel. */
struct gp_work {
    bool (*step)(gp_work *work, const gp_interrupt_watch *watch);
    uint64_t nominal_ns; /* a rough estimate, rather too long; for gp_interrupt_begin */
};

/* Work until done, or until `watch` has changed. Returns whether it is done; only then the results are valid.
 * Needs no GIL; never allocates; never calls Python, except by the callbacks of gp_alternate, gp_cycle and
 * gp_grain. */
static inline bool gp_work_step(gp_work *work, const gp_interrupt_watch *watch)
{
    return work->step(work, watch);
}

/* Integer arithmetic in registers: each iteration needs the one before. */
typedef struct {
    gp_work work;
    uint64_t left;
    uint64_t checksum; /* a function of the number of iterations alone */
} gp_spin;

void gp_spin_init(gp_spin *spin, uint64_t iterations);

/* Memory bandwidth: reads `size` bytes from the first to the last, `passes` times. */
typedef struct {
    gp_work work;
    const unsigned char *bytes;
    size_t size;
    size_t offset;
    uint64_t passes_left;
    uint64_t checksum; /* sum of the 64-bit words, native byte order, the last one padded with zeros, modulo
                          2**64 */
} gp_array_stream;

/* `bytes` has any alignment and must outlive the work. */
void gp_stream_init(gp_array_stream *stream, const void *bytes, size_t size, uint64_t passes);

/* Memory latency: follows the indices of `chain` from the one at 0, each load waiting for the one before. */
typedef struct {
    gp_work work;
    const unsigned char *chain;
    uint64_t nodes;
    uint64_t checked;
    uint64_t steps_left;
    uint64_t index;  /* the current node */
    uint64_t broken; /* if not `nodes`: the node whose index is out of range; the work then ends */
} gp_chase;

/* `chain` holds `nodes` indices of 64 bits in native byte order, at any alignment, and must outlive the work.
 * All are checked before the first step, and each again at its step, since another thread may write to the
 * buffer: nothing outside of it is ever read. */
void gp_chase_init(gp_chase *chase, const void *chain, uint64_t nodes, uint64_t steps);

/* Fills a chain with one random cycle through all nodes (Sattolo 1986): a chase visits every node once in
 * `nodes` steps, in an order that no prefetcher guesses. The same seed gives the same chain. */
typedef struct {
    gp_work work;
    unsigned char *chain;
    uint64_t nodes;
    uint64_t filled;
    uint64_t left;
    uint64_t random;
} gp_chain;

/* `chain` has room for `nodes` indices of 64 bits, at any alignment, and must outlive the work. */
void gp_chain_init(gp_chain *chain, void *room, uint64_t nodes, uint64_t seed);

/* Blocks in the kernel, in naps of at most GP_INTERRUPT_PERIOD_NS. An interruption does not lengthen it. */
typedef struct {
    gp_work work;
    uint64_t duration_ns;
    uint64_t deadline_ns; /* 0: not begun */
} gp_sleep;

/* `duration_ns` < 2**63. */
void gp_sleep_init(gp_sleep *sleep, uint64_t duration_ns);

/* The lock of gp_alternate, gp_cycle and gp_grain. */
typedef struct {
    void *(*release)(void); /* returns the token for acquire */
    void (*acquire)(void *token);
} gp_work_lock;

/* Cycles of busy time with the lock and busy time without, each stamped with CLOCK_MONOTONIC: ground truth
 * for a tracer, so it does not use the tracer's clock (gp_clock_ticks). The four sums add up to the time from
 * the first stamp to the last: each interval ends at the stamp where the next begins. */
typedef struct {
    gp_work work;
    const gp_work_lock *lock;
    uint64_t cycles_left;
    uint64_t held_goal_ns;
    uint64_t released_goal_ns;
    uint64_t spent_ns; /* of a phase that was interrupted */
    uint64_t stamp_ns; /* end of the last interval; 0: not begun */
    bool held_done;    /* of the current cycle */

    uint64_t held_ns; /* from having the lock to just before the release; with the caller's time between two
                         steps */
    uint64_t release_ns;   /* inside lock->release, which may block */
    uint64_t released_ns;  /* from there to just before lock->acquire */
    uint64_t reacquire_ns; /* inside lock->acquire */
} gp_alternate;

/* Call gp_work_step with the lock held. If `lock` is NULL nothing is released: both phases count as held, the
 * other sums stay 0. A phase of 0 ns reads no clock. */
void gp_alternate_init(gp_alternate *alternate, const gp_work_lock *lock, uint64_t cycles, uint64_t held_ns,
                       uint64_t released_ns);

/* Releases the lock and takes it back, again and again, with no clock in between: the cost of a cycle. */
typedef struct {
    gp_work work;
    const gp_work_lock *lock;
    uint64_t left;
    uint64_t start_ns;   /* 0: not begun */
    uint64_t elapsed_ns; /* from before the first cycle to after the last, with the caller's time between two
                            steps */
} gp_cycle;

/* Enter with the lock held. */
void gp_cycle_init(gp_cycle *cycle, const gp_work_lock *lock, uint64_t count);

/* gp_spin's arithmetic in grains, by the same loop: it releases the lock before each grain and takes it back
 * after it. */
typedef struct {
    gp_work work;
    const gp_work_lock *lock;
    uint64_t left;
    uint64_t every;
    uint64_t grain_left; /* of a grain that was interrupted */
    uint64_t checksum;   /* as gp_spin's */
} gp_grain;

/* Call gp_work_step with the lock held; `every` > 0 is the length of a grain. If `lock` is NULL nothing is
 * released. */
void gp_grain_init(gp_grain *grain, const gp_work_lock *lock, uint64_t iterations, uint64_t every);

#endif
