from __future__ import annotations

import dataclasses

import pytest
from made_up_runs import cell_run, cells_observed, verdicts

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.lessons import thread_daemon

START = (0.04, "Thread 1: starting.")
DONE = (0.05, "Main    : all done.")
LATE = (0.24, "Thread 1: finishing.")


def cut_off(name, _threads):
    if name == "joined":
        return cell_run(START, LATE, (0.25, DONE[1]), exit_s=0.26)
    if name == "in a kernel":
        return cell_run(START, DONE, LATE, exit_s=0.45)
    return cell_run(START, DONE, exit_s=0.06)


def waited_for(_name, _threads):
    return cell_run(START, DONE, LATE, exit_s=0.25)


def findings_of(monkeypatch, model, request, life_ms, report, account):
    threads = (account("MainThread", 1, 0, 1), account("Thread-1 (thread_function)", 0, 0, life_ms))
    observe = cells_observed(model, lambda _name, _threads: dataclasses.replace(report, threads=threads))
    monkeypatch.setattr(thread_daemon, "observe_cells", observe)
    return thread_daemon.SCENARIO.measure(request)


def test_a_daemon_that_is_cut_off_is_recognised(monkeypatch, ask, report, account):
    found = findings_of(monkeypatch, cut_off, ask(), 10, report, account)
    assert set(verdicts(found).values()) == {"holds"}
    facts = {fact.name: fact.value for fact in found.facts}
    assert (facts["finished_as_it_stands"], facts["finished_joined"], facts["finished_in_a_kernel"]) == (
        0,
        1,
        1,
    )
    assert found.printed.count("# x.join") == 3


def test_a_daemon_that_is_waited_for_is_told(monkeypatch, ask, report, account):
    laws = verdicts(findings_of(monkeypatch, waited_for, ask(), 200, report, account))
    assert laws["a daemon does not finish"] == "does not hold"
    assert laws["exit does not wait for it"] == "does not hold"
    assert laws['joined, it finishes before "all done"'] == "does not hold"
    assert laws["traced, the daemon lives less than it wanted to sleep"] == "does not hold"


def test_a_program_that_ends_after_the_sleep_tests_no_exit(monkeypatch, ask, report, account):
    def slow(name, threads):
        run = cut_off(name, threads)
        return cell_run(START, (9.0, DONE[1]), exit_s=9.01) if name == "as it stands" else run

    found = findings_of(monkeypatch, slow, ask(), 10, report, account)
    assert verdicts(found)["exit does not wait for it"] == "not testable here"


def test_without_a_trace_the_reason_is_told(monkeypatch, ask, report, account):
    found = findings_of(monkeypatch, cut_off, ask(traced=False), 10, report, account)
    assert (found.laws[-1].verdict, found.laws[-1].measured) == ("not testable here", "no tracer today")


@pytest.mark.timing
def test_a_real_daemon_finishes_in_a_process_that_lives_on():
    settings = Settings(arm_ns=50_000_000, member_ns=0)
    result = scenarios.run("thread-daemon", repeat=2, frame=settings)
    alone, joined, kernel = result.printed.split("# ")[1:]
    assert "finishing" not in alone
    assert joined.index("Thread 1: finishing.") < joined.index("Main    : all done.")
    assert kernel.index("Thread 1: finishing.") > kernel.index("Main    : all done.")
