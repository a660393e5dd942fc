"""The trace that viewers read: valid by its format, slices that never overlap, arrows between holds."""

from __future__ import annotations

import dataclasses
import itertools
import random

import pytest
import trace_event_format
from hostile_names import HOSTILE
from made_up_timeline import MadeUpTimeline, simulated

from gilprobe.errors import InvalidValueError
from gilprobe.model.timeline import HOLD, NOWHERE, WAIT, TimelineLockWait, TimelinePause, TimelineThread
from gilprobe.model.traced_process import TracedProcess
from gilprobe.render.export import perfetto, waiters
from gilprobe.report import Frame

pytestmark = pytest.mark.plain_python

TWO = (TimelineThread(11, "MainThread", 0), TimelineThread(12, "worker", 0))
PLACES = (
    (Frame("recv", "/srv/server.py", 40),),
    (Frame("main", "app.py", 3), Frame("encode", "lib/e.py", 250)),
)


@pytest.fixture
def process(report):
    """Return a function that makes a process of a timeline."""

    def make(timeline, **changes):
        return TracedProcess(
            "app.gilprobe", report, timeline, pid=11, argv=("app.py",), started_unix_ns=10**18, **changes
        )

    return make


def exported(*processes):
    return trace_event_format.check("".join(perfetto.export(processes)))


def of_phase(events, phase):
    return [event for event in events if event["ph"] == phase]


def test_waits_for_locks_are_on_a_track_of_their_thread_with_who_released_the_lock(process):
    release = Frame("put", "app.py", 9)
    wait = TimelineLockWait(
        12,
        "worker",
        "lock",
        "dict `R`",
        6_000,
        4_000,
        500,
        False,
        PLACES[1],
        11,
        "MainThread",
        release,
        9_000,
    )
    failed = wait._replace(start_ns=11_000, failed=True, holder_id=0, holder="", released=None, released_ns=0)
    stranger = wait._replace(thread_id=77, thread="no GIL")
    timeline = MadeUpTimeline(TWO, PLACES, ((HOLD, 1, 1, 1_000, 5_000),), waits=(wait, failed, stranger))
    events = exported(process(timeline))
    threads = {
        event["args"]["name"]: event["tid"]
        for event in of_phase(events, "M")
        if event["name"] == "thread_name"
    }
    waits = [event for event in of_phase(events, "X") if event["name"] == "waits for dict `R`"]
    assert [event["tid"] for event in waits] == [
        threads["locks: worker"],
        threads["locks: worker"],
        threads["locks: no GIL"],
    ]
    assert waits[0]["args"]["stack"] == "main (app.py:3) > encode (e.py:250)"
    assert waits[0]["args"]["released in"] == "put (app.py:9)"
    assert waits[1]["args"]["ended"] == "without the lock"


def test_an_arrow_leads_from_a_release_to_the_end_of_the_wait(process):
    release = Frame("put", "app.py", 9)
    wait = TimelineLockWait(
        12, "worker", "lock", "dict `R`", 6_000, 4_000, 0, False, PLACES[1], 11, "MainThread", release, 9_000
    )
    late = wait._replace(start_ns=20_000, duration_ns=1, released_ns=20_001)
    at_once = wait._replace(start_ns=30_000, duration_ns=0, released_ns=30_000)
    events = exported(process(MadeUpTimeline(TWO, PLACES, (), waits=(wait, late, at_once))))
    tracks = {
        event["tid"]: event["args"]["name"] for event in of_phase(events, "M") if "name" in event["args"]
    }
    releases = [event for event in of_phase(events, "X") if event["name"] == "releases dict `R`"]
    assert [(tracks[event["tid"]], event["ts"]) for event in releases] == [
        ("locks: MainThread", 9.0),
        ("locks: MainThread", 20.0),
    ]
    assert releases[0]["args"] == {"function": "put", "file": "app.py", "line": 9}
    starts, ends = of_phase(events, "s"), of_phase(events, "f")
    assert [(tracks[event["tid"]], event["ts"]) for event in starts + ends] == [
        ("locks: MainThread", 9.0003),
        ("locks: MainThread", 20.0003),
        ("locks: worker", 9.9994),
        ("locks: worker", 20.0004),
    ]


