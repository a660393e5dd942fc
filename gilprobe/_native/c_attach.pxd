# What csrc/attach declares. Each c_*.pxd stands for the folder of csrc that it is named after.

from libc.stdint cimport int32_t, uint32_t, uint64_t

from .c_base cimport *


cdef extern from "attach/gp_inject.h" nogil:
    size_t GP_INJECT_MESSAGE_MAX
    ctypedef enum gp_inject_outcome:
        GP_INJECT_DONE
        GP_INJECT_NO_THREAD
        GP_INJECT_REFUSED
        GP_INJECT_ENDED
        GP_INJECT_BLOCKED
        GP_INJECT_NOT_LOADED
        GP_INJECT_NOT_STARTED
        GP_INJECT_FAULT
    ctypedef struct gp_injection:
        int32_t process
        uint64_t dlopen
        uint64_t code_begin
        uint64_t code_end
        const char *library
        const char *own_library
        const char *function
        const void *message
        size_t message_size
        uint64_t patience_ns
    ctypedef struct gp_injected:
        gp_inject_outcome outcome
        int error
        int32_t thread
        int waited
        uint64_t stopped_ns
        uint64_t searched_ns
    gp_status gp_inject(const gp_injection *injection, gp_injected *injected)
    gp_status gp_inject_where(int32_t thread, uint64_t *instruction)
    void gp_act_as(uint32_t *user, uint32_t *group)


cdef extern from "attach/gp_agent.h" nogil:
    """
    _Static_assert(sizeof(gp_agent_order) <= GP_INJECT_MESSAGE_MAX, "the order is the message");
    """
    size_t GP_AGENT_PATH_MAX
    const char *GP_AGENT_FUNCTION
    ctypedef struct gp_agent_order:
        uint64_t is_initialized
        uint64_t ensure
        uint64_t release
        uint64_t new_dict
        uint64_t run_string
        uint64_t clear_error
        uint64_t drop
        uint64_t yields_in_vain
        char path[256]


cdef extern from "attach/gp_dormant.h" nogil:
    const char *GP_DORMANT_NAME
    gp_status gp_dormant_arm(int signal_number, const char *version, const gp_agent_order *order)
    void gp_dormant_disarm()
    int gp_dormant_signal()
    int gp_dormant_wake(int32_t process, int32_t thread, int signal_number, uint64_t ticket)

