"""The same small work again and again in one process, with and without the tool by turns.

A disturbance of the machine lasts longer than a turn and so affects both: this shows far smaller costs than
a comparison of two processes. It leaves out what a tool costs when it starts and stops, and the
after-effects: a server that was stopped for a moment serves fewer requests for some milliseconds.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from .costs import asked, clock, compute, read_bytes, together

SETTLED_S = 0.03
"""Pause between the tool's start or stop and a turn."""


def in_turns(inside, measured, pairs: int) -> dict[str, list[float]]:
    """Return the results of `measured` without and with the tool, in pairs that begin with each by turns."""
    figures: dict[str, list[float]] = {"off": [], "on": []}

    def settled() -> float:
        time.sleep(SETTLED_S)
        return measured()

    with inside():
        measured()  # once before, so that loading and compiling are not measured
    for number in range(2 * pairs):
        if (number + number // 2) % 2:
            with inside():
                figures["on"].append(settled())
        else:
            figures["off"].append(settled())
    return figures


def _seconds(work, *arguments: object) -> float:
    begin = clock()
    work(*arguments)
    return clock() - begin


def cpu(inside, threads: int, steps: int, pairs: int) -> dict[str, list[float]]:
    """Compute in pure Python; seconds a turn."""
    return in_turns(inside, lambda: _seconds(together, compute, threads, steps // threads), pairs)


def reads(inside, threads: int, count: int, pairs: int) -> dict[str, list[float]]:
    """Release and acquire the GIL for a byte each; seconds a turn."""
    file = os.open("/dev/zero", os.O_RDONLY)
    try:
        return in_turns(
            inside, lambda: _seconds(together, read_bytes, threads, file, count // threads), pairs
        )
    finally:
        os.close(file)


def echo(inside, connections: int, turn_s: float, pairs: int) -> dict[str, list[float]]:
    """Serve echoes to a client that never pauses, a thread a connection; seconds a request in each turn."""
    served: list[list[int]] = []

    def serve(connection) -> None:
        own = [0]  # of this thread only: no time is lost between threads
        served.append(own)
        with connection, suppress(ConnectionError):
            while data := connection.recv(4096):
                connection.sendall(data)
                own[0] += 1

    def answered() -> int:
        return sum(own[0] for own in served)

    def measured() -> float:
        before, begin = answered(), clock()
        time.sleep(turn_s)
        return (clock() - begin) / max(1, answered() - before)

    longer_than_needed_s = 5 * (turn_s + SETTLED_S) * (2 * pairs + 1) + 10
    with asked(serve, connections, longer_than_needed_s) as client:
        try:
            return in_turns(inside, measured, pairs)
        finally:
            client.kill()


WORK = {"cpu": cpu, "reads": reads, "echo": echo}
