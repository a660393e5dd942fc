"""What a page has of a timeline: every event while they are few, else cells that tell the same time."""

from __future__ import annotations

import dataclasses
from array import array
from collections import Counter

import pytest
import timeline_twin as twin
from hostile_names import HOSTILE
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from made_up_timeline import MadeUpTimeline, simulated

from gilprobe._native import pyramid as native
from gilprobe.model.timeline import HOLD, NOWHERE, WAIT, TimelineLockWait, TimelinePause, TimelineThread
from gilprobe.render.html.process import timeline_data as module
from gilprobe.render.html.process.threads import ThreadRows
from gilprobe.report import Frame

pytestmark = pytest.mark.plain_python

TWO = (TimelineThread(11, "MainThread", 0), TimelineThread(12, "worker", 0))
PLACES = (
    (Frame("main", "/srv/main.py", 1),),
    (Frame("main", "/srv/main.py", 1), Frame("inner", "/srv/x.py", 7)),
)
LARGEST = 2**53 - 1

timelines = st.builds(
    simulated,
    threads=st.integers(2, 6),
    holds=st.integers(1, 60),
    seed=st.integers(0, 2**32),
    interpreters=st.integers(1, 2),
)
quickly = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def described(report, timeline, elapsed_ns=0, **options):
    report = dataclasses.replace(report, elapsed_ns=elapsed_ns)
    return module.described(report, timeline, ThreadRows(report.threads), **options)


def in_cells(report, timeline, monkeypatch, **options):
    monkeypatch.setattr(module, "MOST_EXACT", -1)
    return described(report, timeline, **options)


def rows_of(timeline, row_count=None, extent=None):
    """Return the native rows of a timeline: all its threads in their order, places by their numbers + 1."""
    threads = len(timeline.threads)
    row_count = threads if row_count is None else row_count
    gils = [thread.interpreter for thread in timeline.threads]
    whole = max((start + length for _, _, _, start, length in timeline.events), default=1)
    return native.Rows(
        memoryview(b"".join(min(n, row_count).to_bytes(4, "little") for n in range(threads))).cast("I"),
        memoryview(b"".join(gil.to_bytes(4, "little") for gil in gils)).cast("I"),
        memoryview(b"".join((n + 1).to_bytes(4, "little") for n in range(len(timeline.places)))).cast("I"),
        row_count=row_count,
        gil_count=max(gils) + 1,
        extent_ns=whole if extent is None else extent,
    )


def filled(collector, timeline):
    for batch in timeline.batches():
        collector.add(batch)
    return collector


# ---- exact ----


def test_the_longest_pauses_are_marks(report, monkeypatch):
    monkeypatch.setattr(module, "MOST_PAUSES", 2)
    pauses = tuple(
        TimelinePause(thread, NOWHERE, generation, start, length, length, 0, 0, 0)
        for thread, generation, start, length in (
            (0, 0, 10, 5), (1, 2, 20, 70), (0, 1, 200, LARGEST), (7, 2, 300, 99)
        )
    )  # fmt: skip
    threads = (*TWO, *(TimelineThread(20 + n, "idle", 0) for n in range(8)))
    events = ((HOLD, 0, 0, 0, 100), (HOLD, 1, 0, 100, 10))
    timeline = MadeUpTimeline(threads, PLACES, events, collections=pauses)
    data = module.described(report, timeline, ThreadRows(report.threads))
    assert data["pauses"] == [(1, 20, 70, 2), (0, 200, LARGEST, 1)], "thread 7 has no row"


def test_the_longest_waits_for_locks_are_marks(report, monkeypatch):
    monkeypatch.setattr(module, "MOST_LOCK_WAITS", 2)
    waits = tuple(
        TimelineLockWait(id_, who, "lock", lock, start, ns, 0, False, PLACES[0], 0, "", None, 0)
        for id_, who, lock, start, ns in (
            (TWO[1].native_id, TWO[1].name, "a", 500, 70),
            (TWO[0].native_id, TWO[0].name, "b", 300, 60),
            (TWO[0].native_id, TWO[0].name, "a", 10, 5),
            (99, "not shown", "a", 10, 900),
        )
    )
    monkeypatch.setattr(module, "MOST_ROWS", 2)
    events = ((HOLD, 0, 0, 0, 100), (HOLD, 1, 0, 100, 10))
    timeline = MadeUpTimeline(TWO, PLACES, events, waits=waits)
    data = module.described(report, timeline, ThreadRows(report.threads))
    rows = {thread["name"]: row for row, thread in enumerate(data["threads"])}
    assert data["locks"] == ["b", "a"]
    assert data["lock_waits"] == [(rows[TWO[0].name], 300, 60, 0), (rows[TWO[1].name], 500, 70, 1)]


