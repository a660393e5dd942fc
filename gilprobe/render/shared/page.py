"""A page of text for a terminal or a pipe: lines and tables. rich is imported when something is rendered."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from gilprobe.render.shared.words import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

MOST_ROWS = 2000
"""Limit of rows in a table, since each takes a millisecond; the others are counted."""

_UNBOUNDED = 100_000
# A space inside a number, where rich must not fold; a private-use character, so visible() escapes it.
_GLUE = "\ue000"


def plain_text(text: str) -> str:
    """Return a cell's text without marks for the terminal's layout."""
    return text.replace(_GLUE, " ")


@dataclass(frozen=True, slots=True)
class Look:
    """What the reader of the output can show.

    Attributes
    ----------
    width : int or None
        Columns; None for a pipe or a file: no wrapping.
    color : bool
        Whether to use colours and bold type. Without, the text has no escape sequences.
    unicode : bool
        Whether to draw lines with characters beyond ASCII.
    """

    width: int | None = None
    color: bool = False
    unicode: bool = True


PLAIN = Look()
"""For a pipe: no escape sequences, no wrapping."""


class Page:
    """Collects lines and tables; hides rich. Foreign names in cells are escaped here.

    Attributes
    ----------
    look : Look
        What the reader can show.
    """

    def __init__(self, look: Look) -> None:
        from rich.console import Console

        self.look = look
        self._text = StringIO()
        self._left_out = 0
        # Set all that rich would take from the environment: the caller knows its stream.
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
        """Add a line of text."""
        from rich.text import Text

        self._console.print(Text(visible(text), style=style, overflow="fold"))

    def table(self, *columns: str) -> Table:
        """Return an empty table. Columns headed ``>...`` are right-aligned and never folded."""
        from rich import box
        from rich.table import Table

        table = Table(
            box=box.SIMPLE_HEAD if self.look.unicode else box.ASCII2,
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

        if table.row_count >= MOST_ROWS:
            self._left_out += 1
            return
        texts = [Text(visible(cell)) for cell in cells]
        for text, column in zip(texts, table.columns, strict=False):
            if column.justify == "right":
                text.plain = text.plain.replace(" ", _GLUE)
        texts[-1].stylize(last)
        table.add_row(*texts, style=style)

    def show(self, table: Table) -> None:
        """Add the table and an empty line. If too wide even when folded, it is not cut, as rich would."""
        if not table.row_count:
            return
        from rich.measure import Measurement

        width = self._console.width
        unbounded = self._console.options.update(width=_UNBOUNDED)
        self._console.width = max(width, Measurement.get(self._console, unbounded, table).minimum)
        self._console.print(table)
        self._console.width = width
        self.tell_left_out()
        self.line()

    def tell_left_out(self) -> None:
        """Add the number of rows left out of the last table, if any."""
        if self._left_out:
            self.line(f"{self._left_out} more rows are not shown here")
            self._left_out = 0

    def doubts(self, warnings: Sequence[str]) -> None:
        """Add the doubts, if any."""
        if warnings:
            self.line("Doubts", style="bold yellow")
            for text, times in Counter(warnings).items():
                self.line(f"- {text}" if times == 1 else f"- {text} ({times} times)")
            self.line()

    def finished(self) -> str:
        """Return the page's text."""
        text = plain_text(self._text.getvalue())
        if self.look.color:
            return text
        return "".join(f"{line.rstrip()}\n" for line in text.split("\n")[:-1])
