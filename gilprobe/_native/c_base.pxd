# What csrc/base declares. Each c_*.pxd stands for the folder of csrc that it is named after.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "<stdbool.h>" nogil:
    ctypedef bint c_bool "bool"  # bint is an int: a pointer to it is another


cdef extern from "base/gp_status.h" nogil:
    ctypedef enum gp_status:
        GP_OK
        GP_EINVAL
        GP_ENOMEM
        GP_ESYSTEM
        GP_EUNSUPPORTED
        GP_ETHREAD


cdef extern from "base/gp_clock.h" nogil:
    ctypedef struct gp_clock_rate:
        uint64_t factor
    void gp_clock_begin()
    void gp_clock_init()
    const char *gp_clock_name()
    uint64_t gp_clock_ticks()
    uint64_t gp_clock_monotonic_ns()


cdef extern from "base/gp_buffer.h" nogil:
    ctypedef struct gp_buffer:
        uint8_t *bytes
        size_t size
        size_t room
        bint failed
    void gp_buffer_free(gp_buffer *buffer)


cdef extern from "base/gp_place.h" nogil:
    ctypedef struct gp_site_key:
        const void *code
        int32_t instruction


cdef extern from "base/gp_safe_read.h" nogil:
    ctypedef struct gp_safe_reader:
        pass
    void gp_safe_reader_open(gp_safe_reader *reader)
    void gp_safe_reader_close(gp_safe_reader *reader)


cdef extern from "base/gp_hist.h" nogil:
    enum:
        GP_HIST_BUCKETS
        GP_HIST_SUB_BITS
    ctypedef struct gp_hist:
        uint64_t counts[1]
    size_t gp_hist_index(uint64_t ns)
    void gp_hist_bounds(size_t index, uint64_t *low, uint64_t *high)
    void gp_hist_record(gp_hist *hist, uint64_t ns)
    void gp_hist_merge(gp_hist *into, const gp_hist *other)
    uint64_t gp_hist_count(const gp_hist *hist)


cdef extern from "base/gp_sampler.h" nogil:
    ctypedef int64_t (*gp_sampler_read)(const void *object) noexcept
    ctypedef struct gp_sampler:
        pass
    ctypedef struct gp_sampler_change:
        uint64_t at_ns
        int64_t count
    ctypedef struct gp_sampler_seen:
        uint64_t elapsed_ns, samples, missed, not_counted
        int64_t first, last, least, most
        uint64_t changes
        const gp_sampler_change *kept
        size_t kept_count
        const gp_hist *hist
    gp_status gp_sampler_start(const void *object, gp_sampler_read read, int64_t own, uint64_t period_ns, size_t keep,
                               gp_sampler **sampler, int *error)
    void gp_sampler_stop(gp_sampler *sampler)
    gp_sampler_seen gp_sampler_result(const gp_sampler *sampler)
    void gp_sampler_free(gp_sampler *sampler)
