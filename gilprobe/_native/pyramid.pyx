# cython: language_level=3, freethreading_compatible=True, binding=True, autotestdict=False
"""Binding of what makes a timeline small (csrc/picture).

Batches in, bytes and plain tuples out. What a file made up raises ValueError.
"""

cimport cython
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from .c_base cimport *
from .c_picture cimport *
from .status cimport check_status


SHARES = GP_PICTURE_PYRAMID_SHARES
HOLDERS = GP_PICTURE_LONGEST_HOLDERS
SUMS = sizeof(gp_interval_sum) // sizeof(uint64_t)


cdef int check_events(gp_status status) except -1:
    return check_status(status, "a timeline", "an event must refer to a thread and a place of its timeline")


@cython.final
cdef class Intervals:
    """The columns of a batch, kept alive while they are looked at."""

    cdef const uint8_t[::1] kinds
    cdef const uint32_t[::1] threads, places
    cdef const int64_t[::1] starts_ns, durations_ns
    cdef gp_picture_intervals raw

    def __cinit__(self, batch not None):
        self.kinds, self.threads, self.places, self.starts_ns, self.durations_ns = batch
        cdef Py_ssize_t count = self.kinds.shape[0]
        if not (self.threads.shape[0] == self.places.shape[0] == self.starts_ns.shape[0]
                == self.durations_ns.shape[0] == count):
            raise ValueError("the columns of a batch must be of equal length")
        self.raw.count = count
        if count == 0:
            return
        self.raw.kinds = &self.kinds[0]
        self.raw.threads = &self.threads[0]
        self.raw.places = &self.places[0]
        self.raw.starts_ns = &self.starts_ns[0]
        self.raw.durations_ns = &self.durations_ns[0]


@cython.final
cdef class Rows:
    """Where a timeline's threads and places go: three columns of uint32, by threads, by threads, by places.

    `rows` and `gils` are the numbers of a thread's row and of its GIL's; `row_count` and `gil_count` or more for
    none. `names` is what a place is called, from 1 on. Times are cut to [0, extent_ns).
    """

    cdef const uint32_t[::1] rows, gils, names
    cdef gp_rows raw

    def __cinit__(self, rows, gils, names, *, uint32_t row_count, uint32_t gil_count, uint64_t extent_ns):
        self.rows, self.gils, self.names = rows, gils, names
        if self.rows.shape[0] != self.gils.shape[0]:
            raise ValueError("each thread must have a row and a GIL")
        if extent_ns >> 62:
            raise ValueError(f"extent_ns must be below 2**62, got {extent_ns}")
        self.raw.thread_count = self.rows.shape[0]
        self.raw.place_count = self.names.shape[0]
        self.raw.row_count = row_count
        self.raw.gil_count = gil_count
        self.raw.extent_ns = extent_ns
        if self.raw.thread_count != 0:
            self.raw.rows = &self.rows[0]
            self.raw.gils = &self.gils[0]
        if self.raw.place_count != 0:
            self.raw.names = &self.names[0]

    cdef int check_row(self, size_t row) except -1:
        if row >= <size_t>self.raw.row_count + self.raw.gil_count:
            raise IndexError(f"there are {self.raw.row_count} + {self.raw.gil_count} rows, got {row}")
        return 0


def survey(batch, uint64_t extent_ns, uint64_t[::1] threads, uint64_t[::1] places) -> None:
    """Add a batch to the sums of its threads and its places.

    `threads` has `SUMS` numbers for each: hold_ns, wait_ns, number of events, begin of the first, end of the last.
    `places` has one for each: hold_ns.
    """
    cdef Intervals intervals = Intervals(batch)
    cdef gp_interval_sum *sums = <gp_interval_sum *>&threads[0] if threads.shape[0] != 0 else NULL
    cdef uint64_t *holds = &places[0] if places.shape[0] != 0 else NULL
    cdef size_t thread_count = threads.shape[0] // <Py_ssize_t>(sizeof(gp_interval_sum) // sizeof(uint64_t))
    cdef gp_status status
    with nogil:
        status = gp_picture_intervals_survey(&intervals.raw, extent_ns, sums, thread_count, holds, places.shape[0])
    check_events(status)


