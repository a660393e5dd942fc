"""Measure how much of a call's time its thread is without the GIL, by repeated calls under the tracer.

The overhead is measured with an empty call in the same loop, and subtracted. Only voluntary releases count:
forced ones, after another thread's request, are the interpreter's doing.
"""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from gilprobe.report import ThreadAccount

MOST_CALLS = 20_000
"""In one run."""


@dataclass(frozen=True, slots=True)
class Overhead:
    """Holds that are not the call's: the trace's around the loop, and the loop's per call."""

    trace_ns: float
    call_ns: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a call.

    Attributes
    ----------
    calls : int
        Number of calls.
    plain_ns : int
        Duration of as many calls without a trace, just before.
    hold_ns, off_ns : int
        The thread's time with the GIL and without it, by the trace.
    releases : int
        Number of voluntary releases.
    others_hold_ns : int
        Holds of threads that the call started, or that run native code for it.
    forced : int
        Number of forced releases.
    plain_cpu_ns : int
        CPU time of the whole process in `plain_ns`.
    """

    calls: int
    plain_ns: int
    hold_ns: int
    off_ns: int
    releases: int
    others_hold_ns: int = 0
    forced: int = 0
    plain_cpu_ns: int = 0

    @property
    def does_release(self) -> bool:
        """Return whether the call releases the GIL; a single release in many calls has another cause."""
        return self.releases * 2 >= self.calls

    @property
    def released_ns(self) -> int:
        """Return the time in which other threads could run: off, without holds of the call's helpers."""
        return max(0, self.off_ns - self.others_hold_ns)

    def held_ns(self, overhead: Overhead) -> float:
        """Return the calls' own time with the GIL."""
        own = max(0.0, self.hold_ns - overhead.trace_ns - overhead.call_ns * self.calls)
        return own + self.others_hold_ns

    def share(self, overhead: Overhead) -> float:
        """Return the released share of the call's time, without the overhead."""
        if not self.releases or not self.released_ns:
            return 0.0
        return self.released_ns / (self.released_ns + self.held_ns(overhead))

    @property
    def slowdown(self) -> float:
        """Return the duration under the trace over the duration without."""
        return (self.hold_ns + self.off_ns) / max(1, self.plain_ns)


def make_calls(call: Callable[[], object], calls: int) -> None:
    """Make the calls."""
    for _ in repeat(None, calls):
        call()


def python_threads() -> set[int]:
    """Return the native identifiers of all threads except this one: they are not the call's."""
    alive = {thread.native_id or 0 for thread in threading.enumerate()}
    return alive - {threading.get_native_id()}


def sample(call: Callable[[], object], calls: int) -> Sample:
    """Make the calls, first untraced, then under a trace."""
    from gilprobe.tracing.tracer import trace

    foreign = python_threads()
    start_ns, start_cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    make_calls(call, calls)
    plain_ns, plain_cpu_ns = time.perf_counter_ns() - start_ns, time.process_time_ns() - start_cpu_ns
    with trace(sites=False) as traced:  # finding each release's place costs more than a short call
        make_calls(call, calls)
    own, others = _parted(traced.report().threads, foreign)
    return Sample(
        calls,
        plain_ns,
        hold_ns=sum(account.hold_ns for account in own),
        off_ns=sum(account.off_ns for account in own),
        releases=sum(account.voluntary_releases for account in own),
        others_hold_ns=sum(account.hold_ns for account in others),
        forced=sum(account.forced_releases for account in own),
        plain_cpu_ns=plain_cpu_ns,
    )


def _parted(
    accounts: Collection[ThreadAccount], foreign: set[int]
) -> tuple[list[ThreadAccount], list[ThreadAccount]]:
    """Return the accounts of the calling thread, and of its helpers."""
    me = threading.get_native_id()
    own = [account for account in accounts if account.native_id == me]
    others = [account for account in accounts if account.native_id not in foreign | {me}]
    return own, others


def calls_within(call: Callable[[], object], budget_ns: int) -> int:
    """Return how many calls fit into that time, at least one; a first call warms up."""
    took_ns = []
    for _ in range(3):
        start_ns = time.perf_counter_ns()
        call()
        took_ns.append(time.perf_counter_ns() - start_ns)
        if took_ns[0] > budget_ns:
            break
    return max(1, min(MOST_CALLS, budget_ns // max(1, took_ns[-1])))


def released_shares(samples: Sequence[Sample], overhead: Overhead) -> tuple[float, ...]:
    """Return the released share of each sample; 0 if the releases are not the call's.

    A single release in thousands of calls has another cause, such as another thread's request.
    """
    does = does_release(samples)
    return tuple(taken.share(overhead) if does and taken.does_release else 0.0 for taken in samples)


def does_release(samples: Sequence[Sample]) -> bool:
    """Return whether the call releases the GIL in most samples."""
    return sum(taken.does_release for taken in samples) * 2 > len(samples)


class Baseline:
    """An empty call, sampled in turns with the measured ones.

    Parameters
    ----------
    nothing : callable
        Does nothing; called like the others.
    """

    def __init__(self, nothing: Callable[[], object]) -> None:
        self._nothing = nothing
        self._traces: list[int] = []
        self._calls: list[tuple[int, Sample]] = []

    def take(self, calls: int) -> None:
        """Sample an empty trace, and one with empty calls."""
        self._traces.append(sample(self._nothing, 0).hold_ns)
        self._calls.append((calls, sample(self._nothing, calls)))

    def overhead(self) -> Overhead:
        """Return the medians of the samples."""
        trace_ns = statistics.median(self._traces)
        calls_ns = [(taken.hold_ns - trace_ns) / calls for calls, taken in self._calls]
        return Overhead(trace_ns, max(0.0, statistics.median(calls_ns)))

    def plain_call_ns(self) -> float:
        """Return the duration of an empty call, untraced."""
        return statistics.median(taken.plain_ns / calls for calls, taken in self._calls)
