"""The summary of ``--leaks``: the tests that leak, and those that could not be judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gilprobe.durations import duration
from gilprobe.render.shared.words import clipped, plural, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

_MOST_FINDINGS = 3
"""Findings shown per test; the rest is counted."""


class LeaksRow(NamedTuple):
    """One test and its verdict: see :func:`gilprobe.pytest_plugin.leaking.told`."""

    test: str
    leaks: Mapping[str, Any]


class LeaksOverview:
    """Collects the verdicts, from this process or those of pytest-xdist."""

    def __init__(self) -> None:
        self._rows: list[LeaksRow] = []
        self._others: set[str] = set()

    def pytest_report_header(self) -> str:
        """Say that the run takes longer."""
        return "gilprobe: runs every passed test repeatedly, to find leaks"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the data that came with a test's report."""
        leaks = getattr(report, "gilprobe_leaks", None)
        if leaks is not None:
            self._rows.append(LeaksRow(report.nodeid, leaks))
        elif report.when != "teardown" and not report.passed:
            self._others.add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the tests that leak, and the uncertain ones."""
        terminalreporter.section("leaks")
        for line in self._lines():
            terminalreporter.write_line(visible(line))

    def _lines(self) -> Iterator[str]:
        yield self._verdict()
        yield from self._table("Leaks", "findings")
        doubts = [(doubt, one.test) for one in self._rows for doubt in one.leaks["doubts"]]
        yield from _reasons("Not certain", doubts)
        unjudged = [(one.leaks["unjudged"], one.test) for one in self._rows if one.leaks["unjudged"]]
        yield from _reasons("Not judged", unjudged)
        yield from self._table("Left by fixtures, and not counted", "by_fixtures")

    def _verdict(self) -> str:
        judged = [one.leaks for one in self._rows if not one.leaks["unjudged"]]
        runs, spent = (sum(one.leaks[name] for one in self._rows) for name in ("calls", "elapsed_s"))
        leaking = sum(bool(one.leaks["findings"]) for one in self._rows)
        parts = [
            f"{plural(len(judged), 'test')} judged by {plural(runs, 'run')} in {duration(spent)}",
            f"{leaking or 'none'} {'leak' if leaking > 1 else 'leaks'}",
        ]
        unjudged = len(self._rows) - len(judged)
        parts += [f"{unjudged} not judged"] if unjudged else []
        others = len(
            self._others.difference(one.test for one in self._rows)
        )  # a subtest of a judged test may fail
        parts += [f"{others} did not pass"] if others else []
        return f"{parts[0]}: {', '.join(parts[1:])}"

    def _table(self, title: str, key: str) -> Iterator[str]:
        rows = [(one.test, one.leaks[key]) for one in self._rows if one.leaks[key]]
        if not rows:
            return
        yield ""
        yield f"{title}, a run"
        for test, findings in rows:
            yield clipped(test)
            for what, per_call, holder in findings[:_MOST_FINDINGS]:
                yield f"{per_call:>+10.3g}  {clipped(what)}{f': {clipped(holder)}' if holder else ''}"
            if len(findings) > _MOST_FINDINGS:
                yield f"{'':>10}  and {len(findings) - _MOST_FINDINGS} more"


def _reasons(title: str, told: list[tuple[str, str]]) -> Iterator[str]:
    """Yield each reason once, with its tests below it."""
    if told:
        yield ""
        yield title
    tests: dict[str, list[str]] = {}
    for reason, test in told:
        tests.setdefault(reason, []).append(test)
    for reason, those in tests.items():
        yield clipped(reason, 300)
        yield from (f"    {clipped(test)}" for test in those)
