"""The spread of a median, and of the ratio of two."""

from __future__ import annotations

import math
import random
import statistics
from typing import TYPE_CHECKING

from gilprobe.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilprobe.results import Arm


_SEED = 20240229  # the same samples always give the same interval


def bootstrap_interval(
    samples: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000, seed: int = _SEED
) -> tuple[float, float]:
    """Return the bootstrap interval of the median, by the percentile method.

    Efron and Tibshirani, *An Introduction to the Bootstrap* (1993), chapter 13: draw as many samples with
    replacement as there are, take their median, repeat; the interval lies between the quantiles of these
    medians.

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
        raise InvalidValueError("samples must hold at least one number, got none")
    draw = random.Random(seed).choices
    size = len(samples)
    medians = sorted(statistics.median(draw(samples, k=size)) for _ in range(resamples))
    tail = (1 - confidence) / 2
    low = medians[math.floor(tail * (resamples - 1))]
    high = medians[math.ceil((1 - tail) * (resamples - 1))]
    median = statistics.median(samples)
    return min(low, median), max(high, median)


def ratio_interval(above: Arm, below: Arm) -> tuple[float, float, float]:
    """Return the ratio of two arms' medians with the bootstrap interval of their ratio repeat by repeat.

    The arms took turns, so the samples of one repeat saw the same machine: their ratio is steadier than
    either.
    """
    ratios = [over / under for over, under in zip(above.samples, below.samples, strict=True)]
    ratio = above.median / below.median
    low, high = bootstrap_interval(ratios)
    return ratio, min(low, ratio), max(high, ratio)


def independent_ratio_interval(
    above: Sequence[float], below: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000
) -> tuple[float, float, float] | None:
    """Return the ratio of the medians of two samples that do not belong together, with its interval.

    Both are drawn from anew, each on its own (Efron and Tibshirani (1993), chapter 8: two samples), and the
    interval lies between the quantiles of the ratios of their medians.

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
        Ratio, low and high end; None if a number is zero or below, or the ratio is beyond what a float holds.

    Raises
    ------
    InvalidValueError
        If there are no samples.
    """
    if not (above and below):
        raise InvalidValueError("samples must hold at least one number each, got none")
    if min(*above, *below) <= 0:
        return None
    draw = random.Random(_SEED).choices
    ratio = statistics.median(above) / statistics.median(below)
    ratios = sorted(
        statistics.median(draw(above, k=len(above))) / statistics.median(draw(below, k=len(below)))
        for _ in range(resamples)
    )
    tail = (1 - confidence) / 2
    low = min(ratio, ratios[math.floor(tail * (resamples - 1))])
    high = max(ratio, ratios[math.ceil((1 - tail) * (resamples - 1))])
    return (ratio, low, high) if low > 0 and high < math.inf else None
