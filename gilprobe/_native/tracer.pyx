# cython: language_level=3, freethreading_compatible=True, binding=True, autotestdict=False
"""Binding of the tracer (csrc/trace/gp_tracer.h) and of what its threads and its recording need.

All of the tracer's native state lives in this module: what shares it must be compiled into it.
"""

from cpython.contextvars cimport PyContextVar_Get, PyContextVar_New, PyContextVar_Reset, PyContextVar_Set
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from cpython.pythread cimport PyThread_get_thread_ident
cimport cython
from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

import gc
import os
import sys

from .c_base cimport *
from .c_books cimport *
from .c_cpython cimport *
from .c_cpython_tracer cimport *
from .c_locks cimport *
from .c_recording cimport *
from .c_trace cimport *
from .status cimport check_status


# Here and below, what takes locks of the C library under which other threads may want the GIL is called without it:
# docs/locks.md lists them all.
with nogil:
    gp_interpreter_prepare()
    gp_lock_host_prepare()


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


gp_clock_begin()  # so that the first trace need not wait until the clock's rate is known


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


# ---- names of threads ----


cdef void attach_label(uint32_t label) noexcept:
    gp_tracer_label(label)
    gp_lock_label(label)


def look(size_t rounds) -> tuple[int, int]:
    """Look at who has the GIL, as fast as can be, without it: what tests the safety of looks.

    Returns how many looks there were, and how many of them saw code; none where nothing is traced.
    """
    cdef size_t n, seen = 0
    if gp_tracer_sessions() == 0:
        return 0, 0
    with nogil:
        for n in range(rounds):
            if gp_tracer_see(NULL, NULL).site < GP_LOOK_FREE:
                seen += 1
    return rounds, seen


def label_thread(uint32_t label) -> None:
    """Attach a number to the calling thread, 0 for none; an account has it as ``label``."""
    attach_label(label)


def hide_thread() -> None:
    """Leave the calling thread out of every trace from now on, before the first that it takes part in."""
    gp_tracer_hide()


def before_call(method, note):
    """Return a method that calls ``note(self)``, then `method`.

    Compiled, so that profilers, trace functions and tracebacks of the measured program see no frame of ours. What `note`
    raises is dropped: the program must not notice.
    """
    def wrapper(self, *args, **kwargs):
        try:
            note(self)
        except KeyboardInterrupt:
            raise
        except BaseException:  # the class may be the program's own, and raise anything
            pass
        return method(self, *args, **kwargs)
    return wrapper


cdef bint runs_in_own_thread(thread):
    """Whether the calling thread is that of a `threading.Thread`, and not one that lends itself to many.

    The identifier of a green thread (gevent, eventlet) is that of its greenlet (Python/thread_pthread.h,
    PyThread_get_thread_ident).
    """
    return thread._ident == <unsigned long>PyThread_get_thread_ident()


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
        """Attach the name of a `threading.Thread` to the calling thread, if it was started as that one."""
        if runs_in_own_thread(thread):
            attach_label(self.number(thread))

    def end(self, thread) -> None:
        """The same once more, for good: it may have been renamed."""
        if runs_in_own_thread(thread):
            attach_label(self.number(thread) | GP_LABEL_ENDED)

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


# ---- what code runs for: its label, which in C is a tag, since there a label is a thread's name ----

cdef dict tags = {}  # number by name
cdef object label_variable = PyContextVar_New("gilprobe.label", NULL)
cdef bint contexts_followed = False

# raised by what is public itself, to be as quick as it can; for whoever knows the package's own classes
label_error = TypeError
not_traced_error = RuntimeError


@cython.final
@cython.freelist(64)
cdef class _Entered:
    """That a context is inside a label, and inside which others. The token, which stays, takes that back in the context itself."""

    cdef uint32_t tag
    cdef _Entered outer
    cdef object token


cdef uint32_t tag_of_context(void *context) noexcept:
    cdef _Entered entered
    if label_variable not in <object>context:
        return 0
    entered = (<object>context)[label_variable]
    return 0 if entered is None else entered.tag


