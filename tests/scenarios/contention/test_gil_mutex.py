from __future__ import annotations

import contextlib
import dataclasses
import errno
import random

import pytest

import gilprobe
from gilprobe import scenarios
from gilprobe.errors import FormatError
from gilprobe.measuring.measure import Settings
from gilprobe.measuring.teams import MemberRun, TeamRun
from gilprobe.model.timeline import HOLD, WAIT, Batch, TimelineThread
from gilprobe.results import TracedArm
from gilprobe.scenarios.contention import gil_mutex
from gilprobe.scenarios.contention.gil_mutex import most_at_once


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


@pytest.mark.parametrize(
    ("busy", "verdict"), [(0.5, "holds"), (0.3, "does not hold"), (1.3, "does not hold")]
)
def test_a_core_that_others_use_too_is_allowed_for(monkeypatch, observed, ask, busy, verdict):
    def shared(_name, threads):
        return 0.5 if threads == 1 else busy

    found = findings_of(monkeypatch, observed(shared, fair), ask())
    verdicts = {law.text: law.verdict for law in found.laws}
    assert verdicts["one computes at a time, 2 threads"] == verdict


def test_overlapping_holds_are_told(monkeypatch, observed, ask):
    found = findings_of(monkeypatch, observed(serial, lambda _name, _threads: (600, 400, 0)), ask())
    verdicts = {law.text: law.verdict for law in found.laws}
    assert verdicts["at most one holder: sum of holds, 2 threads"] == "does not hold"
    assert verdicts["at most one holder: sum of holds, 1 thread"] == "holds"


def test_running_time_that_is_neither_hold_nor_wait_is_told(monkeypatch, observed, ask):
    found = findings_of(monkeypatch, observed(serial, lambda _name, _threads: (200, 700, 100)), ask())
    verdicts = {law.text: law.verdict for law in found.laws}
    assert verdicts["a spinning thread holds or waits, 2 threads"] == "does not hold"


def test_a_worker_that_began_late_is_judged_from_its_start_on(report, account):
    run = TeamRun(1, (MemberRun(1, 0, 10**9, 0), MemberRun(2, 10**8, 10**9, 0)))
    for late_ms, verdict in ((900, "holds"), (880, "does not hold")):
        accounts = (
            account("worker 1", 500, 500, 0, native_id=1),
            account("worker 2", 400, late_ms - 400, 0, native_id=2),
        )
        traced = TracedArm("spin", 2, dataclasses.replace(report, threads=accounts))
        assert gil_mutex._running_law(traced, run).verdict == verdict


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
    assert [law.verdict for law in found.laws] == ["holds"] * 2 + ["not testable here"] * 3
    assert found.laws[-1].measured == "no tracer today"


def test_cores_busy_is_cpu_time_over_elapsed_time():
    run = TeamRun(1, (MemberRun(1, 0, 1000, 500), MemberRun(2, 500, 2000, 1500)))
    assert gil_mutex.cores_busy(run) == 1.0


@dataclasses.dataclass
class MadeUpTimeline:
    """A timeline of (kind, thread, start, length); thread 2 is another interpreter's."""

    events: list[tuple[int, int, int, int]]
    threads = (TimelineThread(1, "a", 0), TimelineThread(2, "b", 0), TimelineThread(3, "c", 1))

    def timeline(self):
        return self

    def batches(self):
        kinds, threads, starts, lengths = zip(*self.events, strict=True)
        yield Batch(kinds, threads, (0,) * len(kinds), starts, lengths)


def timeline_laws(monkeypatch, observed, request, events):
    made = contextlib.nullcontext(MadeUpTimeline(events))
    request = dataclasses.replace(request, trace_timeline=lambda: made)
    found = findings_of(monkeypatch, observed(serial, fair), request)
    laws = {law.text: law for law in found.laws}
    return [laws[f"at any instant at most one holder, {threads} threads"] for threads in (2, 4)]


def test_holders_of_the_same_instant_are_counted_in_the_timeline(monkeypatch, observed, ask):
    turns = [(HOLD, 0, 0, 10), (WAIT, 1, 2, 8), (HOLD, 1, 10, 5), (HOLD, 2, 3, 9)]
    laws = timeline_laws(monkeypatch, observed, ask(), turns)
    assert [(law.measured, law.verdict) for law in laws] == [("1, in 2 holds", "holds")] * 2
    laws = timeline_laws(monkeypatch, observed, ask(), [*turns, (HOLD, 0, 14, 1)])
    assert [(law.measured, law.verdict) for law in laws] == [("2, in 3 holds", "does not hold")] * 2


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), FormatError("cut off")])
def test_a_timeline_that_can_not_be_kept_costs_its_law_only(monkeypatch, observed, ask, error):
    def full():
        raise error

    found = findings_of(monkeypatch, observed(serial, fair), dataclasses.replace(ask(), trace_timeline=full))
    told = [law for law in found.laws if law.text.startswith("at any instant")]
    assert {(law.verdict, law.measured) for law in told} == {("not testable here", f"no timeline: {error}")}
    assert {law.verdict for law in found.laws if law not in told} == {"holds"}


def test_overlaps_are_counted_as_by_looking_at_every_instant():
    draw = random.Random(4)
    for _ in range(200):
        spans = [(start, start + draw.randrange(6)) for start in draw.choices(range(20), k=8)]
        slow = max(sum(start <= at < end for start, end in spans) for at in range(30))
        assert most_at_once(spans) == slow
    assert most_at_once([]) == 0


@pytest.mark.skipif(gilprobe.capabilities().tracer != "exact", reason="no tracer")
def test_no_two_threads_hold_the_gil_at_any_instant():
    brief = Settings(arm_ns=20_000_000, member_ns=0)
    result = scenarios.run("gil-mutex", threads=(1, 2, 4), repeat=2, frame=brief)
    assert [result.fact(f"max_holders_{threads}") for threads in (2, 4)] == [1, 1]
