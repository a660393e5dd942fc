"""Hunt in a child process: a crash, by a stolen reference for example, does not prevent a report.

Parent and child share memory instead of a pipe: there is no descriptor that the function could close, and the
child's last words survive any end.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import sys
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gilprobe.errors import FormatError, InvalidValueError
from gilprobe.model import codec
from gilprobe.model.leak_report import LeakReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CRASHES = frozenset(
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP")
    if hasattr(signal, name)
)
"""Signals of a process that crashed by itself."""

_SIZE = 16 << 20  # only pages that are written to exist
_PROGRESS_SIZE = 4096
_CALLS = struct.Struct("=Q")
_HEAD = struct.Struct("<II")  # length and checksum of a text, which detect a half-written one
_LOOK_S = 0.01
_GRACE_S = 1.0  # a C function may not notice Ctrl-C
_TOLD = b"told"
_BROKEN = b"broken: "
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class BrokenHuntError(InvalidValueError):
    """An error from outside the function ended a hunt: an object was freed while in use.

    Parameters
    ----------
    message, reason : str
        The message for a hunt that is not in a child; and the error alone.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HuntProgress:
    """The progress of a hunt.

    Attributes
    ----------
    phase : str
        Its current step.
    calls : int
        Calls so far.
    """

    phase: str
    calls: int


@dataclass(frozen=True, slots=True)
class HuntOutcome:
    """The outcome of a hunt.

    Attributes
    ----------
    report : LeakReport or None
        Its report; None if it did not finish.
    told : bool
        Whether the child reported an error itself.
    broken : str
        The error of a :class:`BrokenHuntError`, which the child did not report; else ``""``.
    status : int
        The child's exit status; negative: the signal that ended it.
    progress : HuntProgress
        Its last progress.
    """

    report: LeakReport | None
    told: bool
    broken: str
    status: int
    progress: HuntProgress


def is_possible() -> bool:
    """Return whether this process can be forked safely: a child would lack other threads."""
    return sys.platform == "linux" and threading.active_count() == 1 and _native_threads() == 1


def hunt_in_child(
    hunt: Callable[[Teller], LeakReport],
    done: Callable[[LeakReport], None],
    watch: Callable[[HuntProgress], None] = lambda _: None,
) -> HuntOutcome:
    """Fork, and hunt in the child; return only in the parent.

    In the child an error of the hunt goes on to the caller, and `SystemExit` is raised after the report, so
    that the child ends as any program does and flushes its buffers.

    Parameters
    ----------
    hunt : callable
        Hunts in the child, and reports progress to its argument.
    done : callable
        Called in the parent with the report at once: the child may end much later.
    watch : callable
        Called in the parent with the progress, many times a second.

    Raises
    ------
    OSError
        If no process can be started.
    KeyboardInterrupt
        In the parent, if the child ended without reporting it.
    """
    line = _ChildLine()
    _flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        with line.telling():
            _end_with(parent)
            line.give(hunt(line))
        raise SystemExit(0)
    return _Parent(pid, line).follow(done, watch)


class _Slot:
    """Bytes in shared memory; a half-written text counts as absent."""

    def __init__(self, memory: mmap.mmap, start: int, size: int) -> None:
        self._memory = memory
        self._start = start
        self._room = size - _HEAD.size

    def write(self, data: bytes) -> bool:
        """Write; return False if there is no room."""
        if len(data) > self._room:
            return False
        body = self._start + _HEAD.size
        self._memory[body : body + len(data)] = data
        self._memory[self._start : body] = _HEAD.pack(len(data), zlib.crc32(data))
        return True

    def read(self) -> bytes:
        """Return the written bytes; empty if there are none, or while they are being written."""
        body = self._start + _HEAD.size
        length, checksum = _HEAD.unpack(self._memory[self._start : body])
        data = self._memory[body : body + min(length, self._room)]
        return data if zlib.crc32(data) == checksum else b""


class Teller(Protocol):
    """Receives the progress of a hunt."""

    def phase(self, name: str) -> None:
        """Begin a new phase."""

    def count(self, calls: int) -> None:
        """Set the number of calls so far."""


