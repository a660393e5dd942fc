# cython: language_level=3, freethreading_compatible=True, binding=True, autotestdict=False
"""Where threads are, as the tracer sees it: what checks and measures the reading of CPython's frames.

Compiled functions have no Python frame: the innermost one is the caller's.
"""

from cpython.ref cimport PyObject
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from posix.time cimport nanosleep, timespec

from collections import Counter
from types import CodeType

from .c_base cimport *
from .c_cpython cimport *


with nogil:
    gp_frames_prepare()


cdef class _Room:
    """Zeroed memory for `count` things of `size` bytes, and at least one."""

    cdef void *start

    def __cinit__(self, size_t count, size_t size):
        self.start = calloc(count + 1, size)
        if self.start == NULL:
            raise MemoryError("no memory for a stack")

    def __dealloc__(self):
        free(self.start)


cdef tuple place(gp_site_key key):
    return (<object><PyObject *>key.code, key.instruction)


def check() -> str | None:
    """Return None if the interpreter is laid out as this was compiled for, else what differs, in one line."""
    cdef const char *differs = gp_frames_check()
    return None if differs == NULL else differs.decode()


def shortcuts() -> dict[str, bool]:
    """Return what is read without a call of the interpreter since `check` was last called, by name."""
    cdef gp_frames_shortcuts found = gp_frames_shortcuts_found()
    return {"finalizing": found.finalizing, "state": found.state}


def here() -> tuple[CodeType, int] | None:
    """Return the code and the instruction that called this; read as at a release, with the state detached."""
    cdef gp_site_key key
    with nogil:
        key = gp_frames_here()
    return None if key.code == NULL else place(key)


def stack(size_t limit) -> tuple[list[tuple[CodeType, int]], bool]:
    """Return the caller's stack, innermost first, at most `limit` frames, and whether there are more."""
    cdef _Room room = _Room(limit, sizeof(gp_site_key))
    cdef gp_site_key *keys = <gp_site_key *>room.start
    cdef c_bool truncated
    cdef size_t depth, level
    with nogil:
        depth = gp_frames_stack(keys, limit, &truncated)
    return [place(keys[level]) for level in range(depth)], truncated


def stack_above(frame: object, size_t limit) -> tuple[list[tuple[CodeType, int]], bool]:
    """Return the stack from a frame object of the calling thread on."""
    cdef _Room room = _Room(limit, sizeof(gp_site_key))
    cdef gp_site_key *keys = <gp_site_key *>room.start
    cdef c_bool truncated
    cdef size_t level, depth = gp_frames_stack_above(<PyObject *>frame, keys, limit, &truncated)
    return [place(keys[level]) for level in range(depth)], truncated


def describe(code: CodeType, int32_t instruction) -> tuple[bytes, bytes, int]:
    """Return the qualified name, the file name and the line of an instruction."""
    cdef gp_site_key key
    cdef gp_frames_text function, file
    cdef int32_t line
    if not isinstance(code, CodeType):
        raise TypeError(f"code must be a code object, got {type(code).__name__}")
    key.code, key.instruction = <PyObject *>code, instruction
    gp_frames_describe(key, &function, &file, &line)
    return function.bytes[:function.size], file.bytes[:file.size], line


def thread_state() -> int:
    """Return the address of the calling thread's state, for `read_safely`."""
    return <uintptr_t>gp_frames_thread_state()


def read_safely(
    uintptr_t state, size_t limit, *, int64_t delay_ns=0, size_t rounds=1
) -> tuple[list[tuple[bytes, bytes, int]], int]:
    """Wait, then look at a thread's stack `rounds` times, all without the GIL.

    Returns the last stack and how many frames were seen altogether.
    """
    cdef _Room room = _Room(limit, sizeof(gp_frames_line))
    cdef gp_frames_line *lines = <gp_frames_line *>room.start
    cdef timespec delay
    cdef size_t n, depth = 0, seen = 0
    if delay_ns < 0:
        raise ValueError(f"delay_ns must be >= 0, got {delay_ns}")
    delay.tv_sec, delay.tv_nsec = delay_ns // 1000000000, delay_ns % 1000000000
    with nogil:
        nanosleep(&delay, NULL)
        for n in range(rounds):
            depth = gp_frames_read_safely(<const void *>state, lines, limit)
            seen += depth
    return [(bytes(lines[n].function), bytes(lines[n].file), lines[n].line) for n in range(depth)], seen


def read_callees(uintptr_t state, size_t rounds, *, int64_t gap_ns=0) -> dict[bytes, int]:
    """Look `rounds` times, `gap_ns` apart, at what a thread runs in C, all without the GIL.

    Returns how often each name was seen; b"" where there was none.
    """
    cdef _Room room = _Room(rounds, GP_CALLEE_MAX)
    cdef char *name = <char *>room.start
    cdef gp_safe_reader reader
    cdef timespec gap
    cdef size_t n
    if gap_ns < 0:
        raise ValueError(f"gap_ns must be >= 0, got {gap_ns}")
    gap.tv_sec, gap.tv_nsec = gap_ns // 1000000000, gap_ns % 1000000000
    with nogil:
        gp_safe_reader_open(&reader)
        for n in range(rounds):
            if not gp_callee_read(&reader, <const void *>state, name + n * GP_CALLEE_MAX, GP_CALLEE_MAX):
                name[n * GP_CALLEE_MAX] = 0
            if gap_ns != 0:
                nanosleep(&gap, NULL)
        gp_safe_reader_close(&reader)
    seen = Counter()
    for n in range(rounds):
        seen[<bytes>(name + n * GP_CALLEE_MAX)] += 1
    return dict(seen)


def here_cost_ns(int64_t rounds) -> float:
    """Measure what asking once for the innermost frame costs, in nanoseconds."""
    cdef uint64_t begin = gp_clock_monotonic_ns()
    cdef int64_t n
    for n in range(rounds):
        gp_frames_here()
    return (gp_clock_monotonic_ns() - begin) / <double>rounds


def stack_cost_ns(size_t limit, int64_t rounds) -> float:
    """Measure what asking once for at most `limit` frames of the stack costs, in nanoseconds."""
    cdef _Room room = _Room(limit, sizeof(gp_site_key))
    cdef gp_site_key *keys = <gp_site_key *>room.start
    cdef c_bool truncated
    cdef uint64_t begin = gp_clock_monotonic_ns()
    cdef int64_t n
    for n in range(rounds):
        gp_frames_stack(keys, limit, &truncated)
    return (gp_clock_monotonic_ns() - begin) / <double>rounds
