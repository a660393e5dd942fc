"""The always-on monitor: what it promises of its numbers, at any moment and in any thread."""

from __future__ import annotations

import gc
import threading
from itertools import pairwise

import pytest

import gilprobe
from gilprobe._native import tracer
from gilprobe.errors import InvalidTypeError, TracerStateError
from gilprobe.model.labels import NO_LABEL

SUPPORTED, REASON = tracer.support()
needs_tracer = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")
COLUMNS = ("hold_ns", "wait_ns", "off_ns", "holds", "waits")


@pytest.fixture(autouse=True)
def nothing_stays():
    """Every test here ends its monitors."""
    yield
    gc.collect()
    assert tracer.sessions() == 0


def check(reading):
    """Assert what holds for every reading; return it."""
    rows = {row.name: row for row in reading.labels}
    assert len(rows) == len(reading.labels)
    assert all(getattr(row, column) >= 0 for row in rows.values() for column in COLUMNS)
    if rows:
        assert sum(row.hold_ns for row in rows.values()) == reading.held_ns
        assert sum(row.wait_ns for row in rows.values()) == reading.wait_ns
        assert sum(row.holds for row in rows.values()) == reading.hold.count
        assert sum(row.waits for row in rows.values()) == reading.waits
    for row in rows.values():
        charged = sum(blame.wait_ns for blame in reading.blame if blame.waiter == row.name)
        # each pair is rounded down, and stamps of two cores may disagree by some nanoseconds at each handoff
        assert charged == pytest.approx(row.wait_ns, rel=1e-3, abs=1000 * (1 + row.waits))
    rounding = 1 + len(rows)  # each row is rounded down, and the sum is that of the rows
    assert reading.contended_ns <= reading.held_ns * 1.001 + rounding
    assert reading.held_ns <= reading.elapsed_ns * 1.001
    assert reading.hold.total_ns <= reading.held_ns + rounding
    assert reading.wait.total_ns <= reading.wait_ns + rounding
    if reading.worst is not None:
        assert 0 <= reading.worst.holder_ns <= reading.worst.wait_ns <= reading.wait.max_ns
    return reading


def numbers(reading):
    """Return all counters of a reading by name."""
    found = {
        name: getattr(reading, name)
        for name in ("elapsed_ns", "held_ns", "contended_ns", "wait_ns", "threads", "waits")
    }
    for name in ("hold", "wait"):
        distribution = getattr(reading, name)
        found |= {(name, "total"): distribution.total_ns, (name, "count"): distribution.count}
        found |= {(name, bucket): count for bucket, count in distribution.buckets}
    found |= {(row.name, column): getattr(row, column) for row in reading.labels for column in COLUMNS}
    return found | {(row.waiter, row.holder): row.wait_ns for row in reading.blame if row.holder}


def behind_each_other(reading):
    """Tell whether a label has waited behind the other."""
    waited = {(row.waiter, row.holder) for row in reading.blame if row.wait_ns}
    return bool({("first", "second"), ("second", "first")} & waited)


def work_until(stop, name):
    with gilprobe.label(name):
        while not stop.is_set():
            sum(range(1000))


@needs_tracer
def test_counters_never_go_backwards():
    stop = threading.Event()
    with gilprobe.monitor() as monitor:
        threads = [threading.Thread(target=work_until, args=(stop, name)) for name in ("first", "second")]
        for thread in threads:
            thread.start()
        readings = [check(monitor.read())]
        while len(readings) < 20 or not behind_each_other(readings[-1]):
            sum(range(10000))
            readings.append(check(monitor.read()))
        stop.set()
        for thread in threads:
            thread.join()
        readings.append(check(monitor.read()))
    readings.append(check(monitor.read()))
    for before, after in pairwise(map(numbers, readings)):
        fewer = {
            name: (value, after.get(name)) for name, value in before.items() if after.get(name, 0) < value
        }
        assert fewer == {}
    worst = readings[-1].worst
    assert worst is not None
    assert {worst.waiter_label, worst.holder_label} <= {"first", "second", NO_LABEL, ""}


@needs_tracer
def test_threads_that_have_ended_count_on():
    with gilprobe.monitor() as monitor:
        before = monitor.read().threads
        for _ in range(400):  # more than are told apart
            thread = threading.Thread(target=sum, args=(range(100),))
            thread.start()
            thread.join()
        reading = check(monitor.read())
    assert reading.threads - before == 400
    assert reading.hold.count >= 400


@needs_tracer
def test_two_monitors_and_a_trace_count_the_same_threads():
    with gilprobe.monitor() as outer:
        with gilprobe.label("both"), gilprobe.trace() as trace, gilprobe.monitor(labels=False) as inner:
            sum(range(100_000))
        (row,) = [row for row in trace.report().labels if row.name == "both"]
        assert row.hold_ns <= trace.report().held_ns
        assert inner.read().labels == ()
    reading = check(outer.read())
    assert {row.name for row in reading.labels} == {NO_LABEL, "both"}
    assert inner.read().held_ns <= trace.report().held_ns <= reading.held_ns


@needs_tracer
def test_a_monitor_starts_again_from_zero():
    monitor = gilprobe.monitor()
    for error_of in (monitor.read, monitor.stop):
        with pytest.raises(TracerStateError, match="started"):
            error_of()
    with monitor:
        with pytest.raises(TracerStateError, match="stopped before"):
            monitor.start()
        sum(range(1_000_000))
    first = check(monitor.stop())
    assert not monitor.running
    assert monitor.read() == first
    assert check(monitor.start().stop()).held_ns < first.held_ns


@needs_tracer
def test_a_monitor_that_is_forgotten_ends():
    delete = threading.Thread.__dict__["_delete"]
    monitor = gilprobe.monitor().start()
    assert threading.Thread.__dict__["_delete"] is not delete
    del monitor
    gc.collect()
    assert threading.Thread.__dict__["_delete"] is delete


def test_labels_is_a_switch():
    with pytest.raises(InvalidTypeError, match="labels must be"):
        gilprobe.monitor(labels=1)


@needs_tracer
def test_a_forked_child_goes_on_counting(child):
    ended = child(
        """
        import os, gilprobe
        with gilprobe.monitor() as monitor, gilprobe.label("parent"):
            before = gilprobe.thread_times()
            pid = os.fork()
            if pid == 0:
                with gilprobe.label("child"):
                    sum(range(100_000))
                rows = {row.name: row for row in monitor.read().labels}
                held = rows["child"].hold_ns > 0 and rows["parent"].hold_ns > 0
                more = gilprobe.thread_times()[0] > before[0]
                os._exit(0 if held and more else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert {row.name for row in monitor.read().labels} == {"parent", "(no label)"}
        """
    )
    assert ended.status == 0, ended.stderr


@pytest.mark.skipif(tracer.gil_enabled(), reason="there is a GIL")
def test_without_a_gil_waits_for_locks_are_counted():
    with gilprobe.monitor() as monitor, gilprobe.label("unseen"):
        assert monitor.read().what == "locks"
    reading = monitor.read()
    assert (reading.held_ns, reading.labels, reading.worst) == (0, (), None)