def test_without_a_gil_threads_are_shown_with_their_waits_for_locks(report):
    waits = tuple(
        TimelineLockWait(id_, f"thread {id_}", kind, "a", start, ns, 0, False, PLACES[0], 0, "", None, 0)
        for id_, kind, start, ns in ((31, "lock", 10, 5), (32, "work", 0, 100), (32, "lock", 110, 60))
    )
    timeline = MadeUpTimeline((), PLACES, (), waits=waits)
    data = described(report, timeline, elapsed_ns=200)
    assert (data["gils"], data["gil_of"], data["rows"], data["extent_ns"]) == ([], [0, 0], ["", ""], 200)
    told = [
        (row["name"], row["lock_ns"], row["from_ns"], row["to_ns"], row["events"]) for row in data["threads"]
    ]
    assert told == [("thread 32", 60, 0, 170, 0), ("thread 31", 5, 10, 15, 0)]
    assert data["lock_waits"] == [(0, 0, 100, 0), (1, 10, 5, 1), (0, 110, 60, 1)]
    assert (data["locks"], data["work"]) == (["a", "a"], [0])


@quickly
@given(timeline=timelines)
def test_every_event_of_a_short_timeline_is_in_the_page(report, timeline):
    page = described(report, timeline)
    assert (page["exact"], page["events"]) == (True, len(timeline.events))
    found = Counter()
    for thread, row in zip(page["threads"], page["rows"], strict=False):
        for kind, start, duration, place in twin.exact(row):
            found[
                thread["name"], kind, start, duration, tuple(page["places"][place - 1]) if place else None
            ] += 1
    expected = Counter(
        (timeline.threads[thread].name, kind, start, duration, named(timeline, place))
        for kind, thread, place, start, duration in timeline.events
    )
    assert found == expected


def named(timeline, place):
    if place == NOWHERE:
        return None
    frame = timeline.places[place][-1]
    return frame.function, frame.filename, frame.line


def test_the_innermost_frames_that_are_the_same_are_one_place(report):
    timeline = MadeUpTimeline(
        TWO, (*PLACES, PLACES[0]), ((HOLD, 0, 0, 0, 5), (HOLD, 1, 1, 5, 50), (HOLD, 0, 2, 60, 1))
    )
    page = described(report, timeline)
    assert [tuple(place) for place in page["places"]] == [
        ("inner", "/srv/x.py", 7),
        ("main", "/srv/main.py", 1),
    ]
    assert twin.exact(page["rows"][1]) == [(HOLD, 0, 5, 2), (HOLD, 60, 1, 2)]


def test_who_held_longest_comes_first_and_who_did_nothing_not_at_all(report):
    timeline = MadeUpTimeline(
        (*TWO, TimelineThread(13, "idle", 0)),
        PLACES,
        ((HOLD, 0, 0, 0, 5), (WAIT, 1, 0, 0, 5), (HOLD, 1, 0, 5, 1)),
    )
    page = described(report, timeline)
    assert [thread["name"] for thread in page["threads"]] == ["MainThread", "worker"]
    assert (page["gils"], page["gil_of"]) == ([0], [0, 0])


def test_threads_without_a_row_are_summed_and_still_hold_the_gil(report, monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 2)
    timeline = simulated(threads=6, holds=300)
    page = described(report, timeline)
    sums = Counter()
    for kind, _, _, _, length in timeline.events:
        sums[kind] += length
    assert (len(page["threads"]), page["folded"]["threads"], page["folded"]["gils"]) == (2, 4, 0)
    for kind, key in ((HOLD, "hold_ns"), (WAIT, "wait_ns")):
        assert sum(thread[key] for thread in page["threads"]) + page["folded"][key] == sums[kind]
    held = sum(event[2] for row in page["rows"] for event in twin.exact(row) if event[0] == HOLD)
    assert held == sums[HOLD]


