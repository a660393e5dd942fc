"""Totals are shared out to the places that looks saw: in proportion, to the nanosecond, in any order."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilprobe.tracing.sharing_out import Looks, Paused, parted

pytestmark = pytest.mark.plain_python

PLACES = st.none() | st.integers(0, 6)
THREADS = st.integers(0, 3)
NUMBERS = st.integers(0, 20) | st.integers(0, 2**63)
ROWS = st.lists(st.tuples(THREADS, PLACES, PLACES, NUMBERS, NUMBERS), max_size=30)
HOLDS = st.dictionaries(PLACES, NUMBERS, max_size=8)
WAITS = st.dictionaries(st.tuples(THREADS, THREADS, PLACES), NUMBERS, max_size=20)


def weights_of(rows, holder, ended):
    """Return the waiting looks by place, the slow way."""
    weights = Counter()
    for row_holder, row_ended, looked, looks, waiting in rows:
        if (row_holder, row_ended) == (holder, ended) and looks and waiting:
            weights[looked] += waiting
    return weights


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
    for _, ended, looked, looks, _ in rows:
        if looks:
            seen[ended].add(looked)
    for ended, total in totals.items():
        shared = Looks(rows).holds({ended: total})
        assert {place for place, part in shared.items() if part} <= (seen[ended] or {ended})


@given(totals=WAITS, rows=ROWS)
def test_what_a_thread_waited_for_another_keeps_its_sum(totals, rows):
    shared, unshared_ns = Looks(rows).waits(totals)
    before, after = Counter(), Counter()
    for (waiter, holder, _), wait_ns in totals.items():
        before[waiter, holder] += wait_ns
    for (waiter, holder, _), (wait_ns, _) in shared.items():
        after[waiter, holder] += wait_ns
    assert +after == +before
    without = [key for key in totals if not weights_of(rows, key[1], key[2])]
    assert unshared_ns == sum(totals[key] for key in without)


@given(totals=WAITS, rows=ROWS)
def test_waits_are_shared_out_in_proportion_to_the_waiting_looks(totals, rows):
    for key, total in totals.items():
        weights = weights_of(rows, key[1], key[2])
        shared, _ = Looks(rows).waits({key: total})
        for place, weight in weights.items():
            part, looks = shared.get((key[0], key[1], place), (0, 0))
            assert abs(part - Fraction(total * weight, weights.total())) < 1
            assert looks > 0 or part == 0
        if not weights:
            assert shared == {key: (total, 0)}


@given(totals=WAITS, holds=HOLDS, rows=ROWS, seed=st.integers(0, 99))
def test_the_order_of_the_rows_does_not_matter(totals, holds, rows, seed):
    shuffled = rows[:]
    random.Random(seed).shuffle(shuffled)
    one, other = Looks(rows), Looks(shuffled)
    assert one.holds(holds) == other.holds(holds)
    assert one.waits(totals) == other.waits(totals)
    assert one.waits(dict(reversed(totals.items()))) == one.waits(totals)


def test_equal_rows_are_one():
    whole, halves = Looks([(1, 2, 3, 4, 6)]), Looks([(1, 2, 3, 2, 3), (1, 2, 3, 2, 3)])
    assert whole.by_place == halves.by_place == {3: 4}
    assert whole.waits({(0, 1, 2): 9}) == halves.waits({(0, 1, 2): 9}) == ({(0, 1, 3): (9, 4)}, 0)


def test_looks_while_nobody_waited_tell_holds_and_no_waits():
    looks = Looks([(1, 7, 3, 5, 0)])
    assert looks.holds({7: 100}) == {3: 100}
    assert looks.waits({(0, 1, 7): 100}) == ({(0, 1, 7): (100, 0)}, 100)


def test_a_row_rests_on_no_more_looks_than_threads_waited():
    """Of ten looks at a place, at most three can have seen somebody wait."""
    assert Looks([(1, 7, 3, 10, 3)]).waits({(0, 1, 7): 100})[0] == {(0, 1, 3): (100, 3)}


def test_rows_stay_few_for_thousands_of_threads_and_places():
    rows = [(0, 0, place, 1, place) for place in range(1, 2001)]
    totals = {(waiter, 0, 0): 10**9 for waiter in range(1, 2001)}
    shared, unshared_ns = Looks(rows).waits(totals)
    assert len(shared) <= 20 * (len(rows) + len(totals))
    assert sum(wait_ns for wait_ns, _ in shared.values()) == sum(totals.values())
    kept = {place for _, _, place in shared} - {0}
    assert kept == set(range(1969, 2001)), "those that were seen most"
    assert unshared_ns == sum(wait_ns for (_, _, place), (wait_ns, _) in shared.items() if place == 0)


EXACT = st.lists(st.tuples(THREADS, PLACES, PLACES, NUMBERS, NUMBERS), max_size=20)


@given(totals=HOLDS, waits=WAITS, rows=ROWS, exact=EXACT, looks=ROWS, collector=st.sets(PLACES))
def test_totals_keep_their_sums_with_pauses_too(totals, waits, rows, exact, looks, collector):
    shared = Looks(rows, Paused(exact, looks, collector.__contains__))
    assert sum(shared.holds(totals).values()) == sum(totals.values())
    assert sum(shared.holds(totals, dict.fromkeys(totals, 9)).values()) == sum(totals.values())
    found, unshared_ns = shared.waits(waits)
    sums = Counter()
    for (waiter, holder, _), (wait_ns, _) in found.items():
        sums[waiter, holder] += wait_ns
    expected = Counter()
    for (waiter, holder, _), wait_ns in waits.items():
        expected[waiter, holder] += wait_ns
    assert +sums == +expected
    assert 0 <= unshared_ns <= sum(waits.values())


def test_each_waiter_has_its_part_of_a_pause():
    looks = Looks([], Paused([(0, 1, 5, 40, 30)], [], {5}.__contains__))
    shared, unshared_ns = looks.waits({(1, 0, 1): 80, (2, 0, 1): 40, (3, 0, 2): 7})
    assert shared == {
        (1, 0, 5): (20, 0), (1, 0, 1): (60, 0),
        (2, 0, 5): (10, 0), (2, 0, 1): (30, 0),
        (3, 0, 2): (7, 0),
    }  # fmt: skip
    assert unshared_ns == 97
    assert looks.holds({1: 30, 2: 5}) == {5: 30, 2: 5}, "a pause is no longer than its hold"
