"""Whether what was counted after each repetition grows with the calls: statistics alone."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gilprobe.errors import InvalidValueError
from gilprobe.measuring.significance import rank_sum_test

if TYPE_CHECKING:
    from collections.abc import Sequence

TrendVerdict = Literal["flat", "growing", "ending", "unclear"]

_QUANTILE = statistics.NormalDist().inv_cdf(0.995)  # of the two-sided 99 % interval
_LASTING = 0.5
_AS_FAST = 0.7
_CHANCE = 0.01
# Of growth in steps. Room that doubles lies within a factor of 4 (between full and half full, at both ends).
_APART = 5.0
_GIVEN_BACK = 0.1


@dataclass(frozen=True, slots=True)
class Series:
    """What repetitions of the same length left.

    Attributes
    ----------
    calls : int
        Calls a repetition.
    growth : tuple of int
        By how much each repetition left more than it found.
    idle : tuple of int
        The same of pauses as long, in which only other threads ran; empty if there were none.
    """

    calls: int
    growth: tuple[int, ...]
    idle: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Trend:
    """What a series says.

    Attributes
    ----------
    per_call, low, high : float
        The robust slope and its 99 % interval.
    every : bool
        Whether every repetition left at least one.
    verdict : {"flat", "growing", "ending", "unclear"}
        Growth that lasts, none, one that ends or slows down, or too much noise to tell.
    """

    per_call: float
    low: float
    high: float
    every: bool
    verdict: TrendVerdict


def robust_slope(levels: Sequence[float]) -> tuple[float, float, float]:
    """Return the slope of equally spaced points, two at least, and the ends of its 99 % interval.

    Theil, "A rank-invariant method of linear and polynomial regression analysis" (1950): the median of the
    slopes of all pairs, which three points in ten that lie anywhere don't move. The interval is that of Sen,
    "Estimates of the Regression Coefficient Based on Kendall's Tau", Journal of the American Statistical
    Association 63 (1968), section 4; with fewer than six points it is the range of all slopes.

    Raises
    ------
    InvalidValueError
        If there are fewer than two levels.
    """
    size = len(levels)
    if size < 2:
        raise InvalidValueError(f"levels must be at least 2, got {size}")
    slopes = sorted(
        (levels[later] - levels[first]) / (later - first)
        for first in range(size)
        for later in range(first + 1, size)
    )
    half = _QUANTILE * math.sqrt(size * (size - 1) * (2 * size + 5) / 18)
    low = max(0, math.floor((len(slopes) - half) / 2) - 1)
    high = min(len(slopes) - 1, math.ceil((len(slopes) + half) / 2))
    return statistics.median(slopes), slopes[low], slopes[high]


def judge(series: Series) -> Trend:
    """Say whether a series grows, and goes on to.

    It grows if every repetition left at least one (the rule of ``regrtest -R``) or the interval of its slope
    lies above zero, and lasts if its second half grows at least half as fast as its first. Growth that pauses
    have, too, is not the function's.
    """
    growth = [float(step) for step in series.growth]
    if series.idle:
        usual = statistics.median(series.idle)
        growth = [step - usual for step in growth]
    slope, low, high = (value / series.calls for value in robust_slope(_levels(growth)))
    every = min(growth) >= 1
    verdict: TrendVerdict
    if sum(growth) < 1 or high <= 0 or not any(growth):
        verdict = "flat"
    elif not (every or low > 0):
        verdict = "unclear" if _late(growth) > 0 else "flat"
    elif not _lasts(growth):
        verdict = "ending"
    elif not _differs(series):
        verdict = "unclear"
    else:
        verdict = "growing"
    return Trend(slope, low, high, every, verdict)


def confirmed(shorter: Trend, longer: Trend) -> bool:
    """Tell a leak, which grows with the calls, from what fills up or only takes time."""
    both = shorter.verdict == longer.verdict == "growing"
    return both and longer.per_call >= _AS_FAST * shorter.per_call


def stepwise(stages: Sequence[Series]) -> Trend | None:
    """Tell growth in steps of any size, which most repetitions see nothing of.

    What is left with a call is a number of its own then, the same for every stage: so it is for a container
    that makes room for twice as much each time it is full. It is looked at as a whole, stage by stage.

    Parameters
    ----------
    stages : sequence of Series
        The first ones, each of repetitions three times as long as those before.

    Returns
    -------
    Trend or None
        The amount a call, between the least and the most of all stages; None if it does not grow in one of
        them, or gives back what it took, or its amounts a call are too far apart.
    """
    rates = []
    for one in stages:
        growth = [
            step - pause for step, pause in zip(one.growth, one.idle or (0,) * len(one.growth), strict=True)
        ]
        if -sum(step for step in growth if step < 0) > _GIVEN_BACK * sum(step for step in growth if step > 0):
            return None
        rates.append(sum(growth) / (one.calls * len(growth)))
    if min(rates) <= 0 or max(rates) > _APART * min(rates):
        return None
    calls = [one.calls * len(one.growth) for one in stages]
    whole = sum(rate * number for rate, number in zip(rates, calls, strict=True)) / sum(calls)
    every = all(min(one.growth) >= 1 for one in stages)
    return Trend(whole, min(rates), max(rates), every, "growing")


def _levels(growth: Sequence[float]) -> list[float]:
    levels = [0.0]
    for step in growth:
        levels.append(levels[-1] + step)
    return levels


def _late(growth: Sequence[float]) -> float:
    """Return the mean growth of the second half."""
    return statistics.fmean(growth[len(growth) // 2 :])


def _lasts(growth: Sequence[float]) -> bool:
    early = statistics.fmean(growth[: len(growth) - len(growth) // 2])
    return _late(growth) >= _LASTING * early and (len(growth) < 4 or max(growth[-2:]) > 0)


def _differs(series: Series) -> bool:
    """Tell whether repetitions grow more than pauses, by more than chance."""
    if not series.idle or not any(series.idle):
        return True
    return (
        statistics.median(series.growth) > statistics.median(series.idle)
        and rank_sum_test(series.growth, series.idle) <= _CHANCE
    )
