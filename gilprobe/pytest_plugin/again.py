"""Run a test again, with its fixtures torn down and set up for each run."""

from __future__ import annotations

import functools
import shutil
import time
import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.unittest import TestCaseFunction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AGAIN = pytest.StashKey["Again"]()
"""In the stash of a test while it is run again."""


_FIRST_WARM_UP = (500, 0.5)  # limits: runs, seconds
_WARM_UP = (50, 0.1)
_WARMED = pytest.StashKey[bool]()


class Again:
    """Runs a test again that has run and is still set up; it is left set up.

    Attributes
    ----------
    empty : bool
        Run everything except the test itself: its fixtures, and unittest's ``setUp`` and ``tearDown``.
    failed : bool
        Whether the last run failed: its teardown may then miss what the test does.
    """

    def __init__(self, item: pytest.Item) -> None:
        self.empty = False
        self.failed = False
        self.__wrapped__ = getattr(item, "obj", None)  # a hunt examines its globals
        self._item = item
        self._folder: Path | None = _funcargs(item).get("tmp_path")
        # What pytest collects per phase, and what a test adds to itself.
        self._grown: list[tuple[list[Any], list[Any]]] = [
            (grown, list(grown)) for grown in (item._report_sections, item.user_properties, item.own_markers)
        ]

    def __call__(self, **_: object) -> None:
        """Tear down, set up, run; raise their errors. The test is set up afterwards in any case."""
        self.failed = True
        with warnings.catch_warnings(record=True), ExitStack() as stack:
            stack.callback(self._clear)
            try:
                self._tear_down()
            finally:
                self._phase("setup")
            if self.empty and isinstance(self._item, TestCaseFunction):
                self._item.obj = _nothing
            self._phase("call")
        self.failed = self.empty

    def _clear(self) -> None:
        for grown, before in self._grown:
            grown[:] = before

    def shared(self) -> dict[str, object]:
        """Run twice; return by name the values of fixtures that stay the same, those of a wider scope."""
        self()
        before = dict(_funcargs(self._item))
        self()
        now = _funcargs(self._item)
        return {name: value for name, value in now.items() if value is before.get(name) is not None}

    def warm_up(self) -> None:
        """Run until the interpreter's caches for pytest's own code stop growing."""
        runs, seconds = _WARM_UP if _WARMED in self._item.config.stash else _FIRST_WARM_UP
        self._item.config.stash[_WARMED] = True
        end = time.monotonic() + seconds
        while runs and time.monotonic() < end:
            self()
            runs -= 1

    def _tear_down(self) -> None:
        folder = _funcargs(self._item).get("tmp_path")
        try:
            # As if the next test had the same parents: their fixtures stay set up.
            self._phase("teardown", nextitem=self._item.parent)
        finally:
            _forget(self._item)
            if folder is not None and folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)

    def _phase(self, when: Any, **options: Any) -> None:
        hook = getattr(self._item.ihook, f"pytest_runtest_{when}")
        call = pytest.CallInfo.from_call(
            lambda: hook(item=self._item, **options), when, (pytest.exit.Exception, KeyboardInterrupt)
        )
        self._item.ihook.pytest_runtest_makereport(item=self._item, call=call)
        if call.excinfo is not None:
            raise call.excinfo.value


@contextmanager
def running_again(item: pytest.Item) -> Iterator[Again]:
    """Within the block the test can be run again without reports or live log."""
    hooks: Any = item.config.hook
    report, logging = hooks.pytest_runtest_logreport, item.config.pluginmanager.get_plugin("logging-plugin")
    handlers = [getattr(logging, name, None) for name in ("log_cli_handler", "log_file_handler")]
    with ExitStack() as stack:
        item.stash[AGAIN] = again = Again(item)
        stack.callback(item.stash.__delitem__, AGAIN)
        hooks.pytest_runtest_logreport = lambda **_: []  # of subtests
        stack.callback(setattr, hooks, "pytest_runtest_logreport", report)
        for handler in filter(None, handlers):
            handler.addFilter(_nothing)
            stack.callback(handler.removeFilter, _nothing)
        yield again


def _nothing(*_: object) -> None:
    """Stand for an empty test, and for a filter that refuses log records."""


def _funcargs(item: pytest.Item) -> dict[str, Any]:
    return getattr(item, "funcargs", None) or {}


def _forget(item: pytest.Item) -> None:
    """Drop a test's data from its last run, as plugins do that repeat tests."""
    if not isinstance(item, pytest.Function):
        return
    for definition in getattr(item._request, "_fixture_defs", {}).values():
        kept = definition._finalizers
        kept[:] = [one for one in kept if not _is_finished(one)]
    item._initrequest()
    # A new instance per run; a plugin's wrapper around the method is kept.
    fresh = isinstance(item, TestCaseFunction) or _plain(item.obj) == _plain(item._getobj())  # type: ignore[no-untyped-call]
    if fresh:
        item._obj = None
        item.__dict__.pop("_instance", None)


def _plain(method: Any) -> object:
    return getattr(method, "__func__", method)


def _is_finished(finalizer: object) -> bool:
    """Remove a finished fixture's finalizer from wider fixtures, which would keep it until their own end."""
    if not isinstance(finalizer, functools.partial):
        return False
    owner = getattr(finalizer.func, "__self__", None)
    return isinstance(owner, pytest.FixtureDef) and owner.cached_result is None
