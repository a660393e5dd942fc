# cython: language_level=3, freethreading_compatible=True, binding=True
"""Binding of the tracer (csrc/gp_gil.h). All of the tracer's native state lives in this extension module."""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport strerror

import os
import sys

cimport cython


cdef extern from "gp_status.h" nogil:
    ctypedef enum gp_status:
        GP_OK
        GP_EINVAL
        GP_ENOMEM
        GP_ESYSTEM
        GP_EUNSUPPORTED


cdef extern from "gp_clock.h" nogil:
    void gp_clock_init()
    const char *gp_clock_name()
    uint64_t gp_clock_ticks()
    uint64_t gp_clock_monotonic_ns()


cdef extern from "<stdbool.h>" nogil:
    ctypedef bint c_bool "bool"  # a pointer to bint would be one to int


cdef extern from "gp_buffer.h" nogil:
    ctypedef struct gp_buffer:
        uint8_t *bytes
        size_t size
        size_t room
        bint failed
    void gp_buffer_free(gp_buffer *buffer)


cdef extern from "gp_account.h" nogil:
    const uint32_t GP_LABEL_ENDED


cdef extern from "gp_attribution.h" nogil:
    enum:
        GP_STACK_MAX
    ctypedef struct gp_site_key:
        pass
    ctypedef struct gp_session:
        bint running
        bint wants_sites
        bint wants_stacks
    ctypedef struct gp_trail:
        const gp_site_key *keys
        size_t depth
        c_bool truncated


cdef extern from "gp_recorder.h":
    ctypedef struct gp_recorder:
        pass
    gp_status gp_recorder_open(const char *path, bint replace, gp_recorder **recorder, int *error)
    gp_status gp_recorder_put(gp_recorder *recorder, const char *type, const void *payload, size_t size)
    bint gp_recorder_flush(gp_recorder *recorder, uint64_t timeout_ns) nogil
    void gp_recorder_finish(gp_recorder *recorder) nogil
    int gp_recorder_error(const gp_recorder *recorder, uint64_t *bytes_written, uint64_t *events_written)
    void gp_recorder_free(gp_recorder *recorder)


cdef extern from "gp_guard.h":
    c_bool gp_guard_begin(gp_recorder *recorder)
    void gp_guard_end(const gp_recorder *recorder) nogil


cdef extern from "gp_labels.h":
    void gp_labels_set(uint32_t label, const char *name, size_t size)


cdef extern from "gp_watchdog.h":
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
    void gp_watchdog_stop(gp_watchdog *watchdog) nogil


cdef extern from "gp_gil.h":
    ctypedef struct gp_gil_host:
        pass
    ctypedef struct gp_gil_wishes:
        bint sites
        bint stacks
        bint timeline
        gp_recorder *recorder
    gp_status gp_gil_learn(const gp_gil_host *host, const char **reason)
    gp_status gp_gil_start(const gp_gil_host *host, const gp_gil_wishes *wishes, gp_session **session,
                           const char **reason)
    void gp_gil_stop(gp_session *session, const gp_trail *here)
    void gp_gil_forget(gp_session *session)
    size_t gp_gil_parts(const gp_session *session)
    gp_status gp_gil_read(gp_session *session, size_t part, const gp_trail *here, gp_buffer *places,
                          gp_buffer *snapshot)
    void gp_gil_label(uint32_t label)
    size_t gp_gil_sessions()
    uint32_t gp_gil_watch_begin()
    void gp_gil_watch_end(uint32_t begun)


cdef extern from "cpython/gp_frames.h":
    const char *gp_frames_check()
    size_t gp_frames_stack_above(const void *frame, gp_site_key *keys, size_t room, c_bool *truncated)


cdef extern from "cpython/gp_interpreter.h":
    const gp_gil_host *gp_interpreter_host()
    const gp_watchdog_eyes *gp_interpreter_eyes()


