"""Find out which locks a call waits for: by itself, and behind other threads that make the same call.

A trace sees a lock only when a thread has to wait for it. So a team makes the call over and over, and with a
GIL its threads switch more often than usual: whatever lock they share, they meet at it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from gilprobe.auditing.traced_calls import calls_within, make_calls
from gilprobe.measuring import host, teams
from gilprobe.measuring.teams import ArmPlan, run_team
from gilprobe.model.audit_result import AuditedLock
from gilprobe.model.locks import WORK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gilprobe.measuring.measure import Settings
    from gilprobe.measuring.teams import TeamRun
    from gilprobe.model.locks import LockWait
    from gilprobe.report import Report

SWITCH_INTERVAL_S = 1e-4
"""Fifty times shorter than usual: some threads are switched while they have a lock."""

RUN_SHARE = 2
"""Length of a run, as a share of an arm of the speedups."""

LEAST_SHARE = 0.001
"""Of the threads' time: shorter waits are not told."""

MOST = 10
"""Locks that are told, those first that were waited for longest."""


def waited_locks(
    call: Callable[[], object], threads: Sequence[int], settings: Settings
) -> tuple[AuditedLock, ...] | None:
    """Return the locks that threads waited for in the call, alone and in the largest team.

    Parameters
    ----------
    call : callable
        The call.
    threads : sequence of int
        Sizes of team, rising; the first and the last are tried.
    settings : Settings
        How to measure.

    Returns
    -------
    tuple of AuditedLock or None
        By falling waits; None where locks can't be traced.
    """
    able = host.capabilities()
    if able.locks != "exact" or (able.gil_enabled and able.tracer != "exact"):
        return None
    calls = calls_within(call, settings.arm_ns // RUN_SHARE)
    found: dict[tuple[str, str], AuditedLock] = {}
    for size in sorted({threads[0], threads[-1]}):
        for lock in _made_at_once(call, size, calls):
            found.setdefault((lock.kind, lock.title), lock)  # what one alone waits for is told as that
    return tuple(sorted(found.values(), key=lambda lock: -lock.wait_share)[:MOST])


def _made_at_once(call: Callable[[], object], size: int, calls: int) -> Iterator[AuditedLock]:
    from gilprobe.tracing.tracer import trace

    with _switching(SWITCH_INTERVAL_S), trace(locks=True) as running:
        ran = run_team(ArmPlan("calls", size, partial(make_calls, call)), calls)
    yield from waited_in_calls(running.report(), ran)


@contextmanager
def _switching(interval_s: float) -> Iterator[None]:
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(min(usual_s, interval_s))
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


def waited_in_calls(report: Report, ran: TeamRun) -> Iterator[AuditedLock]:
    """Yield the locks that a traced team waited for in its calls, without waits for work."""
    members = {member.native_id for member in ran.members}
    life_ns = max(1, sum(member.end_ns - member.start_ns for member in ran.members))
    rows: dict[int, list[LockWait]] = defaultdict(list)
    for row in report.lock_waits or ():
        # Not what the team itself and its threads wait for, at their start and end.
        if row.waiter_id in members and row.waiter_filename not in {"", teams.__file__}:
            rows[row.lock].append(row)
    for index, own in rows.items():
        lock = (report.locks or ())[index]
        wait_ns = sum(row.wait_ns for row in own)
        if lock.kind == WORK or wait_ns < LEAST_SHARE * life_ns:
            continue
        most = max(own, key=lambda row: (bool(row.holder), row.wait_ns))
        yield AuditedLock(
            title=lock.title,
            kind=lock.kind,
            threads=len(members),
            wait_share=wait_ns / life_ns,
            wait_ns=round(wait_ns / max(1, ran.operations)),
            function=most.waiter_function,
            filename=most.waiter_filename,
            line=most.waiter_line,
            held_function=most.function if most.holder else "",
            held_filename=most.filename,
            held_line=most.line,
        )
