from __future__ import annotations

import time

import pytest
from made_up_arms import briefly

from gilprobe.scenarios.contention import io_overlap


def verdicts(monkeypatch, observe, request):
    monkeypatch.setattr(io_overlap, "observe", observe)
    return [law.verdict for law in io_overlap.SCENARIO.measure(request).laws]


@pytest.mark.parametrize("changes", [{}, {"build": "free-threaded", "gil_enabled": False, "traced": False}])
def test_waits_overlap_on_every_build(monkeypatch, observed, ask, changes):
    found = verdicts(monkeypatch, observed(lambda _name, threads: 10 * threads), ask(cores=1, **changes))
    assert found == ["holds"] * 4


def test_waits_that_queue_up_are_told(monkeypatch, observed, ask):
    model = observed(lambda name, threads: 10 if name == "read" else 10 * threads)
    assert verdicts(monkeypatch, model, ask()) == ["holds"] * 2 + ["does not hold"] * 2


def test_a_read_of_silence_lasts_as_long_as_it_is_told():
    with io_overlap._Silence(3_000_000) as silence:
        start_ns = time.perf_counter_ns()
        silence.read()
        assert time.perf_counter_ns() - start_ns >= 3_000_000
    assert all(end.fileno() == -1 for end in silence._ends)


def test_a_short_run_has_both_kinds():
    result = briefly("io-overlap")
    assert {(arm.name, arm.threads) for arm in result.arms} == {
        (name, threads) for name in ("sleep", "read") for threads in (1, 2)
    }
    assert result.fact("speedup_sleep_2") > 0
