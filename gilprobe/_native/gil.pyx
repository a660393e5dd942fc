# cython: language_level=3, freethreading_compatible=True, binding=True
"""Binding of the tracer (csrc/trace/gp_tracer.h). All of the tracer's native state lives in this module."""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport strerror

import os
import sys

cimport cython


cdef extern from "<pthread.h>" nogil:
    ctypedef size_t pthread_t  # or a pointer
    pthread_t pthread_self()


cdef extern from "base/gp_status.h" nogil:
    ctypedef enum gp_status:
        GP_OK
        GP_EINVAL
        GP_ENOMEM
        GP_ESYSTEM
        GP_EUNSUPPORTED
        GP_ETHREAD


cdef extern from "base/gp_clock.h" nogil:
    void gp_clock_init()
    const char *gp_clock_name()
    uint64_t gp_clock_ticks()
    uint64_t gp_clock_monotonic_ns()


cdef extern from "<stdbool.h>" nogil:
    ctypedef bint c_bool "bool"  # a pointer to bint would be one to int


cdef extern from "base/gp_buffer.h" nogil:
    ctypedef struct gp_buffer:
        uint8_t *bytes
        size_t size
        size_t room
        bint failed
    void gp_buffer_free(gp_buffer *buffer)


cdef extern from "books/gp_account.h" nogil:
    const uint32_t GP_LABEL_ENDED


cdef extern from "books/gp_attribution.h" nogil:
    enum:
        GP_STACK_MAX
    ctypedef struct gp_site_key:
        pass
    ctypedef struct gp_session:
        bint running
        bint wants_sites
        bint wants_stacks
    ctypedef struct gp_call_stack:
        const gp_site_key *keys
        size_t depth
        c_bool truncated


cdef extern from "recording/gp_recorder.h" nogil:
    ctypedef struct gp_recorder:
        pass
    enum:
        GP_RECORDER_REPLACE
        GP_RECORDER_PENDING
        GP_RECORDER_ALONE
        GP_RECORDER_NO_THREAD
        GP_RECORDER_LATER
    gp_status gp_recorder_open(const char *path, unsigned how, gp_recorder **recorder, int *error)
    int gp_recorder_commit(gp_recorder *recorder)
    void gp_recorder_discard(gp_recorder *recorder)
    gp_status gp_recorder_put(gp_recorder *recorder, const char *type, const void *payload, size_t size)
    bint gp_recorder_flush(gp_recorder *recorder, uint64_t timeout_ns)
    void gp_recorder_finish(gp_recorder *recorder)
    c_bool gp_recorder_identity(const gp_recorder *recorder, uint64_t *device, uint64_t *inode)
    int gp_recorder_error(const gp_recorder *recorder, uint64_t *bytes_written, uint64_t *events_written)
    void gp_recorder_free(gp_recorder *recorder)


cdef extern from "recording/gp_guard.h" nogil:
    void gp_guard_watch_calls(const void *interpreter)
    void gp_guard_prepare()
    c_bool gp_guard_begin(gp_recorder *recorder)
    void gp_guard_end(const gp_recorder *recorder)


cdef extern from "books/gp_labels.h":
    void gp_labels_set(uint32_t label, const char *name, size_t size)


cdef extern from "trace/gp_watchdog.h" nogil:
    ctypedef struct gp_watchdog_eyes:
        pass
    ctypedef struct gp_watchdog_name:
        int64_t native_id
        const char *name
    ctypedef struct gp_watchdog:
        pass
    gp_status gp_watchdog_start(uint64_t limit_ns, int fd, const gp_watchdog_eyes *eyes,
                                const gp_watchdog_name *names, size_t name_count, gp_watchdog **watchdog,
                                int *error)
    uint64_t gp_watchdog_reported(const gp_watchdog *watchdog)
    void gp_watchdog_stop(gp_watchdog *watchdog)


cdef extern from "trace/gp_tracer.h":
    ctypedef struct gp_tracer_host:
        const void *interpreter
    ctypedef struct gp_tracer_wishes:
        bint sites
        bint stacks
        bint timeline
        bint cpu
        gp_recorder *recorder
    gp_status gp_tracer_learn(const gp_tracer_host *host, const char **reason)
    gp_status gp_tracer_start(const gp_tracer_host *host, const gp_tracer_wishes *wishes, gp_session **session,
                           const char **reason)
    void gp_tracer_stop(gp_session *session, const gp_call_stack *here)
    void gp_tracer_forget(gp_session *session)
    size_t gp_tracer_parts(const gp_session *session)
    gp_status gp_tracer_read(gp_session *session, size_t part, const gp_call_stack *here, gp_buffer *places,
                          gp_buffer *snapshot)
    void gp_tracer_label(uint32_t label)
    void gp_tracer_hide()
    size_t gp_tracer_sessions()
    uint32_t gp_tracer_watch_begin()
    void gp_tracer_watch_end(uint32_t begun)


cdef extern from "cpython/gp_frames.h":
    const char *gp_frames_check()
    size_t gp_frames_stack_above(const void *frame, gp_site_key *keys, size_t room, c_bool *truncated)


