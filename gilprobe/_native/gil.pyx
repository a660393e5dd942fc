# cython: language_level=3, freethreading_compatible=True, binding=True
"""Binding of the tracer (csrc/gp_gil.h). All of the tracer's native state lives in this extension module."""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport strerror

import sys

cimport cython


cdef extern from "gp_status.h" nogil:
    ctypedef enum gp_status:
        GP_OK
        GP_ENOMEM
        GP_ESYSTEM
        GP_EUNSUPPORTED


cdef extern from "gp_clock.h" nogil:
    ctypedef struct gp_clock_rate:
        uint64_t factor
    ctypedef enum gp_clock_kind:
        GP_CLOCK_MONOTONIC
        GP_CLOCK_COUNTER
    void gp_clock_init()
    const char *gp_clock_name()
    uint64_t gp_clock_ticks()
    uint64_t gp_clock_monotonic_ns()
    uint64_t gp_clock_to_ns(gp_clock_rate rate, uint64_t ticks)


cdef extern from "gp_hist.h" nogil:
    enum:
        GP_HIST_BUCKETS
    ctypedef struct gp_hist:
        uint64_t counts[1]


cdef extern from "gp_account.h" nogil:
    ctypedef struct gp_identity:
        int64_t native_id
        char os_name[16]
        uint32_t label
        bint exited
    ctypedef struct gp_session:
        bint running
    ctypedef struct gp_account:
        gp_identity identity
        uint64_t first, last
        uint64_t hold, wait, off
        uint64_t longest_hold, longest_wait
        uint64_t acquisitions, contended_acquisitions
        uint64_t releases, forced_releases
        gp_hist holds, waits


cdef extern from "gp_gil.h" nogil:
    ctypedef struct gp_gil_host:
        pass
    ctypedef struct gp_gil_summary:
        uint64_t elapsed, contended, handoffs, lost
        size_t account_count
        gp_clock_rate rate
        bint hooks_lost
        bint releases_told_apart


cdef extern from "gp_gil.h":
    gp_status gp_gil_learn(const gp_gil_host *host, const char **reason)
    gp_status gp_gil_start(const gp_gil_host *host, gp_session **session, const char **reason)
    void gp_gil_stop(gp_session *session)
    void gp_gil_forget(gp_session *session)
    void gp_gil_summarise(gp_session *session, gp_gil_summary *summary)
    void gp_gil_account(const gp_session *session, size_t n, gp_account *copy)
    void gp_gil_label(uint32_t label)
    size_t gp_gil_sessions()


cdef extern from "cpython/gp_interpreter.h":
    const gp_gil_host *gp_interpreter_host()


NO_GIL = "this free-threaded interpreter runs with its GIL off: there is no GIL to trace"


def gil_enabled() -> bool:
    """Whether the interpreter runs with its GIL on."""
    check = getattr(sys, "_is_gil_enabled", None)
    return check is None or check()


def support() -> tuple[bool, str]:
    """Whether the GIL can be traced here, and if not why, in one line."""
    cdef const char *reason = b""
    if not gil_enabled():
        return False, NO_GIL
    if gp_gil_learn(gp_interpreter_host(), &reason) == GP_OK:
        return True, ""
    return False, reason.decode()


def clock_name() -> str:
    """Name of the tracer's clock: "tsc", "cntvct" or "monotonic"."""
    gp_clock_init()
    return gp_clock_name().decode()


def clock_cost_ns(int readings=20000) -> float:
    """Measure what reading the tracer's clock once costs, in nanoseconds."""
    cdef uint64_t begin, sum = 0
    cdef int i
    gp_clock_init()
    begin = gp_clock_monotonic_ns()
    for i in range(readings):
        sum += gp_clock_ticks()
    return (gp_clock_monotonic_ns() - begin) / <double>readings


def label_thread(uint32_t label) -> None:
    """Attach a number to the calling thread, 0 for none; an account has it as ``label``."""
    gp_gil_label(label)


def before_call(method, note):
    """Return a method that calls ``note(self)``, then `method`.

    Compiled, so that profilers, trace functions and tracebacks of the measured program see no frame of ours. What `note`
    raises is dropped: the program must not notice.
    """
    def wrapper(self, *args, **kwargs):
        try:
            note(self)
        except Exception:
            pass
        return method(self, *args, **kwargs)
    return wrapper


