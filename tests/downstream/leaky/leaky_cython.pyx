# cython: freethreading_compatible=True
"""The kinds of leak that Cython lets its users write, and a cache that is none."""

from cpython.ref cimport Py_DECREF, Py_INCREF

cdef dict _squares = {}
cdef list _kept = []


cdef class Node:
    """May refer to itself: only the garbage collector frees it then."""

    cdef public object other


def missing_decref(object value):
    """Convert by hand, and keep a reference to the result that nobody knows of."""
    cdef list made = [value]
    Py_INCREF(made)
    return made


def cyclic():
    """Make a cycle, which the garbage collector frees: no leak."""
    cdef Node node = Node()
    node.other = node


def kept():
    """Put a new object into a list that lives as long as the module, call by call."""
    _kept.append(Node())


def remembered(int number):
    """Return the square of a number modulo 200 from a cache that has at most 200 entries: no leak."""
    cdef int key = number % 200
    if key not in _squares:
        _squares[key] = [key * key]
    return _squares[key]


def balanced(object value):
    """Count up and down again: no leak."""
    Py_INCREF(value)
    Py_DECREF(value)
