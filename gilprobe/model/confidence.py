"""Confidence intervals of a median, and of the ratio of two."""

from __future__ import annotations

import math
import random
import statistics
from bisect import bisect_right
from collections import Counter
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

from gilprobe.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilprobe.results import Arm


_SEED = 20240229  # the same samples always give the same interval


def bootstrap_interval(
    samples: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000, seed: int = _SEED
) -> tuple[float, float]:
    """Return the bootstrap interval of the median, by the percentile method.

    Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13: draw as many samples with
    replacement as there are, take their median, repeat; the interval lies between the quantiles of these
    medians. Only the ranks of the medians are drawn, see :func:`_drawn`.

    Parameters
    ----------
    samples : sequence of float
        At least one.
    confidence : float
        Share of the medians inside the interval.
    resamples : int
        How often to draw.
    seed : int
        The same samples always give the same interval.

    Returns
    -------
    (float, float)
        Low and high end; the samples' median lies between them.

    Raises
    ------
    InvalidValueError
        If there are no samples.
    """
    if not samples:
        raise InvalidValueError("samples must contain at least one number, got none")
    ordered = sorted(samples)
    ranks = Counter(_drawn(len(ordered), resamples, seed))
    low, high = _ends(
        ((_mean(ordered, pair), number) for pair, number in ranks.items()), confidence, resamples
    )
    median = statistics.median(samples)
    return min(low, median), max(high, median)


@lru_cache(maxsize=64)
def _drawn(size: int, resamples: int, seed: int) -> tuple[tuple[int, int], ...]:
    """Return the ranks, among `size` ordered samples, around the median of each resample.

    No resample is needed for the rank of its k-th smallest value: among as many uniform numbers between 0 and
    1 the k-th smallest has a Beta distribution, and the next is the smallest of the others between it and 1
    (David and Nagaraja, *Order Statistics* (2003), sections 2.1 and 2.4). The cost does not grow with the
    number of samples.
    """
    draw = random.Random(seed)
    middle = (size + 1) // 2
    above = size - middle
    ranks = []
    for _ in range(resamples):
        lower = upper = draw.betavariate(middle, above + 1)
        if size % 2 == 0:
            upper = 1 - (1 - lower) * (1 - draw.random()) ** (1 / above)
        ranks.append((min(int(size * lower), size - 1), min(int(size * upper), size - 1)))
    return tuple(ranks)


@lru_cache(maxsize=64)
def _drawn_twice(
    sizes: tuple[int, int], resamples: int
) -> tuple[tuple[tuple[tuple[int, int], ...], int], ...]:
    """Return pairs of ranks of two samples, drawn independently, and how often each pair comes."""
    drawn = (_drawn(size, resamples, _SEED + number) for number, size in enumerate(sizes))
    return tuple(Counter(zip(*drawn, strict=True)).items())


def _mean(ordered: Sequence[float], ranks: tuple[int, int]) -> float:
    lower, upper = ordered[ranks[0]], ordered[ranks[1]]
    return lower if lower == upper else (lower + upper) / 2


def _ends(counted: Iterable[tuple[float, int]], confidence: float, resamples: int) -> tuple[float, float]:
    """Return the middle ones of numbers that occur so many times each."""
    ordered = sorted(counted)
    upto = list(accumulate(number for _, number in ordered))
    tail = (1 - confidence) / 2
    low = bisect_right(upto, math.floor(tail * (resamples - 1)))
    high = bisect_right(upto, math.ceil((1 - tail) * (resamples - 1)))
    return ordered[low][0], ordered[high][0]


def ratio_interval(above: Arm, below: Arm) -> tuple[float, float, float]:
    """Return the ratio of two arms' medians, with its bootstrap interval over the repeats.

    The arms took turns, so the samples of one repeat saw the same machine: their ratio varies less than
    either.
    """
    ratios = [over / under for over, under in zip(above.samples, below.samples, strict=True)]
    ratio = above.median / below.median
    low, high = bootstrap_interval(ratios)
    return ratio, min(low, ratio), max(high, ratio)


def independent_ratio_interval(
    above: Sequence[float], below: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000
) -> tuple[float, float, float] | None:
    """Return the ratio of the medians of two independent samples, with its interval.

    Both are resampled independently (Efron and Tibshirani (1993), chapter 8: two samples); the interval lies
    between the quantiles of the ratios of their medians.

    Parameters
    ----------
    above, below : sequence of float
        At least one number each.
    confidence : float
        Share of the ratios inside the interval.
    resamples : int
        How often to draw.

    Returns
    -------
    (float, float, float) or None
        Ratio, low and high end; None if a number is zero or below, or the ratio overflows.

    Raises
    ------
    InvalidValueError
        If there are no samples.
    """
    if not (above and below):
        raise InvalidValueError("samples must contain at least one number each, got none")
    if min(*above, *below) <= 0:
        return None
    ratio = statistics.median(above) / statistics.median(below)
    over, under = sorted(above), sorted(below)
    ratios = (
        (_mean(over, one) / _mean(under, other), number)
        for (one, other), number in _drawn_twice((len(over), len(under)), resamples)
    )
    least, most = _ends(ratios, confidence, resamples)
    low, high = min(ratio, least), max(ratio, most)
    return (ratio, low, high) if low > 0 and high < math.inf else None