@cython.final
cdef class ThreadLabels:
    """Names of threads, each under the number that was attached to the thread when it ended."""

    cdef list names
    cdef dict numbers

    def __cinit__(self):
        self.names = [""]
        self.numbers = {}

    def note(self, thread) -> None:
        """Attach the name of a `threading.Thread` to the calling thread, which it stands for."""
        name = thread._name
        if type(name) is not str:
            return
        number = self.numbers.get(name)
        if number is None:
            number = len(self.names)
            self.numbers[name] = number
            self.names.append(name)
        gp_gil_label(number)

    def name(self, uint32_t label) -> str:
        """Return the name behind a number, "" if there is none."""
        return self.names[label] if label < len(self.names) else ""


def sessions() -> int:
    """Return the number of sessions that run."""
    return gp_gil_sessions()


cdef list buckets_of(const gp_hist *hist):
    cdef size_t i
    cdef const uint64_t *counts = hist.counts
    return [(i, counts[i]) for i in range(GP_HIST_BUCKETS) if counts[i] != 0]


cdef dict account_as_dict(const gp_account *account, gp_clock_rate rate):
    cdef uint64_t lifetime = account.last - account.first
    return {
        "native_id": account.identity.native_id,
        "os_name": account.identity.os_name[:15].split(b"\0")[0].decode("utf-8", "replace"),
        "label": account.identity.label,
        "ended": account.identity.exited,
        "lifetime_ns": gp_clock_to_ns(rate, lifetime),
        "hold_ns": gp_clock_to_ns(rate, account.hold),
        "wait_ns": gp_clock_to_ns(rate, account.wait),
        "off_ns": gp_clock_to_ns(rate, account.off),
        "longest_hold_ns": gp_clock_to_ns(rate, account.longest_hold),
        "longest_wait_ns": gp_clock_to_ns(rate, account.longest_wait),
        "imbalance_ticks": <int64_t>(account.hold + account.wait + account.off - lifetime),
        "acquisitions": account.acquisitions,
        "contended_acquisitions": account.contended_acquisitions,
        "releases": account.releases,
        "forced_releases": account.forced_releases,
        "holds": buckets_of(&account.holds),
        "waits": buckets_of(&account.waits),
    }


@cython.final
cdef class Session:
    """One trace: begins when made, ends with `stop`."""

    cdef gp_session *handle

    def __cinit__(self):
        cdef const char *reason = b""
        cdef gp_status status
        if not gil_enabled():
            raise NotImplementedError(NO_GIL)
        status = gp_gil_start(gp_interpreter_host(), &self.handle, &reason)
        if status == GP_EUNSUPPORTED:
            raise NotImplementedError(reason.decode())
        if status == GP_ESYSTEM:
            raise OSError(errno, f"{reason.decode()}: {strerror(errno).decode()}")
        if status != GP_OK:
            raise MemoryError("no memory for a trace")

    def __dealloc__(self):
        gp_gil_forget(self.handle)

    @property
    def running(self) -> bool:
        """Whether the session has not been stopped."""
        return self.handle.running

    def stop(self) -> None:
        """End the session; nothing if it has ended."""
        gp_gil_stop(self.handle)

    def read(self) -> tuple[dict, list]:
        """Return the totals and one account a thread, up to now if the session runs. Times in nanoseconds."""
        cdef gp_gil_summary summary, last
        cdef size_t n
        cdef gp_account *copy = <gp_account *>malloc(sizeof(gp_account))
        if copy == NULL:
            raise MemoryError("no memory to read a trace")
        accounts = []
        try:
            gp_gil_summarise(self.handle, &summary)
            for n in range(summary.account_count):
                gp_gil_account(self.handle, n, copy)
                accounts.append(account_as_dict(copy, summary.rate))
            # Each account was read a moment after the one before, and the caller holds the GIL all the while: the
            # length comes last, so that no account exceeds it.
            gp_gil_summarise(self.handle, &last)
        finally:
            free(copy)
        return {
            "elapsed_ns": gp_clock_to_ns(summary.rate, last.elapsed),
            "contended_ns": gp_clock_to_ns(summary.rate, summary.contended),
            "handoffs": summary.handoffs,
            "lost": last.lost,
            "hooks_lost": last.hooks_lost,
            "releases_told_apart": summary.releases_told_apart,
        }, accounts
