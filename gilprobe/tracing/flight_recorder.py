"""The flight recorder: what happened in the last seconds, to be written when something was wrong.

It keeps sums, not events. Three traces run at a time, each begun half of `last` after the one before it.
The oldest is written: its sums are those of the last seconds alone, its longest waits are the longest of that
time, and no wait is cut in two. None of that holds for differences of the sums of one trace. So its memory
depends on the program's threads and places, not on how often the GIL changes hands.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time
from binascii import crc32
from contextlib import suppress

from gilprobe._native.tracer import encoded_number, encoded_string
from gilprobe.durations import parse_duration
from gilprobe.errors import (
    GilProbeError,
    InvalidTypeError,
    InvalidValueError,
    TracerStateError,
)
from gilprobe.files import replacing
from gilprobe.tracing import thread_names
from gilprobe.tracing.recording_writer import meta_of
from gilprobe.tracing.resting_thread import RestingThread
from gilprobe.tracing.tracer import Trace

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a traced process loads no typing
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from gilprobe.report import Report
    from gilprobe.tracing.stall_alarm import Alarm

SHORTEST_S, LONGEST_S = 1.0, 3600.0
"""Limits of `last`."""

FILES = 10
"""How many files it writes by itself: the next one replaces the oldest."""

_TRACES = 3
_CHUNK_MAX = 64 << 20  # bytes (csrc/recording/gp_chunk.h)
_HEADER = b"GILPROBE" + (1).to_bytes(4, "little")


class FlightRecorder:
    """Keeps what happened in the last seconds: see :func:`flight_recorder`.

    Use it as a context manager, or call :meth:`start` and :meth:`stop`.
    """

    def __init__(
        self,
        last: str | float = "30s",
        *,
        alarm: str | float | None = None,
        signal: int | None = None,
        path: str | os.PathLike[str] | None = None,
        stacks: bool = True,
        looks: bool = True,
        locks: bool | None = None,
    ) -> None:
        self.last_s = _seconds(last)
        if isinstance(signal, bool) or not isinstance(signal, int | None):
            raise InvalidTypeError(f"signal must be an integer or None, got {signal!r}")
        if not isinstance(path, str | bytes | os.PathLike | None):
            raise InvalidTypeError(f"path must be a path or None, got {path!r}")
        self._options: dict[str, Any] = {"stacks": stacks, "looks": looks, "locks": locks}
        Trace(**self._options, _told=False)  # an error comes now
        self._after, self._signal = alarm, signal
        self._path = None if path is None else os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        self._lock = threading.RLock()  # a signal's handler of the program may dump within a dump
        self._traces: list[tuple[float, int, Trace]] = []  # when each began, by two clocks; the oldest first
        self._alarm: Alarm | None = None
        self._thread = RestingThread("gilprobe-flight", self._run, self._awake)
        self._handler: Any = None
        self._process = 0
        self._written = 0
        self._due_s: float | None = None  # when a file that was asked for is to be written
        self._dumped_s = -LONGEST_S

    @property
    def running(self) -> bool:
        """Return whether it has been started and not stopped, in this process."""
        return bool(self._traces) and self._process == os.getpid()

    def start(self) -> FlightRecorder:
        """Begin to keep what happens.

        Returns
        -------
        FlightRecorder
            This one.

        Raises
        ------
        TracerStateError
            If it is running.
        UnsupportedError
            If neither the GIL nor locks can be traced here; with an alarm, if the GIL can't.
        InvalidTypeError, InvalidValueError
            If the alarm's time is of another type, or out of range, or the signal has a handler.
        """
        if self.running:
            raise TracerStateError("a flight recorder must be stopped before it is started again")
        self._process, self._traces = os.getpid(), []
        self._halted, self._wake = False, _thread.allocate_lock()
        self._wake.acquire()
        self._renew()
        try:
            if self._after is not None:
                from gilprobe.tracing.stall_alarm import Alarm

                self._alarm = Alarm(self._after, lambda _notice: self._ask())
            if self._signal is not None:
                self._handle(self._signal)
            self._thread.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End it, after what was asked for has been written. Stopping it again changes nothing."""
        if not self.running:
            return
        self._halted = True
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.stop()
        self._awake()
        self._thread.join()
        self._put_back()
        with self._lock:
            traces, self._traces = self._traces, []
        for _, _, trace in traces:
            trace.close()

    def dump(self, path: str | os.PathLike[str]) -> None:
        """Write a recording of the last seconds, mode 0600, which `gilprobe report` reads.

        A file of that name is replaced when the new one is whole. Any thread, at any time.

        Raises
        ------
        TracerStateError
            If it is not running.
        OSError
            If the file can't be written.
        """
        content = self._content(sys._getframe(1))
        with replacing(path) as file:
            file.write(content)

    def _content(self, frame: FrameType | None = None) -> bytes:
        """Return what :meth:`dump` writes; `frame` is where the calling thread is."""
        with self._lock:
            _, started_unix_ns, trace = self._oldest()
            return _recording(trace, started_unix_ns, self.last_s, frame)

    def report(self) -> Report:
        """Return a report of the last seconds.

        Raises
        ------
        TracerStateError
            If it is not running.
        """
        with self._lock:
            return self._oldest()[2].report()

    def _oldest(self) -> tuple[float, int, Trace]:
        if not self.running:
            raise TracerStateError(
                "a flight recorder must be running, in this process, to tell what happened"
            )
        return self._traces[0]

    # ---- its thread ----

    def _run(self) -> bool:
        alarm = self._alarm
        if alarm is not None:
            alarm._spare(threading.get_native_id())
        while not self._over():
            self._wake.acquire(timeout=max(0.0, self._wait_s()))
            try:
                self._dump_if_asked()
                if not self._over() and time.monotonic() >= self._next_s():
                    self._renew()
            except Exception as error:
                _complain(f"the flight recorder can't go on as it should: {error}")
                self._wake.acquire(timeout=self.last_s / _TRACES)
        if alarm is not None:
            alarm._spare(0)
        return self._halted

    def _over(self) -> bool:
        return self._halted or self._thread.rests

    def _wait_s(self) -> float:
        due_s = self._next_s() if self._due_s is None else min(self._due_s, self._next_s())
        return due_s - time.monotonic()

    def _next_s(self) -> float:
        """Return when the next trace begins."""
        return self._traces[-1][0] + self.last_s / (_TRACES - 1)

    def _renew(self) -> None:
        """Begin a trace; end the oldest if the next one is old enough."""
        trace = Trace(**self._options, _told=False)
        began = time.monotonic(), time.time_ns()
        trace.start()
        with self._lock:
            self._traces.append((*began, trace))
            aged = len(self._traces) > 1 and began[0] - self._traces[1][0] >= self.last_s
            ended = self._traces.pop(0)[2] if aged else None
        if ended is not None:
            ended.close()

    def _ask(self) -> None:
        """Have a file written soon; at most once in `last`: what is asked for in between is in one file."""
        now_s = time.monotonic()
        if self._due_s is None:
            self._due_s = max(now_s, self._dumped_s + self.last_s)
        self._awake()

    def _awake(self) -> None:
        with suppress(RuntimeError):  # it is awake
            self._wake.release()

    def _dump_if_asked(self) -> None:
        now_s = time.monotonic()
        if self._due_s is None or (now_s < self._due_s and not self._halted):
            return
        self._due_s, self._dumped_s = None, now_s
        path = self._next_path()
        self.dump(path)
        _complain(f"written: gilprobe report {path!a}")

    def _next_path(self) -> str:
        number, self._written = self._written % FILES + 1, self._written + 1
        default = os.path.abspath(f"gilprobe-flight-{os.getpid()}.gilprobe")  # noqa: PTH100
        stem, suffix = os.path.splitext(self._path or default)  # noqa: PTH122
        return f"{stem}-{number}{suffix}"

    # ---- a signal ----

    def _handle(self, number: int) -> None:
        import signal

        try:
            current = signal.getsignal(number)
        except (ValueError, OverflowError):
            raise InvalidValueError(f"signal must be a signal, got {number}") from None
        if current is not signal.SIG_DFL:
            raise InvalidValueError(f"signal must be one without a handler, got {number}")
        self._handler = self._signalled
        try:
            signal.signal(number, self._handler)
        except (ValueError, OSError) as error:
            self._handler = None
            raise InvalidValueError(
                f"signal must be one that may be handled, got {number}: {error}"
            ) from None

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self._due_s = time.monotonic()  # the user's wish is no storm of alarms
        self._awake()

    def _put_back(self) -> None:
        import signal

        handler, self._handler = self._handler, None
        if handler is not None and self._signal is not None:
            with suppress(ValueError, OSError):  # only the main thread may
                if signal.getsignal(self._signal) == handler:
                    signal.signal(self._signal, signal.SIG_DFL)

    def __enter__(self) -> FlightRecorder:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()


