# cython: language_level=3, freethreading_compatible=True, binding=True, autotestdict=False
"""Binding of reference counts (csrc/cpython/gp_counts.h). Raises built-in exceptions only."""

from sys import intern

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from cpython.list cimport PyList_CheckExact
from cpython.long cimport PyLong_FromLongLong
from cpython.object cimport PyObject, PyObject_GenericGetAttr
from cpython.tuple cimport PyTuple_CheckExact
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint32_t, uintptr_t
from libc.stdlib cimport calloc, free

from .c_cpython cimport *


IMMORTAL = GP_COUNTS_IMMORTAL
"""Stands in an array for the count of an immortal object."""

SWEEPS = SWEEPS_AT_ONCE
"""Sweeps that :func:`traffic` makes before it asks again whether to go on."""

cdef enum:
    OWN = 1  # the reference that a watch has, or whoever iterates
    PIECE = 1 << 12  # counts, between two looks for Ctrl-C
    SWEEPS_AT_ONCE = 20


cdef object count_name = intern("count")  # as every attribute's name in a program is
cdef PyObject *COUNT = <PyObject *>count_name


cdef inline own_count(const void *address):
    cdef int64_t count = gp_counts_of(address)
    if count == GP_COUNTS_IMMORTAL:
        return None
    return PyLong_FromLongLong(count - OWN)


@cython.final
@cython.no_gc_clear  # whoever asks a watch that the collector is about to free must not get the count of None
cdef class Watch:
    """A handle on an object that reads its reference count; made by :func:`gilprobe.refs.watch`.

    It has one reference to the object and keeps it alive. Where it reads, the object is not passed on, so that
    nothing of the reading is counted. May be used from any thread.
    """

    cdef object watched
    cdef const void *address  # the same, for reading without counting
    cdef int64_t seen

    def __cinit__(self, watched):
        self.watched = watched
        self.address = <const void *>watched
        self.seen = gp_counts_of(self.address)

    def __getattribute__(self, name):
        # The search along the type would take twice the time of the reading.
        if <PyObject *>name == COUNT:
            return own_count(self.address)
        return PyObject_GenericGetAttr(self, name)

    @property
    def count(self) -> int | None:
        """References to the object that are counted, but for the watch's own; None if it is immortal."""
        return own_count(self.address)

    @property
    def immortal(self) -> bool:
        """Whether the object is never freed and its references are not counted: from CPython 3.12 on."""
        return gp_counts_is_immortal(self.address)

    @property
    def deferred(self) -> bool:
        """Whether references from the stacks of threads are not counted: on free-threaded builds."""
        return gp_counts_is_deferred(self.address)

    @property
    def owner(self) -> int | None:
        """Identifier of the thread that counts its references apart; None if none does, or the build has a GIL."""
        cdef gp_counts_parts parts
        if not gp_counts_split(self.address, &parts) or parts.owner == 0:
            return None
        return parts.owner

    @property
    def local(self) -> int | None:
        """The owner's part of the count as it is stored, the watch's own reference included; None with a GIL."""
        cdef gp_counts_parts parts
        return parts.local if gp_counts_split(self.address, &parts) else None

    @property
    def shared(self) -> int | None:
        """The other threads' part, as it is stored; may be negative; None with a GIL."""
        cdef gp_counts_parts parts
        return parts.shared if gp_counts_split(self.address, &parts) else None

    @property
    def alive(self) -> bool:
        """True: the watch keeps the object alive."""
        return True

    @property
    def obj(self) -> object:
        """The object."""
        return self.watched

    def delta(self) -> int:
        """Return by how much the count has changed since the last call, the first time since the watch was made.

        Returns 0 for an immortal object.
        """
        cdef int64_t count = gp_counts_of(self.address)
        cdef int64_t before = self.seen
        self.seen = count
        if count == GP_COUNTS_IMMORTAL or before == GP_COUNTS_IMMORTAL:
            return 0
        return count - before

    def __repr__(self) -> str:
        what = f"{type(self.watched).__qualname__} object at {<uintptr_t>self.address:#x}"
        count = self.count
        return f"<watch on {what}: {'immortal' if count is None else f'count {count}'}>"


def counts_of_items(sequence) -> memoryview:
    """Return the counts of the items of a list or a tuple, as signed 32-bit integers."""
    cdef size_t room
    if not (PyList_CheckExact(sequence) or PyTuple_CheckExact(sequence)):
        raise TypeError("sequence must be a list or a tuple")
    while True:
        # What makes room may run the collector, and so anything: the list is as long as it is when it is read.
        room = len(sequence)
        made = PyByteArray_FromStringAndSize(NULL, room * sizeof(int32_t))
        if gp_counts_of_items(sequence, <int32_t *>PyByteArray_AS_STRING(made), room) == room:
            return memoryview(made).cast("i")


def counts_of_each(iterable) -> memoryview:
    """Return the counts of what an iterable hands out, each at that moment, less the reference handed out."""
    cdef int32_t piece[PIECE]
    cdef size_t size = 0
    made = bytearray()
    for item in iterable:
        piece[size] = gp_counts_narrow(<const void *>item, OWN)
        size += 1
        if size == PIECE:
            made += (<char *>piece)[:sizeof(piece)]
            size = 0
            PyErr_CheckSignals()
    made += (<char *>piece)[:size * sizeof(int32_t)]
    return memoryview(made).cast("i")


def lend(list objects, int32_t references) -> None:
    """Add to the count of each object in a list, as if somebody kept so many references; below 0: give back.

    Whoever gives back more than was lent frees objects that are in use.
    """
    for item in objects:
        gp_counts_lend(<void *>item, references)


def exempt(list objects) -> list[int]:
    """Stop counting references to objects, as if they were immortal; return what :func:`admit` needs.

    No thread may use the objects meanwhile. They are never freed afterwards. Does nothing on a build with a GIL.
    """
    cdef uint32_t local = 0
    before = []
    for item in objects:
        before.append(local if gp_counts_exempt(<void *>item, &local) else -1)
    return before


def admit(list objects, list before) -> None:
    """Count references to objects again, which :func:`exempt` has exempted."""
    for item, local in zip(objects, before, strict=True):
        if local >= 0:
            gp_counts_admit(<void *>item, <uint32_t>local)


def traffic(list objects, going_on) -> list[tuple[int, int]]:
    """Look at objects again and again while `going_on()` is true, which is asked before each `SWEEPS` sweeps.

    Returns for each how often its count by other threads than its owner had changed between two sweeps, and how
    often its own lock was held.
    """
    cdef size_t size = len(objects), i
    cdef void **addresses = <void **>calloc(size or 1, sizeof(void *))
    cdef gp_counts_traffic *seen = <gp_counts_traffic *>calloc(size or 1, sizeof(gp_counts_traffic))
    cdef int number
    try:
        if addresses == NULL or seen == NULL:
            raise MemoryError
        for i in range(size):
            addresses[i] = <void *><PyObject *>objects[i]
        gp_counts_sweep(addresses, size, seen, True)
        while going_on():
            with nogil:
                for number in range(SWEEPS_AT_ONCE):
                    gp_counts_sweep(addresses, size, seen, False)
        return [(seen[i].counted, seen[i].locked) for i in range(size)]
    finally:
        free(addresses)
        free(seen)
