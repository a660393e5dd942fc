from __future__ import annotations

import threading

import pytest

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.results import Arm
from gilprobe.scenarios.reference_counts import refcount_race
from gilprobe.scenarios.reference_counts.refcount_race import WAYS, Race

FREE = {"build": "free-threaded", "gil_enabled": False, "traced": False}


@pytest.fixture
def verdicts(ask):
    """Return a function that gives the verdicts on an arm that lost these shares."""

    def find(name, *lost, threads=2, **changes):
        arm = Arm(name, threads, "lost/update", lost[0], min(lost), max(lost), lost)
        return [law.verdict for law in refcount_race._laws(ask(**changes), arm)]

    return find


@pytest.mark.parametrize("name", ["held", "atomic", "per thread"])
def test_a_protected_count_is_expected_to_lose_nothing(verdicts, name):
    assert verdicts(name, 0.0, 0.0) == ["holds"]
    assert verdicts(name, 0.0, 1e-9) == ["does not hold"]


def test_an_unprotected_count_is_expected_to_lose_where_two_cores_meet(verdicts):
    assert verdicts("released", 0.3, 0.1) == ["holds"]
    assert verdicts("released", 0.0, 0.0) == ["does not hold"]
    assert verdicts("released", 0.0, 0.0, cores=1) == ["not testable here"]
    assert verdicts("released", 0.0, 0.0, threads=1) == []


def test_without_a_gil_holding_it_protects_nothing(verdicts):
    assert verdicts("held", 0.3, 0.1, **FREE) == ["holds"]
    assert verdicts("held", 0.0, 0.0, **FREE) == ["does not hold"]
    assert verdicts("atomic", 0.0, 0.0, **FREE) == ["holds"]


def test_each_thread_of_each_run_has_a_count_of_its_own():
    (way,) = (way for way in WAYS if way.per_thread)
    race = Race(way, 3)
    for times in (10, 100):
        members = [threading.Thread(target=race.bump, args=(times,)) for _ in range(3)]
        for member in members:
            member.start()
        for member in members:
            member.join()
        assert len(set(race._counter.values)) == 1
    assert race.value == 330


def test_a_short_race_has_the_promised_shape():
    settings = Settings(arm_ns=5_000_000, member_ns=0)
    result = scenarios.run("refcount-race", threads=(1, 2), repeat=2, frame=settings)
    assert {(arm.name, arm.threads) for arm in result.arms if "time" not in arm.name} == {
        (way.name, threads) for way in WAYS for threads in (1, 2)
    }
    for way in WAYS:
        assert result.arm(way.name, 1).samples == (0.0, 0.0)
        assert result.arm(f"{way.name}, CPU time", 2).median > 0
    for name in ("atomic", "per_thread"):
        assert result.fact(f"lost_{name}_2") == 0
    if result.environment.gil_enabled:
        assert result.fact("lost_held_2") == 0
    assert result.printed.count("expected") == len(WAYS)
    assert "leak" in result.printed
