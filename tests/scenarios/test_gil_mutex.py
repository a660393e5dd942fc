from __future__ import annotations

import dataclasses

from gilprobe.scenarios import gil_mutex
from gilprobe.teams import TeamRun, Turn


def findings_of(monkeypatch, observe, request):
    monkeypatch.setattr(gil_mutex, "observe", observe)
    return gil_mutex.SCENARIO.measure(request)


def serial(_name, _threads):
    return 1.0


def fair(_name, threads):
    return (1000 // threads, 1000 - 1000 // threads, 0)


def test_a_mutex_is_recognised(monkeypatch, observed, ask):
    found = findings_of(monkeypatch, observed(serial, fair), ask())
    assert {law.verdict for law in found.laws} == {"holds"}
    assert {fact.name for fact in found.facts} >= {"held_share_2", "contended_share_2", "handoffs_2"}


def test_overlapping_holds_are_told(monkeypatch, observed, ask):
    found = findings_of(monkeypatch, observed(serial, lambda _name, _threads: (600, 400, 0)), ask())
    verdicts = {law.text: law.verdict for law in found.laws}
    assert verdicts["at most one holder: sum of holds, 2 threads"] == "does not hold"
    assert verdicts["at most one holder: sum of holds, 1 thread"] == "holds"


def test_running_time_that_is_neither_hold_nor_wait_is_told(monkeypatch, observed, ask):
    found = findings_of(monkeypatch, observed(serial, lambda _name, _threads: (200, 700, 100)), ask())
    verdicts = {law.text: law.verdict for law in found.laws}
    assert verdicts["a spinning thread holds or waits, 2 threads"] == "does not hold"


def test_a_worker_that_the_trace_missed_is_told(monkeypatch, observed, ask):
    observe = observed(serial, fair)

    def blind(request, plans):
        seen = observe(request, plans)
        traces = [
            dataclasses.replace(
                traced, report=dataclasses.replace(traced.report, threads=traced.report.threads[:-1])
            )
            for traced in seen.traces
        ]
        return dataclasses.replace(seen, traces=tuple(traces))

    found = findings_of(monkeypatch, blind, ask())
    verdicts = {law.text: law.verdict for law in found.laws}
    assert verdicts["a spinning thread holds or waits, 2 threads"] == "does not hold"


def test_without_a_gil_the_cores_are_expected_to_be_busy(monkeypatch, observed, ask):
    request = ask(build="free-threaded", gil_enabled=False, traced=False)
    found = findings_of(monkeypatch, observed(lambda _name, threads: min(threads, 2)), request)
    assert [law.verdict for law in found.laws] == ["holds", "holds", "not testable here", "not testable here"]
    assert found.laws[-1].measured == "no tracer today"


def test_cores_busy_is_cpu_time_over_elapsed_time():
    run = TeamRun(1, (Turn(1, 0, 1000, 500), Turn(2, 500, 2000, 1500)))
    assert gil_mutex.cores_busy(run) == 1.0
