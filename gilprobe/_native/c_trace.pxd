# What csrc/trace declares.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from .c_base cimport gp_buffer, gp_hist, gp_status
from .c_books cimport gp_blame, gp_call_stack, gp_session, gp_tag_row, gp_worst_wait
from .c_recording cimport gp_recorder


cdef extern from "trace/gp_watchdog.h" nogil:
    ctypedef struct gp_watchdog_eyes:
        pass
    ctypedef struct gp_watchdog_name:
        int64_t native_id
        const char *name
    ctypedef struct gp_watchdog:
        pass
    gp_status gp_watchdog_start(uint64_t limit_ns, int fd, const gp_watchdog_eyes *eyes,
                                const gp_watchdog_name *names, size_t name_count, gp_watchdog **watchdog,
                                int *error)
    void gp_watchdog_spare(gp_watchdog *watchdog, unsigned number, int64_t native_id)
    uint64_t gp_watchdog_reported(const gp_watchdog *watchdog)
    void gp_watchdog_stop(gp_watchdog *watchdog)


cdef extern from "trace/gp_looker.h" nogil:
    uint32_t GP_LOOK_FREE
    ctypedef struct gp_look:
        uint32_t site
    ctypedef void gp_looker_tell
    bint gp_looker_is_left()
    void gp_looker_end()


cdef extern from "trace/gp_totals.h":
    ctypedef struct gp_totals:
        uint64_t elapsed, held, contended, wait, off
        uint64_t threads, waiting, contended_acquisitions
        uint64_t hold_sum, hold_longest, wait_sum, wait_longest
        gp_hist holds, waits
        bint tagged
        gp_tag_row tags[1]
        gp_blame *pairs
        size_t pair_count
        gp_worst_wait worst
    void gp_totals_clear(gp_totals *totals)


# Called with the GIL.
cdef extern from "trace/gp_tracer.h":
    ctypedef struct gp_tracer_host:
        const void *interpreter
    ctypedef struct gp_tracer_wishes:
        bint sites
        bint stacks
        bint timeline
        bint cpu
        bint looks
        bint pauses
        bint tags
        bint totals
        gp_recorder *recorder
    gp_status gp_tracer_learn(const gp_tracer_host *host, const char **reason)
    gp_status gp_tracer_start(const gp_tracer_host *host, const gp_tracer_wishes *wishes, gp_session **session,
                              const char **reason)
    void gp_tracer_stop(gp_session *session, const gp_call_stack *here)
    void gp_tracer_forget(gp_session *session)
    uint64_t gp_tracer_origin(const gp_session *session)
    size_t gp_tracer_parts(const gp_session *session)
    gp_status gp_tracer_read(gp_session *session, size_t part, const gp_call_stack *here, gp_buffer *places,
                             gp_buffer *snapshot)
    gp_status gp_tracer_totals(gp_session *session, gp_totals *totals)
    void gp_tracer_tag(uint32_t tag)
    uint32_t gp_tracer_tagged()
    ctypedef struct gp_thread_times:
        uint64_t hold, wait, off
    bint gp_tracer_thread_times(gp_thread_times *times)
    void gp_tracer_label(uint32_t label)
    void gp_tracer_hide()
    size_t gp_tracer_sessions()
    gp_look gp_tracer_see(gp_looker_tell *tell, void *context) nogil
