"""Pauses of the garbage collector: exact, of whoever made it run, and no harm to the program."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import gilprobe
from gilprobe._native import tracer
from gilprobe.tracing.loading import load

pytestmark = pytest.mark.skipif(
    not tracer.support()[0] or tracer.frames_differ() is not None, reason="no sites here"
)

HERE = Path(__file__).name


@pytest.fixture(autouse=True)
def no_other_collections():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def garbage():
    """Return so many objects that a collection of all takes some milliseconds."""
    return [[number] for number in range(100_000)]


class Waiter:
    """A thread that wants the GIL all the time."""

    def __enter__(self):
        self.over = False
        self.thread = threading.Thread(target=self.run, name="victim")
        self.thread.start()
        return self

    def run(self):
        while not self.over:
            time.sleep(0)

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


def collect(generation, times):
    """Collect, and return the nanoseconds that the program's own clocks saw, and of its own CPU time."""
    begin = time.perf_counter_ns(), time.thread_time_ns()
    for _ in range(times):
        gc.collect(generation)
    return time.perf_counter_ns() - begin[0], time.thread_time_ns() - begin[1]


def collect_until(trace, enough):
    """Collect until a report is enough: on a busy machine the victim may ask late; return that report."""
    deadline = time.monotonic() + 100
    while True:
        collect(2, 5)
        report = trace.report()
        if enough(report):
            return report
        assert time.monotonic() < deadline


def of(report, function):
    return [row for row in report.collections if row.function == function]


def check_sums(report):
    """Check what must be true of all pauses, and of the rows that they are part of."""
    for row in report.collections:
        assert row.held_ns <= row.pause_ns
        assert row.longest_ns <= row.pause_ns <= row.count * row.longest_ns
    assert sum(row.caused_ns for row in report.collections) <= sum(row.wait_ns for row in report.blame)
    assert sum(row.held_ns for row in report.collections) <= sum(row.hold_ns for row in report.threads)
    for thread in report.threads:
        waited = sum(row.wait_ns for row in report.blame if row.waiter_id == thread.native_id)
        assert waited == thread.wait_ns
    if len(report.longest_pauses) < 256:
        assert len(report.longest_pauses) == sum(row.count for row in report.collections)


def test_pauses_are_those_of_the_collections(garbage):
    def collects():
        return [collect(generation, 3 + generation) for generation in (0, 1, 2)]

    with Waiter(), gilprobe.trace(stacks=True) as t:
        spent = collects()
    report = t.report()
    check_sums(report)
    rows = {row.generation: row for row in of(report, "collect")}
    assert {generation: row.count for generation, row in rows.items()} == {0: 3, 1: 4, 2: 5}
    for generation, row in rows.items():
        assert row.pause_ns < spent[generation][0]
    assert rows[2].pause_ns > spent[2][1] / 2, "all objects were looked at"
    assert {row.filename.endswith(HERE) for row in rows.values()} == {True}
    assert {row.thread for row in rows.values()} == {"MainThread"}


@pytest.mark.lengthy
def test_a_pause_is_told_as_the_callee_of_its_line(garbage):
    def worst_of(report):
        told = [row for row in report.culprits("line") if row.function == "collect"]
        return max(told, key=lambda row: row.caused_ns, default=None)

    def is_told(report):
        worst = worst_of(report)
        return worst is not None and worst.called == "garbage collection (generation 2)"

    with Waiter(), gilprobe.trace() as t:
        report = collect_until(t, is_told)
    (row,) = of(report, "collect")
    assert worst_of(report).caused_ns == pytest.approx(row.caused_ns, rel=0.1), "no finalizer took part"


@pytest.mark.lengthy
def test_waits_of_a_long_pause_say_so(garbage):
    def stalls(report):
        return [stall for stall in report.longest_waits if stall.pause_generation == 2]

    with Waiter(), gilprobe.trace() as t:
        report = collect_until(t, stalls)
    assert all(0 < stall.pause_ns <= stall.wait_ns for stall in stalls(report))


