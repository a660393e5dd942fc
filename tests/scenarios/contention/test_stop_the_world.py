from __future__ import annotations

import contextlib
import dataclasses
import gc

import pytest

import gilprobe
from gilprobe import scenarios
from gilprobe.measuring.measure import Measurement, Settings
from gilprobe.model.distribution import Distribution
from gilprobe.model.locks import LOCK, STOP, Lock, LockWait
from gilprobe.results import Arm, TracedArm
from gilprobe.scenarios.contention import stop_the_world
from gilprobe.scenarios.contention.stop_the_world import SHARE, StopPlan, Watched
from gilprobe.scenarios.scenario import Observation

FREE = {"build": "free-threaded", "gil_enabled": False, "cores": 2}
HAS_GIL = gilprobe.capabilities().gil_enabled


def test_a_pause_is_what_jumps_and_calls_have_in_common():
    watched = Watched(
        7, ((100, 200), (300, 400), (500, 600)), ((50, 120), (150, 160), (310, 450), (460, 490))
    )
    assert watched.pauses_ns() == [30, 90, 0]
    assert watched.shares() == pytest.approx([0.3, 0.9, 0.0])


def lock(kind):
    return Lock(kind, "", "", "", 0, Distribution(1, 10, 10, ((0, 1),)))


def waits(index, waiter_id, ns):
    return LockWait(index, "w", waiter_id, "watch", "s.py", 1, "", 0, "(not seen)", "", 0, ns)


WATCHED = Watched(7, ((100, 200),), ((100, 200),))


def test_a_trace_tells_the_victims_stops_only(report):
    rows = (waits(0, 7, 97), waits(0, 8, 500), waits(1, 7, 500))
    traced = dataclasses.replace(report, locks=(lock(STOP), lock(LOCK)), lock_waits=rows)
    assert stop_the_world.traced_pauses_ns(traced, WATCHED) == (97, 100)


@pytest.fixture
def found(monkeypatch, report, ask):
    """Return a function that measures on a made-up machine: pauses, shares, and what a trace tells."""

    def find(pause, share, traced_ns=100, *, traced=True, **changes):
        def observe(request, trials):
            arms = []
            for trial in trials:
                trial.run.args[0].last = WATCHED
                for metric, value in (("", pause(trial.name)), (SHARE, share(trial.name))):
                    samples = (value,) * 3
                    arms.append(
                        Arm(trial.arm_name(metric), 2, trial.units[metric], value, value, value, samples)
                    )
            seen = dataclasses.replace(report, locks=(lock(STOP),), lock_waits=(waits(0, 7, traced_ns),))
            traces = tuple(TracedArm(trial.name, 2, seen) for trial in trials)
            measurement = Measurement(tuple(arms), (), ())
            return Observation(measurement, traces if request.trace else (), (), ())

        monkeypatch.setattr(stop_the_world, "observe_trials", observe)
        request = dataclasses.replace(
            ask(**(FREE | changes)),
            trace_locks=contextlib.nullcontext if traced else None,
            trace_locks_reason="" if traced else "no locks today",
        )
        return stop_the_world.SCENARIO.measure(request)

    return find


def growing(name):
    return 0.04 if "200,000" in name else 0.01


def test_pauses_as_long_as_the_collection_hold_and_grow_with_the_objects(found):
    result = found(growing, lambda _name: 0.9)
    assert [law.verdict for law in result.laws] == ["holds"] * 5
    facts = {fact.name: fact.value for fact in result.facts}
    assert facts["traced_over_clock_collector_50000_objects"] == 1.0
    short = found(lambda _name: 0.01, lambda _name: 0.1, traced_ns=80)
    assert [law.verdict for law in short.laws] == ["does not hold"] * 5


def test_a_victim_without_a_core_stands_still_without_a_stop():
    plan = StopPlan("collector", gc.collect)
    law = stop_the_world._trace_law(plan, 65, 100, 40)
    assert (law.verdict, law.expected) == ("holds", "0.57x to 1.05x, as it had no core for 40 ns")
    assert stop_the_world._trace_law(plan, 50, 100, 40).verdict == "does not hold"
    busy = stop_the_world._trace_law(plan, 50, 100, 60)
    assert (busy.verdict, busy.measured) == (
        "not testable here",
        "the victim had no core for 60 ns of 100 ns",
    )


def test_time_without_a_core_is_read_where_the_system_tells_it(tmp_path):
    folder = tmp_path / "proc/self/task/7"
    folder.mkdir(parents=True)
    assert stop_the_world.run_delay_ns(7, str(tmp_path)) == 0
    (folder / "schedstat").write_text("100 250 3\n")
    assert stop_the_world.run_delay_ns(7, str(tmp_path)) == 250
    (folder / "schedstat").write_text("what\n")
    assert stop_the_world.run_delay_ns(7, str(tmp_path)) == 0


def test_what_can_not_be_tested_says_why(found):
    one = found(growing, lambda _name: 0.9, cores=1, traced=False)
    assert {law.verdict for law in one.laws} == {"not testable here"}
    assert [law.measured for law in one.laws] == ["1 usable core", "no locks today"]


def test_with_a_gil_the_world_never_stops(ask):
    assert "there is a GIL" in stop_the_world.missing(ask().environment)
    assert stop_the_world.missing(ask(**FREE).environment) == ""


@pytest.mark.skipif(not HAS_GIL, reason="there is no GIL")
def test_with_a_gil_the_scenario_says_that_it_can_not_be_tested():
    result = scenarios.run("stop-the-world", quick=True)
    (law,) = result.laws
    assert (law.verdict, result.arms) == ("not testable here", ())
    assert law.measured.startswith("there is a GIL")


def test_the_collector_runs_only_when_called_and_is_left_as_it_was():
    automatic = gc.isenabled()
    seen = []
    watched = stop_the_world.watch(StopPlan("nothing", lambda: seen.append(gc.isenabled()), 10), lambda: 0)
    assert seen == [False] * stop_the_world.EVENTS
    assert gc.isenabled() == automatic
    assert len(watched.calls) == stop_the_world.EVENTS
    assert watched.jumps == (), "the clock stood still"


@pytest.mark.skipif(HAS_GIL, reason="there is a GIL")
def test_a_short_run_has_the_promised_shape():
    result = scenarios.run("stop-the-world", threads=(1, 2), repeat=2, quick=True, frame=Settings())
    names = {arm.name.partition(", ")[0] for arm in result.arms}
    assert names == {"no stop", "collector"}
    assert result.fact("pause_collector_50000_objects") == result.arm("collector, 50,000 objects", 2).median
