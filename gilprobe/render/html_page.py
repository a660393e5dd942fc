"""A page of HTML for a notebook: the lines and tables of a terminal's page, as elements.

Styles stand at the elements, and neither scripts nor identifiers are used: whoever shows a notebook removes
them, and what is left has to be readable. Colours are the reader's own, so that it is as light or dark as
they are.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from gilprobe.render.page import PLAIN, Page, plain_text
from gilprobe.render.words import visible

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_CELL = "padding:1px 8px;white-space:pre-wrap;overflow-wrap:anywhere"
_NUMBER = "padding:1px 8px;white-space:pre;text-align:right;font-variant-numeric:tabular-nums"
_LINE = "white-space:pre-wrap;overflow-wrap:anywhere"


class HtmlPage(Page):
    """Collects what is rendered, as HTML. Foreign names are escaped here."""

    def __init__(self) -> None:
        super().__init__(PLAIN)
        self._parts: list[str] = []

    def line(self, text: str = "", style: str = "") -> None:
        """Add a line of text; an empty one is a gap, which elements have anyway."""
        if text:
            shown = escape(visible(text))
            self._parts.append(f'<div style="{_LINE}">{_emphasized(shown, style)}</div>')

    def show(self, table: Table) -> None:
        """Add the table, if it has rows."""
        if not table.row_count:
            return
        head = "".join(
            f'<th scope="col" style="{_style(column.justify)}">{escape(plain_text(str(column.header)))}</th>'
            for column in table.columns
        )
        cells = zip(*(list(column.cells) for column in table.columns), strict=True)
        justify = [column.justify for column in table.columns]
        rows = "".join(
            f"<tr>{''.join(map(_cell, row, justify, [str(made.style or '')] * len(justify)))}</tr>"
            for row, made in zip(cells, table.rows, strict=True)
        )
        self._parts.append(
            '<table style="border-collapse:collapse;margin:0.5em 0">'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )
        self.tell_left_out()

    def finished(self) -> str:
        """Return the page as one element."""
        return f'<div class="gilprobe" dir="ltr">{"".join(self._parts)}</div>'


def _cell(text: Text | str, justify: str, style: str) -> str:
    if isinstance(text, str):  # rich fills up a row that has fewer cells than the table
        return f'<td style="{_style(justify)}">{escape(text)}</td>'
    # A row's style, or that of its last cell: bold is what of it has a meaning without colour.
    own = " ".join(str(span.style) for span in text.spans)
    shown = _emphasized(escape(plain_text(text.plain)), f"{style} {own}")
    return f'<td style="{_style(justify)}">{shown}</td>'


def _style(justify: str) -> str:
    return _NUMBER if justify == "right" else f"{_CELL};text-align:left"


def _emphasized(shown: str, style: str) -> str:
    return f"<strong>{shown}</strong>" if "bold" in style else shown
