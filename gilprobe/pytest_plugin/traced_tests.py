"""Trace the calls of tests, run them in threads, and fail those that exceed the limits of their markers."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from _pytest.unittest import TestCaseFunction

from gilprobe.errors import GilProbeError
from gilprobe.measuring.host import capabilities
from gilprobe.pytest_plugin import lock_limits, scaling
from gilprobe.pytest_plugin.again import AGAIN
from gilprobe.pytest_plugin.asking import ASKER, asking
from gilprobe.pytest_plugin.limits import Limits, broken, read_limits
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from gilprobe.pytest_plugin.scaling import Scaling
    from gilprobe.report import Report
    from gilprobe.tracing.tracer import Trace

NAME = "gilprobe-watching"
"""The plugin's registered name."""

_SEEN = pytest.StashKey[dict[str, Any]]()
_SEEN_LOCKS = pytest.StashKey[dict[str, Any]]()


class _Traced(NamedTuple):
    """What a test's trace records, if anything."""

    gil: bool
    locks: bool


class TracedTests:
    """Traces every test, or only those with markers, and runs those in threads that must scale.

    Parameters
    ----------
    gil, locks : bool
        Whether to trace the GIL, and locks, in every test.
    """

    def __init__(self, *, gil: bool, locks: bool) -> None:
        self._gil, self._locks = gil, locks
        here = capabilities()
        self._has_gil = here.gil_enabled
        self._gil_traceable = here.tracer == "exact"
        # Without a GIL nothing is held: the limits are kept, and there is nothing to warn about.
        self._doubt = "" if self._gil_traceable or not here.gil_enabled else here.tracer_reason
        self._lock_doubt = self._doubt or here.locks_reason

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
        self._warn(limits)
        if limits.scaling is not None and (lack := scaling.missing(limits.scaling)):
            pytest.skip(lack)
        wanted = self._wanted(limits)
        if not any(wanted) and limits.scaling is None:
            return (yield)
        traced = _TracedTest(item, limits, wanted)
        with traced.around():
            yield
        if faults := list(traced.faults()):
            pytest.fail("\n".join(faults), pytrace=False)

    def _warn(self, limits: Limits) -> None:
        if limits.of_gil and self._doubt:
            warnings.warn(pytest.PytestWarning(f"GIL limits can't be checked: {self._doubt}"), stacklevel=1)
        if limits.lock_wait_s is not None and self._lock_doubt:
            text = f"limits of locks can't be checked: {self._lock_doubt}"
            warnings.warn(pytest.PytestWarning(text), stacklevel=1)

    def _wanted(self, limits: Limits) -> _Traced:
        return _Traced(
            gil=self._gil_traceable and (self._gil or limits.of_gil),
            locks=not self._lock_doubt and (self._locks or limits.lock_wait_s is not None),
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the numbers to the test's report, which pytest-xdist sends to its controller."""
        report = yield
        if call.when == "call" and _SEEN in item.stash:
            report.gilprobe = item.stash[_SEEN]  # type: ignore[attr-defined]  # reports carry other attributes along
        if call.when == "call" and _SEEN_LOCKS in item.stash:
            report.gilprobe_locks = item.stash[_SEEN_LOCKS]  # type: ignore[attr-defined]
        return report


def _limits(item: pytest.Item) -> Limits | str:
    """Return the markers' limits, or what is wrong with a marker."""
    try:
        return read_limits(item)
    except GilProbeError as error:
        return str(error)


class _TracedTest:
    """One test: its trace, and how it scales."""

    def __init__(self, item: pytest.Item, limits: Limits, wanted: _Traced) -> None:
        self._item = item
        self._limits = limits
        self._wanted = wanted
        # Now, since a method of unittest is replaced while it runs.
        self._call = "" if limits.scaling is None else scaling.call_of(item)
        self._has_run = False
        self._trace: Trace | None = None
        self._scaling: Scaling | str | None = None

    @contextmanager
    def around(self) -> Iterator[None]:
        """Trace the test in the block, and keep the overview's numbers, however it ends."""
        item = self._item
        try:
            with _within_method(item, self._once) if isinstance(item, TestCaseFunction) else self._once():
                yield
        finally:
            if self._trace is not None:
                report = _of_test(self._trace.report(), item)
                if self._wanted.gil:
                    item.stash[_SEEN] = summary(report)
                if self._wanted.locks:
                    item.stash[_SEEN_LOCKS] = lock_limits.summary(report)

    @contextmanager
    def _once(self) -> Iterator[None]:
        if self._has_run:  # called again by plugins that rerun failures
            yield
            return
        self._has_run = True
        if any(self._wanted):
            self._trace = trace(locks=self._wanted.locks)
            with asking(self._limits.hold_s), self._trace:
                yield
        else:
            yield
        if self._limits.scaling is not None:  # after the trace, which would cost each thread
            self._scaling = self._call if isinstance(self._call, str) else _scale(self._call, self._limits)

    def faults(self) -> Iterator[str]:
        """Yield a line for each limit that the test exceeded."""
        if not self._has_run:
            if self._limits.of_call and not getattr(self._item, "_excinfo", None):
                yield "limits can't be checked: the test's class does not call its method by name"
            return
        if self._trace is not None:
            report = _of_test(self._trace.report(), self._item)
            yield from broken(self._limits, report)
            if self._limits.lock_wait_s is not None:
                yield from lock_limits.waited_too_long(report, self._limits.lock_wait_s)
        if isinstance(self._scaling, str):
            yield self._scaling
        elif self._scaling is not None:
            yield from scaling.faults(self._scaling)
            if doubt := scaling.uncertain(self._scaling):
                warnings.warn(pytest.PytestWarning(doubt), stacklevel=1)


def _scale(call: Callable[[], object], limits: Limits) -> Scaling | str:
    """Return how a passed test scales, or what a further run of it raised."""
    if limits.scaling is None:
        return ""
    try:
        return scaling.scale(call, limits.scaling)
    except (pytest.exit.Exception, KeyboardInterrupt):
        raise
    except BaseException as error:  # anything that ends a test
        text = " ".join(str(error).split())
        return f"scales: the test passed, but a run in threads raised {type(error).__name__}: {text[:200]}"


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
