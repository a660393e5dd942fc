"""Single waits for locks: recorded with their stacks and who ended them, and read as hostile input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import recording_twin as twin
from tracer_checks import sleeps

import gilprobe
from gilprobe._native import tracer
from gilprobe.errors import FormatError
from gilprobe.model import codec
from gilprobe.render.export import folded, perfetto
from gilprobe.render.text import trace_text
from gilprobe.tracing import loading
from gilprobe.tracing.recording_reader import Recording

ABLE, REASON = tracer.locks_support()
traced = pytest.mark.skipif(not ABLE, reason=f"locks can't be traced here: {REASON}")

REGISTRY = threading.Lock()


def inner() -> None:
    with REGISTRY:
        pass


def outer() -> None:
    inner()


def let_go() -> None:
    REGISTRY.release()


def wait_once() -> None:
    """Have a thread `waiter` wait for the lock, until this thread releases it in `let_go`."""
    REGISTRY.acquire()
    waiter = threading.Thread(target=outer, name="waiter")
    waiter.start()
    while not sleeps(waiter):
        time.sleep(0.001)
    let_go()
    waiter.join()


def recorded(path: Path, **options: bool) -> Path:
    with gilprobe.trace(path=path, locks=True, **options):
        wait_once()
    return path


def of_the_registry(path: Path) -> list[gilprobe.model.timeline.TimelineLockWait]:
    timeline = loading.load(path).timeline
    assert timeline is not None
    return [wait for wait in timeline.lock_waits() if "REGISTRY" in wait.lock]


@traced
def test_a_wait_has_its_stack_and_who_ended_it(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.gilprobe", timeline=True, stacks=True)
    wait = of_the_registry(path)[-1]  # a wait for the thread to start may have had the same lock before
    assert (wait.thread, wait.kind, wait.failed) == ("waiter", "lock", False)
    functions = [frame.function for frame in wait.stack]
    assert functions[-2:] == ["outer", "inner"]
    assert functions[0] == "Thread._bootstrap"
    assert wait.released is not None
    assert (wait.holder, wait.released.function) == ("MainThread", "let_go")
    assert wait.start_ns <= wait.released_ns <= wait.start_ns + wait.duration_ns
    assert wait.start_ns + wait.duration_ns <= loading.load(path).report.elapsed_ns


@traced
def test_without_stacks_a_wait_has_its_place(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.gilprobe", timeline=True, stacks=False)
    assert [frame.function for frame in of_the_registry(path)[-1].stack] == ["inner"]


@traced
def test_without_a_timeline_no_single_wait_is_recorded(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.gilprobe", stacks=True)
    assert list(Recording.open(path).timeline().lock_waits()) == []


@traced
def test_the_single_waits_add_up_to_the_sums(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.gilprobe", timeline=True, stacks=True)
    process = loading.load(path)
    assert process.timeline is not None
    waits = list(process.timeline.lock_waits())
    assert len(waits) == sum(lock.waits for lock in process.report.locks or ())
    summed = sum(lock.wait_ns for lock in process.report.locks or ())
    assert sum(wait.duration_ns for wait in waits) == pytest.approx(summed, rel=1e-3)  # of two clock rates


@traced
def test_report_flame_graph_and_perfetto_show_the_stack(tmp_path: Path) -> None:
    process = loading.load(recorded(tmp_path / "a.gilprobe", timeline=True, stacks=True))
    text = trace_text.render_process(process)
    assert "released it in let_go (" in text
    assert "inner (" in text.partition("Single waits")[2]
    assert any(
        "outer(" in line and "inner(" in line and "REGISTRY" in line
        for line in folded.export([process], "lock")
    )
    events = json.loads("".join(perfetto.export([process])))["traceEvents"]
    (waited,) = [event for event in events if event["name"].startswith("waits for Lock `REGISTRY`")][-1:]
    assert "outer" in waited["args"]["stack"]
    assert waited["args"]["released in"].split()[0] == "let_go"


KILLED = """
import sys, threading, time
import gilprobe
from tracer_checks import sleeps

