"""The statistics behind a verdict, on made-up series."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gilprobe.errors import InvalidValueError
from gilprobe.refs.leak_judgement import Series, confirmed, judge, robust_slope, stepwise

pytestmark = pytest.mark.plain_python

CALLS = 1000
numbers = st.integers(-10_000, 10_000)


def noisy(seed, calls, rate, spread, repetitions=10):
    """Return a series whose level is `rate` a call and something that stays within `spread`."""
    draw = random.Random(seed)
    levels = [rate * calls * at + draw.uniform(0, spread) for at in range(repetitions + 1)]
    return Series(calls, tuple(round(b - a) for a, b in itertools.pairwise(levels)))


@settings(max_examples=50, deadline=None)
@given(st.lists(numbers, min_size=2, max_size=30))
def test_the_slope_lies_within_its_interval(levels):
    slope, low, high = robust_slope(levels)
    assert low <= slope <= high


@settings(max_examples=50, deadline=None)
@given(st.lists(numbers, min_size=2, max_size=30), st.integers(-100, 100), numbers)
def test_a_line_that_is_added_is_added_to_the_slope(levels, slope, start):
    tilted = [start + slope * at + level for at, level in enumerate(levels)]
    for before, after in zip(robust_slope(levels), robust_slope(tilted), strict=True):
        assert after == pytest.approx(before + slope)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 1000), st.lists(numbers, min_size=2, max_size=2), st.integers(0, 10))
def test_two_wild_points_of_eleven_move_a_line_by_nothing(slope, wild, where):
    levels = [float(slope * at) for at in range(11)]
    levels[where], levels[(where + 5) % 11] = wild
    assert robust_slope(levels)[0] == pytest.approx(slope)


def test_a_slope_needs_two_points():
    with pytest.raises(InvalidValueError, match="at least 2, got 1"):
        robust_slope([1])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 10**6), st.integers(3, 30))
def test_the_same_loss_in_every_repetition_is_a_leak(left, repetitions):
    trend = judge(Series(CALLS, (left,) * repetitions))
    assert trend.verdict == "growing"
    assert trend.every
    assert trend.per_call == pytest.approx(left / CALLS)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-1000, 0), min_size=3, max_size=30))
def test_what_only_shrinks_is_no_leak(growth):
    assert judge(Series(CALLS, tuple(growth))).verdict == "flat"


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9), st.integers(1, 10**6))
def test_what_happens_once_is_no_leak(when, size):
    growth = [0] * 10
    growth[when] = size
    assert judge(Series(CALLS, tuple(growth))).verdict in ("flat", "unclear", "ending")


@settings(max_examples=50, deadline=None)
@given(st.integers(100, 10**6), st.floats(0.2, 0.7))
def test_growth_that_slows_down_is_ending(first, factor):
    growth = tuple(round(first * factor**at) for at in range(10))
    assert judge(Series(CALLS, growth)).verdict != "growing"


@pytest.mark.parametrize("full", range(1, 10))
def test_a_cache_that_is_full_at_some_time_is_no_leak(full):
    short = judge(Series(CALLS, tuple(CALLS if at < full else 0 for at in range(10))))
    long = judge(Series(3 * CALLS, (0,) * 10))
    assert not confirmed(short, long)


def test_what_each_repetition_costs_whatever_its_length_is_no_leak():
    assert not confirmed(judge(Series(3 * CALLS, (1,) * 10)), judge(Series(9 * CALLS, (1,) * 10)))


def test_one_in_ten_calls_among_noise_is_found():
    within = 0
    for seed in range(200):
        trends = [judge(noisy(seed + 1000 * n, n * CALLS, 0.1, 100)) for n in (3, 9)]
        assert confirmed(*trends)
        within += trends[1].low <= 0.1 <= trends[1].high
    assert within >= 190  # of a 99 % interval


def test_noise_alone_is_never_a_leak():
    for seed in range(1000):
        trends = [judge(noisy(seed + 10_000 * n, n * CALLS, 0, 1000)) for n in (3, 9)]
        assert not confirmed(*trends)


def test_a_random_walk_is_hardly_ever_a_leak():
    """What others allocate and free at random wanders off; twice upwards at the same rate a call is rare."""
    wrong = 0
    for seed in range(1000):
        draw = random.Random(seed)
        steps = [tuple(round(draw.gauss(0, 100 * n**0.5)) for _ in range(10)) for n in (3, 9)]
        wrong += confirmed(*(judge(Series(n * CALLS, one)) for n, one in zip((3, 9), steps, strict=True)))
    assert wrong <= 10


def test_what_pauses_leave_too_is_not_the_functions():
    draw = random.Random(1)
    work = tuple(draw.randint(900, 1100) for _ in range(10))
    pauses = tuple(draw.randint(900, 1100) for _ in range(10))
    assert judge(Series(CALLS, work, pauses)).verdict != "growing"
    more = judge(Series(CALLS, tuple(one + CALLS for one in work), pauses))
    assert more.verdict == "growing"
    assert more.per_call == pytest.approx(1, rel=0.1)


def looks(level, first=0, calls=1000, repetitions=5):
    """Return the series that three stages see of what has a level after each number of calls."""
    stages, at = [], first
    for length in (calls, 3 * calls, 9 * calls):
        levels = [level(at + number * length) for number in range(repetitions + 1)]
        at += repetitions * length
        stages.append(Series(length, tuple(round(b - a) for a, b in itertools.pairwise(levels))))
    return stages


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 2500), st.integers(1, 1000), st.integers(0, 10_000))
def test_blocks_that_are_filled_one_after_another_are_a_leak(calls_a_block, piece, first):
    size = calls_a_block * piece
    trend = stepwise(looks(lambda calls: calls * piece // size * size, first))
    assert trend.per_call == pytest.approx(piece, rel=0.1)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 1000), st.integers(1, 5000))
def test_room_that_doubles_when_it_is_full_is_a_leak(piece, first):
    """As long as the look has as many calls as there were before."""
    trend = stepwise(looks(lambda calls: 1 << (calls * piece).bit_length(), first))
    assert 0.5 * piece <= trend.low <= trend.per_call <= trend.high <= 4 * piece


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 65_000), st.integers(1, 10**6)), max_size=3))
def test_what_happens_up_to_three_times_grows_alike_in_no_more_than_one_case(steps):
    """It must be once in each stage, and each time three times as much or so."""
    trend = stepwise(looks(lambda calls: sum(size for when, size in steps if when < calls)))
    if trend is not None:
        stages = sorted(0 if when < 5000 else 1 if when < 20_000 else 2 for when, _ in steps)
        assert stages == [0, 1, 2]
        assert trend.high <= 5 * trend.low


def test_what_goes_up_and_down_within_bounds_is_no_growth_in_steps():
    for seed in range(1000):
        draw = random.Random(seed)
        assert stepwise(looks(lambda _, draw=draw: draw.uniform(0, 10**6))) is None


def test_a_cache_that_is_filled_slower_and_slower_is_no_growth_in_steps():
    for size in (100, 1000, 5000):
        assert stepwise(looks(lambda calls, size=size: size * (1 - math.exp(-calls / size)))) is None


def test_a_random_walk_hardly_ever_grows_in_steps():
    wrong = 0
    for seed in range(1000):
        draw = random.Random(seed)
        walk = [0.0]
        walk.extend(itertools.accumulate(draw.gauss(0, 10) for _ in range(65_000 // 100)))
        wrong += stepwise(looks(lambda calls, walk=walk: walk[calls // 100])) is not None
    assert wrong <= 20


def test_steps_that_pauses_have_too_are_not_the_functions():
    def of(work, pause):
        return [Series(calls, (work * calls,) * 5, (pause * calls,) * 5) for calls in (1000, 3000, 9000)]

    assert stepwise(of(8, 8)) is None
    assert stepwise(of(8, 4)).per_call == pytest.approx(4)
