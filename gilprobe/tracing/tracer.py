"""The exact tracer: every hold of the GIL, and every wait for it and for locks, without privileges."""

from __future__ import annotations

import _thread
import os
import sys

from gilprobe._native import tracer
from gilprobe.errors import InvalidTypeError, TracerStateError, UnsupportedError
from gilprobe.measuring.host import environment_facts
from gilprobe.tracing import thread_names

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType
    from typing import Any

    from gilprobe.model.timeline import Timeline
    from gilprobe.report import Report
    from gilprobe.tracing.recording_writer import RecordingWriter
    from gilprobe.tracing.temporary_folder import TemporaryFolder


_RUNNING = "a trace must be stopped before it is started again"


class Trace:
    """A recording of who holds the GIL and who waits for it, over all threads of the process.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`, from any thread. Traces may overlap
    and nest; each has its own accounts. A stopped trace can be started again, which begins a new recording.

    Holds are wall-clock time: a thread that the operating system suspends while it has the GIL still holds
    it.
    """

    def __init__(
        self,
        *,
        sites: bool = True,
        stacks: bool = False,
        timeline: bool = False,
        cpu_time: bool = False,
        looks: bool = True,
        locks: bool | None = None,
        path: str | os.PathLike[str] | None = None,
        _later: bool = False,
        _told: bool = True,
    ) -> None:
        options = {
            "sites": sites or stacks,
            "stacks": stacks,
            "timeline": timeline,
            "cpu_time": cpu_time,
            "looks": looks,
        }
        for name, option in (options | {"sites": sites}).items():
            if not isinstance(option, bool):
                raise InvalidTypeError(f"{name} must be True or False, got {option!r}")
        if not isinstance(locks, bool | None):
            raise InvalidTypeError(f"locks must be True, False or None, got {locks!r}")
        if not isinstance(path, str | bytes | os.PathLike | None):
            raise InvalidTypeError(f"path must be a path or None, got {path!r}")
        self._options = options
        self._wanted_locks = locks
        self._path = path
        self._later = _later  # for a process that may end at once: see RecordingWriter
        # Loaded now, so that neither start nor stop has to. Not needed if only the file is wanted.
        self._assemble = _loaded() if _told else None
        self._temporary = timeline and path is None
        if self._temporary:
            from gilprobe.tracing import temporary_folder  # noqa: F401
        if timeline or path is not None:
            from gilprobe.tracing import recording_writer  # noqa: F401
        self._folder: TemporaryFolder | None = None
        self._writer: RecordingWriter | None = None
        self._session: tracer.Session | None = None
        self._locks: tracer.LockSession | None = None
        self._starting = False
        self._ending = _thread.allocate_lock()  # of what runs now, which ends once
        self._doubts: tuple[str, ...] = ()
        self._bystanders: dict[int, str] = {}
        self._environment: dict[str, Any] = {}
        self._report: Report | None = None

    @property
    def running(self) -> bool:
        """Return whether the trace has been started and not stopped."""
        return self._session is not None or self._locks is not None

    def start(self) -> Trace:
        """Begin to record.

        Returns
        -------
        Trace
            This trace.

        Raises
        ------
        UnsupportedError
            If the GIL can't be traced here, nor locks instead; the message says why.
        TracerStateError
            If the trace is running.
        InvalidValueError
            If the path has a zero byte.
        OSError
            If the file can't be made, or a thread that it needs. An earlier file is then unchanged.
        """
        if self.running or self._starting:
            raise TracerStateError(_RUNNING)
        self._starting = True  # no call since the check, so no other thread had the GIL
        try:
            self._start()
        finally:
            self._starting = False
        return self

    def _start(self) -> None:
        wanted = _what_is_possible(self._wanted_locks)  # before an earlier recording is replaced
        environment = environment_facts()  # costs a millisecond, so before the first time stamp
        options, doubts = _possible(self._options)
        options = options | ({"locks": True} if wanted.locks else {})
        writer = self._open()
        session: tracer.Session | None = None
        locks: tracer.LockSession | None = None
        try:
            thread_names.watch()
            bystanders = thread_names.alive()
            if writer is not None:
                writer.begin(environment, options)
            if wanted.gil:
                recorder = None if writer is None else writer.recorder
                wanted_there = {name: options[name] for name in self._options}
                session = tracer.Session(
                    recorder=recorder, pauses=True, tags=options["sites"], **wanted_there
                )
            if wanted.locks:
                locks = tracer.LockSession(
                    recorder=None if writer is None else writer.recorder,
                    timeline=options["timeline"],
                    stacks=options["stacks"],
                    session=session,
                )
            thread_names.review()  # another trace may have ended meanwhile
            if writer is not None:
                writer.commit()
        except BaseException as error:
            for begun in (locks, session):
                if begun is not None:
                    begun.stop()
            if writer is not None:
                writer.discard()
            thread_names.review()
            if isinstance(error, NotImplementedError):
                raise UnsupportedError(f"the GIL can't be traced: {error}") from None
            raise
        self._ending = _thread.allocate_lock()
        self._session, self._locks, self._writer = session, locks, writer
        self._environment, self._bystanders = environment, bystanders
        self._doubts, self._report = doubts, None

    def _open(self) -> RecordingWriter | None:
        """Create the recording, if wanted."""
        if self._path is None and not self._temporary:
            return None
        from gilprobe.tracing.recording_writer import RecordingWriter

        if self._path is not None:
            return RecordingWriter(self._path, timeline=self._options["timeline"], later=self._later)
        from gilprobe.tracing.temporary_folder import TemporaryFolder

        self._folder = TemporaryFolder()
        writer = RecordingWriter(self._folder.path, timeline=True)
        self._folder.keep()
        return writer

    def stop(self) -> Report:
        """End the recording. Stopping it again changes nothing.

        Returns
        -------
        Report
            What was recorded.

        Raises
        ------
        TracerStateError
            If the trace was never started.
        """
        names = thread_names.alive()  # nobody notes the end of a thread that ends behind the session's
        if self._may_end():
            try:
                ended = self._end()
                self._report = self._read(*ended, names)
                self._forget(*ended)
            except BaseException:  # to be tried again
                self._ending.release()
                raise
        return self.report()

    def close(self) -> None:
        """Stop a trace if only its file is wanted, without loading what makes a report."""
        if self._may_end():
            try:
                self._forget(*self._end())
            except BaseException:
                self._ending.release()
                raise

    def _may_end(self) -> bool:
        """Return whether the calling thread is the one that ends what runs: others may want to meanwhile."""
        return self.running and self._ending.acquire(blocking=False)

    def _end(self) -> tuple[tracer.Session | None, tracer.LockSession | None]:
        session, locks, writer = self._session, self._locks, self._writer
        if locks is not None:
            locks.stop()
        if session is not None:
            session.stop(_caller())
        if writer is not None:
            writer.finish()
        return session, locks

    def _forget(self, session: tracer.Session | None, locks: tracer.LockSession | None) -> None:
        if self._session is session and self._locks is locks:  # another thread may have restarted it
            self._session = self._locks = None
        thread_names.review()

    def report(self) -> Report:
        """Return the report: a snapshot while the trace is running.

        Raises
        ------
        TracerStateError
            If the trace was never started.
        """
        session, locks = self._session, self._locks
        if session is not None or locks is not None:
            return self._read(session, locks)
        if self._report is None:
            raise TracerStateError("a trace must be started before it can report")
        return self._report

    def _read(
        self,
        session: tracer.Session | None,
        locks: tracer.LockSession | None,
        names: Mapping[int, str] | None = None,
    ) -> Report:
        assemble = self._assemble or _loaded()
        return assemble(
            None if session is None else session.read(_caller()),
            None if locks is None else locks.read(),
            self._environment,
            self._bystanders,
            self._warnings(),
            names or {},
        )

    def _warnings(self) -> tuple[str, ...]:
        return (*self._doubts, *(self._writer.doubts() if self._writer is not None else ()))

    def guard_signals(self) -> bool:
        """Complete the recording also if SIGTERM, SIGHUP or :func:`os._exit` end the process.

        Signals are handled where their disposition is the default; Python still sees the default, and the
        signal still kills the process, but the recording is finished before. This lasts until the end of the
        trace.

        Returns
        -------
        bool
            False if another recording is guarded already, or nothing is recorded.

        Raises
        ------
        TracerStateError
            If the trace is not running.
        """
        if not self.running:
            raise TracerStateError("a trace must be running to be guarded")
        return self._writer is not None and self._writer.recorder.guard_signals()

    def timeline(self) -> Timeline:
        """Return every hold and every wait, one by one, after the end of the trace.

        It is read from the file `path`, else from a temporary one that lives as long as the trace.

        Raises
        ------
        TracerStateError
            If the trace is running, was never started, or records no timeline.
        FormatError
            If the file is damaged, or was replaced by another since.
        OSError
            If it can't be read.
        """
        if not self._options["timeline"]:
            raise TracerStateError("a timeline needs a trace with timeline=True")
        if self.running or self._writer is None:
            raise TracerStateError("a trace must be stopped before its timeline is read")
        from gilprobe.tracing.recording_reader import Recording

        writer = self._writer
        return Recording.open(writer.path, writer.identity, writer.started_unix_ns).timeline()

    def __del__(self, at_exit: Callable[[], bool] = sys.is_finalizing) -> None:
        # The session would end with its last reference, but the methods that keep names must be restored too.
        # Not at the interpreter's end, which clears modules' globals: hence also the default argument.
        if getattr(self, "_locks", None) is None and getattr(self, "_session", None) is None:
            return
        if not at_exit():
            self._end()
            thread_names.review()

    def __enter__(self) -> Trace:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()