REGISTRY = threading.Lock()

def wait():
    with REGISTRY:
        pass

trace = gilprobe.trace(path=sys.argv[1], locks=True, timeline=False)
trace.start()
REGISTRY.acquire()
waiter = threading.Thread(target=wait, name="waiter")
waiter.start()
while not sleeps(waiter):
    time.sleep(0.001)
REGISTRY.release()
waiter.join()
while True:
    time.sleep(0.01)
"""


@traced
def test_of_a_process_that_was_killed_the_last_sums_count(tmp_path: Path) -> None:
    path = tmp_path / "a.gilprobe"
    support = str(Path(__file__).parents[1] / "support")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], env={**os.environ, "PYTHONPATH": support}
    ) as process:
        while process.poll() is None and not booked(path):
            time.sleep(0.01)
        process.kill()
    report = loading.load(path).report
    assert any(lock.name == "REGISTRY" and lock.waits for lock in report.locks or ())
    assert any("killed" in warning for warning in report.warnings)


def booked(path: Path) -> bool:
    """Return whether a wait for the lock is in the file."""
    try:
        locks = loading.load(path).report.locks if path.exists() else None
    except FormatError:  # it has only begun
        return False
    return any(lock.name == "REGISTRY" and lock.waits for lock in locks or ())


# ---- what is read may be made up ----

PLACES = [("main", "app.py", 3), ("put", "app.py", 12)]
NAMES = {
    "places": PLACES,
    "locks": [("dict", "REGISTRY", "app")],
    "stacks": [(0, 3), (1, 4)],
    "threads": [(11, 0, "main"), (12, 0, "worker")],
}
WAIT = (2, 90, 40, 1, 4, 2, 5, 0, 2, 3, 10)
GOES_ON = 4


def recording(environment, *chunks: bytes) -> bytes:
    return twin.header() + b"".join(
        [
            twin.chunk("META", twin.meta(codec.encode(environment))),
            twin.chunk("SNAP", twin.snapshot(twin.empty_snapshot(final=True))),
            *chunks,
            twin.chunk("DONE", twin.done("stopped")),
        ]
    )


def waits_of(path: Path, data: bytes) -> list[tuple[object, ...]]:
    path.write_bytes(data)
    return list(Recording.open(path).timeline().lock_waits())


def lock_chunks(*rows: tuple[int, ...], **names: object) -> list[bytes]:
    told = twin.chunk("LNAM", twin.lock_names(**(NAMES | names)))
    return [told, twin.chunk("LWAT", twin.lock_waits(rows))]


def test_what_is_told_is_read(tmp_path: Path, environment) -> None:
    failed = (1, 10, 5, 0, 1, 0, 0, 2, 0)
    first, second = waits_of(tmp_path / "a", recording(environment, *lock_chunks(WAIT, failed)))
    assert first[:8] == (12, "worker", "lock", "dict `REGISTRY` (module app)", 50, 40, 5, False)
    assert [frame.function for frame in first.stack] == ["main", "put"]
    assert (first.holder_id, first.holder, first.released_ns) == (11, "main", 80)
    assert first.released.function == "main"
    assert second[:8] == (11, "main", "unknown", "a lock at 0x0", 95, 5, 0, True)
    assert (second.holder, second.released) == ("", None)


def test_names_that_come_later_are_added(tmp_path: Path, environment) -> None:
    later = twin.chunk("LNAM", twin.lock_names([("late", "b.py", 1)], stacks=[(2, 5)]))
    row = (*WAIT[:5], 3, *WAIT[6:])
    chunks = [*lock_chunks(WAIT), later, twin.chunk("LWAT", twin.lock_waits([row]))]
    waits = waits_of(tmp_path / "a", recording(environment, *chunks))
    assert sorted(len(wait.stack) for wait in waits) == [2, 3]


def test_parts_of_a_wait_are_one(tmp_path: Path, environment) -> None:
    part = (2, 10, 10, 1, 4, 2, 0, GOES_ON, 2, 3, 1)
    (wait,) = waits_of(tmp_path / "a", recording(environment, *lock_chunks(WAIT, part)))
    assert (wait.start_ns, wait.duration_ns, wait.released_ns) == (50, 50, 99)


def test_a_recording_without_them_has_none(tmp_path: Path, environment) -> None:
    assert waits_of(tmp_path / "a", recording(environment)) == []


def test_dropped_waits_are_told(tmp_path: Path, environment) -> None:
    chunks = [lock_chunks(WAIT)[0], twin.chunk("LWAT", twin.lock_waits([WAIT], dropped=7))]
    (tmp_path / "a").write_bytes(recording(environment, *chunks))
    assert Recording.open(tmp_path / "a").timeline().dropped == 7


@pytest.mark.parametrize(
    "row",
    [
        pytest.param((3, *WAIT[1:]), id="thread"),
        pytest.param((*WAIT[:3], 2, *WAIT[4:]), id="lock"),
        pytest.param((*WAIT[:4], 5, *WAIT[5:]), id="place"),
        pytest.param((*WAIT[:5], 3, *WAIT[6:]), id="stack"),
        pytest.param((*WAIT[:6], 41, *WAIT[7:]), id="a spin longer than the wait"),
        pytest.param((*WAIT[:7], 16, *WAIT[8:]), id="flags"),
        pytest.param((*WAIT[:8], 4, 3, 10), id="holder"),
        pytest.param((*WAIT[:8], 2, 5, 10), id="holder's place"),
        pytest.param((*WAIT[:8], 2, 3, 41), id="a release before the wait"),
        pytest.param((2, 30, *WAIT[2:]), id="a begin before the recording's"),
        pytest.param((2, 1 << 63, *WAIT[2:]), id="a time"),
    ],
)
def test_a_wait_of_what_was_not_told_is_refused(tmp_path: Path, environment, row) -> None:
    with pytest.raises(FormatError):
        waits_of(tmp_path / "a", recording(environment, *lock_chunks(row)))


@pytest.mark.parametrize("names", [{"stacks": [(1, 3)]}, {"stacks": [(0, 5)]}], ids=["outer", "place"])
def test_a_stack_of_what_was_not_told_is_refused(tmp_path: Path, environment, names) -> None:
    with pytest.raises(FormatError):
        waits_of(tmp_path / "a", recording(environment, *lock_chunks(**names)))


def test_whatever_is_changed_is_read_or_refused(tmp_path: Path, environment) -> None:
    """Each byte of both chunks is left out and changed, with right checksums."""
    payloads = [twin.lock_names(**NAMES), twin.lock_waits([WAIT, WAIT])]
    for at, payload in enumerate(payloads):
        for byte in range(len(payload)):
            for changed in (
                payload[:byte],
                payload[:byte] + payload[byte + 1 :],
                *(payload[:byte] + bytes([new]) + payload[byte + 1 :] for new in (0, 1, 0x7F, 0x80, 0xFF)),
            ):
                both = [*payloads[:at], changed, *payloads[at + 1 :]]
                chunks = [twin.chunk(kind, told) for kind, told in zip(("LNAM", "LWAT"), both, strict=True)]
                try:
                    waits = waits_of(tmp_path / "a", recording(environment, *chunks))
                except FormatError:
                    continue
                assert all(wait.stack and wait.duration_ns >= 0 for wait in waits)


def test_a_deep_stack_is_refused(tmp_path: Path, environment) -> None:
    stacks = [(0, 3), *((number, 3 + number % 2) for number in range(1, 5000))]
    with pytest.raises(FormatError, match="at most 4096 frames"):
        waits_of(
            tmp_path / "a", recording(environment, *lock_chunks((*WAIT[:5], 5000, *WAIT[6:]), stacks=stacks))
        )
