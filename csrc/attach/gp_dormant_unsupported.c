/* Stands for gp_dormant.c where it was not written for (CMakeLists.txt). */

#include "attach/gp_dormant.h"

#include <errno.h>

gp_status gp_dormant_arm(int signal_number, const char *version, const gp_agent_order *order)
{
    (void)signal_number;
    (void)version;
    (void)order;
    return GP_EUNSUPPORTED;
}

void gp_dormant_disarm(void)
{
}

int gp_dormant_signal(void)
{
    return 0;
}

int gp_dormant_wake(int32_t process, int32_t thread, int signal_number, uint64_t ticket)
{
    (void)process;
    (void)thread;
    (void)signal_number;
    (void)ticket;
    return ENOSYS;
}