class _ChildLine:
    """The child's messages to the parent."""

    def __init__(self) -> None:
        self._memory = memory = mmap.mmap(-1, _SIZE)
        self._phase = _Slot(memory, _CALLS.size, _PROGRESS_SIZE - _CALLS.size)
        self._outcome = _Slot(memory, _PROGRESS_SIZE, _SIZE - _PROGRESS_SIZE)
        self._parent = os.getpid()
        self._child = 0

    @contextmanager
    def telling(self) -> Iterator[None]:
        """In the child: tell the parent of an error that the child's command line reports."""
        self._child = os.getpid()
        try:
            yield
        except BrokenHuntError as error:
            self._say(self._outcome, _BROKEN + error.reason.encode())
            raise SystemExit(1) from None
        except BaseException:
            self._say(self._outcome, _TOLD)
            raise

    def phase(self, name: str) -> None:
        """In the child: report the hunt's phase."""
        self._say(self._phase, name.encode())

    def count(self, calls: int) -> None:
        """In the child: report the number of calls. Leaves nothing behind that the hunt would count."""
        if os.getpid() == self._child:
            _CALLS.pack_into(self._memory, 0, calls)

    def give(self, report: LeakReport) -> None:
        """In the child: hand the report over, after flushing what the function printed."""
        _flush()
        if not self._say(self._outcome, json.dumps(report.to_dict()).encode()):
            raise InvalidValueError(f"the report must fit into {_SIZE >> 20} MiB, it is larger")

    def _say(self, slot: _Slot, data: bytes) -> bool:
        """Write, except in a process that the function forked and that returned."""
        return os.getpid() != self._child or slot.write(data)

    def how_far(self) -> HuntProgress:
        """In the parent: return the last progress."""
        (calls,) = _CALLS.unpack_from(self._memory)
        return HuntProgress(self._phase.read().decode(), calls)

    def outcome(self) -> LeakReport | bytes:
        """In the parent: return the report, or `_TOLD`, or `_BROKEN` and why; empty before that."""
        data = self._outcome.read()
        if not data.startswith(b"{"):
            return data
        try:
            return LeakReport.from_dict(codec.parse_json(data, "a report must be JSON"))
        except FormatError:  # the function overwrote our memory
            return b""


class _Parent:
    """Follows the child to its end."""

    def __init__(self, pid: int, line: _ChildLine) -> None:
        self._pid = pid
        self._line = line
        self._status: int | None = None

    def follow(
        self, done: Callable[[LeakReport], None], watch: Callable[[HuntProgress], None]
    ) -> HuntOutcome:
        """Wait until the child has ended; show the report once it arrives."""
        try:
            outcome = self._wait(watch)
            if isinstance(outcome, LeakReport):
                done(outcome)
            while not self._has_ended():
                time.sleep(_LOOK_S)
        except KeyboardInterrupt:
            self._stop()
            outcome = self._line.outcome()
            if outcome != _TOLD:
                raise
        except BaseException:
            self._kill()
            raise
        report, said = (outcome, b"") if isinstance(outcome, LeakReport) else (None, outcome)
        broken = said.removeprefix(_BROKEN).decode() if said.startswith(_BROKEN) else ""
        return HuntOutcome(report, said == _TOLD, broken, self._status or 0, self._line.how_far())

    def _wait(self, watch: Callable[[HuntProgress], None]) -> LeakReport | bytes:
        """Return the report once it arrives, or what there is when the child has ended."""
        while True:
            ended = self._has_ended()  # before reading its messages, or the last one could be missed
            outcome = self._line.outcome()
            if ended or outcome:
                return outcome
            watch(self._line.how_far())
            time.sleep(_LOOK_S)

    def _has_ended(self) -> bool:
        if self._status is None:
            try:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:  # SIGCHLD is ignored: its exit status is unknown
                self._status = 0
            else:
                self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status is not None

    def _stop(self) -> None:
        """Let the child end by the terminal's Ctrl-C, by our SIGINT, or else by force."""
        try:
            if not self._ends_within(_GRACE_S / 2):
                os.kill(self._pid, signal.SIGINT)
                self._ends_within(_GRACE_S)
        finally:
            self._kill()

    def _ends_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not self._has_ended() and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        return self._has_ended()

    def _kill(self) -> None:
        if not self._has_ended():
            os.kill(self._pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)


def _native_threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208
    except OSError:
        return 1


def _flush() -> None:
    """Flush the buffers of Python's streams and of C's."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, a full disk, or an object of the function
            stream.flush()
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).fflush(None)


def _end_with(parent: int) -> None:
    """Make this process end with its parent, however that ends."""
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # the parent has ended already
        os._exit(1)
