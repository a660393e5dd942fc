"""A hunt in a child process: what ends the process, a stolen reference say, ends the hunt but not its report.

Parent and child have memory in common instead of a pipe: the function finds no descriptor that it could
close, and what the child wrote last is there however it ends.
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
"""Signals by which a process ends because of what it has done itself."""

_SIZE = 16 << 20  # of which only the pages that are written to exist
_PROGRESS_SIZE = 4096
_CALLS = struct.Struct("=Q")
_HEAD = struct.Struct("<II")  # length and checksum of a text: what is half written is none
_LOOK_S = 0.01
_GRACE_S = 1.0  # a function in C may not notice Ctrl-C
_TOLD = b"told"
_BROKEN = b"broken: "
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class BrokenHuntError(InvalidValueError):
    """An error that is not the function's has ended a hunt: an object has gone while it was in use.

    Parameters
    ----------
    message, reason : str
        What is told where the hunt is not in a child; and the error alone.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HuntProgress:
    """How far a hunt is."""

    phase: str
    calls: int


@dataclass(frozen=True, slots=True)
class HuntOutcome:
    """What has become of a hunt.

    Attributes
    ----------
    report : LeakReport or None
        What it has found; None if it came to no end.
    told : bool
        Whether the child has come to an error, and told it.
    broken : str
        The error of a :class:`BrokenHuntError`, which the child has not told; else ``""``.
    status : int
        The child's exit status; below zero the signal that ended it.
    progress : HuntProgress
        How far it was.
    """

    report: LeakReport | None
    told: bool
    broken: str
    status: int
    progress: HuntProgress


def is_possible() -> bool:
    """Return whether this process can be forked without harm: a child would miss other threads."""
    return sys.platform == "linux" and threading.active_count() == 1 and _native_threads() == 1


def hunt_in_child(
    hunt: Callable[[Teller], LeakReport],
    done: Callable[[LeakReport], None],
    watch: Callable[[HuntProgress], None] = lambda _: None,
) -> HuntOutcome:
    """Fork, and hunt in the child; returns in the parent alone.

    In the child an error of the hunt goes on to the caller, and `SystemExit` is raised when the report is
    given: it is to end as any program does, with the output that is still in buffers.

    Parameters
    ----------
    hunt : callable
        Hunts in the child, and tells what it is given how far it is.
    done : callable
        Gets the report as soon as it is there, in the parent: the child may take its time to end.
    watch : callable
        Is told how far the hunt is, in the parent, many times a second.

    Raises
    ------
    OSError
        If there can't be another process.
    KeyboardInterrupt
        In the parent, when the child has ended without telling of it.
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
    """Bytes in a piece of common memory; what is half written is not there."""

    def __init__(self, memory: mmap.mmap, start: int, size: int) -> None:
        self._memory = memory
        self._start = start
        self._room = size - _HEAD.size

    def write(self, data: bytes) -> bool:
        """Write; False if there is no room for it."""
        if len(data) > self._room:
            return False
        body = self._start + _HEAD.size
        self._memory[body : body + len(data)] = data
        self._memory[self._start : body] = _HEAD.pack(len(data), zlib.crc32(data))
        return True

    def read(self) -> bytes:
        """Return what was written; nothing if nothing was, or if that is under way."""
        body = self._start + _HEAD.size
        length, checksum = _HEAD.unpack(self._memory[self._start : body])
        data = self._memory[body : body + min(length, self._room)]
        return data if zlib.crc32(data) == checksum else b""


class Teller(Protocol):
    """Is told how far a hunt is."""

    def phase(self, name: str) -> None:
        """Something else begins."""

    def count(self, calls: int) -> None:
        """So many calls were made."""


class _ChildLine:
    """What the child says to the parent."""

    def __init__(self) -> None:
        self._memory = memory = mmap.mmap(-1, _SIZE)
        self._phase = _Slot(memory, _CALLS.size, _PROGRESS_SIZE - _CALLS.size)
        self._outcome = _Slot(memory, _PROGRESS_SIZE, _SIZE - _PROGRESS_SIZE)
        self._parent = os.getpid()
        self._child = 0

    @contextmanager
    def telling(self) -> Iterator[None]:
        """In the child: let the parent know of an error, which the child's command line tells."""
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
        """In the child: say what the hunt does now."""
        self._say(self._phase, name.encode())

    def count(self, calls: int) -> None:
        """In the child: say how many calls there were. It leaves nothing that the hunt would count."""
        if os.getpid() == self._child:
            _CALLS.pack_into(self._memory, 0, calls)

    def give(self, report: LeakReport) -> None:
        """In the child: hand the report over, when all is written that the function has printed."""
        _flush()
        if not self._say(self._outcome, json.dumps(report.to_dict()).encode()):
            raise InvalidValueError(f"the report must fit into {_SIZE >> 20} MiB, and is larger")

    def _say(self, slot: _Slot, data: bytes) -> bool:
        """Write; not from a process that the function has forked, and that has come back."""
        return os.getpid() != self._child or slot.write(data)

    def how_far(self) -> HuntProgress:
        """In the parent: return how far the hunt was when last seen."""
        (calls,) = _CALLS.unpack_from(self._memory)
        return HuntProgress(self._phase.read().decode(), calls)

    def outcome(self) -> LeakReport | bytes:
        """In the parent: return the report, or `_TOLD`, or `_BROKEN` and why; nothing before that."""
        data = self._outcome.read()
        if not data.startswith(b"{"):
            return data
        try:
            return LeakReport.from_dict(codec.parse_json(data, "a report must be JSON"))
        except FormatError:  # the function has written into our memory
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
        """Wait until the child has ended; show the report when it is there."""
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
        """Return the report when it is there, or what there is when the child has ended."""
        while True:
            ended = self._has_ended()  # before the look at what it said, or its last word were missed
            outcome = self._line.outcome()
            if ended or outcome:
                return outcome
            watch(self._line.how_far())
            time.sleep(_LOOK_S)

    def _has_ended(self) -> bool:
        if self._status is None:
            try:
                pid, status = os.waitpid(self._pid, os.WNOHANG)
            except ChildProcessError:  # SIGCHLD is ignored: it has ended, and nobody knows how
                self._status = 0
            else:
                self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status is not None

    def _stop(self) -> None:
        """Let the child end by the Ctrl-C that it got from the terminal; or by ours, or else by force."""
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
    """Write what is in the buffers of Python's streams and of C's."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, a full disk, whatever the function has put there
            stream.flush()
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).fflush(None)


def _end_with(parent: int) -> None:
    """See to it that this process ends with its parent, however that ends."""
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it was too late for that
        os._exit(1)
