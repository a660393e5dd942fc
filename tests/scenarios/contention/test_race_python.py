from __future__ import annotations

import sys

import pytest

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.results import Arm
from gilprobe.scenarios.contention import race_python


@pytest.fixture
def laws_of(ask):
    """Return a function that gives the verdicts on an arm that lost these shares."""

    def make(name, *lost, threads=2, **changes):
        arm = Arm(name, threads, "lost/update", lost[0], min(lost), max(lost), lost)
        return [law.verdict for law in race_python._laws(ask(**changes), arm)]

    return make


@pytest.mark.parametrize(
    ("name", "lost", "verdict"),
    [
        ("plain", (0.0, 0.0), "holds"),
        ("plain", (0.0, 0.1), "does not hold"),
        ("call", (0.2, 0.1), "holds"),
        ("call", (0.0, 0.0), "does not hold"),
        ("sleep", (0.5, 0.5), "holds"),
        ("sleep", (0.0, 0.0), "does not hold"),
        ("locked", (0.0, 0.0), "holds"),
        ("locked", (0.0, 0.001), "does not hold"),
    ],
)
def test_with_a_gil_only_a_call_between_read_and_write_is_expected_to_lose(laws_of, name, lost, verdict):
    assert laws_of(name, *lost) == [verdict]


def test_without_a_gil_the_bare_statement_is_expected_to_lose_as_well(laws_of):
    free = {"build": "free-threaded", "gil_enabled": False, "traced": False}
    assert laws_of("plain", 0.3, 0.2, **free) == ["holds"]
    assert laws_of("plain", 0.0, 0.0, **free) == ["does not hold"]
    assert laws_of("plain", 0.0, 0.0, cores=1, **free) == ["not testable here"]
    assert laws_of("locked", 0.0, 0.0, cores=1, **free) == ["holds"]


def test_one_thread_loses_nothing():
    for way in race_python.WAYS:
        assert race_python.race(way, 1, 300) == race_python.RaceEnd(300, 300)


def test_two_threads_that_let_go_between_read_and_write_lose_updates():
    """Not in every run: where other processes have the cores, one may be done before the next begins."""
    while race_python.race(race_python.SLEEP, 2, 300).lost == 0:
        pass


def test_a_short_race_has_the_promised_shape_and_leaves_the_switch_interval_alone():
    before_s = sys.getswitchinterval()
    settings = Settings(arm_ns=5_000_000, member_ns=0)
    result = scenarios.run("race-python", threads=(1, 2), repeat=2, frame=settings)
    assert sys.getswitchinterval() == before_s
    assert [(arm.name, arm.threads) for arm in result.arms] == [(way.name, 2) for way in race_python.WAYS]
    assert result.arm("locked", 2).samples == (0.0, 0.0)
    assert result.fact("updates_sleep_2") > result.fact("lost_sleep_2") >= 0
    assert result.fact("updates_call_2") > result.fact("lost_call_2") >= 0
    assert result.printed.count("expected") == len(race_python.WAYS)
    assert not [text for text in result.warnings if text.startswith("unstable")]
