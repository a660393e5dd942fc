"""Laws in words become ranges and numbers; what does not read as one stays words."""

from __future__ import annotations

import math

import pytest
from made_up_arms import arm

from gilprobe.render.html.law_ranges import (
    Range,
    arm_named,
    bullet,
    expected_range,
    measured_interval,
    team,
)
from gilprobe.results import Law
from gilprobe.scenarios import laws

pytestmark = pytest.mark.plain_python

OPEN = math.inf


def law(expected="1.00x to 2.00x", measured="1.50x", *, text="a: b, 2 threads", verdict="holds"):
    return Law(text, expected, measured, verdict)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0.90x to 1.05x", (0.9, 1.05, "x", "")),
        ("0 ns to 2.5 ms", (0.0, 0.0025, "s", "")),
        ("10 us to 1 ms", (1e-5, 1e-3, "s", "")),
        ("47.5 to 56.5 ms", (0.0475, 0.0565, "s", "")),
        ("4761 to 10733 switches/s", (4761, 10733, "", "switches/s")),
        ("0.87x to 1.15x one thread's cost", (0.87, 1.15, "x", "one thread's cost")),
        ("<= 2.10x", (-OPEN, 2.1, "x", "")),
        (">= 99.5% of its running time", (99.5, OPEN, "%", "of its running time")),
        ("Jain index >= 0.950", (0.95, OPEN, "", "")),
        ("< 200 ms", (-OPEN, 0.2, "s", "")),
        ("2,048 bytes", (2048, 2048, "", "")),
    ],
)
def test_an_expectation_with_numbers_is_a_range(text, wanted):
    found = expected_range(law(text))
    assert (found.low, found.high, found.unit, found.rest) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "in 5 of 5 runs",
        "+1, +2, +1",
        "culprit, sleep",
        "2.00x to 1.00x",
        "min(2, N)",
        "1" * 400 + " to",
    ],
)
def test_an_expectation_in_words_is_none(text):
    assert expected_range(law(text)) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0.98x (0.97x to 1.01x)", (0.98, 0.97, 1.01, "x")),
        ("1.58x (1.30x to 1.92x, unstable)", (1.58, 1.3, 1.92, "x")),
        ("50.0 ms (49.8 to 50.6)", (0.05, 0.0498, 0.0506, "s")),
        ("5.72 ms (556 us to 8.32 ms)", (0.00572, 0.000556, 0.00832, "s")),
        ("8838", (8838, 8838, 8838, "")),
        ("hold + wait 99.5%", (99.5, 99.5, 99.5, "%")),
        ("-3 ns", (-3e-9, -3e-9, -3e-9, "s")),
    ],
)
def test_a_measured_number_comes_with_its_interval(text, wanted):
    assert measured_interval(law(measured=text)) == pytest.approx(wanted)
    assert measured_interval(law(measured="in words")) is None


def test_what_the_scenarios_own_laws_say_is_understood():
    """Holds the reader to the writer: another wording there would empty the pictures here."""
    one, two = arm(1.0, 1.1, 1.2, threads=1), arm(2.0, 2.1, 2.2)
    told = laws.speedup_law("a: b", two, one, 1.9, 2.1)
    assert expected_range(told) == Range(1.9, 2.1, "x", "")
    assert measured_interval(told)[0] == pytest.approx(two.median / one.median, abs=0.005)
    assert (team(told), arm_named(told, ["b", "a"])) == (2, "a")
    assert expected_range(laws.speedup_law("a: b", two, one, 0, 2.1)).low == -OPEN
    seconds = laws.within_law("a: b", laws.spread(two), 5e-3, OPEN, laws.seconds)
    assert expected_range(seconds) == Range(0.005, OPEN, "s", "")
    assert measured_interval(seconds) == pytest.approx((2.1, 2.0, 2.2, "s"))
    assert expected_range(laws.every_law("a: b", 5, 5)) is None
    assert bullet(laws.untestable("a: b", "1.00x to 2.00x", "1 usable core")) is None


def test_an_arm_is_found_by_how_a_law_begins_or_ends():
    names = ["held", "held, long", "every 1 us"]
    assert arm_named(law(text="held, long: x"), names) == "held, long"
    assert arm_named(law(text="held: x"), names) == "held"
    assert arm_named(law(text="every 1 us, less than a handoff: x"), names) == "every 1 us"
    assert arm_named(law(text="about 1/x: every 1 us"), names) == "every 1 us"
    assert arm_named(law(text="50%: x"), ["50% released", "75% released"]) == "50% released"
    assert arm_named(law(text="anything"), names) is None
    assert arm_named(law(text="anything"), ["only"]) == "only"


def test_a_bullet_keeps_order_and_stays_inside():
    places = bullet(law("1.00x to 2.00x", "2.50x (1.90x to 3.00x)", verdict="does not hold"))
    assert 0 < places["from"] < places["low"] < places["to"] < places["value"] < places["high"] < 1
    assert bullet(law("<= 2.00x", "1.00x"))["from"] == 0
    assert bullet(law(">= 2.00x", "3.00x"))["to"] == 1
    wide = bullet(law("10 us to 1 s", "1 ms"))
    assert wide["value"] == pytest.approx((wide["from"] * 3 + wide["to"] * 2) / 5, abs=0.001)


def test_there_is_no_bullet_where_both_sides_are_not_numbers_of_one_kind():
    assert bullet(law("> 0 lost in most runs", "29.4% lost")) is None
    assert bullet(law("yes", "yes")) is None
    assert bullet(law("2,048 bytes", "2,048 bytes")) is None
