from __future__ import annotations

import dataclasses

import pytest
from made_up_arms import arm, briefly

from gilprobe.measuring.measure import Measurement
from gilprobe.measuring.teams import MemberRun, TeamRun
from gilprobe.results import TracedArm
from gilprobe.scenarios.contention import grain
from gilprobe.scenarios.laws import parallel_law
from gilprobe.scenarios.scenario import Observation

MEETINGS = "a handoff each time that"
"""In the text of a law about the traced runs, of which the made-up arms say nothing."""

TEXT_10US = "every 10 us: min(T, N), less a handoff a grain at most, 2 threads"


@pytest.fixture
def verdicts(monkeypatch, observed, ask):
    """Return a function that gives the verdicts on a machine with 8 us for a handoff."""

    def make(speedup, **changes):
        monkeypatch.setattr(grain, "handoff_s", lambda _clock: 8e-6)
        monkeypatch.setattr(grain, "iteration_ns", lambda _clock: 2.0)
        monkeypatch.setattr(grain, "observe", observed(lambda name, t: 100 * speedup(name, t)))
        found = grain.SCENARIO.measure(ask(**changes))
        laws = {law.text: law.verdict for law in found.laws if MEETINGS not in law.text}
        return laws, {f.name for f in found.facts}

    return make


def typical(name, threads):
    return 0.4 if name == "every 1 us" and threads > 1 else min(threads, 2)


def test_short_grains_lose_and_long_ones_gain(verdicts):
    laws, facts = verdicts(typical)
    assert len(laws) == 10
    assert set(laws.values()) == {"holds"}
    assert facts >= {"cycle", "handoff", "speedup_1us_2", "handoffs_10ms_4"}


def test_gaining_from_grains_below_a_handoff_is_told(verdicts):
    laws, _ = verdicts(lambda _name, threads: min(threads, 2))
    assert laws["every 1 us, less than a handoff: slower than one, 2 threads"] == "does not hold"
    assert laws[TEXT_10US] == "holds"


def test_how_often_the_threads_met_is_told_beside_a_law_that_does_not_hold(report):
    broken = parallel_law("p", arm(100, 100), arm(100, 100), cores=2)
    assert grain._met(TracedArm("x", 2, report)) == 5 / 9
    assert grain._explained(broken, 0.0123).measured.endswith("; the GIL was taken 1.23% of the times")
    assert grain._explained(broken, None) == broken
    holding = parallel_law("p", arm(200, 200), arm(100, 100), cores=2)
    assert grain._explained(holding, 0.5) == holding


@pytest.mark.parametrize(
    ("met", "speedup", "verdict"),
    [
        (0, 2.0, "holds"),  # nobody met
        (0, 1.2, "does not hold"),
        (100, 1.0, "holds"),  # one in ten found it taken: 10 us of 10 us are lost
        (100, 1.9, "does not hold"),
        (100, 0.4, "does not hold"),
        (1000, 0.18, "holds"),
        (1000, 0.9, "does not hold"),
    ],
)
def test_a_meeting_costs_a_handoff(report, account, met, speedup, verdict):
    members = [account(native_id=n, acquisitions=1000, contended_acquisitions=met) for n in (1, 2)]
    traced = TracedArm("every 10 us", 2, dataclasses.replace(report, threads=tuple(members)))
    law = grain._met_law(10e-6, traced, speedup, 100e-6)
    assert law.verdict == verdict
    assert f"with it taken {met / 10:.2f}% of the times" in law.expected


def test_meetings_are_judged_where_grains_are_short_and_each_thread_has_a_core(ask, report, account):
    lengths = [1e-6] * 3 + [1e-3] * 3
    traces = [TracedArm("x", threads, report) for threads in (1, 2, 4)] * 2
    runs = [TeamRun(threads, (MemberRun(1, 0, 10**9, 10**9),)) for threads in (1, 2, 4)] * 2
    seen = Observation(Measurement((), (), ()), tuple(traces), tuple(runs), ())
    (law,) = grain._met_laws(ask(), lengths, seen, 8e-6)
    assert law.text.startswith("every 1 us: a handoff each time")
    assert law.text.endswith("2 threads")
    assert law.measured == "2.00x (in the traced runs)"
    assert [*grain._met_laws(ask(cores=1), lengths, seen, 8e-6)] == []


def test_time_that_other_load_took_is_told(ask, report, account):
    waited = dataclasses.replace(report, threads=(account("worker 1", 0, 200, 800, native_id=1),))
    lengths, traces = [1e-6] * 2, [TracedArm("x", threads, waited) for threads in (1, 2)]
    told = []
    for cpu_ns in (750_000_000, 300_000_000):
        runs = tuple(TeamRun(threads, (MemberRun(1, 0, 10**9, cpu_ns),)) for threads in (1, 2))
        seen = Observation(Measurement((), (), ()), tuple(traces), runs, ())
        (law,) = grain._met_laws(ask(), lengths, seen, 8e-6)
        told.append(law.measured.partition("; ")[2])
    assert told == ["", "other load had the cores 50% of the time"]


def test_gaining_nothing_from_long_grains_is_told(verdicts):
    laws, _ = verdicts(lambda _name, _threads: 1)
    assert laws["every 10 ms: min(T, N), less a handoff a grain at most, 2 threads"] == "does not hold"
    assert laws[TEXT_10US] == "does not hold"
    assert laws["every 10 ms: at most min(T, N), 4 threads"] == "holds"


def test_a_loss_of_a_handoff_a_grain_is_still_within_the_law(verdicts):
    laws, _ = verdicts(lambda _name, threads: 1 if threads == 1 else 2 * 10 / 18)
    assert laws[TEXT_10US] == "holds"


def test_a_single_core_can_not_tell_what_long_grains_gain(verdicts):
    laws, _ = verdicts(lambda _name, _threads: 0.9, cores=1)
    assert sorted(laws.values()) == ["holds", "holds"] + ["not testable here"] * 8


def test_without_a_gil_all_grains_scale(verdicts):
    none = {"build": "free-threaded", "gil_enabled": False, "traced": False}
    laws, facts = verdicts(lambda _name, threads: min(threads, 2), **none)
    assert set(laws.values()) == {"holds"}
    assert "handoff" not in facts
    laws, _ = verdicts(typical, **none)
    assert "does not hold" in laws.values()


def test_a_short_run_has_all_arms():
    result = briefly("grain")
    assert {arm.name for arm in result.arms} == {"every 1 us", "every 1 ms"}
    assert result.fact("cycle") > 0
    assert result.fact("speedup_1ms_2") > 0
