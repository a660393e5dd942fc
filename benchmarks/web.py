"""Measures what gilprobe costs real servers at full load: gunicorn with Flask, and uvicorn with FastAPI.

The server is one process with threads. Another process asks on several connections, as fast as it is
answered. Short runs, each with the same number of requests, take turns in the same server: without gilprobe,
with `gilprobe.monitor()`, with `gilprobe.flight_recorder("30s")`, and watched by `gilprobe top --last 30s`.
Each is compared with its neighbour: the server's CPU time a request, which is the most reliable on a loaded
machine, the time a request (the inverse of requests a second), and the 99th percentile of the answers' times.
`top` computes in a process of its own, on a core that the server and the client could have used, and asks
twice a run.

Needs gunicorn, flask, uvicorn and fastapi. On a free machine the default takes some eight minutes.
"""

from __future__ import annotations

import importlib.util
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

import common
from common import Question, Row
from top import Viewer

from gilprobe.errors import UnsupportedError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

HOST = "127.0.0.1"
US = 1e6
LIMIT, EXCLUDED = 1.0, 2.0  # per cent: of the figure, and of the upper end of its interval
START_S = 120.0
TRIAL = 400  # requests, from which a run's number follows

# Asks as often as each line of its input says; prints the time, and the 99th percentile of the times from
# question to answer. New connections each time: servers close idle ones.
CLIENT = r"""
import re, selectors, socket, sys, time

port, connections = map(int, sys.argv[1:])
request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
size_of = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")

class Connection:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    def ask(self):
        self.got, self.asked = b"", time.perf_counter()
        self.socket.sendall(request)
    def answered(self):
        data = self.socket.recv(65536)
        if not data:
            raise SystemExit("the server closed a connection")
        self.got += data
        head, end, body = self.got.partition(b"\r\n\r\n")
        return bool(end) and len(body) >= int(size_of.search(head)[1])

for line in sys.stdin:
    pool, times, left = selectors.DefaultSelector(), [], int(line)
    everyone = [Connection() for _ in range(connections)]
    for one in everyone:
        pool.register(one.socket, selectors.EVENT_READ, one)
    start = time.perf_counter()
    for one in everyone[:left]:
        one.ask()
    left -= connections
    wanted = int(line)
    while len(times) < wanted:
        for key, _ in pool.select():
            one = key.data
            if one.answered():
                times.append(time.perf_counter() - one.asked)
                if left > 0:
                    left -= 1
                    one.ask()
    elapsed = time.perf_counter() - start
    for one in everyone:
        one.socket.close()
    pool.close()
    times.sort()
    print(elapsed, times[min(len(times) - 1, len(times) * 99 // 100)], flush=True)
"""


@dataclass(frozen=True)
class Run:
    """The answers in one run, and what the server spent."""

    requests: int
    elapsed_s: float
    p99_s: float
    cpu_s: float


# What is compared: name, a run's figure in microseconds, and whether it has a target for a monitor.
FIGURES: tuple[tuple[str, Callable[[Run], float], bool], ...] = (
    ("CPU time a request", lambda run: run.cpu_s / run.requests * US, False),
    ("time a request", lambda run: run.elapsed_s / run.requests * US, True),
    ("99th percentile of answers", lambda run: run.p99_s * US, True),
)
WAYS = ("off", "monitor", "flight", "top")
# What is told: its name, the way without it, and the way with it.
PAIRS = (
    ("monitor", "off", "monitor"),
    ("flight recorder", "off", "flight"),
    ("top --last", "off", "top"),
    ("top --last beside a flight recorder", "flight", "top"),
)


