# What csrc/picture declares.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from .c_base cimport gp_buffer, gp_status


cdef extern from "picture/gp_picture_intervals.h" nogil:
    ctypedef struct gp_picture_intervals:
        const uint8_t *kinds
        const uint32_t *threads
        const uint32_t *places
        const int64_t *starts_ns
        const int64_t *durations_ns
        size_t count
    ctypedef struct gp_rows:
        const uint32_t *rows
        const uint32_t *gils
        const uint32_t *names
        size_t thread_count, place_count
        uint32_t row_count, gil_count
        uint64_t extent_ns
    ctypedef struct gp_interval_sum:
        uint64_t hold_ns, wait_ns, count, first_ns, last_ns
    gp_status gp_picture_intervals_survey(const gp_picture_intervals *intervals, uint64_t extent_ns,
                                          gp_interval_sum *threads, size_t thread_count, uint64_t *place_holds_ns,
                                          size_t place_count)


cdef extern from "picture/gp_picture_exact.h" nogil:
    ctypedef struct gp_picture_exact:
        pass
    gp_status gp_picture_exact_new(const gp_rows *rows, gp_picture_exact **exact)
    gp_status gp_picture_exact_add(gp_picture_exact *exact, const gp_picture_intervals *intervals)
    const gp_buffer *gp_picture_exact_row(const gp_picture_exact *exact, size_t row)
    void gp_picture_exact_free(gp_picture_exact *exact)


cdef extern from "picture/gp_picture_pyramid.h" nogil:
    enum:
        GP_PICTURE_PYRAMID_SHARES
    ctypedef struct gp_picture_pyramid:
        pass
    gp_status gp_picture_pyramid_new(const gp_rows *rows, uint32_t cells, gp_picture_pyramid **pyramid)
    gp_status gp_picture_pyramid_add(gp_picture_pyramid *pyramid, const gp_picture_intervals *intervals)
    uint64_t gp_picture_pyramid_cell_ns(const gp_picture_pyramid *pyramid)
    void gp_picture_pyramid_pack(const gp_picture_pyramid *pyramid, size_t row, unsigned level, gp_buffer *buffer)
    void gp_picture_pyramid_free(gp_picture_pyramid *pyramid)


cdef extern from "picture/gp_picture_longest.h" nogil:
    enum:
        GP_PICTURE_LONGEST_HOLDERS
    ctypedef struct gp_holder:
        uint32_t row, place
        uint64_t ns
    ctypedef struct gp_long:
        uint64_t begin, end
        uint32_t row, place, holder_count
        gp_holder holders[1]
        uint64_t others_ns
    ctypedef struct gp_picture_longest:
        pass
    gp_status gp_picture_longest_new(const gp_rows *rows, size_t keep, uint64_t looks, gp_picture_longest **longest)
    gp_status gp_picture_longest_add(gp_picture_longest *longest, const gp_picture_intervals *intervals)
    const gp_long *gp_picture_longest_holds(const gp_picture_longest *longest, size_t *count)
    const gp_long *gp_picture_longest_waits(const gp_picture_longest *longest, size_t *count)
    void gp_picture_longest_free(gp_picture_longest *longest)
