# What csrc/cpython declares for the module attach.

from libc.stdint cimport int32_t, uint8_t

from .c_attach cimport gp_agent_order


cdef extern from "cpython/gp_agent_functions.h" nogil:
    void gp_agent_functions(gp_agent_order *order)

cdef extern from "cpython/gp_linetable.h" nogil:
    int32_t gp_linetable_line(const uint8_t *table, size_t size, int32_t first_line, int32_t instruction)
