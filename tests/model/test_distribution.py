"""The histogram's Python side, against a sorted list."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilprobe.errors import InvalidValueError
from gilprobe.model.distribution import BUCKETS, EMPTY, SUB_BUCKET_BITS, Distribution, bucket_bounds_ns

pytestmark = pytest.mark.plain_python

durations = st.lists(st.integers(0, 2**47 - 1), max_size=200)


def bucket_of(duration_ns):
    """Return the one bucket whose range holds the duration: the slow twin."""
    shift = max(0, duration_ns.bit_length() - SUB_BUCKET_BITS - 1)
    index = (shift << SUB_BUCKET_BITS) + (duration_ns >> shift)
    low, high = bucket_bounds_ns(index)
    assert low <= duration_ns < high
    return index


def distribution_of(values):
    counts = {}
    for value in values:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    return Distribution(len(values), sum(values), max(values, default=0), tuple(sorted(counts.items())))


def test_buckets_cover_everything_without_gap_or_overlap():
    end = 0
    for index in range(BUCKETS):
        low, high = bucket_bounds_ns(index)
        assert low == end
        assert high > low
        end = high
    assert end == 2**47


@given(durations.filter(bool), st.floats(0, 1))
def test_a_quantile_is_within_one_per_cent_of_the_order_statistic(values, q):
    exact_s = sorted(values)[max(1, math.ceil(q * len(values))) - 1] / 1e9
    assert distribution_of(values).quantile(q) == pytest.approx(exact_s, rel=0.01, abs=1e-15)


@given(durations, st.lists(st.floats(0, 1), min_size=2, max_size=10))
def test_quantiles_are_monotone_and_end_at_the_maximum(values, shares):
    distribution = distribution_of(values)
    quantiles = [distribution.quantile(q) for q in sorted(shares)]
    assert quantiles == sorted(quantiles)
    assert distribution.quantile(1.0) == distribution.max_s


@given(durations, durations, durations)
def test_merging_is_exact_and_knows_no_order(a, b, c):
    one, two, three = map(distribution_of, (a, b, c))
    assert one.merge(two) == distribution_of(a + b) == two.merge(one)
    assert one.merge(two).merge(three) == one.merge(two.merge(three))
    assert one.merge(EMPTY) == one


def test_an_empty_distribution_has_zeros_only():
    assert (EMPTY.quantile(0.5), EMPTY.mean_s, EMPTY.total_s, EMPTY.max_s) == (0.0, 0.0, 0.0, 0.0)


@given(durations.filter(bool))
def test_the_mean_is_exact(values):
    assert distribution_of(values).mean_s == pytest.approx(sum(values) / 1e9 / len(values))


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan, math.inf])
def test_a_share_outside_zero_to_one_is_refused(q):
    with pytest.raises(InvalidValueError, match="q must be between 0 and 1, got"):
        EMPTY.quantile(q)


@pytest.mark.parametrize(
    ("count", "total_ns", "max_ns", "buckets"),
    [
        (1, 1, 1, ()),
        (0, 0, 0, ((1, 1),)),
        (1, 1, 1, ((-1, 1),)),
        (1, 1, 1, ((BUCKETS, 1),)),
        (2, 2, 1, ((2, 1), (1, 1))),
        (2, 2, 1, ((1, 1), (1, 1))),
        (0, 1, 1, ((1, 0),)),
        (0, 1, 1, ((1, 1), (2, -1))),
        (1, -1, -1, ((1, 1),)),
        (1, 1, 2, ((1, 1),)),
    ],
)
def test_a_distribution_that_contradicts_itself_is_refused(count, total_ns, max_ns, buckets):
    with pytest.raises(InvalidValueError):
        Distribution(count, total_ns, max_ns, buckets)
