"""A page's data about waits for locks and for work, and about off time: plain data for :mod:`json`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from gilprobe.model.locks import WORK
from gilprobe.render.html.process.places import name
from gilprobe.render.html.process.threads import distribution
from gilprobe.render.shared.lock_words import longest_lock_waits, off_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.model.lock_ranking import LockRanking, RankedLock
    from gilprobe.model.off_times import OffTime
    from gilprobe.render.html.process.places import Places
    from gilprobe.render.html.process.threads import ThreadRows
    from gilprobe.render.shared.lock_words import LongestLockWait
    from gilprobe.report import Report

    _Behind = tuple[str, int, str, str, str, int]
    """Waiter, number of the lock, holder, and the holder's place."""

MOST_LOCKS = 500
"""Limit of rows of locks, and of rows of work."""

MOST_BEHIND = 1000
"""Limit of rows of who waited behind whom."""

MOST_LONGEST = 200

_PARTS = ("off_ns", "lock_ns", "spin_ns", "stopped_ns", "work_ns", "cpu_ns")


def described(
    report: Report, found: LockRanking, threads: ThreadRows, places: Places
) -> dict[str, Any] | None:
    """Return what a page shows of locks; None if they were not recorded."""
    if report.locks is None:
        return None
    behind = _behind(report)
    return {
        "waited_ns": found.waited_ns,
        "spun_ns": found.spun_ns,
        "work_ns": found.work_ns,
        "rows": [_lock(row, places) for row in found.locks[:MOST_LOCKS]],
        "work": [_lock(row, places) for row in found.work[:MOST_LOCKS]],
        "more": max(0, len(found.locks) - MOST_LOCKS),
        "more_ns": sum(row.lock.wait_ns for row in found.locks[MOST_LOCKS:]),
        "behind": [_told(report, *row, places) for row in behind[:MOST_BEHIND]],
        "more_behind": max(0, len(behind) - MOST_BEHIND),
        "longest": [_longest(wait, places) for wait in longest_lock_waits(report)[:MOST_LONGEST]],
        "off": _off(report, threads),
        "off_words": off_words(report),
    }


def _lock(row: RankedLock, places: Places) -> dict[str, Any]:
    return {
        "lock": name(row.lock.title),
        "kind": row.lock.kind,
        "spun_ns": row.lock.spun_ns,
        "wait": distribution([row.lock.wait]),
        "place": places.number(row.function, row.filename, row.line),
        "waiter": name(row.waiter),
        "waiters": row.waiters,
        "holder": name(row.holder),
        "holder_place": places.number(row.holder_function, row.holder_filename, row.holder_line),
        "holder_ns": row.holder_ns,
    }


def _behind(report: Report) -> list[tuple[_Behind, int]]:
    """Return who waited for which lock behind whom, longest first."""
    locks = report.locks or ()
    sums: Counter[_Behind] = Counter()
    for row in report.lock_waits or ():
        if locks[row.lock].kind != WORK:
            sums[row.waiter, row.lock, row.behind, row.function, row.filename, row.line] += row.wait_ns
    return sums.most_common()


def _told(report: Report, who: _Behind, wait_ns: int, places: Places) -> dict[str, Any]:
    waiter, index, holder, function, filename, line = who
    return {
        "waiter": name(waiter) or "?",
        "lock": name((report.locks or ())[index].title),
        "holder": name(holder),
        "place": places.number(function, filename, line),
        "wait_ns": wait_ns,
    }


def _longest(wait: LongestLockWait, places: Places) -> dict[str, Any]:
    row = wait.waiter
    return {
        "waiter": name(row.waiter) or "?",
        "place": places.number(row.function, row.filename, row.line),
        "lock": name(wait.lock.title),
        "longest_ns": row.longest_ns,
        "waits": row.waits,
        "wait_ns": row.wait_ns,
        "holder": name(wait.holder),
        "holder_place": places.number(wait.holder_function, wait.holder_filename, wait.holder_line),
    }


def _off(report: Report, threads: ThreadRows) -> list[dict[str, int]]:
    """Return how the threads of each row spent their off time, in the order of the rows."""
    times = dict(zip(map(id, report.threads), report.off_times(), strict=True))
    return [_summed([times[id(account)] for account in accounts]) for accounts in threads.accounts()]


def _summed(times: Sequence[OffTime]) -> dict[str, int]:
    parts = {part: sum(getattr(row, part) or 0 for row in times) for part in _PARTS}
    return parts | {"rest_ns": sum(row.blocked_ns for row in times)}
