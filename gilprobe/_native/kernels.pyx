# cython: language_level=3, freethreading_compatible=True, binding=True, autotestdict=False
# cython: subinterpreters_compatible=own_gil
"""The kernels' binding: sets the work up, runs it with the GIL or without, and lets Ctrl-C through.

Raises built-in exceptions only, and is safe for any argument; :mod:`gilprobe.kernels` has the checks with words.

Of the compiled modules this is the one that interpreters with a GIL of their own can load: it keeps no Python
object outside of the module (see CMakeLists.txt), and what its C keeps for the process is under locks.
"""

# Not `signal`, whose getsignal is Python code: it would run the pending handler before it answers.
import _signal

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.signal cimport SIGINT
from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, uint64_t

from .c_base cimport *
from .c_cpython cimport *
from .c_kernels cimport *
from .status cimport check_status


with nogil:  # docs/locks.md
    gp_interrupt_prepare()


cdef int answer_interrupt(gp_interrupt_watch *watch) except -1:
    """Raise what Ctrl-C means for this thread, or return to go on with the work."""
    gp_interrupt_rearm(watch)
    if not gp_work_in_main():
        # Its handlers are the main interpreter's objects, and PyErr_CheckSignals would not run them here.
        raise KeyboardInterrupt
    # Asked before the handler runs, which may change it.
    cdef bint by_default = _signal.getsignal(SIGINT) is _signal.default_int_handler
    PyErr_CheckSignals()
    if not GP_INTERRUPT_SIGNALS:
        return 0
    # In the main thread the default handler would have raised: this is another one.
    if by_default:
        raise KeyboardInterrupt
    # The main thread may be waiting for the GIL to run a handler of the program's own.
    with nogil:
        pass
    gp_interrupt_renew(watch)
    PyErr_CheckSignals()  # a SIGINT from before the renewal
    return 0


cdef int run(gp_work *work, bint release_gil) except -1:
    cdef gp_interrupt_watch watch
    cdef bint done = False
    gp_interrupt_begin(&watch, work.nominal_ns, release_gil)
    try:
        if watch.watching:
            PyErr_CheckSignals()  # a SIGINT from before the watch
        while True:
            if release_gil:
                with nogil:
                    done = gp_work_step(work, &watch)
            else:
                done = gp_work_step(work, &watch)
            if done:
                return 0
            answer_interrupt(&watch)
    finally:
        gp_interrupt_end(&watch)


def spin(uint64_t iterations, bint release_gil=False):
    """Return the checksum of `iterations` rounds of integer arithmetic."""
    cdef gp_spin kernel
    gp_spin_init(&kernel, iterations)
    run(&kernel.work, release_gil)
    return kernel.checksum


def stream(buffer, uint64_t passes=1, bint release_gil=False):
    """Return the sum of the 64-bit words of `buffer`, read `passes` times."""
    cdef gp_array_stream kernel
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE)
    try:
        gp_stream_init(&kernel, view.buf, <size_t>view.len, passes)
        run(&kernel.work, release_gil)
        return kernel.checksum
    finally:
        PyBuffer_Release(&view)


def chase(chain, uint64_t steps, bint release_gil=False):
    """Return where `steps` dependent loads through `chain` end; IndexError if an index is out of range."""
    cdef gp_chase kernel
    cdef Py_buffer view
    PyObject_GetBuffer(chain, &view, PyBUF_SIMPLE)
    try:
        gp_chase_init(&kernel, view.buf, <uint64_t>view.len // sizeof(uint64_t), steps)
        run(&kernel.work, release_gil)
        if kernel.broken != kernel.nodes:
            raise IndexError(kernel.broken)
        return kernel.index
    finally:
        PyBuffer_Release(&view)


def fill_chain(room, uint64_t seed):
    """Fill the writable buffer `room` with one random cycle of 64-bit indices; runs without the GIL."""
    cdef gp_chain kernel
    cdef Py_buffer view
    PyObject_GetBuffer(room, &view, PyBUF_WRITABLE)
    try:
        gp_chain_init(&kernel, view.buf, <uint64_t>view.len // sizeof(uint64_t), seed)
        run(&kernel.work, True)
    finally:
        PyBuffer_Release(&view)


def sleep(uint64_t duration_ns, bint release_gil=False):
    """Block for `duration_ns`."""
    if duration_ns > <uint64_t>INT64_MAX:
        raise OverflowError("duration_ns must be < 2**63")
    cdef gp_sleep kernel
    gp_sleep_init(&kernel, duration_ns)
    run(&kernel.work, release_gil)


def alternate(uint64_t cycles, uint64_t held_ns, uint64_t released_ns, bint release_gil=True):
    """Return the nanoseconds held, in the release, released and in the acquisition."""
    cdef gp_alternate kernel
    gp_alternate_init(&kernel, &gp_work_gil if release_gil else NULL, cycles, held_ns, released_ns)
    run(&kernel.work, False)
    return kernel.held_ns, kernel.release_ns, kernel.released_ns, kernel.reacquire_ns


def cycle(uint64_t count):
    """Return the nanoseconds that `count` releases and acquisitions took."""
    cdef gp_cycle kernel
    gp_cycle_init(&kernel, &gp_work_gil, count)
    run(&kernel.work, False)
    return kernel.elapsed_ns


def grain(uint64_t iterations, uint64_t every, bint release_gil=True):
    """Return the checksum of `iterations` rounds of arithmetic, with the GIL back after every `every`."""
    if every == 0:
        raise OverflowError("every must be > 0")
    cdef gp_grain kernel
    gp_grain_init(&kernel, &gp_work_gil if release_gil else NULL, iterations, every)
    run(&kernel.work, False)
    return kernel.checksum


def refer(obj, uint64_t times):
    """Take and drop `times` references to `obj`."""
    cdef gp_refer kernel
    gp_refer_init(&kernel, <void *>obj, times)
    run(&kernel.work, False)


@cython.final
cdef class Counter:
    """Counters for threads to race on."""

    cdef gp_race *race

    def __cinit__(self, size_t slots, bint padded=True):
        check_status(gp_race_new(slots, padded, &self.race), "a counter", "slots must be > 0, and their bytes < 2**64")

    def __dealloc__(self):
        gp_race_free(self.race)

    def bump(self, uint64_t times, bint atomic, size_t slot=0, bint release_gil=False):
        """Add 1 to a counter, `times` times."""
        if slot >= gp_race_slots(self.race):
            raise IndexError(slot)
        cdef gp_bump kernel
        gp_bump_init(&kernel, self.race, slot, times, atomic)
        run(&kernel.work, release_gil)

    def values(self):
        """Return what each counter shows."""
        return tuple([gp_race_value(self.race, slot) for slot in range(gp_race_slots(self.race))])