cdef extern from "cpython/gp_forks.h":
    void gp_forks_before()
    void gp_forks_after_in_parent()


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


LABEL_ENDED = GP_LABEL_ENDED


cdef enum:
    LABELS_KEPT = 1 << 14


@cython.final
cdef class ThreadLabels:
    """Names of threads, each under the number that is attached to the thread: its label.

    `listeners` are called with the number and the name when a name is new. Of very many names the oldest are forgotten:
    their threads then have the operating system's.
    """

    cdef dict names
    cdef dict numbers
    cdef uint32_t last
    cdef readonly list listeners

    def __cinit__(self):
        self.names = {}
        self.numbers = {}
        self.listeners = []

    def begin(self, thread) -> None:
        """Attach the name of a `threading.Thread` to the calling thread, which it stands for."""
        gp_gil_label(self.number(thread))

    def end(self, thread) -> None:
        """The same once more, for good: it may have been renamed."""
        gp_gil_label(self.number(thread) | GP_LABEL_ENDED)

    cdef uint32_t number(self, thread) except? 0:
        name = thread._name
        if type(name) is not str:
            return 0
        known = self.numbers.get(name)
        if known is not None:
            return known
        if self.last + 1 >= GP_LABEL_ENDED:
            return 0
        self.last += 1
        new = self.last
        self.numbers[name] = new
        self.names[new] = name
        if len(self.names) > LABELS_KEPT:
            del self.numbers[self.names.pop(next(iter(self.names)))]
        encoded = name.encode("utf-8", "replace")
        gp_labels_set(new, encoded, len(encoded))
        for listener in self.listeners:
            listener(new, name)
        return new

    def name(self, uint32_t label) -> str:
        """Return the name behind a label, "" if there is none."""
        return self.names.get(label & ~GP_LABEL_ENDED, "")

    def all(self) -> list:
        """Return all numbers with their names."""
        # a copy first: what making the pairs collects as garbage may let other threads run, which add names
        return list(self.names.copy().items())


def sessions() -> int:
    """Return the number of sessions that run."""
    return gp_gil_sessions()


STRING_MAX = 0xFFFF  # bytes of a string in a recording


def encoded_number(uint64_t value) -> bytes:
    """Encode a number as a recording has it (docs/recording-format.md)."""
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def encoded_string(str text) -> bytes:
    """Encode a string as a recording has it; one that is too long loses its end."""
    encoded = text.encode("utf-8", "surrogatepass")
    size = len(encoded)
    if size > STRING_MAX:
        size = STRING_MAX
        while encoded[size] & 0xC0 == 0x80:  # inside a character
            size -= 1
        encoded = encoded[:size]
    return encoded_number(len(encoded)) + encoded


def before_fork() -> None:
    """Pause the native threads, so that os.fork does not count them."""
    gp_forks_before()


def after_fork_in_parent() -> None:
    """Ask for them to be resumed when the fork is over."""
    gp_forks_after_in_parent()


cdef bint forks_watched = False


cdef watch_forks():
    """Have the hooks above called, for good, on an interpreter that counts threads."""
    global forks_watched
    if not forks_watched and sys.version_info >= (3, 12):
        forks_watched = True
        os.register_at_fork(before=before_fork, after_in_parent=after_fork_in_parent)


