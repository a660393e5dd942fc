"""Group a scenario's arms into pictures: numbers of one unit or metric, with the laws' ranges."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilprobe.model.confidence import ratio_interval
from gilprobe.render.html.results.number_text import NumberKind, heading_of, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gilprobe.render.shared.sides import Side
    from gilprobe.results import Arm, ScenarioResult

_Told = dict[tuple[str, str | None, int | None], tuple[float | None, float | None]]
"""The expected range of a quantity of an arm."""

PERCENTILE = re.compile(r"^(.+), (p\d{1,2}(?:\.\d+)?)$")
"""Name of an arm that is a percentile of another one."""

_METRIC = re.compile(r"^(.+), ([^,\d]+)$")
_MOST_SAMPLES = 1000  # threads of an arm; a file may claim any number


@dataclass(frozen=True, slots=True)
class DrawnArm:
    """An arm of one side, as drawn."""

    side: int
    name: str
    threads: int
    value: float
    low: float
    high: float
    band: tuple[float | None, float | None] | None


@dataclass(frozen=True, slots=True)
class PicturedGroup:
    """The numbers of one picture."""

    title: str
    unit: str
    kind: NumberKind
    measures: tuple[DrawnArm, ...]
    sides: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Names of the arms, in order."""
        return list(dict.fromkeys(one.name for one in self.measures))

    @property
    def teams(self) -> list[int]:
        """Numbers of threads, rising."""
        return sorted({one.threads for one in self.measures})


def groups_of(sides: Sequence[Side]) -> list[PicturedGroup]:
    """Return the numbers of each picture, in the order of the arms."""
    groups = [group for unit in _units(sides) for group in _groups(unit, sides)]
    return [group for group in groups if group.measures]


def _units(sides: Sequence[Side]) -> list[str]:
    return list(dict.fromkeys(arm.unit for _, result in sides for arm in result.arms))


def _groups(unit: str, sides: Sequence[Side]) -> Iterator[PicturedGroup]:
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


def _group(title: str, unit: str, sides: Sequence[Side], short: Callable[[str], str | None]) -> PicturedGroup:
    """Return the arms with this unit that have a name in `short`, as speedups if possible."""
    arms = [
        (number, name, arm)
        for number, (_, result) in enumerate(sides)
        for arm in result.arms
        if arm.unit == unit
        and (name := short(arm.name)) is not None
        and all(map(math.isfinite, (arm.median, arm.low, arm.high)))
    ]
    told = [_ranges(result) for _, result in sides]
    measures = _speedups(arms, told) if kind_of(unit) == "rate" else None
    names = tuple(name for name, _ in sides)
    if measures is not None:
        return PicturedGroup("Speedup against one thread", unit, "ratio", tuple(measures), names)
    values = tuple(_measure(number, name, arm, told[number]) for number, name, arm in arms)
    return PicturedGroup(title, unit, kind_of(unit), values, names)


def _ranges(result: ScenarioResult) -> _Told:
    """Return the laws' ranges for the arms; the first law about a number counts."""
    claims = [law.claim for law in reversed(result.laws) if law.claim is not None]
    return {(one.quantity, one.arm, one.threads): (one.low, one.high) for one in claims}


def _measure(side: int, name: str, arm: Arm, told: _Told) -> DrawnArm:
    band = told.get(("value", arm.name, arm.threads))
    return DrawnArm(side, name, arm.threads, arm.median, arm.low, arm.high, band)


def _speedups(arms: Sequence[tuple[int, str, Arm]], told: Sequence[_Told]) -> list[DrawnArm] | None:
    """Return the arms over their single threads; None if one has none, or a ratio is meaningless."""
    single = {(side, name): arm for side, name, arm in arms if arm.threads == 1}
    if (
        all(arm.threads == 1 for _, _, arm in arms)
        or {(side, name) for side, name, _ in arms} > single.keys()
    ):
        return None
    measures = []
    for side, name, arm in arms:
        one = single[side, name]
        samples = (*arm.samples, *one.samples)
        if not 0 < len(arm.samples) == len(one.samples) <= _MOST_SAMPLES or min(*samples, one.median) <= 0:
            return None
        ratio = (1.0, 1.0, 1.0) if arm is one else ratio_interval(arm, one)
        if not all(map(math.isfinite, ratio)):
            return None
        band = None if arm is one else told[side].get(("speedup", arm.name, arm.threads))
        measures.append(DrawnArm(side, name, arm.threads, *ratio, band))
    return measures