cdef _Entered entered_now():
    cdef PyObject *value = NULL
    PyContextVar_Get(label_variable, NULL, &value)
    if value == NULL:
        return None
    entered = <_Entered>value
    Py_DECREF(entered)
    return entered


cdef uint32_t tag_of(str name) except? 0:
    cdef uint32_t tag
    known = tags.get(name)
    if known is not None:
        return known
    encoded = name.replace("\0", "").encode("utf-8", "replace")
    tag = gp_tags_add(encoded, len(encoded))
    if tag != GP_TAG_OTHERS:  # which have no end
        tags[name] = tag
    return tag


cdef void follow_contexts() noexcept:
    global contexts_followed
    if not contexts_followed:
        contexts_followed = True
        gp_loop_callbacks_follow(tag_of_context)


cdef class Label:
    """What runs from `__enter__` to `__exit__` is for this: see gilprobe.tracing.labelling."""

    cdef readonly str name
    cdef uint32_t tag

    def __cinit__(self, name):
        if type(name) is not str:
            raise label_error(f"name must be a string, got {name!r}")
        self.name = name
        self.tag = tag_of(name)
        follow_contexts()

    # as methods of C they are called with less ado
    @cython.binding(False)
    def __enter__(self):
        cdef _Entered entered = _Entered.__new__(_Entered)
        entered.tag = self.tag
        entered.outer = entered_now()
        entered.token = PyContextVar_Set(label_variable, entered)
        gp_tracer_tag(self.tag)
        return self

    @cython.binding(False)
    def __exit__(self, kind, error, traceback):
        cdef _Entered entered = entered_now(), outer
        if entered is None:  # entered in another context
            return
        outer = entered.outer
        try:
            PyContextVar_Reset(label_variable, entered.token)  # which costs half of another change
        except (RuntimeError, ValueError):  # this is a copy of the context in which it was entered
            PyContextVar_Set(label_variable, outer)
        gp_tracer_tag(0 if outer is None else outer.tag)


def tag_name(uint32_t tag) -> str:
    """Return the name behind a label's number; "" for those that have none."""
    return gp_tags_name(tag).decode()


LABELS_MAX = GP_TAGS_NAMED
OTHER_LABELS = GP_TAG_OTHERS


def thread_times():
    """Return how long the calling thread has held the GIL, waited for it, and done neither, in nanoseconds.

    Exact up to the moment of the call, and cheap: subtract what it returned before a piece of work from what
    it returns after it. The times count from the start of the monitor or trace that runs longest, or from the
    start of the thread.

    Returns
    -------
    hold_ns, wait_ns, off_ns : int

    Raises
    ------
    TracerStateError
        If neither a monitor nor a trace of the GIL is running.

    Examples
    --------
    >>> with gilprobe.monitor():
    ...     before = gilprobe.thread_times()
    ...     total = sum(range(1_000_000))
    ...     hold_ns, wait_ns, off_ns = map(int.__sub__, gilprobe.thread_times(), before)
    """
    cdef gp_thread_times times
    if not gp_tracer_thread_times(&times):
        raise not_traced_error("a monitor or a trace of the GIL must be running to tell a thread's times")
    return times.hold, times.wait, times.off


# ---- the recording that is written, and forks meanwhile ----


def before_fork() -> None:
    """Pause the native threads, so that os.fork neither counts them nor copies what they have begun."""
    gp_forks_before()


def after_fork_in_parent() -> None:
    """Ask for them to be resumed when the fork is over."""
    gp_forks_after_in_parent()


cdef bint forks_watched = False


cdef watch_forks():
    """Have the hooks above called, for good."""
    global forks_watched
    if not forks_watched:
        forks_watched = True
        os.register_at_fork(before=before_fork, after_in_parent=after_fork_in_parent)


def watch_calls() -> None:
    """Have `os._exit` noticed from now on, for a recorder that is guarded, and changes of root and rights, for all.

    Lets the GIL go: before a trace begins.
    """
    cdef const void *interpreter = gp_interpreter_host().interpreter
    with nogil:
        gp_guard_watch_calls(interpreter)


