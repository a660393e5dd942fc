"""Traces the calls of tests, and fails those that break the limits of their markers."""

from __future__ import annotations

import dataclasses
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gilprobe.errors import GilProbeError
from gilprobe.machine import capabilities
from gilprobe.pytest_plugin.asking import ASKER, asking
from gilprobe.pytest_plugin.limits import Limits, broken, leaked, read_limits
from gilprobe.tracer import trace

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from gilprobe.report import Report
    from gilprobe.tracer import Trace

NAME = "gilprobe-watching"
"""As which the plugin is registered."""

_SEEN = pytest.StashKey[dict[str, Any]]()


class Watching:
    """Traces every test, or only those whose markers ask for it."""

    def __init__(self, *, all_tests: bool) -> None:
        self._all = all_tests
        here = capabilities()
        self._traceable = here.tracer == "exact"
        # Without a GIL all is released and nothing held: the limits hold, and there is nothing to warn of.
        self._doubt = "" if self._traceable or not here.gil_enabled else here.tracer_reason

    @pytest.hookimpl(
        wrapper=True, trylast=True
    )  # the innermost: what pytest does around a test is not the test's
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Run the test under a trace, then judge it."""
        try:
            limits = read_limits(item)
        except GilProbeError as error:
            pytest.fail(str(error), pytrace=False)
        if limits.traced and self._doubt:
            warnings.warn(pytest.PytestWarning(f"GIL limits can't be checked: {self._doubt}"), stacklevel=1)
        if self._traceable and (self._all or limits.traced):
            with _seen(item, limits) as t:
                yield
            faults = [*broken(limits, _of_test(t.report(), item))]
        else:
            yield
            faults = []
        if limits.leaks is not None:
            faults += _leaks(item, limits.leaks)
        if faults:
            pytest.fail("\n".join(faults), pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Hand what was seen on with the report of the test, which pytest-xdist carries to its controller."""
        report = yield
        if call.when == "call" and _SEEN in item.stash:
            report.gilprobe = item.stash[_SEEN]  # type: ignore[attr-defined]  # other attributes travel along
        return report


@contextmanager
def _seen(item: pytest.Item, limits: Limits) -> Iterator[Trace]:
    """Trace the block, and keep what the overview shows, however it ends."""
    t = trace()
    try:
        with asking(limits.hold_s), t:
            yield t
    finally:
        item.stash[_SEEN] = summary(_of_test(t.report(), item))


def _of_test(report: Report, item: pytest.Item) -> Report:
    """Return the report with the holds that lasted until the end of the trace named after the test.

    A hold counts for the place at which it ended, and a test whose GIL nobody asks for keeps it to its end.
    """
    path, line, name = item.reportinfo()
    number = (line or 0) + 1
    sites = (
        dataclasses.replace(site, function=name, filename=str(path), line=number)
        if site.filename == __file__
        else site
        for site in report.sites
    )
    return dataclasses.replace(report, sites=tuple(sites))


def summary(report: Report) -> dict[str, Any]:
    """Return what the overview shows of a test, in types that any serializer knows; nanoseconds."""
    threads = [account for account in report.threads if account.name != ASKER]
    worst = max(report.sites, key=lambda site: (site.caused_ns, site.hold_ns), default=None)
    return {
        "elapsed_ns": report.elapsed_ns,
        "hold_ns": sum(account.hold_ns for account in threads),
        "wait_ns": sum(account.wait_ns for account in threads),
        "longest_ns": max((account.hold.max_ns for account in threads if account.hold.count), default=0),
        "site": None if worst is None else [worst.function, worst.filename, worst.line],
        "warnings": list(report.warnings),
    }


def _leaks(item: pytest.Item, options: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each thing that calls of the test function leave behind."""
    from _pytest.unittest import TestCaseFunction

    from gilprobe.refs import find_leaks

    if not isinstance(item, pytest.Function) or isinstance(item, TestCaseFunction):
        yield "no_leaks: must mark a test function, not a test of another kind"
        return
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
    try:
        found = find_leaks(item.obj, kwargs=arguments, **options)
    except GilProbeError as error:
        yield f"no_leaks: {error}"
        return
    yield from leaked(found)
