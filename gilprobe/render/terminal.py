"""Tables for a terminal or a pipe. rich is imported when something is rendered, not before."""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from gilprobe.render.words import duration, plural, scaled, share, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table

    from gilprobe.diagnosis import Diagnosis
    from gilprobe.environment import Environment
    from gilprobe.report import Report, ThreadAccount
    from gilprobe.results import Arm, Fact, Law, ScenarioResult

_UNBOUNDED = 100_000
# Stands for a space inside a number, where rich must not fold; for private use, so that visible() escapes it.
_GLUE = "\ue000"
_MOST_THREADS = 16
_IDLE_SHARE = 0.95
_VERDICT_STYLES = {"holds": "green", "does not hold": "bold red", "not testable here": "yellow"}


@dataclass(frozen=True, slots=True)
class Look:
    """What the output's reader can show.

    Attributes
    ----------
    width : int or None
        Columns; None for a pipe or a file, where nothing is wrapped.
    color : bool
        Whether colours and bold type may be used. Without, the text holds no escape sequence at all.
    unicode : bool
        Whether lines can be drawn with characters beyond ASCII.
    """

    width: int | None = None
    color: bool = False
    unicode: bool = True


PLAIN = Look()
"""For a pipe: no escape sequences, no wrapping."""


class _Page:
    """Collects what is rendered; hides rich from those who use it."""

    def __init__(self, look: Look) -> None:
        from rich.console import Console

        self._look = look
        self._text = StringIO()
        # Everything that rich would look up in the environment is told instead: the caller knows its stream.
        self._console = Console(
            file=self._text,
            width=look.width or _UNBOUNDED,
            height=25,
            force_terminal=look.color,
            force_jupyter=False,
            force_interactive=False,
            color_system="standard" if look.color else None,
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
            _environ={},
        )

    def line(self, text: str = "", style: str = "") -> None:
        from rich.text import Text

        self._console.print(Text(visible(text), style=style, overflow="fold"))

    def table(self, *columns: str) -> Table:
        """Return an empty table. With ``>`` before its heading a column is right-aligned and never folded."""
        from rich import box
        from rich.table import Table

        table = Table(
            box=box.SIMPLE_HEAD if self._look.unicode else box.ASCII2,
            show_edge=False,
            pad_edge=False,
            collapse_padding=True,
            header_style="bold",
        )
        for heading in columns:
            table.add_column(
                heading.removeprefix(">").replace(" ", _GLUE if heading.startswith(">") else " "),
                justify="right" if heading.startswith(">") else "left",
                overflow="fold",
            )
        return table

    def row(self, table: Table, *cells: str, style: str = "", last: str = "") -> None:
        """Add a row in the style `style`, its last cell in the style `last`."""
        from rich.text import Text

        texts = [Text(visible(cell)) for cell in cells]
        for text, column in zip(texts, table.columns, strict=False):
            if column.justify == "right":
                text.plain = text.plain.replace(" ", _GLUE)
        texts[-1].stylize(last)
        table.add_row(*texts, style=style)

    def show(self, table: Table) -> None:
        """Add the table and an empty line. Too wide even when folded it stays whole, where rich would cut."""
        if not table.row_count:
            return
        from rich.measure import Measurement

        width = self._console.width
        unbounded = self._console.options.update(width=_UNBOUNDED)
        self._console.width = max(width, Measurement.get(self._console, unbounded, table).minimum)
        self._console.print(table)
        self._console.width = width
        self.line()

    def doubts(self, warnings: Sequence[str]) -> None:
        if warnings:
            self.line("Doubts", style="bold yellow")
            for text in warnings:
                self.line(f"- {text}")
            self.line()

    def finished(self) -> str:
        text = self._text.getvalue().replace(_GLUE, " ")
        if self._look.color:
            return text
        return "".join(f"{line.rstrip()}\n" for line in text.split("\n")[:-1])