cdef extern from "cpython/gp_interpreter.h":
    void gp_interpreter_prepare() nogil
    const gp_tracer_host *gp_interpreter_host()
    const gp_watchdog_eyes *gp_interpreter_eyes()


cdef extern from "cpython/gp_forks.h":
    void gp_forks_before()
    void gp_forks_after_in_parent()


# Here and below, what takes locks of the C library under which other threads may want the GIL is called without it:
# docs/locks.md lists them all.
with nogil:
    gp_interpreter_prepare()


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
    if gp_tracer_learn(gp_interpreter_host(), &reason) == GP_OK:
        return True, ""
    return False, reason.decode()


cdef bint frames_agree = False


def frames_differ() -> str | None:
    """Why sites can't be recorded here, in one line; None if they can.

    Asked until the answer is None, once, then never again: the interpreter stays as it is.
    """
    global frames_agree
    cdef const char *differs = NULL
    if not frames_agree:
        differs = gp_frames_check()
        frames_agree = differs == NULL
    return None if differs == NULL else differs.decode()


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


def sessions() -> int:
    """Return the number of sessions that run."""
    return gp_tracer_sessions()


include "gil_labels.pxi"
include "gil_recorder.pxi"


@cython.final
@cython.no_gc_clear  # the collector must not take the recorder away, whose thread reads the session until the end
cdef class Session:
    """One trace: begins when made, ends with `stop`.

    The frame that `stop` and `read` take is where the calling thread is, for the sites: it holds the GIL meanwhile.
    Neither sites nor stacks are recorded where `frames_differ`.
    """

    cdef gp_session *handle
    cdef Recorder recorder  # must be finished before the session goes

    def __cinit__(self, *, bint sites=False, bint stacks=False, Recorder recorder=None, bint timeline=False,
                  bint cpu_time=False):
        cdef const char *reason = b""
        cdef gp_status status
        cdef gp_tracer_wishes wishes
        if not gil_enabled():
            raise NotImplementedError(NO_GIL)
        if timeline and recorder is None:
            raise ValueError("a timeline needs a recorder")
        if (sites or stacks) and frames_differ() is not None:
            sites = stacks = False
        wishes.sites = sites
        wishes.stacks = stacks
        wishes.timeline = timeline
        wishes.cpu = cpu_time
        wishes.recorder = NULL if recorder is None else recorder.handle
        self.recorder = recorder
        status = gp_tracer_start(gp_interpreter_host(), &wishes, &self.handle, &reason)
        if status == GP_EUNSUPPORTED:
            raise NotImplementedError(reason.decode())
        if status == GP_ESYSTEM:
            raise OSError(errno, f"{reason.decode()}: {strerror(errno).decode()}")
        if status != GP_OK:
            raise MemoryError("no memory for a trace")

    def __dealloc__(self):
        cdef gp_call_stack nowhere
        cdef gp_recorder *recorder
        if self.handle == NULL:
            return
        nowhere.keys = NULL
        nowhere.depth = 0
        nowhere.truncated = False
        gp_tracer_stop(self.handle, &nowhere)
        if self.recorder is not None:
            recorder = self.recorder.handle
            with nogil:
                gp_guard_end(recorder)
                gp_recorder_finish(recorder)
        gp_tracer_forget(self.handle)

    @property
    def running(self) -> bool:
        """Whether the session has not been stopped."""
        return self.handle.running

    def stop(self, frame=None) -> None:
        """End the session; nothing if it has ended."""
        cdef gp_site_key keys[GP_STACK_MAX]
        cdef gp_call_stack here
        find(frame, self.handle, keys, &here)
        gp_tracer_stop(self.handle, &here)

    def read(self, frame=None) -> list[tuple[bytes, bytes]]:
        """Return the places and a snapshot, up to now if the session runs, for each GIL, the main one's first.

        `_native.recording` decodes them.
        """
        cdef gp_site_key keys[GP_STACK_MAX]
        cdef gp_call_stack here
        cdef size_t part
        find(frame, self.handle, keys, &here)
        # the main one's last, since its length is that of the trace
        parts = [read_part(self.handle, part, &here) for part in reversed(range(gp_tracer_parts(self.handle)))]
        return parts[::-1]


cdef tuple read_part(gp_session *session, size_t part, const gp_call_stack *here):
    cdef gp_buffer places = gp_buffer(NULL, 0, 0, False)
    cdef gp_buffer snapshot = gp_buffer(NULL, 0, 0, False)
    try:
        if gp_tracer_read(session, part, here, &places, &snapshot) != GP_OK:
            raise MemoryError("no memory to read a trace")
        return places.bytes[:places.size], snapshot.bytes[:snapshot.size]
    finally:
        gp_buffer_free(&places)
        gp_buffer_free(&snapshot)


cdef void find(frame, const gp_session *session, gp_site_key *keys, gp_call_stack *here):
    here.keys = keys
    here.truncated = False
    here.depth = 0
    if session.wants_sites:
        here.depth = gp_frames_stack_above(
            <const void *>frame, keys, GP_STACK_MAX if session.wants_stacks else 1, &here.truncated
        )


include "gil_watchdog.pxi"
include "gil_sampler.pxi"