def _possible(options: dict[str, bool]) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Return the options that this interpreter can record, and doubts about the others."""
    differs = tracer.frames_differ() if options["sites"] else None
    if differs is None:
        return options, ()
    return options | {"sites": False, "stacks": False, "looks": False}, (
        f"sites and stacks are off: {differs}",
    )


class _Wanted:
    """What a trace records: holds of the GIL and waits for it, waits for locks, or both."""

    __slots__ = ("gil", "locks")

    def __init__(self, gil: bool, locks: bool) -> None:
        self.gil, self.locks = gil, locks


def _what_is_possible(locks: bool | None) -> _Wanted:
    """Return what a trace records, if it may also be without the GIL, where the interpreter has none.

    Raises
    ------
    UnsupportedError
        If that is nothing, or locks are wanted and can't be traced.
    """
    gil, reason = tracer.support()
    if locks is None:
        locks = not tracer.gil_enabled()
    if not gil and not (locks and not tracer.gil_enabled()):
        raise UnsupportedError(f"the GIL can't be traced: {reason}")
    if locks:
        able, why = tracer.locks_support()
        if not able:
            raise UnsupportedError(f"locks can't be traced: {why}")
    return _Wanted(gil, locks)


def trace(
    *,
    sites: bool = True,
    stacks: bool = False,
    timeline: bool = False,
    cpu_time: bool = False,
    looks: bool = True,
    locks: bool | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Trace:
    """Trace who holds the GIL, who waits for it and for how long, in all threads of the process.

    A free-threaded interpreter whose GIL is off has only locks to trace.

    Parameters
    ----------
    sites : bool
        Also record where: the function and line at which the GIL was released, who waited behind whom there,
        and the longest waits.
    stacks : bool
        Record the whole call stack there, up to 128 frames. Implies `sites`.
    timeline : bool
        Record every hold and every wait one by one: see :meth:`Trace.timeline`.
    cpu_time : bool
        Also record the CPU time that threads use while they hold: a hold without CPU time was blocked in the
        kernel, or waited for a core. Costs two system calls a hold.
    looks : bool
        With `sites`, also look at random times at what the thread with the GIL runs: a hold that ends in one
        function may have been spent in another. A native thread does that, once a thread has had to wait for
        the GIL; it takes 1 % of a processor at most.
    locks : bool, optional
        Also record who waits for which lock, where, and behind whom: the locks of :mod:`threading`, of
        objects, and of the interpreter. Default: where the interpreter runs without a GIL.
    path : path-like, optional
        Write a recording to this file, which `gilprobe report` reads. An existing file is replaced, even one
        that another trace is writing, whose report then says so.

    Returns
    -------
    Trace
        Not started: use it in a ``with`` statement, or call its ``start`` and ``stop``.

    Raises
    ------
    InvalidTypeError
        If an option is not a bool (`locks`: nor None), or `path` is no path.

    Examples
    --------
    >>> with gilprobe.trace() as t:
    ...     total = sum(range(1_000_000))
    >>> thread = t.report().threads[0]
    >>> thread.hold_ns + thread.wait_ns + thread.off_ns == thread.lifetime_ns
    True
    """
    return Trace(
        sites=sites,
        stacks=stacks,
        timeline=timeline,
        cpu_time=cpu_time,
        looks=looks,
        locks=locks,
        path=path,
    )


def _caller() -> FrameType | None:
    """Return the innermost frame outside this module: its hold is the one that a stop ends."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _loaded() -> Callable[..., Report]:
    from gilprobe.tracing.living import assemble_living

    return assemble_living
