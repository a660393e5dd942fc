"""Totals are shared out to the places that looks saw: in proportion, to the nanosecond, in any order."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_waits import shared_waits

from gilprobe.tracing.sharing_out import Looks, Paused, parted

pytestmark = pytest.mark.plain_python

PLACES = st.none() | st.integers(0, 6)
THREADS = st.integers(0, 3)
NUMBERS = st.integers(0, 20) | st.integers(0, 2**63)
ROWS = st.lists(st.tuples(THREADS, PLACES, PLACES, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=30)
HOLDS = st.dictionaries(PLACES, NUMBERS, max_size=8)
WAITS = st.dictionaries(st.tuples(THREADS, THREADS, PLACES), NUMBERS, max_size=20)


def weights_of(rows, holder, ended):
    """Return the times of waiting by place where looks saw anybody wait, the slow way."""
    weights, waited_at = Counter(), Counter()
    for row_holder, row_ended, looked, looks, waiting, _, waited, _ in rows:
        if (row_holder, row_ended) == (holder, ended):
            weights[looked] += waited
            waited_at[looked] += min(looks, waiting)
    return Counter({place: weight for place, weight in weights.items() if weight and waited_at[place]})


def alike(holder, ended, looked, looks, waiting):
    """Return a row of looks that stand for the same time, at which as many threads waited."""
    return holder, ended, looked, looks, waiting, looks, waiting, waiting * waiting // looks


@given(total=NUMBERS, weights=st.lists(NUMBERS, min_size=1).filter(any))
def test_parts_add_up_and_are_within_one_of_the_true_share(total, weights):
    parts = parted(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1


def test_the_largest_remainders_get_what_is_left():
    assert parted(10, [1, 1, 1]) == [4, 3, 3]
    assert parted(10, [5, 3, 1]) == [6, 3, 1]  # 5.6, 3.3, 1.1
    assert parted(1, [0, 3, 4]) == [0, 0, 1]


@given(totals=HOLDS, rows=ROWS)
def test_holds_keep_their_sum(totals, rows):
    assert sum(Looks(rows).holds(totals).values()) == sum(totals.values())


@given(totals=HOLDS, rows=ROWS)
def test_a_hold_goes_only_where_looks_saw_it(totals, rows):
    seen = defaultdict(set)
    for _, ended, looked, looks, _, time, _, _ in rows:
        if looks and time:
            seen[ended].add(looked)
    for ended, total in totals.items():
        shared = Looks(rows).holds({ended: total})
        assert {place for place, part in shared.items() if part} <= (seen[ended] or {ended})


@given(totals=WAITS, rows=ROWS)
def test_what_a_thread_waited_for_another_keeps_its_sum(totals, rows):
    shared, unshared_ns = shared_waits(Looks(rows), totals)
    before, after = Counter(), Counter()
    for (waiter, holder, _), wait_ns in totals.items():
        before[waiter, holder] += wait_ns
    for (waiter, holder, _), (wait_ns, *_) in shared.items():
        after[waiter, holder] += wait_ns
    assert +after == +before
    without = [key for key in totals if not weights_of(rows, key[1], key[2])]
    assert unshared_ns == sum(totals[key] for key in without)


@given(totals=WAITS, rows=ROWS)
def test_waits_are_shared_out_in_proportion_to_the_time_of_waiting(totals, rows):
    for key, total in totals.items():
        weights = weights_of(rows, key[1], key[2])
        shared, _ = shared_waits(Looks(rows), {key: total})
        for place, weight in weights.items():
            part, looks, _ = shared.get((key[0], key[1], place), (0, 0, 0))
            assert abs(part - Fraction(total * weight, weights.total())) < 1
            assert looks > 0 or part == 0
        if not weights:
            assert shared == {key: (total, 0, 0)}


@given(totals=WAITS, holds=HOLDS, rows=ROWS, seed=st.integers(0, 99))
def test_the_order_of_the_rows_does_not_matter(totals, holds, rows, seed):
    shuffled = rows[:]
    random.Random(seed).shuffle(shuffled)
    one, other = Looks(rows), Looks(shuffled)
    assert one.holds(holds) == other.holds(holds)
    assert shared_waits(one, totals) == shared_waits(other, totals)
    assert shared_waits(one, dict(reversed(totals.items()))) == shared_waits(one, totals)


def test_equal_rows_are_one():
    whole, halves = Looks([alike(1, 2, 3, 4, 8)]), Looks([alike(1, 2, 3, 2, 4)] * 2)
    assert whole.by_place == halves.by_place == {3: 4}
    for looks in whole, halves:
        assert shared_waits(looks, {(0, 1, 2): 8}) == ({(0, 1, 3): (8, 4, 16)}, 0)


def test_looks_while_nobody_waited_tell_holds_and_no_waits():
    looks = Looks([alike(1, 7, 3, 5, 0)])
    assert looks.holds({7: 100}) == {3: 100}
    assert shared_waits(looks, {(0, 1, 7): 100}) == ({(0, 1, 7): (100, 0, 0)}, 100)


def test_a_row_rests_on_no_more_looks_than_threads_waited():
    """Of ten looks at a place, at most three can have seen somebody wait."""
    assert shared_waits(Looks([alike(1, 7, 3, 10, 3)]), {(0, 1, 7): 100})[0][0, 1, 3][:2] == (100, 3)


def test_looks_of_unequal_weight_spread_more():
    """Two looks that stand for 50 ns each, or for 90 and 10: as certain as 2 or 1.2 equal ones."""
    even, uneven = (1, 7, 3, 2, 2, 10, 10, 50), (1, 7, 3, 2, 2, 10, 10, 82)
    assert shared_waits(Looks([even]), {(0, 1, 7): 100})[0] == {(0, 1, 3): (100, 2, 5_000)}
    assert shared_waits(Looks([uneven]), {(0, 1, 7): 100})[0] == {(0, 1, 3): (100, 2, 8_200)}


def test_short_threads_of_one_kind_stand_for_each_other():
    """Most of many short threads end without a look: what the looks at the others saw is their best guess."""
    kinds = {1: "request", 2: "request", 3: "request", 4: "writer"}
    looks = Looks(
        [alike(1, 7, 3, 4, 4), alike(2, 8, 5, 1, 2), alike(4, 7, 6, 9, 9)],
        lambda holder, ended: (
            kinds.get(holder),
            None if ended is None else ended // 7,
        ),  # 7 and 8 are one site
    )
    shared, unshared_ns = shared_waits(
        looks, {(0, 1, 7): 40, (0, 3, 7): 600, (0, 3, 9): 60, (0, 3, 20): 5, (0, 4, 9): 8}
    )
    assert {key: told[:2] for key, told in shared.items()} == {
        (0, 1, 3): (40, 4),  # its own looks
        (0, 3, 3): (440, 8),  # 4 of 6 waiting looks at its like; both totals
        (0, 3, 5): (220, 2),
        (0, 3, 20): (5, 0),  # nobody of its kind was seen in such a hold
        (0, 4, 6): (8, 9),
    }
    assert unshared_ns == 5
    assert looks.holds({9: 14, 20: 2}) == {3: 4, 5: 1, 6: 9, 20: 2}


def test_rows_stay_few_for_thousands_of_threads_and_places():
    rows = [alike(0, 0, place, 1, place) for place in range(1, 2001)]
    totals = {(waiter, 0, 0): 10**9 for waiter in range(1, 2001)}
    shared, unshared_ns = shared_waits(Looks(rows), totals)
    assert len(shared) <= 20 * (len(rows) + len(totals))
    assert sum(wait_ns for wait_ns, *_ in shared.values()) == sum(totals.values())
    kept = {place for _, _, place in shared} - {0}
    assert kept == set(range(1969, 2001)), "those that were seen most"
    assert unshared_ns == sum(wait_ns for (_, _, place), (wait_ns, *_) in shared.items() if place == 0)


EXACT = st.lists(st.tuples(THREADS, PLACES, PLACES, NUMBERS, NUMBERS), max_size=20)


@given(totals=HOLDS, waits=WAITS, rows=ROWS, exact=EXACT, looks=ROWS, collector=st.sets(PLACES))
def test_totals_keep_their_sums_with_pauses_too(totals, waits, rows, exact, looks, collector):
    shared = Looks(rows, paused=Paused(exact, looks, collector.__contains__))
    assert sum(shared.holds(totals).values()) == sum(totals.values())
    assert sum(shared.holds(totals, dict.fromkeys(totals, 9)).values()) == sum(totals.values())
    found, unshared_ns = shared_waits(shared, waits)
    sums = Counter()
    for (waiter, holder, _), (wait_ns, *_) in found.items():
        sums[waiter, holder] += wait_ns
    expected = Counter()
    for (waiter, holder, _), wait_ns in waits.items():
        expected[waiter, holder] += wait_ns
    assert +sums == +expected
    assert 0 <= unshared_ns <= sum(waits.values())


def test_each_waiter_has_its_part_of_a_pause():
    looks = Looks([], paused=Paused([(0, 1, 5, 40, 30)], [], {5}.__contains__))
    shared, unshared_ns = shared_waits(looks, {(1, 0, 1): 80, (2, 0, 1): 40, (3, 0, 2): 7})
    assert shared == {
        (1, 0, 5): (20, 0, 0), (1, 0, 1): (60, 0, 0),
        (2, 0, 5): (10, 0, 0), (2, 0, 1): (30, 0, 0),
        (3, 0, 2): (7, 0, 0),
    }  # fmt: skip
    assert unshared_ns == 97
    assert looks.holds({1: 30, 2: 5}) == {5: 30, 2: 5}, "a pause is no longer than its hold"
