"""Run a test's call alone and in several threads at once, and judge what each thread gets done."""

from __future__ import annotations

import dataclasses
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.unittest import TestCaseFunction

from gilprobe.auditing.traced_calls import make_calls
from gilprobe.auditing.waited_locks import waited_in_calls
from gilprobe.measuring import host
from gilprobe.measuring.measure import MIN_ARM_NS, Settings, measure
from gilprobe.measuring.teams import ArmPlan, run_team
from gilprobe.model.confidence import ratio_interval
from gilprobe.render.shared.words import clipped, place, visible
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilprobe.measuring.measure import Measurement
    from gilprobe.measuring.teams import TeamRun
    from gilprobe.pytest_plugin.limits import ScalingLimit
    from gilprobe.report import Report

_REPEATS = 5
_REPEATS_AGAIN = 15
"""Samples of each side; more of them before a test fails."""

NO_WAITS = "they hardly waited for the GIL or a lock"
"""A cause: none."""

_OTHERS = ("other load", "steal")
"""Beginnings of doubts that other processes had the cores."""

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
        """Return whether the share is certainly less, with its whole interval, and not for want of cores."""
        return self.high < self.limit.at_least and not self.lack

    @property
    def lack(self) -> str:
        """Return the doubt that others had the cores, where the threads waited for nothing; else ``""``."""
        if self.cause != NO_WAITS:
            return ""
        return next((doubt for doubt in self.doubts if doubt.startswith(_OTHERS)), "")


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
    lack = f"; {found.lack}" if found.lack else ""
    return f"scales is not certain: {_told(found)}, at least {found.limit.at_least:g} is required{lack}"


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
    return cause(running.report(), ran)


def cause(report: Report, ran: TeamRun) -> str:
    """Return in words what the members of a traced team waited for: the GIL, or locks, or neither."""
    members = {member.native_id for member in ran.members}
    life_ns = max(1, sum(member.end_ns - member.start_ns for member in ran.members))
    of_gil = sum(one.wait_ns for one in report.threads if one.native_id in members) / life_ns
    locks = sorted(waited_in_calls(report, ran), key=lambda lock: -lock.wait_share)
    of_locks = sum(lock.wait_share for lock in locks)
    if max(of_gil, of_locks) < _WAITED_SHARE:
        return NO_WAITS
    if of_gil >= of_locks:
        site = max(report.sites, key=lambda site: site.caused_ns, default=None)
        where = "" if site is None else place(site.function, site.filename, site.line, site.callee)
        return f"they waited {of_gil:.0%} of their time for the GIL" + (
            f", most behind {where}" if where else ""
        )
    worst = locks[0]
    held = place(worst.held_function, worst.held_filename, worst.held_line)
    return (
        f"they waited {of_locks:.0%} of their time for locks, {worst.wait_share:.0%} for "
        f"{clipped(worst.title)} in {place(worst.function, worst.filename, worst.line)}"
    ) + (f", behind {held}" if held else "")
