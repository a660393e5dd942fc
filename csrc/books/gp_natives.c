#include "books/gp_natives.h"

#include <string.h>

#include "books/gp_looks.h"

_Static_assert(GP_NATIVE_FIRST > GP_PLACES_MAX && GP_NATIVE_FIRST + GP_NATIVES_MAX - 1 < GP_LOOK_FREE,
               "gp_places.h, gp_looks.h");

/* What has a number does not change any more. Who has got that number finds its name: it comes in a note, and
 * those are published. */
static struct {
    uint32_t count;
    char names[GP_NATIVES_MAX][GP_NATIVE_ROOM];
} natives;

uint32_t gp_native_named(const char *name)
{
    for (uint32_t i = 0; i < natives.count; i++)
        if (strcmp(natives.names[i], name) == 0)
            return GP_NATIVE_FIRST + i;
    if (natives.count == GP_NATIVES_MAX || strlen(name) >= GP_NATIVE_ROOM)
        return GP_NO_FRAME;
    strcpy(natives.names[natives.count], name);
    return GP_NATIVE_FIRST + natives.count++;
}

const char *gp_native_name(uint32_t place)
{
    return natives.names[place - GP_NATIVE_FIRST];
}
