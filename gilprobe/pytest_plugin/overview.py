"""The output of ``--gil``: a column beside each test with ``-v``, and a summary at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from gilprobe.durations import duration
from gilprobe.measuring.host import capabilities
from gilprobe.render.shared.words import place, plural, share, short_paths, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

_LEAST_WAIT_NS = 1_000_000
"""Shorter waits in a test are not shown: starting and joining a thread causes some as well."""


class OverviewRow(NamedTuple):
    """One test and its trace's numbers."""

    test: str
    gil: Mapping[str, Any]


class Overview:
    """Collects the tests' numbers, from this process or those of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._rows: list[OverviewRow] = []

    def pytest_report_header(self) -> str:
        """Say that tests are traced, or why not."""
        here = capabilities()
        if here.tracer == "exact":
            return "gilprobe: traces the GIL in every test"
        return f"gilprobe: no test is traced: {here.tracer_reason}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the data that came with a test's report."""
        gil = getattr(report, "gilprobe", None)
        if gil is not None:
            self._rows.append(OverviewRow(report.nodeid, gil))

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport, config: pytest.Config
    ) -> Generator[None, Any, Any]:
        """Add the column to the word that ``-v`` shows."""
        status = yield
        gil = getattr(report, "gilprobe", None)
        if gil is None or config.get_verbosity() < 1 or not status:
            return status
        category, letter, word = status
        column = f"  hold {duration(gil['hold_ns'] / 1e9)}, wait {duration(gil['wait_ns'] / 1e9)} "
        return category, letter, word + column if isinstance(word, str) else (word[0] + column, word[1])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show which tests held the GIL longest, and which made threads wait."""
        if not self._rows:
            return
        terminalreporter.section("GIL")
        for line in self._lines():
            terminalreporter.write_line(line)

    def _lines(self) -> Iterator[str]:
        elapsed, hold, wait = (
            sum(seen.gil[name] for seen in self._rows) / 1e9 for name in ("elapsed_ns", "hold_ns", "wait_ns")
        )
        yield (
            f"{plural(len(self._rows), 'test')} traced for {duration(elapsed)}: GIL held"
            f" {share(hold, elapsed)} of it, threads waited for {duration(wait)}"
        )
        yield from self._table(
            "Tests in which threads waited for the GIL, and behind what",
            ("wait", "hold"),
            lambda gil: gil["wait_ns"],
            _LEAST_WAIT_NS,
        )
        yield from self._table(
            "Tests that held the GIL longest", ("hold", "longest"), lambda gil: gil["hold_ns"], 1
        )
        for doubt in sorted({doubt for seen in self._rows for doubt in seen.gil["warnings"]}):
            yield visible(f"doubt: {doubt}")

    def _table(
        self, title: str, columns: tuple[str, ...], key: Callable[[Mapping[str, Any]], int], least: int
    ) -> Iterator[str]:
        rows = [seen for seen in self._rows if key(seen.gil) >= least]
        rows.sort(key=lambda seen: key(seen.gil), reverse=True)
        if not rows:
            return
        top = self._config.getoption("--gil-top")
        yield ""
        yield title + (f" (the first {top} of {len(rows)})" if len(rows) > top else "")
        yield "  ".join(f"{column:>8}" for column in columns) + "  test"
        for seen in rows[:top]:
            times = "  ".join(f"{duration(seen.gil[f'{column}_ns'] / 1e9):>8}" for column in columns)
            yield f"{times}  {visible(seen.test)}{visible(self._place(seen))}"

    def _place(self, seen: OverviewRow) -> str:
        """Return where the GIL was held, with as much of the path as makes it unique."""
        if seen.gil["site"] is None:
            return ""
        function, filename, line, callee = seen.gil["site"]
        short = short_paths(other.gil["site"][1] for other in self._rows if other.gil["site"])
        return f"  [{place(function, short[filename], line, callee)}]"
