"""How long a hunt goes on, and how sure it is: with a clock that only the function moves."""

from __future__ import annotations

import functools
import itertools
import random
import sys
import types

import pytest

from gilprobe.errors import FormatError
from gilprobe.refs import LeakReport, find_leaks, leak_hunt, leak_windows
from gilprobe.refs.leak_probes import process_gauges
from gilprobe.render.text.leaks_text import render_leaks

pytestmark = pytest.mark.plain_python

HEAP = any(gauge.kind == "heap" for gauge in process_gauges()[0])
needs_heap = pytest.mark.skipif(not HEAP, reason="the bytes of C's heap can't be counted here")
needs_blocks = pytest.mark.skipif(not sys.getallocatedblocks(), reason="blocks can't be counted here")


class Clock:
    """Stands still but for those who move it."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now + 0.0  # another number each time, as of a real clock

    def sleep(self, seconds):
        self.now += seconds

    def taking(self, seconds, function=lambda: None):
        """Return a function that takes that long."""

        def slow():
            self.now += seconds
            return function()

        return slow


@pytest.fixture
def clock(monkeypatch):
    """Set the clock of the hunt."""
    made = Clock()
    for module in (leak_hunt, leak_windows):
        monkeypatch.setattr(
            module, "time", types.SimpleNamespace(perf_counter=made.perf_counter, sleep=made.sleep)
        )
    return made


def cache(size):
    """Return a function that looks up another key each time, in a cache of limited size or of none."""
    number = itertools.count()
    cached = functools.lru_cache(maxsize=size)(lambda key: [key])
    return lambda: cached(next(number)) and None


def emptied(size):
    """Return a function that remembers each call, until there are too many."""
    seen = []

    def remember():
        seen.append([])
        if len(seen) >= size:
            seen.clear()

    return remember


def ending(after):
    """Return a function that keeps something for a number of calls only."""
    number, kept = itertools.count(), []
    return lambda: kept.append([]) if next(number) < after else None


def arena(size, piece, factor):
    """Return a function that takes pieces of memory from blocks, each so many times as large as the last."""
    blocks = [bytearray(size)]
    left = [size]

    def take():
        if left[0] < piece:
            blocks.append(bytearray(b"x") * (len(blocks[-1]) * factor))
            left[0] = len(blocks[-1])
        left[0] -= piece

    return take


@pytest.mark.parametrize("make", [cache, emptied, ending])
@pytest.mark.parametrize(("size", "call_s"), [(500, 0.003), (512, 0.002), (512, 0.0007), (4096, 0.0001)])
def test_what_comes_to_an_end_is_no_leak_however_long_a_call_takes(clock, make, size, call_s):
    report = find_leaks(clock.taking(call_s, make(size)))
    assert not report.leaking, report.findings
    assert report.uncertain is None


@pytest.mark.parametrize("call_s", [0.00001, 0.0001, 0.003])
def test_what_has_no_end_is_a_leak_for_certain(clock, call_s):
    report = find_leaks(clock.taking(call_s, cache(None)))
    assert report.findings[0].what == "list objects"
    assert report.findings[0].per_call == pytest.approx(1)
    assert report.calls >= 2000
    assert report.uncertain is None


@pytest.mark.parametrize("call_s", [0.1, 0.25, 1.0])
def test_a_slow_leak_is_found_within_the_limit_and_not_for_certain(clock, call_s):
    kept = []
    report = find_leaks(clock.taking(call_s, lambda: kept.append([])))
    assert clock.now <= 30
    assert report.findings[0].what == "list objects"
    assert "--limit" in report.uncertain
    assert "--calls" in report.uncertain


@pytest.mark.parametrize("call_s", [0.1, 0.25, 1.0])
def test_a_slow_clean_function_is_told_so_within_the_limit(clock, call_s):
    report = find_leaks(clock.taking(call_s))
    assert clock.now <= 30
    assert not report.leaking
    assert report.uncertain is None


@pytest.mark.parametrize("call_s", [5.0, 10.0, 60.0])
def test_what_is_too_slow_to_be_judged_is_told_not_to_be_certain(clock, call_s):
    report = find_leaks(clock.taking(call_s))
    assert clock.now <= max(30, 3 * call_s)
    assert not report.leaking
    assert f"after {report.calls} calls" in report.uncertain


def test_more_time_makes_it_certain(clock):
    kept = []
    slow = clock.taking(0.25, lambda: kept.append([]))
    assert find_leaks(slow, limit_s=60).uncertain
    assert find_leaks(slow, limit_s=3600).uncertain is None


@needs_heap
@pytest.mark.parametrize(("size", "factor", "least", "most"), [(1024, 2, 12, 192), (8192, 1, 40, 56)])
@pytest.mark.parametrize("call_s", [0.00001, 0.0001])
def test_what_grows_in_steps_is_found(clock, size, factor, least, most, call_s):
    report = find_leaks(clock.taking(call_s, arena(size, 48, factor)))
    (finding,) = report.findings
    assert finding.kind == "heap"
    assert least < finding.per_call < most
    assert finding.low <= finding.per_call <= finding.high


@needs_heap
def test_a_buffer_that_grows_by_a_share_of_itself_is_found(clock):
    buffer = bytearray()
    report = find_leaks(clock.taking(0.00001, lambda: buffer.extend(b"12345678")))
    (finding,) = report.findings
    assert finding.kind == "heap"
    assert 4 < finding.per_call < 16


@needs_blocks
def test_what_is_left_of_every_thousandth_call_is_found(clock):
    number, kept = itertools.count(1), []

    def write():
        if next(number) % 5000 == 0:
            kept.append([str(one) for one in range(10_000, 15_000)])

    report = find_leaks(clock.taking(0.00001, write))
    finding = next(one for one in report.findings if one.kind == "blocks")
    assert finding.per_call == pytest.approx(1, rel=0.3)


def test_no_longer_look_is_taken_where_the_calls_are_given_and_nothing_is_larger(clock):
    assert find_leaks(clock.taking(0.00001)).calls > 10_000
    assert find_leaks(clock.taking(0.00001), calls=20).calls < 1000


@needs_heap
def test_a_process_that_grew_too_large_is_never_told_clean(monkeypatch):
    monkeypatch.setattr(leak_windows, "MOST_MEMORY", 16 << 20)
    report = find_leaks(arena(1024, 48, 2), calls=20_000)
    assert report.leaking
    assert report.findings[0].kind in ("memory", "heap")
    assert report.uncertain


def test_what_ended_the_hunt_is_a_finding_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(leak_windows, "MOST_MEMORY", -1)
    report = find_leaks(int, calls=10)
    (finding,) = report.findings
    assert finding.kind == "memory"
    assert "the process grew by" in finding.evidence[0]
    assert "the process grew by" in report.uncertain
    report.save(tmp_path / "leaks.json")
    assert LeakReport.load(tmp_path / "leaks.json") == report


def test_what_the_first_call_loads_is_no_growth(monkeypatch):
    monkeypatch.setattr(leak_windows, "MOST_MEMORY", 16 << 20)
    loaded = []

    def load():
        if not loaded:
            loaded.append(bytearray(b"x") * (32 << 20))

    assert not find_leaks(load, calls=10).leaking


def test_doubt_is_shown_and_reports_without_it_are_read():
    report = find_leaks(int, calls=10)
    assert report.uncertain is None
    assert "not certain" not in render_leaks(report)
    assert "uncertain" not in report.to_dict()
    doubtful = LeakReport.from_dict(report.to_dict() | {"uncertain": "time was up"})
    assert "not certain: time was up\n" in render_leaks(doubtful)
    with pytest.raises(FormatError, match="uncertain must be a str"):
        LeakReport.from_dict(report.to_dict() | {"uncertain": 3})


def test_each_phase_is_told_as_it_begins():
    told = []
    leak_hunt.hunt(int, repeats=3, calls=7, progress=told.append)
    stages = ["warm-up", "stage 1: 3 repetitions of 7 calls", "census of all references"]
    assert told == ["first calls", *stages, "reference cycles"]


def filling(slots, every):
    """Return a function that puts a string into a random slot, if that is free, in one of so many calls."""
    number, kept, draw = itertools.count(), [""] * slots, random.Random(1)

    def fill():
        if next(number) % every == 0 and not kept[slot := draw.randrange(slots)]:
            kept[slot] = str(slot + 1_000_000)

    return fill


def rare(every):
    """Return a function that leaves a string in one of so many calls."""
    number, kept = itertools.count(), [""] * 100_000
    return lambda: kept.__setitem__(at // every, str(at)) if (at := next(number)) % every == 0 else None


@needs_blocks
@pytest.mark.parametrize("slots", [60, 100, 150])
def test_who_hunts_more_than_once_does_not_take_slots_that_fill_up_for_a_leak(clock, slots):
    report = leak_hunt.hunt(clock.taking(0.0007, filling(slots, 10)), thorough=False)
    assert not report.leaking, report.findings


@needs_blocks
def test_who_hunts_more_than_once_finds_what_one_call_in_ten_leaves(clock):
    report = leak_hunt.hunt(clock.taking(0.0007, rare(10)), thorough=False)
    (finding,) = (one for one in report.findings if one.kind == "blocks")
    assert finding.per_call == pytest.approx(0.1, rel=0.3)
    assert report.calls >= 2000
    assert report.uncertain is None


@needs_blocks
def test_who_has_no_time_to_watch_what_one_call_in_three_leaves_says_so(clock):
    report = leak_hunt.hunt(clock.taking(0.02, rare(3)), limit_s=10, thorough=False)
    assert report.leaking
    assert report.calls < 2000
    assert "a cache also grows" in report.uncertain


def test_who_hunts_more_than_once_makes_no_more_calls_than_three_stages_have(clock):
    kept = []
    report = leak_hunt.hunt(clock.taking(0.003, lambda: kept.append([])), thorough=False)
    assert report.leaking
    assert report.calls < 200
    assert report.uncertain is None
