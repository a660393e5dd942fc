"""The weights of a profile, and its stacks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gilprobe.model.locks import WORK
from gilprobe.render.shared.wait_summary import traces_gil
from gilprobe.report import Frame, Stack

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilprobe.model.traced_process import TracedProcess
    from gilprobe.report import Report, Site

Weight = Literal["hold", "wait", "caused", "lock"]

WEIGHTS: dict[Weight, str] = {
    "hold": "GIL held",
    "wait": "waiting for the GIL",
    "caused": "waits caused in other threads",
    "lock": "waiting for locks",
}
"""The weights of stacks, and their names."""


@dataclass(frozen=True, slots=True)
class LockStack:
    """Where threads waited for a lock: the stack, or only the place, and below it the lock.

    Attributes
    ----------
    frames : tuple of Frame
        All of these.
    lock_ns : int
        The waits, nanoseconds.
    """

    frames: tuple[Frame, ...]
    lock_ns: int


def knows(report: Report, weight: Weight) -> bool:
    """Return whether a report has what a weight is about."""
    return weight != "lock" or report.locks is not None


def default_weight(reports: Iterable[Report]) -> Weight:
    """Return what a profile is to show if nobody asked: holds; waits for locks where no GIL was traced."""
    without = [not traces_gil(report) for report in reports]
    return "lock" if without and all(without) else "hold"


def stacks_of(process: TracedProcess) -> Sequence[Stack | LockStack]:
    """Return the stacks of a process; without stacks, its sites as stacks of one frame and a callee.

    Those of waits for locks follow, each with its lock as a level below: whole if the single waits were
    recorded, otherwise only their places.
    """
    report = process.report
    locks = _recorded_lock_stacks(process) or _lock_stacks(report)
    return [*(report.stacks or _stacks_of_sites(report.sites)), *locks]


def _recorded_lock_stacks(process: TracedProcess) -> list[LockStack]:
    """Return the stacks of the single waits; none if they are not all there."""
    if process.timeline is None or process.timeline.dropped:
        return []
    sums: dict[tuple[tuple[Frame, ...], str], int] = defaultdict(int)
    for wait in process.timeline.lock_waits():
        if wait.kind != WORK:
            sums[wait.stack, wait.lock] += wait.duration_ns
    return [LockStack((*stack, Frame(lock, "", 0)), wait_ns) for (stack, lock), wait_ns in sums.items()]


def _stacks_of_sites(sites: Iterable[Site]) -> list[Stack]:
    return [
        Stack(levels_of(site), site.releases, site.hold_ns, site.wait_ns, site.caused_ns, looks=site.looks)
        for site in sites
    ]


def _lock_stacks(report: Report) -> list[LockStack]:
    locks = report.locks or ()
    sums: dict[tuple[str, str, int, str], int] = defaultdict(int)
    for row in report.lock_waiters or ():
        if locks[row.lock].kind != WORK:
            sums[row.function, row.filename, row.line, locks[row.lock].title] += row.wait_ns
    return [
        LockStack((Frame(function, filename, line), Frame(title, "", 0)), wait_ns)
        for (function, filename, line, title), wait_ns in sums.items()
    ]


def levels_of(site: Site) -> tuple[Frame, ...]:
    """Return a site's frame, and its callee below as a level of its own."""
    frame = Frame(site.function, site.filename, site.line)
    return (frame, Frame(site.callee, "", 0)) if site.callee else (frame,)


def weight_ns(stack: Stack | LockStack, weight: Weight) -> int:
    """Return a stack's nanoseconds by `weight`."""
    if isinstance(stack, LockStack):
        return stack.lock_ns if weight == "lock" else 0
    return {"hold": stack.hold_ns, "wait": stack.wait_ns, "caused": stack.caused_ns, "lock": 0}[weight]
