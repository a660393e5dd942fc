"""A picture of results: plain data that the page's scripts draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gilprobe.render.html.results.number_text import NumberKind


@dataclass(frozen=True, slots=True)
class Point:
    """A number at a position or in a row, with its interval; `marks`: several numbers of a row."""

    at: int
    value: float
    low: float
    high: float
    marks: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Band:
    """A law's range at a position: from `low` to `high`, None if open."""

    at: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PlotSeries:
    """Points with one colour and one shape."""

    name: str
    look: int
    points: tuple[Point, ...]
    bands: tuple[Band, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes."""

    title: str
    series: tuple[PlotSeries, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of several panels that share their scales.

    Attributes
    ----------
    form : {"lines", "rows", "ranges", "shares"}
        The kind of drawing.
    title, note : str
        The title, and a remark for the reader.
    kind, unit : str
        Kind and unit of its numbers.
    logarithmic : bool
        Whether the numbers' axis is logarithmic.
    axis : str
        Name of the scale; empty for rows.
    labels : tuple of str
        Labels of the positions, or of the rows.
    panels : tuple of Panel
        At least one.
    marks : tuple of str
        For ranges and shares: names of the numbers of a row.
    """

    form: Literal["lines", "rows", "ranges", "shares"]
    title: str
    note: str
    kind: NumberKind
    unit: str
    logarithmic: bool
    axis: str
    labels: tuple[str, ...]
    panels: tuple[Panel, ...]
    marks: tuple[str, ...] = ()
