#ifndef GP_KERNEL_H
#define GP_KERNEL_H

/* What kernels (gp_work.h) are written with. */

#include <stdint.h>

/* The loops that do the work: one copy each, not specialised for a caller and not moved out of the loop over
 * its pieces. */
#if defined(__clang__)
#define GP_OPAQUE __attribute__((noinline))
#elif defined(__GNUC__)
#define GP_OPAQUE __attribute__((noipa))
#else
#define GP_OPAQUE
#endif

static inline uint64_t gp_kernel_least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* For guesses of how long something takes: too large is as good as the largest. */
static inline uint64_t gp_kernel_product(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return product > UINT64_MAX ? UINT64_MAX : (uint64_t)product;
}

static inline uint64_t gp_kernel_sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

#endif
