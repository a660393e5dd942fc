"""Engines on a made-up machine, and for real with the engines of this process and one of processes."""

from __future__ import annotations

import dataclasses
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from made_up_arms import briefly

from gilprobe import engines as real_engines
from gilprobe.measuring.measure import Settings
from gilprobe.results import TracedArm
from gilprobe.scenarios.contention import engines

MS = 1_000_000
STARTUP_NS = {
    "threads": MS // 10,
    "interpreters": 20 * MS,
    "fork": 3 * MS,
    "forkserver": 4 * MS,
    "spawn": 50 * MS,
}


class Machine:
    """Engines whose speedup, start-up and absence are told."""

    NAMES = real_engines.NAMES

    def __init__(self, speedup, startup_ns=STARTUP_NS, missing=()):
        self.speedup, self.startup_ns, self.missing = speedup, startup_ns, missing
        self.living = self.started = 0

    def named(self, name):
        def start(workers, work, *, limit_s):
            assert 0 < limit_s < engines.CEILING_S
            return self._team(name, workers, work.arguments["release_gil"])

        reason = "not on the moon" if name in self.missing else ""
        return SimpleNamespace(module=f"_{name}", unavailable=lambda: reason, start=start)

    @contextmanager
    def _team(self, name, workers, released):
        assert name not in self.missing
        self.living += 1
        self.started += 1
        kind = "released" if released else "held" if name == "threads" else name

        def run(operations, *, limit_s):
            assert 0 < limit_s < engines.CEILING_S
            faster = self.speedup(kind, workers)
            return SimpleNamespace(
                operations=operations * workers, elapsed_ns=operations * workers / faster, turns=()
            )

        once_ns = 30 * MS if name in ("forkserver", "spawn") else 0
        startup_ns = self.startup_ns[name] * workers
        try:
            yield SimpleNamespace(
                once_ns=once_ns, startup_ns=startup_ns, run=run, memory_per_worker=lambda: 4096.0
            )
        finally:
            self.living -= 1


def ideal(kind, workers):
    return 1 if kind == "held" else workers


def serial(_kind, _workers):
    return 1


@pytest.fixture
def found(monkeypatch, ask, report, account):
    """Return a function that measures on such a machine; `holds` are interpreters', per mille."""

    def measure(
        speedup=ideal, *, holds=(900, 900), quick=False, startup_ns=STARTUP_NS, missing=(), **changes
    ):
        machine = Machine(speedup, startup_ns, missing)
        monkeypatch.setattr(engines, "engines", machine)
        rows = tuple(account("w", held, 0, 1000 - held, interpreter=n) for n, held in enumerate(holds, 1))
        traced = TracedArm("interpreters", 2, dataclasses.replace(report, threads=rows))
        traces = (traced,) if changes.get("traced", True) else ()
        monkeypatch.setattr(engines, "trace_trials", lambda *_: (traces, ()))
        # The samples are all the same: their interval needs no two thousand draws an arm.
        monkeypatch.setattr("gilprobe.measuring.measure.bootstrap_interval", lambda of: (min(of), max(of)))
        request = ask(**changes)
        request = dataclasses.replace(request, quick=quick, frame=Settings(repeat=2, arm_ns=100_000))
        findings = engines.measure(request)
        assert machine.started > machine.living == 0
        return findings

    return measure


def laws_of(findings):
    return {law.text: law.verdict for law in findings.laws}


def facts_of(findings):
    return {fact.name: fact.value for fact in findings.facts}


def test_an_ideal_machine_obeys_all_laws(found):
    laws = laws_of(found())
    assert len(laws) == 11
    assert set(laws.values()) == {"holds"}


def test_a_machine_on_which_nothing_is_as_expected_is_told_so(found):
    backwards = dict(zip(STARTUP_NS, (10**9, 10**8, 10**7, 10**7, 10**6), strict=True))
    findings = found(lambda kind, n: n if kind == "held" else 1, holds=(400, 400), startup_ns=backwards)
    assert set(laws_of(findings).values()) == {"does not hold"}


def test_the_crossover_is_where_one_thread_takes_as_long(found):
    facts = facts_of(found())
    assert facts["speedup_spawn_2"] == pytest.approx(2)
    # two starts of 50 ms and 30 ms once: 260 ms of work take as long with half of it added
    assert facts["crossover_spawn"] == pytest.approx(0.260)
    assert facts["crossover_fork"] == pytest.approx(0.012)
    assert "crossover_held" not in facts
    assert facts["startup_spawn"] == pytest.approx(0.050)
    assert facts["once_spawn"] == pytest.approx(0.030)
    assert "once_fork" not in facts


