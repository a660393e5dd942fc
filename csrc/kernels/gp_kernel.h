#ifndef GP_KERNEL_H
#define GP_KERNEL_H

/* What kernels (gp_work.h) are written with. */

#include <stdint.h>

/* For the loops that do the work: the compiler makes one copy of each, for all callers, and keeps its call in
 * the loop over pieces. */
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

/* For estimates of durations: on overflow the largest value. */
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
