# What csrc/cpython declares; what it has for the tracer stands in c_cpython_tracer.pxd.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdio cimport FILE

from .c_base cimport c_bool, gp_safe_reader, gp_site_key
from .c_kernels cimport gp_work, gp_work_lock


cdef extern from "cpython/gp_frames.h" nogil:
    ctypedef struct gp_frames_text:
        size_t size
        char bytes[1024]
    ctypedef struct gp_frames_line:
        char function[128]
        char file[256]
        int32_t line
    ctypedef struct gp_frames_shortcuts:
        c_bool finalizing
        c_bool state
    void gp_frames_prepare()
    const char *gp_frames_check()
    gp_frames_shortcuts gp_frames_shortcuts_found()
    gp_site_key gp_frames_here()
    size_t gp_frames_stack(gp_site_key *keys, size_t room, c_bool *truncated)
    size_t gp_frames_stack_above(const void *frame, gp_site_key *keys, size_t room, c_bool *truncated)
    void gp_frames_describe(gp_site_key key, gp_frames_text *function, gp_frames_text *file, int32_t *line)
    const void *gp_frames_thread_state()
    size_t gp_frames_read_safely(const void *thread_state, gp_frames_line *lines, size_t room)


cdef extern from "cpython/gp_callee.h" nogil:
    enum:
        GP_CALLEE_MAX
    c_bool gp_callee_read(gp_safe_reader *reader, const void *thread_state, char *name, size_t room)


cdef extern from "cpython/gp_counts.h":
    const int64_t GP_COUNTS_IMMORTAL
    ctypedef struct gp_counts_parts:
        uintptr_t owner
        int64_t local
        int64_t shared
    int64_t gp_counts_of(const void *object) nogil
    bint gp_counts_is_immortal(const void *object)
    bint gp_counts_is_deferred(const void *object)
    bint gp_counts_split(const void *object, gp_counts_parts *parts)
    int32_t gp_counts_narrow(const void *object, int32_t own)
    void gp_counts_lend(void *object, int32_t references)
    bint gp_counts_exempt(void *object, uint32_t *local)
    void gp_counts_admit(void *object, uint32_t local)
    ctypedef struct gp_counts_traffic:
        uint32_t counted
        uint32_t locked
        int64_t shared
    void gp_counts_sweep(void *const *objects, size_t size, gp_counts_traffic *traffic, bint first) noexcept nogil
    size_t gp_counts_of_items(object sequence, int32_t *counts, size_t room)


cdef extern from "cpython/gp_program.h":
    object gp_program_run(FILE *file, const char *filename, object names)


cdef extern from "cpython/gp_refer.h":
    # Its step counts references: run it held.
    ctypedef struct gp_refer:
        gp_work work
    void gp_refer_init(gp_refer *refer, void *object, uint64_t times)


cdef extern from "cpython/gp_work_gil.h":
    const gp_work_lock gp_work_gil
    bint gp_work_in_main()
