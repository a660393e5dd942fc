"""The interval of a share: by the effective number of looks, and right as often as it says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gilprobe.model.share_interval import ShareInterval

pytestmark = pytest.mark.plain_python

ROWS = st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 10**6)), max_size=12)


def test_equal_looks_all_count():
    assert ShareInterval([(300, 30), (700, 70)]).looks == pytest.approx(100)


def test_looks_of_unequal_weights_count_less():
    """One look that stands for half of all tells next to nothing, whatever the others are."""
    assert ShareInterval([(500, 1), (500, 1000)]).looks == pytest.approx(4, rel=0.01)


@given(rows=ROWS)
def test_the_effective_number_is_at_most_that_of_the_looks(rows):
    seen = [looks for amount, looks in rows if amount and looks]
    assert 0 <= ShareInterval(rows).looks <= sum(seen) * (1 + 1e-9)


@given(rows=ROWS)
def test_an_interval_is_around_the_amount(rows):
    interval = ShareInterval(rows)
    whole = sum(amount for amount, looks in rows if looks)
    for amount, looks in rows:
        around = interval.around(amount) if looks else None
        if around is None:
            continue
        low, high = around
        assert 0 <= low <= amount * (1 + 1e-9)
        assert amount * (1 - 1e-9) <= high <= whole * (1 + 1e-9)


def test_the_score_interval_of_a_known_share():
    """Wilson (1927): of 100 looks 30."""
    low, high = ShareInterval([(30, 30), (70, 70)]).around(30)
    assert (low, high) == (pytest.approx(21.89, abs=0.01), pytest.approx(39.58, abs=0.01))


def test_what_no_look_tells_is_added_and_has_no_interval_of_its_own():
    interval = ShareInterval([(30, 30), (70, 70), (900, 0)])
    low, high = interval.around(30, 500)
    assert (low, high) == (pytest.approx(521.89, abs=0.01), pytest.approx(539.58, abs=0.01))
    assert interval.around(0, 500) is None
    assert ShareInterval([(900, 0)]).around(900) is None
    assert ShareInterval([]).around(5) is None


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5])
def test_the_true_share_is_inside_as_often_as_is_said(share):
    draw = random.Random(7)
    inside = 0
    for _ in range(2000):
        hits = sum(draw.random() < share for _ in range(200))
        around = ShareInterval([(hits, hits), (200 - hits, 200 - hits)]).around(hits)
        inside += around is not None and around[0] <= 200 * share <= around[1]
    assert 0.92 <= inside / 2000 <= 0.985
