"""Attach to the programs that a process starts by exec, each as it appears.

Nothing is changed in the process for that: its environment is not safe to change while its threads run. A
child that has not called exec is left alone. One of ``vfork`` shares its parent's memory; one of ``os.fork``
records itself (:mod:`gilprobe.attaching.children`).
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gilprobe.attaching.target import NotPythonError, ProcessGoneError, contents, look_at
from gilprobe.errors import GilProbeError
from gilprobe.programs.follow import UNINTERESTING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilprobe.attaching.recording import AttachedRecording

_POLL_S = 0.05
_STARTS_S = 5.0  # until an interpreter is loaded
_END_S = 60.0  # an attachment that has just begun, and the end of its recording
_STACK = 25  # its place behind the name in /proc/PID/stat: proc(5), startstack
_MOST = 10_000  # processes below one

_Program = tuple[int, int]  # a process, and where its stack begins: exec makes a new one, at random


class Programs:
    """Records the programs below a process until its end: a context manager.

    Parameters
    ----------
    pid : int
        The process. Programs that run already are not recorded.
    make : callable
        Returns the recording of a process, not begun.
    tell : callable
        Called with each that records itself.
    complain : callable
        Called with a line about each that can't be recorded.
    """

    def __init__(
        self,
        pid: int,
        make: Callable[[int], AttachedRecording],
        tell: Callable[[int], object],
        complain: Callable[[str], object],
    ) -> None:
        self._pid, self._make, self._tell, self._complain = pid, make, tell, complain
        self._done = set(_programs(pid))
        self._first_s: dict[_Program, float] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._recordings: list[AttachedRecording] = []
        self._threads: list[threading.Thread] = []
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Programs:
        self._watcher.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End the recordings; those that do not end in time end when they can."""
        self._ending.set()
        self._watcher.join()
        with self._lock:
            for recording in self._recordings:
                recording.stop()
        until_s = time.monotonic() + _END_S
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _watch(self) -> None:
        while not self._ending.wait(_POLL_S):
            found = set(_programs(self._pid))
            self._done &= found
            self._first_s = {one: first_s for one, first_s in self._first_s.items() if one in found}
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            for program in found - self._done:
                if self._is_known(program):
                    self._done.add(program)

    def _is_known(self, program: _Program) -> bool:
        """Begin to record a program if it is a Python; return whether there is nothing to wait for."""
        pid, _ = program
        try:
            look_at(pid)
            arguments = contents(f"/proc/{pid}/cmdline")
        except (ProcessGoneError, OSError):
            return True
        except GilProbeError as error:  # or not all of it is loaded yet
            first_s = self._first_s.setdefault(program, time.monotonic())
            if time.monotonic() - first_s < _STARTS_S:
                return False
            if not isinstance(error, NotPythonError):
                self._complain(f"not recorded: {error}")
            return True
        if UNINTERESTING not in arguments:
            self._threads.append(threading.Thread(target=self._record, args=program, daemon=True))
            self._threads[-1].start()
        return True

    def _record(self, pid: int, stack: int) -> None:
        try:
            with self._make(pid) as recording:
                with self._lock:
                    if self._ending.is_set():
                        return
                    self._recordings.append(recording)
                try:
                    recording.begin(lambda _keeper: None)
                    self._tell(pid)
                    recording.wait()
                finally:
                    with self._lock:
                        self._recordings.remove(recording)
        except (GilProbeError, OSError) as error:
            if _stack(pid) == stack:  # else it has ended
                self._complain(f"process {pid}, a child: {error}")


def _programs(pid: int) -> Iterator[_Program]:
    """Yield what runs below a process and has been started by exec."""
    below = [(pid, _stack(pid))]
    for parent, stack in below:
        for child in _children(parent):
            program = child, _stack(child)
            if len(below) < _MOST:
                below.append(program)
            if program[1] not in (0, stack):
                yield program


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):  # it ends
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with suppress(OSError):
                found += map(int, contents(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _stack(pid: int) -> int:
    """Return where a process's stack begins; 0: it has ended, or may not be looked at."""
    with suppress(OSError, IndexError):
        return int(contents(f"/proc/{pid}/stat").rpartition(")")[2].split()[_STACK])
    return 0
