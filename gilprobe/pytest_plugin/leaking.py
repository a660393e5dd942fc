"""Run passed tests repeatedly, and judge what they leave behind."""

from __future__ import annotations

import dataclasses
import math
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from gilprobe.errors import GilProbeError
from gilprobe.pytest_plugin.again import AGAIN, running_again
from gilprobe.pytest_plugin.limits import read_limits
from gilprobe.refs.leak_findings import is_rare
from gilprobe.refs.leak_hunt import hunt
from gilprobe.render.shared.words import visible

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from gilprobe.model.leak_report import LeakFinding, LeakReport
    from gilprobe.pytest_plugin.again import Again

NAME = "gilprobe-leaking"
"""The plugin's registered name."""

_RUNNING = pytest.StashKey[bool]()
_SPOILT = pytest.StashKey[bool]()  # the last teardown is of a run that failed

# Smaller amounts are noise, as in a hunt: of bytes of the heap, and of all else.
_LEAST_BYTES = 2.0
_LEAST = 0.02
_MEMORY = ("blocks", "heap", "interned", "total")
_LIMIT_S = 10.0  # a hunt; a leak takes three of these
_STEADY = 0.7  # share of the first hunt's amount that a second one must find, as in longer repetitions


@dataclasses.dataclass(frozen=True, slots=True)
class LeakVerdict:
    """The result of repeated runs of a test.

    Attributes
    ----------
    findings : tuple of LeakFinding
        Leaks of the test.
    by_fixtures : tuple of LeakFinding
        Leaks of its fixtures without the test.
    doubts : tuple of str
        What was too noisy to judge.
    unjudged : str
        Why it can't be judged; else ``""``.
    calls : int
        Number of runs.
    elapsed_s : float
        Duration, seconds.
    """

    findings: tuple[LeakFinding, ...] = ()
    by_fixtures: tuple[LeakFinding, ...] = ()
    doubts: tuple[str, ...] = ()
    unjudged: str = ""
    calls: int = 0
    elapsed_s: float = 0.0


class HuntedTests:
    """Judges every passed test, or only those with the marker."""

    def __init__(self, *, all_tests: bool) -> None:
        self._all = all_tests

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Remember that the test has not ended: its subtests have their own reports."""
        item.stash[_RUNNING] = True
        try:
            return (yield)
        finally:
            del item.stash[_RUNNING]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Hunt when a test has passed and is still set up; fail it if its marker forbids the findings."""
        if AGAIN in item.stash or _RUNNING in item.stash:
            return (yield)
        if call.when == "teardown" and item.stash.get(_SPOILT, False):
            call.excinfo = None
        # unittest's errors stay in the item until pytest's own hook takes them
        passed = call.when == "call" and call.excinfo is None and not getattr(item, "_excinfo", None)
        marked = item.get_closest_marker("no_leaks") is not None
        if not passed or not (self._all or marked):
            return (yield)
        verdict = _verdict(item)
        if marked and (lines := list(leaked(verdict))):
            failed = pytest.CallInfo[None].from_call(lambda: pytest.fail("\n".join(lines), False), "call")
            call.excinfo = failed.excinfo
        report = yield
        if self._all:
            report.gilprobe_leaks = told(verdict)  # type: ignore[attr-defined]  # reports carry other attributes along
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Replace the test where only its fixtures should run."""
        return True if AGAIN in pyfuncitem.stash and pyfuncitem.stash[AGAIN].empty else None


def _verdict(item: pytest.Item) -> LeakVerdict:
    try:
        return judge(item, read_limits(item).leaks or {})
    except (pytest.exit.Exception, KeyboardInterrupt):
        raise
    except GilProbeError as error:
        return LeakVerdict(unjudged=str(error))
    except BaseException as error:  # anything that ends a test: skip, timeout
        return LeakVerdict(unjudged=f"the test passed, but a repeated run raised {_error(error)}")


def judge(item: pytest.Item, options: dict[str, Any]) -> LeakVerdict:
    """Hunt for leaks of a test that are not those of its fixtures.

    Raises
    ------
    GilProbeError
        If the options can't be used.
    BaseException
        Whatever a repeated run raises, before the hunt begins.
    """
    options = {"limit_s": _LIMIT_S, **options}
    with running_again(item) as again, _spoiling(item, again):
        shared = again.shared()
        again.warm_up()
        found = _hunt_twice(again, shared, options)
        if found.raised:
            unjudged = (
                f"the test passed, but {found.raised} of {found.calls} repeated runs raised {found.exception}"
            )
            return LeakVerdict(found.findings, (), _doubts(found), unjudged, found.calls, found.elapsed_s)
        if not found.leaking:
            return LeakVerdict((), (), _doubts(found), "", found.calls, found.elapsed_s)
        fixtures = _of_fixtures(again, shared, options)
        verdict = _compared(found, fixtures)
        if verdict.findings and fixtures is not None:  # as often as the test itself
            verdict = _compared(found, _both(fixtures, _of_fixtures(again, shared, options)))
        return verdict


def _doubts(report: LeakReport) -> tuple[str, ...]:
    return report.warnings if report.uncertain is None else (*report.warnings, report.uncertain)


@contextmanager
def _spoiling(item: pytest.Item, again: Again) -> Iterator[None]:
    try:
        yield
    finally:
        item.stash[_SPOILT] = again.failed


def _hunt_twice(again: Again, shared: dict[str, object], options: dict[str, Any]) -> LeakReport:
    """Hunt, and again if something grows: the interpreter's caches for new code stop growing."""
    first = _certain(hunt(again, kwargs=shared, thorough=False, **options))
    if not first.leaking:
        return first
    second = _certain(hunt(again, kwargs=shared, thorough=False, **options))
    rates = {one.what: one.per_call for one in first.findings}
    findings = tuple(
        one for one in second.findings if one.per_call / rates.get(one.what, math.inf) >= _STEADY
    )
    return dataclasses.replace(
        second,
        leaking=bool(findings),
        findings=findings,
        calls=first.calls + second.calls,
        raised=first.raised + second.raised,
        exception=first.exception or second.exception,
        elapsed_s=first.elapsed_s + second.elapsed_s,
    )


