# What csrc/cpython declares for the tracer: apart, so that the other bindings need no header of the tracer.

from libc.stdint cimport uint32_t

from .c_trace cimport gp_tracer_host, gp_watchdog_eyes


cdef extern from "cpython/gp_interpreter.h":
    void gp_interpreter_prepare() nogil
    const gp_tracer_host *gp_interpreter_host()
    const gp_watchdog_eyes *gp_interpreter_eyes()


cdef extern from "cpython/gp_loop_callbacks.h":
    ctypedef uint32_t gp_context_tag(void *context) noexcept
    bint gp_loop_callbacks_follow(gp_context_tag *tag)


cdef extern from "cpython/gp_forks.h":
    void gp_forks_before()
    void gp_forks_after_in_parent()

cdef extern from "cpython/gp_collections.h":
    bint gp_collections_follow(void *callbacks, bint follow)

cdef extern from "cpython/gp_lock_host.h":
    void gp_lock_host_prepare() nogil
    void gp_lock_host_use_frames()
