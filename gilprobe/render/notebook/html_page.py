"""A terminal's page, lines and tables, as HTML elements for a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.render.shared.page import PLAIN, Page, plain_text
from gilprobe.render.shared.words import visible
from gilprobe.render.templates import template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text


@dataclass(frozen=True, slots=True)
class _Words:
    """A line or a cell; of its style only bold has a meaning without colour."""

    text: str
    bold: bool = False
    right: bool = False


@dataclass(frozen=True, slots=True)
class _Table:
    heads: Sequence[_Words]
    rows: Sequence[Sequence[_Words]]


class HtmlPage(Page):
    """Collects lines and tables as HTML."""

    def __init__(self) -> None:
        super().__init__(PLAIN)
        self._parts: list[_Words | _Table] = []

    def line(self, text: str = "", style: str = "") -> None:
        """Add a line of text; an empty one is skipped: elements have gaps anyway."""
        if text:
            self._parts.append(_Words(visible(text), "bold" in style))

    def show(self, table: Table) -> None:
        """Add the table, if it has rows."""
        if not table.row_count:
            return
        heads = [
            _Words(plain_text(str(column.header)), right=column.justify == "right")
            for column in table.columns
        ]
        cells = zip(*(column.cells for column in table.columns), strict=True)
        rows = [
            [_cell(text, head.right, str(made.style or "")) for text, head in zip(row, heads, strict=True)]
            for row, made in zip(cells, table.rows, strict=True)
        ]
        self._parts.append(_Table(heads, rows))
        self.tell_left_out()

    def finished(self) -> str:
        """Return the page as one element."""
        return template("notebook.html.j2").render(parts=self._parts)


def _cell(text: Text | str, right: bool, style: str) -> _Words:
    if isinstance(text, str):  # as rich does, fill up a row with fewer cells than the table
        return _Words(text, right=right)
    # A row's style, or that of its last cell.
    own = " ".join(str(span.style) for span in text.spans)
    return _Words(plain_text(text.plain), "bold" in f"{style} {own}", right)
