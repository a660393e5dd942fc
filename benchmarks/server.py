"""Measures what tracing costs a server: a threaded echo server on the loopback under load.

This process serves, with a thread for each connection. Another process sends requests on all connections, as
fast as they are answered. With two cores each process has its own. Short runs with and without a trace take
turns on the same connections, and each is compared with its neighbour. The server limits the rate, so its CPU
time a request shows the same as the requests a second, and is more reliable on a loaded machine: both must
reach the target.
"""

from __future__ import annotations

import os
import socketserver
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # python -P does not

from typing import TYPE_CHECKING

import common
from common import Question, Row

from gilprobe.tracing.tracer import trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

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
    start = time.perf_counter()
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
    print(answered, time.perf_counter() - start, flush=True)
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
    """The answers in one run, and what the server spent."""

    requests: int
    elapsed_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.requests / self.elapsed_s

    @property
    def cpu_us(self) -> float:
        """The server's CPU time a request, microseconds."""
        return self.cpu_s / self.requests * US


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
        answered, elapsed = self._client.stdout.readline().split()
        return Run(int(answered), float(elapsed), time.process_time() - before_s)

    def close(self) -> None:
        """End both."""
        self._client.communicate()
        self._server.shutdown()
        self._server.server_close()


def _slowed(what: str, target: str, off: list[Run], on: list[Run]) -> Row:
    """Return by how much fewer requests were answered with a trace."""
    rates = [[one.per_s for one in runs] for runs in (off, on)]
    costs = [[one.cpu_us for one in runs] for runs in (off, on)]
    fewer = [-one for one in common.more(*rates)]
    by_cpu = statistics.median(common.more(*costs))
    worse = max(statistics.median(fewer), by_cpu)
    return Row(
        what,
        target,
        "%",
        fewer,
        common.judge_figure(worse, lambda one: one <= 3) if target else common.NO_TARGET,
        f"by the server's CPU time a request {by_cpu:+.2f} %; requests/s: {common.ranges(*rates)};"
        f" us of CPU time: {common.ranges(*costs)}",
        {
            "off": rates[0],
            "on": rates[1],
            "off_cpu_us": costs[0],
            "on_cpu_us": costs[1],
            "by_cpu_time": by_cpu,
        },
    )


def echoes(options: argparse.Namespace) -> Iterator[Row]:
    """Serve without a trace, with sites, and with sites and timeline, by turns."""
    cores = _cores()
    with _alone_on(cores[0]) if cores else nullcontext():
        load = Load(options.connections, options.size, cores[1] if cores else None)
        try:

            def sample(arm: int) -> Run:
                with trace(timeline=arm == 2) if arm else nullcontext():
                    return load.run(options.work)

            off, sites, timeline = common.in_turns(sample, 3, max(2, options.repeat))
        finally:
            load.close()
    what = f"fewer requests answered, {options.connections} connections"
    yield _slowed(f"{what}: sites", "<= 3 %", off, sites)
    yield _slowed(f"{what}: sites + timeline", "", off, timeline)


QUESTIONS = (Question("fewer requests answered", "<= 3 % with sites", echoes),)


def main() -> int:
    """Run the benchmark."""
    made = common.parser("What does tracing cost a server?", repeat=60)
    made.add_argument("--work", type=common.seconds, default=0.2, help="seconds a run (%(default)s)")
    made.add_argument("--connections", type=common.positive, default=8, help="(%(default)s)")
    made.add_argument("--size", type=common.positive, default=64, help="bytes of a request (%(default)s)")
    options = made.parse_args()
    common.check_file(options, made)
    if options.quick:
        options.repeat, options.work = min(options.repeat, 2), 0.05
    return common.main("server", options, QUESTIONS)


if __name__ == "__main__":
    sys.exit(main())
