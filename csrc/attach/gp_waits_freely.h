#ifndef GP_WAITS_FREELY_H
#define GP_WAITS_FREELY_H

/* System calls in which a thread waits for the world and holds no lock of the C library: dlopen and
 * pthread_create may be called there. */

#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* `second` is its second argument. A read is another matter: the loader reads regular files, with its lock
 * held. */
static inline bool gp_waits_freely(long call, uint64_t second)
{
    switch (call) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_select:
    case SYS_pselect6:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_accept:
    case SYS_accept4:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_pause:
    case SYS_rt_sigtimedwait:
    case SYS_wait4:
    case SYS_waitid:
        return true;
    case SYS_futex:
        /* Semaphores, conditions, so also the GIL. glibc's own locks (malloc, the loader) and mutexes wait
         * with plain FUTEX_WAIT. */
        return (second & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
    default:
        return false;
    }
}

#endif
