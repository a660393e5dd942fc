"""A program and its viewer: only they talk, only when asked, and what is sent is not trusted."""

from __future__ import annotations

import json
import os
import select
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tracer_checks import check

from gilprobe import __version__, capabilities
from gilprobe._native import tracer
from gilprobe.errors import FormatError, GilProbeError, InvalidTypeError, InvalidValueError
from gilprobe.live import client
from gilprobe.live.client import Listener, ReadingStream
from gilprobe.live.server import PROTOCOL, serve
from gilprobe.model import codec
from gilprobe.tracing.loading import load
from gilprobe.tracing.sent_snapshot import SnapshotReader, SnapshotSender
from gilprobe.tracing.tracer import Trace

able = capabilities()
needs_traces = pytest.mark.skipif(
    able.tracer != "exact" and (able.gil_enabled or able.locks != "exact"), reason="nothing to trace here"
)
needs_tracer = pytest.mark.skipif(able.tracer != "exact", reason="no GIL to trace")
PEERS = hasattr(socket, "SO_PEERCRED")


def until(condition):
    """Wait until something is so."""
    latest = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < latest
        time.sleep(0.01)


def next_reading(stream):
    """Return the reading that comes next."""
    while True:
        select.select([stream], [], [], 120)
        readings = stream.take()
        if readings:
            return readings[0]
        assert not stream.ended


def test_only_the_user_may_enter_the_folder_and_nothing_is_left(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with Listener() as listener:
        path = Path(listener.path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert listener.accept(os.getpid()) is None  # nobody is there
    assert not path.parent.exists()


def test_a_folder_for_sockets_that_others_may_enter_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for mode, used in ((0o700, True), (0o755, False)):
        tmp_path.chmod(mode)
        with Listener() as listener:
            assert (tmp_path in Path(listener.path).parents) == used


def test_a_path_that_is_too_long_for_a_socket_is_one_error(monkeypatch, tmp_path):
    deep = tmp_path / ("d" * 100)
    deep.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(InvalidValueError, match="at most"), Listener():
        pass
    assert list(deep.iterdir()) == []


@pytest.mark.skipif(not PEERS, reason="the system does not tell who connects")
def test_another_process_is_not_let_in():
    with Listener() as listener:
        code = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({listener.path!r}); s.recv(1)"
        other = subprocess.Popen([sys.executable, "-I", "-c", code])
        select.select([listener], [], [], 120)
        assert listener.accept(os.getpid()) is None
        assert other.wait(120) == 0  # its connection was closed


@needs_traces
def test_a_program_answers_when_it_is_asked_and_traces_itself_no_longer_than_that():
    before = tracer.sessions() + tracer.lock_sessions()
    with Listener() as listener:
        serve(path=listener.path, options={"stacks": True})
        stream = ReadingStream(listener.accept(os.getpid()))
    assert tracer.sessions() + tracer.lock_sessions() > before
    until(lambda: stream.take() == [] and stream.ready)
    for number in (1, 2):
        assert select.select([stream], [], [], 0) == ([], [], [])  # nothing comes unasked
        stream.ask()
        assert not stream.ready
        reading = next_reading(stream)
        assert reading.gil == able.gil_enabled
        assert reading.interval_ns <= reading.elapsed_ns
        assert (reading.interval_ns == reading.elapsed_ns) == (number == 1)
        assert "MainThread" in [thread.name for thread in reading.threads]
    stream.close()
    until(lambda: tracer.sessions() + tracer.lock_sessions() == before)


@needs_traces
def test_a_program_that_keeps_its_last_seconds_sends_them_when_it_is_asked(tmp_path):
    before, threads = tracer.sessions() + tracer.lock_sessions(), set(threading.enumerate())
    with Listener() as listener:
        serve(path=listener.path, options={}, last_s=30.0)
        stream = ReadingStream(listener.accept(os.getpid()))
    stream.ask_last_seconds()
    until(lambda: stream.take() == [] and stream.recordings)
    (tmp_path / "last.gilprobe").write_bytes(stream.recordings[0])
    assert "MainThread" in [one.name for one in load(tmp_path / "last.gilprobe").report.threads]
    stream.close()
    until(lambda: tracer.sessions() + tracer.lock_sessions() == before)
    until(lambda: set(threading.enumerate()) <= threads)  # the thread that answered stays unknown


@needs_traces
def test_options_that_are_unknown_or_wrong_are_refused_and_leave_nothing():
    before = tracer.sessions() + tracer.lock_sessions()
    with Listener() as listener:
        with pytest.raises(InvalidTypeError, match="'timeline'"):
            serve(path=listener.path, options={"timeline": True})
        with pytest.raises(InvalidTypeError, match="stacks"):
            serve(path=listener.path, options={"stacks": 1})
        path = listener.path
    with pytest.raises(OSError, match="No such file"):
        serve(path=path, options={})
    assert tracer.sessions() + tracer.lock_sessions() == before


@needs_tracer
def test_a_sent_snapshot_makes_the_report_that_the_trace_makes():
    with Trace(stacks=True) as trace:
        sender = SnapshotSender(trace)
        reader = SnapshotReader(json.loads(json.dumps(sender.described())))
        earlier = trace.report()
        sent = check(reader.report(json.loads(json.dumps(sender.take()))))
        later = trace.report()
        sender.close()
    assert earlier.elapsed_ns < sent.elapsed_ns < later.elapsed_ns
    assert sent.environment == later.environment
    assert [thread.name for thread in sent.threads] == [thread.name for thread in later.threads]


HELLO = {
    "hello": PROTOCOL,
    "gilprobe": __version__,
    "pid": 1,
    "environment": {},
    "bystanders": {},
}
SNAPSHOT = {"parts": [], "locks": None, "labels": {}, "names": {}, "warnings": []}


def told(environment, *lines):
    """Return the readings that lines make."""
    ours, its = socket.socketpair()
    ours.setblocking(False)
    hello = HELLO | {"environment": codec.encode(environment)}
    sent = [json.dumps(hello).encode(), *lines]
    with ours, its:
        stream = ReadingStream(ours)
        its.sendall(b"".join(line + b"\n" for line in sent))
        return stream.take()


def snapshot(**changes):
    return json.dumps({"snapshot": SNAPSHOT | changes, "final": False}).encode()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"snapshot": 3, "final": false}',
        b'{"snapshot": {}, "final": false}',
        b'{"snapshot": {}, "snapshot": {}, "final": false}',
        b"[" * 100_000,
        b"1" * 10_000,
        snapshot(),
        snapshot(parts={}),
        snapshot(parts=[["", ""]]),
        snapshot(parts=[["", "!"]]),
        snapshot(parts=[["AAAA", "AAAA"]]),
        snapshot(parts=[[1, 2]]),
        snapshot(locks="AAAA"),
        snapshot(names={"x": "y"}),
        snapshot(names={"1": 2}),
        snapshot(labels=[]),
        snapshot(warnings=[1]),
        json.dumps({"snapshot": SNAPSHOT, "final": 1}).encode(),
        b'{"recording": 3}',
        b'{"recording": "!"}',
    ],
    ids=lambda line: ascii(line[:40]),
)
def test_a_line_that_breaks_a_rule_is_one_line_of_error(environment, line):
    with pytest.raises(FormatError) as refused:
        told(environment, line)
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 500