@cython.final
cdef class Exact:
    """Every interval, packed row by row."""

    cdef gp_picture_exact *raw
    cdef Rows rows

    def __cinit__(self, Rows rows not None):
        self.rows = rows
        check_events(gp_picture_exact_new(&rows.raw, &self.raw))

    def __dealloc__(self):
        gp_picture_exact_free(self.raw)

    def add(self, batch) -> None:
        """Take a batch in."""
        cdef Intervals intervals = Intervals(batch)
        cdef gp_status status
        with nogil:
            status = gp_picture_exact_add(self.raw, &intervals.raw)
        check_events(status)

    def row(self, size_t number) -> bytes:
        """Return a row's bytes: threads' rows first, then the GILs'."""
        self.rows.check_row(number)
        cdef const gp_buffer *buffer = gp_picture_exact_row(self.raw, number)
        return buffer.bytes[:buffer.size] if buffer.size != 0 else b""


@cython.final
cdef class Pyramid:
    """Rows of equal cells: what share was held and waited, and who leads."""

    cdef gp_picture_pyramid *raw
    cdef Rows rows

    def __cinit__(self, Rows rows not None, uint32_t cells):
        self.rows = rows
        if cells == 0:
            raise ValueError("cells must be > 0, got 0")
        check_events(gp_picture_pyramid_new(&rows.raw, cells, &self.raw))

    def __dealloc__(self):
        gp_picture_pyramid_free(self.raw)

    @property
    def cell_ns(self) -> int:
        """Length of a cell at the finest level, nanoseconds."""
        return gp_picture_pyramid_cell_ns(self.raw)

    def add(self, batch) -> None:
        """Take a batch in."""
        cdef Intervals intervals = Intervals(batch)
        cdef gp_status status
        with nogil:
            status = gp_picture_pyramid_add(self.raw, &intervals.raw)
        check_events(status)

    def row(self, size_t number, unsigned level) -> bytes:
        """Return a row's bytes with 2**level cells in one: threads' rows first, then the GILs'."""
        cdef gp_buffer buffer
        self.rows.check_row(number)
        if level > 31:
            raise ValueError(f"level must be below 32, got {level}")
        buffer = gp_buffer(NULL, 0, 0, False)
        with nogil:
            gp_picture_pyramid_pack(self.raw, number, level, &buffer)
        try:
            check_status(GP_ENOMEM if buffer.failed else GP_OK, "a row of a timeline", None)
            return buffer.bytes[:buffer.size] if buffer.size != 0 else b""
        finally:
            gp_buffer_free(&buffer)


cdef list as_tuples(const gp_long *entries, size_t count):
    cdef size_t i, j
    found = []
    for i in range(count):
        holders = [(entries[i].holders[j].row, entries[i].holders[j].place, entries[i].holders[j].ns)
                   for j in range(entries[i].holder_count)]
        found.append((entries[i].begin, entries[i].end, entries[i].row, entries[i].place, holders,
                      entries[i].others_ns))
    return found


@cython.final
cdef class Longest:
    """The longest holds and waits, each as (begin, end, row, place, holders, time of other holders).

    Holders are (row, place, nanoseconds): of waits only, those who held the GIL meanwhile, the most first. After
    `looks` holds were looked at, waits have none.
    """

    cdef gp_picture_longest *raw
    cdef Rows rows

    def __cinit__(self, Rows rows not None, uint32_t keep, uint64_t looks):
        self.rows = rows
        check_events(gp_picture_longest_new(&rows.raw, keep, looks, &self.raw))

    def __dealloc__(self):
        gp_picture_longest_free(self.raw)

    def add(self, batch) -> None:
        """Take a batch in."""
        cdef Intervals intervals = Intervals(batch)
        cdef gp_status status
        with nogil:
            status = gp_picture_longest_add(self.raw, &intervals.raw)
        check_events(status)

    def holds(self) -> list:
        """Return the longest holds, in no order."""
        cdef size_t count = 0
        cdef const gp_long *entries = gp_picture_longest_holds(self.raw, &count)
        return as_tuples(entries, count)

    def waits(self) -> list:
        """Return the longest waits, in no order."""
        cdef size_t count = 0
        cdef const gp_long *entries = gp_picture_longest_waits(self.raw, &count)
        return as_tuples(entries, count)
