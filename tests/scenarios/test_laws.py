from __future__ import annotations

import dataclasses

import pytest

from gilprobe.errors import InvalidValueError
from gilprobe.results import Arm, Claim
from gilprobe.scenarios.laws import SECONDS, claim, parallel_law, scaling_facts, speedup_law, value_law

pytestmark = pytest.mark.plain_python


def arm(threads, *samples):
    ordered = sorted(samples)
    return Arm("a", threads, "1/s", ordered[len(ordered) // 2], ordered[0], ordered[-1], samples)


SINGLE = arm(1, 100, 100, 100)


@pytest.mark.parametrize(
    ("samples", "verdict"),
    [
        ((195, 197, 199), "holds"),
        ((100, 101, 102), "does not hold"),
        ((188, 189, 191), "holds"),  # just outside, steady, and the interval reaches inside
        ((104, 106, 198), "not testable here"),  # outside, and so unstable that it may well be inside
        ((120, 195, 200), "holds"),
    ],
)
def test_a_noisy_measurement_neither_refutes_nor_confirms_a_law(samples, verdict):
    law = speedup_law("doubles", arm(2, *samples), SINGLE, 1.9, 2.1)
    assert law.verdict == verdict
    assert law.text == "doubles, 2 threads"
    assert ("unstable" in law.measured) == (verdict == "not testable here")


def test_a_parallel_arm_is_as_fast_as_there_are_threads_or_cores():
    assert parallel_law("p", arm(2, 200, 200, 200), SINGLE, cores=8).expected == "1.90x to 2.10x"
    assert parallel_law("p", arm(4, 200, 200, 200), SINGLE, cores=2).expected == "1.90x to 2.10x"
    assert parallel_law("p", arm(4, 200, 200, 200), SINGLE, cores=1).verdict == "not testable here"


def test_speedup_is_against_the_same_arms_single_thread():
    facts = {fact.name: fact.value for fact in scaling_facts([SINGLE, arm(4, 200, 300, 400)])}
    assert facts == {"speedup_a_1": 1.0, "efficiency_a_1": 1.0, "speedup_a_4": 3.0, "efficiency_a_4": 0.75}


def test_a_law_about_a_speedup_carries_its_numbers():
    law = speedup_law("doubles", arm(2, 195, 197, 199), SINGLE, 1.9, 2.1)
    assert law.claim == Claim("speedup", "x", "interval", 1.97, 1.95, 1.99, "a", 2, 1.9, 2.1)
    assert speedup_law("less", arm(2, 195, 197, 199), SINGLE, 0.0, 2.1).claim.low is None


def test_a_ratio_to_something_else_is_no_speedup():
    other = dataclasses.replace(SINGLE, name="ordinary")
    told = speedup_law("as fast", arm(2, 100, 100, 100), other, 0.9, 1.1).claim
    assert (told.quantity, told.arm, told.threads) == ("other", None, None)


def test_a_law_about_an_arms_own_number_names_it():
    told = value_law("soon", arm(2, 1, 2, 3), 0.0, 5.0, SECONDS).claim
    assert told == Claim("value", "s", "interval", 2, 1, 3, "a", 2, 0.0, 5.0)


def test_a_number_without_an_interval_is_judged_by_itself():
    told = claim(0.5, None, 0.9, "share", about="a")
    assert (told.judged, told.value_low, told.value_high) == ("value", 0.5, 0.5)


def test_what_can_not_be_tested_claims_nothing():
    assert parallel_law("p", arm(4, 200, 200, 200), SINGLE, cores=1).claim is None


@pytest.mark.parametrize(
    ("numbers", "low", "high", "rule"),
    [
        (1.0, 2.0, 1.0, "low must be <= high"),
        ((1.0, 2.0, 3.0), None, None, "value must lie in its interval"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(numbers, low, high, rule):
    with pytest.raises(InvalidValueError, match=rule):
        claim(numbers, low, high, "x")
