"""A hunt for leaks as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.durations import duration
from gilprobe.render.shared.page import PLAIN, Look, Page
from gilprobe.render.shared.words import clipped, plural
from gilprobe.render.terminal import python_text

if TYPE_CHECKING:
    from gilprobe.model.leak_report import Garbage, LeakFinding, LeakReport


def render_leaks(report: LeakReport, look: Look = PLAIN) -> str:
    """Render the verdict, a row for each finding, and the evidence.

    Parameters
    ----------
    report : LeakReport
        The report.
    look : Look
        What the reader can show.

    Returns
    -------
    str
        Lines of text.
    """
    page = Page(look)
    write_leaks(page, report)
    return page.finished()


def write_leaks(page: Page, report: LeakReport) -> None:
    """Write the result of a hunt for leaks onto a page."""
    verdict = "leaks" if report.leaking else "no leak found"
    page.line(f"{clipped(report.function)}: {verdict}", style="bold red" if report.leaking else "bold green")
    page.line(
        f"{plural(report.calls, 'call')} in {duration(report.elapsed_s)}, {python_text(report.environment)}"
    )
    if report.uncertain is not None:
        page.line(f"not certain: {clipped(report.uncertain, 400)}", style="yellow")
    if report.raised:
        page.line(f"raised in {plural(report.raised, 'call')}, first {clipped(report.exception)}")
    if report.garbage is not None:
        page.line(_garbage(report.garbage))
    page.line()
    table = page.table("what changes with every call", ">a call", ">99% interval", "every repetition")
    whats = {one.what for one in report.findings}
    for one in report.findings:
        every = "yes" if one.every_repetition else "no"
        indent = "  " if one.root in whats else ""
        page.row(table, f"{indent}{clipped(one.what)}", f"{one.per_call:+.4g}", _interval(one), every)
    page.show(table)
    for one in report.findings:
        if one.root in whats:
            continue  # the root's evidence covers these
        page.line(clipped(one.what), style="bold")
        for text in one.evidence:
            page.line(f"- {clipped(text, 300)}")
        page.line()
    page.doubts(report.warnings)


def _garbage(one: Garbage) -> str:
    types = ", ".join(clipped(name, 80) for name in one.types)
    number = f"{one.per_call:.3g} object{'' if one.per_call == 1 else 's'}"
    return f"each call leaves {number} in reference cycles, freed only by the garbage collector: {types}"


def _interval(one: LeakFinding) -> str:
    return f"{one.low:+.4g} to {one.high:+.4g}"
