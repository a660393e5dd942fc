"""A scenario's finding in one line, from its first picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.render.html.results.number_text import number_text
from gilprobe.render.shared.words import clipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.render.html.results.picture import Picture, PlotSeries, Point

_MOST_TOLD = 3
_NAME = 40


def finding(pictures: Sequence[Picture], sides: Sequence[str]) -> str:
    """Return the first picture in words; empty without pictures.

    With several `sides` (names of interpreters), their numbers come in that order.
    """
    if not pictures:
        return ""
    picture = pictures[0]
    if picture.form != "lines":
        return _of_rows(picture) or picture.title
    lines = [(panel.title, series) for panel in picture.panels for series in panel.series if series.points]
    if len(lines) == 1 and picture.kind != "ratio":
        return _of_ends(picture, lines[0][1].points)
    return _of_lines(picture, lines, sides) or picture.title


def _of_ends(picture: Picture, points: Sequence[Point]) -> str:
    """Return the first and the last number of a single line."""
    first, last = points[0], points[-1]
    told = f"{_place(picture, last.at)}: {_number(picture, last.value)}"
    if first.at == last.at:
        return told
    return f"{_place(picture, first.at)}: {number_text(first.value, picture.kind)}, {told}"


def _of_lines(picture: Picture, lines: Sequence[tuple[str, PlotSeries]], sides: Sequence[str]) -> str:
    """Return the last number of each line."""
    end = max((point.at for _, series in lines for point in series.points), default=0)
    told: dict[str, dict[str, str]] = {}
    for title, series in lines:
        of = title if len(sides) > 1 else series.name
        for point in series.points:
            if point.at == end:
                told.setdefault(of, {})[series.name] = number_text(point.value, picture.kind)
    if not told:
        return ""
    names = sides if len(sides) > 1 else None
    parts = [
        f"{clipped(of, _NAME)} {' / '.join(found.get(name, '-') for name in names or found)}".strip()
        for of, found in told.items()
    ]
    if len(lines) == 1:
        parts = [part for found in told.values() for part in found.values()]
    unit = f" {picture.unit}" if picture.unit and picture.kind in ("rate", "number") else ""
    return f"{_place(picture, end)}: {', '.join(_some(parts))}{unit}"


def _place(picture: Picture, at: int) -> str:
    label = picture.labels[at]
    if picture.axis == "threads":
        return f"{label} thread{'' if label == '1' else 's'}"
    return clipped(label, _NAME)


def _of_rows(picture: Picture) -> str:
    """Return all rows if they are few, else the smallest and the largest."""
    points = [
        (clipped(picture.labels[point.at], _NAME), series.name, point.value)
        for panel in picture.panels
        for series in panel.series
        for point in series.points
    ]
    several = len({name for _, name, _ in points}) > 1
    told = [(f"{row} on {name}" if several else row, value) for row, name, value in points]
    mark = f"{picture.marks[-1]} " if picture.marks else ""
    if len(told) <= _MOST_TOLD:
        return "; ".join(f"{row}: {mark}{_number(picture, value)}" for row, value in told)
    least, most = min(told, key=lambda one: one[1]), max(told, key=lambda one: one[1])
    if least[1] == most[1]:
        return f"{mark}{_number(picture, least[1])} everywhere"
    return f"{mark}{_number(picture, least[1])} ({least[0]}) to {_number(picture, most[1])} ({most[0]})"


def _number(picture: Picture, value: float) -> str:
    return number_text(value, picture.kind, "" if picture.unit == "" else picture.unit)


def _some(told: Sequence[str]) -> list[str]:
    if len(told) <= 2 * _MOST_TOLD:
        return list(told)
    return [*told[:_MOST_TOLD], f"{len(told) - _MOST_TOLD} more"]