class Load:
    """A server in a process, a client and a viewer in others."""

    def __init__(self, command: list[str], port: int, connections: int, interval_s: float) -> None:
        self._address = f"http://{HOST}:{port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the server
        self._server = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=Path(__file__).resolve().parent / "monitored",
            stdout=self._log,
            stderr=self._log,
        )
        self._client: subprocess.Popen[str] | None = None
        self._viewer: Viewer | None = None
        try:
            self._wait()
            self._viewer = Viewer(interval_s, int(self._got("/spent")["pid"]))
            self._client = subprocess.Popen(
                [sys.executable, "-I", "-c", CLIENT, str(port), str(connections)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        latest = time.monotonic() + START_S
        while True:
            try:
                self._got("/spent")
            except OSError:
                if self._server.poll() is not None or time.monotonic() > latest:
                    self._log.seek(0)
                    said = self._log.read()[-300:].decode(errors="replace")
                    raise UnsupportedError(f"the server does not answer: {said}") from None
                time.sleep(0.1)
            else:
                return

    def _got(self, path: str) -> dict[str, float]:
        with urllib.request.urlopen(self._address + path, timeout=60) as answer:  # noqa: S310  # our own
            return json.load(answer)

    def run(self, way: str, requests: int) -> Run:
        """Serve some requests."""
        assert self._client is not None  # noqa: S101  # as made above
        assert self._client.stdin is not None  # noqa: S101
        assert self._client.stdout is not None  # noqa: S101
        assert self._viewer is not None  # noqa: S101
        viewer = f"?viewer={urllib.parse.quote(self._viewer.listen())}" if way == "top" else ""
        self._got(f"/trace/{way}{viewer}")
        before_s = self._got("/spent")["cpu_s"]
        print(requests, file=self._client.stdin, flush=True)
        elapsed, p99 = self._client.stdout.readline().split()
        spent_s = self._got("/spent")["cpu_s"] - before_s
        if viewer:
            self._viewer.leave()
        return Run(requests, float(elapsed), float(p99), spent_s)

    def close(self) -> None:
        """End both."""
        for other in (self._client, self._viewer):
            if other is not None:
                other.communicate()
        self._server.terminate()
        self._server.wait()
        self._log.close()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return server.getsockname()[1]


def _measured(name: str, command: list[str], options: argparse.Namespace) -> Iterator[Row]:
    for module in name.lower().split(" + "):
        if importlib.util.find_spec(module) is None:
            raise UnsupportedError(f"{module} is not installed")
    port = _free_port()
    command = [argument.replace("PORT", str(port)) for argument in command]
    load = Load(command, port, options.connections, options.work / 2)
    try:
        load.run("off", TRIAL)  # the first requests import
        requests = max(TRIAL, round(TRIAL * options.work / load.run("off", TRIAL).elapsed_s))
        runs = common.in_turns(lambda arm: load.run(WAYS[arm], requests), len(WAYS), max(2, options.repeat))
    finally:
        load.close()
    for told, before, after in PAIRS:
        for what, of, targeted in FIGURES:
            without, with_it = ([of(run) for run in runs[WAYS.index(way)]] for way in (before, after))
            yield _slowed(f"{name}, {told}: {what}", without, with_it, targeted and after == "monitor")


def _slowed(what: str, off: list[float], on: list[float], targeted: bool) -> Row:
    """Return by how many per cent a figure is larger with gilprobe."""
    slower = common.more(off, on)
    verdict = common.NO_TARGET
    if targeted:
        _, high = common.bootstrap_interval(slower)
        verdict = common.judge_figure(statistics.median(slower), lambda one: one <= LIMIT and high < EXCLUDED)
    target = f"<= {LIMIT:g} %, interval below {EXCLUDED:g} %" if targeted else ""
    return Row(what, target, "%", slower, verdict, f"us: {common.ranges(off, on)}", {"off": off, "on": on})


def flask(options: argparse.Namespace) -> Iterator[Row]:
    """Load gunicorn with a Flask application."""
    command = ["gunicorn", "-w", "1", "--threads", str(options.connections), "-b", f"{HOST}:PORT"]
    yield from _measured("gunicorn + Flask", [*command, "plain:flask_app()"], options)


def fastapi(options: argparse.Namespace) -> Iterator[Row]:
    """Load uvicorn with a FastAPI application."""
    command = ["uvicorn", "--factory", "--port", "PORT", "--log-level", "warning", "--no-access-log"]
    yield from _measured("uvicorn + FastAPI", [*command, "plain:fastapi_app"], options)


QUESTIONS = (
    Question("gunicorn + Flask", "<= 1 %", flask),
    Question("uvicorn + FastAPI", "<= 1 %", fastapi),
)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("What does gilprobe cost a server?", repeat=50)
    made.add_argument("--work", type=common.seconds, default=1.0, help="seconds a run, about (%(default)s)")
    made.add_argument("--connections", type=common.positive, default=8, help="(%(default)s)")
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.work = min(options.repeat, 2), 0.1
    return common.main("web", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
