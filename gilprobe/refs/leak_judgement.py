"""Decide whether counts grow with the calls: statistics only."""

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
# Of growth in steps. A doubling capacity lies within a factor of 4 (full or half full at both ends).
_APART = 5.0
_GIVEN_BACK = 0.1


@dataclass(frozen=True, slots=True)
class Series:
    """The growth over repetitions of the same length.

    Attributes
    ----------
    calls : int
        Calls per repetition.
    growth : tuple of int
        Growth in each repetition.
    idle : tuple of int
        Growth in pauses as long, in which only other threads ran; empty if there were none.
    """

    calls: int
    growth: tuple[int, ...]
    idle: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Trend:
    """The trend of a series.

    Attributes
    ----------
    per_call, low, high : float
        The robust slope and its 99 % interval.
    every : bool
        Whether every repetition left at least one.
    verdict : {"flat", "growing", "ending", "unclear"}
        No growth, lasting growth, growth that ends or slows down, or too much noise.
    """

    per_call: float
    low: float
    high: float
    every: bool
    verdict: TrendVerdict


def robust_slope(levels: Sequence[float]) -> tuple[float, float, float]:
    """Return the slope of equally spaced points, two at least, and the ends of its 99 % interval.

    Theil, "A rank-invariant method of linear and polynomial regression analysis" (1950): the median of the
    slopes of all pairs, which tolerates three arbitrary points in ten. The interval is that of Sen,
    "Estimates of the Regression Coefficient Based on Kendall's Tau", Journal of the American Statistical
    Association 63 (1968), section 4; with fewer than six points it is the range of all slopes.

    Parameters
    ----------
    levels : sequence of float
        At least two.

    Returns
    -------
    (float, float, float)
        Slope per step, low and high end.

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
    """Judge whether a series grows, and keeps growing.

    It grows if every repetition left at least one (the rule of ``regrtest -R``) or the interval of its slope
    is above zero. Growth lasts if the second half grows at least half as fast as the first. Growth that
    pauses also show is not the function's.
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
    """Return whether it is a leak, which grows with the calls, and not a cache or growth over time.

    Parameters
    ----------
    shorter, longer : Trend
        Trends of two series, the second with longer repetitions.
    """
    both = shorter.verdict == longer.verdict == "growing"
    return both and longer.per_call >= _AS_FAST * shorter.per_call


def stepwise(stages: Sequence[Series]) -> Trend | None:
    """Find growth in steps of any size, which most repetitions don't show.

    The growth per call is then about the same in every stage, as for a container that doubles its capacity
    whenever it is full. Whole stages are compared.

    Parameters
    ----------
    stages : sequence of Series
        The first stages, each with repetitions three times as long as the one before.

    Returns
    -------
    Trend or None
        The growth per call, with the least and the most of all stages; None if a stage shows no growth, or a
        loss, or the amounts differ too much.
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
    """Return whether repetitions grow significantly more than pauses."""
    if not series.idle or not any(series.idle):
        return True
    return (
        statistics.median(series.growth) > statistics.median(series.idle)
        and rank_sum_test(series.growth, series.idle) <= _CHANCE
    )
