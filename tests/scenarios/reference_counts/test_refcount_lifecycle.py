from __future__ import annotations

import dataclasses
import gc

import pytest

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.reference_counts import refcount_lifecycle
from gilprobe.scenarios.reference_counts.refcount_lifecycle import NONES, STEPS, Life

EXPECTED = Life(
    deltas=tuple(delta for _, delta in STEPS),
    in_call=1,
    of_local=1,
    of_none=0,
    log=tuple(refcount_lifecycle.FREED_AT_ONCE),
    cycle_survives=True,
    cycle_is_collected=True,
)


@pytest.fixture
def wrong(ask):
    """Return a function that gives the laws that lives break."""

    def find(*lives, python="3.12.1"):
        laws = refcount_lifecycle._laws(ask(python=python), lives)
        return [number for number, law in enumerate(laws) if law.verdict != "holds"]

    return find


def test_every_law_can_fail(wrong):
    assert wrong(EXPECTED, EXPECTED) == []
    broken = {
        0: {"deltas": (0, *EXPECTED.deltas[1:])},
        1: {"in_call": 0},
        2: {"log": ("before", "after", "__del__", "weak reference dies")},
        3: {"cycle_is_collected": False},
        4: {"of_none": NONES},
    }
    for number, changes in broken.items():
        assert wrong(EXPECTED, dataclasses.replace(EXPECTED, **changes)) == [number]


def test_an_object_that_outlives_its_cycle_or_not_is_told(wrong):
    assert wrong(dataclasses.replace(EXPECTED, cycle_survives=False, cycle_is_collected=False)) == [3]


def test_before_3_12_none_is_expected_to_be_counted(wrong):
    assert wrong(EXPECTED, python="3.11.7") == [4]
    assert wrong(dataclasses.replace(EXPECTED, of_none=NONES + 3), python="3.11.7") == []


def test_a_life_goes_as_expected_on_this_interpreter(wrong):
    settings = Settings(arm_ns=5_000_000, member_ns=0)
    result = scenarios.run("refcount-lifecycle", threads=(1, 2), repeat=2, frame=settings)
    assert {law.verdict for law in result.laws} == {"holds"}
    for text, delta in STEPS:
        assert result.arm(f"count, {text}", 1).samples == (delta, delta)
        assert text in result.printed
    assert sum(delta for _, delta in STEPS) == 0
    assert result.fact("references_of_a_local_passed_on") in (0, 1)


def test_the_cycle_collector_is_left_as_it_was():
    gc.disable()
    try:
        refcount_lifecycle.live()
        assert not gc.isenabled()
    finally:
        gc.enable()
    refcount_lifecycle.live()
    assert gc.isenabled()