def _certain(report: LeakReport) -> LeakReport:
    """Take out memory that few runs left when the time was up: the interpreter's caches fill up like that."""
    if report.uncertain is None:
        return report
    findings = tuple(
        one for one in report.findings if not (one.kind in _MEMORY and is_rare(one.kind, one.per_call))
    )
    return dataclasses.replace(report, leaking=bool(findings), findings=findings)


def _of_fixtures(again: Again, shared: dict[str, object], options: dict[str, Any]) -> LeakReport | None:
    """Hunt without the test itself; None if a fixture needs what the test does."""
    again.empty = True
    try:
        again()
        found = hunt(again, kwargs=shared, thorough=False, **options)
    except Exception:  # a fixture checks what the test did
        return None
    finally:
        again.empty = False
        with suppress(Exception):  # from a teardown without the test
            again()
    return None if found.raised else found


def _both(first: LeakReport, second: LeakReport | None) -> LeakReport:
    """Merge two hunts without the test: the larger of two amounts counts for the fixtures."""
    if second is None:
        return first
    most: dict[str, LeakFinding] = {}
    for one in (*first.findings, *second.findings):
        if one.what not in most or abs(one.per_call) > abs(most[one.what].per_call):
            most[one.what] = one
    return dataclasses.replace(
        first,
        findings=tuple(most.values()),
        calls=first.calls + second.calls,
        elapsed_s=first.elapsed_s + second.elapsed_s,
    )


def _compared(found: LeakReport, fixtures: LeakReport | None) -> LeakVerdict:
    if fixtures is None:
        doubt = "leaks of its fixtures are included: they can't run without the test"
        return LeakVerdict(found.findings, (), (*_doubts(found), doubt), "", found.calls, found.elapsed_s)
    theirs = {one.what: one for one in fixtures.findings}
    return LeakVerdict(
        tuple(own for one in found.findings if (own := _own_part(one, theirs.get(one.what))) is not None),
        fixtures.findings,
        _doubts(found),
        "",
        found.calls + fixtures.calls,
        found.elapsed_s + fixtures.elapsed_s,
    )


def _own_part(whole: LeakFinding, fixtures: LeakFinding | None) -> LeakFinding | None:
    """Return a finding without the fixtures' part; None if nothing certain is left."""
    if fixtures is None:
        return whole
    low, high = whole.low - fixtures.high, whole.high - fixtures.low
    least = _LEAST_BYTES if whole.kind == "heap" else _LEAST
    if whole.kind in _MEMORY:  # which varies from hunt to hunt
        least = max(least, (1 - _STEADY) * abs(fixtures.per_call))
    if not (low >= least if whole.per_call > 0 else high <= -least):
        return None
    return dataclasses.replace(
        whole,
        per_call=whole.per_call - fixtures.per_call,
        low=low,
        high=high,
        evidence=(*whole.evidence, f"its fixtures leave another {fixtures.per_call:+.3g} a run"),
    )


def leaked(verdict: LeakVerdict) -> Iterator[str]:
    """Yield a line for each leak of a marked test, and one if it can't be judged."""
    if verdict.unjudged:
        yield visible(f"no_leaks: {verdict.unjudged}")
    for finding in verdict.findings:
        why = "".join(f"; {sentence}" for sentence in finding.evidence)
        yield visible(f"no_leaks: {finding.what}: {finding.per_call:+.3g} a run{why}")


def told(verdict: LeakVerdict) -> dict[str, Any]:
    """Return a verdict in plain types: pytest-xdist sends it to its controller."""
    return {
        "findings": [[one.what, one.per_call, _holder(one)] for one in verdict.findings],
        "by_fixtures": [[one.what, one.per_call, _holder(one)] for one in verdict.by_fixtures],
        "doubts": list(verdict.doubts),
        "unjudged": verdict.unjudged,
        "calls": verdict.calls,
        "elapsed_s": verdict.elapsed_s,
    }


def _holder(finding: LeakFinding) -> str:
    """Return the sentence of the evidence that says who holds the objects."""
    return finding.evidence[1] if len(finding.evidence) > 1 else ""


def _error(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # its __str__ may raise anything
        message = "(its message can't be shown)"
    return f"{type(error).__name__}: {message[:200]}"
