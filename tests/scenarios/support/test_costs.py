"""What laws are computed from is measured, and what many arms may take is bounded."""

from __future__ import annotations

import dataclasses
import itertools
import sys

import pytest
from made_up_arms import arm

import gilprobe
from gilprobe.durations import duration
from gilprobe.measuring.measure import MIN_ARM_NS, Settings
from gilprobe.scenarios.laws import speedup_law
from gilprobe.scenarios.support.budget import shortened
from gilprobe.scenarios.support.costs import handoff_s, iteration_ns, lateness_s
from gilprobe.scenarios.support.switching import key, switch_interval


@pytest.mark.timing
@pytest.mark.skipif(not gilprobe.capabilities().gil_enabled, reason="no GIL")
def test_a_handoff_takes_more_than_nothing_and_less_than_a_switch_interval_or_two():
    assert 0 < handoff_s(handoffs=9) < 0.05


@pytest.mark.timing
@pytest.mark.skipif(gilprobe.capabilities().gil_enabled, reason="has a GIL")
def test_without_a_gil_nothing_is_handed_over():
    # where other programs have the cores, the taker wakes up late: not every time
    assert any(handoff_s(handoffs=9) < 1e-3 for _ in range(20))


def test_lateness_is_what_is_beyond_the_limit():
    stamps = itertools.accumulate(itertools.cycle([0, 1_500_000]))
    assert lateness_s(1e-3, lambda: next(stamps)) == pytest.approx(5e-4)


def test_the_best_of_a_few_tries_is_the_pace():
    stamps = itertools.accumulate([0, 800_000, 0, 400_000, *[0, 900_000] * 5])
    assert iteration_ns(lambda: next(stamps)) == 2.0


@pytest.mark.parametrize(
    ("arms", "asked_ns", "arm_ns"),
    [
        (4, 200_000_000, 200_000_000),
        (8, 200_000_000, 200_000_000),
        (16, 200_000_000, 100_000_000),
        (100, 200_000_000, MIN_ARM_NS),
        (100, 5_000_000, 5_000_000),
    ],
)
def test_many_arms_run_shorter_but_never_too_short(ask, arms, asked_ns, arm_ns):
    request = dataclasses.replace(ask(), frame=Settings(arm_ns=asked_ns))
    assert shortened(request, arms).frame.arm_ns == arm_ns


def test_the_switch_interval_is_put_back():
    before = sys.getswitchinterval()
    with pytest.raises(ZeroDivisionError), switch_interval(1e-3):
        assert 1 / (sys.getswitchinterval() - sys.getswitchinterval())
    with switch_interval(1e-3):
        assert sys.getswitchinterval() == pytest.approx(1e-3)
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize(
    ("seconds", "text"), [(1e-6, "1 us"), (1e-4, "100 us"), (1e-3, "1 ms"), (5e-3, "5 ms"), (0.1, "100 ms")]
)
def test_intervals_are_called_by_their_usual_names(seconds, text):
    assert duration(seconds) == text
    assert key(seconds) == text.replace(" ", "")


def test_a_law_without_a_lower_end_says_at_most():
    law = speedup_law("at most", arm(150, 150), arm(100, 100), 0.0, 2.0)
    assert (law.expected, law.verdict) == ("<= 2.00x", "holds")
    assert speedup_law("at most", arm(250, 250), arm(100, 100), 0.0, 2.0).verdict == "does not hold"
