"""Runs a test again: its fixtures are torn down and set up for each run, as pytest itself does it once."""

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
"""In the stash of a test as long as it is run again."""


_FIRST_WARM_UP = (500, 0.5)  # runs, and seconds at most
_WARM_UP = (50, 0.1)
_WARMED = pytest.StashKey[bool]()


class Again:
    """Runs a test that has been run, and is set up still; it is left like that.

    Attributes
    ----------
    empty : bool
        Run all but the test itself: its fixtures, and ``setUp`` and ``tearDown`` of unittest.
    failed : bool
        Whether the last run did not get to its end: what is torn down then may miss what a test does.
    """

    def __init__(self, item: pytest.Item) -> None:
        self.empty = False
        self.failed = False
        self.__wrapped__ = getattr(item, "obj", None)  # whose globals a hunt looks at
        self._item = item
        self._folder: Path | None = _funcargs(item).get("tmp_path")
        # What pytest collects of each phase, and what a test adds to itself.
        self._grown: list[tuple[list[Any], list[Any]]] = [
            (grown, list(grown)) for grown in (item._report_sections, item.user_properties, item.own_markers)
        ]

    def __call__(self, **_: object) -> None:
        """Tear down, set up, run; raise what any of these does. The test is set up afterwards in any case."""
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
        """Run twice; return by name the values of fixtures that are the same each time, of a wider scope."""
        self()
        before = dict(_funcargs(self._item))
        self()
        now = _funcargs(self._item)
        return {name: value for name, value in now.items() if value is before.get(name) is not None}

    def warm_up(self) -> None:
        """Run until the interpreter knows the ways that pytest goes: it keeps a few blocks for each."""
        runs, seconds = _WARM_UP if _WARMED in self._item.config.stash else _FIRST_WARM_UP
        self._item.config.stash[_WARMED] = True
        end = time.monotonic() + seconds
        while runs and time.monotonic() < end:
            self()
            runs -= 1

    def _tear_down(self) -> None:
        folder = _funcargs(self._item).get("tmp_path")
        try:
            # The next test is one with the same parents: whatever is set up for those stays.
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
    """Within the block the test can be run again, and nobody is told of it: no reports, no live log."""
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
    """Stand for an empty test; of a record for a log say that it is not wanted."""


def _funcargs(item: pytest.Item) -> dict[str, Any]:
    return getattr(item, "funcargs", None) or {}


def _forget(item: pytest.Item) -> None:
    """Drop what a test has of its last run, as plugins do that repeat tests."""
    if not isinstance(item, pytest.Function):
        return
    for definition in getattr(item._request, "_fixture_defs", {}).values():
        kept = definition._finalizers
        kept[:] = [one for one in kept if not _is_finished(one)]
    item._initrequest()
    # An instance of its own for each run; of what a plugin has put around the method there is only the one.
    fresh = isinstance(item, TestCaseFunction) or _plain(item.obj) == _plain(item._getobj())  # type: ignore[no-untyped-call]
    if fresh:
        item._obj = None
        item.__dict__.pop("_instance", None)


def _plain(method: Any) -> object:
    return getattr(method, "__func__", method)


def _is_finished(finalizer: object) -> bool:
    """Tell what finishes a fixture that is finished: the wider ones it needs keep that to their own end."""
    if not isinstance(finalizer, functools.partial):
        return False
    owner = getattr(finalizer.func, "__self__", None)
    return isinstance(owner, pytest.FixtureDef) and owner.cached_result is None
