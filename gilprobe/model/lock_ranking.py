"""Rank what threads waited for beside the GIL: each lock, where it was waited for most, and behind whom."""

from __future__ import annotations

from collections import defaultdict

from gilprobe.model.locks import WORK, Lock, LockWait, LockWaiter
from gilprobe.model.plain_data import dataclass
from gilprobe.report import OTHERS

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TypeVar

    from gilprobe.report import Report

    _Key = TypeVar("_Key")
    _Row = TypeVar("_Row", LockWait, LockWaiter)

_NOWHERE = ("", "", 0)


@dataclass(frozen=True, slots=True)
class RankedLock:
    """A lock with what it is most about.

    Attributes
    ----------
    index : int
        Index in the report's `locks`.
    lock : Lock
        That one.
    share : float
        Its waits as a share of those for all locks; of work, for all work.
    waiter : str
        The thread that waited for it longest.
    waiters : int
        Number of threads that waited for it.
    function, filename, line : str, str, int
        Where it was waited for longest; empty and 0 if not known.
    holder, holder_function, holder_filename, holder_line : str, str, str, int
        The thread behind which, and the place of whose release for which, threads waited longest; empty and 0
        if nobody was seen.
    holder_ns : int
        Their waits behind that thread and place, nanoseconds.
    """

    index: int
    lock: Lock
    share: float
    waiter: str
    waiters: int
    function: str
    filename: str
    line: int
    holder: str
    holder_function: str
    holder_filename: str
    holder_line: int
    holder_ns: int


@dataclass(frozen=True, slots=True)
class LockRanking:
    """What threads waited for beside the GIL.

    Attributes
    ----------
    locks, work : tuple of RankedLock
        Locks, and work that is no lock of another thread; what was waited for longest first.
    waiters : int
        Number of threads that waited for a lock.
    waited_ns, spun_ns, work_ns : int
        Waits for locks, the part of these in which threads did not sleep, waits for work; nanoseconds.
    """

    locks: tuple[RankedLock, ...]
    work: tuple[RankedLock, ...]
    waiters: int
    waited_ns: int
    spun_ns: int
    work_ns: int


def rank_locks(report: Report) -> LockRanking:
    """Rank the locks of a report."""
    locks = report.locks or ()
    sums = {True: 0, False: 0}
    for lock in locks:
        sums[lock.kind == WORK] += lock.wait_ns
    places = [defaultdict[tuple[str, str, int], int](int) for _ in locks]
    waiters = [defaultdict[tuple[str, int], int](int) for _ in locks]
    holders = [defaultdict[tuple[str, str, str, int], int](int) for _ in locks]
    for row in report.lock_waits or ():
        waiters[row.lock][row.waiter, row.waiter_id] += row.wait_ns
        if row.waiter_function != OTHERS:
            places[row.lock][row.waiter_function, row.waiter_filename, row.waiter_line] += row.wait_ns
        if row.holder and row.function != OTHERS:
            holders[row.lock][row.behind, row.function, row.filename, row.line] += row.wait_ns
    ranked = []
    for index, lock in enumerate(locks):
        whole = sums[lock.kind == WORK]
        function, filename, line = _most(places[index], _NOWHERE)
        holder, holder_function, holder_filename, holder_line = _most(holders[index], ("", *_NOWHERE))
        ranked.append(
            RankedLock(
                index=index,
                lock=lock,
                share=lock.wait_ns / whole if whole else 0.0,
                waiter=_most(waiters[index], ("", 0))[0],
                waiters=len(waiters[index]),
                function=function,
                filename=filename,
                line=line,
                holder=holder,
                holder_function=holder_function,
                holder_filename=holder_filename,
                holder_line=holder_line,
                holder_ns=max(holders[index].values(), default=0),
            )
        )
    ranked.sort(key=lambda row: -row.lock.wait_ns)
    contended = [row for row in ranked if row.lock.kind != WORK]
    return LockRanking(
        locks=tuple(contended),
        work=tuple(row for row in ranked if row.lock.kind == WORK),
        waiters=len(set().union(*(waiters[row.index] for row in contended))),
        waited_ns=sums[False],
        spun_ns=sum(row.lock.spun_ns for row in contended),
        work_ns=sums[True],
    )


def _most(sums: Mapping[_Key, int], otherwise: _Key) -> _Key:
    return max(sums, key=sums.__getitem__, default=otherwise)


def verdict(report: Report, rows: int) -> dict[str, Any]:
    """Return the sums and the first rows of the locks, ready for :mod:`json`."""
    found = rank_locks(report)
    return {
        "waited_ns": found.waited_ns,
        "spun_ns": found.spun_ns,
        "work_ns": found.work_ns,
        "threads": found.waiters,
        "rows": [_told(row) for row in found.locks[:rows]],
    }


_OF_LOCK = ("kind", "type", "name", "owner", "waits", "wait_ns", "spun_ns")
_OF_ROW = (
    *("share", "waiter", "waiters", "function", "filename", "line"),
    *("holder", "holder_function", "holder_filename", "holder_line", "holder_ns"),
)


def _told(row: RankedLock) -> dict[str, Any]:
    return {
        "lock": row.lock.title,
        **{name: getattr(row.lock, name) for name in _OF_LOCK},
        "longest_ns": row.lock.wait.max_ns,
        **{name: getattr(row, name) for name in _OF_ROW},
    }


def abridged(report: Report, rows: int) -> Report:
    """Return a report with at most `rows` rows of waits for locks, and of their waiters.

    The other rows of each waiter and lock become one, so that the rows of a lock still add up.
    """
    waits, waiters = report.lock_waits or (), report.lock_waiters or ()
    if len(waits) <= rows and len(waiters) <= rows:
        return report
    from dataclasses import replace

    behind = [
        LockWait(*key, OTHERS, "", 0, OTHERS, 0, OTHERS, "", 0, sum(row.wait_ns for row in same))
        for key, same in _by_waiter(waits[rows:]).items()
    ]
    there = [
        LockWaiter(
            *key,
            OTHERS,
            "",
            0,
            sum(row.waits for row in same),
            sum(row.wait_ns for row in same),
            max(row.longest_ns for row in same),
            sum(row.spun_ns for row in same),
        )
        for key, same in _by_waiter(waiters[rows:]).items()
    ]
    return replace(
        report,
        lock_waits=tuple(sorted((*waits[:rows], *behind), key=lambda row: -row.wait_ns)),
        lock_waiters=tuple(sorted((*waiters[:rows], *there), key=lambda row: -row.wait_ns)),
    )


def _by_waiter(rows: Sequence[_Row]) -> dict[tuple[int, str, int], list[_Row]]:
    found: dict[tuple[int, str, int], list[_Row]] = defaultdict(list)
    for row in rows:
        found[row.lock, row.waiter, row.waiter_id].append(row)
    return found