@cython.final
cdef class Recorder:
    """A recording file that is being written (csrc/recording/gp_recorder.h). `path` has no zero byte.

    By a native thread, if there is a `timeline`, where there is a GIL only as long as the process has several. A file of that name is replaced
    by `commit`.

    With `later` the file, which must not be there, is made when there is something to write.
    """

    cdef gp_recorder *handle

    def __cinit__(self, bytes path, bint timeline=True, bint later=False):
        cdef int error = 0
        cdef unsigned how = GP_RECORDER_LATER if later else GP_RECORDER_REPLACE | GP_RECORDER_PENDING
        if gil_enabled():  # else no release of a GIL tells when there is something to write
            how |= GP_RECORDER_ALONE if timeline else GP_RECORDER_NO_THREAD
        cdef gp_status status
        cdef const char *name = path
        watch_forks()
        with nogil:
            gp_guard_prepare()
            status = gp_recorder_open(name, how, &self.handle, &error)
        check_status(status, "a recording", None, error, os.fsdecode(path))

    def __dealloc__(self):
        with nogil:
            gp_guard_end(self.handle)
            gp_recorder_free(self.handle)

    def guard_signals(self) -> bool:
        """Have the recording end well, until `finish`, if SIGTERM or SIGHUP ends the process by default, or `os._exit` does, where `watch_calls` was called.

        False if another recorder is guarded, or if this is process 1.
        """
        return gp_guard_begin(self.handle)

    def put(self, bytes kind, bytes payload) -> None:
        """Add a chunk; its type is four letters."""
        if len(kind) != 4:
            raise ValueError(f"the type of a chunk must be four letters, got {kind!r}")
        rule = f"a chunk must have at most {GP_CHUNK_PAYLOAD_MAX} bytes, got {len(payload)}"
        check_status(gp_recorder_put(self.handle, kind, <const char *>payload, len(payload)), "a chunk", rule)

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

    def commit(self) -> None:
        """Take the file's name, and so replace one that is there."""
        cdef int error = gp_recorder_commit(self.handle)
        check_status(GP_OK if error == 0 else GP_ESYSTEM, "a recording", None, error)

    def discard(self) -> None:
        """Remove the file, instead of `finish`: an earlier one stays as it was."""
        with nogil:
            gp_guard_end(self.handle)
            gp_recorder_discard(self.handle)

    def finish(self) -> None:
        """Write the rest and close the file. After the end of the sessions that are recorded."""
        with nogil:
            gp_guard_end(self.handle)
            gp_recorder_finish(self.handle)

    def identity(self) -> tuple[int, int] | None:
        """Return device and inode of the file; None if it has not been made."""
        cdef uint64_t device = 0, inode = 0
        return (device, inode) if gp_recorder_identity(self.handle, &device, &inode) else None

    def state(self) -> tuple[int, int, int]:
        """Return errno of the first failure, 0 if there was none; bytes and events written."""
        cdef uint64_t bytes_written = 0, events_written = 0
        cdef int error = gp_recorder_error(self.handle, &bytes_written, &events_written)
        return error, bytes_written, events_written


# ---- a trace ----


cdef int pauses_wanted = 0  # by so many sessions
cdef list collector_callbacks = gc.callbacks  # the collector keeps to this list, also if the program sets another


