#include "kernels/gp_work.h"

#include <string.h>
#include <time.h>

#include "base/gp_clock.h"
#include "kernels/gp_kernel.h"

enum {
    WORD = sizeof(uint64_t),
    /* Pieces of about a millisecond: a check for Ctrl-C after each costs nothing. */
    SPIN_PIECE = 1 << 19,         /* iterations */
    STREAM_PIECE = 1 << 22,       /* bytes; a multiple of WORD */
    CHASE_PIECE = 1 << 14,        /* steps */
    CHECK_PIECE = 1 << 19,        /* nodes */
    CYCLE_PIECE = 1 << 3,         /* each may wait a few switch intervals for threads that compute */
    NODE_STEP_NS = 100,           /* a load that misses every cache */
    SWITCH_INTERVAL_NS = 5000000, /* what getting the GIL back costs against one thread that computes */
};

static uint64_t load_word(const unsigned char *words, uint64_t index)
{
    uint64_t word;
    memcpy(&word, words + index * WORD, WORD);
    return word;
}

static void store_word(unsigned char *words, uint64_t index, uint64_t word)
{
    memcpy(words + index * WORD, &word, WORD);
}

/* Marsaglia, "Xorshift RNGs" (2003): never 0, and a compiler finds no closed form. */
static inline uint64_t xorshift(uint64_t x)
{
    x ^= x << 13;
    x ^= x >> 7;
    return x ^ (x << 17);
}

static const uint64_t xorshift_start = 88172645463325252u;

/* spin */

static GP_OPAQUE uint64_t spin_some(uint64_t checksum, uint64_t iterations)
{
    while (iterations-- > 0)
        checksum = xorshift(checksum);
    return checksum;
}

static bool spin_step(gp_work *work, const gp_interrupt_watch *watch)
{
    gp_spin *spin = (gp_spin *)work;
    while (spin->left > 0) {
        if (gp_interrupt_changed(watch))
            return false;
        uint64_t iterations = gp_kernel_least(spin->left, SPIN_PIECE);
        spin->checksum = spin_some(spin->checksum, iterations);
        spin->left -= iterations;
    }
    return true;
}

void gp_spin_init(gp_spin *spin, uint64_t iterations)
{
    *spin = (gp_spin){
        .work = {spin_step, gp_kernel_product(iterations, 2)},
        .left = iterations,
        .checksum = xorshift_start,
    };
}

/* stream */

static GP_OPAQUE uint64_t sum_some(uint64_t sum, const unsigned char *bytes, size_t size)
{
    size_t words = size / WORD;
    for (size_t i = 0; i < words; i++)
        sum += load_word(bytes, i);
    uint64_t last = 0;
    memcpy(&last, bytes + words * WORD, size % WORD);
    return sum + last;
}

static bool stream_step(gp_work *work, const gp_interrupt_watch *watch)
{
    gp_array_stream *stream = (gp_array_stream *)work;
    while (stream->passes_left > 0) {
        if (gp_interrupt_changed(watch))
            return false;
        size_t size = (size_t)gp_kernel_least(stream->size - stream->offset, STREAM_PIECE);
        stream->checksum = sum_some(stream->checksum, stream->bytes + stream->offset, size);
        stream->offset += size;
        if (stream->offset == stream->size) {
            stream->offset = 0;
            stream->passes_left--;
        }
    }
    return true;
}

void gp_stream_init(gp_array_stream *stream, const void *bytes, size_t size, uint64_t passes)
{
    *stream = (gp_array_stream){
        .work = {stream_step, gp_kernel_product(passes, size / 8 + 5)},
        .bytes = bytes,
        .size = size,
        .passes_left = size == 0 ? 0 : passes,
    };
}

/* chase */

/* Stops at the first index that is out of range, and returns it. */
static GP_OPAQUE uint64_t chase_some(const unsigned char *chain, uint64_t nodes, uint64_t *index,
                                     uint64_t steps)
{
    uint64_t at = *index, next = at;
    /* The branch is predicted: it does not delay the loads. */
    while (steps-- > 0 && (next = load_word(chain, at)) < nodes)
        at = next;
    *index = at;
    return next;
}

static uint64_t first_out_of_range(const unsigned char *chain, uint64_t nodes, uint64_t from, uint64_t to)
{
    while (from < to && load_word(chain, from) < nodes)
        from++;
    return from;
}

static bool check_chain(gp_chase *chase)
{
    uint64_t to = chase->checked + gp_kernel_least(chase->nodes - chase->checked, CHECK_PIECE);
    chase->checked = first_out_of_range(chase->chain, chase->nodes, chase->checked, to);
    return chase->checked == to;
}

static bool give_up_at(gp_chase *chase, uint64_t node)
{
    chase->broken = node;
    chase->steps_left = 0;
    return true;
}

