"""Trace the calls of tests, and fail those that exceed the limits of their markers."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.unittest import TestCaseFunction

from gilprobe.errors import GilProbeError
from gilprobe.measuring.host import capabilities
from gilprobe.pytest_plugin.again import AGAIN
from gilprobe.pytest_plugin.asking import ASKER, asking
from gilprobe.pytest_plugin.limits import Limits, broken, read_limits
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from gilprobe.report import Report
    from gilprobe.tracing.tracer import Trace

NAME = "gilprobe-watching"
"""The plugin's registered name."""

_SEEN = pytest.StashKey[dict[str, Any]]()


class TracedTests:
    """Traces every test, or only those with markers."""

    def __init__(self, *, all_tests: bool) -> None:
        self._all = all_tests
        here = capabilities()
        self._traceable = here.tracer == "exact"
        # Without a GIL nothing is held: the limits are kept, and there is nothing to warn about.
        self._doubt = "" if self._traceable or not here.gil_enabled else here.tracer_reason

    @pytest.hookimpl(
        wrapper=True, trylast=True
    )  # the innermost: pytest's own work around a test does not count
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Run the test under a trace, then judge it."""
        if AGAIN in item.stash:
            return (yield)
        limits = _limits(item)
        if isinstance(limits, str):
            pytest.fail(limits, pytrace=False)
        if limits.traced and self._doubt:
            warnings.warn(pytest.PytestWarning(f"GIL limits can't be checked: {self._doubt}"), stacklevel=1)
        if not self._traceable or not (self._all or limits.traced):
            return (yield)
        traced = _TracedTest(item, limits)
        with traced.around():
            yield
        if faults := list(traced.faults()):
            pytest.fail("\n".join(faults), pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the numbers to the test's report, which pytest-xdist sends to its controller."""
        report = yield
        if call.when == "call" and _SEEN in item.stash:
            report.gilprobe = item.stash[_SEEN]  # type: ignore[attr-defined]  # reports carry other attributes along
        return report


def _limits(item: pytest.Item) -> Limits | str:
    """Return the markers' limits, or what is wrong with a marker."""
    try:
        return read_limits(item)
    except GilProbeError as error:
        return str(error)


class _TracedTest:
    """One test and its trace."""

    def __init__(self, item: pytest.Item, limits: Limits) -> None:
        self._item = item
        self._limits = limits
        self._trace: Trace | None = None

    @contextmanager
    def around(self) -> Iterator[None]:
        """Trace the test in the block, and keep the overview's numbers, however it ends."""
        item = self._item
        try:
            with _within_method(item, self._once) if isinstance(item, TestCaseFunction) else self._once():
                yield
        finally:
            if self._trace is not None:
                item.stash[_SEEN] = summary(_of_test(self._trace.report(), item))

    @contextmanager
    def _once(self) -> Iterator[None]:
        if self._trace is not None:  # called again by plugins that rerun failures
            yield
            return
        self._trace = trace()
        with asking(self._limits.hold_s), self._trace:
            yield

    def faults(self) -> Iterator[str]:
        """Yield a line for each limit that the test exceeded."""
        if self._trace is not None:
            yield from broken(self._limits, _of_test(self._trace.report(), self._item))
        elif self._limits.traced and not getattr(self._item, "_excinfo", None):
            yield "GIL limits can't be checked: the test's class does not call its method by name"


@contextmanager
def _within_method(
    item: TestCaseFunction, context: Callable[[], AbstractContextManager[None]]
) -> Iterator[None]:
    """Within the block a unittest method runs in the context, without ``setUp`` and the like.

    The class calls these together with the method, which it looks up in the instance by name.
    """
    method: Any = item.obj
    instance: Any = item.instance
    with ExitStack() as end:

        @functools.wraps(method)
        def call(*args: object, **options: object) -> object:
            with ExitStack() as stack:
                stack.enter_context(context())
                result = method(*args, **options)
                if result is not None:  # Twisted's Deferred: the test continues
                    end.push(stack.pop_all())
            return result

        @functools.wraps(method)
        async def wait(*args: object, **options: object) -> object:
            with context():
                return await method(*args, **options)

        item.obj = wait if inspect.iscoroutinefunction(method) else call
        setattr(instance, item.name, item.obj)
        try:
            yield
        finally:
            item.obj = method
            vars(instance).pop(item.name, None)


def _of_test(report: Report, item: pytest.Item) -> Report:
    """Return the report, with holds up to the end of the trace named after the test.

    A hold counts for the place where it ended; without requests a test holds the GIL to its end.
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
    """Return a test's numbers for the overview, nanoseconds, in plain types."""
    threads = [account for account in report.threads if account.name != ASKER]
    worst = max(report.sites, key=lambda site: (site.caused_ns, site.hold_ns), default=None)
    return {
        "elapsed_ns": report.elapsed_ns,
        "hold_ns": sum(account.hold_ns for account in threads),
        "wait_ns": sum(account.wait_ns for account in threads),
        "longest_ns": max((account.hold.max_ns for account in threads if account.hold.count), default=0),
        "site": None if worst is None else [worst.function, worst.filename, worst.line, worst.callee],
        "warnings": list(report.warnings),
    }
