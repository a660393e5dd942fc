#ifndef GP_HASH_H
#define GP_HASH_H

/* For hash tables. */

#include <stdint.h>

#define GP_GOLDEN UINT64_C(0x9e3779b97f4a7c15)

/* splitmix64's finaliser: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014 */
static inline uint64_t gp_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#endif
