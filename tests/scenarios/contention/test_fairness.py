from __future__ import annotations

import dataclasses

import pytest
from made_up_arms import arm, briefly

import gilprobe
from gilprobe.measuring.teams import MemberRun, TeamRun
from gilprobe.results import TracedArm
from gilprobe.scenarios.contention import fairness
from gilprobe.scenarios.contention.fairness import Contest, jain


@pytest.mark.parametrize(
    ("shares", "index"), [((1, 1, 1), 1.0), ((1, 0, 0, 0), 0.25), ((3, 1), 0.8), ((), 1.0), ((0, 0), 1.0)]
)
def test_jains_index(shares, index):
    assert jain(shares) == pytest.approx(index)


@pytest.fixture
def holds_law(report, account):
    """Return a function that judges two spinners which held the GIL for so long in so many turns."""

    def make(holds_ms, turns):
        contest = Contest(2, 1, lambda: 0)
        contest.latest = TeamRun(1, tuple(MemberRun(number, 0, 1, 1) for number in range(2)))
        members = [
            account("w", hold_ms, 0, 0, native_id=number, forced_releases=turns)
            for number, hold_ms in enumerate(holds_ms)
        ]
        bystander = account("MainThread", 0, 0, 1000, native_id=99)
        traced = TracedArm("x", 2, dataclasses.replace(report, threads=(bystander, *members)))
        return fairness._holds_law(traced, contest)

    return make


def test_more_is_expected_of_a_longer_run(holds_law):
    assert holds_law((600, 400), 5).verdict == "holds"
    assert holds_law((600, 400), 50).verdict == "does not hold"
    assert holds_law((500, 500), 50).verdict == "holds"


def test_a_run_of_a_single_turn_tells_nothing(holds_law):
    law = holds_law((600, 400), 1)
    assert (law.verdict, law.measured) == ("not testable here", "only 1.0 turns each in this run")


def test_unequal_work_is_told(ask):
    assert fairness._work_law(ask(), arm(0.99, 1.0)).verdict == "holds"
    assert fairness._work_law(ask(), arm(0.5, 0.6)).verdict == "does not hold"
    none = ask(build="free-threaded", gil_enabled=False, traced=False)
    assert fairness._work_law(none, arm(0.96, 0.97, threads=64)).verdict == "holds"
    assert fairness._work_law(none, arm(0.5, 0.6, threads=64)).verdict == "does not hold"


def test_a_run_too_short_for_turns_tells_nothing_of_the_work(ask):
    assert fairness._work_law(ask(), arm(0.87, 0.89, threads=8)).verdict == "holds"  # 5 turns each
    assert fairness._work_law(ask(), arm(0.5, 0.6, threads=64)).verdict == "not testable here"


def test_every_member_counts_until_the_same_moment():
    now = iter(range(10**9))
    contest = Contest(3, 200, lambda: next(now))
    assert 1 / 3 <= contest.run()[""] <= 1.0
    assert len(contest.latest.members) == 3


def test_a_short_run_compares_teams():
    result = briefly("fairness")
    assert [one.threads for one in result.arms] == [1, 2]
    assert result.arm("equal spinners", 1).samples == (1.0, 1.0)
    if gilprobe.capabilities().tracer == "exact":
        assert 0.5 <= result.fact("jain_2") <= 1.0
    else:
        assert result.laws[-1].verdict == "not testable here"
