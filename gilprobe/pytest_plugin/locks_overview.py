"""The output of ``--locks``: a column beside each test with ``-v``, and a summary at the end."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from gilprobe.durations import duration
from gilprobe.measuring.host import capabilities
from gilprobe.render.shared.words import place, plural, short_paths, visible

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

_LEAST_WAIT_NS = 100_000
"""Shorter waits in a test, or for a lock, are not shown: starting threads causes some as well."""


class LocksRow(NamedTuple):
    """One test and its trace's numbers: see :func:`gilprobe.pytest_plugin.lock_limits.summary`."""

    test: str
    locks: Mapping[str, Any]


class _Sum:
    """One lock in all tests."""

    def __init__(self) -> None:
        self.wait_ns = self.longest_ns = self.waits = 0
        self.tests: set[str] = set()

    def add(self, test: str, row: Mapping[str, Any]) -> None:
        self.wait_ns += row["wait_ns"]
        self.waits += row["waits"]
        self.longest_ns = max(self.longest_ns, row["longest_ns"])
        self.tests.add(test)


class LocksOverview:
    """Collects the tests' numbers, from this process or those of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._top: int = config.getoption("--locks-top")
        self._rows: list[LocksRow] = []

    def pytest_report_header(self) -> str:
        """Say that locks are traced, or why not."""
        here = capabilities()
        reason = here.tracer_reason if here.gil_enabled and here.tracer != "exact" else here.locks_reason
        return (
            f"gilprobe: no locks are traced: {reason}" if reason else "gilprobe: traces locks in every test"
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the data that came with a test's report."""
        locks = getattr(report, "gilprobe_locks", None)
        if locks is not None:
            self._rows.append(LocksRow(report.nodeid, locks))

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport, config: pytest.Config
    ) -> Generator[None, Any, Any]:
        """Add the column to the word that ``-v`` shows."""
        status = yield
        locks = getattr(report, "gilprobe_locks", None)
        if locks is None or config.get_verbosity() < 1 or not status:
            return status
        category, letter, word = status
        column = f"  for locks {duration(locks['wait_ns'] / 1e9)} "
        return category, letter, word + column if isinstance(word, str) else (word[0] + column, word[1])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show in which tests threads waited for locks, and for which."""
        if not self._rows:
            return
        terminalreporter.section("locks")
        for line in self._lines():
            terminalreporter.write_line(visible(line))

    def _lines(self) -> Iterator[str]:
        elapsed, wait, work = (
            sum(seen.locks[name] for seen in self._rows) / 1e9
            for name in ("elapsed_ns", "wait_ns", "work_ns")
        )
        yield (
            f"{plural(len(self._rows), 'test')} traced for {duration(elapsed)}: threads waited "
            f"{duration(wait)} for locks, {duration(work)} for work"
        )
        yield from self._tests()
        yield from self._locks()
        for doubt in sorted({doubt for seen in self._rows for doubt in seen.locks["warnings"]}):
            yield f"doubt: {doubt}"

    def _tests(self) -> Iterator[str]:
        rows = [seen for seen in self._rows if seen.locks["wait_ns"] >= _LEAST_WAIT_NS]
        rows.sort(key=lambda seen: seen.locks["wait_ns"], reverse=True)
        if not rows:
            return
        yield from self._head("Tests in which threads waited for locks, and for which most", len(rows))
        yield f"{'wait':>8}  {'longest':>8}  test"
        for seen in rows[: self._top]:
            times = f"{_shown(seen.locks['wait_ns'])}  {_shown(seen.locks['longest_ns'])}"
            yield f"{times}  {seen.test}  [{seen.locks['locks'][0]['title']}]"

    def _locks(self) -> Iterator[str]:
        sums: dict[tuple[str, tuple[Any, ...]], _Sum] = defaultdict(_Sum)
        for seen in self._rows:
            for row in seen.locks["locks"]:
                sums[row["title"], tuple(row["waited_in"])].add(seen.test, row)
        ranked = [pair for pair in sums.items() if pair[1].wait_ns >= _LEAST_WAIT_NS]
        ranked.sort(key=lambda pair: pair[1].wait_ns, reverse=True)
        if not ranked:
            return
        short = short_paths(waited_in[1] for (_, waited_in), _ in ranked if waited_in[1])
        yield from self._head("Locks that threads waited for, and where most", len(ranked))
        yield f"{'wait':>8}  {'longest':>8}  {'waits':>8}  {'tests':>5}  lock"
        for (title, (function, filename, line)), lock in ranked[: self._top]:
            times = (
                f"{_shown(lock.wait_ns)}  {_shown(lock.longest_ns)}  {lock.waits:>8}  {len(lock.tests):>5}"
            )
            yield f"{times}  {title}  [{place(function, short.get(filename, ''), line)}]"

    def _head(self, title: str, rows: int) -> Iterator[str]:
        yield ""
        yield title + (f" (the first {self._top} of {rows})" if rows > self._top else "")


def _shown(ns: int) -> str:
    return f"{duration(ns / 1e9):>8}"
