from __future__ import annotations

import pytest

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.reference_counts import shared_objects

FREE = {"build": "free-threaded", "gil_enabled": False, "traced": False}


@pytest.fixture
def verdicts(monkeypatch, observed):
    """Return a function that gives the verdicts on a made-up machine, by arm."""

    def find(request, score):
        monkeypatch.setattr(shared_objects, "observe", observed(score))
        found = shared_objects.SCENARIO.measure(request)
        return {" ".join(law.text.split()[:2]).rstrip(":"): law.verdict for law in found.laws}

    return find


def test_under_a_gil_sharing_is_expected_to_cost_nothing_but_for_a_lock(verdicts, ask):
    found = verdicts(ask(cores=4), lambda name, _threads: 10 if name == "lock shared" else 100)
    assert len(found) == 8
    assert set(found.values()) == {"holds"}


def test_under_a_gil_a_speedup_and_a_loss_are_told(verdicts, ask):
    found = verdicts(ask(cores=4), lambda _name, threads: 100 * threads)
    assert set(found.values()) == {"does not hold"}
    found = verdicts(ask(cores=4), lambda name, _threads: 10 if name.endswith("shared") else 100)
    assert found["dict shared"] == "does not hold"
    assert found["lock shared"] == "holds"


def test_without_a_gil_private_objects_are_expected_to_scale_and_shared_ones_not(verdicts, ask):
    def scaling(name, threads):
        return 50 if name.endswith("shared") else 100 * threads

    assert set(verdicts(ask(cores=4, **FREE), scaling).values()) == {"holds"}
    found = verdicts(ask(cores=4, **FREE), lambda _name, threads: 150 if threads > 1 else 100)
    assert set(found.values()) == {"does not hold"}
    assert set(verdicts(ask(cores=1, **FREE), scaling).values()) == {"not testable here"}


@pytest.mark.parametrize(
    ("threads", "cores", "team"),
    [((1, 2, 4), 2, 2), ((1, 2, 4, 8), 4, 4), ((1, 2, 4), 1, 2), ((1, 4, 8), 2, 4), ((1,), 2, 1)],
)
def test_a_team_has_a_core_for_each_thread_if_it_can(ask, threads, cores, team):
    assert shared_objects.team(ask(threads, cores=cores)) == team


def test_a_short_run_has_the_promised_shape():
    settings = Settings(arm_ns=5_000_000, member_ns=0)
    result = scenarios.run("shared-objects", threads=(1, 2), repeat=2, quick=True, frame=settings)
    assert [(arm.name, arm.threads) for arm in result.arms] == [
        ("dict private", 1),
        ("dict private", 2),
        ("dict shared", 2),
    ]
    assert len(result.laws) == 2
    single = result.arm("dict private", 1).median
    assert result.fact("speedup_dict_shared_2") == result.arm("dict shared", 2).median / single


def test_one_thread_alone_has_nothing_to_share():
    settings = Settings(arm_ns=2_000_000, member_ns=0)
    result = scenarios.run("shared-objects", threads=(1,), repeat=2, quick=True, frame=settings)
    assert [(arm.name, arm.threads) for arm in result.arms] == [("dict private", 1)]
    assert result.laws == ()