def test_a_handoff_is_shown_on_both_threads_the_gils_track_and_by_an_arrow(process):
    timeline = MadeUpTimeline(
        TWO,
        PLACES,
        ((HOLD, 1, 1, 1_000, 5_001), (WAIT, 0, 0, 2_500, 3_501), (HOLD, 0, 0, 6_001, 999)),
    )
    events = exported(process(timeline))
    threads = {
        event["args"]["name"]: event["tid"]
        for event in of_phase(events, "M")
        if event["name"] == "thread_name"
    }
    assert threads["MainThread"] == 11
    assert threads["worker"] == 12
    slices = [(e["tid"], e["cat"], e["name"], e["ts"], e["dur"]) for e in of_phase(events, "X")]
    assert sorted(slices) == sorted(
        [
            (12, "hold", "encode", 1.0, 5.001),
            (threads["GIL"], "GIL", "worker", 1.0, 5.001),
            (11, "wait", "waiting for the GIL", 2.5, 3.501),
            (11, "hold", "recv", 6.001, 0.999),
            (threads["GIL"], "GIL", "MainThread", 6.001, 0.999),
        ]
    )
    (start,), (end,) = of_phase(events, "s"), of_phase(events, "f")
    assert (start["tid"], start["ts"]) == (12, 6.0004)
    assert (end["tid"], end["ts"]) == (11, 6.0014)
    counts = [(event["ts"], event["args"]["threads"]) for event in of_phase(events, "C")]
    assert counts == [(2.5, 1), (6.001, 0)]
    hold = next(event for event in events if event["name"] == "encode")
    assert hold["args"] == {
        "function": "encode",
        "file": "lib/e.py",
        "line": 250,
        "stack": "main (app.py:3) > encode (e.py:250)",
    }
    colors = {event["name"]: event["cname"] for event in events if event.get("cat") == "GIL"}
    assert len(set(colors.values())) == 2


@pytest.mark.parametrize(
    "middle",
    [
        (),  # the GIL was free: nobody delayed it
        ((HOLD, 0, 0, 100, 50),),  # its own hold did not delay it
    ],
)
def test_no_arrow_where_nobody_delayed_the_thread(process, middle):
    events = (*middle, (WAIT, 0, 0, 2_000, 70), (HOLD, 0, 0, 2_070, 10))
    assert not of_phase(exported(process(MadeUpTimeline(TWO, PLACES, events))), "s")


def test_no_arrow_where_the_acquisition_after_a_wait_is_missing(process):
    events = (
        (HOLD, 1, 0, 0, 1_000),
        (WAIT, 0, 0, 500, 500),
        # dropped: the hold of thread 0 that followed
        (HOLD, 1, 0, 50_000, 1_000),
        (HOLD, 0, 0, 90_000, 1_000),
    )
    assert not of_phase(exported(process(MadeUpTimeline(TWO, PLACES, events, dropped=1))), "s")


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_threads_do_the_trace_is_valid(process, seed):
    timeline = simulated(
        threads=1 + seed * 3, holds=300, seed=seed, depth=1 + seed % 3, interpreters=1 + seed % 2
    )
    events = exported(process(timeline))
    holds = [event for event in timeline.events if event[0] == HOLD]
    assert len([e for e in events if e.get("cat") == "hold"]) == len(holds)
    assert len([e for e in events if e.get("cat") == "GIL"]) == len(holds)
    assert len([e for e in events if e.get("cat") == "wait"]) == len(timeline.events) - len(holds)
    assert seed == 0 or of_phase(events, "s")


def test_what_rounding_made_overlap_does_not_overlap(process):
    """Start and length are rounded on their own: an event may begin 1 ns before its forerunner's end."""
    events = ((WAIT, 0, 0, 100, 51), (HOLD, 0, 0, 150, 50), (HOLD, 1, 0, 199, 1), (HOLD, 0, 1, 199, 9))
    shown = exported(process(MadeUpTimeline(TWO, PLACES, events)))
    holds = [(event["ts"], event["dur"]) for event in shown if event.get("cat") == "hold"]
    assert holds == [(0.151, 0.049), (0.199, 0.001), (0.2, 0.008)]


def test_the_counter_is_right_across_blocks(process, monkeypatch):
    """A wait that spans several blocks is counted from its start, with the last word from a slow twin."""
    monkeypatch.setattr(waiters, "_BLOCK", 4)
    random_ = random.Random(7)
    many = tuple(TimelineThread(n + 1, f"t{n}", 0) for n in range(6))
    waits = []
    for thread in range(6):
        now = 0
        for _ in range(random_.choice((1, 3, 40))):
            now += random_.randint(1, 50)
            length = random_.choice((1, 5, 400, 3000))
            waits.append((WAIT, thread, 0, now, length))
            now += length
    waits.sort(key=lambda event: event[3] + event[4])
    events = exported(process(MadeUpTimeline(many, PLACES, tuple(waits), batch=7)))
    shown = {trace_event_format.ns(e["ts"]): e["args"]["threads"] for e in of_phase(events, "C")}
    moments = sorted({at for _, _, _, start, length in waits for at in (start, start + length)})
    assert sorted(shown) == moments
    for at in moments:
        assert shown[at] == sum(start <= at < start + length for _, _, _, start, length in waits)


def test_every_interpreter_has_its_track_and_its_counter(process):
    events = exported(process(simulated(threads=6, interpreters=3)))
    names = {e["args"]["name"] for e in of_phase(events, "M") if e["name"] == "thread_name"}
    assert {"GIL", "GIL of interpreter 1", "GIL of interpreter 2", "worker 1 (interpreter 1)"} <= names
    assert len({e["name"] for e in of_phase(events, "C")}) == 3


