"""Recordings as files: what is read, what is refused, and with which words."""

from __future__ import annotations

import dataclasses
import os
import re
import tracemalloc
from typing import Any

import pytest
import recording_twin as twin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gilprobe.cli.report import _exported
from gilprobe.errors import FormatError
from gilprobe.model.timeline import HOLD, NOWHERE, WAIT, TimelineThread
from gilprobe.render.text.trace_text import render_process
from gilprobe.report import Frame
from gilprobe.tracing.loading import load
from gilprobe.tracing.recording_reader import EventSums, Recording, ThreadDescription

HEADER = twin.header()
PLACES = [
    (None, 2, 0, "", ""),
    (0, 0, 10, "main", "app.py"),
    (1, 0, 20, "Worker.run", "app.py"),
    (None, 1, 1, "", ""),
]
THREADS = [(0, 4711, 0, "python", 0), (1, 4712, 7 + 2**31, "python", 5), (5, 4713, 0, "gc", 9)]
NO_PLACE = ("", "", 0)
EVENTS = [(HOLD, 0, 1, 10, 100), (WAIT, 1, None, 20, 100), (HOLD, 1, 2, 100, 150), (HOLD, 5, 3, 150, 160)]


def full_snapshot(interpreter=0, *, final=True):
    return twin.empty_snapshot(interpreter, final=final, factor=2 << 32, dropped=3) | {
        "flags": final | twin.LOOKS | twin.LOOKED,
        "accounts": [twin.sample_account(0, 4711), twin.sample_account(1, 4712)],
        "sites": [(1, 1, 90, 0), (2, 1, 50, 80)],
        "blame": [(1, 0, 1, 80)],
        "stalls": [(1, None, 0, 1, 20, 80, 80, 2)],
        "looks": [(0, 1, 1, 7, 5, 70, 50, 500), (1, None, 2, 1, 0, 10, 0, 0)],
        "look_counts": (2, 3),
    }


