"""The native histogram, against the package's own formula and a slow twin."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilprobe._native import histogram
from gilprobe.model.distribution import BUCKETS, SUB_BUCKET_BITS, Distribution, bucket_bounds_ns

LIMIT_NS = 2**47

# every order of magnitude alike, and the borders of the buckets
near_borders = st.builds(
    lambda index, end, step: min(max(0, bucket_bounds_ns(index)[end] + step), LIMIT_NS - 1),
    st.integers(0, BUCKETS - 1),
    st.integers(0, 1),
    st.integers(-1, 1),
)
durations = st.integers(0, 46).flatmap(lambda bits: st.integers(0, 2 ** (bits + 1) - 1)) | near_borders


def bucket_by_search(duration_ns):
    """Return the bucket whose range holds the duration, by bisection: the slow twin."""
    low, high = 0, BUCKETS
    while high - low > 1:
        middle = (low + high) // 2
        if bucket_bounds_ns(middle)[0] <= duration_ns:
            low = middle
        else:
            high = middle
    return low


def histogram_of(values):
    filled = histogram.Histogram()
    for value in values:
        filled.record(value)
    return filled


def distribution_of(filled, values):
    return Distribution(len(filled), sum(values), max(values, default=0), filled.buckets())


def test_both_sides_have_the_same_buckets():
    assert histogram.BUCKETS == BUCKETS
    assert histogram.SUB_BUCKET_BITS == SUB_BUCKET_BITS
    for index in range(BUCKETS):
        assert histogram.bounds_of(index) == bucket_bounds_ns(index)


def test_an_index_out_of_range_is_an_error():
    with pytest.raises(IndexError, match="2688"):
        histogram.bounds_of(BUCKETS)
    with pytest.raises(OverflowError):
        histogram.bounds_of(-1)


@pytest.mark.parametrize("bit", range(47))
def test_around_a_power_of_two_each_duration_is_in_its_bucket(bit):
    for duration_ns in {2**bit - 1, 2**bit, min(2**bit + 1, LIMIT_NS - 1)}:
        assert histogram.index_of(duration_ns) == bucket_by_search(duration_ns)


@given(durations)
def test_a_duration_is_in_the_bucket_that_a_search_finds(duration_ns):
    assert histogram.index_of(duration_ns) == bucket_by_search(duration_ns)


@given(st.integers(LIMIT_NS, 2**64 - 1))
def test_what_is_too_long_counts_in_the_last_bucket(duration_ns):
    assert histogram.index_of(duration_ns) == BUCKETS - 1


@pytest.mark.parametrize("duration_ns", [-1, 2**64])
def test_what_is_no_duration_is_refused(duration_ns):
    filled = histogram.Histogram()
    with pytest.raises(OverflowError):
        filled.record(duration_ns)
    assert len(filled) == 0


@given(st.lists(durations, max_size=200))
def test_a_histogram_counts_every_duration_in_its_bucket(values):
    filled = histogram_of(values)
    assert len(filled) == len(values)
    assert dict(filled.buckets()) == Counter(map(bucket_by_search, values))
    assert list(filled.buckets()) == sorted(filled.buckets())


@given(st.lists(durations, min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_within_one_per_cent_of_the_order_statistic(values, q):
    exact_s = sorted(values)[max(1, math.ceil(q * len(values))) - 1] / 1e9
    quantile_s = distribution_of(histogram_of(values), values).quantile(q)
    assert quantile_s == pytest.approx(exact_s, rel=0.01, abs=1e-15)


@given(st.lists(durations, max_size=100), st.lists(durations, max_size=100))
def test_merging_is_the_same_as_counting_in_one(some, others):
    merged, added = histogram_of(some), histogram_of(others)
    merged.merge(added)
    assert merged.buckets() == histogram_of(some + others).buckets()
    assert added.buckets() == histogram_of(others).buckets()
    both = distribution_of(histogram_of(some), some).merge(distribution_of(added, others))
    assert both == distribution_of(merged, some + others)


@given(st.lists(durations, max_size=50))
def test_a_histogram_merged_with_itself_counts_double(values):
    filled = histogram_of(values)
    filled.merge(filled)
    assert dict(filled.buckets()) == {index: 2 * n for index, n in histogram_of(values).buckets()}


def test_only_a_histogram_can_be_merged():
    with pytest.raises(TypeError):
        histogram.Histogram().merge(None)
