/* The shared object whose imports test_hooks.c hooks: one function that it calls, one whose address it takes,
 * one that it does both with. */

#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int object_calls(void);
EXPORT int object_takes(void);
EXPORT int object_does_both(void);

int object_calls(void)
{
    return (int)getppid();
}

int object_takes(void)
{
    pid_t (*volatile taken)(void) = getpgrp;
    return (int)taken();
}

int object_does_both(void)
{
    uid_t (*volatile taken)(void) = getuid;
    return taken() == getuid() ? (int)getuid() : -1;
}
