"""A recording is as far as its events: what came after the last totals of a killed process is booked."""

from __future__ import annotations

import signal
import sys
import time

import pytest
import recording_chunks
import recording_twin as twin
from side_by_side import record_command, start, write_files

from gilprobe._native import tracer
from gilprobe.model.distribution import BUCKETS, bucket_bounds_ns, bucket_of_ns
from gilprobe.model.timeline import HOLD, WAIT
from gilprobe.tracing.late_events import LateEvent, add_late
from gilprobe.tracing.loading import load
from gilprobe.tracing.recording_reader import ThreadDescription
from gilprobe.tracing.seen_holds import RecordedHold

needs_tracer = pytest.mark.skipif(not tracer.support()[0], reason=f"no tracer: {tracer.support()[1]}")

CONTENDED = """
    import gc
    gc.disable()
    import hashlib, sys, threading, time
    sys.setswitchinterval(0.0005)

    def spin(turns):
        for _ in range(turns):
            sum(range(2000))

    def digest(turns):
        for _ in range(turns):
            time.sleep(0.0005)
            hashlib.sha256(b"x" * 50000).digest()

    threads = [threading.Thread(target=spin, args=(2000,), name=f"spin{n}") for n in range(2)]
    threads += [threading.Thread(target=digest, args=(100,), name="digest")]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""


def factor_of(snapshot):
    payload = recording_chunks.Payload(snapshot)
    return [payload.number() for _ in range(3)][2]


def with_factor(snapshot, factor):
    """Return a SNAP with another rate of the clock: it is known exactly at the end only."""
    payload = recording_chunks.Payload(snapshot)
    flags, interpreter, before = (payload.number() for _ in range(3))
    rest = snapshot[len(twin.numbers(flags, interpreter, before)) :]
    return twin.numbers(flags, interpreter, factor) + rest


def without_late_totals(path):
    """Rewrite a recording: only its first snapshot is left, as if its process had been killed."""
    chunks = recording_chunks.chunks(path)
    factor = factor_of([payload for kind, payload in chunks if kind == "SNAP"][-1])
    out, snapshots = twin.header(), 0
    for kind, payload in chunks:
        snapshots += kind == "SNAP"
        if kind in ("SEEN", "DONE") or (kind == "SNAP" and snapshots > 1):
            continue
        out += twin.chunk(kind, with_factor(payload, factor) if kind == "SNAP" else payload)
    path.write_bytes(out)


def summed(rows, key, *values):
    sums = {}
    for row in rows:
        before = sums.get(key(row), (0,) * len(values))
        sums[key(row)] = tuple(old + getattr(row, value) for old, value in zip(before, values, strict=True))
    return sums


def close(found, expected, slack):
    assert found.keys() == expected.keys()
    for key, numbers in expected.items():
        assert found[key] == pytest.approx(numbers, abs=slack), key


@needs_tracer
@pytest.mark.parametrize("options", [("--no-looks",), ("--no-looks", "--no-stacks")])  # events have none
def test_what_the_events_say_is_what_the_totals_say(tmp_path, options):
    write_files(tmp_path, {"app.py": CONTENDED})
    path = tmp_path / "out.gilprobe"
    with start(
        record_command("app.py", options=("--quiet", *options), target=path.name), tmp_path
    ) as process:
        assert process.wait() == 0
    whole = load(path).report
    without_late_totals(path)
    killed = load(path)
    assert not killed.complete
    cut = killed.report
    events = sum(len(batch.kinds) for batch in killed.timeline.batches())
    slack = 2 * events  # nanoseconds: each is rounded
    for name in ("elapsed_ns", "held_ns", "contended_ns"):
        assert getattr(cut, name) == pytest.approx(getattr(whole, name), abs=slack), name
    assert cut.handoffs == whole.handoffs
    times = ("hold_ns", "wait_ns")
    counts = ("acquisitions", "contended_acquisitions")
    by_id = lambda thread: thread.native_id  # noqa: E731
    close(summed(cut.threads, by_id, *times), summed(whole.threads, by_id, *times), slack)
    close(summed(cut.threads, by_id, *counts), summed(whole.threads, by_id, *counts), 1)
    forced = ("forced_releases", "voluntary_releases")
    close(summed(cut.threads, by_id, *forced), summed(whole.threads, by_id, *forced), 2)
    where = lambda row: (row.function, row.filename, row.line)  # noqa: E731
    close(
        {key: value for key, value in summed(cut.sites, where, "hold_ns", "caused_ns").items() if any(value)},
        {
            key: value
            for key, value in summed(whole.sites, where, "hold_ns", "caused_ns").items()
            if any(value)
        },
        slack,
    )
    pair = lambda row: (row.waiter_id, row.holder_id)  # noqa: E731
    close(summed(cut.blame, pair, "wait_ns"), summed(whole.blame, pair, "wait_ns"), slack)
    longest = [(stall.waiter, stall.holder, stall.holder_line) for stall in whole.longest_waits[:5]]
    assert [(stall.waiter, stall.holder, stall.holder_line) for stall in cut.longest_waits[:5]] == longest
    for thread in cut.threads:
        assert thread.hold_ns + thread.wait_ns + thread.off_ns == thread.lifetime_ns
        assert thread.lifetime_ns <= cut.elapsed_ns
        assert thread.wait_ns == sum(row.wait_ns for row in cut.blame if row.waiter_id == thread.native_id)


@needs_tracer
def test_a_process_that_is_killed_in_its_first_second_has_its_threads_in_the_report(tmp_path):
    program = CONTENDED.replace("(2000,)", "(10**9,)").replace("(100,)", "(10**9,)")
    write_files(tmp_path, {"app.py": program})
    path = tmp_path / "out.gilprobe"
    with start(record_command("app.py", options=("--quiet",), target=path.name), tmp_path) as process:
        while not path.exists() or path.stat().st_size == 0 or recording_chunks.events(whole(path)) < 200:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    killed = load(path)
    report = killed.report
    reach = max(
        start + duration
        for batch in killed.timeline.batches()
        for start, duration in zip(batch.starts_ns, batch.durations_ns, strict=True)
    )
    assert report.elapsed_ns >= reach
    assert {"MainThread", "spin0", "spin1", "digest"} <= {thread.name for thread in report.threads}
    assert report.contended_ns > 0
    assert report.held_ns <= report.elapsed_ns


def whole(path):
    return recording_chunks.chunks(path, cut=True)


# ---- by hand ----

THREADS = {n: ThreadDescription(n, 4711 + n, 0, "python", 0) for n in range(3)}


def account(number, **changes):
    return {
        "number": number, "native_id": 4711 + number, "os_name": "python", "label": 0, "ended": False,
        "merged": 1, "first_ns": 0, "lifetime_ns": 100, "hold_ns": 0, "wait_ns": 0, "off_ns": 100,
        "longest_hold_ns": 0, "longest_wait_ns": 0, "blamed_ns": 0, "imbalance_ticks": 0, "acquisitions": 0,
        "contended_acquisitions": 0, "releases": 0, "forced_releases": 0, "hold_cpu_ns": None, "holds": [],
        "waits": [],
    } | changes  # fmt: skip


def snapshot(*accounts, **changes):
    totals = {
        "final": False, "hooks_lost": False, "releases_told_apart": True, "sites": True, "stacks": False,
        "timeline": True, "cpu_time": False, "others_missed": False, "interpreter": 0, "factor": 1 << 32,
        "elapsed_ns": 100, "contended_ns": 0, "handoffs": 0, "lost": 0, "sites_lost_ns": 0,
        "dropped_events": 0,
    }  # fmt: skip
    empty = {"sites": [], "blame": [], "stalls": [], "looks": []}
    return {"totals": totals, "accounts": [*accounts], **empty} | changes


def holding(**changes):
    """Return a snapshot at 100: thread 0 holds since 60 and was seen at place 7, thread 1 waits since 50."""
    return snapshot(
        account(0, hold_ns=40, longest_hold_ns=40, off_ns=60, acquisitions=1, releases=1, holds=[(40, 1)]),
        account(1, wait_ns=50, longest_wait_ns=50, off_ns=50, waits=[(50, 1)]),
        **{
            "sites": [(3, 0, 0, 50, 0), (7, 0, 40, 0, 0)],
            "blame": [(1, 0, 7, 40)],
            "stalls": [(1, 3, 0, 7, 50, 50, 40, 8)],
        }
        | changes,
    )


SEEN = RecordedHold(0, 60, 100, 7, "running")


def test_the_hold_under_way_goes_where_it_ended():
    told = holding()
    late = [LateEvent(HOLD, 0, 5, 60, 130), LateEvent(WAIT, 1, 3, 50, 140)]
    assert add_late(told, late, THREADS, SEEN)
    assert told["sites"] == [(3, 0, 0, 90, 0), (5, 1, 70, 0, 0)]
    assert told["blame"] == [(1, 0, 5, 70)]
    assert told["stalls"] == [(1, 3, 0, 5, 50, 90, 70, 8)]
    assert (told["totals"]["elapsed_ns"], told["totals"]["contended_ns"]) == (140, 30)
    assert told["totals"]["handoffs"] == 1
    first, second = told["accounts"]
    assert (first["hold_ns"], first["off_ns"], first["lifetime_ns"], first["acquisitions"]) == (
        70,
        70,
        140,
        1,
    )
    assert (first["longest_hold_ns"], first["holds"]) == (70, [(bucket_of_ns(70), 1)])
    assert (second["wait_ns"], second["off_ns"], second["contended_acquisitions"]) == (90, 50, 1)
    assert second["waits"] == [(bucket_of_ns(90), 1)]


@pytest.mark.parametrize("seen", [SEEN, None])
def test_the_looks_at_the_hold_under_way_go_where_it_ended(seen):
    place = None if seen is None else seen.place
    told = holding(looks=[(0, place, 8, 3, 3), (0, 5, 9, 2, 0), (1, place, 8, 1, 1)])
    assert add_late(told, [LateEvent(HOLD, 0, 5, 60, 130)], THREADS, seen)
    assert told["looks"] == [(0, 5, 8, 3, 3), (0, 5, 9, 2, 0), (1, place, 8, 1, 1)]
    after = holding(looks=[(0, place, 8, 3, 3)])
    assert add_late(after, [LateEvent(HOLD, 2, 5, 100, 130)], THREADS, seen)
    assert after["looks"] == [(0, place, 8, 3, 3)]


def paused(*sums, longest=()):
    return {"lost": 0, "sums": [*sums], "longest": [*longest], "looks": []}


def test_collections_after_the_totals_are_booked_in_their_holds():
    """One lies in a hold, another in two, since a finalizer let go. In no hold that ended it is unknown."""
    told = snapshot(account(0), account(1), pauses=paused((0, 5, 7, 2, 9, 3, 1, 9, 9, 4, 0)))
    late = [LateEvent(HOLD, 0, 5, 110, 150), LateEvent(HOLD, 0, 6, 160, 190), LateEvent(HOLD, 1, 5, 150, 160)]
    rows = [
        (0, 7, 2, 80, 20, 20, 9, 1, 0),  # was over
        (0, 7, 2, 120, 20, 20, 6, 11, 1),
        (0, 7, 2, 140, 30, 20, 10, 5, 0),
        (0, 7, 2, 185, 1000, 5, 0, 5, 0),
        (1, None, 0, 155, 3, 3, 0, 2, 0),
    ]
    assert add_late(told, late, THREADS, None, rows[:3] + rows[4:])
    assert told["pauses"]["sums"] == [
        (0, 5, 7, 2, 39, 14, 2, 29, 20, 15, 1),
        (0, 6, 7, 2, 10, 5, 1, 30, 30, 5, 0),
        (1, 5, None, 0, 3, 0, 1, 3, 3, 2, 0),
    ]
    assert told["pauses"]["longest"] == [rows[2], rows[1], rows[4]]
    alone = snapshot(account(0), pauses=paused())
    assert add_late(
        alone, late[:1], THREADS, None, [(0, 7, 2, 170, 9, 9, 0, 1, 0), (2, 7, 2, 120, 9, 9, 0, 1, 0)]
    )
    assert (alone["pauses"]["sums"], alone["pauses"]["longest"]) == ([], [])
    unknown = snapshot(account(0), pauses=None)
    assert add_late(unknown, late[:1], THREADS, None, rows)
    assert unknown["pauses"] is None


def test_of_a_collection_under_way_the_rest_is_added():
    """The totals have it as if it had ended then, at the place where it was seen."""
    begun = (0, 7, 2, 90, 10, 10, 4, 0, 0)
    told = holding(pauses=paused((0, 7, 9, 2, 10, 4, 1, 10, 10, 0, 0), longest=[begun]))
    whole_pause = (0, 9, 2, 90, 35, 35, 19, 8, 0)
    assert add_late(told, [LateEvent(HOLD, 0, 5, 60, 130)], THREADS, SEEN, [whole_pause])
    assert told["pauses"]["sums"] == [(0, 5, 9, 2, 35, 19, 1, 35, 35, 8, 0)]
    assert told["pauses"]["longest"] == [whole_pause]
    far = holding(pauses=paused((0, 7, 9, 2, 10, 4, 1, 10, 10, 0, 0)))  # not among the longest
    assert add_late(far, [LateEvent(HOLD, 0, 5, 60, 130)], THREADS, SEEN, [whole_pause])
    assert far["pauses"]["sums"] == [(0, 5, 9, 2, 35, 18, 1, 35, 35, 8, 0)]


def test_a_thread_that_waits_still_is_charged_up_to_the_end():
    told = holding()
    late = [LateEvent(HOLD, 0, 5, 60, 130), LateEvent(HOLD, 2, 6, 130, 210)]
    assert add_late(told, late, THREADS, SEEN)
    assert sorted(told["blame"]) == [(1, 0, 5, 70), (1, 2, 6, 80)]
    assert told["stalls"] == [(1, 3, 2, 6, 50, 160, 80, None)]
    newcomer = told["accounts"][2]
    assert (newcomer["number"], newcomer["hold_ns"], newcomer["acquisitions"]) == (2, 80, 1)
    assert told["accounts"][1]["wait_ns"] == 160


def test_a_hold_under_way_that_nobody_saw_is_charged_whole():
    told = holding(sites=[(3, 0, 0, 50, 0)], blame=[], stalls=[(1, 3, None, None, 50, 50, 0, None)])
    assert add_late(told, [LateEvent(HOLD, 0, 5, 60, 130), LateEvent(WAIT, 1, 3, 50, 130)], THREADS, None)
    assert told["sites"] == [(3, 0, 0, 80, 0), (5, 1, 70, 0, 0)]
    assert told["blame"] == [(1, 0, 5, 70)]


def test_what_ended_before_the_totals_is_booked_already():
    told = holding()
    before = str(told)
    assert add_late(told, [LateEvent(HOLD, 1, 5, 0, 50), LateEvent(WAIT, 0, 5, 0, 60)], THREADS, SEEN)
    assert str(told) == before


def test_events_of_merged_threads_count_for_their_row():
    told = snapshot(account(9, merged=4, native_id=0))
    assert add_late(told, [LateEvent(HOLD, 1, None, 100, 130)], THREADS, None)
    (row,) = told["accounts"]
    assert (row["hold_ns"], row["lifetime_ns"], row["merged"]) == (30, 130, 4)


def test_each_duration_has_the_bucket_with_its_bounds():
    for index in range(BUCKETS):
        low, high = bucket_bounds_ns(index)
        assert bucket_of_ns(low) == bucket_of_ns(high - 1) == index
    assert bucket_of_ns(sys.maxsize) == BUCKETS - 1
