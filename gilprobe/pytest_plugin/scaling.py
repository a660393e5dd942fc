"""Run a test's call alone and in several threads at once, and judge what each thread gets done."""

from __future__ import annotations

import dataclasses
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.unittest import TestCaseFunction

from gilprobe.auditing.traced_calls import make_calls
from gilprobe.durations import duration
from gilprobe.measuring import host
from gilprobe.measuring.measure import MIN_ARM_NS, Settings, measure
from gilprobe.measuring.teams import ArmPlan, run_team
from gilprobe.model.confidence import ratio_interval
from gilprobe.model.lock_places import waited_locks
from gilprobe.pytest_plugin.lock_limits import behind
from gilprobe.render.shared.words import clipped, place, share, visible
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilprobe.measuring.measure import Measurement
    from gilprobe.pytest_plugin.limits import ScalingLimit
    from gilprobe.report import Report

_REPEATS = 5
_REPEATS_AGAIN = 15
"""Samples of each side; more of them before a test fails."""

_WAITED_SHARE = 0.1
"""From this share of the threads' time on, waits are told as the cause."""


@dataclasses.dataclass(frozen=True, slots=True)
class Scaling:
    """What several threads got done, each as a share of what one alone does.

    Attributes
    ----------
    limit : ScalingLimit
        What is required.
    share, low, high : float
        Throughput of a thread over that of one alone, and its bootstrap 95 % interval.
    doubts : tuple of str
        Doubts of the measurement.
    cause : str
        What its threads waited for; empty if unknown, or if the test scales.
    """

    limit: ScalingLimit
    share: float
    low: float
    high: float
    doubts: tuple[str, ...] = ()
    cause: str = ""

    @property
    def is_enough(self) -> bool:
        """Return whether the share is what is required."""
        return self.share >= self.limit.at_least

    @property
    def is_too_little(self) -> bool:
        """Return whether the share is certainly less: with its whole interval."""
        return self.high < self.limit.at_least


def missing(limit: ScalingLimit) -> str:
    """Return why the limit can't be tested on this machine; ``""`` if it can."""
    cores = host.usable_cores()
    if limit.threads <= cores:
        return ""
    return f"scales: {limit.threads} threads need as many cores, {cores} can be used here"


def call_of(item: pytest.Item) -> Callable[[], object] | str:
    """Return the test's call with its fixtures, which are set up; or why it can't run in threads."""
    function: Any = getattr(item, "obj", None)
    if not isinstance(item, pytest.Function) or not callable(function):
        return "scales: only a test function can run in several threads"
    if inspect.iscoroutinefunction(function):
        return "scales: an asynchronous test can't run in several threads"
    if isinstance(item, TestCaseFunction):
        return partial(function)
    return partial(function, **{name: item.funcargs[name] for name in item._fixtureinfo.argnames})


def measured(call: Callable[[], object], limit: ScalingLimit, repeats: int) -> Measurement:
    """Measure the call alone and in threads, in turns."""
    plans = [ArmPlan("calls", size, partial(make_calls, call), unit="calls/s") for size in (1, limit.threads)]
    return measure(plans, Settings(repeat=repeats, arm_ns=MIN_ARM_NS, member_ns=0))


def scale(
    call: Callable[[], object],
    limit: ScalingLimit,
    take: Callable[[Callable[[], object], ScalingLimit, int], Measurement] = measured,
) -> Scaling:
    """Measure how a call scales; again and with more samples if that seems too little.

    Raises
    ------
    BaseException
        Whatever the call raises.
    """
    found = _judged(take(call, limit, _REPEATS), limit)
    if found.is_enough:
        return found
    measurement = take(call, limit, _REPEATS_AGAIN)
    found = _judged(measurement, limit)
    if not found.is_too_little:
        return found
    return dataclasses.replace(found, cause=_cause(call, limit, measurement.operations[-1]))


def _judged(measurement: Measurement, limit: ScalingLimit) -> Scaling:
    single, team = measurement.arms
    ratio, low, high = (number / limit.threads for number in ratio_interval(team, single))
    return Scaling(limit, ratio, low, high, measurement.warnings)


def faults(found: Scaling) -> Iterator[str]:
    """Yield why a test fails: what each thread got done, and what it waited for."""
    if not found.is_too_little:
        return
    cause = f"; {found.cause}" if found.cause else ""
    yield visible(f"scales: {_told(found)}, at least {found.limit.at_least:g} is required{cause}")
    yield from (visible(f"doubt: {doubt}") for doubt in found.doubts)


def uncertain(found: Scaling) -> str:
    """Return the doubt about a test that passes since it could be as fast as required; else ``""``."""
    if found.is_enough or found.is_too_little:
        return ""
    return f"scales is not certain: {_told(found)}, at least {found.limit.at_least:g} is required"


def _told(found: Scaling) -> str:
    return (
        f"each of {found.limit.threads} threads did {found.share:.2f} times as much as one alone "
        f"(95% interval {found.low:.2f} to {found.high:.2f})"
    )


def _cause(call: Callable[[], object], limit: ScalingLimit, calls: int) -> str:
    """Return what the threads waited for, from one more run under a trace."""
    able = host.capabilities()
    locks = able.locks == "exact"
    if able.tracer != "exact" and (able.gil_enabled or not locks):
        return ""
    plan = ArmPlan("calls", limit.threads, partial(make_calls, call))
    with trace(locks=locks) as running:
        ran = run_team(plan, calls)
    life_ns = sum(member.end_ns - member.start_ns for member in ran.members)
    return cause(running.report(), {member.native_id for member in ran.members}, life_ns)


def cause(report: Report, members: set[int], life_ns: int) -> str:
    """Return in words what the members of a team waited for: the GIL, or locks, or neither.

    Parameters
    ----------
    report : Report
        A trace of the team.
    members : set of int
        Native identifiers of its threads.
    life_ns : int
        Time of all of them, nanoseconds.
    """
    gil_ns = sum(account.wait_ns for account in report.threads if account.native_id in members)
    locks = waited_locks(report)
    locks_ns = sum(seen.lock.wait_ns for seen in locks)
    if max(gil_ns, locks_ns) < _WAITED_SHARE * life_ns:
        return "they hardly waited for the GIL or a lock"
    if gil_ns >= locks_ns:
        site = max(report.sites, key=lambda site: site.caused_ns, default=None)
        where = "" if site is None else place(site.function, site.filename, site.line, site.callee)
        return f"they waited {share(gil_ns, life_ns)} of their time for the GIL" + (
            f", most behind {where}" if where else ""
        )
    worst = locks[0]
    return (
        f"they waited {share(locks_ns, life_ns)} of their time for locks, "
        f"{duration(worst.lock.wait_s)} of it for {clipped(worst.lock.title)} "
        f"in {place(*worst.waited_in)}, {behind(worst)}"
    )
