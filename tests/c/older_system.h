#ifndef OLDER_SYSTEM_H
#define OLDER_SYSTEM_H

/* Makes of this process one on a system without close_range(2), for good: by a filter of system calls. What
 * <linux/filter.h> and <linux/seccomp.h> declare is written out, since not every C library comes with them.
 */

#include <errno.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int make_system_older(void)
{
    enum {
        LOAD = 0x20, /* BPF_LD | BPF_W | BPF_ABS, of the call's number */
        JUMP_EQUAL = 0x15,
        RETURN = 0x06,
        CLOSE_RANGE = 436,
        MODE_FILTER = 2,
    };
    struct {
        uint16_t code;
        uint8_t if_true, if_false;
        uint32_t value;
    } filter[] = {
        {LOAD, 0, 0, 0},
        {JUMP_EQUAL, 0, 1, CLOSE_RANGE},
        {RETURN, 0, 0, UINT32_C(0x00050000) | ENOSYS}, /* fail with it */
        {RETURN, 0, 0, UINT32_C(0x7fff0000)},          /* let it pass */
    };
    struct {
        uint16_t length;
        void *filter;
    } program = {4, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, MODE_FILTER, &program) != 0)
        return -1;
    return syscall(CLOSE_RANGE, 1000u, 1000u, 0) == -1 && errno == ENOSYS ? 0 : -1;
}

#endif
