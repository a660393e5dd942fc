"""What a picture of results is: plain data that the page's scripts draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gilprobe.render.html.results.number_text import NumberKind


@dataclass(frozen=True, slots=True)
class Point:
    """A number at a place of the scale or in a row, with its interval; `marks`: several numbers of a row."""

    at: int
    value: float
    low: float
    high: float
    marks: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Band:
    """What a law expects at a place: from `low` to `high`, None where it is open."""

    at: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class PlotSeries:
    """What has one colour and one shape."""

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
        How it is drawn.
    title, note : str
        What it shows, and what a reader must know to read it.
    kind, unit : str
        What its numbers are.
    logarithmic : bool
        Whether their axis is.
    axis : str
        What the places of the scale are; empty for rows.
    labels : tuple of str
        The places, or the rows.
    panels : tuple of Panel
        At least one.
    marks : tuple of str
        For ranges and shares: what the numbers of a row are.
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
