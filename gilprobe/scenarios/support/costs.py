"""Measure the costs of handoffs on this machine, from which the laws are computed.

They are medians or the best of single events, so that outliers don't count. None needs the tracer.
"""

from __future__ import annotations

import math
import statistics
import threading
import time
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

from gilprobe import kernels
from gilprobe.measuring.teams import ArmPlan, run_team

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.measuring.teams import Clock

HANDOFFS = 25
"""Timed handoffs: enough for a stable median, and they take a thirtieth of a second."""

_HELD_NS = 300_000
"""How long the giver holds the GIL: longer than a wake-up, shorter than a switch interval."""

_PAUSE_NS = 500_000
_PATIENCE_S = 10.0
_WAITS = 15
_ITERATIONS = 200_000
_TRIES = 7


class _Relay:
    """Two threads: one releases the GIL repeatedly, and the other already waits for it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # A queue, not a lock: on a busy machine a second handoff may begin before the first is seen.
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._giver = threading.Lock()
        self.given_ns: list[int] = []
        self.taken_ns: list[int] = []

    def play(self, handoffs: int) -> None:
        if self._giver.acquire(blocking=False):
            self._give(handoffs)
        else:
            self._take(handoffs)

    def _give(self, handoffs: int) -> None:
        for _ in range(handoffs):
            kernels.sleep(_PAUSE_NS, release_gil=True)  # meanwhile the taker returns to its queue
            spun_ns = self._clock() + _HELD_NS
            self._calls.put(None)
            while self._clock() < spun_ns:
                kernels.spin(1000)
            self.given_ns.append(self._clock())
            kernels.sleep(_PAUSE_NS, release_gil=True)

    def _take(self, handoffs: int) -> None:
        for _ in range(handoffs):
            self._calls.get(timeout=_PATIENCE_S)
            self.taken_ns.append(self._clock())


def handoff_s(clock: Clock = time.perf_counter_ns, *, handoffs: int = HANDOFFS) -> float:
    """Return how long the GIL is free between a release and the waiting thread's acquisition.

    Most of it is the kernel's wake-up.

    Parameters
    ----------
    clock : callable
        Times both sides.
    handoffs : int
        Number of handoffs to time.

    Returns
    -------
    float
        The median, seconds; 0.0 without a GIL.
    """
    relay = _Relay(clock)
    run_team(ArmPlan("handoffs", 2, relay.play), handoffs, clock=clock)
    pairs = zip(relay.given_ns, relay.taken_ns, strict=True)
    return max(0.0, statistics.median(taken - given for given, taken in pairs) / 1e9)


def lateness_s(wait_s: float, clock: Clock = time.perf_counter_ns) -> float:
    """Return the lateness of a lock's time-out, beside a thread that computes.

    A thread that waits for the GIL checks again after each switch interval, and is as late: the kernel rounds
    short waits up (its timer slack is 50 us), and wakes threads up late, even later without a free core.

    Parameters
    ----------
    wait_s : float
        The time limit, seconds.
    clock : callable
        Times the waits.

    Returns
    -------
    float
        The median, seconds.
    """
    lock = threading.Lock()
    lock.acquire()
    late = []
    with _computing():
        for _ in range(_WAITS):
            start_ns = clock()
            lock.acquire(timeout=wait_s)
            late.append((clock() - start_ns) / 1e9 - wait_s)
    return max(0.0, statistics.median(late))


@contextmanager
def _computing() -> Iterator[None]:
    """Within the block, another thread keeps a core busy, without the GIL."""
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            kernels.spin(_ITERATIONS, release_gil=True)

    thread = threading.Thread(target=compute, name="computes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_PATIENCE_S)


def iteration_ns(clock: Clock = time.perf_counter_ns) -> float:
    """Return the duration of an iteration of :func:`gilprobe.kernels.spin`, nanoseconds, the best of a few.

    Parameters
    ----------
    clock : callable
        Times them.
    """
    best_ns = math.inf
    for _ in range(_TRIES):
        start_ns = clock()
        kernels.spin(_ITERATIONS)
        best_ns = min(best_ns, clock() - start_ns)
    return max(1, best_ns) / _ITERATIONS
