from __future__ import annotations

import dataclasses
import sys
import threading

import pytest
from made_up_arms import arm, briefly

import gilprobe
from gilprobe.report import Stall
from gilprobe.results import TracedArm
from gilprobe.scenarios.contention import stall
from gilprobe.scenarios.contention.stall import ORDINARY_S, StallPlan

HELD = StallPlan(True, 50_000_000, ORDINARY_S)
RELEASED = StallPlan(False, 50_000_000, ORDINARY_S)


def verdict_of(request, *held_s, released_s=0.001):
    arms = {RELEASED: arm(released_s, released_s), HELD: arm(*held_s)}
    return stall._stall_law(request, HELD, arms).verdict


@pytest.mark.parametrize(
    ("held_s", "verdict"),
    [((0.050, 0.051), "holds"), ((0.005, 0.006), "does not hold"), ((0.090, 0.095), "does not hold")],
)
def test_a_stall_is_as_long_as_the_call(ask, held_s, verdict):
    assert verdict_of(ask(), *held_s) == verdict


def test_what_the_machine_adds_anyhow_is_allowed(ask):
    assert verdict_of(ask(), 0.060, 0.061) == "does not hold"
    assert verdict_of(ask(), 0.060, 0.061, released_s=0.010) == "holds"


def test_without_a_gil_nobody_is_stalled(ask):
    request = ask(build="free-threaded", gil_enabled=False, traced=False)
    assert verdict_of(request, 0.002, 0.003) == "holds"
    assert verdict_of(request, 0.050, 0.051) == "does not hold"


def long_wait(waiter, holder, function):
    return Stall(waiter, "", "", 0, holder, function, "kernels.py", 209, 0, 50_000_000, 49_000_000)


@pytest.mark.parametrize(
    ("stalls", "verdict", "measured"),
    [
        ((long_wait("victim", "culprit", "sleep"),), "holds", "culprit, sleep:209, 49 ms of 50 ms"),
        ((long_wait("MainThread", "culprit", "sleep"),), "does not hold", "the victim never waited"),
        ((long_wait("victim", "MainThread", "f"),), "does not hold", "MainThread, f:209, 49 ms of 50 ms"),
        ((long_wait("victim", "", ""),), "does not hold", "nobody, 49 ms of 50 ms"),
    ],
)
def test_the_trace_has_to_name_the_culprit(report, stalls, verdict, measured):
    law = stall._blame_law(HELD, TracedArm("x", 2, dataclasses.replace(report, longest_waits=stalls)))
    assert (law.verdict, law.measured) == (verdict, measured)


def test_a_short_run_leaves_nothing_behind():
    before = sys.getswitchinterval()
    result = briefly("stall")
    assert sys.getswitchinterval() == before
    assert {thread.name for thread in threading.enumerate()}.isdisjoint({"victim", "culprit"})
    assert [one.name for one in result.arms] == [
        "released 2 ms, interval 5 ms",
        "held 2 ms, interval 5 ms",
        "held 2 ms, interval 100 us",
    ]
    if gilprobe.capabilities().gil_enabled:
        assert result.fact("stall_over_call_held_2ms_5ms") > 0.5