def test_a_program_of_another_version_or_one_that_can_not_be_traced_is_told(environment):
    ours, its = socket.socketpair()
    ours.setblocking(False)
    with ours, its:
        its.sendall(json.dumps(HELLO | {"gilprobe": "9.9\x1b[2J"}).encode() + b"\n")
        with pytest.raises(FormatError, match=r"must have the same gilprobe, .* got '9.9\\x1b"):
            ReadingStream(ours).take()
        its.sendall(b'{"error": "the GIL can\'t be traced: why"}\n')
        with pytest.raises(GilProbeError, match="can't be traced: why"):
            ReadingStream(ours).take()


def test_a_line_without_an_end_is_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(client, "LONGEST_LINE", 1000)
    ours, its = socket.socketpair()
    ours.setblocking(False)
    with ours, its:
        stream = ReadingStream(ours)
        its.sendall(b"x" * 600)
        assert stream.take() == []
        its.sendall(b"x" * 600)
        with pytest.raises(FormatError, match="a line from the program must have at most"):
            stream.take()


def test_a_line_may_come_in_parts(environment):
    ours, its = socket.socketpair()
    ours.setblocking(False)
    with ours, its:
        stream = ReadingStream(ours)
        line = json.dumps(HELLO | {"environment": codec.encode(environment)}).encode() + b"\n"
        for part in (line[:20], line[20:-1], line[-1:]):
            assert not stream.ready
            its.sendall(part)
            assert stream.take() == []
        assert stream.ready
        its.close()
        assert stream.take() == []
        assert stream.ended