@cython.final
@cython.no_gc_clear  # the collector must not take the recorder away, whose thread reads the session until the end
cdef class Session:
    """One trace: begins when made, ends with `stop`.

    The frame that `stop` and `read` take is where the calling thread is, for the sites: it holds the GIL meanwhile.
    Neither sites nor stacks are recorded where `frames_differ`.
    """

    cdef gp_session *handle
    cdef Recorder recorder  # must be finished before the session goes
    cdef bint pauses

    def __cinit__(self, *, bint sites=False, bint stacks=False, Recorder recorder=None, bint timeline=False,
                  bint cpu_time=False, bint looks=False, bint pauses=False, bint tags=False, bint totals=False):
        cdef const char *reason = b""
        cdef gp_status status
        cdef int error
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
        wishes.looks = looks
        wishes.pauses = pauses
        wishes.tags = tags
        wishes.totals = totals
        if looks:
            watch_forks()
        wishes.recorder = NULL if recorder is None else recorder.handle
        self.recorder = recorder
        status = gp_tracer_start(gp_interpreter_host(), &wishes, &self.handle, &reason)
        error = errno  # before anything else sets it
        check_status(status, "a trace", None, error, None, reason)
        self.follow_pauses(pauses)

    def __dealloc__(self):
        cdef gp_call_stack nowhere
        cdef gp_recorder *recorder
        if self.handle == NULL:
            return
        nowhere.keys = NULL
        nowhere.depth = 0
        nowhere.truncated = False
        gp_tracer_stop(self.handle, &nowhere)
        self.follow_pauses(False)
        if self.recorder is not None:
            recorder = self.recorder.handle
            with nogil:
                gp_guard_end(recorder)
                gp_recorder_finish(recorder)
        gp_tracer_forget(self.handle)
        end_looker()

    cdef void follow_pauses(self, bint follow) noexcept:
        # Have the collector tell of its pauses as long as a session wants them.
        global pauses_wanted
        if follow == self.pauses:
            return
        self.pauses = follow
        pauses_wanted += 1 if follow else -1
        if follow or pauses_wanted == 0:
            gp_collections_follow(<void *>collector_callbacks, follow)

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
        self.follow_pauses(False)
        end_looker()

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


    def totals(self) -> dict:
        """Return what is booked for all threads together, up to now if the session runs. Nanoseconds.

        `labels` is None if they are not wanted; else rows of (number, name, hold, wait, off, holds, waits), where number
        0 is what has none, those of (waiter's number, holder's number, wait), and the longest wait: see `worst_of`.
        """
        cdef gp_totals *totals = <gp_totals *>calloc(1, sizeof(gp_totals))
        check_status(GP_ENOMEM if totals == NULL else GP_OK, "the totals of a trace", None)
        try:
            check_status(gp_tracer_totals(self.handle, totals), "the totals of a trace", None)
            return totals_as_dict(totals)
        finally:
            gp_totals_clear(totals)
            free(totals)


cdef dict totals_as_dict(const gp_totals *totals):
    return {
        "elapsed_ns": totals.elapsed,
        "held_ns": totals.held,
        "contended_ns": totals.contended,
        "wait_ns": totals.wait,
        "off_ns": totals.off,
        "threads": totals.threads,
        "threads_waiting": totals.waiting,
        "waits": totals.contended_acquisitions,
        "hold": (totals.hold_sum, totals.hold_longest, buckets_of(&totals.holds)),
        "wait": (totals.wait_sum, totals.wait_longest, buckets_of(&totals.waits)),
        "labels": labels_of(totals) if totals.tagged else None,
    }


cdef list buckets_of(const gp_hist *hist):
    cdef size_t i
    return [(i, hist.counts[i]) for i in range(GP_HIST_BUCKETS) if hist.counts[i] != 0]


cdef tuple labels_of(const gp_totals *totals):
    cdef const gp_tag_row *row
    cdef uint32_t tag
    cdef size_t i
    rows = []
    for tag in range(GP_TAGS):
        row = &totals.tags[tag]
        if tag == 0 or row.hold | row.wait | row.off | row.holds | row.waits:
            rows.append((tag, tag_name(tag), row.hold, row.wait, row.off, row.holds, row.waits))
    pairs = [(totals.pairs[i].waiter, totals.pairs[i].holder, totals.pairs[i].wait) for i in range(totals.pair_count)]
    return rows, pairs, worst_of(&totals.worst)


cdef tuple worst_of(const gp_worst_wait *worst):
    # Start, length, how long the holder had the GIL; of waiter and holder: native identifier, label of the
    # thread, name by the operating system, number of its label.
    if worst.ticks == 0:
        return None
    return worst.start, worst.ticks, worst.holder_ticks, who_waited(&worst.waiter), who_waited(&worst.holder)


cdef tuple who_waited(const gp_tag_thread *thread):
    return thread.native_id, thread.label, (<const char *>thread.os_name).decode("utf-8", "replace"), thread.tag


cdef void end_looker() noexcept:
    """End the native thread that looked for sessions, with the last of them."""
    if gp_looker_is_left():
        with nogil:
            gp_looker_end()


