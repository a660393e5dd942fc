"""Render the model for a notebook: HTML, and the terminal's text where HTML can't be shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import TYPE_CHECKING

from gilprobe.model.audit_result import AuditResult, AuditSet
from gilprobe.model.leak_report import LeakReport
from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.shared.page import PLAIN, Page
from gilprobe.render.shared.words import visible
from gilprobe.render.templates import template
from gilprobe.render.terminal import write_result
from gilprobe.render.text.audit_text import write_audit, write_audits
from gilprobe.render.text.leaks_text import write_leaks
from gilprobe.render.text.trace_text import write_process
from gilprobe.report import Report
from gilprobe.results import ResultSet, ScenarioResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.render.shared.text_table import TextRow, TextTable


@dataclass(frozen=True, slots=True)
class _Words:
    """A line or a cell; bold is what of its style has a meaning without colour."""

    text: str
    bold: bool = False
    right: bool = False


@dataclass(frozen=True, slots=True)
class _Table:
    heads: Sequence[_Words]
    rows: Sequence[Sequence[_Words]]


class HtmlPage(Page):
    """Collects what is rendered, as HTML."""

    def __init__(self) -> None:
        super().__init__(PLAIN)
        self._parts: list[_Words | _Table] = []

    def line(self, text: str = "", style: str = "") -> None:
        """Add a line of text; an empty one is a gap, which elements have anyway."""
        if text:
            self._parts.append(_Words(visible(text), "bold" in style))

    def show(self, table: TextTable) -> None:
        """Add the table, if it has rows."""
        if not table.rows:
            return
        heads = [_Words(column.heading, right=column.right) for column in table.columns]
        rows = [_words(row, heads) for row in table.rows]
        self._parts.append(_Table(heads, rows))
        self.tell_left_out()

    def finished(self) -> str:
        """Return the page as one element."""
        return template("notebook.html.j2").render(parts=self._parts)


def _words(row: TextRow, heads: Sequence[_Words]) -> list[_Words]:
    last = len(row.cells) - 1
    return [
        _Words(
            row.cells[number] if number <= last else "",
            number <= last and "bold" in f"{row.style} {row.last if number == last else ''}",
            head.right,
        )
        for number, head in enumerate(heads)
    ]


def bundle(shown: object) -> dict[str, str]:
    """Render an object of the model for a notebook: text of each MIME type, all that is foreign escaped."""
    page, text = HtmlPage(), Page(PLAIN)
    write(shown, page)
    write(shown, text)
    return {"text/html": page.finished(), "text/plain": text.finished()}


@singledispatch
def write(shown: object, page: Page) -> None:  # noqa: ARG001 - registered functions need it
    """Write an object onto a page; each type registers its own function."""
    raise TypeError(f"a notebook can show reports, results, audits and leaks, got {type(shown).__name__}")


@write.register
def _(shown: Report, page: Page) -> None:
    write_process(page, TracedProcess(source="", report=shown))


@write.register
def _(shown: ScenarioResult, page: Page) -> None:
    write_result(page, shown)


@write.register
def _(shown: ResultSet, page: Page) -> None:
    for result in shown.scenarios:
        write_result(page, result)


@write.register
def _(shown: AuditResult, page: Page) -> None:
    write_audit(page, shown)


@write.register
def _(shown: AuditSet, page: Page) -> None:
    write_audits(page, shown.audits, shown.unaudited)


@write.register
def _(shown: LeakReport, page: Page) -> None:
    write_leaks(page, shown)
