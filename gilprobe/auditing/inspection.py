"""Inspect the single holds of a call: how many, how long, and where the longest ends.

After each call we release the GIL, so that no hold spans two calls.
"""

from __future__ import annotations

import statistics
import threading
from dataclasses import dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING

from gilprobe._native import kernels
from gilprobe._native.histogram import Histogram
from gilprobe.auditing.traced_calls import python_threads
from gilprobe.model.audit_result import Holds, LongestHold
from gilprobe.model.distribution import Distribution
from gilprobe.model.timeline import HOLD, NOWHERE
from gilprobe.report import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gilprobe.model.timeline import Timeline

_CPU_RUNS = 5

MOST_EVENTS = 100_000
"""Limit of holds in one inspection, unless a single call has more."""


@dataclass(frozen=True, slots=True)
class SeenHold:
    """One hold: its length, where it ended, and whether by our own release between two calls."""

    ns: int
    place: Frame | None
    is_boundary: bool
    is_own: bool = True  # of the calling thread


@dataclass(slots=True)
class Tally:
    """Sums of the holds of some calls.

    Attributes
    ----------
    calls : int
        Calls seen from beginning to end.
    firsts, lasts : list of float
        The calling thread's first and last hold per call, as a share of its holds.
    """

    calls: int = 0
    firsts: list[float] = field(default_factory=list)
    lasts: list[float] = field(default_factory=list)
    total_ns: int = 0
    longest: SeenHold | None = None
    histogram: Histogram = field(default_factory=Histogram)

    def add_call(self, holds: Sequence[SeenHold]) -> None:
        """Add the holds of one call, in the order of their ends."""
        own = [hold.ns for hold in holds if hold.is_own]
        self.calls += 1
        whole = max(1, sum(own))
        self.firsts.append(own[0] / whole)
        self.lasts.append(own[-1] / whole)
        for hold in holds:
            self.histogram.record(hold.ns)
            self.total_ns += hold.ns
            if self.longest is None or hold.ns > self.longest.ns:
                self.longest = hold

    def lengths(self) -> Distribution:
        """Return all holds."""
        return Distribution(
            count=len(self.histogram),
            total_ns=self.total_ns,
            max_ns=self.longest.ns if self.longest is not None else 0,
            buckets=self.histogram.buckets(),
        )


def inspect(call: Callable[[], object], calls: int) -> tuple[Holds | None, tuple[str, ...]]:
    """Make some calls under the tracer, and return their holds and doubts.

    None if no call was seen from beginning to end.
    """
    from gilprobe.tracing.tracer import trace

    foreign = python_threads()
    with trace(timeline=True) as traced:
        _delimited(call, calls)
    timeline = traced.timeline()
    tally = tally_calls(seen_holds(timeline, foreign))
    doubts = (*traced.report().warnings,)
    if timeline.dropped:
        doubts = (*doubts, f"{timeline.dropped} events of the calls' timeline are missing")
    if not tally.calls:
        return None, (
            *doubts,
            "no call was seen from beginning to end: single holds are unknown",
        )
    longest = tally.longest
    site = longest.place if longest is not None and longest.place is not None else Frame("", "", 0)
    fraction, blocks = _cpu_of_holds(call, calls)
    return Holds(
        calls=tally.calls,
        lengths=tally.lengths(),
        first_fraction=statistics.median(tally.firsts),
        last_fraction=statistics.median(tally.lasts),
        longest=LongestHold(site.function, site.filename, site.line, longest.ns if longest else 0),
        cpu_fraction=fraction,
        blocks=blocks,
    ), doubts


def _cpu_of_holds(call: Callable[[], object], calls: int) -> tuple[float, float | None]:
    """Return the share of its holds in which the thread ran, and how often a call blocked.

    Measured in separate runs, since the readings cost time. The best run counts: preemption does not hit
    every run.
    """
    each = max(1, calls // _CPU_RUNS)
    before = _switches()
    fraction = max(_cpu_fraction(call, each) for _ in range(_CPU_RUNS))
    after = _switches()
    return fraction, None if before is None or after is None else (after - before) / (_CPU_RUNS * each)


def _switches() -> int | None:
    """Return how often the calling thread blocked in the kernel; None if unknown."""
    try:
        import resource

        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    except (ImportError, AttributeError, ValueError):
        return None


def _cpu_fraction(call: Callable[[], object], calls: int) -> float:
    from gilprobe.tracing.tracer import trace

    me = threading.get_native_id()
    with trace(sites=False, cpu_time=True) as traced:
        _delimited(call, calls)
    accounts = [account for account in traced.report().threads if account.native_id == me]
    hold_ns = sum(account.hold_ns for account in accounts)
    return sum(account.hold_cpu_ns or 0 for account in accounts) / hold_ns if hold_ns else 1.0


def _let_go() -> None:
    kernels.cycle(1)


def _delimited(call: Callable[[], object], calls: int) -> None:
    _let_go()
    for _ in repeat(None, calls):
        call()
        _let_go()


def seen_holds(timeline: Timeline, foreign: set[int]) -> Iterator[SeenHold]:
    """Yield the holds of the calling thread and its helpers, in the order of their ends."""
    me = threading.get_native_id()
    ids = [thread.native_id for thread in timeline.threads]
    frames = [stack[-1] for stack in timeline.places]
    for batch in timeline.batches():
        for kind, thread, place, ns in zip(
            batch.kinds, batch.threads, batch.places, batch.durations_ns, strict=True
        ):
            if kind != HOLD or ids[thread] in foreign:
                continue
            frame = frames[place] if place != NOWHERE else None
            ours = frame is not None and frame.filename == __file__
            boundary = ours and frame is not None and frame.function == _let_go.__qualname__
            own = ids[thread] == me
            yield SeenHold(ns, None if ours else frame, boundary and own, own)


def tally_calls(holds: Iterator[SeenHold]) -> Tally:
    """Add up the holds of whole calls: from the first boundary to the last."""
    tally = Tally()
    begun = False
    call: list[SeenHold] = []
    for hold in holds:
        if begun:
            call.append(hold)
        if hold.is_boundary:
            if begun:
                tally.add_call(call)
            begun, call = True, []
    return tally
