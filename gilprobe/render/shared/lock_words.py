"""Waits for locks as all renderers tell them: the longest ones, and what off time is."""

from __future__ import annotations

import heapq
from collections import defaultdict

from gilprobe.model.locks import WORK, Lock, LockWaiter
from gilprobe.model.plain_data import dataclass
from gilprobe.report import OTHERS

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from gilprobe.model.timeline import TimelineLockWait
    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.report import Report

    _Waiter = tuple[int, str, int, str, str, int]
    """Lock, thread with its native identifier, and place."""

    _Holder = tuple[str, str, str, int]
    """Thread and place."""

OFF_TITLE = "Where off time went"

_LONG = 0.01
"""Share of the longest wait; one that is shorter is not told beside it."""

_NO_HOLDERS: dict[_Holder, int] = {}


@dataclass(frozen=True, slots=True)
class LongestLockWait:
    """The longest wait of one thread at one place for one lock.

    Attributes
    ----------
    lock : Lock
        What it waited for.
    waiter : LockWaiter
        The thread, the place, and all its waits there.
    holder, holder_function, holder_filename, holder_line : str, str, str, int
        The thread and place behind which it waited there longest, in all its waits; empty and 0 if nobody was
        seen.
    """

    lock: Lock
    waiter: LockWaiter
    holder: str
    holder_function: str
    holder_filename: str
    holder_line: int


def longest_lock_waits(report: Report) -> list[LongestLockWait]:
    """Return the longest waits for locks, one for each lock, thread and place, without very short ones."""
    locks = report.locks or ()
    behind: dict[_Waiter, dict[_Holder, int]] = defaultdict(lambda: defaultdict(int))
    for wait in report.lock_waits or ():
        if wait.holder and wait.function != OTHERS:
            place = wait.waiter_function, wait.waiter_filename, wait.waiter_line
            holder = wait.behind, wait.function, wait.filename, wait.line
            behind[wait.lock, wait.waiter, wait.waiter_id, *place][holder] += wait.wait_ns
    rows = [
        row
        for row in report.lock_waiters or ()
        if locks[row.lock].kind != WORK and row.function != OTHERS and row.longest_ns
    ]
    rows.sort(key=lambda row: -row.longest_ns)
    found = []
    for row in rows:
        if row.longest_ns < _LONG * rows[0].longest_ns:
            break
        holders = behind.get(
            (row.lock, row.waiter, row.waiter_id, row.function, row.filename, row.line), _NO_HOLDERS
        )
        most = max(holders, key=holders.__getitem__, default=("", "", "", 0))
        found.append(LongestLockWait(locks[row.lock], row, *most))
    return found


def longest_single_waits(process: TracedProcess, number: int) -> list[TimelineLockWait]:
    """Return the longest single waits for locks, longest first; none if they were not recorded."""
    if process.timeline is None:
        return []
    waits = (wait for wait in process.timeline.lock_waits() if wait.kind != WORK)
    return heapq.nlargest(number, waits, key=lambda wait: wait.duration_ns)


def off_words(report: Report) -> str:
    """Return what the rest of off time is."""
    parted = any(row.cpu_ns is not None for row in report.off_times())
    if report.environment.gil_enabled:
        ran, told = "native code ran", ""
    else:
        ran, told = "it ran", "Without a GIL a thread is off all the time. "
    if parted:
        return f"{told}On a CPU: {ran}. The rest: the thread was blocked in the system, or waited for a core."
    return f"{told}The rest: {ran}, or the thread was blocked in the system."
