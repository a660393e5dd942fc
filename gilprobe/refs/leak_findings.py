"""Decide from a hunt's series which counts are findings, and how certain they are."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from gilprobe.model.leak_report import LeakFinding
from gilprobe.refs.leak_judgement import Series, Trend, confirmed, judge, stepwise
from gilprobe.refs.leak_probes import examples
from gilprobe.refs.leak_windows import Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gilprobe.model.leak_report import LeakKind
    from gilprobe.refs.leak_windows import Shortage


_MOST_HOLDERS = 3


def evidence(column: Column, left: list[object]) -> Iterator[str]:
    """Yield what can be told about one of those that were left, which `left` holds; it is taken out."""
    if column.lost:
        yield "a reference is dropped or stolen that was never taken: the object is freed while in use"
    elif column.kind == "objects" and left:
        yield from _holders(left)
    elif column.kind == "descriptors":
        yield from _last_descriptors()
    elif column.kind == "threads":
        names = [thread.name for thread in threading.enumerate()[-_MOST_HOLDERS:]]
        yield f"the last threads are {', '.join(map(ascii, names))}"


def _holders(left: list[object]) -> Iterator[str]:
    from gilprobe.refs import referrers

    holders = referrers.describe(left.pop(), sys._getframe())
    if not holders:
        yield "no object that the garbage collector knows refers to the last one: native code holds it"
    for holder in holders[:_MOST_HOLDERS]:
        yield f"the last one is held by {holder}"


def _last_descriptors() -> Iterator[str]:
    for number in sorted(map(int, os.listdir("/proc/self/fd")))[-_MOST_HOLDERS:]:  # noqa: PTH208
        with suppress(OSError):
            yield f"descriptor {number} is {os.readlink(f'/proc/self/fd/{number}')!r}"  # noqa: PTH115


_RANKS = ("objects", "reference", "descriptors", "threads", "interned", "total", "blocks", "heap", "memory")
# Per call. Repetitions of any length leave or lose a handful by themselves, which is less.
_LEAST = 0.02
_LEAST_BYTES = 2.0
# Per call. Of less most calls leave nothing: what a call leaves is one, or a chunk of C's heap.
_RARE = 0.5
_RARE_BYTES = 16.0
# Per stage, for growth in steps: a stage may have few calls.
_LEAST_STEP = 16
_LEAST_STEP_BYTES = 4096

Trends = dict[Column, Trend]


class Stage(NamedTuple):
    """The results of repetitions of one length."""

    repetitions: int
    calls: int
    trends: Trends

    @property
    def all_calls(self) -> int:
        """Calls of all repetitions together."""
        return self.repetitions * self.calls


class SureLeak(NamedTuple):
    """A certain leak, its numbers, and some of the leaked objects."""

    column: Column
    trend: Trend
    numbers: str
    left: list[object]

    def finding(self) -> LeakFinding:
        """Return the finding with its evidence."""
        sign = -1 if self.column.lost else 1
        low, high = sorted((sign * self.trend.low, sign * self.trend.high))
        return LeakFinding(
            kind=self.column.kind,
            what=self.column.what,
            per_call=sign * self.trend.per_call,
            low=low,
            high=high,
            every_repetition=self.trend.every,
            evidence=(self.numbers, *evidence(self.column, self.left)),
        )


def judged(series: Mapping[Column, Series]) -> Trends:
    """Judge growth, and for references to one object also loss."""
    trends: Trends = {}
    for column, one in series.items():
        trends[column] = judge(one)
        if column.kind == "reference" and trends[column].verdict == "flat":
            mirrored = Series(one.calls, tuple(-x for x in one.growth), tuple(-x for x in one.idle))
            trend = judge(mirrored)
            if trend.verdict != "flat":
                trends[column._replace(lost=True)] = trend
    return trends


def lasting(stages: Sequence[Stage]) -> Trends:
    """Return what grows as fast in the last stage as in the previous one."""
    last = stages[-1].trends
    before = _before(stages)
    return {
        column: trend
        for column, trend in last.items()
        if column in before and confirmed(before[column], trend) and _is_enough(column, trend)
    }


def is_rare(kind: LeakKind, per_call: float) -> bool:
    """Return whether most calls leave nothing, which is also how a cache of the interpreter fills up."""
    return abs(per_call) < (_RARE_BYTES if kind == "heap" else _RARE)


def found_in(stages: Sequence[Stage]) -> list[SureLeak]:
    """Return what never stops growing, without its consequences."""
    before, last = _before(stages), stages[-1]
    sure = lasting(stages)
    return [
        SureLeak(
            column, sure[column], _numbers(column, before[column], sure[column], last), _examples(column)
        )
        for column in _in_order(sure)
    ]


def found_stepwise(stages: Sequence[Mapping[Column, Series]]) -> list[SureLeak]:
    """Return what grows in steps, by as much per call in each stage."""
    sure: Trends = {}
    for column in stages[-1]:
        alone = [stage[column] for stage in stages if column in stage]
        trend = stepwise(alone) if len(alone) == len(stages) else None
        if trend is not None and _is_enough(column, trend) and is_step(column, alone[0]):
            sure[column] = trend
    return [
        SureLeak(column, sure[column], _steps([stage[column] for stage in stages]), _examples(column))
        for column in _in_order(sure)
    ]


def is_step(column: Column, series: Series) -> bool:
    """Return whether growth deserves a longer look, by its total amount."""
    return sum(series.growth) >= (_LEAST_STEP_BYTES if column.kind == "heap" else _LEAST_STEP)


def found_short(shortage: Shortage, calls: int) -> SureLeak:
    """Return the shortage that ended the hunt, if no other finding explains it."""
    amount = shortage.amount / max(1, calls)
    trend = Trend(amount, amount, amount, every=False, verdict="growing")
    return SureLeak(shortage.column, trend, f"{shortage.told} in {calls} calls", [])


def doubts(stages: Sequence[Stage]) -> Iterator[str]:
    """Yield what was too noisy to judge."""
    before = _before(stages)
    for column, trend in stages[-1].trends.items():
        both = trend.verdict == before.get(column, trend).verdict == "unclear"
        if both and _is_enough(column, trend):
            yield (
                f"{column.what}: too noisy to judge, "
                f"{trend.per_call:.2g} a call ({trend.low:.2g} to {trend.high:.2g})"
            )


def _before(stages: Sequence[Stage]) -> Trends:
    return stages[-2 if len(stages) > 1 else -1].trends


def _numbers(column: Column, before: Trend, trend: Trend, last: Stage) -> str:
    verb = "lost" if column.lost else "left"
    rule = f"each of {last.repetitions} repetitions {verb} some" if trend.every else "among noise"
    return (
        f"{trend.per_call:.3g} {verb} a call in repetitions of {last.calls} calls, "
        f"{before.per_call:.3g} in those before; {rule}"
    )


def _steps(series: Sequence[Series]) -> str:
    parts = [
        f"{sum(one.growth) / (one.calls * len(one.growth)):.3g} in {one.calls * len(one.growth)}"
        for one in series
    ]
    return f"left a call: {', '.join(parts)} calls; in steps, most calls leave nothing"


def _examples(column: Column) -> list[object]:
    return examples(column.what.removesuffix(" objects"), 1) if column.kind == "objects" else []


def _is_enough(column: Column, trend: Trend) -> bool:
    return trend.per_call >= (_LEAST_BYTES if column.kind == "heap" else _LEAST)


def _in_order(sure: Trends) -> list[Column]:
    """Return the most important first, without consequences of others."""
    alone = [column for column in sure if not _is_consequence(column, sure)]
    return sorted(alone, key=lambda one: _RANKS.index(one.kind))


def _is_consequence(column: Column, sure: Mapping[Column, Trend]) -> bool:
    """Return whether these are references of leaked objects: to their type, to None."""
    if column.kind != "reference" or column.lost:
        return False
    lost_types = [one.what.removesuffix(" objects") for one in sure if one.kind == "objects"]
    common = tuple(f"references to {name}" for name in ("None", "True", "False", "()"))
    if column.what in common:
        return bool(lost_types)
    return any(
        column.what.endswith((f" {name}", f".{name}", f" '{name.rpartition('.')[2]}'")) for name in lost_types
    )
