"""The result as tables: a row for each question, a column for each tool, and notes below."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .cells import NOT_MEASURED, OURS, Cell, better

if TYPE_CHECKING:
    from collections.abc import Sequence

TITLES = {
    "accuracy": "Accuracy: how far each tool is from the truth",
    "turns": "Cost while it works: in one process, with and without the tool by turns",
    "cost": "Cost from begin to end: fresh processes with and without the tool",
    "scale": "Scale: cost with more threads, and with more handoffs",
    "counts": "Reference counts",
    "leaks": "Leaks",
    "audit": "Audits",
}
EXPLANATIONS = {
    "accuracy": "Shares: error in percentage points; worst wait: error in ms; threads: how many too many."
    " The column of the truth says how exactly it is known; within that, there is no error.",
    "turns": "Medians of the pairs, and half of the distance between their quartiles. A turn takes some"
    " hundredths of a second: a disturbance of the machine affects both turns of a pair. It begins a moment"
    " after the tool was switched. Only tools that can be switched on and off at any time.",
    "cost": "Medians of the pairs, and half of the distance between their quartiles: what the tool adds, in"
    " per cent of the same work without it, or in the named unit. CPU and memory are those of all processes,"
    " the tool's own included.",
    "scale": "Medians of the pairs, and half of the distance between their quartiles: added nanoseconds for"
    " each release and re-acquisition, or %.",
    "counts": "Error: references too many. Times are medians.",
    "leaks": "What each tool says of a function, and how long it took.",
    "audit": "Released share: error in percentage points, and the verdict. The times are of one audit.",
}


@dataclass(frozen=True)
class Shown:
    """A displayed cell: its text, and whether it beats gilprobe's."""

    text: str
    wins: bool = False


@dataclass
class Grid:
    """One table.

    Attributes
    ----------
    name : str
        Of the table, a key of `TITLES`.
    tools : list of str
        The columns' heads.
    rows : list of (str, str, list of Shown)
        Workload, measure with its unit, and a cell for each tool.
    notes : list of str
        The notes for the numbers in brackets, from 1.
    """

    name: str
    tools: list[str]
    rows: list[tuple[str, str, list[Shown]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> str:
        """Return the mark of a note."""
        if text not in self.notes:
            self.notes.append(text)
        return f"[{self.notes.index(text) + 1}]"


def grids(cells: Sequence[Cell]) -> list[Grid]:
    """Arrange the cells in tables, in the order in which they come."""
    return [
        _grid(name, [cell for cell in cells if cell.table == name])
        for name in TITLES
        if any(cell.table == name for cell in cells)
    ]


def _grid(name: str, cells: Sequence[Cell]) -> Grid:
    grid = Grid(name, list(dict.fromkeys(cell.tool for cell in cells)))
    by_question: dict[tuple[str, str, str], dict[str, Cell]] = {}
    for cell in cells:
        by_question.setdefault(cell.question, {})[cell.tool] = cell
    for (_, workload, measure), answers in by_question.items():
        unit = next((cell.unit for cell in answers.values() if cell.unit), "")
        label = f"{measure}, {unit}" if unit else measure
        ours = answers.get(OURS)
        grid.rows.append((workload, label, [_shown(grid, answers.get(tool), ours) for tool in grid.tools]))
    return grid


def _shown(grid: Grid, cell: Cell | None, ours: Cell | None) -> Shown:
    if cell is None:
        return Shown(NOT_MEASURED)
    if not cell.samples:
        reason = cell.reason or NOT_MEASURED
        if reason == NOT_MEASURED:
            return Shown(NOT_MEASURED)
        word, mark = (NOT_MEASURED if reason.startswith(NOT_MEASURED) else "fails"), grid.note(_plain(reason))
        return Shown(f"{word} {mark}")
    mark = f" {grid.note(_plain(cell.reason))}" if cell.reason else ""
    wins = cell.tool != OURS and ours is not None and better(cell, ours)
    return Shown(cell.shown + mark, wins)


def _plain(reason: str) -> str:
    return reason.removeprefix(f"{NOT_MEASURED}: ")


def text_of(grid: Grid) -> str:
    """Return a table for the terminal; a star marks what beats gilprobe."""
    heads = ["workload", "measure", *grid.tools]
    lines = [
        [workload, measure, *(_starred(cell) for cell in cells)] for workload, measure, cells in grid.rows
    ]
    widths = [max(len(line[column]) for line in [heads, *lines]) for column in range(len(heads))]
    ruled = [heads, ["-" * width for width in widths], *lines]
    body = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in ruled
    ]
    notes = [f"[{number}] {note}" for number, note in enumerate(grid.notes, 1)]
    return "\n".join([TITLES[grid.name], EXPLANATIONS[grid.name], *body, *notes])


def _starred(cell: Shown) -> str:
    return f"*{cell.text}" if cell.wins else cell.text


def markdown_of(grid: Grid) -> str:
    """Return a table for the page; bold marks what beats gilprobe."""
    lines = [
        "| " + " | ".join(["workload", "measure", *grid.tools]) + " |",
        "|" + "---|" * (2 + len(grid.tools)),
        *(
            "| "
            + " | ".join(escaped(text) for text in (workload, measure, *(_bold(cell) for cell in cells)))
            + " |"
            for workload, measure, cells in grid.rows
        ),
    ]
    notes = [f"- [{number}] {note}" for number, note in enumerate(grid.notes, 1)]
    return "\n".join(
        [f"## {TITLES[grid.name]}", EXPLANATIONS[grid.name], "", *lines, *([""] if notes else []), *notes]
    )


def _bold(cell: Shown) -> str:
    return f"**{cell.text}**" if cell.wins else cell.text


def escaped(text: str) -> str:
    """Return a text that can stand in a cell of Markdown."""
    return text.replace("|", "\\|")
