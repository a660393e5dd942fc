"""Tables of a page of text: columns as wide as their cells, folded where the page is too narrow."""

from __future__ import annotations

TYPE_CHECKING = False  # as in gilprobe/__init__.py: a recorded process loads no typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Paint = Callable[[str, str], str]
    """Returns a text in a style: a text's and a style's words."""

_GAP = 1  # columns of space beside what divides two cells


class TextColumn:
    """The head of a column.

    Attributes
    ----------
    heading : str
        May have several lines.
    right : bool
        Whether its cells are right-aligned, and not folded at a space: numbers with units.
    """

    __slots__ = ("heading", "right")

    def __init__(self, heading: str) -> None:
        self.heading = heading.removeprefix(">")
        self.right = heading.startswith(">")


class TextRow:
    """Cells of one row, fewer than the table has columns if the others are empty.

    Attributes
    ----------
    cells : sequence of str
        One a column.
    style, last : str
        Style of all cells; what is added to it for the last one: ``"bold red"``.
    """

    __slots__ = ("cells", "last", "style")

    def __init__(self, cells: Sequence[str], style: str = "", last: str = "") -> None:
        self.cells = cells
        self.style = style
        self.last = last


class TextTable:
    """Rows under headings; those of right-aligned columns begin with ``>``."""

    __slots__ = ("columns", "rows")

    def __init__(self, headings: Sequence[str]) -> None:
        self.columns = [TextColumn(heading) for heading in headings]
        self.rows: list[TextRow] = []

    def lines(self, width: int | None, paint: Paint, *, unicode: bool = True) -> Iterator[str]:
        """Yield the table's lines; wider than `width` only if one word of each column is.

        Parameters
        ----------
        width : int or None
            Columns of the page; None: as many as there may be.
        paint : callable
            Returns a text in a style.
        unicode : bool
            Whether to draw with characters beyond ASCII.
        """
        head = TextRow([column.heading for column in self.columns], style="bold")
        widths = self._widths([head, *self.rows], width)
        divider, rule, cross = (" ", "\u2500", "\u2500") if unicode else ("|", "-", "+")
        yield from self._row(head, widths, divider, paint, above=True)
        yield cross.join(rule * wide for wide in widths)
        for row in self.rows:
            yield from self._row(row, widths, divider, paint)

    def _widths(self, rows: Sequence[TextRow], most: int | None) -> list[int]:
        """Return the width of each column, with the gap behind all but the last."""
        widest, least = [0] * len(self.columns), [0] * len(self.columns)
        for row in rows:
            for number, cell in enumerate(row.cells):
                lines = cell.split("\n")
                words = (not self.columns[number].right and cell.split()) or lines
                widest[number] = max(widest[number], *map(text_width, lines))
                least[number] = max(least[number], 0, *map(text_width, words))
        gaps = [*[_GAP] * (len(widest) - 1), 0]
        widths = [wide + gap or 1 for wide, gap in zip(widest, gaps, strict=True)]
        if most is None:
            return widths
        return _narrowed(widths, max(most - len(gaps) + 1, sum(least) + sum(gaps)))

    def _row(
        self, row: TextRow, widths: Sequence[int], divider: str, paint: Paint, *, above: bool = False
    ) -> Iterator[str]:
        """Yield the lines of a row; `above`: cells with fewer lines begin with empty ones."""
        cells = [*row.cells, *[""] * (len(widths) - len(row.cells))]
        styles = [row.style] * len(cells)
        styles[len(row.cells) - 1] = f"{row.style} {row.last}".strip()
        inner = [*(wide - _GAP for wide in widths[:-1]), widths[-1]]
        folded = [
            folded_lines(cell, max(1, wide), at_spaces=not column.right)
            for cell, wide, column in zip(cells, inner, self.columns, strict=True)
        ]
        height = max(map(len, folded))
        for lines in folded:
            missing = [""] * (height - len(lines))
            lines[:] = missing + lines if above else lines + missing
        for texts in zip(*folded, strict=True):
            yield self._line(texts, inner, styles, divider, paint)

    def _line(
        self, texts: Sequence[str], widths: Sequence[int], styles: Sequence[str], divider: str, paint: Paint
    ) -> str:
        parts = []
        for text, wide, style, column in zip(texts, widths, styles, self.columns, strict=True):
            space = " " * (wide - text_width(text))
            parts.append(space + paint(text, style) if column.right else paint(text, style) + space)
        return f"{' ' * _GAP}{divider}".join(parts)


def _narrowed(widths: list[int], most: int) -> list[int]:
    """Return the widths with the widest ones cut until they add up to `most`."""
    widths = list(widths)
    while (excess := sum(widths) - most) > 0:
        longest = max(widths)
        second = max((wide for wide in widths if wide != longest), default=0)
        chosen = [number for number, wide in enumerate(widths) if wide == longest]
        cut = min(excess, (longest - second) * len(chosen))
        for left, number in zip(range(len(chosen), 0, -1), chosen, strict=True):
            part = min(longest - second, round(cut / left))
            widths[number] -= part
            cut -= part
    return widths


def text_width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0 if category(one) in ("Mn", "Me", "Cf") else 2 if east_asian_width(one) in "WF" else 1
        for one in text
    )


def folded_lines(text: str, width: int, *, at_spaces: bool = True) -> list[str]:
    """Return the lines of a text, folded to `width` columns: between words if possible, else within one."""
    return [part for line in text.split("\n") for part in _folded(line, width, at_spaces)]


def _folded(line: str, width: int, at_spaces: bool) -> list[str]:
    if text_width(line) <= width:
        return [line]
    import re

    lines = [""]
    for word in re.findall(r"\s*\S+\s*", line) if at_spaces else [line]:
        if text_width(lines[-1]) + text_width(word.rstrip()) <= width:
            lines[-1] += word
            continue
        pieces = _chopped(word, width) if text_width(word.rstrip()) > width else [word]
        lines += pieces
    return [part.rstrip() for part in (lines if lines[0] else lines[1:])]


def _chopped(word: str, width: int) -> list[str]:
    pieces = [""]
    for one in word:
        if pieces[-1] and text_width(pieces[-1]) + text_width(one) > width:
            pieces.append("")
        pieces[-1] += one
    return pieces
