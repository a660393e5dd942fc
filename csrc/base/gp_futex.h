#ifndef GP_FUTEX_H
#define GP_FUTEX_H

/* Sleep and wake by futexes: a descriptor can be closed by the program, and a condition is not
 * async-signal-safe. Linux. Both functions leave errno alone. */

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Copied from <linux/futex.h>, which musl does not bring. They are part of the kernel's interface. */
enum {
    GP_FUTEX_PRIVATE = 128,
    GP_FUTEX_WAIT = 0 | GP_FUTEX_PRIVATE,
    GP_FUTEX_WAKE = 1 | GP_FUTEX_PRIVATE,
};

/* Sleep while *word is `expected`, at most for `timeout_ns`. */
static inline void gp_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    int saved = errno;
    struct timespec relative = {(time_t)(timeout_ns / 1000000000u), (long)(timeout_ns % 1000000000u)};
    syscall(SYS_futex, word, GP_FUTEX_WAIT, expected, &relative, NULL, 0); /* on CLOCK_MONOTONIC */
    errno = saved;
}

static inline void gp_futex_wake(_Atomic uint32_t *word)
{
    int saved = errno;
    syscall(SYS_futex, word, GP_FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    errno = saved;
}

#endif