def render_result(result: ScenarioResult, look: Look = PLAIN) -> str:
    """Render a scenario's result: arms, where the time went, facts, laws, doubts.

    Parameters
    ----------
    result : ScenarioResult
        What was measured.
    look : Look
        What the reader can show.

    Returns
    -------
    str
        Lines of text.
    """
    page = _Page(look)
    page.line(f"{result.id}: {result.title}", style="bold")
    page.line()
    _arms(page, result)
    _traces(page, result)
    _facts(page, [fact for fact in result.facts if not fact.name.startswith(("speedup_", "efficiency_"))])
    _laws(page, result.laws)
    page.doubts(result.warnings)
    return page.finished()


def render_report(report: Report, look: Look = PLAIN) -> str:
    """Render a trace: the whole, every thread, doubts."""
    page = _Page(look)
    page.line(
        f"Traced {duration(report.elapsed_s)}: GIL held {share(report.held_ns, report.elapsed_ns)}, "
        f"contended {share(report.contended_ns, report.elapsed_ns)}, {plural(report.handoffs, 'handoff')}",
        style="bold",
    )
    page.line()
    table = _thread_table(page)
    _thread_rows(page, table, report.threads)
    page.show(table)
    page.doubts(report.warnings)
    return page.finished()


def render_environment(environment: Environment, look: Look = PLAIN) -> str:
    """Render what a result was measured on, in two lines."""
    page = _Page(look)
    page.line(f"{_interpreter(environment)}, gilprobe {environment.gilprobe}")
    page.line(f"{environment.cpu}, {plural(environment.cores, 'usable core')}, {environment.platform}")
    return page.finished()


def render_catalogue(rows: Iterable[tuple[str, str, str]], look: Look = PLAIN) -> str:
    """Render the catalogue of scenarios from its rows (group, id, title)."""
    page = _Page(look)
    table = page.table("group", "id", "what it shows")
    for row in rows:
        page.row(table, *row)
    page.show(table)
    return page.finished()


def render_diagnosis(diagnosis: Diagnosis, look: Look = PLAIN) -> str:
    """Render what this interpreter and machine support, and why not."""
    able, environment = diagnosis.capabilities, diagnosis.environment
    quota = diagnosis.cores_quota
    physical = diagnosis.cores_physical
    load = environment.load_average
    rows = {
        "gilprobe": environment.gilprobe,
        "interpreter": f"{environment.implementation} {environment.python}, {environment.compiler}",
        "build": f"{able.build}, GIL {'on' if able.gil_enabled else 'off'}",
        "tracer": "exact" if able.tracer == "exact" else f"none: {able.tracer_reason}",
        "clock": f"{able.clock}, {diagnosis.clock_cost_ns:.1f} ns a reading",
        "usable cores": str(able.cores),
        "  by affinity": f"{diagnosis.cores_affinity} of {environment.cores_online}",
        "  by cgroup": "no limit" if quota is None else f"{quota:g}",
        "  physical": "unknown" if physical is None else str(physical),
        "switch interval": duration(environment.switch_interval_s),
        "load average": "unknown" if load is None else f"{load:.2f}",
        "processor": environment.cpu,
        "platform": environment.platform,
    }
    page = _Page(look)
    width = max(map(len, rows))
    for name, value in rows.items():
        page.line(f"{name:{width}}  {value}")
    return page.finished()


def _interpreter(environment: Environment) -> str:
    gil = "GIL on" if environment.gil_enabled else "GIL off"
    interval = duration(environment.switch_interval_s)
    kind = f"{environment.build} build, {gil}" if environment.build == "free-threaded" else gil
    return f"{environment.implementation} {environment.python} ({kind}, switch interval {interval})"


