"""What workers of a cluster have traced, as one report: for Dask and for Ray."""

from __future__ import annotations

import json
import math
import os
import threading
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gilprobe.errors import FormatError, InvalidTypeError, InvalidValueError
from gilprobe.model import codec
from gilprobe.model.traced_process import TracedProcess
from gilprobe.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gilprobe.model.merging import Merger
    from gilprobe.report import Stack

_MOST_ROWS = 2000
_MOST_BYTES = 1 << 28  # of one worker's report
_LONGEST_REASON = 400
_PINGS = 3


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """What the tasks of one name did on all workers.

    Attributes
    ----------
    name : str
        What these tasks have in common.
    hold_ns : int
        Holds of the GIL in these tasks, nanoseconds: shared out by looks.
    wait_ns : int
        Waits for the GIL that followed a release in these tasks, nanoseconds.
    caused_ns : int
        Waits of other threads for these tasks, nanoseconds: shared out by looks.
    looks : int
        Looks on which `hold_ns` and `caused_ns` rest; 0 if only the ends of holds tell.
    """

    name: str
    hold_ns: int
    wait_ns: int
    caused_ns: int
    looks: int

    @property
    def hold_s(self) -> float:
        """Holds of the GIL, seconds."""
        return self.hold_ns / 1e9

    @property
    def wait_s(self) -> float:
        """Waits for the GIL, seconds."""
        return self.wait_ns / 1e9

    @property
    def caused_s(self) -> float:
        """Waits of other threads, seconds."""
        return self.caused_ns / 1e9


def times_by_task(report: Report, name_of: Callable[[Stack], str | None]) -> list[tuple[str, list[int]]]:
    """Return the fields of :class:`TaskTimes`, those for which others waited longest first."""
    sums: dict[str, list[int]] = {}
    for stack in report.stacks:
        name = name_of(stack)
        if name is not None:
            row = sums.setdefault(name, [0, 0, 0, 0])
            for at, number in enumerate((stack.hold_ns, stack.wait_ns, stack.caused_ns, stack.looks)):
                row[at] += number
    return sorted(sums.items(), key=lambda named: (-named[1][2], -named[1][0], named[0]))


def check_seconds(seconds: float) -> None:
    """Check how long workers are to be traced.

    Raises
    ------
    InvalidTypeError, InvalidValueError
        If `seconds` is no positive, finite number.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidTypeError(f"seconds must be a number, got {seconds!r}")
    if not (math.isfinite(seconds) and 0 < seconds < threading.TIMEOUT_MAX):
        raise InvalidValueError(f"seconds must be > 0 and finite, got {seconds!r}")


def add_answer(merger: Merger, worker: str, answer: Any, source: str, command: str) -> None:
    """Add what a worker answered: an exception, or what :func:`answer_of` returned."""
    try:
        if isinstance(answer, BaseException):
            raise FormatError(f"{type(answer).__name__}: {answer}")
        if answer["reason"]:
            raise FormatError(answer["reason"])
        merger.add(
            TracedProcess(
                source=source,
                report=_unpacked(answer["report"]),
                pid=answer["pid"],
                argv=(command,),
                started_unix_ns=answer["started_unix_ns"],
                complete=answer["complete"],
                host=answer["host"],
            )
        )
    except (FormatError, InvalidValueError) as error:
        leave_out(merger, worker, str(error))


def leave_out(merger: Merger, worker: str, reason: str) -> None:
    """Say why a worker is not in the report."""
    merger.leave_out(f"worker {worker} is left out: {reason}"[:_LONGEST_REASON])


def finished(merger: Merger, clocks: Iterable[tuple[str, int, int]]) -> Report:
    """Return the report of all.

    Raises
    ------
    FormatError
        If there is no worker in it.
    """
    if not merger.processes:
        raise FormatError("; ".join(merger.first_left_out) or "there must be a worker to trace, got none")
    for host, offset_ns, error_ns in clocks:
        merger.set_clock(host, offset_ns, error_ns)
    return merger.finished()


def clocks(ask: Callable[[], Iterable[tuple[str, int]]]) -> Iterator[tuple[str, int, int]]:
    """Yield each host with its clock's offset from this one's, and the largest error, nanoseconds.

    `ask` returns what :func:`now` does for each worker: it reads its clock at some time between question and
    answer. The shortest of several pairs counts.
    """
    best: dict[str, tuple[int, int]] = {}
    for _ in range(_PINGS):
        asked_ns, asked = time.time_ns(), time.monotonic_ns()
        answers = list(ask())
        error_ns = (time.monotonic_ns() - asked) // 2
        for host, now_ns in answers:
            if host not in best or error_ns < best[host][1]:
                best[host] = now_ns - asked_ns - error_ns, error_ns
    for host, (offset_ns, error_ns) in best.items():
        yield host, offset_ns, error_ns


# What follows runs on workers.


def now() -> tuple[str, int]:
    """Return this host's name and time."""
    return os.uname().nodename, time.time_ns()


def answer_of(
    report: Report, *, pid: int, host: str, started_unix_ns: int, complete: bool = True
) -> dict[str, Any]:
    """Return a worker's answer; one that was not traced has only ``{"reason": "..."}``."""
    return {
        "reason": "",
        "report": zlib.compress(json.dumps(report.abridged(_MOST_ROWS).to_dict()).encode(), 1),
        "pid": pid,
        "host": host,
        "started_unix_ns": started_unix_ns,
        "complete": complete,
    }


def _unpacked(packed: bytes) -> Report:
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(packed, _MOST_BYTES)
    except zlib.error as error:
        raise FormatError(f"a worker's report must be compressed JSON: {error}") from None
    if not unpacking.eof:
        raise FormatError(f"a worker's report must have at most {_MOST_BYTES} bytes")
    return Report.from_dict(codec.parse_json(text, "a worker's report must be JSON"))
