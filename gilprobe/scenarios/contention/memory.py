"""Memory is shared too: threads that stream compete for bandwidth, threads that chase pointers just wait.

Both kernels release the GIL, so it does not limit them. Streaming reads a buffer from end to end; the
processor prefetches, and a few cores can request more than the memory delivers: the gigabytes a second stop
growing long before the cores run out. Chasing follows a chain through memory in an unpredictable order; each
load waits for the one before: each thread waits only for itself, and a step takes as long beside others as
alone.

So work that releases the GIL may still not scale, and an extension that streams gains less from threads than
one that computes. Each buffer is larger than the last-level cache, which would be measured otherwise; if that
is impossible, the result says so.
"""

from __future__ import annotations

import statistics
import threading
from typing import TYPE_CHECKING

from gilprobe import kernels
from gilprobe.measuring import host
from gilprobe.measuring.measure import Trial
from gilprobe.measuring.teams import ArmPlan, run_team
from gilprobe.model.confidence import ratio_interval
from gilprobe.results import Fact, Law
from gilprobe.scenarios.laws import by_name, claim, speedup_law, untestable, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterator

    from gilprobe.measuring.teams import Clock
    from gilprobe.results import Arm

MOST_BYTES = 256 << 20
"""Limit of all buffers together; also at most a quarter of the available memory."""

QUICK_BYTES = 8 << 20
"""The same in a quick run: making a larger chain takes too long."""

CACHES = 2
"""Size of a buffer over the last-level cache, so that most of it is not cached."""

_SLACK = 1.05
_FLAT = 1.25
"""Limit of a step's time beside others over its time alone: they share the memory's queues."""

_NODE = 8
_TRIAL_STEPS = 20_000


def measure(request: Request) -> Findings:
    """Measure bandwidth and latency for every number of threads up to the number of cores."""
    cache = host.last_level_cache()
    sizes = tuple(threads for threads in request.threads if threads <= request.environment.cores)
    allowed = allowed_bytes(host.available_memory(), quick=request.quick)
    sizes, buffer_bytes = fitting(sizes, cache, allowed)
    request.progress("filling memory", 0.0)
    buffers = _buffers(sizes[-1], buffer_bytes)
    stream = _Streaming(buffers, request.frame.clock, request.frame.arm_ns)
    chase = _Chasing(buffers, request.frame.clock, request.frame.arm_ns)
    trials = [
        Trial(kind.name, threads, {"": kind.unit}, kind.runner(threads))
        for threads in sizes
        for kind in (stream, chase)
    ]
    seen = observe_trials(request, trials, warm_up=False)
    arms = seen.measurement.arms
    facts = [Fact("buffer", buffer_bytes, "bytes"), *_cache_facts(cache), *_facts(arms)]
    small = small_buffers(cache, buffer_bytes)
    warnings = (*seen.warnings, small) if small else seen.warnings
    return Findings(arms, tuple(facts), tuple(_laws(sizes, arms, small)), seen.traces, warnings)


