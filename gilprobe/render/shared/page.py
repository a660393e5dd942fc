"""A page of text for a terminal or a pipe: lines and tables."""

from __future__ import annotations

from collections import Counter

from gilprobe.model.plain_data import dataclass
from gilprobe.render.shared.text_table import TextRow, TextTable, folded_lines
from gilprobe.render.shared.words import visible

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_ROWS = 2000
"""Limit of rows in a table, which a reader reads; the others are counted."""

_CODES = {"bold": "1", "underline": "4", "red": "31", "green": "32", "yellow": "33"}  # ECMA-48, SGR


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
    """Collects lines and tables. Foreign names in cells are escaped here.

    Attributes
    ----------
    look : Look
        What the reader can show.
    """

    def __init__(self, look: Look) -> None:
        self.look = look
        self._lines: list[str] = []
        self._left_out = 0

    def line(self, text: str = "", style: str = "") -> None:
        """Add a line of text."""
        text = visible(text)
        lines = [text] if self.look.width is None else folded_lines(text, self.look.width)
        self._lines += [self._painted(line, style) for line in lines]

    def _painted(self, text: str, style: str) -> str:
        if not (self.look.color and style and text):
            return text
        return f"\x1b[{';'.join(_CODES[word] for word in style.split())}m{text}\x1b[0m"

    def table(self, *columns: str) -> TextTable:
        """Return an empty table. Columns headed ``>...`` are right-aligned and never folded."""
        return TextTable(columns)

    def row(self, table: TextTable, *cells: str, style: str = "", last: str = "") -> None:
        """Add a row in the style `style`, its last cell in the style `last`."""
        if len(table.rows) >= MOST_ROWS:
            self._left_out += 1
            return
        table.rows.append(TextRow([visible(cell) for cell in cells], style, last))

    def show(self, table: TextTable) -> None:
        """Add the table and an empty line. It is not cut, even if too wide when folded."""
        if not table.rows:
            return
        self._lines += table.lines(self.look.width, self._painted, unicode=self.look.unicode)
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
        return "".join(f"{line.rstrip()}\n" for line in self._lines)