@cython.final
cdef class Recorder:
    """A recording file that is being written, by a native thread (csrc/gp_recorder.h). `path` has no zero byte."""

    cdef gp_recorder *handle

    def __cinit__(self, bytes path, bint replace=False):
        cdef int error = 0
        cdef gp_status status
        watch_forks()
        status = gp_recorder_open(path, replace, &self.handle, &error)
        if status == GP_ESYSTEM:
            raise OSError(error, strerror(error).decode(), os.fsdecode(path))
        if status == GP_EUNSUPPORTED:
            raise NotImplementedError("recordings are written on Linux only")
        if status != GP_OK:
            raise MemoryError("no memory for a recording")

    def __dealloc__(self):
        gp_guard_end(self.handle)
        gp_recorder_free(self.handle)

    def guard_signals(self) -> bool:
        """Have the recording end well, until `finish`, if SIGTERM or SIGHUP ends the process by default.

        False if another recorder is guarded, or if this is process 1.
        """
        return gp_guard_begin(self.handle)

    def put(self, bytes kind, bytes payload) -> None:
        """Add a chunk; its type is four letters."""
        if len(kind) != 4:
            raise ValueError(f"the type of a chunk must be four letters, got {kind!r}")
        if gp_recorder_put(self.handle, kind, <const char *>payload, len(payload)) != GP_OK:
            raise MemoryError("no memory for a chunk of a recording")

    def put_label(self, uint32_t number, str name) -> None:
        """Add the name behind a label: a listener of `ThreadLabels`, compiled for the same reason as `before_call`."""
        self.put(b"LABL", encoded_number(number) + encoded_string(name))

    def flush(self, double timeout_s) -> bool:
        """Write everything so far to the disk; whether that was done in time."""
        cdef uint64_t timeout_ns = <uint64_t>(timeout_s * 1e9)
        cdef bint done
        with nogil:
            done = gp_recorder_flush(self.handle, timeout_ns)
        return done

    def finish(self) -> None:
        """Write the rest and close the file. After the end of the sessions that are recorded."""
        with nogil:
            gp_guard_end(self.handle)
            gp_recorder_finish(self.handle)

    def state(self) -> tuple[int, int, int]:
        """Return errno of the first failure, 0 if there was none; bytes and events written."""
        cdef uint64_t bytes_written = 0, events_written = 0
        cdef int error = gp_recorder_error(self.handle, &bytes_written, &events_written)
        return error, bytes_written, events_written


@cython.final
@cython.no_gc_clear  # the collector must not take the recorder away, whose thread reads the session until the end
cdef class Session:
    """One trace: begins when made, ends with `stop`.

    The frame that `stop` and `read` take is where the calling thread is, for the sites: it holds the GIL meanwhile.
    Neither sites nor stacks are recorded where `frames_differ`.
    """

    cdef gp_session *handle
    cdef Recorder recorder  # must be finished before the session goes

    def __cinit__(self, *, bint sites=False, bint stacks=False, Recorder recorder=None, bint timeline=False):
        cdef const char *reason = b""
        cdef gp_status status
        cdef gp_gil_wishes wishes
        if not gil_enabled():
            raise NotImplementedError(NO_GIL)
        if timeline and recorder is None:
            raise ValueError("a timeline needs a recorder")
        if (sites or stacks) and frames_differ() is not None:
            sites = stacks = False
        wishes.sites = sites
        wishes.stacks = stacks
        wishes.timeline = timeline
        wishes.recorder = NULL if recorder is None else recorder.handle
        self.recorder = recorder
        status = gp_gil_start(gp_interpreter_host(), &wishes, &self.handle, &reason)
        if status == GP_EUNSUPPORTED:
            raise NotImplementedError(reason.decode())
        if status == GP_ESYSTEM:
            raise OSError(errno, f"{reason.decode()}: {strerror(errno).decode()}")
        if status != GP_OK:
            raise MemoryError("no memory for a trace")

    def __dealloc__(self):
        cdef gp_trail nowhere
        if self.handle == NULL:
            return
        nowhere.keys = NULL
        nowhere.depth = 0
        nowhere.truncated = False
        gp_gil_stop(self.handle, &nowhere)
        if self.recorder is not None:
            gp_guard_end(self.recorder.handle)
            gp_recorder_finish(self.recorder.handle)
        gp_gil_forget(self.handle)

    @property
    def running(self) -> bool:
        """Whether the session has not been stopped."""
        return self.handle.running

    def stop(self, frame=None) -> None:
        """End the session; nothing if it has ended."""
        cdef gp_site_key keys[GP_STACK_MAX]
        cdef gp_trail here
        find(frame, self.handle, keys, &here)
        gp_gil_stop(self.handle, &here)

    def read(self, frame=None) -> list[tuple[bytes, bytes]]:
        """Return the places and a snapshot, up to now if the session runs, for each GIL, the main one's first.

        `_native.recording` decodes them.
        """
        cdef gp_site_key keys[GP_STACK_MAX]
        cdef gp_trail here
        cdef size_t part
        find(frame, self.handle, keys, &here)
        # the main one's last, since its length is that of the trace
        parts = [read_part(self.handle, part, &here) for part in reversed(range(gp_gil_parts(self.handle)))]
        return parts[::-1]


