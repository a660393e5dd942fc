"""Thousands of short threads: what the tracer folds loses its names, and nothing else."""

from __future__ import annotations

import _thread
import os
import subprocess
import sys
import threading

import pytest
from tracer_checks import MAIN, check, spin

import gilprobe
from gilprobe._native import tracer

SUPPORTED, REASON = tracer.support()
pytestmark = pytest.mark.skipif(not SUPPORTED, reason=f"the GIL can't be traced here: {REASON}")

KEPT = 2048  # csrc/books/gp_account.h
MANY = 4500


def run_in_turn(count):
    """Run so many short threads, ten at a time."""
    for _ in range(count // 10):
        threads = [threading.Thread(target=int) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module", params=[False, True], ids=["sites", "stacks"])
def many(request):
    """Return what a trace of many short threads, one long one among them, reports."""
    with gilprobe.trace(stacks=request.param) as trace:
        run_in_turn(500)
        remarkable = threading.Thread(target=spin, name="remarkable")
        remarkable.start()
        remarkable.join()
        run_in_turn(MANY - 500)
    return check(trace.report())


def count(report):
    """Return how many threads the rows stand for, but for those that are there all along."""
    return sum(thread.merged for thread in report.threads) - threading.active_count()


def folded(report):
    (row,) = [thread for thread in report.threads if thread.merged > 1]
    return row


def test_every_thread_is_in_one_row(many):
    assert count(many) == MANY + 1
    assert len(many.threads) <= KEPT + 64
    assert folded(many).merged > MANY / 2


def test_the_row_says_how_many_threads_it_stands_for(many):
    row = folded(many)
    assert row.name == f"({row.merged} ended threads)"
    assert row.ended
    assert row.native_id == 0


def test_the_totals_have_what_the_row_has(many):
    row = folded(many)
    assert row.acquisitions >= row.merged
    assert row.hold.count >= row.merged
    assert sum(count for _, count in row.wait.buckets) == row.wait.count
    assert many.held_ns == sum(thread.hold_ns for thread in many.threads)


def test_blame_adds_up_to_the_waits_of_each_row(many):
    for thread in many.threads:
        blamed = sum(row.wait_ns for row in many.blame if row.waiter_id == thread.native_id)
        assert blamed == thread.wait_ns
    assert sum(row.wait_ns for row in many.blame) == sum(thread.wait_ns for thread in many.threads)


def test_sites_add_up_to_the_holds_and_releases(many):
    releases = sum(thread.forced_releases + thread.voluntary_releases for thread in many.threads)
    assert sum(site.releases for site in many.sites) == releases
    # each was rounded down to a nanosecond on its own
    assert sum(site.hold_ns for site in many.sites) == pytest.approx(many.held_ns, abs=4 * MANY)


def test_a_thread_that_held_much_keeps_its_name(many):
    (thread,) = [thread for thread in many.threads if thread.name == "remarkable"]
    assert thread.hold_ns > folded(many).hold_ns / folded(many).merged
    assert MAIN in {thread.name for thread in many.threads}


@pytest.mark.lengthy
def test_a_snapshot_of_a_running_trace_has_every_thread_once():
    with gilprobe.trace() as trace:
        run_in_turn(2500)
        first = check(trace.report())
        run_in_turn(2500)
        second = check(trace.report())
    assert (count(first), count(second)) == (2500, 5000)
    assert folded(first).merged < folded(second).merged


def test_two_traces_fold_each_for_itself():
    with gilprobe.trace() as outer:
        run_in_turn(1800)
        with gilprobe.trace() as inner:
            run_in_turn(2600)
    small, large = check(inner.report()), check(outer.report())
    # the last thread before the inner trace may still have been there when it began
    assert count(small) in range(2600, 2610)
    assert count(large) == 4400
    assert folded(large).merged > folded(small).merged


def test_threads_that_bypass_threading_are_folded_too():
    done = threading.Semaphore(0)
    with gilprobe.trace() as trace:
        for _ in range(KEPT + 500):
            _thread.start_new_thread(done.release, ())
            done.acquire()
    report = check(trace.report())
    assert count(report) == KEPT + 500
    assert folded(report).merged > 100
    assert sum(row.wait_ns for row in report.blame) == sum(thread.wait_ns for thread in report.threads)


def test_a_forked_child_goes_on_folding():
    with gilprobe.trace() as trace:
        run_in_turn(2100)
        child = os.fork()
        if child == 0:
            run_in_turn(1000)
            report = trace.stop()
            os._exit(0 if count(report) == 3100 and folded(report).merged > 500 else 1)
        _, status = os.waitpid(child, 0)
    assert status == 0


NAMES = """
import threading
from types import SimpleNamespace
from gilprobe._native import tracer
labels = tracer.ThreadLabels()
own = threading.get_ident()
for n in range(20000):
    labels.end(SimpleNamespace(_name=f"worker {n}", _ident=own))
names = dict(labels.all())
assert len(names) == 1 << 14, len(names)
assert sorted(names.values()) == sorted(f"worker {n}" for n in range(20000 - (1 << 14), 20000))
assert labels.name(1) == "" and labels.name(20000) == "worker 19999"
labels.end(SimpleNamespace(_name="worker 0", _ident=own))
assert labels.name(20001) == "worker 0"
"""


def test_of_very_many_names_the_oldest_are_forgotten():
    subprocess.run([sys.executable, "-c", NAMES], check=True, timeout=120)
