from __future__ import annotations

import dataclasses

from made_up_runs import cell_run, cells_observed, verdicts

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.lessons import lock_deadlock


def locks(*, again, both, waits_s=0.2):
    """Return a machine whose Lock lets its owner in again or not, and whose pairs of locks jam or not."""

    def model(name, _threads):
        if name.endswith("order"):
            got = both if name == "opposite order" else True
            lines = ["Thread 1: has a.", f"Thread 1: got b: {got}"]
            lines += [f"Thread 2: got {lock}: {got}" for lock in ("a" if name == "opposite order" else "b")]
            return cell_run(*[(0.1, line) for line in lines], (0.3, "Main    : all done."), exit_s=0.4)
        answer, took_s = (again, waits_s) if name == "Lock" else (True, 0.0)
        return cell_run(
            (0.1, "Thread 1: first acquire: True"),
            (0.1 + took_s, f"Thread 1: second acquire: {answer}"),
            exit_s=0.5,
        )

    return model


def findings_of(monkeypatch, model, request, off_ms, report, account):
    threads = (account("MainThread", 1, 0, 1), account("Thread-1 (thread_function)", 0, 0, off_ms))
    observe = cells_observed(model, lambda _name, _threads: dataclasses.replace(report, threads=threads))
    monkeypatch.setattr(lock_deadlock, "observe_cells", observe)
    return lock_deadlock.SCENARIO.measure(request)


def test_deadlocks_are_recognised(monkeypatch, ask, report, account):
    found = findings_of(monkeypatch, locks(again=False, both=False), ask(), 200, report, account)
    assert set(verdicts(found).values()) == {"holds"}
    assert len(found.laws) == 7


def test_locks_that_let_everyone_in_are_told(monkeypatch, ask, report, account):
    model = locks(again=True, both=True, waits_s=0.0)
    laws = verdicts(findings_of(monkeypatch, model, ask(), 2, report, account))
    assert laws["Lock: its owner does not get it again"] == "does not hold"
    assert laws["it waits for itself until its time is up"] == "does not hold"
    assert laws["two locks in opposite order: neither gets both"] == "does not hold"
    assert laws["who waits for a lock is off, without the GIL"] == "does not hold"


def test_without_a_trace_the_reason_is_told(monkeypatch, ask, report, account):
    request = ask(traced=False)
    found = findings_of(monkeypatch, locks(again=False, both=False), request, 200, report, account)
    assert (found.laws[-1].verdict, found.laws[-1].measured) == ("not testable here", "no tracer today")


def test_a_real_deadlock_is_given_up():
    result = scenarios.run("lock-deadlock", repeat=2, frame=Settings(arm_ns=20_000_000, member_ns=0))
    laws = verdicts(result)
    assert laws["Lock: its owner does not get it again"] == "holds"
    assert laws["RLock: its owner gets it again"] == "holds"
    assert [arm.name for arm in result.arms] == ["Lock", "RLock", "opposite order", "same order"]