def _seconds(last: str | float) -> float:
    seconds = parse_duration(last, "last") if isinstance(last, str) else last
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidTypeError(f"last must be a time, got {last!r}")
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise InvalidValueError(f"last must be from {SHORTEST_S:g}s to {LONGEST_S:g}s, got {last!r}")
    return float(seconds)


def _complain(text: str) -> None:
    import logging

    logging.getLogger("gilprobe").warning("%s", text)


# ---- the file ----


def _recording(trace: Trace, started_unix_ns: int, last_s: float, frame: FrameType | None) -> bytes:
    """Return a recording of a trace that runs, as it would be written if it ended now."""
    session, locks = trace._session, trace._locks
    read = [] if session is None else session.read(frame)
    options = trace._options | {"last_s": last_s} | ({} if locks is None else {"locks": True})
    content = [
        _HEADER + crc32(_HEADER).to_bytes(4, "little"),
        _chunk(b"META", meta_of(trace._environment, options, started_unix_ns)),
        _chunk(b"LABL", _names(thread_names.labels())),
        _chunk(b"NAME", _names((native_id << 1, name) for native_id, name in _alive(trace))),
    ]
    for places, snapshot in read:
        content.append(_chunk(b"PLAC", encoded_number(_interpreter_of(snapshot)) + places))
        content.append(_chunk(b"SNAP", snapshot))
    if locks is not None:
        content.append(_chunk(b"LOCK", locks.read()))
    content.append(_chunk(b"DONE", b'{"reason": "dumped"}'))
    return b"".join(content)