def _arms(page: _Page, result: ScenarioResult) -> None:
    facts = {fact.name: fact.value for fact in result.facts}
    scales = any(name.startswith("speedup_") for name in facts)
    extra = (">speedup", ">efficiency") if scales else ()
    table = page.table("arm", ">threads", ">median", ">95% interval", "unit", *extra)
    for arm in sorted(result.arms, key=lambda arm: [other.name for other in result.arms].index(arm.name)):
        median, low, high = scaled(arm.median, arm.low, arm.high)
        cells = [arm.name, str(arm.threads), median, f"{low.split()[0]} to {high}", arm.unit]
        if scales:
            cells += _scaling(facts, arm)
        page.row(table, *cells)
    page.show(table)


def _scaling(facts: dict[str, float], arm: Arm) -> list[str]:
    speedup = facts.get(f"speedup_{arm.name}_{arm.threads}")
    efficiency = facts.get(f"efficiency_{arm.name}_{arm.threads}")
    return [
        "" if speedup is None else f"{speedup:.2f}x",
        "" if efficiency is None else f"{efficiency:.0%}",
    ]


def _traces(page: _Page, result: ScenarioResult) -> None:
    if not result.traces:
        return
    page.line(
        "Where the time went, in one extra run of each arm: seconds, and share of the thread's lifetime"
    )
    page.line()
    table = _thread_table(page, "arm x threads")
    left_out = False
    for traced in sorted(
        result.traces, key=lambda traced: [arm.name for arm in result.arms].index(traced.name)
    ):
        shown = [account for account in traced.report.threads if not _idle_main(account)]
        left_out = left_out or len(shown) < len(traced.report.threads)
        page.row(table, f"{traced.name} x {traced.threads}", style="bold")
        _thread_rows(page, table, shown, indent="  ")
    page.show(table)
    if left_out:
        page.line("MainThread, off nearly all the time, only starts and joins the others; it is left out.")
        page.line()


def _idle_main(account: ThreadAccount) -> bool:
    return account.name == "MainThread" and account.off_ns >= _IDLE_SHARE * account.lifetime_ns


def _thread_table(page: _Page, first: str = "thread") -> Table:
    return page.table(first, ">hold", ">wait", ">off", ">acquired", ">forced\nrelease", ">voluntary\nrelease")


def _thread_rows(page: _Page, table: Table, accounts: Sequence[ThreadAccount], indent: str = "") -> None:
    """Add a row for each thread; of many, the busiest, and one row that sums the others up."""
    shown = list(accounts)
    if len(shown) > _MOST_THREADS:
        shown.sort(key=lambda account: account.hold_ns + account.wait_ns, reverse=True)
        del shown[_MOST_THREADS // 2 :]
    for account in shown:
        page.row(table, indent + (account.name or "?"), *_account_cells([account]))
    rest = [account for account in accounts if not any(account is one for one in shown)]
    if rest:
        page.row(table, f"{indent}{len(rest)} more, summed", *_account_cells(rest))


def _account_cells(accounts: Sequence[ThreadAccount]) -> list[str]:
    lifetime = sum(account.lifetime_ns for account in accounts)
    cells = []
    for name in ("hold_ns", "wait_ns", "off_ns"):
        part = sum(getattr(account, name) for account in accounts)
        cells.append(f"{part / 1e9:.3f} {share(part, lifetime):>4}")
    for name in ("acquisitions", "forced_releases", "voluntary_releases"):
        cells.append(str(sum(getattr(account, name) for account in accounts)))
    return cells


def _facts(page: _Page, facts: Sequence[Fact]) -> None:
    table = page.table("fact", ">value", "unit")
    for fact in facts:
        page.row(table, fact.name, f"{fact.value:.4g}", fact.unit)
    page.show(table)


def _laws(page: _Page, laws: Sequence[Law]) -> None:
    table = page.table("law", "expected", "measured", "verdict")
    for law in laws:
        cells = (law.text, law.expected, law.measured, law.verdict)
        page.row(table, *cells, last=_VERDICT_STYLES[law.verdict])
    page.show(table)
