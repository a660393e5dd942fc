"""The released share, from made-up samples and from calls whose share is known."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

import gilprobe
from gilprobe.auditing import release_size
from gilprobe.auditing.auditor import NOTHING
from gilprobe.auditing.speedups import allowed
from gilprobe.auditing.traced_calls import (
    Baseline,
    Overhead,
    Sample,
    calls_within,
    does_release,
    released_shares,
    sample,
)
from gilprobe.kernels import sleep, spin

pytestmark = pytest.mark.plain_python

HELD = Sample(calls=10, plain_ns=1000, hold_ns=1000, off_ns=0, releases=0)
RELEASED = Sample(calls=10, plain_ns=1300, hold_ns=400, off_ns=900, releases=10)
NONE = Overhead(0, 0)

needs_tracer = pytest.mark.skipif(gilprobe.capabilities().tracer == "none", reason="no tracer here")


def test_a_share_leaves_out_the_trace_and_the_loop():
    assert RELEASED.share(Overhead(trace_ns=50, call_ns=25)) == 900 / (900 + 100)
    assert RELEASED.share(Overhead(trace_ns=0, call_ns=1000)) == 1.0
    assert HELD.share(Overhead(trace_ns=50, call_ns=25)) == 0


def test_holds_of_the_calls_own_threads_are_the_calls():
    shared = Sample(calls=10, plain_ns=1300, hold_ns=400, off_ns=900, releases=10, others_hold_ns=500)
    assert shared.share(NONE) == 400 / 1300
    all_of_it = Sample(calls=10, plain_ns=1300, hold_ns=400, off_ns=900, releases=10, others_hold_ns=901)
    assert all_of_it.share(NONE) == 0


def test_one_release_among_many_calls_is_not_the_calls():
    odd = Sample(calls=100, plain_ns=1, hold_ns=1, off_ns=1, releases=1)
    assert not odd.does_release
    assert Sample(calls=1, plain_ns=1, hold_ns=1, off_ns=1, releases=1).does_release
    assert released_shares([HELD, odd, RELEASED], NONE) == (0, 0, 0)
    assert not does_release([HELD, odd, RELEASED])
    assert released_shares([RELEASED, odd, RELEASED], NONE)[1] == 0


@pytest.mark.parametrize(
    ("threads", "held", "cpu", "cores", "most"),
    [
        (2, 0.0, 1.0, 2, 2.0),
        (4, 0.5, 1.0, 8, 2.0),
        (4, 0.0, 1.0, 2, 2.0),
        (4, 0.0, 0.01, 2, 4.0),
        (2, 1.0, 1.0, 2, 1.0),
        (2, 0.0, 2.0, 2, 1.0),
        (2, 0.0, 4.0, 2, 1.0),
        (2, 0.0, 0.0, 2, 2.0),
    ],
)
def test_holds_and_cores_limit_the_speedup(threads, held, cpu, cores, most):
    assert allowed(threads, held, cpu, cores) == pytest.approx(most)


@pytest.mark.parametrize("least", [65, 2048, 2049, 4095, 4096])
def test_the_size_at_which_a_call_begins_to_release_is_found_to_the_byte(monkeypatch, least):
    class Made:
        def __init__(self, size):
            self.size = size

        def __enter__(self):
            return lambda: self.size

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(release_size, "sample", lambda call, _calls: RELEASED if call() >= least else HELD)
    assert release_size.least_releasing_size(Made, 64, 4096) == least


def test_a_slow_call_is_made_once_and_a_fast_one_not_without_end():
    made = []
    assert calls_within(lambda: made.append(time.sleep(0.002)), 1_000_000) == 1
    assert len(made) == 1
    assert calls_within(NOTHING, 10**12) == 20_000


@needs_tracer
def test_what_other_threads_force_is_not_released():
    """A pure-Python call is interrupted every switch interval, and comes back: it never lets go by itself."""
    done = threading.Event()

    def busy():
        while not done.is_set():
            sum(range(50))

    other = threading.Thread(target=busy)
    other.start()
    try:
        taken = sample(lambda: [sum(range(50)) for _ in range(60_000)], 1)
        while taken.forced == 0:  # on a busy machine the other may ask late
            taken = sample(lambda: [sum(range(50)) for _ in range(60_000)], 1)
    finally:
        done.set()
        other.join()
    assert taken.forced > 0
    assert taken.releases == 0
    assert taken.share(NONE) == 0
    assert taken.others_hold_ns == 0, "other people's threads are not the call's"


@pytest.mark.timing
@needs_tracer
def test_held_and_released_work_is_told_apart():
    baseline = Baseline(NOTHING)
    baseline.take(100)
    overhead = baseline.overhead()
    assert overhead.trace_ns > 0
    assert sample(partial(spin, 100_000), 5).share(overhead) == 0
    assert sample(partial(sleep, 20_000_000, release_gil=True), 2).share(overhead) > 0.5