@pytest.fixture
def chunks(environment):
    """Return all chunks of a small recording of two interpreters, each as bytes."""
    zero, two = twin.number(0), twin.number(2)
    return [
        twin.chunk("META", twin.meta(dataclasses.asdict(environment))),
        twin.chunk("LABL", twin.labels([(7, "worker \ud800"), (8, "")])),
        twin.chunk("NAME", twin.names([(4711, "MainThread"), (4712, "not its name any more")])),
        twin.chunk("THRD", zero + twin.threads(THREADS[:2])),
        twin.chunk("SNAP", twin.snapshot(twin.empty_snapshot())),
        twin.chunk("PLAC", zero + twin.places(PLACES[:2])),
        twin.chunk("THRD", two + twin.threads([(0, 4711, 0, "python", 0)])),
        twin.chunk("PLAC", two + twin.places([(None, 0, 1, "other", "sub.py")])),
        twin.chunk("SNAP", twin.snapshot(twin.empty_snapshot(2))),
        twin.chunk("PLAC", zero + twin.places(PLACES[2:], 2)),
        twin.chunk("THRD", zero + twin.threads(THREADS[2:])),
        twin.chunk("EVNT", twin.events(0, EVENTS[:3], dropped=1)),
        twin.chunk("EVNT", twin.events(2, [(HOLD, 0, 0, 1, 4)], tick=7)),
        twin.chunk("ZZZZ", b"of a later version"),
        twin.chunk("EVNT", twin.events(0, EVENTS[3:], dropped=2, tick=150)),
        twin.chunk("SNAP", twin.snapshot(full_snapshot())),
        twin.chunk("SNAP", twin.snapshot(twin.empty_snapshot(2, final=True))),
        twin.chunk("DONE", twin.done("stopped")),
    ]


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and gives its path."""

    def write(*parts, header=HEADER):
        path = tmp_path / "recording.gilprobe"
        path.write_bytes(header + b"".join(parts))
        return path

    return write


PAUSE = (0, 1, 2, 20, 70, 60, 40, 9, 1)  # in ticks of 2 ns


def with_pauses(**changes):
    snapshot = full_snapshot() | {
        "flags": 1 | twin.LOOKS | twin.LOOKED | twin.PAUSES,
        "pauses_lost": 4,
        "pause_sums": [(0, 1, 1, 2, 60, 40, 1, 70, 70, 9, 1), (1, None, None, 0, 5, 0, 3, 5, 2, 0, 0)],
        "longest_pauses": [PAUSE],
        "pause_looks": [(0, 1, 2, 3, 2, 30, 20, 200)],
    }
    return twin.chunk("SNAP", twin.snapshot(snapshot | changes))


def refused(path, match):
    with pytest.raises(FormatError, match=match) as caught:
        Recording.open(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_everything_in_a_recording_is_found(chunks, write, environment):
    path = write(*chunks)
    recording = Recording.open(path)
    assert recording.complete
    assert recording.done == {"reason": "stopped"}
    assert not recording.truncated
    assert recording.size == path.stat().st_size
    assert recording.meta["argv"] == ["app.py", "--own"]
    assert recording.meta["environment"] == dataclasses.asdict(environment)
    assert list(recording.interpreters) == [0, 2]
    main = recording.interpreters[0]
    assert main.threads == {row[0]: ThreadDescription(*row) for row in THREADS}
    assert main.places == PLACES
    assert main.snapshot["totals"]["final"]
    assert [row["number"] for row in main.snapshot["accounts"]] == [0, 1]
    assert main.snapshot["blame"] == [(1, 0, 1, 160)]
    assert recording.event_count == 5
    assert recording.dropped == 3
    assert recording.event_sums() == {
        (0, 0): EventSums(90, 0, 1, 0),
        (0, 1): EventSums(50, 80, 1, 1),
        (2, 0): EventSums(3, 0, 1, 0),
        (0, 5): EventSums(10, 0, 1, 0),
    }


def test_a_timeline_is_read_batch_by_batch(chunks, write):
    timeline = Recording.open(write(*chunks)).timeline()
    assert timeline.threads == (
        TimelineThread(4711, "MainThread", 0),
        TimelineThread(4712, "worker \ud800", 0),
        TimelineThread(4711, "MainThread", 2),
        TimelineThread(4713, "gc", 0),
    )
    assert timeline.places == (
        (Frame("(deeper frames were not recorded)", "", 0),),
        (Frame("(deeper frames were not recorded)", "", 0), Frame("main", "app.py", 10)),
        (Frame("other", "sub.py", 1),),
        (
            Frame("(deeper frames were not recorded)", "", 0),
            Frame("main", "app.py", 10),
            Frame("Worker.run", "app.py", 20),
        ),
        (Frame("(start or end of a thread)", "", 0),),
    )
    assert timeline.dropped == 3
    for _ in range(2):  # each time from the beginning
        batches = [[list(column) for column in batch] for batch in timeline.batches()]
        assert batches == [
            [[HOLD, WAIT, HOLD], [0, 1, 1], [1, NOWHERE, 3], [20, 40, 200], [180, 160, 100]],
            [[HOLD], [2], [2], [1], [3]],
            [[HOLD], [3], [4], [300], [20]],
        ]


def test_pauses_are_found(chunks, write):
    told = twin.chunk("PAUS", twin.pauses(0, [PAUSE, (5, None, 0, 300, 5, 5, 0, 0, 0)]))
    recording = Recording.open(write(*chunks[:-3], told, with_pauses(), *chunks[-2:]))
    assert recording.interpreters[2].snapshot["pauses"] is None, "written by an older recorder"
    assert recording.interpreters[0].snapshot["pauses"] == {
        "lost": 4,
        "sums": [(0, 1, 1, 2, 120, 80, 1, 140, 140, 9, 1), (1, None, None, 0, 10, 0, 3, 10, 4, 0, 0)],
        "longest": [(0, 1, 2, 40, 140, 120, 80, 9, 1)],
        "looks": [(0, 1, 2, 3, 2, 30, 20, 200)],
    }
    timeline = recording.timeline()
    for _ in range(2):
        assert [tuple(pause) for pause in timeline.pauses()] == [
            (0, 1, 2, 40, 140, 120, 80, 9, 1),
            (3, NOWHERE, 0, 600, 10, 10, 0, 0, 0),
        ]
    assert list(Recording.open(write(*chunks)).timeline().pauses()) == []


def named(recording: Recording, *who: Any) -> tuple[str, bool]:
    naming = recording.who(*who)
    return naming.name, naming.started


def test_a_thread_is_named_as_it_was_last(chunks, write):
    """By its number while it lives, since it may be renamed; by its label once it has ended."""
    recording = Recording.open(write(*chunks))
    assert recording.who(4711, 7, "python").name == "MainThread"
    assert named(recording, 1, 7, "python") == ("worker \ud800", True)
    assert recording.who(4711, 7 + 2**31, "python").name == "worker \ud800"
    assert recording.who(4711, 8, "python").name == "MainThread"
    assert named(recording, 4711, 99, "python") == ("MainThread", True)
    assert named(recording, 4711, 99 + 2**31, "python") == ("python", False)
    assert named(recording, 1, 0, "python") == ("python", False)
    assert recording.who(1).name == "thread 1"


def test_a_thread_that_comes_again_has_its_last_label(write):
    rows = [(0, 1, 0, "python", 0), (0, 1, 7, "python", 0)]
    recording = Recording.open(write(twin.chunk("THRD", twin.number(0) + twin.threads(rows))))
    assert recording.interpreters[0].threads[0].label == 7
    assert len(recording.timeline().threads) == 1
    assert not recording.complete


def test_a_file_cut_anywhere_is_read_up_to_its_last_whole_chunk(chunks, write):
    whole = b"".join(chunks)
    ends = [16]
    for piece in chunks:
        ends.append(ends[-1] + len(piece))
    for size in range(len(whole) + 1):
        path = write(whole[:size])
        recording = Recording.open(path)
        assert recording.size == max(end for end in ends if end <= 16 + size)
        assert recording.truncated == (16 + size not in ends)
        assert recording.complete == (recording.size >= ends[-2])  # all snapshots are final
        assert (recording.done is not None) == (size == len(whole))
        assert sum(len(batch.kinds) for batch in recording.timeline().batches()) == recording.event_count


@pytest.mark.parametrize(
    ("reason", "others"), [("stopped", {}), ("signal", {"signal": 15}), ("of a later version", {"more": [1]})]
)
def test_what_was_written_at_the_end_makes_a_recording_complete(chunks, write, reason, others):
    """Also where a signal left no time for final snapshots."""
    unfinished = chunks[:15]
    assert not Recording.open(write(*unfinished)).complete
    recording = Recording.open(write(*unfinished, twin.chunk("DONE", twin.done(reason, **others))))
    assert recording.complete
    assert recording.done == {"reason": reason, **others}
    assert not any(one.complete for one in recording.interpreters.values())


@pytest.mark.parametrize("size", range(16))
def test_a_file_without_a_whole_header_is_refused(write, size):
    refused(write(header=twin.header()[:size]), "not a gilprobe recording")


def test_a_tail_of_zeros_counts_as_cut(chunks, write):
    recording = Recording.open(write(*chunks[:3], bytes(5000)))
    assert recording.truncated
    assert recording.size == 16 + sum(map(len, chunks[:3]))
    refused(write(*chunks[:3], bytes(5000), b"x"), "the chunk at byte .* four letters")


def test_a_flipped_bit_is_noticed(chunks, write):
    whole = twin.header() + b"".join(chunks)
    for bit in range(0, 8 * len(whole), 13):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path = write(header=bytes(flipped))
        try:
            recording = Recording.open(path)
        except FormatError:
            continue
        # in the length of a chunk it can't be told from a file that was cut
        assert recording.truncated
        assert recording.size <= bit // 8


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=100,
)
@given(st.data())
def test_no_file_does_more_than_be_refused(chunks, write, data):
    """Whole chunks with right checksums, whose insides are anything."""
    parts = list(chunks)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(parts) - 1))
        kind, payload = parts[place][:4].decode(), bytearray(parts[place][12:])
        start = data.draw(st.integers(0, len(payload)))
        payload[start : start + data.draw(st.integers(0, 4))] = data.draw(
            st.binary(max_size=6) | st.integers(0, 2**64 - 1).map(twin.number)
        )
        parts[place] = twin.chunk(kind, bytes(payload))
    path = write(*parts)
    try:
        recording = Recording.open(path)
        timeline = recording.timeline()
        assert len(timeline.threads) == len(recording.event_sums())
        assert len(timeline.places) == sum(len(one.places) for one in recording.interpreters.values())
        for batch in timeline.batches():
            assert max(batch.threads, default=0) < max(1, len(timeline.threads))
            assert all(place < len(timeline.places) or place == NOWHERE for place in batch.places)
        assert render_process(load(path)).endswith("\n")
    except FormatError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_another_version_is_named(write):
    assert "version 2" in refused(write(header=twin.header(2)), "must be of version 1")


def test_what_is_no_recording_is_refused(tmp_path, write):
    refused(write(header=b'{"kind": "gilprobe.report"}'), "not a gilprobe recording")
    refused(write(header=b""), "not a gilprobe recording")
    refused(tmp_path, "regular file")
    with pytest.raises(FileNotFoundError):
        Recording.open(tmp_path / "nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        refused(tmp_path / "pipe", "regular file")


def events(rows, **others):
    return twin.chunk("EVNT", twin.events(0, rows, **others))


def pause(account, *others):
    return twin.chunk("PAUS", twin.pauses(0, [(account, *others, *PAUSE[1 + len(others) :])]))


def seen(*, reason=0, holder=0, since=0, at=0, place=None, state=0):
    return twin.chunk("SEEN", twin.seen(0, [(reason, holder, since, at, place, state)]))


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        pytest.param(b"ABC1" + bytes(8), "four letters", id="type"),
        pytest.param(b"ABCD\0\0\0\x80" + bytes(4), "64 MiB", id="length"),
        pytest.param(twin.chunk("META", b"{")[:-1] + b"[", "checksum", id="checksum"),
        pytest.param(twin.chunk("META", b"{"), "META must be JSON", id="no JSON"),
        pytest.param(twin.chunk("META", b"\xff"), "META must be JSON", id="no UTF-8"),
        pytest.param(twin.chunk("META", b"[" * 100_000), "META must", id="deep JSON"),
        pytest.param(twin.chunk("META", b"[]"), "must be an object", id="no object"),
        pytest.param(twin.chunk("META", twin.meta({}, pid="1")), "'pid' in META must be", id="pid"),
        pytest.param(twin.chunk("META", twin.meta({}, argv=[1])), "argv", id="argv"),
        pytest.param(twin.chunk("META", twin.meta({})), "environment in META", id="environment"),
        pytest.param(twin.chunk("DONE", b"{"), "DONE must be JSON", id="end no JSON"),
        pytest.param(twin.chunk("DONE", b"[]"), "DONE must be an object", id="end no object"),
        pytest.param(twin.chunk("DONE", b"{}"), "must have a 'reason'", id="end without reason"),
        pytest.param(twin.chunk("DONE", twin.done(15)), "must have a 'reason'", id="end's reason"),
        pytest.param(
            twin.chunk("DONE", twin.done("signal", signal="15")),
            "'signal' must be a number",
            id="end's signal",
        ),
        pytest.param(
            twin.chunk("DONE", twin.done("signal", signal=True)),
            "'signal' must be a number",
            id="end's boolean",
        ),
        pytest.param(twin.chunk("LABL", b"\1"), "ends too early", id="label"),
        pytest.param(twin.chunk("THRD", b""), "ends too early", id="no interpreter"),
        pytest.param(twin.chunk("PLAC", b"\0" + twin.places([(None, 2, 0, "", "")], 9)), "order", id="place"),
        pytest.param(events([(HOLD, 3, None, 0, 1)]), "account must have been", id="event's account"),
        pytest.param(events([(HOLD, 0, 4, 0, 1)]), "place must have been", id="event's place"),
        pytest.param(twin.chunk("EVNT", twin.events(9, [])), "snapshot must come", id="event's snapshot"),
        pytest.param(twin.chunk("SNAP", b"\0\0\0"), "a tick must take time", id="snapshot"),
        pytest.param(twin.chunk("SEEN", twin.seen(9, [])), "snapshot must come", id="seen's snapshot"),
        pytest.param(seen(holder=3), "of a described thread, got 3", id="seen's thread"),
        pytest.param(seen(place=4), "a described place, got 4 of 4", id="seen's place"),
        pytest.param(seen(reason=2), "for a known reason", id="seen's reason"),
        pytest.param(seen(state=4), "in a known state", id="seen's state"),
        pytest.param(seen(since=11, at=10), "must begin before it is seen", id="seen's times"),
        pytest.param(seen(at=2**63), "a time is too large", id="seen's tick"),
        pytest.param(
            twin.chunk("SEEN", twin.seen(0, [(0, 0, 0, 0, None, 0)] * (2**16 + 1))),
            "at most 65536 holds",
            id="seen too often",
        ),
        pytest.param(twin.chunk("PAUS", twin.pauses(9, [])), "snapshot must come", id="pause's snapshot"),
        pytest.param(pause(3), "of a described thread, got 3", id="pause's thread"),
        pytest.param(pause(0, 4), "a described place, got 4 of 4", id="pause's place"),
        pytest.param(pause(0, 1, 3), "generation must be 0, 1 or 2", id="pause's generation"),
        pytest.param(pause(0, 1, 2, 2**63), "a time is too large", id="pause's tick"),
        pytest.param(with_pauses(longest_pauses=[(6, *PAUSE[1:])]), "threads, got 6", id="a longest pause"),
        pytest.param(
            with_pauses(pause_sums=[(0, 4, 1, *[0] * 8)]), "places, got 4 of 4", id="sum of pauses's end"
        ),
        pytest.param(
            with_pauses(pause_sums=[(0, 1, 4, *[0] * 8)]), "places, got 4 of 4", id="sum of pauses's place"
        ),
        pytest.param(
            with_pauses(pause_looks=[(0, 1, 4, 1, 1, 1, 1, 1)]), "places, got 4 of 4", id="look in a pause"
        ),
        pytest.param(
            with_pauses(pause_sums=[(0, 1, 1, 2, 0, 0, 2**63, 0, 0, 0, 0)]),
            "a number is too large",
            id="number of pauses",
        ),
        pytest.param(
            twin.chunk("SNAP", twin.snapshot(full_snapshot() | {"sites": [(4, 0, 0, 0)]})),
            "described places, got 4 of 4",
            id="site's place",
        ),
        pytest.param(
            twin.chunk("SNAP", twin.snapshot(full_snapshot() | {"blame": [(0, 6, 0, 0)]})),
            "described threads, got 6",
            id="blame's thread",
        ),
        pytest.param(
            twin.chunk("SNAP", twin.snapshot(full_snapshot() | {"looks": [(0, None, 4, 1, 0, 1, 0, 0)]})),
            "described places, got 4 of 4",
            id="place of a look",
        ),
        pytest.param(
            twin.chunk("SNAP", twin.snapshot(full_snapshot() | {"looks": [(6, None, 0, 1, 0, 1, 0, 0)]})),
            "described threads, got 6",
            id="holder of a look",
        ),
        pytest.param(
            twin.chunk(
                "SNAP",
                twin.snapshot(
                    full_snapshot()
                    | {"flags": twin.CALLBACKS, "callbacks": [(6, 0, 9, "", NO_PLACE, 0, 0, NO_PLACE, "")]}
                ),
            ),
            "described threads, got 6",
            id="thread of a callback",
        ),
        pytest.param(
            twin.chunk(
                "SNAP", twin.snapshot(full_snapshot() | {"accounts": [twin.sample_account(0, 1)] * 2})
            ),
            "only once",
            id="account twice",
        ),
        pytest.param(
            b"".join(twin.chunk("THRD", twin.number(i) + twin.threads([])) for i in range(4097)),
            "at most 4096 interpreters",
            id="interpreters",
        ),
        pytest.param(
            b"".join(
                twin.chunk("THRD", twin.number(i) + twin.threads([(2**20 - 1, 1, 0, "", 0)]))
                for i in range(5)
            ),
            "accounts together must be below 4194304",
            id="accounts",
        ),
    ],
)
def test_a_chunk_that_breaks_a_rule_is_named(chunks, write, chunk, words):
    before = b"".join(chunks[:11])
    message = refused(write(before, chunk), words)
    offset = int(re.search("the chunk at byte ([0-9]+): ", message)[1])
    assert 16 + len(before) <= offset < 16 + len(before) + len(chunk)


def test_stacks_that_would_fill_the_memory_are_refused(write):
    chain = [(place - 1 if place else None, 2, 0, "", "") for place in range(6000)]
    recording = Recording.open(write(twin.chunk("PLAC", twin.number(0) + twin.places(chain))))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="frames together"):
            recording.timeline().places  # noqa: B018
        assert tracemalloc.get_traced_memory()[1] < 400 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_changes_after_it_was_opened_is_refused(chunks, write):
    recording = Recording.open(write(*chunks[:5]))
    write(*chunks[:3], twin.chunk("EVNT", twin.events(9, [])), bytes(1000))
    with pytest.raises(FormatError):
        list(recording.timeline().batches())


def test_a_length_is_checked_before_there_is_memory_for_it(write):
    path = write(b"EVNT\0\0\0\x04" + bytes(4), b"short")
    tracemalloc.start()
    try:
        assert Recording.open(path).truncated
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_who_held_for_less_than_a_nanosecond_of_a_wait_is_not_named(chunks, write):
    """With fast clocks a tick is less than that."""
    last = full_snapshot() | {"factor": 1 << 31, "stalls": [(1, None, 0, 1, 20, 80, 1, 2)]}
    (stall,) = load(write(*chunks[:15], twin.chunk("SNAP", twin.snapshot(last)))).report.longest_waits
    assert (stall.wait_ns, stall.holder, stall.holder_function) == (40, "", "")
    assert (stall.holder_ns, stall.holder_stack) == (0, None)


def test_a_file_without_an_end_tells_of_the_hold_that_was_under_way(chunks, write):
    """Of its last snapshot only; and of each long wait where its holder was seen meanwhile."""
    last = twin.chunk("SNAP", twin.snapshot(full_snapshot(final=False)))
    early, late = seen(reason=1, since=20, at=60, place=2, state=2), seen(since=20, at=200, place=1, state=1)
    process = load(write(*chunks[:15], seen(since=5, at=10), last, early, late))
    (hold,) = process.report.still_held
    assert (hold.thread, hold.native_id, hold.interpreter) == ("MainThread", 4711, 0)
    assert (hold.state, hold.hold_ns) == ("running", 360)  # two nanoseconds a tick
    assert [frame.function for frame in hold.frames][1:] == ["main"]
    (stall,) = process.report.longest_waits
    assert [frame.function for frame in stall.holder_stack][1:] == ["main", "Worker.run"]
    assert stall.holder_state == "blocked in the kernel"
    again = load(write(*chunks[:15], last, early, late, last))
    assert again.report.still_held is None
    ended = load(write(*chunks[:15], last, late, *chunks[15:]))
    assert ended.report.still_held is None


def test_a_hold_that_is_seen_beyond_all_time_is_refused(chunks, write):
    last = twin.chunk("SNAP", twin.snapshot(full_snapshot(final=False)))  # two nanoseconds a tick
    load(write(*chunks[:15], last, seen(at=2**62 - 1)))
    refused(write(*chunks[:15], last, seen(at=2**62)), "a time is too large")


def rows_of(parents):
    """Return places that are called from these, all alike but for their line."""
    return [(parent, 0, number, "f", "x.py") for number, parent in enumerate(parents)]


def recorded(write, environment, places, sites, *, snapshot=None):
    """Write a recording with stacks that end at the places `sites`."""
    totals = twin.empty_snapshot(final=True)
    last = totals | {
        "flags": totals["flags"] | 16,  # stacks
        "accounts": [twin.sample_account(0, 4711)],
        "sites": [(place, 1, 90, 0) for place in sites],
    }
    return write(
        twin.chunk("META", twin.meta(dataclasses.asdict(environment))),
        twin.chunk("THRD", twin.number(0) + twin.threads(THREADS[:1])),
        twin.chunk("PLAC", twin.number(0) + twin.places(places)),
        twin.chunk("SNAP", twin.snapshot(last | (snapshot or {}))),
        twin.chunk("DONE", twin.done("stopped")),
    )


def chain(length):
    return [place - 1 if place else None for place in range(length)]


def comb(deep, teeth):
    return [*chain(deep), *[deep - 1] * teeth]


def test_a_deep_stack_is_shown_whole(write, environment):
    """As deep as the interpreter's own recursion could not go."""
    process = load(recorded(write, environment, rows_of(chain(2000)), [1999]))
    assert [frame.line for frame in process.report.stacks[0].frames] == list(range(2000))
    for name in ("json", "folded", "speedscope", "html"):
        assert len("".join(_exported(name, [process], "hold", None))) > 2000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parents", "sites", "rule"),
    [
        (chain(5000), [4999], "a stack must have at most 4096 frames, got 5000"),
        (chain(50_000), [49_999], "a stack must have at most 4096 frames, got 50000"),
        (comb(900, 20_000), range(900, 20_900), "all stacks must have at most 16777216 frames together"),
    ],
    ids=["deep", "very deep", "comb"],
)
def test_stacks_that_a_few_bytes_make_huge_are_refused_before_they_are_made(
    write, environment, parents, sites, rule
):
    path = recorded(write, environment, rows_of(parents), sites)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=re.escape(f"{str(path)!r}: {rule}")):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 1000 * path.stat().st_size
    finally:
        tracemalloc.stop()


