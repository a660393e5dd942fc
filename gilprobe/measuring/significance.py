"""Test whether two samples differ by more than chance: an exact rank test, corrected for many tests."""

from __future__ import annotations

import math
import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from gilprobe.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXACT_UP_TO = 40
"""Limit of samples, both sides together, for the exact test; beyond, the normal distribution is as good."""


def rank_sum_test(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the two-sided p value of the rank-sum test.

    Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1 (1945); Mann and Whitney, "On
    a Test of Whether one of Two Random Variables is Stochastically Larger than the Other", Annals of
    Mathematical Statistics 18 (1947). Under the hypothesis that all samples come from one distribution every
    choice of ``len(one)`` ranks is as likely as every other: p is the share of the choices whose sum is at
    least as far from the mean as the sum that was seen. Equal samples share their mean rank. Up to 40 samples
    all choices are counted; beyond, the normal approximation with the correction for ties and continuity is
    used (Lehmann, *Nonparametrics* (1975), section 1.4).

    Returns
    -------
    float
        Between 0 (exclusive) and 1. With n and m samples it can't be below :func:`smallest_p`.

    Raises
    ------
    InvalidValueError
        If a side has no samples.
    """
    if not (one and other):
        raise InvalidValueError("samples must contain at least one number each, got none")
    ranks = _doubled_ranks([*one, *other])
    seen = sum(ranks[: len(one)])
    if len(ranks) <= EXACT_UP_TO:
        return _exact(tuple(sorted(ranks)), len(one), seen)
    return _approximate(ranks, len(one), seen)


def smallest_p(one: int, other: int) -> float:
    """Return the smallest p that the rank-sum test can give for so many samples (without ties)."""
    return min(1.0, 2 / math.comb(one + other, one))


def holm(values: Sequence[float]) -> tuple[float, ...]:
    """Return p values adjusted for several tests, by Holm's method.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6
    (1979): the smallest is multiplied by the number of tests, the next by one less, and so on; none becomes
    smaller than the one before it. If nothing differs, at most one in twenty families of tests then has a p
    of 0.05 or less.
    """
    adjusted = [0.0] * len(values)
    least = 0.0
    for done, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        least = max(least, min(1.0, values[index] * (len(values) - done)))
        adjusted[index] = least
    return tuple(adjusted)


def _doubled_ranks(samples: Sequence[float]) -> list[int]:
    """Return twice the rank of each sample; equal ones share their mean. Doubled ranks are integers."""
    order = sorted(range(len(samples)), key=samples.__getitem__)
    ranks = [0] * len(samples)
    begin = 0
    while begin < len(order):
        end = begin
        while end < len(order) and samples[order[end]] == samples[order[begin]]:
            end += 1
        for index in order[begin:end]:
            ranks[index] = begin + end + 1  # twice the mean of begin + 1 ... end
        begin = end
    return ranks


@lru_cache(maxsize=64)
def _sums(ranks: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Return for each sum, from 0 on, how many choices of `size` ranks have it."""
    # Polynomials: a power is a sum, its coefficient the number of choices. Each coefficient has 64 bits of a
    # long integer, more than C(40, 20) needs.
    counts = [1] + [0] * size
    for rank in ranks:
        for chosen in range(size, 0, -1):
            counts[chosen] += counts[chosen - 1] << (64 * rank)
    words = -(-counts[size].bit_length() // 64)
    return struct.unpack(f"<{words}Q", counts[size].to_bytes(8 * words, "little"))


def _exact(ranks: tuple[int, ...], size: int, seen: int) -> float:
    sums = _sums(ranks, size)
    whole = len(ranks)
    distance = abs(whole * seen - size * sum(ranks))  # from the mean, times `whole`: integers
    mean = size * sum(ranks)
    far = sum(number for total, number in enumerate(sums) if abs(whole * total - mean) >= distance)
    return far / math.comb(whole, size)


def _approximate(ranks: Sequence[int], size: int, seen: int) -> float:
    whole = len(ranks)
    middle = sum(ranks) / whole
    mean = size * middle
    spread = sum((rank - middle) ** 2 for rank in ranks)
    deviation = math.sqrt(size * (whole - size) * spread / (whole * (whole - 1)))
    distance = max(0.0, abs(seen - mean) - 1.0)  # half a rank, for continuity
    return math.erfc(distance / deviation / math.sqrt(2)) if deviation else 1.0
