"""Measures what `gilprobe top` costs a server: the threaded echo server of server.py under load.

Runs without a trace, with a trace whose numbers nobody asks for, and with a viewer in another process that
asks take turns on the same connections. Each is compared with its neighbour without a trace. The viewer
computes on a core that the server could have used, so a run with it tells both: what the server itself spends
(CPU time a request), and what is left to it (time a request). How long one answer keeps the GIL is measured
as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
from common import Question, Row
from server import Load

from gilprobe._native import tracer
from gilprobe.live.server import serve
from gilprobe.tracing.recording_writer import as_json
from gilprobe.tracing.sent_snapshot import SnapshotSender
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from server import Run

US = 1e6

# For each line of its input listens anew, and asks as often as the line says until the next line comes.
VIEWER = """
import io, select, sys, time
from rich.console import Console
from gilprobe.live.client import Listener, ReadingStream
from gilprobe.live.screen import Screen, Status

pid = int(sys.argv[1])
while line := sys.stdin.readline():
    interval = float(line)
    with Listener() as listener:
        print(listener.path, flush=True)
        select.select([listener], [], [])
        stream = ReadingStream(listener.accept(pid))
    screen, status = Screen(), Status("echo", interval)
    due = time.monotonic() + interval
    while True:
        ready, _, _ = select.select([sys.stdin, stream], [], [], max(0.0, due - time.monotonic()))
        if stream in ready:
            for reading in stream.take():
                screen.show(reading)
                Console(file=io.StringIO(), width=80).print(screen.drawn(status, width=80, height=24))
        if sys.stdin in ready:
            sys.stdin.readline()
            break
        if time.monotonic() >= due:
            due += interval
            if stream.ready:
                stream.ask()
    stream.close()
    print("left", flush=True)
"""


class Viewer:
    """A process that asks another one for readings."""

    def __init__(self, interval_s: float, pid: int) -> None:
        self._interval_s = interval_s
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", VIEWER, str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    @contextmanager
    def looks(self, last_s: float | None = None) -> Iterator[None]:
        """Let this process be looked at for the length of a block."""
        serve(path=self.listen(), options={"stacks": True}, last_s=last_s)
        try:
            yield
        finally:
            self.leave()
            while tracer.sessions():
                time.sleep(0.001)

    def listen(self) -> str:
        """Wait for the process anew; return where it is to connect."""
        return self._told(str(self._interval_s))

    def leave(self) -> None:
        """Leave the process."""
        self._told("leave")

    def _told(self, line: str) -> str:
        assert self._process.stdin is not None  # noqa: S101  # as asked for above
        assert self._process.stdout is not None  # noqa: S101
        print(line, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().rstrip("\n")

    def communicate(self) -> None:
        """End it."""
        self._process.communicate()


def echoes(options: argparse.Namespace) -> Iterator[Row]:
    """Serve without a trace, with one, and with a viewer, by turns."""
    viewer = Viewer(options.interval, os.getpid())
    load = Load(options.connections, options.size, None)
    ways: tuple[Callable[[], AbstractContextManager[object]], ...] = (
        nullcontext,
        lambda: trace(stacks=True),
        viewer.looks,
        lambda: viewer.looks(30.0),
    )
    try:

        def sample(arm: int) -> Run:
            with ways[arm]():
                return load.run(options.work)

        off, traced, looked_at, kept = common.in_turns(sample, len(ways), max(2, options.repeat))
    finally:
        load.close()
        viewer.communicate()
    for name, on in (("a trace with stacks", traced), ("top", looked_at), ("top --last 30s", kept)):
        for what, of in (
            ("time a request", lambda one: US / one.per_s),
            ("CPU time a request", lambda one: one.cpu_us),
        ):
            without, with_it = [of(one) for one in off], [of(one) for one in on]
            more = common.more(without, with_it)
            note = f"us: {common.ranges(without, with_it)}"
            details = {"off": without, "on": with_it}
            yield Row(f"echo server, {name}: {what}", "", "%", more, note=note, details=details)


def answers(options: argparse.Namespace) -> Iterator[Row]:
    """Take what one answer sends while the server is under load."""
    load = Load(options.connections, options.size, None)
    taken_us, sizes = [], []
    try:
        with trace(stacks=True) as running:
            sender = SnapshotSender(running)
            for _ in range(max(2, options.repeat)):
                load.run(min(options.work, 0.1))
                start = time.perf_counter()
                line = as_json({"snapshot": sender.take(), "final": False})
                taken_us.append((time.perf_counter() - start) * US)
                sizes.append(len(line) / 1024)
                json.loads(line)
            sender.close()
    finally:
        load.close()
    yield Row("one answer: time with the GIL", "", "us", taken_us)
    yield Row("one answer: size", "", "KiB", sizes)


QUESTIONS = (Question("echo server", "", echoes), Question("one answer", "", answers))


def main() -> int:
    """Run the benchmark."""
    made = common.parser("What does gilprobe top cost a server?", repeat=20)
    made.add_argument("--work", type=common.seconds, default=2.0, help="seconds a run (%(default)s)")
    made.add_argument("--interval", type=common.seconds, default=1.0, help="seconds (%(default)s)")
    made.add_argument("--connections", type=common.positive, default=4, help="(%(default)s)")
    made.add_argument("--size", type=common.positive, default=64, help="bytes of a request (%(default)s)")
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.work, options.interval = min(options.repeat, 2), 0.2, 0.1
    return common.main("top", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