def test_long_names_do_not_multiply_either(write, environment):
    names = [(parent, 0, 0, "f" * 60_000 + str(number), "") for number, parent in enumerate(chain(50))]
    teeth = [(49, 0, number, "g", "") for number in range(1000)]
    with pytest.raises(FormatError, match="must have at most 2147483648 characters together"):
        load(recorded(write, environment, [*names, *teeth], range(50, 1050)))


def parent_of(place, drawn):
    """Return no parent, the place before, or any place before."""
    if place == 0 or drawn[0] % 3 == 0:
        return None
    return place - 1 if drawn[0] % 3 == 1 else int.from_bytes(drawn[1:], "little") % place


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_trees_of_any_shape_cost_what_they_weigh(write, environment, data):
    """Memory goes with the frames that are told; each stack is the way up from its place."""
    count = data.draw(st.integers(1, 400))
    # drawn at once, three bytes for each place: hundreds of draws would cost more than what is tried
    drawn = data.draw(st.binary(min_size=3 * count, max_size=3 * count))
    parents = [parent_of(place, drawn[3 * place : 3 * place + 3]) for place in range(count)]
    sites = sorted(data.draw(st.sets(st.integers(0, count - 1), max_size=40)))
    ways = []
    for place in sites:
        way, at = [], place
        while at is not None:
            way.append(at)
            at = parents[at]
        ways.append(way[::-1])
    tracemalloc.start()
    try:
        report = load(recorded(write, environment, rows_of(parents), sites)).report
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sorted([frame.line for frame in stack.frames] for stack in report.stacks) == sorted(ways)
    assert peak < (8 << 20) + 100 * sum(map(len, ways)) + 2000 * count


