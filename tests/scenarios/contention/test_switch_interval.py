from __future__ import annotations

import dataclasses
import sys

import pytest
from made_up_arms import arm, briefly

import gilprobe
from gilprobe.measuring.teams import MemberRun, TeamRun
from gilprobe.results import TracedArm
from gilprobe.scenarios.contention import switch_interval
from gilprobe.scenarios.contention.switch_interval import ORDINARY_S, Cost, Costs

COST = Cost(60e-6, 10e-6)
STEADY = Costs(COST, COST)


@pytest.fixture
def rate_law(report, account, ask):
    """Return a function that judges so many switches in a second of two spinners."""

    def make(interval_s, forced, cpu_ns=500_000_000, costs=STEADY):
        runner = switch_interval._Spinning(ask(), 2, interval_s, 1)
        runner.latest = TeamRun(1, tuple(MemberRun(number, 0, 10**9, cpu_ns) for number in (1, 2)))
        members = [account(native_id=number, forced_releases=forced // 2) for number in (1, 2)]
        bystander = account("MainThread", native_id=9, forced_releases=10**6)
        traced = TracedArm("x", 2, dataclasses.replace(report, threads=(bystander, *members)))
        return switch_interval._rate_law(runner, traced, costs)

    return make


@pytest.mark.parametrize(
    ("interval_s", "forced", "verdict"),
    [
        (5e-3, 196, "holds"),
        (5e-3, 260, "does not hold"),  # faster than one an interval
        (5e-3, 60, "does not hold"),
        (1e-4, 5900, "holds"),
        (1e-6, 14_000, "holds"),  # a microsecond is never reached
        (1e-6, 1_000_000, "does not hold"),
        (0.1, 10, "holds"),
        (0.1, 0, "does not hold"),
    ],
)
def test_there_is_about_one_switch_an_interval_and_its_cost(rate_law, interval_s, forced, verdict):
    assert rate_law(interval_s, forced).verdict == verdict


def test_a_cost_that_changed_meanwhile_is_allowed_for_and_no_more(rate_law):
    changed = Costs(Cost(150e-6, 40e-6), COST)
    assert rate_law(1e-5, 4000).verdict == "does not hold"
    assert rate_law(1e-5, 4000, costs=changed).verdict == "holds"
    assert rate_law(1e-5, 14_000, costs=changed).verdict == "holds"
    assert rate_law(1e-5, 3000, costs=changed).verdict == "does not hold"
    assert rate_law(1e-5, 20_000, costs=changed).verdict == "does not hold"


def test_threads_that_had_no_core_are_told(rate_law):
    assert "other load" not in rate_law(5e-3, 60).measured
    assert "30% of a core only: other load" in rate_law(5e-3, 60, cpu_ns=150_000_000).measured


def test_the_rate_is_of_the_time_in_which_there_was_someone_to_ask():
    run = TeamRun(1, (MemberRun(1, 0, 400, 0), MemberRun(2, 100, 1000, 0), MemberRun(3, 50, 900, 0)))
    assert switch_interval._common_ns(run) == 900


def throughput_verdicts(request, shares):
    arms = {interval_s: arm(100 * share, 100 * share) for interval_s, share in shares.items()}
    costs = dict.fromkeys(arms, STEADY)
    return [law.verdict for law in switch_interval._throughput_laws(request, arms, costs)]


def test_throughput_falls_with_very_short_intervals_only(ask):
    good = {1e-6: 0.8, 1e-5: 0.85, 1e-3: 0.97, ORDINARY_S: 1.0, 0.1: 1.01}
    assert throughput_verdicts(ask(), good) == ["holds"] * 3
    bad = {1e-6: 1.0, 1e-5: 0.99, 1e-3: 0.2, ORDINARY_S: 1.0, 0.1: 1.5}
    assert throughput_verdicts(ask(), bad) == ["does not hold"] * 3


def test_without_a_gil_the_interval_changes_nothing(ask):
    request = ask(build="free-threaded", gil_enabled=False, traced=False)
    assert throughput_verdicts(request, {1e-6: 1.0, ORDINARY_S: 1.0, 0.1: 0.95}) == ["holds"] * 2
    assert throughput_verdicts(request, {1e-6: 0.5, ORDINARY_S: 1.0, 0.1: 1.2}) == ["does not hold"] * 2


def test_a_short_run_puts_the_interval_back():
    before = sys.getswitchinterval()
    result = briefly("switch-interval")
    assert sys.getswitchinterval() == before
    assert [one.name for one in result.arms] == ["10 us", "1 ms", "5 ms"]
    assert result.fact("throughput_10us") > 0
    if gilprobe.capabilities().tracer == "exact":
        assert result.fact("switches_1ms") >= 0  # a few milliseconds may pass without any
        assert "about 1/(interval + cost of a switch): 1 ms" in {law.text for law in result.laws}
    else:
        assert "not testable here" in {law.verdict for law in result.laws}