def test_gils_without_a_row_are_counted(report, monkeypatch):
    monkeypatch.setattr(module, "MOST_GILS", 2)
    page = described(report, simulated(threads=6, holds=50, interpreters=3))
    assert (len(page["gils"]), page["folded"]["gils"]) == (2, 1)
    assert sorted(page["gil_of"]) == [0, 0, 1, 1, 2, 2]  # 2: none


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_foreign_names_are_printable_and_of_bounded_length(report, name):
    page = described(report, simulated(holds=20).renamed(name))
    for text in (page["threads"][0]["name"], *(part for place in page["places"] for part in place[:2])):
        assert text.isprintable()
        assert len(text) <= 6 * 400


def test_places_beyond_the_room_are_not_known(report, monkeypatch):
    monkeypatch.setattr(module, "_MOST_NAMES", 20)
    timeline = MadeUpTimeline(TWO, PLACES, ((HOLD, 0, 0, 0, 5), (HOLD, 1, 1, 5, 50)))
    page = described(report, timeline)
    assert len(page["places"]) == 1
    assert twin.exact(page["rows"][1]) == [(HOLD, 0, 5, 0)]


@pytest.mark.parametrize("packed", [True, False])
def test_times_out_of_all_bounds_stay_inside(report, monkeypatch, packed):
    monkeypatch.setattr(module, "MOST_EXACT", 10 if packed else -1)
    lowest, highest = -(2**63), 2**63 - 1
    events = (
        (HOLD, 0, 0, lowest, highest),
        (WAIT, 1, 0, highest, highest),
        (HOLD, 1, 0, 5, highest),
        (HOLD, 0, 0, 3, -8),
    )
    page = described(report, MadeUpTimeline(TWO, PLACES, events), 100)
    assert page["extent_ns"] == LARGEST
    assert all(0 <= thread["from_ns"] <= thread["to_ns"] <= LARGEST for thread in page["threads"])


def test_a_timeline_without_events_has_no_rows(report):
    page = described(report, MadeUpTimeline(TWO, PLACES, ()), 100)
    assert (page["events"], page["threads"], page["rows"], page["extent_ns"]) == (0, [], [], 100)


# ---- cells ----