def test_a_tail_of_zeros_of_any_length_is_read_for_a_moment_only(chunks, write):
    path = write(*chunks)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.truncate(8 << 40)  # sparse: it takes no room
    recording = Recording.open(path)
    assert recording.truncated
    assert recording.size == size


def test_a_file_that_is_replaced_is_not_read_as_the_one_before(chunks, write, tmp_path):
    recording = Recording.open(write(*chunks))
    other = tmp_path / "other"
    other.write_bytes((tmp_path / "recording.gilprobe").read_bytes())
    other.replace(tmp_path / "recording.gilprobe")
    with pytest.raises(FormatError, match="was replaced by another file"):
        list(recording.timeline().batches())


def test_another_recording_that_has_got_the_inode_is_not_read_as_the_one_before(chunks, write):
    path = write(*chunks)
    recording = Recording.open(path)
    path.write_bytes(path.read_bytes() + twin.chunk("DONE", b'{"reason": "stopped"}'))
    assert len(list(recording.timeline().batches())) > 0  # it has only grown
    assert write(twin.chunk("LABL", b"\1\1x"), *chunks) == path
    with pytest.raises(FormatError, match="was replaced by another file"):
        list(recording.timeline().batches())


def test_a_doubt_that_many_interpreters_share_is_told_once(write, environment):
    parts = [
        twin.chunk("SNAP", twin.snapshot(twin.empty_snapshot(number, final=True) | {"flags": 1 | 2}))
        for number in range(100)
    ]
    path = write(twin.chunk("META", twin.meta(dataclasses.asdict(environment))), *parts)
    doubts = load(path).report.warnings
    assert len(doubts) == len(set(doubts)) == 2
    assert all(doubt.endswith("(so in 100 interpreters)") for doubt in doubts)


def test_more_names_than_threads_can_live_are_refused(write, monkeypatch):
    monkeypatch.setattr("gilprobe.tracing.recording_reader._NAMED", 10)
    names = [(number, "n") for number in range(11)]
    assert len(Recording.open(write(twin.chunk("NAME", twin.names(names[:10])))).names) == 10
    refused(write(twin.chunk("NAME", twin.names(names))), "at most 10 threads must have names")
