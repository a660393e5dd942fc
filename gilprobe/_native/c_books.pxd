# What csrc/books declares.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from .c_base cimport c_bool, gp_site_key


cdef extern from "books/gp_account.h" nogil:
    const uint32_t GP_LABEL_ENDED
    enum:
        GP_STACK_MAX

    ctypedef struct gp_session:
        bint running
        bint wants_sites
        bint wants_stacks


cdef extern from "books/gp_places.h" nogil:
    ctypedef struct gp_call_stack:
        const gp_site_key *keys
        size_t depth
        c_bool truncated


cdef extern from "books/gp_blame.h":
    ctypedef struct gp_blame:
        uint32_t waiter, holder, place
        uint64_t wait


cdef extern from "books/gp_tags.h":
    enum:
        GP_TAGS_NAMED
        GP_TAG_OTHERS
        GP_TAGS
    ctypedef struct gp_tag_row:
        uint64_t hold, wait, off, holds, waits
    ctypedef struct gp_tag_thread:
        int64_t native_id
        uint32_t label, tag
        char os_name[16]
    ctypedef struct gp_worst_wait:
        uint64_t start, ticks, holder_ticks
        gp_tag_thread waiter, holder
    uint32_t gp_tags_add(const char *name, size_t size)
    const char *gp_tags_name(uint32_t tag)


cdef extern from "books/gp_labels.h":
    void gp_labels_set(uint32_t label, const char *name, size_t size)
