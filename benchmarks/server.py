"""Measures what tracing costs a server: a threaded echo server on the loopback under load.

This process serves, with a thread for each connection. Another process sends requests on all connections, as
fast as they are answered. Short runs with and without a trace take turns on the same connections, and each is
compared with its neighbour. One arm has no trace either: what it differs by is the error of the others.

On two cores the client needs about as much CPU time as the server, so together they use both cores, and the
client hardly ever sleeps: what a request takes is the client's own CPU time, which has a row, and its waiting
for a core that the server's threads have. So CPU time tells more of a trace, also on a loaded machine.

The system may move the threads from core to core, as it does with a real server. Where the server is kept on
one core, its threads never meet at the GIL's mutex, and a trace costs less than it does in truth. The last
rows show by how much.
"""

from __future__ import annotations

import os
import socketserver
import statistics
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
from common import Question, Row

from gilprobe._native import attach
from gilprobe.attached import dormant
from gilprobe.tracing.flight_recorder import flight_recorder
from gilprobe.tracing.monitoring import monitor
from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

HOST = "127.0.0.1"
US = 1e6

# Sends requests for as long as each line of its input says, in seconds; prints the number of answers.
CLIENT = """
import selectors, socket, sys, time

port, connections, size = map(int, sys.argv[1:])
request = b"x" * size
pool = selectors.DefaultSelector()
for _ in range(connections):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pool.register(connection, selectors.EVENT_READ)
everyone = [key.fileobj for key in pool.get_map().values()]
for line in sys.stdin:
    start, spent = time.perf_counter(), time.process_time()
    end = start + float(line)
    answered = 0
    for connection in everyone:
        connection.sendall(request)
    pending = connections
    while pending:
        asking = time.perf_counter() < end
        for key, _ in pool.select():
            left = size - len(key.fileobj.recv(size))
            while left:
                left -= len(key.fileobj.recv(left))
            answered += 1
            if asking:
                key.fileobj.sendall(request)
            else:
                pending -= 1
    print(answered, time.perf_counter() - start, time.process_time() - spent, flush=True)
"""


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    disable_nagle_algorithm = True


@dataclass(frozen=True)
class Run:
    """The answers in one run, and what server and client spent."""

    requests: int
    elapsed_s: float
    cpu_s: float
    client_cpu_s: float

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.requests / self.elapsed_s

    @property
    def cpu_us(self) -> float:
        """The server's CPU time a request, microseconds."""
        return self.cpu_s / self.requests * US

    @property
    def client_cpu_us(self) -> float:
        """The client's CPU time a request, microseconds."""
        return self.client_cpu_s / self.requests * US


def _cores() -> list[set[int]]:
    """Return the cores of the server and of the client; none if they can't be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    usable = sorted(os.sched_getaffinity(0))
    return [{usable[0]}, {usable[-1]}] if len(usable) > 1 else []


@contextmanager
def _alone_on(core: set[int]) -> Iterator[None]:
    """Keep the calling thread, and those that it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Load:
    """A server in this process and a client in another."""

    def __init__(self, connections: int, size: int, core: set[int] | None) -> None:
        self._server = _Server((HOST, 0), _Echo)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        port = self._server.server_address[1]
        command = [sys.executable, "-I", "-c", CLIENT, str(port), str(connections), str(size)]
        self._client = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        if core is not None:
            os.sched_setaffinity(self._client.pid, core)

    def run(self, duration_s: float) -> Run:
        """Serve for a while."""
        assert self._client.stdin is not None  # noqa: S101  # as asked for above
        assert self._client.stdout is not None  # noqa: S101
        before_s = time.process_time()
        print(duration_s, file=self._client.stdin, flush=True)
        answered, elapsed, client_s = self._client.stdout.readline().split()
        return Run(int(answered), float(elapsed), time.process_time() - before_s, float(client_s))

    def close(self) -> None:
        """End both."""
        self._client.communicate()
        self._server.shutdown()
        self._server.server_close()


def _slowed(
    name: str, limit: float | None, limit_cpu: float | None, off: list[Run], on: list[Run]
) -> Iterator[Row]:
    """Yield how much more time and CPU time a request took with a trace."""
    for what, target, of in (
        ("time a request", limit, lambda one: US / one.per_s),
        ("CPU time a request", limit_cpu, lambda one: one.cpu_us),
        ("the client's CPU time a request", None, lambda one: one.client_cpu_us),
    ):
        without, with_it = [of(one) for one in off], [of(one) for one in on]
        slower = common.more(without, with_it)
        yield Row(
            f"{name}: {what}",
            "" if target is None else f"<= {target:g} %",
            "%",
            slower,
            common.NO_TARGET
            if target is None
            else common.judge_figure(statistics.median(slower), lambda one, target=target: one <= target),  # type: ignore[misc]
            f"us: {common.ranges(without, with_it)}",
            {"off": without, "on": with_it},
        )


@contextmanager
def _full_flight() -> Iterator[None]:
    """Run a flight recorder as it is after its first seconds: with all of its traces."""
    with flight_recorder(3600) as flight:
        flight._renew()
        flight._renew()
        yield


@contextmanager
def _armed() -> Iterator[None]:
    dormant.arm()
    try:
        yield
    finally:
        attach.disarm()


# Arms: name, the trace, and by how many per cent a request may take longer, and use more CPU.
ARMS: tuple[tuple[str, Callable[[], AbstractContextManager[object]], float | None, float | None], ...] = (
    ("no trace", nullcontext, None, None),
    ("sites", trace, 1.0, 4.0),
    ("monitor", monitor, 1.0, 4.0),
    ("stacks + timeline", lambda: trace(stacks=True, timeline=True), 2.5, 8.0),
    ("flight recorder", _full_flight, 3.0, 10.0),
    ("armed", _armed, 0.5, 1.0),
)


def echoes(options: argparse.Namespace) -> Iterator[Row]:
    """Serve without a trace and with each kind, by turns: threads free to move, then kept on a core."""
    yield from _served("threads free to move", options, [])
    if cores := _cores():
        with _alone_on(cores[0]):
            yield from _served("server kept on a core", options, cores)


def _served(name: str, options: argparse.Namespace, cores: list[set[int]]) -> Iterator[Row]:
    ways = (nullcontext, *(way for _, way, _, _ in ARMS))
    load = Load(options.connections, options.size, cores[1] if cores else None)
    try:

        def sample(arm: int) -> Run:
            with ways[arm]():
                return load.run(options.work)

        off, *taken = common.in_turns(sample, len(ways), max(2, options.repeat))
    finally:
        load.close()
    for (arm, _, limit, limit_cpu), on in zip(ARMS, taken, strict=True):
        yield from _slowed(f"echo server, {name}, {arm}", limit, limit_cpu, off, on)


QUESTIONS = (Question("echo server", "<= 1 % of time, 4 % of CPU time with sites", echoes),)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("What does tracing cost a server?", repeat=250)
    made.add_argument("--work", type=common.seconds, default=0.03, help="seconds a run (%(default)s)")
    made.add_argument("--connections", type=common.positive, default=4, help="(%(default)s)")
    made.add_argument("--size", type=common.positive, default=64, help="bytes of a request (%(default)s)")
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.work = min(options.repeat, 2), 0.05
    return common.main("server", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
