"""The rank-sum test against a slow twin that tries every choice, and Holm's correction against its law."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from bisect import bisect_left, bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilprobe.errors import InvalidValueError
from gilprobe.measuring.significance import EXACT_UP_TO, _sums, holm, rank_sum_test, smallest_p
from gilprobe.model.confidence import bootstrap_interval, independent_ratio_interval

pytestmark = pytest.mark.plain_python

SAMPLES = st.lists(st.integers(-3, 9).map(float), min_size=1, max_size=5)


def slow_p(one, other):
    """Return the two-sided p by trying every choice of positions."""
    whole = sorted([*one, *other])
    rank = {value: (whole.index(value) + 1 + len(whole) - whole[::-1].index(value)) / 2 for value in whole}
    ranks = [rank[value] for value in [*one, *other]]
    mean = len(one) * (len(ranks) + 1) / 2
    seen = abs(sum(ranks[: len(one)]) - mean)
    sums = [abs(sum(chosen) - mean) for chosen in itertools.combinations(ranks, len(one))]
    return sum(distance >= seen - 1e-9 for distance in sums) / len(sums)


@given(SAMPLES, SAMPLES)
def test_it_is_the_share_of_choices_that_are_at_least_as_far(one, other):
    assert rank_sum_test(one, other) == pytest.approx(slow_p(one, other))


@given(SAMPLES, SAMPLES)
def test_sides_units_and_order_do_not_matter(one, other):
    p = rank_sum_test(one, other)
    assert 0 < p <= 1
    assert rank_sum_test(other, one) == pytest.approx(p)
    assert rank_sum_test([1000 * x for x in one[::-1]], [1000 * x for x in other]) == pytest.approx(p)


def test_published_values():
    """Full separation: 2 / C(n + m, n); Mann and Whitney (1947), table I: U = 2 of 4 and 5 has 0.032."""
    assert rank_sum_test([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == 2 / 252 == smallest_p(5, 5)
    assert rank_sum_test([1, 2, 3], [4, 5, 6]) == 0.1
    assert rank_sum_test([1, 2, 3, 6], [4, 5, 7, 8, 9]) == pytest.approx(2 * 0.032, abs=1e-3)
    assert rank_sum_test([5.0] * 4, [5.0] * 6) == 1.0


def test_many_samples_are_approximated_closely():
    draw = random.Random(7)
    one = [draw.gauss(0.0, 1) for _ in range(EXACT_UP_TO // 2)]
    other = [draw.gauss(0.7, 1) for _ in range(EXACT_UP_TO // 2)]
    exact = rank_sum_test(one, other)
    more = rank_sum_test([*one, 0.0], [*other, 0.7])
    assert exact < 0.5
    assert more == pytest.approx(exact, rel=0.5)
    assert rank_sum_test([1.0] * 30, [1.0] * 30) == 1.0
    assert 0 <= rank_sum_test(list(range(50)), list(range(50, 100))) < 1e-9


def test_under_no_difference_p_is_small_as_rarely_as_it_says():
    draw = random.Random(3)
    values = [
        rank_sum_test([draw.random() for _ in range(5)], [draw.random() for _ in range(5)])
        for _ in range(1000)
    ]
    assert sum(p <= 0.05 for p in values) < 75


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holms_values_are_in_order_and_between_the_raw_and_bonferronis(values):
    adjusted = holm(values)
    for raw, value in zip(values, adjusted, strict=True):
        assert raw <= value <= min(1.0, raw * len(values)) or math.isclose(raw, value)
    pairs = sorted(zip(values, adjusted, strict=True))
    assert [value for _, value in pairs] == sorted(value for _, value in pairs)


def test_holm_of_an_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_the_ratio_of_two_medians_has_an_interval_around_it():
    above, below = [20.0, 21.0, 19.0, 20.5, 19.5], [10.0, 10.5, 9.5, 10.2, 9.8]
    ratio, low, high = independent_ratio_interval(above, below)
    assert ratio == 2.0
    assert 19 / 10.5 <= low < ratio < high <= 21 / 9.5
    assert independent_ratio_interval(above, below) == (ratio, low, high)
    assert independent_ratio_interval([5.0], [2.5]) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("above", "below"),
    [([1.0], [0.0]), ([0.0], [1.0]), ([1.0], [-2.0]), ([1e308], [1e-308]), ([1e308, 1.7e308], [1.0, 2.0])],
)
def test_what_has_no_ratio_has_none(above, below):
    found = independent_ratio_interval(above, below)
    assert found is None or all(map(math.isfinite, found))
    assert (found is None) == (above[0] / below[0] <= 0 if below[0] else True) or above[0] > 1


def test_no_samples_are_refused():
    for function in (rank_sum_test, independent_ratio_interval):
        with pytest.raises(InvalidValueError, match="at least one number"):
            function([], [1.0])


def by_drawing(samples, resamples, seed):
    """Return medians of resamples, in order: what the ranks that are drawn stand for."""
    draw = random.Random(seed)
    return sorted(statistics.median(draw.choices(samples, k=len(samples))) for _ in range(resamples))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9, 10, 101])
def test_the_interval_is_that_of_resamples(size):
    """Its ends lie where the medians of real resamples have these quantiles, give or take chance."""
    samples = [float(number) for number in range(size)]
    low, high = bootstrap_interval(samples, resamples=4000)
    medians = by_drawing(samples, 4000, 7)
    for end, share in ((low, 0.025), (high, 0.975)):
        below, upto = (side(medians, end) / len(medians) for side in (bisect_left, bisect_right))
        assert below - 0.015 <= share <= upto + 0.015


@pytest.mark.parametrize(("one", "other"), [(1, 1), (2, 3), (7, 7), (20, 20), (1, 39), (39, 1)])
def test_all_choices_are_counted(one, other):
    """Even of ranks that are all equal or in pairs: the shares of all sums add up to 1."""
    for ranks in (range(2, 2 * (one + other) + 1, 2), [one + other + 1] * (one + other)):
        assert sum(_sums(tuple(ranks), one)) == math.comb(one + other, one)