static bool chase_step(gp_work *work, const gp_interrupt_watch *watch)
{
    gp_chase *chase = (gp_chase *)work;
    while (chase->checked < chase->nodes) {
        if (gp_interrupt_changed(watch))
            return false;
        if (!check_chain(chase))
            return give_up_at(chase, chase->checked);
    }
    while (chase->steps_left > 0) {
        if (gp_interrupt_changed(watch))
            return false;
        uint64_t steps = gp_kernel_least(chase->steps_left, CHASE_PIECE);
        if (chase_some(chase->chain, chase->nodes, &chase->index, steps) >= chase->nodes)
            return give_up_at(chase, chase->index);
        chase->steps_left -= steps;
    }
    return true;
}

void gp_chase_init(gp_chase *chase, const void *chain, uint64_t nodes, uint64_t steps)
{
    uint64_t nominal_ns = gp_kernel_sum(nodes, gp_kernel_product(steps, NODE_STEP_NS));
    *chase = (gp_chase){
        .work = {chase_step, nominal_ns},
        .chain = chain,
        .nodes = nodes,
        .broken = nodes,
        .steps_left = nodes == 0 ? 0 : steps,
    };
}

/* chain */

static void identity_some(gp_chain *chain, uint64_t nodes)
{
    for (uint64_t end = chain->filled + nodes; chain->filled < end; chain->filled++)
        store_word(chain->chain, chain->filled, chain->filled);
}

/* Sattolo's algorithm: a Fisher-Yates shuffle in which no element may stay, which gives a single cycle. */
static void shuffle_some(gp_chain *chain, uint64_t nodes)
{
    for (uint64_t end = chain->left - nodes; chain->left > end; chain->left--) {
        uint64_t last = chain->left;
        chain->random = xorshift(chain->random);
        uint64_t other = (uint64_t)(((unsigned __int128)chain->random * last) >> 64);
        uint64_t moved = load_word(chain->chain, other);
        store_word(chain->chain, other, load_word(chain->chain, last));
        store_word(chain->chain, last, moved);
    }
}

static bool chain_step(gp_work *work, const gp_interrupt_watch *watch)
{
    gp_chain *chain = (gp_chain *)work;
    while (chain->filled < chain->nodes) {
        if (gp_interrupt_changed(watch))
            return false;
        identity_some(chain, gp_kernel_least(chain->nodes - chain->filled, CHECK_PIECE));
    }
    while (chain->left > 0) {
        if (gp_interrupt_changed(watch))
            return false;
        shuffle_some(chain, gp_kernel_least(chain->left, CHASE_PIECE));
    }
    return true;
}

/* Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014): from neighbouring seeds
 * unrelated starts. */
static uint64_t scrambled(uint64_t seed)
{
    uint64_t z = seed + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return z == 0 ? xorshift_start : z;
}

void gp_chain_init(gp_chain *chain, void *room, uint64_t nodes, uint64_t seed)
{
    *chain = (gp_chain){
        .work = {chain_step, gp_kernel_product(nodes, NODE_STEP_NS)},
        .chain = room,
        .nodes = nodes,
        .left = nodes == 0 ? 0 : nodes - 1,
        .random = scrambled(seed),
    };
}

/* sleep */

static void nap(uint64_t ns)
{
    struct timespec length = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nanosleep(&length, NULL); /* a signal may end it early: the caller checks the clock */
}

static bool sleep_step(gp_work *work, const gp_interrupt_watch *watch)
{
    gp_sleep *sleep = (gp_sleep *)work;
    uint64_t now = gp_clock_monotonic_ns();
    if (sleep->deadline_ns == 0)
        sleep->deadline_ns = now + sleep->duration_ns;
    while (now < sleep->deadline_ns) {
        if (gp_interrupt_changed(watch))
            return false;
        nap(gp_kernel_least(sleep->deadline_ns - now, GP_INTERRUPT_PERIOD_NS));
        now = gp_clock_monotonic_ns();
    }
    return true;
}

void gp_sleep_init(gp_sleep *sleep, uint64_t duration_ns)
{
    *sleep = (gp_sleep){.work = {sleep_step, duration_ns}, .duration_ns = duration_ns};
}

/* alternate */

/* End the current interval now and add it to `sum_ns`. */
static void stamp(gp_alternate *alternate, uint64_t *sum_ns)
{
    uint64_t now = gp_clock_monotonic_ns();
    *sum_ns += now - alternate->stamp_ns;
    alternate->stamp_ns = now;
}

/* Stay busy for the rest of a phase. The last reading of the clock ends the interval: only arithmetic follows
 * it before the caller goes on. Returns whether the phase is complete. */
static bool spend(gp_alternate *alternate, uint64_t goal_ns, uint64_t *sum_ns,
                  const gp_interrupt_watch *watch)
{
    uint64_t start = alternate->stamp_ns;
    uint64_t left = goal_ns - alternate->spent_ns;
    uint64_t now = start;
    while (now - start < left && !gp_interrupt_changed(watch))
        now = gp_clock_monotonic_ns();
    bool whole = now - start >= left;
    alternate->spent_ns = whole ? 0 : alternate->spent_ns + (now - start);
    alternate->stamp_ns = now;
    *sum_ns += now - start;
    return whole;
}

