"""Measure how long a call takes while several threads make it at once, with some objects shared or not.

Other programs want the cores, too. So threads make the call in short batches, and a batch counts only if its
thread was not preempted in it, and each other thread ran such batches all the while: whatever it then takes
longer, the threads do to each other. Arms take turns.
"""

from __future__ import annotations

import gc
import os
import resource
import statistics
import threading
import time
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING

from gilprobe._native import references
from gilprobe.errors import UnsupportedError
from gilprobe.measuring.measure import interleave
from gilprobe.model.confidence import bootstrap_interval, independent_ratio_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Call = Callable[[], object]

BATCH_NS = 100_000
"""Aim for the length of a batch: long beside reading the clocks, short beside the system's time slices."""

SLICE_NS = 20_000_000
"""How long a team runs before it is another arm's turn."""

FEW = 3
"""Batches that count, for a slice to give a sample."""

COVERED = 0.9
"""Least share of a batch in which another thread must be known to run."""


@dataclass(frozen=True, slots=True)
class CallBatch:
    """Some calls by one thread: start and end by the clock, and whether the thread was not preempted."""

    start_ns: int
    end_ns: int
    whole: bool


@dataclass(slots=True, eq=False)
class Way:
    """One way to make the call at once: an arm.

    Attributes
    ----------
    threads : int
        How many make it.
    call : callable
        Makes a thread's own call; called in that thread.
    exempt : list
        Objects whose references are not counted meanwhile.
    samples : list of float
        Duration of a call, nanoseconds; one for each slice that gave enough batches.
    """

    threads: int
    call: Callable[[], Call]
    exempt: list[object] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)

    @property
    def ns(self) -> float:
        """The median."""
        return statistics.median(self.samples)


def undisturbed(members: Sequence[Sequence[CallBatch]]) -> list[float]:
    """Return the durations of batches that were run whole while all other members ran whole batches."""
    if len(members) == 1:
        return [float(batch.end_ns - batch.start_ns) for batch in members[0] if batch.whole]
    running = [[(batch.start_ns, batch.end_ns) for batch in member if batch.whole] for member in members]
    starts = [[start for start, _ in spans] for spans in running]
    return [
        float(end - start)
        for number, spans in enumerate(running)
        for start, end in spans
        if all(
            _covered(running[other], starts[other], start, end) >= COVERED * (end - start)
            for other in range(len(members))
            if other != number
        )
    ]


def _covered(spans: list[tuple[int, int]], starts: list[int], start: int, end: int) -> int:
    at = max(0, bisect_right(starts, start) - 1)
    covered = 0
    while at < len(spans) and spans[at][0] < end:
        covered += max(0, min(end, spans[at][1]) - max(start, spans[at][0]))
        at += 1
    return covered


class SharedCosts:
    """Measures ways to make a call in turns.

    Parameters
    ----------
    calls : int
        Calls in a batch.
    slice_ns : int
        Duration of a team's turn.
    limit_ns : int
        When to stop, by the clock: a measurement ends after it, with what it has.
    """

    def __init__(self, calls: int, slice_ns: int, limit_ns: int) -> None:
        self._calls = calls
        self._slice_ns = slice_ns
        self._limit_ns = limit_ns

    def measure(self, ways: Sequence[Way], samples: int, rounds: int) -> None:
        """Let the ways take turns until each has so many more samples, but no more than some rounds."""
        aims = [len(way.samples) + samples for way in ways]
        for order in interleave(len(ways), rounds):
            for index in order:
                self._run_slice(ways[index])
            done = all(len(way.samples) >= aim for way, aim in zip(ways, aims, strict=True))
            if done or time.perf_counter_ns() > self._limit_ns:
                return

    def _run_slice(self, way: Way) -> None:
        collecting = gc.isenabled()
        gc.disable()
        before = references.exempt(way.exempt)
        try:
            members = run_batches(way, self._calls, self._slice_ns)
        finally:
            references.admit(way.exempt, before)
            if collecting:
                gc.enable()
        durations = undisturbed(members)
        if len(durations) >= FEW:
            way.samples.append(statistics.median(durations) / self._calls)


def run_batches(
    way: Way, calls: int, slice_ns: int, meanwhile: Callable[[], object] | None = None
) -> list[list[CallBatch]]:
    """Let a team make batches of calls for some time, each member two at least; return them by member.

    `meanwhile` is called while they run.

    Raises
    ------
    BaseException
        The first that a call raised.
    """
    members: list[list[CallBatch]] = [[] for _ in range(way.threads)]
    errors: list[BaseException] = []
    ready = threading.Barrier(way.threads + 1)

    def member(batches: list[CallBatch], core: int) -> None:
        try:
            os.sched_setaffinity(0, {core})  # of this thread: two on one core never run at the same time
            call = way.call()
            call()
        except BaseException as error:  # raised again below
            errors.append(error)
        with suppress(threading.BrokenBarrierError):  # not all could be started
            ready.wait()
        try:
            if not (errors or ready.broken):
                _make_batches(call, calls, time.perf_counter_ns() + slice_ns, batches)
        except BaseException as error:  # as above
            errors.append(error)

    cores = sorted(os.sched_getaffinity(0))
    threads = [
        threading.Thread(target=member, args=(batches, cores[number % len(cores)]), daemon=True)
        for number, batches in enumerate(members)
    ]
    for thread in threads:
        try:
            thread.start()
        except RuntimeError as error:  # "can't start new thread"
            ready.abort()
            raise UnsupportedError(f"{way.threads} threads can't run here: {error}") from None
    ready.wait()
    if meanwhile is not None and not errors:
        meanwhile()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return members


def _make_batches(call: Call, calls: int, until_ns: int, batches: list[CallBatch]) -> None:
    clock, usage, who = time.perf_counter_ns, resource.getrusage, resource.RUSAGE_THREAD
    preempted = usage(who).ru_nivcsw
    while len(batches) < 2 or clock() < until_ns:
        start_ns = clock()
        for _ in repeat(None, calls):
            call()
        end_ns = clock()
        now = usage(who).ru_nivcsw
        batches.append(CallBatch(start_ns, end_ns, now == preempted))
        preempted = now


def calls_of_a_batch(call: Call) -> tuple[int, float]:
    """Return how many calls make a batch, and how long one takes, nanoseconds."""
    calls = 1
    while True:
        start_ns = time.perf_counter_ns()
        for _ in repeat(None, calls):
            call()
        elapsed_ns = max(1, time.perf_counter_ns() - start_ns)
        if elapsed_ns >= BATCH_NS // 2:
            return max(1, round(calls * BATCH_NS / elapsed_ns)), elapsed_ns / calls
        calls *= 2


def ratio(above: Way, below: Way) -> tuple[float, float, float] | None:
    """Return how many times as long a call takes one way as the other, with its interval; None if unknown."""
    if not (above.samples and below.samples):
        return None
    return independent_ratio_interval(above.samples, below.samples)


def spread(way: Way) -> float:
    """Return the width of the interval of a way's median, as a share of it."""
    low, high = bootstrap_interval(way.samples)
    return (high - low) / way.ns
