from __future__ import annotations

import pytest
from made_up_arms import briefly

from gilprobe.scenarios.contention import amdahl


@pytest.fixture
def verdicts(monkeypatch, observed, ask):
    """Return a function that gives the verdicts on a machine with 10 us for a handoff."""

    def make(speedup, **changes):
        monkeypatch.setattr(amdahl, "handoff_s", lambda _clock: 10e-6)
        monkeypatch.setattr(amdahl, "iteration_ns", lambda _clock: 2.0)

        def score(name, threads):
            return 1000 * speedup(int(name.partition("%")[0]), threads)

        monkeypatch.setattr(amdahl, "observe", observed(score))
        found = amdahl.SCENARIO.measure(ask(**changes))
        return {law.text: law.verdict for law in found.laws}, {f.name: f.value for f in found.facts}

    return make


def ideal(share, threads):
    return amdahl.bound_of(share, threads, 2)


def test_a_machine_that_reaches_the_bound_obeys(verdicts):
    laws, facts = verdicts(ideal)
    assert len(laws) == 2 * len(amdahl.SHARES)
    assert set(laws.values()) == {"holds"}
    assert facts["speedup_50_2"] == 2.0
    assert facts["handoff"] == 10e-6


def test_more_than_the_bound_is_told(verdicts):
    laws, _ = verdicts(lambda _share, threads: threads)
    assert laws["0%: min(T, N, 1/(1-p)), less the handoffs, 2 threads"] == "does not hold"
    assert laws["50%: at most min(T, N, 1/(1-p)), 4 threads"] == "does not hold"
    assert laws["50%: min(T, N, 1/(1-p)), less the handoffs, 2 threads"] == "holds"


def test_much_less_than_can_be_reached_is_told(verdicts):
    laws, _ = verdicts(lambda _share, _threads: 1)
    assert laws["50%: min(T, N, 1/(1-p)), less the handoffs, 2 threads"] == "does not hold"
    assert laws["0%: min(T, N, 1/(1-p)), less the handoffs, 2 threads"] == "holds"
    assert laws["100%: at most min(T, N, 1/(1-p)), 4 threads"] == "holds"


def test_a_single_core_can_not_tell(verdicts):
    laws, _ = verdicts(lambda _share, _threads: 1, cores=1)
    assert set(laws.values()) == {"not testable here"}


def test_without_a_gil_all_shares_scale(verdicts):
    none = {"build": "free-threaded", "gil_enabled": False, "traced": False}
    laws, facts = verdicts(lambda _share, threads: min(threads, 2), **none)
    assert set(laws.values()) == {"holds"}
    assert "handoff" not in facts
    laws, _ = verdicts(lambda _share, _threads: 1, **none)
    assert set(laws.values()) == {"does not hold"}


@pytest.mark.parametrize(
    ("share", "threads", "handoff", "expected"),
    [(0, 2, 0.5, 1.0), (50, 2, 0.0, 2.0), (50, 2, 0.5, 1.0), (90, 2, 0.1, 2.0), (100, 8, 0.5, 4.0)],
)
def test_what_can_be_reached_counts_the_handoffs_of_the_held_parts(share, threads, handoff, expected):
    assert amdahl.reachable(share, threads, 4, handoff) == expected


def test_an_operation_is_held_and_released_by_its_share(monkeypatch):
    calls = []
    monkeypatch.setattr(amdahl.kernels, "spin", lambda n, release_gil=False: calls.append((n, release_gil)))
    amdahl._work(1000, 75)(2)
    assert calls == [(250, False), (750, True)] * 2
    calls.clear()
    amdahl._work(1000, 0)(1)
    amdahl._work(1000, 100)(1)
    assert calls == [(1000, False), (1000, True)]


def test_a_short_run_has_all_arms():
    result = briefly("amdahl")
    assert {(arm.name, arm.threads) for arm in result.arms} == {
        (f"{share}% released", threads) for share in amdahl.QUICK_SHARES for threads in (1, 2)
    }
    assert result.fact("speedup_50_2") > 0