class Finalized:
    """Garbage whose finalizer takes its time, and lets the GIL go."""

    def __init__(self, seconds=0.0):
        self.me, self.seconds = self, seconds

    def __del__(self):
        begin = time.perf_counter()
        while time.perf_counter() - begin < self.seconds:
            pass
        time.sleep(self.seconds)


def collect_finalized():
    """Return the report of one collection, most of which is spent in finalizers."""
    for _ in range(5):
        Finalized(0.02)
    with Waiter(), gilprobe.trace() as t:
        collect(2, 1)
    return t.report()


def test_a_finalizer_is_part_of_the_pause_but_not_the_collector():
    gc.freeze()  # so that the collector itself has little to do
    try:
        report, deadline = collect_finalized(), time.monotonic() + 100
        while time.monotonic() < deadline:  # until looks have seen it
            check_sums(report)
            (row,) = of(report, "collect")
            assert row.collected >= 5
            assert row.pause_ns > 5 * 0.04e9
            assert row.held_ns < row.pause_ns - 5 * 0.02e9, "the finalizers slept"
            own = {"Finalized.__del__": 0, "collect": 0}
            for culprit in report.culprits("line"):
                own[culprit.function] = own.get(culprit.function, 0) + culprit.own_ns
            if own["Finalized.__del__"] > own["collect"]:
                return
            report = collect_finalized()
        pytest.fail("the finalizers were never told as what took the time")
    finally:
        gc.unfreeze()


@pytest.mark.lengthy
def test_the_recording_tells_the_same(garbage, tmp_path):
    path = tmp_path / "recording"
    with Waiter(), gilprobe.trace(timeline=True, path=path) as t:
        collect(2, 5)
        collect(0, 400)
    live, read = t.report(), load(path)
    assert read.report.collections == live.collections
    assert read.report.longest_pauses == live.longest_pauses
    assert read.report.blame == live.blame
    check_sums(live)
    pauses = list(t.timeline().pauses())
    assert len(pauses) == sum(row.count for row in live.collections) >= 405
    assert sum(pause.caused_ns for pause in pauses) == pytest.approx(
        sum(row.caused_ns for row in live.collections), abs=len(pauses)
    )
    longest = sorted((pause.duration_ns for pause in pauses), reverse=True)[:256]
    assert longest == [pause.pause_ns for pause in live.longest_pauses]
    places = t.timeline().places
    assert {places[pause.place][-1].function for pause in pauses if pause.generation == 2} == {"collect"}
    assert gilprobe.Report.from_dict(live.to_dict()) == live


def test_a_snapshot_has_the_pause_that_is_under_way():
    """A finalizer asks for a report while the collector runs."""
    reports = []

    class Asks:
        def __init__(self):
            self.me = self

        def __del__(self):
            reports.append(t.report())

    with gilprobe.trace() as t:
        Asks()
        collect(2, 1)
    (before,) = of(reports[0], "collect")
    (after,) = of(t.report(), "collect")
    assert before.count == after.count == 1
    assert 0 < before.pause_ns < after.pause_ns
    assert 0 < before.held_ns <= after.held_ns


def test_a_trace_within_a_collection_counts_no_pause():
    class Traces:
        def __init__(self):
            self.me = self

        def __del__(self):
            with gilprobe.trace() as t:
                gc.collect()  # nothing: the collector does not run within itself
            reports.append(t.report())

    reports = []
    Traces()
    gc.collect()
    assert reports[0].collections == ()


# ---- gc.callbacks ----


def test_callbacks_are_as_they_were_but_for_one_entry():
    def own(phase, info):
        seen.append(phase)

    seen = []
    gc.callbacks.append(own)
    try:
        before = list(gc.callbacks)
        with gilprobe.trace() as outer:
            assert [one for one in gc.callbacks if one not in before] != []
            assert len(gc.callbacks) == len(before) + 1
            with gilprobe.trace() as inner:
                assert len(gc.callbacks) == len(before) + 1, "two traces need one"
                gc.collect()
            assert len(gc.callbacks) == len(before) + 1
        assert gc.callbacks == before
    finally:
        gc.callbacks.remove(own)
    assert seen == ["start", "stop"]
    assert [sum(row.count for row in t.report().collections) for t in (outer, inner)] == [1, 1]


