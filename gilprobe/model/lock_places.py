"""Of each lock that threads waited for: who waited most, where, and behind whom. Plain data."""

from __future__ import annotations

from collections import defaultdict

from gilprobe.model.locks import WORK, Lock
from gilprobe.model.plain_data import dataclass

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gilprobe.model.locks import LockWait
    from gilprobe.report import Report

Place = tuple[str, str, int]
"""Function, file and line."""


@dataclass(frozen=True, slots=True)
class WaitedLock:
    """A lock that threads waited for, and the thread that waited most for it.

    Attributes
    ----------
    lock : Lock
        The lock.
    waiter, holder : str
        The thread that waited most, and the one behind which it did; empty if nobody was seen.
    waited_in, held_in : (str, str, int)
        Function, file and line where it waited, and where the other released the lock.
    """

    lock: Lock
    waiter: str
    waited_in: Place
    holder: str
    held_in: Place


def waited_locks(report: Report) -> tuple[WaitedLock, ...]:
    """Return the locks that threads waited for, without waits for work, by falling waits."""
    rows: dict[int, list[LockWait]] = defaultdict(list)
    for row in report.lock_waits or ():
        rows[row.lock].append(row)
    locks = [(index, lock) for index, lock in enumerate(report.locks or ()) if lock.kind != WORK]
    locks.sort(key=lambda pair: -pair[1].wait_ns)
    return tuple(_with_places(lock, rows[index]) for index, lock in locks if lock.waits)


def _with_places(lock: Lock, rows: list[LockWait]) -> WaitedLock:
    most = _most(rows, _waiter)
    behind = (row for row in rows if row.holder and _waiter(row) == most)
    holder, _, held_in = _most(behind, _holder)
    waiter, _, waited_in = most
    return WaitedLock(lock, waiter, waited_in, holder, held_in)


def _waiter(row: LockWait) -> tuple[str, int, Place]:
    return row.waiter, row.waiter_id, (row.waiter_function, row.waiter_filename, row.waiter_line)


def _holder(row: LockWait) -> tuple[str, int, Place]:
    return row.holder, row.holder_id, (row.function, row.filename, row.line)


def _most(
    rows: Iterable[LockWait], key: Callable[[LockWait], tuple[str, int, Place]]
) -> tuple[str, int, Place]:
    sums: dict[tuple[str, int, Place], int] = defaultdict(int)
    for row in rows:
        sums[key(row)] += row.wait_ns
    return max(sums, key=lambda who: sums[who], default=("", 0, ("", "", 0)))
