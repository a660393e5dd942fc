/* Stands for the tracer of locks where it can't work (CMakeLists.txt). Nobody has a session then to call the
 * rest with. */

#include "locks/gp_lock_trace.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
/* clang-format off */

gp_status gp_lock_learn(const char **reason)
{
#ifdef GP_TRACER_OFF
    *reason = "this build of gilprobe was configured without its tracer";
#else
    *reason = "the tracer hooks ELF import slots on Linux for x86-64 and aarch64; this is another platform";
#endif
    return GP_EUNSUPPORTED;
}

gp_status gp_lock_start(gp_lock_session **session, const gp_lock_wishes *wishes, const char **reason)
{
    *session = NULL;
    return gp_lock_learn(reason);
}

void gp_lock_prepare(const gp_lock_host *host) {}
gp_lock_rhythm gp_lock_spins(void) { return (gp_lock_rhythm){0, 0}; }
void gp_lock_stop(gp_lock_session *session) {}
void gp_lock_forget(gp_lock_session *session) {}
gp_status gp_lock_read(gp_lock_session *session, gp_buffer *buffer) { return GP_EUNSUPPORTED; }
void gp_lock_label(uint32_t label) {}
size_t gp_lock_sessions(void) { return 0; }
