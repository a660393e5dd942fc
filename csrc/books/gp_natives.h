#ifndef GP_NATIVES_H
#define GP_NATIVES_H

/* Native code that has called into the interpreter, by name. Such a name stands as a place in notes: it is
 * the same for all GILs and sessions, and lasts as long as the process, so that whoever has its number can
 * read it.
 */

#include <stdbool.h>
#include <stdint.h>

enum {
    GP_NATIVES_MAX = 64,  /* names; what comes later has none */
    GP_NATIVE_ROOM = 192, /* bytes of a name, with the terminator */
};

/* Below what else stands instead of a place's number. */
#define GP_NATIVE_FIRST (UINT32_MAX - 3 - GP_NATIVES_MAX)

static inline bool gp_is_native(uint32_t place)
{
    return place - GP_NATIVE_FIRST < GP_NATIVES_MAX;
}

/* The place with this name: UTF-8, ended by a zero byte. GP_NO_FRAME without room. One thread at a time. */
uint32_t gp_native_named(const char *name);

/* The name of such a place, which the caller has got from gp_native_named. Any thread. */
const char *gp_native_name(uint32_t place);

#endif