static bool spend_released(gp_alternate *alternate, const gp_interrupt_watch *watch)
{
    if (alternate->lock == NULL)
        return spend(alternate, alternate->released_goal_ns, &alternate->held_ns, watch);
    void *token = alternate->lock->release();
    stamp(alternate, &alternate->release_ns);
    bool whole = spend(alternate, alternate->released_goal_ns, &alternate->released_ns, watch);
    alternate->lock->acquire(token);
    stamp(alternate, &alternate->reacquire_ns);
    return whole;
}

static bool alternate_step(gp_work *work, const gp_interrupt_watch *watch)
{
    gp_alternate *alternate = (gp_alternate *)work;
    if (alternate->stamp_ns == 0)
        alternate->stamp_ns = gp_clock_monotonic_ns();
    else
        stamp(alternate, &alternate->held_ns); /* the time in which the caller handled the interruption */
    while (alternate->cycles_left > 0) {
        if (gp_interrupt_changed(watch))
            return false;
        if (!alternate->held_done) {
            if (!spend(alternate, alternate->held_goal_ns, &alternate->held_ns, watch))
                return false;
            alternate->held_done = true;
        }
        if (!spend_released(alternate, watch))
            return false;
        alternate->held_done = false;
        alternate->cycles_left--;
    }
    return true;
}

void gp_alternate_init(gp_alternate *alternate, const gp_work_lock *lock, uint64_t cycles, uint64_t held_ns,
                       uint64_t released_ns)
{
    uint64_t cycle_ns = gp_kernel_sum(held_ns, released_ns);
    if (lock != NULL)
        cycle_ns = gp_kernel_sum(cycle_ns, SWITCH_INTERVAL_NS);
    *alternate = (gp_alternate){
        .work = {alternate_step, gp_kernel_product(cycles, cycle_ns)},
        .lock = lock,
        .cycles_left = cycles,
        .held_goal_ns = held_ns,
        .released_goal_ns = released_ns,
    };
}

/* cycle */

static GP_OPAQUE void cycle_some(const gp_work_lock *lock, uint64_t cycles)
{
    while (cycles-- > 0)
        lock->acquire(lock->release());
}

static bool cycle_step(gp_work *work, const gp_interrupt_watch *watch)
{
    gp_cycle *cycle = (gp_cycle *)work;
    if (cycle->start_ns == 0)
        cycle->start_ns = gp_clock_monotonic_ns();
    while (cycle->left > 0) {
        if (gp_interrupt_changed(watch))
            return false;
        uint64_t cycles = gp_kernel_least(cycle->left, CYCLE_PIECE);
        cycle_some(cycle->lock, cycles);
        cycle->left -= cycles;
    }
    cycle->elapsed_ns = gp_clock_monotonic_ns() - cycle->start_ns;
    return true;
}

void gp_cycle_init(gp_cycle *cycle, const gp_work_lock *lock, uint64_t count)
{
    *cycle = (gp_cycle){
        .work = {cycle_step, gp_kernel_product(count, SWITCH_INTERVAL_NS)},
        .lock = lock,
        .left = count,
    };
}

/* grain */

/* Run the rest of the current grain. Returns whether it is complete: an interruption ends it early. */
static bool grind(gp_grain *grain, const gp_interrupt_watch *watch)
{
    while (grain->grain_left > 0 && !gp_interrupt_changed(watch)) {
        uint64_t iterations = gp_kernel_least(grain->grain_left, SPIN_PIECE);
        grain->checksum = spin_some(grain->checksum, iterations);
        grain->grain_left -= iterations;
        grain->left -= iterations;
    }
    return grain->grain_left == 0;
}

static bool grind_released(gp_grain *grain, const gp_interrupt_watch *watch)
{
    if (grain->lock == NULL)
        return grind(grain, watch);
    void *token = grain->lock->release();
    bool whole = grind(grain, watch);
    grain->lock->acquire(token);
    return whole;
}

static bool grain_step(gp_work *work, const gp_interrupt_watch *watch)
{
    gp_grain *grain = (gp_grain *)work;
    while (grain->left > 0) {
        if (gp_interrupt_changed(watch))
            return false;
        if (grain->grain_left == 0)
            grain->grain_left = gp_kernel_least(grain->left, grain->every);
        if (!grind_released(grain, watch))
            return false;
    }
    return true;
}

void gp_grain_init(gp_grain *grain, const gp_work_lock *lock, uint64_t iterations, uint64_t every)
{
    uint64_t nominal_ns = gp_kernel_product(iterations, 2);
    if (lock != NULL)
        nominal_ns = gp_kernel_sum(nominal_ns, gp_kernel_product(iterations / every, SWITCH_INTERVAL_NS));
    *grain = (gp_grain){
        .work = {grain_step, nominal_ns},
        .lock = lock,
        .left = iterations,
        .every = every,
        .checksum = xorshift_start,
    };
}