def _alive(trace: Trace) -> list[tuple[int, str]]:
    return [*(trace._bystanders | thread_names.alive()).items()]


def _names(names: Any) -> bytes:
    return b"".join(encoded_number(number) + encoded_string(name) for number, name in names)


def _interpreter_of(snapshot: bytes) -> int:
    """Return the second number of a snapshot (docs/recording-format.md)."""
    at = next(at for at, byte in enumerate(snapshot) if byte < 128) + 1
    number = shift = 0
    for byte in snapshot[at:]:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    return number


def _chunk(kind: bytes, payload: bytes) -> bytes:
    if len(payload) > _CHUNK_MAX:
        raise GilProbeError(
            f"a recording's parts must have at most {_CHUNK_MAX >> 20} MiB, got {len(payload)} bytes"
        )
    head = kind + len(payload).to_bytes(4, "little")
    return head + crc32(payload, crc32(head)).to_bytes(4, "little") + payload


def flight_recorder(
    last: str | float = "30s",
    *,
    alarm: str | float | None = None,
    signal: int | None = None,
    path: str | os.PathLike[str] | None = None,
    stacks: bool = True,
    looks: bool = True,
    locks: bool | None = None,
) -> FlightRecorder:
    """Keep what happened in the last seconds, to write it when something was wrong.

    Parameters
    ----------
    last : str or float
        How far back at least: "30s", or seconds, from 1 to 3600. A file goes back to between `last` and one
        and a half times as far; it says how far.
    alarm : str or float, optional
        Write a file for each hold of the GIL that makes another thread wait for so long: "200ms", or seconds.
        See :func:`gilprobe.alarm`. Those that come within `last` of a file are in the next one together.
    signal : int, optional
        Write a file when this signal comes. It must have no handler; only the main thread may set it.
    path : path-like, optional
        Name of these files: for ``a.gilprobe`` they are ``a-1.gilprobe`` to ``a-10.gilprobe``, then the first
        one is replaced. Default: ``gilprobe-flight-PID.gilprobe`` in the current folder.
    stacks, looks, locks
        As for :func:`gilprobe.trace`.

    Returns
    -------
    FlightRecorder
        Not started: use it in a ``with`` statement, or call its ``start`` and ``stop``.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If an argument is of another type, or out of range.

    Examples
    --------
    >>> with gilprobe.flight_recorder("10s") as flight:
    ...     total = sum(range(1_000_000))
    ...     report = flight.report()
    >>> report.held_s > 0
    True
    """
    return FlightRecorder(
        last, alarm=alarm, signal=signal, path=path, stacks=stacks, looks=looks, locks=locks
    )
