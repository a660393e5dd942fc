"""Choose pictures for a scenario's arms, by rules that fit any scenario.

Arms with one unit make a picture; a metric after a comma in their names (``fork, start-up per worker``) makes
its own. Rates become speedups if every arm has a single thread. The first of these that fits is drawn:

1. names that end in percentiles (``alone, p99``): **ranges**, a row for each arm, a mark for each percentile;
2. names that differ in one quantity (``every 10 us``): **lines** against this quantity;
3. three sizes of team or more: **lines** against threads;
4. anything else: **rows**, each with its interval.

With several interpreters, colours stand for them; panels show the other differences.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gilprobe.render.html.results.measures import PERCENTILE, DrawnArm, PicturedGroup, groups_of
from gilprobe.render.html.results.number_text import kind_of
from gilprobe.render.html.results.picture import Band, Panel, Picture, PlotSeries, Point
from gilprobe.render.html.results.quantities import common_part, scale_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilprobe.render.shared.sides import Side
    from gilprobe.results import Law

_SPREAD = 40.0  # ratio of largest to smallest number that makes an axis logarithmic
_MOST_LINES = 6
_TEAMS = 3


def pictures(sides: Sequence[Side]) -> list[Picture]:
    """Return the pictures of a scenario's arms, then those of laws along a scale.

    Parameters
    ----------
    sides : sequence of (str, ScenarioResult)
        Results of one scenario, on one interpreter each.
    """
    drawn = [_drawn(group) for group in groups_of(sides)] + _law_pictures(sides)
    return [_without_zero(picture) if picture.logarithmic else picture for picture in drawn]


def _without_zero(picture: Picture) -> Picture:
    """Return a picture with a logarithmic axis; bands that begin at zero or below are open."""
    panels = tuple(
        replace(panel, series=tuple(replace(one, bands=_positive(one.bands)) for one in panel.series))
        for panel in picture.panels
    )
    return replace(picture, panels=panels)


def _positive(bands: Iterable[Band]) -> tuple[Band, ...]:
    opened = (replace(band, low=None) if band.low is not None and band.low <= 0 else band for band in bands)
    return tuple(band for band in opened if band.high is None or band.high > 0)


def _drawn(group: PicturedGroup) -> Picture:
    if any(PERCENTILE.match(name) for name in group.names):
        return _ranges(group)
    order = scale_of(group.names)
    if order is not None:
        return _against_scale(group, order)
    sizes: dict[str, set[int]] = {}
    for one in group.measures:
        sizes.setdefault(one.name, set()).add(one.threads)
    return _against_threads(group) if max(map(len, sizes.values())) >= _TEAMS else _rows(group)


def _logarithmic(values: Iterable[float]) -> bool:
    """Return whether an axis is logarithmic; lower ends count, since a logarithm has no zero."""
    values = list(values)
    return bool(values) and min(values) > 0 and max(values) / min(values) > _SPREAD


def _lines(
    group: PicturedGroup,
    places: Sequence[str],
    place: Callable[[DrawnArm], int],
    rest: Callable[[DrawnArm], str],
    axis: str,
) -> Picture:
    """Return lines: `place` is a number's position, `rest` distinguishes lines of one interpreter."""
    lines: dict[tuple[str, int], list[DrawnArm]] = {}
    for one in group.measures:
        lines.setdefault((rest(one), one.side), []).append(one)
    words = list(dict.fromkeys(word for word, _ in lines))
    several = len({side for _, side in lines}) > 1
    panels = [
        Panel(
            word if len(words) > 1 else "",
            tuple(
                _series(group.sides[side], side, found, place)
                for (one, side), found in lines.items()
                if one == word
            ),
        )
        for word in words
    ]
    if not several and len(words) <= _MOST_LINES:
        drawn = [_series(word, look, lines[word, _only(lines)], place) for look, word in enumerate(words)]
        panels = [Panel("", tuple(drawn))]
    return Picture(
        form="lines",
        title=group.title,
        note="",
        kind=group.kind,
        unit=group.unit,
        logarithmic=group.kind != "ratio" and _logarithmic(one.low for one in group.measures),
        axis=axis,
        labels=tuple(places),
        panels=tuple(panels),
    )


def _only(lines: Iterable[tuple[str, int]]) -> int:
    return next(side for _, side in lines)


def _series(name: str, look: int, found: Iterable[DrawnArm], place: Callable[[DrawnArm], int]) -> PlotSeries:
    ordered = sorted(found, key=place)
    return PlotSeries(
        name,
        look,
        tuple(Point(place(one), one.value, one.low, one.high) for one in ordered),
        tuple(Band(place(one), *one.band) for one in ordered if one.band is not None),
    )


def _against_threads(group: PicturedGroup) -> Picture:
    teams = group.teams
    return _lines(
        group, [*map(str, teams)], lambda one: teams.index(one.threads), lambda one: one.name, "threads"
    )


