"""Waiting needs no GIL: T threads that sleep or read from a silent socket get T times as much done as one.

A blocking call releases the GIL before it blocks and takes it back with its answer, so the waits of all
threads overlap, on every build and on any number of cores. This is why threads have always been good for I/O
in Python.

The reads are real, but no data ever comes: the kernel ends each after a time limit (SO_RCVTIMEO), so a read
takes as long as a sleep, and no writer is needed.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from gilprobe.measuring.teams import ArmPlan
from gilprobe.scenarios.laws import by_name, scaling_facts, speedup_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe

if TYPE_CHECKING:
    from gilprobe.measuring.teams import MemberWork
    from gilprobe.results import Law

RANGE = (0.90, 1.05)
"""Shares of T that count as T: a woken thread waits a moment for a core and for the GIL."""

BLOCKS = 20
"""Blocking calls in one run: each then takes far longer than a wake-up."""


def measure(request: Request) -> Findings:
    """Measure sleeps and reads a second for every number of threads."""
    block_ns = max(100_000, request.frame.arm_ns // BLOCKS)
    with ExitStack() as ends:
        pool = [ends.enter_context(_Silence(block_ns)) for _ in range(request.threads[-1])]
        works = (("sleep", _sleeping(block_ns)), ("read", _reading(pool)))
        plans = tuple(
            ArmPlan(name, threads, work, unit="calls/s", chunk=1)
            for name, work in works
            for threads in request.threads
        )
        seen = observe(request, plans)
    arms = seen.measurement.arms
    laws: list[Law] = []
    for name in ("sleep", "read"):
        single, others = by_name(arms, name)
        for arm in others:
            low, high = (share * arm.threads for share in RANGE)
            laws.append(speedup_law(f"{name}: T times, on every build", arm, single, low, high))
    return Findings(arms, scaling_facts(arms), tuple(laws), seen.traces, seen.warnings)


class _Silence:
    """A connected socket on which nothing ever arrives."""

    def __init__(self, block_ns: int) -> None:
        self._ends = socket.socketpair()
        # The kernel's time limit (socket(7)): with Python's own it polls first, and releases the GIL twice.
        limit = struct.pack("ll", block_ns // 10**9, math.ceil(block_ns % 10**9 / 1000))
        self._ends[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)

    def __enter__(self) -> _Silence:
        return self

    def __exit__(self, *_error: object) -> None:
        for end in self._ends:
            end.close()

    def read(self) -> None:
        """Block until the time limit."""
        with suppress(BlockingIOError):  # EAGAIN: the limit
            self._ends[0].recv(1)


def _sleeping(block_ns: int) -> MemberWork:
    def work(operations: int) -> None:
        for _ in range(operations):
            time.sleep(block_ns / 1e9)

    return work


def _reading(pool: list[_Silence]) -> MemberWork:
    def work(operations: int) -> None:
        silence = pool.pop()  # one per thread: readers of one socket would queue up in the kernel
        try:
            for _ in range(operations):
                silence.read()
        finally:
            pool.append(silence)

    return work


SCENARIO = Scenario(
    id="io-overlap",
    title="Threads that sleep or read overlap: T times as much on every build",
    group="contention",
    measure=measure,
)
