from __future__ import annotations

from made_up_runs import cell_run, trials_observed, verdicts

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.lessons import semaphore

REFUSED = ((0.1, "Semaphore: released once too often"), (0.1, "BoundedSemaphore: ValueError: no"))


def findings_of(monkeypatch, request, inside, took, printed=REFUSED):
    def model(name, _threads):
        size = int(name[4])
        return {"": inside(size, "often" in name), "time": took(size)}

    monkeypatch.setattr(semaphore, "observe_trials", trials_observed(model))
    monkeypatch.setattr(semaphore, "run_cell", lambda _cell: cell_run(*printed, exit_s=0.2))
    return semaphore.SCENARIO.measure(request)


def test_admission_is_recognised(monkeypatch, ask):
    found = findings_of(monkeypatch, ask(), lambda size, excess: size + excess, lambda size: 8 / size)
    assert set(verdicts(found).values()) == {"holds"}
    assert {fact.name: fact.value for fact in found.facts}["max_inside_4"] == 4


def test_one_too_many_is_told(monkeypatch, ask):
    found = findings_of(monkeypatch, ask(), lambda size, _excess: size + 1, lambda _size: 8.0)
    laws = verdicts(found)
    assert laws["k = 2: never more than 2 inside, and as many at some time"] == "does not hold"
    assert laws["k = 2: 8 members in 4 rounds, time against k = 1"] == "does not hold"
    assert laws["released once too often, k = 2 lets in 3"] == "holds"


def test_one_too_many_in_a_single_run_is_told(monkeypatch, ask):
    found = findings_of(
        monkeypatch, ask(), lambda size, _excess: (size, size, size + 1), lambda size: 8 / size
    )
    laws = verdicts(found)
    assert laws["k = 1: never more than 1 inside, and as many at some time"] == "does not hold"


def test_a_bounded_semaphore_that_says_nothing_is_told(monkeypatch, ask):
    found = findings_of(
        monkeypatch, ask(), lambda size, excess: size + excess, lambda size: 8 / size, printed=()
    )
    assert found.laws[-1].verdict == "does not hold"


def test_members_are_counted():
    assert semaphore.visit(2, 0.001)[""] <= 2
    assert semaphore.visit(semaphore.MEMBERS, 0.05)[""] > 1


def test_a_real_run_has_the_promised_shape():
    result = scenarios.run(
        "semaphore", threads=(1, 2), repeat=2, frame=Settings(arm_ns=5_000_000, member_ns=0)
    )
    assert "BoundedSemaphore: ValueError: " in result.printed
    assert result.fact("max_inside_1") == 1
    assert result.fact("max_inside_2") <= 2
    assert verdicts(result)["only a BoundedSemaphore refuses to be released too often"] == "holds"
