from __future__ import annotations

import dataclasses

from made_up_runs import cell_run, cells_observed, verdicts

from gilprobe import scenarios
from gilprobe.measuring.measure import Settings
from gilprobe.scenarios.lessons import thread_start

SLEEP_S = 0.2  # of the default settings


def shutdown(delay_s):
    """Return a machine on which a process that has a thread lives on for so long."""

    def model(name, _threads):
        if name == "no thread":
            return cell_run((0.05, "Main    : all done."), exit_s=0.05 + SLEEP_S + 0.01)
        lines = [(0.04, "Thread 1: starting."), (0.05, "Main    : all done.")]
        if delay_s > SLEEP_S / 2:
            lines.append((0.24, "Thread 1: finishing."))
        return cell_run(*lines, exit_s=0.05 + delay_s)

    return model


def findings_of(monkeypatch, model, request, off_ms, report, account):
    main = account("MainThread", 1, 0, off_ms)
    observe = cells_observed(model, lambda _name, _threads: dataclasses.replace(report, threads=(main,)))
    monkeypatch.setattr(thread_start, "observe_cells", observe)
    return thread_start.SCENARIO.measure(request)


def test_an_exit_that_waits_is_recognised(monkeypatch, ask, report, account):
    found = findings_of(monkeypatch, shutdown(0.2), ask(), 200, report, account)
    assert set(verdicts(found).values()) == {"holds"}
    facts = {fact.name: round(fact.value, 6) for fact in found.facts}
    assert facts == {"exit_delay": 0.2, "sleep_left": 0.19, "exit_alone": 0.01}
    assert found.printed.endswith("Thread 1: finishing.\n")


def test_an_exit_that_does_not_wait_is_told(monkeypatch, ask, report, account):
    found = findings_of(monkeypatch, shutdown(0.01), ask(), 20, report, account)
    assert set(verdicts(found).values()) == {"does not hold"}


def test_without_a_trace_the_reason_is_told(monkeypatch, ask, report, account):
    found = findings_of(monkeypatch, shutdown(0.2), ask(traced=False), 200, report, account)
    law = found.laws[-1]
    assert (law.verdict, law.measured) == ("not testable here", "no tracer today")


def test_a_real_run_prints_what_the_notebook_prints():
    result = scenarios.run("thread-start", repeat=2, frame=Settings(arm_ns=5_000_000, member_ns=0))
    # threads that print at the same time may share a line
    for text in ("Main    : before creating thread.", "Main    : all done.", "Thread 1: finishing."):
        assert text in result.printed
    assert [arm.name for arm in result.arms] == ["started", "started, sleep left", "no thread"]
    assert {arm.unit for arm in result.arms} == {"s"}
