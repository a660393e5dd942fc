"""Wake a process that waits to be attached to: a signal with a ticket, to one thread after the other.

See :func:`gilprobe.arm` and csrc/attach/gp_dormant.h. Nobody needs the right to trace it.
"""

from __future__ import annotations

import errno
import os
import re
import select
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gilprobe._native import attach as native
from gilprobe.attaching.target import ProcessGoneError, contents, refusal, user_of
from gilprobe.errors import TimeLimitError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKER = re.compile(r" /memfd:gilprobe-dormant-([0-9]{1,2})-([0-9]{1,3}(?:\.[0-9]{1,3}){2}) \(deleted\)\Z")
_SHORTEST_S, _LONGEST_S = 0.005, 0.25  # between two signals


@dataclass(frozen=True, slots=True)
class Armed:
    """A process that can be woken.

    Attributes
    ----------
    pid : int
        Its number.
    signal : int
        The signal.
    release : str
        Of its CPython, as in ``3.13.1``.
    """

    pid: int
    signal: int
    release: str


def armed(pid: int) -> Armed | None:
    """Return how a process can be woken; None if it can't, or may not be looked at."""
    with suppress(OSError):
        for line in contents(f"/proc/{pid}/maps").split("\n"):
            found = _MARKER.search(line)
            if found is not None and _has(pid, "SigCgt", int(found[1])):
                return Armed(pid, int(found[1]), found[2])
    return None


def _has(status: int | str, field: str, signal: int) -> bool:
    """Return whether a signal is in a set that the system tells of a process or a thread."""
    _, found, line = contents(f"/proc/{status}/status").partition(f"\n{field}:")
    return bool(found) and bool(int(line.split(maxsplit=1)[0], 16) >> (signal - 1) & 1)


def wake(target: Armed, number: int, listener: Any, process: int, until_s: float) -> int:
    """Send the signal until the process connects, or has ended; return the thread that got the last one.

    Raises
    ------
    InvalidValueError
        If it may not be sent.
    TimeLimitError
        If it does not connect in time.
    """
    pause_s = _SHORTEST_S
    while True:
        for thread in _threads(target):
            error = native.wake(target.pid, thread, target.signal, number)
            if error == errno.EPERM:
                raise refusal(target.pid, user_of(target.pid), os.strerror(error))
            if error == 0 and select.select([listener, process], [], [], pause_s)[0]:
                return thread
        if time.monotonic() > until_s:
            raise TimeLimitError(
                f"process {target.pid} was sent signal {target.signal}, and gave no sign of life in time: "
                "a thread of it may keep the GIL in C"
            )
        if not select.select([listener, process], [], [], pause_s)[0]:
            pause_s = min(2 * pause_s, _LONGEST_S)


def _threads(target: Armed) -> Iterator[int]:
    """Yield the threads that don't block the signal, the main one first."""
    try:
        found = sorted(map(int, os.listdir(f"/proc/{target.pid}/task")), key=lambda one: one != target.pid)  # noqa: PTH208
    except OSError:
        raise ProcessGoneError(f"process {target.pid} has ended") from None
    for thread in found:
        with suppress(OSError):  # it ended meanwhile
            if not _has(f"{target.pid}/task/{thread}", "SigBlk", target.signal):
                yield thread
