"""How a trace of locks is judged by a test's marker, and what the overview needs of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilprobe.durations import duration
from gilprobe.model.lock_places import waited_locks
from gilprobe.model.locks import WORK
from gilprobe.render.shared.words import clipped, place, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.model.lock_places import WaitedLock
    from gilprobe.report import Report

_MOST_LOCKS = 20
"""Locks of one test that its report carries: with pytest-xdist it is sent to another process."""


def waited_too_long(report: Report, limit_s: float) -> Iterator[str]:
    """Yield a line for each lock that a thread waited longer for at a time, the longest wait first."""
    broken = [seen for seen in waited_locks(report) if seen.lock.wait.max_s > limit_s]
    for seen in sorted(broken, key=lambda seen: -seen.lock.wait.max_ns):
        yield visible(
            f"max_lock_wait: a thread waited {duration(seen.lock.wait.max_s)} at a time for "
            f"{clipped(seen.lock.title)}, at most {duration(limit_s)} is allowed; most waited {seen.waiter} "
            f"in {place(*seen.waited_in)}, {behind(seen)}"
        )


def behind(seen: WaitedLock) -> str:
    """Return who had the lock, and where it was released."""
    return f"behind {seen.holder} in {place(*seen.held_in)}" if seen.holder else "behind nobody that was seen"


def summary(report: Report) -> dict[str, Any]:
    """Return a test's numbers for the overview, nanoseconds, in plain types."""
    locks = waited_locks(report)
    work_ns = sum(lock.wait_ns for lock in report.locks or () if lock.kind == WORK)
    return {
        "elapsed_ns": report.elapsed_ns,
        "wait_ns": sum(seen.lock.wait_ns for seen in locks),
        "longest_ns": max((seen.lock.wait.max_ns for seen in locks), default=0),
        "work_ns": work_ns,
        "locks": [_row(seen) for seen in locks[:_MOST_LOCKS]],
        "warnings": list(report.warnings),
    }


def _row(seen: WaitedLock) -> dict[str, Any]:
    return {
        "title": clipped(seen.lock.title),
        "wait_ns": seen.lock.wait_ns,
        "longest_ns": seen.lock.wait.max_ns,
        "waits": seen.lock.waits,
        "waited_in": list(seen.waited_in),
    }
