# What csrc/cpython declares for the module attach.

from .c_attach cimport gp_agent_order


cdef extern from "cpython/gp_agent_functions.h" nogil:
    void gp_agent_functions(gp_agent_order *order)