def _against_scale(group: PicturedGroup, order: Sequence[str]) -> Picture:
    if group.kind == "ratio":  # a single thread's speedup is always 1
        group = replace(group, measures=tuple(one for one in group.measures if one.threads > 1))
    axis, labels = common_part(order)
    return _lines(group, labels, lambda one: order.index(one.name), lambda one: _threads(one.threads), axis)


def _threads(number: int) -> str:
    return f"{number} thread{'' if number == 1 else 's'}"


def _rows(group: PicturedGroup) -> Picture:
    measures = [one for one in group.measures if group.kind != "ratio" or one.threads > 1]
    order = {name: at for at, name in enumerate(group.names)}
    keys = sorted({(one.name, one.threads) for one in measures}, key=lambda key: (order[key[0]], key[1]))
    row = {key: at for at, key in enumerate(keys)}
    teams = {threads for _, threads in keys}
    labels = [name if len(teams) == 1 else f"{name} x {threads}" for name, threads in keys]
    title = group.title
    if group.kind == "ratio" and len(teams) == 1:
        title = f"Speedup of {_threads(*teams)} against one"
    return Picture(
        form="rows",
        title=title,
        note="",
        kind=group.kind,
        unit=group.unit,
        logarithmic=_logarithmic(one.low for one in measures),
        axis="",
        labels=tuple(labels),
        panels=(Panel("", _by_side(group, measures, lambda one: row[one.name, one.threads])),),
    )


def _by_side(
    group: PicturedGroup, measures: Sequence[DrawnArm], place: Callable[[DrawnArm], int]
) -> tuple[PlotSeries, ...]:
    return tuple(
        _series(name, side, [one for one in measures if one.side == side], place)
        for side, name in enumerate(group.sides)
        if any(one.side == side for one in measures)
    )


def _ranges(group: PicturedGroup) -> Picture:
    """Return rows with a mark for each percentile; an arm's own number without one is its median."""
    found: dict[tuple[str, int, int], dict[str, DrawnArm]] = {}
    for one in group.measures:
        parts = PERCENTILE.match(one.name)
        name, mark = (parts[1], parts[2]) if parts else (one.name, "p50")
        found.setdefault((name, one.threads, one.side), {})[mark] = one
    marks = sorted({mark for row in found.values() for mark in row}, key=lambda mark: float(mark[1:]))
    rows = list(dict.fromkeys((name, threads) for name, threads, _ in found))
    series = []
    for side, name in enumerate(group.sides):
        points = [
            Point(rows.index(key[:2]), row[marks[-1]].value, row[marks[-1]].low, row[marks[-1]].high, values)
            for key, row in found.items()
            if key[2] == side
            and len(values := tuple(row[mark].value for mark in marks if mark in row)) == len(marks)
        ]
        if points:
            series.append(PlotSeries(name, side, tuple(points)))
    return Picture(
        form="ranges",
        title=group.title,
        note="The bar through the last mark is its interval.",
        kind=group.kind,
        unit=group.unit,
        logarithmic=_logarithmic(
            value for one in series for point in one.points for value in (*point.marks, point.low)
        ),
        axis="",
        labels=tuple(name for name, _ in rows),
        panels=(Panel("", tuple(series)),),
        marks=tuple(marks),
    )


def _law_pictures(sides: Sequence[Side]) -> list[Picture]:
    """Return a picture for laws with the same words about arms along a scale: values, and ranges as a band.

    Only for numbers that are not the arms' own: those are in the arms' pictures.
    """
    heads = dict.fromkeys(head for _, result in sides for law in result.laws if (head := _head(law)))
    return [made for head in heads if (made := _law_picture(head, sides)) is not None]


def _head(law: Law) -> str:
    """Return the words of a law without the arm at its end; empty if it ends with no arm."""
    claim = law.claim
    if claim is None or claim.arm is None or claim.quantity != "other":
        return ""
    head = law.text.removesuffix(f": {claim.arm}")
    return head if head != law.text else ""


def _law_picture(head: str, sides: Sequence[Side]) -> Picture | None:
    measures, unit = [], ""
    for number, (_, result) in enumerate(sides):
        for law in result.laws:
            claim = law.claim
            if claim is not None and claim.arm is not None and _head(law) == head:
                interval = claim.value, claim.value_low, claim.value_high
                measures.append(DrawnArm(number, claim.arm, 0, *interval, (claim.low, claim.high)))
                unit = claim.unit
    order = scale_of(list(dict.fromkeys(one.name for one in measures)))
    if order is None:
        return None
    group = PicturedGroup(
        f"{head}: {unit}" if unit else head,
        unit,
        kind_of(unit),
        tuple(measures),
        tuple(name for name, _ in sides),
    )
    axis, labels = common_part(order)
    return _lines(group, labels, lambda one: order.index(one.name), lambda _one: "measured", axis)
