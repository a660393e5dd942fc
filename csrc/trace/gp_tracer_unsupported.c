/* Stands for the tracer and the writer of recordings where they can't work (CMakeLists.txt). Whoever begins
 * something is told so; nobody has a session, a recorder or a watchdog then to call the rest with. */

#include "recording/gp_guard.h"
#include "trace/gp_loop_watch.h"
#include "trace/gp_seen_hold.h"
#include "trace/gp_tracer.h"
#include "trace/gp_watchdog.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"
/* clang-format off */

gp_status gp_tracer_learn(const gp_tracer_host *host, const char **reason)
{
#ifdef GP_TRACER_OFF
    *reason = "this build of gilprobe was configured without its tracer";
#else
    *reason = "the tracer hooks ELF import slots on Linux for x86-64 and aarch64; this is another platform";
#endif
    return GP_EUNSUPPORTED;
}

gp_status gp_tracer_start(const gp_tracer_host *host, const gp_tracer_wishes *wishes, gp_session **session,
                          const char **reason)
{
    *session = NULL;
    return gp_tracer_learn(host, reason);
}

void gp_tracer_prepare(const gp_tracer_host *host) {}
void gp_tracer_stop(gp_session *session, const gp_call_stack *here) {}
void gp_tracer_forget(gp_session *session) {}
uint64_t gp_tracer_origin(const gp_session *session) { return 0; }
size_t gp_tracer_parts(const gp_session *session) { return 0; }
gp_status gp_tracer_read(gp_session *session, size_t part, const gp_call_stack *here, gp_buffer *places,
                         gp_buffer *snapshot) { return GP_EUNSUPPORTED; }
gp_status gp_tracer_totals(gp_session *session, gp_totals *totals) { return GP_EUNSUPPORTED; }
void gp_tracer_tag(uint32_t tag) {}
uint32_t gp_tracer_tagged(void) { return 0; }
bool gp_tracer_thread_times(gp_thread_times *times) { return false; }
void gp_tracer_label(uint32_t label) {}
void gp_tracer_hide(void) {}
size_t gp_tracer_sessions(void) { return 0; }
gp_look gp_tracer_see(gp_looker_tell *tell, void *context) { return (gp_look){0}; }
bool gp_tracer_look(const gp_stall_look_hold *but, uint64_t limit, gp_stall_look *stall, uint64_t *now) { return false; }
gp_stall_look_end gp_tracer_follow(const gp_stall_look_hold *hold, uint64_t *ended_at) { return GP_STALL_LOOK_LONG_OVER; }
void gp_seen_hold_in_stall(const gp_stall_look *stall, const gp_look *look, uint64_t now) {}

bool gp_looker_is_left(void) { return false; }
void gp_looker_end(void) {}

_Atomic uint64_t gp_loop_watch_floor = UINT64_MAX;
void gp_loop_watch_tell(gp_callback *callback, const void *thread_state) {}

gp_status gp_watchdog_start(uint64_t limit_ns, int fd, const gp_watchdog_eyes *eyes, const gp_watchdog_name *names,
                            size_t name_count, gp_watchdog **watchdog, int *error) { return GP_EUNSUPPORTED; }
void gp_watchdog_spare(gp_watchdog *watchdog, unsigned number, int64_t native_id) {}
uint64_t gp_watchdog_reported(const gp_watchdog *watchdog) { return 0; }
void gp_watchdog_stop(gp_watchdog *watchdog) {}

gp_status gp_recorder_open(const char *path, unsigned how, gp_recorder **recorder, int *error) { return GP_EUNSUPPORTED; }
int gp_recorder_commit(gp_recorder *recorder) { return 0; }
void gp_recorder_discard(gp_recorder *recorder) {}
gp_status gp_recorder_put(gp_recorder *recorder, const char type[4], const void *payload, size_t size) { return GP_EUNSUPPORTED; }
bool gp_recorder_flush(gp_recorder *recorder, uint64_t timeout_ns) { return false; }
void gp_recorder_finish(gp_recorder *recorder) {}
bool gp_recorder_identity(const gp_recorder *recorder, uint64_t *device, uint64_t *inode) { return false; }
int gp_recorder_error(const gp_recorder *recorder, uint64_t *bytes, uint64_t *events) { return 0; }
void gp_recorder_free(gp_recorder *recorder) {}

void gp_guard_watch_calls(const void *interpreter) {}
void gp_guard_prepare(void) {}
bool gp_guard_begin(gp_recorder *recorder) { return false; }
void gp_guard_end(const gp_recorder *recorder) {}