cdef tuple read_part(gp_session *session, size_t part, const gp_call_stack *here):
    cdef gp_buffer places = gp_buffer(NULL, 0, 0, False)
    cdef gp_buffer snapshot = gp_buffer(NULL, 0, 0, False)
    try:
        check_status(gp_tracer_read(session, part, here, &places, &snapshot), "a snapshot of a trace", None)
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


# ---- a trace of locks ----


def locks_support() -> tuple[bool, str]:
    """Whether waits for locks can be traced here, and if not why, in one line.

    Tries it the first time: a native thread waits for a lock for a moment.
    """
    cdef const char *reason = b""
    cdef gp_status status
    with nogil:
        status = gp_lock_learn(&reason)
    return status == GP_OK, reason.decode()


def lock_spins() -> tuple[int, int]:
    """When threads that spin look at their lock again, as `locks_support` has found: every so many yields, and after all.

    The first is 0 if they don't before the end, the second 0 if none spins.
    """
    cdef gp_lock_rhythm rhythm
    with nogil:
        rhythm = gp_lock_spins()
    return rhythm.every, rhythm.all


@cython.final
@cython.no_gc_clear  # as in Session
cdef class LockSession:
    """One trace of locks: begins when made, ends with `stop`. Places are recorded where not `frames_differ`.

    A recorder gets what is booked, and with `timeline` the single waits, with their whole stacks if wanted; `session`
    is the one that it records, too.
    """

    cdef gp_lock_session *handle
    cdef Recorder recorder  # must be finished before the session goes

    def __cinit__(self, *, Recorder recorder=None, bint timeline=False, bint stacks=False, Session session=None):
        cdef gp_lock_wishes wishes
        cdef const char *reason = b""
        cdef gp_status status
        cdef int error
        if frames_differ() is None:
            gp_lock_host_use_frames()
        self.recorder = recorder
        wishes.recorder = NULL if recorder is None else recorder.handle
        wishes.timeline, wishes.stacks = timeline, stacks
        wishes.origin = 0 if session is None else gp_tracer_origin(session.handle)
        with nogil:
            status = gp_lock_start(&self.handle, &wishes, &reason)
            error = errno
        check_status(status, "a trace of locks", None, error, None, reason)

    def __dealloc__(self):
        cdef gp_recorder *recorder
        if self.handle != NULL and self.recorder is not None:
            recorder = self.recorder.handle
            with nogil:
                gp_lock_stop(self.handle)
                gp_guard_end(recorder)
                gp_recorder_finish(recorder)
        with nogil:
            gp_lock_forget(self.handle)

    def stop(self) -> None:
        """End the session; nothing if it has ended."""
        with nogil:
            gp_lock_stop(self.handle)

    def read(self) -> bytes:
        """Return what is booked, up to now if the session runs: the payload of a LOCK (docs/recording-format.md)."""
        cdef gp_buffer buffer = gp_buffer(NULL, 0, 0, False)
        cdef gp_status status
        try:
            with nogil:
                status = gp_lock_read(self.handle, &buffer)
            check_status(status, "a snapshot of a trace of locks", None)
            return buffer.bytes[:buffer.size]
        finally:
            gp_buffer_free(&buffer)


def lock_sessions() -> int:
    """Return the number of traces of locks that run."""
    cdef size_t count
    with nogil:
        count = gp_lock_sessions()
    return count


# ---- stalls while they last ----