def test_processes_stand_side_by_side_in_their_own_time(process):
    first = process(simulated())
    second = dataclasses.replace(first, pid=12, started_unix_ns=first.started_unix_ns + 5_000_000)
    third = dataclasses.replace(first, pid=11)  # the same number again: another machine's, or used twice
    events = exported(first, second, third)
    pids = [e["pid"] for e in of_phase(events, "M") if e["name"] == "process_name"]
    assert pids[:2] == [11, 12]
    assert len(set(pids)) == 3
    threads = [e["tid"] for e in of_phase(events, "M") if e["name"] == "thread_name"]
    assert len(threads) == len(set(threads)), "Perfetto knows a thread by its number alone"
    begins = [next(e["ts"] for e in of_phase(events, "X") if e["pid"] == pid) for pid in pids]
    assert begins[1] == pytest.approx(begins[0] + 5000)
    assert begins[2] == begins[0]


def test_dropped_events_and_doubts_are_told_in_the_metadata_and_at_the_start(process):
    events = exported(process(simulated(dropped=17), complete=False))
    told = " ".join(event["name"] for event in of_phase(events, "i"))
    assert "17 events are missing" in told
    assert "the recording was not ended" in told
    assert "a doubt about the trace" in told
    text = "".join(perfetto.export([process(simulated(dropped=17))]))
    assert trace_event_format.parse(text)["otherData"]["dropped_events"] == 17


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_leave_the_trace_valid(process, name):
    shown = process(simulated(depth=2, holds=30).renamed(name))
    events = exported(dataclasses.replace(shown, source=name, argv=(name,)))
    assert all("\x1b" not in str(event) for event in events)


@pytest.mark.parametrize(
    ("threads", "events"),
    [
        ((), ()),
        (TWO, ()),
        (TWO, ((HOLD, 0, NOWHERE, 0, 0), (HOLD, 0, 0, 0, 0), (HOLD, 1, 0, 0, 0), (WAIT, 1, 0, 0, 0))),
        ((TimelineThread(0, "", 0), TimelineThread(-5, "x", 2**31)), ((HOLD, 1, 0, 2**61, 2**60),)),
        ((TimelineThread(7, "a", 0), TimelineThread(7, "b", 0)), ((HOLD, 0, 0, 0, 5), (HOLD, 1, 0, 5, 5))),
        (TWO, ((HOLD, 0, 0, -50, 20), (HOLD, 0, 0, -90, 10), (WAIT, 1, 0, -9, -9), (HOLD, 1, 0, 5, -3))),
    ],
    ids=["nothing", "no events", "no length", "huge", "reused identifier", "hostile order"],
)
def test_odd_timelines_give_a_valid_trace(process, threads, events):
    exported(process(MadeUpTimeline(threads, PLACES, events)))


def test_thousands_of_threads(process):
    events = exported(process(simulated(threads=5000, holds=6000)))
    assert len([e for e in events if e["name"] == "thread_name"]) == 5001


def test_without_a_timeline_there_is_no_trace(report):
    with pytest.raises(InvalidValueError, match="needs a recording with a timeline"):
        perfetto.export([TracedProcess("r.json", report)])


def test_the_trace_is_written_piece_by_piece(process):
    """The writer takes batches as it needs them and holds none of them back."""
    taken = []
    timeline = simulated(holds=30_000)

    class Watched(MadeUpTimeline):
        def batches(self):
            for number, batch in enumerate(super().batches()):
                taken.append(number)
                yield batch

    watched = Watched(timeline.threads, timeline.places, timeline.events)
    pieces = perfetto.export([process(watched)])
    list(itertools.islice(pieces, 3))
    surveyed = taken.index(0, 1)
    assert len(taken) - surveyed < surveyed / 2


def test_collections_of_garbage_have_a_track_of_their_own(process):
    """One may last longer than the holds of its thread: a finalizer lets the GIL go."""
    pauses = (
        TimelinePause(0, 1, 0, 1_500, 400, 400, 300, 7, 0),
        TimelinePause(1, NOWHERE, 2, 1_899, 5_000, 3_000, 0, 0, 2),  # rounded: it begins before the end
    )
    holds = ((HOLD, 0, 0, 1_000, 1_000), (HOLD, 1, 1, 2_000, 2_000), (HOLD, 1, 1, 5_000, 2_000))
    events = exported(process(MadeUpTimeline(TWO, PLACES, holds, collections=pauses)))
    (track,) = [
        event["tid"] for event in of_phase(events, "M") if event["args"].get("name") == "garbage collection"
    ]
    young, old = [event for event in of_phase(events, "X") if event["cat"] == "collection"]
    assert {young["tid"], old["tid"]} == {track}
    assert (young["name"], young["ts"], young["dur"]) == ("generation 0", 1.5, 0.4)
    assert young["args"]["thread"] == "MainThread"
    assert (young["args"]["function"], young["args"]["line"]) == ("encode", 250)
    assert (young["args"]["waits caused, ns"], young["args"]["freed objects"]) == (300, 7)
    assert (old["name"], old["ts"]) == ("generation 2", 1.9)
    assert old["args"]["uncollectable objects"] == 2
