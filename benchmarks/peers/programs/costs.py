"""The workloads whose cost is measured: each does a fixed amount of work and returns figures of its own."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

clock = time.perf_counter


def together(work, threads: int, *arguments: object) -> None:
    """Do the work in this many threads."""
    made = [threading.Thread(target=work, args=arguments) for _ in range(threads)]
    for thread in made:
        thread.start()
    for thread in made:
        thread.join()


def compute(steps: int) -> None:
    """Keep the interpreter busy."""
    total = 0
    for step in range(steps):
        total += step & 7


def cpu(threads: int, steps: int) -> dict[str, float]:
    """Compute in pure Python: `steps` altogether."""
    together(compute, threads, steps // threads)
    return {}


def read_bytes(file: int, count: int) -> None:
    """Release and acquire the GIL once for each."""
    for _ in itertools.repeat(None, count):
        os.read(file, 1)


def reads(threads: int, count: int) -> dict[str, float]:
    """Release and acquire the GIL `count` times altogether, for a byte each."""
    file = os.open("/dev/zero", os.O_RDONLY)
    try:
        together(read_bytes, threads, file, count // threads)
    finally:
        os.close(file)
    return {}


def rate(releases: int, steps: int) -> dict[str, float]:
    """Compute `steps`, and release `releases` times on the way, on two threads."""
    file = os.open("/dev/zero", os.O_RDONLY)

    def work() -> None:
        for _ in range(max(1, releases // 2)):
            compute(steps // max(2, releases))
            os.read(file, 1)

    together(work, 2)
    os.close(file)
    return {}


# Sends requests on all connections, as fast as they are answered; prints their number and times.
CLIENT = """
import selectors, socket, sys, time
port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
request, pool, sent, took = b"x" * 64, selectors.DefaultSelector(), {}, []
for _ in range(connections):
    one = socket.create_connection(("127.0.0.1", port))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pool.register(one, selectors.EVENT_READ)
start = time.perf_counter()
for key in list(pool.get_map().values()):
    sent[key.fileobj] = time.perf_counter()
    key.fileobj.sendall(request)
while (now := time.perf_counter()) < start + seconds:
    for key, _ in pool.select(1):
        one = key.fileobj
        one.recv(64)
        now = time.perf_counter()
        took.append(now - sent[one])
        sent[one] = now
        one.sendall(request)
took.sort()
print(len(took) / (now - start), took[int(len(took) * 0.99)])
"""


def _serve(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(4096):
                connection.sendall(data)
        except ConnectionError:
            return


@contextmanager
def asked(serve, connections: int, seconds: float):
    """Run a client in its own process for this time, and `serve` in a thread for each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-I", "-S", "-c", CLIENT]
        command += map(str, (listening.getsockname()[1], connections, seconds))
        bare = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=bare) as client:
            threads = []
            for _ in range(connections):
                connection, _ = listening.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()
            yield client
        for thread in threads:
            thread.join()


def echo(connections: int, seconds: float) -> dict[str, float]:
    """Serve echoes, a thread a connection; the client measures requests a second and the 99th percentile."""
    with asked(_serve, connections, seconds) as client:
        per_s, p99 = map(float, client.stdout.read().split())
    return {"requests_per_s": per_s, "p99_ms": p99 * 1e3}


def nothing() -> dict[str, float]:
    """Begin and end."""
    return {}


WORK = {work.__name__: work for work in (cpu, reads, rate, echo, nothing)}
