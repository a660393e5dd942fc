"""What of the arms of a scenario makes one picture: numbers of one unit or metric, with what laws expect."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gilprobe.intervals import ratio_interval
from gilprobe.render.html.figures import Kind, heading_of, kind_of
from gilprobe.render.html.law_ranges import arm_named, expected_range, measured_interval, team

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from gilprobe.results import Arm, Law, ScenarioResult

Side = tuple[str, "ScenarioResult"]
"""The name of an interpreter and what was measured on it."""

PERCENTILE = re.compile(r"^(.+), (p\d{1,2}(?:\.\d+)?)$")
"""The name of an arm that is a percentile of another's numbers."""

_METRIC = re.compile(r"^(.+), ([^,\d]+)$")
_PER_CENT = 0.01
_ROUNDED = 0.01  # a law tells its numbers with two or three digits


@dataclass(frozen=True, slots=True)
class Measure:
    """An arm of one side, as it is drawn."""

    side: int
    name: str
    threads: int
    value: float
    low: float
    high: float
    band: tuple[float | None, float | None] | None


@dataclass(frozen=True, slots=True)
class Group:
    """What becomes one picture."""

    title: str
    unit: str
    kind: Kind
    measures: tuple[Measure, ...]
    sides: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The arms' names, in their order."""
        return list(dict.fromkeys(one.name for one in self.measures))

    @property
    def teams(self) -> list[int]:
        """The numbers of threads, rising."""
        return sorted({one.threads for one in self.measures})


def groups_of(sides: Sequence[Side]) -> list[Group]:
    """Return what becomes a picture each, in the order of the arms."""
    return [group for unit in _units(sides) for group in _groups(unit, sides)]


def _units(sides: Sequence[Side]) -> list[str]:
    return list(dict.fromkeys(arm.unit for _, result in sides for arm in result.arms))


def _groups(unit: str, sides: Sequence[Side]) -> Iterator[Group]:
    names = {arm.name for _, result in sides for arm in result.arms if arm.unit == unit}
    metrics = {name: found for name in names if (found := _METRIC.match(name))}
    if len(names) < 2 or len(metrics) < len(names) or any(PERCENTILE.match(name) for name in names):
        yield _group(heading_of(unit), unit, sides, lambda name: name)
        return
    order = [arm.name for _, result in sides for arm in result.arms if arm.name in names]
    for metric in dict.fromkeys(metrics[name][2] for name in order):

        def short(name: str, metric: str = metric) -> str | None:
            return metrics[name][1] if metrics[name][2] == metric else None

        heading = heading_of(unit) if metric == "rate" else _with_unit(metric[:1].upper() + metric[1:], unit)
        yield _group(heading, unit, sides, short)


def _with_unit(heading: str, unit: str) -> str:
    return f"{heading} ({unit})" if unit and kind_of(unit) == "number" else heading


def _group(title: str, unit: str, sides: Sequence[Side], short: Callable[[str], str | None]) -> Group:
    """Return the arms with this unit to which `short` gives a name, as speedups where they can be that."""
    arms = [
        (number, name, arm)
        for number, (_, result) in enumerate(sides)
        for arm in result.arms
        if arm.unit == unit and (name := short(arm.name)) is not None
    ]
    measures = _speedups(arms) if kind_of(unit) == "rate" else None
    kind: Kind = kind_of(unit) if measures is None else "ratio"
    if measures is None:
        measures = [_measure(number, name, arm) for number, name, arm in arms]
    else:
        title = "Speedup against one thread"
    names = list(dict.fromkeys(one.name for one in measures))
    with_laws = [
        replace(one, band=_band(sides[one.side][1].laws, one, names, measures, kind, unit))
        for one in measures
    ]
    return Group(title, unit, kind, tuple(with_laws), tuple(name for name, _ in sides))


def _measure(side: int, name: str, arm: Arm) -> Measure:
    return Measure(side, name, arm.threads, arm.median, arm.low, arm.high, None)


def _speedups(arms: Sequence[tuple[int, str, Arm]]) -> list[Measure] | None:
    """Return the arms against their single threads; None where one has none, or no ratio says anything."""
    single = {(side, name): arm for side, name, arm in arms if arm.threads == 1}
    if (
        all(arm.threads == 1 for _, _, arm in arms)
        or {(side, name) for side, name, _ in arms} > single.keys()
    ):
        return None
    measures = []
    for side, name, arm in arms:
        one = single[side, name]
        if len(arm.samples) != len(one.samples) or not min(*arm.samples, *one.samples, one.median) > 0:
            return None
        ratio = (1.0, 1.0, 1.0) if arm is one else ratio_interval(arm, one)
        if not all(map(math.isfinite, ratio)):
            return None
        measures.append(Measure(side, name, arm.threads, *ratio, None))
    return measures


def _band(
    laws: Iterable[Law],
    one: Measure,
    names: Sequence[str],
    measures: Iterable[Measure],
    kind: Kind,
    unit: str,
) -> tuple[float | None, float | None] | None:
    """Return what a law expects of this number, if one tells it in the picture's own unit."""
    if kind == "ratio" and one.threads == 1:
        return None
    teams = {other.threads for other in measures if other.name == one.name and other.side == one.side}
    for law in laws:
        wanted, found = expected_range(law), measured_interval(law)
        if wanted is None or found is None or not _same_unit(wanted.unit, wanted.rest, kind, unit):
            continue
        threads = team(law)
        about = arm_named(law, names) == one.name and (
            threads == one.threads or (threads is None and len(teams) == 1)
        )
        scale = _PER_CENT if wanted.unit == "%" else 1.0
        # A law may be about another run of the arm, a traced one say: then it says nothing about this number.
        digits = _ROUNDED * scale if kind in ("ratio", "share", "number") else 0.0
        if about and math.isclose(found[0] * scale, one.value, rel_tol=_ROUNDED, abs_tol=digits):
            return finite(wanted.low * scale), finite(wanted.high * scale)
    return None


def _same_unit(found: str, rest: str, kind: Kind, unit: str) -> bool:
    match kind:
        case "ratio":
            return found == "x" and not rest
        case "seconds":
            return found == "s" and not rest
        case "share":
            return found == "%" and not rest
        case _:
            return found == "" and bool(unit) and rest.startswith(unit)


def finite(end: float) -> float | None:
    """Return an end of a range; None where it is open."""
    return end if math.isfinite(end) else None