def allowed_bytes(available: int | None, *, quick: bool) -> int:
    """Return how many bytes all buffers may take."""
    most = QUICK_BYTES if quick else MOST_BYTES
    return most if available is None else max(_NODE * 1024, min(most, available // 4))


def fitting(sizes: tuple[int, ...], cache: int | None, allowed: int) -> tuple[tuple[int, ...], int]:
    """Return the sizes of teams whose buffers are large enough and fit, and the bytes of each buffer.

    Fewer threads are better than buffers that fit into the cache; but at least two are needed to compare.
    """
    wanted = min(allowed, CACHES * cache) if cache is not None else allowed // max(sizes)
    kept = tuple(size for size in sizes if size <= max(2, allowed // wanted))
    return kept, min(wanted, allowed // kept[-1]) // _NODE * _NODE


def small_buffers(cache: int | None, buffer_bytes: int) -> str:
    """Return the doubt that the cache is measured instead of the memory, if there is one."""
    if cache is None:
        return "the size of the last-level cache is unknown: the buffers may fit into it"
    if buffer_bytes > cache:
        return ""
    return (
        f"buffers of {buffer_bytes >> 20} MiB fit into the last-level cache of {cache >> 20} MiB:"
        " these are the cache's figures, not the memory's"
    )


def _buffers(count: int, size: int) -> list[array[int]]:
    """Return a chain per thread, each in its own memory, or they would find each other's in the cache."""
    first = kernels.chain(size // _NODE)
    return [first, *(first[:] for _ in range(count - 1))]


class _Streaming:
    """Threads that each read their own buffer from end to end."""

    name = "stream"
    unit = "GB/s"

    def __init__(self, buffers: list[array[int]], clock: Clock, arm_ns: int) -> None:
        self._pool = list(buffers)
        self._bytes = len(buffers[0]) * _NODE
        self._clock = clock
        kernels.stream(
            buffers[0], 1, release_gil=True
        )  # in the first pass the chain may still be in the caches
        start_ns = clock()
        kernels.stream(buffers[0], 1, release_gil=True)
        self._passes = max(1, arm_ns // max(1, clock() - start_ns))

    def runner(self, threads: int) -> Callable[[], dict[str, float]]:
        """Return a function that runs such a team and returns the total gigabytes a second."""
        plan = ArmPlan(self.name, threads, self._stream)

        def run() -> dict[str, float]:
            ran = run_team(plan, self._passes, clock=self._clock)
            return {"": ran.operations * self._bytes / max(1, ran.elapsed_ns)}

        return run

    def _stream(self, passes: int) -> None:
        buffer = self._pool.pop()
        try:
            kernels.stream(buffer, passes, release_gil=True)
        finally:
            self._pool.append(buffer)


class _Chasing:
    """Threads that each follow their own chain."""

    name = "chase"
    unit = "ns/step"

    def __init__(self, buffers: list[array[int]], clock: Clock, arm_ns: int) -> None:
        self._pool = list(buffers)
        self._clock = clock
        self._lock = threading.Lock()
        self._steps_ns: list[float] = []
        # In rounds: the few nodes of the first round stay in the caches, and their steps are short.
        self._steps = _TRIAL_STEPS
        for share in (1 / 8, 1 / 4, 1):
            start_ns = clock()
            kernels.chase(buffers[0], self._steps, release_gil=True)
            step_ns = max(1, clock() - start_ns) / self._steps
            self._steps = max(_TRIAL_STEPS, int(share * arm_ns / step_ns))

    def runner(self, threads: int) -> Callable[[], dict[str, float]]:
        """Return a function that runs such a team and returns the mean nanoseconds of a step."""
        plan = ArmPlan(self.name, threads, self._chase)

        def run() -> dict[str, float]:
            self._steps_ns = []
            run_team(plan, self._steps, clock=self._clock)
            return {"": statistics.mean(self._steps_ns)}

        return run

    def _chase(self, steps: int) -> None:
        buffer = self._pool.pop()
        try:
            step_ns = self._timed(buffer, steps)
        finally:
            self._pool.append(buffer)
        with self._lock:
            self._steps_ns.append(step_ns)

    def _timed(self, chain: array[int], steps: int) -> float:
        start_ns = self._clock()
        kernels.chase(chain, 0, release_gil=True)  # checking a chain before the first step does not count
        checked_ns = self._clock()
        kernels.chase(chain, steps, release_gil=True)
        return max(0.1, (self._clock() - checked_ns - (checked_ns - start_ns)) / steps)


def _cache_facts(cache: int | None) -> Iterator[Fact]:
    if cache is not None:
        yield Fact("last_level_cache", cache, "bytes")


def _facts(arms: tuple[Arm, ...]) -> Iterator[Fact]:
    single, others = by_name(arms, "stream")
    yield from (Fact(f"speedup_stream_{arm.threads}", arm.median / single.median, "") for arm in others)
    single, others = by_name(arms, "chase")
    yield from (
        Fact(f"speedup_chase_{arm.threads}", arm.threads * single.median / arm.median, "") for arm in others
    )


def _laws(sizes: tuple[int, ...], arms: tuple[Arm, ...], small: str) -> Iterator[Law]:
    """Yield the laws; those of latency can't be tested with too `small` buffers: others use the cache too."""
    stream, streams = by_name(arms, "stream")
    chase, chases = by_name(arms, "chase")
    if len(sizes) == 1:
        yield untestable("bandwidth saturates, latency does not", "speedup <= T", "1 thread with a core")
    for arm in streams:
        yield speedup_law("stream: at most T times the bandwidth", arm, stream, 0.0, _SLACK * arm.threads)
    if small and chases:
        yield untestable("chase: a step takes as long as alone", f"<= {_FLAT:.2f}x", small)
        return
    for arm in chases:
        yield speedup_law("chase: a step takes as long as alone", arm, chase, 1 / _FLAT, _FLAT)
    for streaming, chasing in zip(streams, chases, strict=True):
        yield _saturation_law(streaming, stream, chasing, chase)


def _saturation_law(streaming: Arm, stream: Arm, chasing: Arm, chase: Arm) -> Law:
    """Return the law that threads gain no more bandwidth than steps: latency never saturates."""
    threads = streaming.threads
    gained, least, most = ratio_interval(streaming, stream)
    slower, slower_least, _ = ratio_interval(chasing, chase)
    steps, steps_most = threads / slower, threads / slower_least
    return Law(
        text=f"streaming gains no more from threads than chasing, {threads} threads",
        expected=f"<= {_SLACK * steps:.2f}x",
        measured=f"{gained:.2f}x",
        verdict=verdict(least <= _SLACK * steps_most),
        claim=claim((gained, least, most), None, _SLACK * steps, "x"),
    )


SCENARIO = Scenario(
    id="memory",
    title="Streaming and pointer chasing without the GIL: bandwidth saturates, latency does not",
    group="contention",
    measure=measure,
)
