from __future__ import annotations

import pytest

from gilprobe.results import Arm
from gilprobe.scenarios.laws import parallel_law, scaling_facts, speedup_law

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
