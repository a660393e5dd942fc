/* Stands for gp_inject.c where it was not written for (CMakeLists.txt). */

#include "attach/gp_inject.h"

gp_status gp_inject(const gp_injection *injection, gp_injected *injected)
{
    (void)injection;
    (void)injected;
    return GP_EUNSUPPORTED;
}

gp_status gp_inject_where(int32_t thread, uint64_t *instruction)
{
    (void)thread;
    (void)instruction;
    return GP_EUNSUPPORTED;
}

void gp_act_as(uint32_t *user, uint32_t *group)
{
    (void)user;
    (void)group;
}
