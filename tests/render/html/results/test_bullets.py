"""A law's numbers become places in a small picture."""

from __future__ import annotations

import math

import pytest

from gilprobe.render.html.results.bullets import bullet
from gilprobe.scenarios.laws import claim

pytestmark = pytest.mark.plain_python


def test_a_bullet_keeps_order_and_stays_inside():
    places = bullet(claim((2.5, 1.9, 3.0), 1.0, 2.0, "x"))
    assert 0 < places["from"] < places["low"] < places["to"] < places["value"] < places["high"] < 1


def test_an_open_end_is_the_edge():
    assert bullet(claim(1.0, -math.inf, 2.0, "x"))["from"] == 0
    assert bullet(claim(3.0, 2.0, math.inf, "x"))["to"] == 1


def test_ends_far_apart_stand_on_a_logarithmic_scale():
    wide = bullet(claim(1e-3, 1e-5, 1.0, "s"))
    assert wide["value"] == pytest.approx((wide["from"] * 3 + wide["to"] * 2) / 5, abs=0.001)


@pytest.mark.parametrize(("low", "high"), [(2048.0, 2048.0), (None, None)])
def test_there_is_no_bullet_without_a_range(low, high):
    assert bullet(claim(2048.0, low, high, "bytes")) is None


@pytest.mark.parametrize("numbers", [(0.0, 0.0, 0.0), (5.0, 5.0, 5.0), (-3.0, -4.0, 2.0)])
@pytest.mark.parametrize(("low", "high"), [(0.0, None), (None, 0.0), (-1.0, 5.0), (5.0, None)])
def test_a_bullet_has_places_for_any_numbers(numbers, low, high):
    places = bullet(claim(numbers, low, high, ""))
    assert all(0 <= place <= 1 for place in places.values())
    assert places["low"] <= places["value"] <= places["high"]
