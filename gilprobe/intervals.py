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


def bootstrap_interval(
    samples: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 20240229
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
