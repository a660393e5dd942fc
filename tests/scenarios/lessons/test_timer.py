from __future__ import annotations

import dataclasses

import pytest
from made_up_runs import cell_run, trials_observed, verdicts

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.lessons import timer

SHORT = Settings(arm_ns=5_000_000, member_ns=0)
RINGS = ((0.1, "Timer 1: rings."),)


def findings_of(monkeypatch, request, alone_s, beside_s, printed=RINGS):
    def model(name, _threads):
        value = alone_s if name == "alone" else beside_s
        return {"": value, "p99": 2 * value}

    monkeypatch.setattr(timer, "observe_trials", trials_observed(model, live=True))
    monkeypatch.setattr(timer, "run_cell", lambda _cell: cell_run(*printed, exit_s=0.2))
    return timer.SCENARIO.measure(dataclasses.replace(request, frame=SHORT))


def test_lateness_by_the_gil_is_recognised(monkeypatch, ask):
    found = findings_of(monkeypatch, ask(), 0.0002, 0.006)
    assert set(verdicts(found).values()) == {"holds"}
    assert {fact.name: fact.value for fact in found.facts} == {
        "late_p50_alone": 0.0002,
        "late_p99_alone": 0.0004,
        "late_p50_beside": 0.006,
        "late_p99_beside": 0.012,
    }


def test_other_lateness_is_told(monkeypatch, ask):
    laws = verdicts(findings_of(monkeypatch, ask(), 0.02, 0.001, printed=()))
    assert laws["alone: late by far less than a switch interval"] == "does not hold"
    assert laws["beside a spinning thread: late by a switch interval or more"] == "does not hold"
    assert laws["a cell's cancelled timer does not ring, the other does"] == "does not hold"


def test_without_a_gil_a_spinning_thread_delays_nobody(monkeypatch, ask):
    request = ask(gil_enabled=False, build="free-threaded", traced=False)
    text = "beside a spinning thread: no later, as there is no GIL"
    assert verdicts(findings_of(monkeypatch, request, 0.0002, 0.0003))[text] == "holds"
    assert verdicts(findings_of(monkeypatch, request, 0.0002, 0.006))[text] == "does not hold"


def test_timers_that_are_early_or_cancelled_in_vain_are_told():
    alarms = timer.Alarms(0.005, spinning=False)
    alarms.late, alarms.cancelled = [0.001, -0.001], 1
    assert [law.verdict for law in timer._time_laws({"": alarms})] == ["does not hold"] * 2


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.99, 4), (0.0, 1), (1.0, 4)])
def test_quantiles_are_samples(share, expected):
    assert timer.quantile([1, 2, 3, 4], share) == expected


def test_a_real_run_has_both_percentiles():
    result = scenarios.run("timer", threads=(1, 2), repeat=2, frame=SHORT)
    assert [arm.name for arm in result.arms] == [
        "alone",
        "alone, p99",
        "beside a spinning thread",
        "beside a spinning thread, p99",
    ]
    assert verdicts(result)["a cancelled timer never calls"] == "holds"
    assert "Timer 1: rings." in result.printed
