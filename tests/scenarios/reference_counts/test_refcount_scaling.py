from __future__ import annotations

import pytest

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.results import Arm
from gilprobe.scenarios.reference_counts import refcount_scaling

FREE = {"build": "free-threaded", "gil_enabled": False, "traced": False}


def pair(value, threads=2, unit="ns/operation"):
    """Return an arm of `threads` threads, and that of one thread, which has 100."""
    return tuple(Arm("made up", t, unit, v, v, v, (v,) * 3) for t, v in ((threads, value), (1, 100.0)))


@pytest.fixture
def verdicts(ask):
    """Return a function that gives the verdicts on a cost and a rate, one thread having 100 of each."""

    def find(name, cost, rate=100.0, **changes):
        laws = refcount_scaling._laws(ask(**changes), name, pair(cost), pair(rate, unit="operations/s"))
        return [law.verdict for law in laws]

    return find


@pytest.mark.parametrize("name", ["own", "shared", "immortal"])
def test_with_a_gil_the_cost_is_expected_to_be_flat_and_the_threads_to_take_turns(verdicts, name):
    assert verdicts(name, 103.0, 99.0) == ["holds", "holds"]
    assert verdicts(name, 140.0, 180.0) == ["does not hold", "does not hold"]
    assert verdicts(name, 60.0, 60.0) == ["does not hold", "does not hold"]


@pytest.mark.parametrize("name", ["own", "immortal"])
def test_without_a_gil_what_is_not_shared_is_expected_to_cost_the_same(verdicts, name):
    assert verdicts(name, 103.0, 190.0, **FREE) == ["holds"]
    assert verdicts(name, 300.0, 60.0, **FREE) == ["does not hold"]


def test_without_a_gil_what_is_shared_is_expected_to_get_dearer(verdicts):
    assert verdicts("shared", 500.0, **FREE) == ["holds"]
    assert verdicts("shared", 101.0, **FREE) == ["does not hold"]
    assert verdicts("shared", 101.0, cores=1, **FREE) == ["not testable here"]


def test_a_short_run_has_the_promised_shape():
    settings = Settings(arm_ns=5_000_000, member_ns=0)
    result = scenarios.run("refcount-scaling", threads=(1, 2), repeat=2, frame=settings)
    names = ("own", "shared", "immortal")
    assert {(arm.name, arm.threads) for arm in result.arms if arm.unit == "ns/operation"} == {
        (name, threads) for name in names for threads in (1, 2)
    }
    for name in names:
        ratio = result.arm(name, 2).median / result.arm(name, 1).median
        assert result.fact(f"cost_ratio_{name}_2") == ratio
        assert result.fact(f"speedup_{name}_2") > 0
    assert len(result.laws) == (6 if result.environment.gil_enabled else 3)