@pytest.mark.parametrize(("speedup", "seconds"), [(2.0, 2.0), (1.25, 5.0), (1.0, None), (0.5, None)])
def test_only_what_is_faster_pays_off(speedup, seconds):
    assert engines.crossover_s(1.0, speedup) == (pytest.approx(seconds) if seconds else None)


def test_what_pays_off_and_what_runs_it_is_printed(found):
    lines = found().printed.splitlines()
    assert (
        lines[0]
        == "held (_threads): 2 workers never pay off here, they are not reliably faster than one thread"
    )
    assert "interpreters (_interpreters): 2 workers pay off for tasks of 80 ms or more in one thread" in lines
    assert all("never" in line for line in found(serial).printed.splitlines())


def test_what_is_missing_is_told_with_its_reason(found):
    findings = found(missing=("interpreters", "fork"))
    untested = {law.text: law.measured for law in findings.laws if law.verdict == "not testable here"}
    assert set(untested.values()) == {"not on the moon"}
    assert len(untested) == 4
    assert laws_of(findings)["start-up: spawn against threads"] == "holds"
    assert not any("interpreters" in arm.name for arm in findings.arms)


def test_without_a_gil_threads_are_expected_to_scale(found):
    changes = {"gil_enabled": False, "build": "free-threaded", "traced": False}
    free = laws_of(found(lambda _kind, n: n, **changes))
    assert free["free-threaded: min(T, N), 2 threads"] == "holds"
    assert laws_of(found(serial, **changes))["free-threaded: min(T, N), 2 threads"] == "does not hold"


def test_without_a_tracer_only_the_traced_law_is_not_testable(found):
    untested = [law for law in found(traced=False).laws if law.verdict == "not testable here"]
    assert [law.measured for law in untested] == ["no tracer today"]


def test_one_core_cant_test_what_a_second_would_gain(found):
    laws = laws_of(found(serial, cores=1))
    assert laws["spawn: min(T, N), 2 threads"] == "not testable here"
    assert laws["held: as fast as one, 2 threads"] == "holds"


def test_one_worker_alone_has_no_speedup(found):
    findings = found(threads=(1,))
    assert not any("min(T, N)" in law.text for law in findings.laws)
    assert "pay" not in findings.printed


def test_a_quick_look_takes_fewer(found):
    names = {arm.name for arm in found(quick=True).arms}
    assert {"held", "interpreters", "spawn"} <= names
    assert not any(name.startswith(("fork", "released")) for name in names)


@pytest.mark.parametrize(
    ("threads", "cores", "sizes"),
    [
        ((1, 2, 4), 2, (1, 2)),
        ((1, 2, 4), 8, (1, 4)),
        ((1, 2, 4), 1, (1, 2)),
        ((1,), 4, (1,)),
        ((1, 8), 4, (1,)),
    ],
)
def test_teams_have_a_core_for_each(ask, threads, cores, sizes):
    assert engines.team_sizes(ask(threads, cores=cores)) == sizes


def test_memory_that_the_platform_does_not_tell_is_left_out(found, monkeypatch):
    monkeypatch.setattr(engines, "proportional_bytes", lambda: None)
    assert not any(fact.name.startswith("memory") for fact in found().facts)


def test_a_short_run_has_the_promised_shape():
    before = threading.active_count()
    result = briefly("engines")
    interpreters = not real_engines.named("interpreters").unavailable()
    arms = {"held" if result.environment.gil_enabled else "free-threaded", "spawn"}
    arms |= {"interpreters"} if interpreters else set()
    assert {arm.name for arm in result.arms if arm.unit == "operations/s"} == arms
    assert {arm.threads for arm in result.arms if arm.unit == "operations/s"} == {1, 2}
    assert 0 < result.fact("startup_threads") < result.fact("startup_spawn")
    assert result.fact("memory_spawn") > 1_000_000
    assert all(fact.value > 0 for fact in result.facts if fact.name.startswith(("crossover", "once")))
    by_name = {traced.name: traced.report for traced in result.traces}
    if interpreters and "interpreters" in by_name:
        assert sum(account.interpreter > 0 for account in by_name["interpreters"].threads) == 2
    assert threading.active_count() == before
