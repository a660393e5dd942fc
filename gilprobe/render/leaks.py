"""A hunt for leaks as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.render.page import PLAIN, Look, Page
from gilprobe.render.terminal import interpreter
from gilprobe.render.words import clipped, duration, plural

if TYPE_CHECKING:
    from gilprobe.leak_report import LeakFinding, LeakReport


def render_leaks(report: LeakReport, look: Look = PLAIN) -> str:
    """Render the verdict, a row for each finding, and the evidence.

    Parameters
    ----------
    report : LeakReport
        What was found.
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
    """Write what a hunt for leaks found onto a page."""
    verdict = "leaks" if report.leaking else "no leak found"
    page.line(f"{clipped(report.function)}: {verdict}", style="bold red" if report.leaking else "bold green")
    page.line(
        f"{plural(report.calls, 'call')} in {duration(report.elapsed_s)}, {interpreter(report.environment)}"
    )
    if report.uncertain is not None:
        page.line(f"not certain: {clipped(report.uncertain, 400)}", style="yellow")
    if report.raised:
        page.line(f"raised in {plural(report.raised, 'call')}, first {clipped(report.exception)}")
    page.line()
    table = page.table("what changes with every call", ">a call", ">99% interval", "every repetition")
    for one in report.findings:
        every = "yes" if one.every_repetition else "no"
        page.row(table, clipped(one.what), f"{one.per_call:+.4g}", _interval(one), every)
    page.show(table)
    for one in report.findings:
        page.line(clipped(one.what), style="bold")
        for text in one.evidence:
            page.line(f"- {clipped(text, 300)}")
        page.line()
    page.doubts(report.warnings)


def _interval(one: LeakFinding) -> str:
    return f"{one.low:+.4g} to {one.high:+.4g}"
