#include "kernels/gp_race.h"

#include <stdatomic.h>

#include "kernels/gp_kernel.h"
#include "base/gp_memory.h"

enum {
    /* Pieces of a few milliseconds when all threads contend: a check for Ctrl-C after each costs nothing. */
    BUMP_PIECE = 1 << 17,
    BUMP_NS = 20, /* between the cost on one thread and the cost when all contend */
};

typedef _Atomic uint64_t cell;

_Static_assert(GP_RACE_STRIDE % sizeof(cell) == 0, "padded cells are whole cells apart");

struct gp_race {
    size_t slots;
    size_t step;                                       /* cells from one counter to the next */
    char padding[GP_RACE_STRIDE - 2 * sizeof(size_t)]; /* the memory begins at a page: cells are aligned */
    cell cells[];
};

static size_t size_of(size_t slots, size_t step)
{
    return sizeof(gp_race) + slots * step * sizeof(cell);
}

gp_status gp_race_new(size_t slots, bool padded, gp_race **race)
{
    size_t step = padded ? GP_RACE_STRIDE / sizeof(cell) : 1;
    if (slots == 0 || slots > (SIZE_MAX - sizeof(gp_race)) / (step * sizeof(cell)))
        return GP_EINVAL;
    gp_race *made = gp_memory_map(size_of(slots, step));
    if (made == NULL)
        return GP_ENOMEM;
    made->slots = slots;
    made->step = step;
    *race = made;
    return GP_OK;
}

void gp_race_free(gp_race *race)
{
    if (race != NULL)
        gp_memory_unmap(race, size_of(race->slots, race->step));
}

size_t gp_race_slots(const gp_race *race)
{
    return race->slots;
}

uint64_t gp_race_value(const gp_race *race, size_t slot)
{
    /* relaxed: the number orders nothing; for the final value the caller joins the threads */
    return atomic_load_explicit(&race->cells[slot * race->step], memory_order_relaxed);
}

/* Atomic accesses, since a race on plain ones is undefined in C; relaxed, since those are plain instructions
 * on every processor. The fence emits no instruction: it keeps the compiler from merging the three steps, or
 * the whole loop. */
static GP_OPAQUE void bump_plainly(_Atomic uint64_t *value, uint64_t times)
{
    while (times-- > 0) {
        uint64_t read = atomic_load_explicit(value, memory_order_relaxed);
        atomic_signal_fence(memory_order_seq_cst);
        atomic_store_explicit(value, read + 1, memory_order_relaxed);
    }
}

/* relaxed: only the sum matters, it orders nothing */
static GP_OPAQUE void bump_atomically(_Atomic uint64_t *value, uint64_t times)
{
    while (times-- > 0)
        atomic_fetch_add_explicit(value, 1, memory_order_relaxed);
}

static bool bump_step(gp_work *work, const gp_interrupt_watch *watch)
{
    gp_bump *bump = (gp_bump *)work;
    while (bump->left > 0) {
        if (gp_interrupt_changed(watch))
            return false;
        uint64_t times = gp_kernel_least(bump->left, BUMP_PIECE);
        (bump->atomic ? bump_atomically : bump_plainly)(bump->cell, times);
        bump->left -= times;
    }
    return true;
}

void gp_bump_init(gp_bump *bump, gp_race *race, size_t slot, uint64_t times, bool atomic)
{
    *bump = (gp_bump){
        .work = {bump_step, gp_kernel_product(times, BUMP_NS)},
        .cell = &race->cells[slot * race->step],
        .left = times,
        .atomic = atomic,
    };
}
