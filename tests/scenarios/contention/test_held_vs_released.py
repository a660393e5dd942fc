from __future__ import annotations

import pytest

from gilprobe.scenarios.contention import held_vs_released


def serial(_name, _threads):
    return 100


def ideal(name, threads):
    return 100 if name == "held" else 100 * min(threads, 2)


def parallel(_name, threads):
    return 100 * min(threads, 2)


def traced(name, _threads):
    return (500, 500, 0) if name == "held" else (0, 0, 1000)


def laws_of(monkeypatch, observe, request):
    monkeypatch.setattr(held_vs_released, "observe", observe)
    findings = held_vs_released.SCENARIO.measure(request)
    return {law.text: law for law in findings.laws}


def test_an_ideal_machine_obeys_all_laws(monkeypatch, observed, ask):
    laws = laws_of(monkeypatch, observed(ideal, traced), ask())
    assert len(laws) == 6
    assert {law.verdict for law in laws.values()} == {"holds"}


def test_a_machine_that_gains_nothing_is_told_so(monkeypatch, observed, ask):
    laws = laws_of(monkeypatch, observed(serial, traced), ask())
    assert laws["released: min(T, N), 2 threads"].verdict == "does not hold"
    assert laws["held: as fast as one, 2 threads"].verdict == "holds"


def test_a_held_arm_that_scales_under_a_gil_is_told_so(monkeypatch, observed, ask):
    laws = laws_of(monkeypatch, observed(parallel, traced), ask())
    assert laws["held: as fast as one, 4 threads"].verdict == "does not hold"


def test_a_trace_that_contradicts_is_told_so(monkeypatch, observed, ask):
    laws = laws_of(monkeypatch, observed(ideal, lambda _name, _threads: (100, 0, 900)), ask())
    verdicts = [law.verdict for text, law in laws.items() if "GIL" in text]
    assert verdicts == ["does not hold", "does not hold"]


def test_without_a_gil_both_arms_are_expected_to_scale(monkeypatch, observed, ask):
    laws = laws_of(
        monkeypatch, observed(parallel), ask(build="free-threaded", gil_enabled=False, traced=False)
    )
    assert laws["held: min(T, N), as there is no GIL to hold, 2 threads"].verdict == "holds"
    assert laws["released: min(T, N), 4 threads"].verdict == "holds"


def test_without_a_tracer_the_traced_laws_say_why_they_cant_be_tested(monkeypatch, observed, ask):
    laws = laws_of(monkeypatch, observed(ideal), ask(traced=False))
    untested = [law for law in laws.values() if law.verdict == "not testable here"]
    assert [law.measured for law in untested] == ["no tracer today"] * 2


def test_one_core_cant_test_what_a_second_would_gain(monkeypatch, observed, ask):
    laws = laws_of(monkeypatch, observed(serial, traced), ask(cores=1))
    law = laws["released: min(T, N), 2 threads"]
    assert (law.verdict, law.measured) == ("not testable here", "1 usable core")
    assert laws["held: as fast as one, 2 threads"].verdict == "holds"


def test_a_single_thread_alone_has_no_speedup_to_test(monkeypatch, observed, ask):
    laws = laws_of(monkeypatch, observed(ideal, traced), ask(threads=(1,)))
    assert len(laws) == 2
    assert all(text.endswith(", 1 thread") for text in laws)


@pytest.mark.parametrize("name", ["held", "released"])
def test_both_arms_do_the_work_that_they_are_told(monkeypatch, name):
    calls = []
    monkeypatch.setattr(held_vs_released.kernels, "spin", lambda *a, **k: calls.append((a, k)))
    getattr(held_vs_released, f"_{name}")(7)
    assert calls == [((7,), {"release_gil": True} if name == "released" else {})]