@example(timeline=simulated(threads=2, holds=7, seed=2), cells=7, level=2)  # two held as long in a cell
@quickly
@given(timeline=timelines, cells=st.sampled_from([1, 7, 64]), level=st.integers(0, 7))
def test_cells_tell_the_same_time_as_the_events(timeline, cells, level):
    whole = max(start + length for _, _, _, start, length in timeline.events) or 1
    pyramid = filled(native.Pyramid(rows_of(timeline, extent=whole), cells), timeline)
    size, count = pyramid.cell_ns << level, -(-cells // 2**level)
    assert pyramid.cell_ns * cells >= whole
    for row in range(len(timeline.threads) + max(t.interpreter for t in timeline.threads) + 1):
        found = twin.cells(pyramid.row(row, level), count)
        for cell, (held, waited, leader) in enumerate(found):
            begin, end = cell * size, min((cell + 1) * size, whole, cells * pyramid.cell_ns)
            check_cell(by_force(timeline, row, begin, end), max(0, end - begin), held, waited, leader)


def by_force(timeline, row, begin, end):
    """Return the holds of each leader and the waits of a row in a cell."""
    held, waited = Counter(), 0
    threads = len(timeline.threads)
    for kind, thread, place, start, length in timeline.events:
        part = min(start + length, end) - max(start, begin)
        if part <= 0:
            continue
        if row == thread and kind == WAIT:
            waited += part
        elif row == thread:
            held[0 if place == NOWHERE else place + 1] += part
        elif kind == HOLD and row == threads + timeline.threads[thread].interpreter:
            held[thread + 1] += part
    return held, waited


def check_cell(expected, covered, held, waited, leader):
    holds, waits = expected
    for share, sum_ns in ((held, sum(holds.values())), (waited, waits)):
        assert (share > 0) == (sum_ns > 0)
        assert share == pytest.approx(twin.SHARES * sum_ns / max(covered, 1), abs=1)
    if holds:
        first, most = holds.most_common(1)[0]
        assert leader in holds
        if 2 * most > sum(holds.values()):
            assert leader == first


def test_overlapping_holds_of_a_made_up_file_count_once():
    events = tuple((HOLD, 0, 0, 0, 1000) for _ in range(5))
    timeline = MadeUpTimeline(TWO, PLACES, events)
    pyramid = filled(native.Pyramid(rows_of(timeline), 10), timeline)
    assert twin.cells(pyramid.row(0, 0), 10) == [(twin.SHARES, 0, 1)] * 10


def test_rows_become_coarser_until_they_fit(report, monkeypatch):
    timeline = simulated(threads=5, holds=3000)
    roomy = in_cells(report, timeline, monkeypatch)
    tight = in_cells(report, timeline, monkeypatch, most_bytes=3000)
    assert max(roomy["levels"]) == 0
    assert max(tight["levels"]) > 0
    assert sum(len(row) for row in tight["rows"]) <= 4 / 3 * 3000 + 4 * len(tight["rows"])


def test_a_timeline_of_many_bytes_is_no_longer_exact(report):
    assert described(report, simulated(holds=200), most_bytes=100)["exact"] is False


# ---- the longest ----


@quickly
@given(timeline=timelines, keep=st.integers(0, 12))
def test_the_longest_are_kept_and_know_who_held(timeline, keep):
    longest = filled(native.Longest(rows_of(timeline), keep, 1 << 30), timeline)
    for kind, kept in ((HOLD, longest.holds()), (WAIT, longest.waits())):
        lengths = sorted(
            (event[4] for event in timeline.events if event[0] == kind and event[4]), reverse=True
        )
        assert sorted((end - start for start, end, *_ in kept), reverse=True) == lengths[:keep]
    for start, end, row, _, holders, others in longest.waits():
        expected = held_during(timeline, row, start, end)
        assert all(expected[holder, place] == ns for holder, place, ns in holders)
        assert (
            sorted((ns for _, _, ns in holders), reverse=True) == sorted(expected.values(), reverse=True)[:4]
        )
        assert others == sum(expected.values()) - sum(ns for _, _, ns in holders)


def held_during(timeline, waiter, begin, end):
    held = Counter()
    for kind, thread, place, start, length in timeline.events:
        part = min(start + length, end) - max(start, begin)
        same = timeline.threads[thread].interpreter == timeline.threads[waiter].interpreter
        if kind == HOLD and part > 0 and same:
            held[thread, 0 if place == NOWHERE else place + 1] += part
    return held


def test_the_longest_are_told_beside_the_cells(report, monkeypatch):
    timeline = simulated(threads=3, holds=200)
    page = in_cells(report, timeline, monkeypatch)
    waits = [event for event in timeline.events if event[0] == WAIT]
    assert sorted(found[:2] for found in twin.longest(page["waits"])) == sorted(wait[3:] for wait in waits)


# ---- what a file made up ----


@pytest.mark.parametrize(("thread", "place"), [(2, 0), (0, 2)])
@pytest.mark.parametrize(
    "make", [native.Exact, lambda rows: native.Pyramid(rows, 8), lambda rows: native.Longest(rows, 8, 8)]
)
def test_what_refers_to_nothing_is_refused(make, thread, place):
    timeline = MadeUpTimeline(TWO, PLACES, ((HOLD, thread, place, 0, 5),))
    with pytest.raises(ValueError, match="must refer to a thread and a place"):
        filled(make(rows_of(timeline)), timeline)


def test_a_batch_of_unequal_columns_is_refused():
    (batch,) = MadeUpTimeline(TWO, PLACES, ((HOLD, 0, 0, 0, 5),)).batches()
    with pytest.raises(ValueError, match="equal length"):
        native.survey(batch._replace(kinds=memoryview(b"")), 1, array("Q"), array("Q"))
