# What csrc/books declares.

from libc.stdint cimport uint32_t

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


cdef extern from "books/gp_labels.h":
    void gp_labels_set(uint32_t label, const char *name, size_t size)
