"""The result: one cell for each tool and question, with its figures or the reason why there are none."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = "gilprobe"
KNOWN = "the truth"
NOT_MEASURED = "n/a"
SIGNED = ("points", "%", "ms", "ns")
COMPARED = ("turns", "cost", "scale")
"""Tables of what a tool adds to the same work."""


@dataclass(frozen=True)
class Cell:
    """One tool's answer to one question.

    Attributes
    ----------
    table : str
        Its table: "accuracy", "cost", "scale", "counts", "leaks" or "audit".
    workload, measure, tool : str
        The question, and the tool that answers it.
    unit : str
        Of the samples.
    samples : sequence of float
        One a run. The smaller the absolute value of their median, the better.
    text : str
        What is shown in place of the median.
    reason : str
        Why there are no samples: `"n/a"` if the tool does not measure it. With samples: a remark.
    details : dict
        The parts of the samples.
    """

    table: str
    workload: str
    measure: str
    tool: str
    unit: str = ""
    samples: Sequence[float] = ()
    text: str = ""
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def question(self) -> tuple[str, str, str]:
        """The answers of several tools."""
        return self.table, self.workload, self.measure

    @property
    def figure(self) -> float | None:
        """The median of the samples."""
        return statistics.median(self.samples) if self.samples else None

    @property
    def spread(self) -> float:
        """Half of the distance between the samples' quartiles."""
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return (high - low) / 2

    @property
    def shown(self) -> str:
        """The figure as the tables have it."""
        if not self.samples:
            return self.reason or NOT_MEASURED
        if self.text:
            return self.text
        compared = self.table in COMPARED
        text = number(
            self.figure or 0.0, signed=self.unit in SIGNED and (compared or self.table == "accuracy")
        )
        return f"{text} ±{number(self.spread)}" if compared and len(self.samples) > 2 else text

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**asdict(self), "figure": self.figure}


def cell_of(values: dict[str, Any]) -> Cell:
    """Return a cell from JSON."""
    return Cell(**{name: value for name, value in values.items() if name != "figure"})


def number(value: float, *, signed: bool = False) -> str:
    """Return a number with three digits, at most two of them decimals."""
    size, sign = abs(value), "+" if signed else ""
    if size >= 100:
        return f"{value:{sign},.0f}"
    text = f"{value:{sign}.1f}" if size >= 10 else f"{value:{sign}.2f}"
    return text.lstrip("+-") if float(text) == 0 else text


def better(one: Cell, than: Cell) -> bool:
    """Whether a cell's figure, as shown, is the smaller one; a cost below zero is chance."""
    if one.figure is None or than.figure is None or KNOWN in (one.tool, than.tool):
        return False
    mine, theirs = (_rounded(cell) for cell in (one, than))
    return mine < theirs


def _rounded(cell: Cell) -> float:
    figure = cell.figure or 0.0
    figure = abs(figure) if cell.table == "accuracy" else max(0.0, figure)
    return float(number(figure).replace(",", ""))


def pairs_lost(ours: Cell, rival: Cell) -> str:
    """Return in how many of the paired runs the rival's figure was smaller."""
    if len(ours.samples) < 2 or len(ours.samples) != len(rival.samples):
        return "one run" if len(ours.samples) < 2 else "runs failed"
    signless = abs if ours.table == "accuracy" else float
    lost = sum(signless(b) < signless(a) for a, b in zip(ours.samples, rival.samples, strict=True))
    return f"{lost} of {len(ours.samples)}"


def losses(cells: Sequence[Cell]) -> list[tuple[Cell, Cell]]:
    """Return the cells in which a peer is better than gilprobe, with the best peer."""
    found = []
    for ours in cells:
        if ours.tool != OURS:
            continue
        rivals = [cell for cell in cells if cell.question == ours.question and better(cell, ours)]
        if rivals:
            found.append((ours, min(rivals, key=_rounded)))
    return found
