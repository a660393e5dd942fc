"""Holds one by one: which belong to which call."""

from __future__ import annotations

from functools import partial

import pytest

import gilprobe
from gilprobe.auditing.inspection import SeenHold, inspect, tally_calls
from gilprobe.kernels import alternate
from gilprobe.report import Frame

PLACE = Frame("work", "app.py", 3)


def own(ns):
    return SeenHold(ns, PLACE, False)


def end(ns):
    return SeenHold(ns, None, True)


def test_a_call_reaches_from_one_boundary_to_the_next():
    tally = tally_calls(iter([own(999), end(999), own(5), own(7), end(1), own(6), end(2), own(999)]))
    assert tally.calls == 2
    assert tally.firsts == [5 / 13, 6 / 8]
    assert tally.lasts == [1 / 13, 2 / 8]
    assert (tally.lengths().count, tally.lengths().total_ns) == (5, 21)
    assert tally.longest == own(7)


def test_a_call_that_does_not_release_is_one_hold():
    tally = tally_calls(iter([end(9), end(3), end(4)]))
    assert (tally.calls, tally.firsts, tally.lasts) == (2, [1, 1], [1, 1])


def test_holds_of_other_threads_count_but_neither_begin_nor_end_a_call():
    other = SeenHold(50, None, False, is_own=False)
    tally = tally_calls(iter([end(9), other, own(3), other, end(4)]))
    assert (tally.firsts, tally.lasts) == ([3 / 7], [4 / 7])
    assert tally.longest == other
    assert tally.lengths().count == 4


@pytest.mark.skipif(gilprobe.capabilities().tracer == "none", reason="no tracer here")
def test_every_hold_of_a_call_is_seen():
    def work():
        alternate(5, held_ns=1000, released_ns=1000)

    holds, doubts = inspect(work, 20)
    assert doubts == ()
    assert holds.calls == 20
    assert holds.per_call == 6
    assert holds.lengths.quantile(0.5) >= 1e-6
    assert holds.longest.hold_ns == holds.lengths.max_ns
    assert 0 < holds.cpu_fraction <= 1


@pytest.mark.skipif(gilprobe.capabilities().tracer == "none", reason="no tracer here")
def test_the_longest_hold_has_its_site():
    def long():
        alternate(1, held_ns=20_000_000, released_ns=1000)

    def work():
        alternate(3, held_ns=1000, released_ns=1000)
        long()

    holds, _ = inspect(work, 3)
    assert holds.longest.hold_ns >= 20_000_000
    assert (holds.longest.function.rpartition(".")[2], holds.longest.filename) == (
        "alternate",
        gilprobe.kernels.__file__,
    )
    held, _ = inspect(partial(alternate, 1, held_ns=5_000_000, released_ns=1000), 3)
    assert held.longest.line > 0
