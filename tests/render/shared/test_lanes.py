"""Lanes hold every hold and wait while they are few, else the same time in slices."""

from __future__ import annotations

import dataclasses

import pytest
from made_up_timeline import MadeUpTimeline, simulated

from gilprobe.model.timeline import HOLD, WAIT, TimelineThread
from gilprobe.render.shared import lanes as module
from gilprobe.render.shared.lanes import SLICES, lanes_of

pytestmark = pytest.mark.plain_python

TWO = (TimelineThread(11, "MainThread", 0), TimelineThread(12, "worker", 0))


def of(report, timeline, elapsed_ns, rows=100):
    return lanes_of(dataclasses.replace(report, elapsed_ns=elapsed_ns), timeline, rows=rows)


def test_few_intervals_are_kept_one_by_one(report):
    timeline = MadeUpTimeline(TWO, (), ((HOLD, 1, 0, 10, 50), (WAIT, 0, 0, 20, 40), (HOLD, 0, 0, 60, 5)))
    (first, second), left_out = of(report, timeline, 1000)
    assert first.events == ((WAIT, 20, 60), (HOLD, 60, 65))
    assert (first.hold_ns, first.wait_ns) == (5, 40)
    assert second.events == ((HOLD, 10, 60),)
    assert (first.shares, left_out) == ((), 0)


@pytest.mark.parametrize("seed", range(4))
def test_slices_hold_the_same_time_as_the_intervals(report, monkeypatch, seed):
    monkeypatch.setattr(module, "MOST_EXACT", 100)
    timeline = simulated(threads=5, holds=400, seed=seed)
    elapsed = max(start + length for _, _, _, start, length in timeline.events)
    lanes, _ = of(report, timeline, elapsed)
    for lane in lanes:
        assert lane.events == ()
        assert len(lane.shares) == SLICES
        for column, expected in enumerate((lane.hold_ns, lane.wait_ns)):
            summed = sum(shares[column] for shares in lane.shares) * elapsed / SLICES
            assert summed == pytest.approx(expected, rel=1e-6)
        assert all(hold + wait <= 1 + 1e-6 for hold, wait in lane.shares)


def test_what_lies_outside_of_the_trace_is_cut(report):
    timeline = MadeUpTimeline(TWO, (), ((HOLD, 0, 0, -50, 100), (HOLD, 0, 0, 90, 100), (HOLD, 1, 0, 200, 9)))
    (lane,), _ = of(report, timeline, 100)
    assert lane.events == ((HOLD, 0, 50), (HOLD, 90, 100))


def test_the_busiest_threads_are_kept_in_the_timelines_order(report):
    threads = tuple(TimelineThread(n, f"t{n}", 0) for n in range(5))
    events = tuple((HOLD, n, 0, 1000 * n, length) for n, length in enumerate((5, 900, 1, 700, 3)))
    lanes, left_out = of(report, MadeUpTimeline(threads, (), events), 10_000, rows=2)
    assert ([lane.name for lane in lanes], left_out) == (["t1", "t3"], 3)


def test_a_lane_is_as_long_as_its_thread_lived(report, account):
    accounts = (account("MainThread", 1000, 0, 0, native_id=11), account("worker", 100, 0, 300, native_id=12))
    timeline = MadeUpTimeline(TWO, (), ((HOLD, 0, 0, 10, 50), (HOLD, 1, 0, 200_000_000, 100_000_000)))
    lanes, _ = lanes_of(dataclasses.replace(report, threads=accounts), timeline, rows=9)
    assert [(lane.first_ns, lane.last_ns) for lane in lanes] == [
        (0, 1_000_000_000),
        (200_000_000, 600_000_000),
    ]


def test_an_identifier_that_was_given_twice_tells_no_lifetime(report, account):
    accounts = (account("old", 1000, 0, 0, native_id=12), account("new", 100, 0, 300, native_id=12))
    timeline = MadeUpTimeline(TWO, (), ((HOLD, 1, 0, 200, 100),))
    (lane,), _ = lanes_of(dataclasses.replace(report, threads=accounts), timeline, rows=9)
    assert (lane.first_ns, lane.last_ns) == (200, 300)