@cython.final
cdef class Watchdog:
    """Writes a line to a descriptor while a hold makes others wait for longer than a limit
    (csrc/trace/gp_watchdog.h).

    `names` are those of threads by native identifier, for the ones that have no label. Sees something while a session
    runs.
    """

    cdef gp_watchdog *handle
    cdef uint64_t count  # after the end

    def __cinit__(self, uint64_t limit_ns, int fd, dict names):
        cdef gp_watchdog_name *rows
        cdef gp_status status
        cdef const gp_watchdog_eyes *eyes = gp_interpreter_eyes()
        cdef int error = 0
        cdef size_t n = 0
        watch_forks()
        kept = [(native_id, name.replace("\0", "").encode("utf-8", "replace")) for native_id, name in names.items()]
        rows = <gp_watchdog_name *>calloc(len(kept) + 1, sizeof(gp_watchdog_name))
        check_status(GP_ENOMEM if rows == NULL else GP_OK, "a watchdog", None)
        try:
            for native_id, name in kept:
                rows[n].native_id = native_id
                rows[n].name = name
                n += 1
            with nogil:
                status = gp_watchdog_start(limit_ns, fd, eyes, rows, n, &self.handle, &error)
        finally:
            free(rows)
        check_status(status, "a watchdog", f"limit_ns must be > 0, got {limit_ns}", error)

    def __dealloc__(self):
        self.end()

    cdef end(self):
        cdef gp_watchdog *handle = self.handle
        if handle == NULL:
            return
        self.count = gp_watchdog_reported(handle)
        self.handle = NULL  # before the GIL goes: nobody else must free it
        with nogil:
            gp_watchdog_stop(handle)

    @property
    def reported(self) -> int:
        """Number of holds reported so far."""
        return self.count if self.handle == NULL else gp_watchdog_reported(self.handle)

    def spare(self, unsigned number, int64_t native_id) -> None:
        """Don't tell the holds of a thread, the `number`th; 0 as its native identifier ends that."""
        if self.handle != NULL:
            gp_watchdog_spare(self.handle, number, native_id)

    def stop(self) -> None:
        """End it; nothing the second time."""
        self.end()


# ---- a count that a thread without the GIL looks at ----

# Here, since whoever pauses native threads around a fork must know all of them.


@cython.final
@cython.no_gc_clear  # the collector must not take the object away, which the thread reads until the end
cdef class Sampler:
    """Looks at the reference count of an object each `period_ns`, without the GIL, from `start` to `stop`.

    Keeps an object alive; its own reference is in none of the numbers. Use it from one thread at a time.
    """

    cdef gp_sampler *handle
    cdef object watched
    cdef uint64_t period_ns
    cdef size_t keep

    def __cinit__(self, watched, uint64_t period_ns, size_t keep):
        self.watched = watched
        self.period_ns = period_ns
        self.keep = keep

    def start(self) -> None:
        """Look for the first time, and begin; once only."""
        cdef int error = 0
        cdef gp_status status
        if self.handle != NULL:
            raise ValueError("a sampler starts once")
        watch_forks()
        gp_clock_init()  # by one thread at a time
        with nogil:
            status = gp_sampler_start(
                <const void *>self.watched, gp_counts_of, 1, self.period_ns, self.keep, &self.handle, &error
            )
        rule = f"period_ns must be from 1000 to 2**63 - 1, and keep <= 2**24, got {self.period_ns} and {self.keep}"
        check_status(status, "a sampler", rule, error)

    def __dealloc__(self):
        with nogil:
            gp_sampler_free(self.handle)

    def stop(self) -> None:
        """Look once more, and end; nothing the second time, and before the start."""
        if self.handle != NULL:
            with nogil:
                gp_sampler_stop(self.handle)

    cdef gp_sampler_seen seen(self) except *:
        if self.handle == NULL:
            raise ValueError("a sampler that has not started has seen nothing")
        return gp_sampler_result(self.handle)

    def sums(self) -> tuple[int, ...]:
        """Return elapsed_ns, samples, missed, not counted, first, last, least, most, changes. After the end."""
        cdef gp_sampler_seen seen = self.seen()
        return (seen.elapsed_ns, seen.samples, seen.missed, seen.not_counted, seen.first, seen.last, seen.least,
                seen.most, seen.changes)

    def changes(self) -> list[tuple[int, int]]:
        """Return when, in nanoseconds since the start, and to what the count changed: the first ones. After the end."""
        cdef gp_sampler_seen seen = self.seen()
        return [(seen.kept[i].at_ns, seen.kept[i].count) for i in range(seen.kept_count)]

    def histogram(self) -> dict[int, int]:
        """Return the samples by count; from 128 on by the lower bound of a bucket. After the end."""
        cdef gp_sampler_seen seen = self.seen()
        cdef uint64_t low, high
        cdef size_t i
        found = {}
        for i in range(GP_HIST_BUCKETS):
            if seen.hist.counts[i] != 0:
                gp_hist_bounds(i, &low, &high)
                found[low] = seen.hist.counts[i]
        return found
