"""Scenarios, environments and the catalogue as tables for a terminal or a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.durations import duration
from gilprobe.render.shared.accounts import thread_rows, thread_table
from gilprobe.render.shared.page import PLAIN, Look, Page
from gilprobe.render.shared.words import plural, scaled
from gilprobe.results import fact_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilprobe.model.diagnosis import Diagnosis
    from gilprobe.model.environment import Environment
    from gilprobe.report import ThreadAccount
    from gilprobe.results import Arm, Fact, Law, ScenarioResult

_MOST_THREADS = 16
_IDLE_SHARE = 0.95
VERDICT_STYLES = {"holds": "green", "does not hold": "bold red", "not testable here": "yellow"}


def render_result(result: ScenarioResult, look: Look = PLAIN) -> str:
    """Render a scenario's result: its output, arms, where the time went, facts, laws, doubts.

    Parameters
    ----------
    result : ScenarioResult
        The result.
    look : Look
        What the reader can show.

    Returns
    -------
    str
        Lines of text.
    """
    page = Page(look)
    write_result(page, result)
    return page.finished()


def write_result(page: Page, result: ScenarioResult) -> None:
    """Write what :func:`render_result` renders onto a page of any kind."""
    page.line(f"{result.id}: {result.title}", style="bold")
    page.line()
    printed(page, result.printed)
    _arms(page, result)
    _traces(page, result)
    _facts(page, [fact for fact in result.facts if not fact.name.startswith(("speedup_", "efficiency_"))])
    _laws(page, result.laws)
    page.doubts(result.warnings)


def render_environment(environment: Environment, look: Look = PLAIN) -> str:
    """Render interpreter and machine of a result, in two lines."""
    page = Page(look)
    page.line(f"{python_text(environment)}, gilprobe {environment.gilprobe}")
    page.line(f"{environment.cpu}, {plural(environment.cores, 'usable core')}, {environment.platform}")
    return page.finished()


def render_catalogue(rows: Iterable[tuple[str, str, str, str]], look: Look = PLAIN) -> str:
    """Render the catalogue of scenarios.

    Parameters
    ----------
    rows : iterable of (str, str, str, str)
        Group, id, title, and why it can't run here; those of a group are together.
    look : Look
        What the reader can show.

    Returns
    -------
    str
        Lines of text.
    """
    page = Page(look)
    table = page.table("id", "what it shows", "here")
    shown = None
    for group, name, title, missing in rows:
        if group != shown:
            page.row(table, group, style="bold")
            shown = group
        page.row(table, f"  {name}", title, f"no: {missing}" if missing else "yes")
    page.show(table)
    return page.finished()


def render_diagnosis(diagnosis: Diagnosis, look: Look = PLAIN) -> str:
    """Render what this interpreter and machine support."""
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
    page = Page(look)
    width = max(map(len, rows))
    for name, value in rows.items():
        page.line(f"{name:{width}}  {value}")
    return page.finished()


def python_text(environment: Environment) -> str:
    """Return an interpreter with the facts that affect its threads."""
    gil = "GIL on" if environment.gil_enabled else "GIL off"
    interval = duration(environment.switch_interval_s)
    kind = f"{environment.build} build, {gil}" if environment.build == "free-threaded" else gil
    return f"{environment.implementation} {environment.python} ({kind}, switch interval {interval})"


def printed(page: Page, text: str, heading: str = "Printed") -> None:
    """Add the output of a scenario's own code, line by line."""
    if not text:
        return
    page.line(heading, style="bold")
    for line in text.expandtabs().removesuffix("\n").split("\n"):
        page.line(f"  {line}")
    page.line()


def in_order(result: ScenarioResult) -> Callable[[str], int]:
    """Return a key that sorts arms by name in the result's order, unknown ones last."""
    numbers: dict[str, int] = {}
    for arm in result.arms:
        numbers.setdefault(arm.name, len(numbers))
    return lambda name: numbers.get(name, len(numbers))


def _arms(page: Page, result: ScenarioResult) -> None:
    facts = {fact.name: fact.value for fact in result.facts}
    scales = any(name.startswith("speedup_") for name in facts)
    extra = (">speedup", ">efficiency") if scales else ()
    table = page.table("arm", ">threads", ">median", ">95% interval", "unit", *extra)
    order = in_order(result)
    for arm in sorted(result.arms, key=lambda arm: order(arm.name)):
        median, low, high = scaled(arm.median, arm.low, arm.high)
        cells = [arm.name, str(arm.threads), median, f"{low.split()[0]} to {high}", arm.unit]
        if scales:
            cells += _scaling(facts, arm)
        page.row(table, *cells)
    page.show(table)


def _scaling(facts: dict[str, float], arm: Arm) -> list[str]:
    speedup = facts.get(fact_name("speedup", arm.name, arm.threads))
    efficiency = facts.get(fact_name("efficiency", arm.name, arm.threads))
    return [
        "" if speedup is None else f"{speedup:.2f}x",
        "" if efficiency is None else f"{efficiency:.0%}",
    ]


def _traces(page: Page, result: ScenarioResult) -> None:
    if not result.traces:
        return
    page.line(
        "Where the time went, in one extra run of each arm: seconds, and share of the thread's lifetime"
    )
    page.line()
    table = thread_table(page, "arm x threads", handoffs=True)
    left_out = False
    order = in_order(result)
    for traced in sorted(result.traces, key=lambda traced: order(traced.name)):
        shown = [account for account in traced.report.threads if not idle_main(account)]
        left_out = left_out or len(shown) < len(traced.report.threads)
        handoffs = str(traced.report.handoffs)
        page.row(table, f"{traced.name} x {traced.threads}", *[""] * 6, handoffs, style="bold")
        thread_rows(page, table, shown, rows=_MOST_THREADS, indent="  ")
    page.show(table)
    if left_out:
        page.line("MainThread, off nearly all the time, only starts and joins the others; it is left out.")
        page.line()


def idle_main(account: ThreadAccount) -> bool:
    """Return whether this is a main thread that only started and joined the others."""
    return account.name == "MainThread" and account.off_ns >= _IDLE_SHARE * account.lifetime_ns


def _facts(page: Page, facts: Sequence[Fact]) -> None:
    table = page.table("fact", ">value", "unit")
    for fact in facts:
        page.row(table, fact.name, f"{fact.value:.4g}", fact.unit)
    page.show(table)


def _laws(page: Page, laws: Sequence[Law]) -> None:
    table = page.table("law", "expected", "measured", "verdict")
    for law in laws:
        cells = (law.text, law.expected, law.measured, law.verdict)
        page.row(table, *cells, last=VERDICT_STYLES[law.verdict])
    page.show(table)