cdef tuple read_part(gp_session *session, size_t part, const gp_trail *here):
    cdef gp_buffer places = gp_buffer(NULL, 0, 0, False)
    cdef gp_buffer snapshot = gp_buffer(NULL, 0, 0, False)
    try:
        if gp_gil_read(session, part, here, &places, &snapshot) != GP_OK:
            raise MemoryError("no memory to read a trace")
        return places.bytes[:places.size], snapshot.bytes[:snapshot.size]
    finally:
        gp_buffer_free(&places)
        gp_buffer_free(&snapshot)


cdef void find(frame, const gp_session *session, gp_site_key *keys, gp_trail *here):
    here.keys = keys
    here.truncated = False
    here.depth = 0
    if session.wants_sites:
        here.depth = gp_frames_stack_above(
            <const void *>frame, keys, GP_STACK_MAX if session.wants_stacks else 1, &here.truncated
        )


@cython.final
cdef class Watchdog:
    """Writes a line to a descriptor while a hold makes others wait for longer than a limit (csrc/gp_watchdog.h).

    `names` are those of threads by native identifier, for the ones that have no label. Sees something while a session
    runs.
    """

    cdef gp_watchdog *handle
    cdef uint64_t count  # after the end
    cdef uint32_t begun

    def __cinit__(self, uint64_t limit_ns, int fd, dict names):
        cdef gp_watchdog_name *rows
        cdef gp_status status
        cdef int error = 0
        cdef size_t n = 0
        watch_forks()
        kept = [(native_id, name.replace("\0", "").encode("utf-8", "replace")) for native_id, name in names.items()]
        rows = <gp_watchdog_name *>calloc(len(kept) + 1, sizeof(gp_watchdog_name))
        if rows == NULL:
            raise MemoryError("no memory for a watchdog")
        try:
            for native_id, name in kept:
                rows[n].native_id = native_id
                rows[n].name = name
                n += 1
            status = gp_watchdog_start(limit_ns, fd, gp_interpreter_eyes(), rows, n, &self.handle, &error)
        finally:
            free(rows)
        if status == GP_ESYSTEM:
            raise OSError(error, strerror(error).decode())
        if status == GP_EINVAL:
            raise ValueError("limit_ns must be > 0, got 0")
        if status == GP_EUNSUPPORTED:
            raise NotImplementedError("the GIL is watched on Linux only")
        if status != GP_OK:
            raise MemoryError("no memory for a watchdog")
        self.begun = gp_gil_watch_begin()

    def __dealloc__(self):
        self.end()

    cdef end(self):
        cdef gp_watchdog *handle = self.handle
        if handle == NULL:
            return
        self.count = gp_watchdog_reported(handle)
        self.handle = NULL  # before the GIL goes: nobody else must free it
        gp_gil_watch_end(self.begun)
        with nogil:
            gp_watchdog_stop(handle)

    @property
    def reported(self) -> int:
        """Number of holds reported so far."""
        return self.count if self.handle == NULL else gp_watchdog_reported(self.handle)

    def stop(self) -> None:
        """End it; nothing the second time."""
        self.end()
