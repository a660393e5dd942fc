from __future__ import annotations

import pytest
from made_up_runs import cell_run, trials_observed, verdicts

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.lessons import barrier

ALL_OR_NONE = "none leaves before the last has come"
BROKEN = "one gives up: none passes, all get BrokenBarrierError"


def findings_of(monkeypatch, request, sleep_s, compute_s, broken=(0, 4)):
    def model(name, _threads):
        return {"": sleep_s if name == "then sleep" else compute_s}

    monkeypatch.setattr(barrier, "observe_trials", trials_observed(model, live=True))
    monkeypatch.setattr(barrier, "broken", lambda _members, _patience_s: broken)
    monkeypatch.setattr(barrier, "run_cell", lambda _cell: cell_run(exit_s=0.2))
    return barrier.SCENARIO.measure(request)


def test_a_skew_by_the_gil_is_recognised(monkeypatch, ask):
    found = findings_of(monkeypatch, ask(), 0.00002, 0.01)
    assert set(verdicts(found).values()) == {"holds"}
    assert {fact.name for fact in found.facts} >= {"release_skew_then_compute_4", "release_skew_then_sleep_2"}


def test_other_skews_are_told(monkeypatch, ask):
    laws = verdicts(findings_of(monkeypatch, ask(), 0.02, 0.001, broken=(1, 3)))
    assert laws["members who then sleep leave within a switch interval, 4 members"] == "does not hold"
    assert (
        laws["members who then compute leave a switch interval apart or more, 4 members"] == "does not hold"
    )
    assert laws[BROKEN] == "does not hold"


def test_without_a_gil_members_leave_together(monkeypatch, ask):
    request = ask(threads=(1, 2), gil_enabled=False, build="free-threaded", traced=False)
    text = "members who then compute leave within a switch interval, 2 members"
    assert verdicts(findings_of(monkeypatch, request, 0.00002, 0.00003, (0, 2)))[text] == "holds"
    assert verdicts(findings_of(monkeypatch, request, 0.00002, 0.01, (0, 2)))[text] == "does not hold"


def test_a_barrier_that_lets_one_pass_early_is_told(monkeypatch, ask):
    class Open:
        def __init__(self, _parties):
            pass

        def wait(self, _timeout):
            pass

    monkeypatch.setattr(barrier.threading, "Barrier", Open)
    assert verdicts(findings_of(monkeypatch, ask(threads=(1, 4)), 0.0, 0.0))[ALL_OR_NONE] == "does not hold"


@pytest.mark.parametrize("members", [2, 4])
def test_one_who_gives_up_breaks_it_for_all(members):
    assert barrier.broken(members, 0.001) == (0, members - 1)


def test_a_real_run_meets_and_breaks():
    result = scenarios.run("barrier", threads=(1, 2), repeat=2, frame=Settings(arm_ns=5_000_000, member_ns=0))
    laws = verdicts(result)
    assert laws[ALL_OR_NONE] == "holds"
    assert laws[BROKEN] == "holds"
    assert result.printed.count("passed.") == 3
    assert result.printed.count("broken.") == 2
