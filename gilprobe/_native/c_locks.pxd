# What csrc/locks declares. Called without a GIL.

from libc.stdint cimport uint32_t, uint64_t

from .c_base cimport gp_buffer, gp_status
from .c_recording cimport gp_recorder


cdef extern from "locks/gp_lock_trace.h" nogil:
    ctypedef struct gp_lock_session:
        pass
    ctypedef struct gp_lock_rhythm:
        unsigned every, all
    gp_status gp_lock_learn(const char **reason)
    gp_lock_rhythm gp_lock_spins()
    ctypedef struct gp_lock_wishes:
        gp_recorder *recorder
        bint timeline, stacks
        uint64_t origin
    gp_status gp_lock_start(gp_lock_session **session, const gp_lock_wishes *wishes, const char **reason)
    void gp_lock_stop(gp_lock_session *session)
    void gp_lock_forget(gp_lock_session *session)
    gp_status gp_lock_read(gp_lock_session *session, gp_buffer *buffer)
    void gp_lock_label(uint32_t label)
    size_t gp_lock_sessions()