@pytest.mark.lengthy
def test_a_program_may_do_what_it_likes_with_the_list():
    before = list(gc.callbacks)
    with gilprobe.trace() as t:
        (ours,) = [one for one in gc.callbacks if one not in before]
        gc.callbacks.clear()
        gc.collect()
        gc.callbacks[:] = [*before, ours, ours]
        assert ours("start", {}) is ours("stop", {"collected": -1}) is ours() is ours(1, 2) is None
        assert ours("start", {"generation": 10**30, "collected": "many"}) is None
        assert ours("stop", {"collected": 10**30, "uncollectable": None}) is None
        gc.callbacks[:] = before
    assert gc.callbacks == before
    assert all(row.generation <= 2 for row in t.report().collections)
    with gilprobe.trace() as again:
        gc.collect()
    assert sum(row.count for row in again.report().collections) == 1


def test_the_function_says_whose_it_is_and_leaves_nothing_behind():
    with gilprobe.trace():
        ours = gc.callbacks[-1]
        assert "gilprobe" in ours.__doc__
        blocks = sys.getallocatedblocks()
        for _ in range(1000):
            ours("start", {})
            ours("stop", {})
        assert sys.getallocatedblocks() - blocks < 100
    assert ours("start", {}) is None, "without a trace it does nothing"


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done


WORST = """
    import gc, os, sys, threading, time
    import gilprobe

    class Node:
        def __init__(self, act):
            self.me, self.act = self, act
        def __del__(self):
            self.act()

    def leave():
        raise SystemExit(3)

    def churn():
        for number in range(1000):
            acts = (leave, gc.collect, lambda: time.sleep(0), lambda: gilprobe.trace().start().stop(), list)
            Node(acts[number % len(acts)])
            if number % 10 == 0:
                gc.collect()

    sys.unraisablehook = lambda *_: None
    gc.set_threshold(7, 2, 2)
"""


@pytest.mark.lengthy
def test_finalizers_may_do_their_worst():
    run(
        WORST
        + """
    with gilprobe.trace(stacks=True) as t:
        threads = [threading.Thread(target=churn) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    report = t.report()
    assert sum(row.count for row in report.collections) > 10
    for thread in report.threads:
        assert thread.hold_ns + thread.wait_ns + thread.off_ns == thread.lifetime_ns
    assert all(row.held_ns <= row.pause_ns for row in report.collections)
    """
    )


def test_a_fork_in_a_finalizer_leaves_both_processes_their_pauses():
    done = run(
        WORST
        + """
    gc.disable()
    pids = []
    with gilprobe.trace() as t:
        Node(lambda: pids.append(os.fork()))
        gc.collect()
    counts = [row.count for row in t.report().collections if row.generation == 2]
    os.write(1, b"%d\\n" % sum(counts))
    if pids[0]:
        assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0
    """
    )
    assert done.stdout.split() == ["1", "1"]


def test_a_trace_that_nobody_stops_ends_with_the_interpreter():
    run(
        WORST
        + """
    t = gilprobe.trace().start()
    for _ in range(3):
        threading.Thread(target=churn, daemon=True).start()
    churn()
    """
    )


def test_a_killed_process_leaves_its_pauses(tmp_path):
    path = tmp_path / "recording"
    code = """
        import gc, os, sys, time, gilprobe
        t = gilprobe.trace(timeline=True, path=sys.argv[1]).start()
        gc.collect()
        assert t._writer.recorder.flush(60)  # with totals, which come once a second
        begin = time.monotonic()
        while time.monotonic() - begin < 2.5:
            gc.collect(1)
            time.sleep(0.01)
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), os.fspath(path)], timeout=120)
    process = load(path)
    assert not process.complete
    assert 2 in {row.generation for row in process.report.collections}
    pauses = [*process.timeline.pauses()]
    assert 2 in {pause.generation for pause in pauses}
    # those after the last totals, too; but the last may be in a hold that did not end
    assert len(pauses) - 1 <= sum(row.count for row in process.report.collections) <= len(pauses)
