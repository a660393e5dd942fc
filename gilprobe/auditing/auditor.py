"""Audit one call: sample it in turns with an empty one, then inspect single holds, then run teams."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gilprobe.auditing import verdicts
from gilprobe.auditing.inspection import MOST_EVENTS, inspect
from gilprobe.auditing.speedups import measured
from gilprobe.auditing.traced_calls import (
    Baseline,
    Overhead,
    Sample,
    calls_within,
    make_calls,
    released_shares,
    sample,
)
from gilprobe.auditing.verdicts import VerdictInput
from gilprobe.auditing.waited_locks import waited_locks
from gilprobe.errors import UnsupportedError
from gilprobe.measuring import host
from gilprobe.measuring.measure import interleave
from gilprobe.measuring.surroundings import Surroundings
from gilprobe.model.audit_result import AuditResult, Holds
from gilprobe.model.confidence import bootstrap_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilprobe.measuring.measure import Progress, Settings

RUN_SHARE = 10
"""Duration of a traced run of short calls, as a share of an arm of the speedups."""

_LONG_NS = 1_000_000
"""Longer calls are run for a whole arm. After a long call a trace ends on cold caches, which takes 0.15 ms
more than after the empty call: little of a whole arm."""

_FEW, _SLOW_NS = 5, 200_000_000

NOTHING = partial(len, ())
"""Do nearly nothing."""


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What to audit, and how.

    Attributes
    ----------
    name : str
        Name in the result.
    call : callable
        The call, without arguments.
    nothing : callable
        An empty call of the same kind.
    threads : tuple of int
        Sizes of teams, 1 first.
    settings : Settings
        How to measure.
    progress : callable
        Called between the runs with the next step and the progress.
    own : callable
        Makes the call on objects of its own; returns None if it has none.
    """

    name: str
    call: Callable[[], object]
    nothing: Callable[[], object]  # an empty call of the same kind
    threads: tuple[int, ...]
    settings: Settings
    progress: Progress
    own: Callable[[], Callable[[], object] | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Shares:
    """Results of the samples, per call."""

    samples: tuple[Sample, ...]
    overhead: Overhead
    plain_loop_ns: float

    def _median(self, number: Callable[[Sample], float]) -> float:
        return statistics.median(number(taken) / taken.calls for taken in self.samples)

    @property
    def released(self) -> tuple[float, float, float]:
        """Median of the released share, and its interval; a rare single release doesn't count."""
        shares = released_shares(self.samples, self.overhead)
        return statistics.median(shares), *bootstrap_interval(shares)

    @property
    def call_ns(self) -> float:
        """Duration of a call, untraced, without the loop."""
        return max(0.0, self._median(lambda taken: taken.plain_ns) - self.plain_loop_ns)

    @property
    def forced(self) -> float:
        """Forced releases per call."""
        return self._median(lambda taken: taken.forced)

    @property
    def slowdown(self) -> float:
        """Duration under the trace over the duration without."""
        return statistics.median(taken.slowdown for taken in self.samples)

    @property
    def of_a_loop(self) -> tuple[float, float]:
        """The held share and the CPU share of calls in a loop, as teams make them."""
        held = statistics.median(1 - taken.released_ns / _traced_ns(taken) for taken in self.samples)
        return held, self._median(lambda taken: taken.plain_cpu_ns * taken.calls / max(1, taken.plain_ns))

    def calls_to_inspect(self) -> int:
        """Return how many calls to inspect: several, unless they are slow or release often."""
        calls = max(self.samples[0].calls, _FEW if self.call_ns < _SLOW_NS else 1)
        return max(1, min(calls, int(MOST_EVENTS / (self._median(lambda taken: taken.releases) + 1))))

    def numbers(self, holds: Holds | None) -> VerdictInput:
        """Return the numbers for a verdict."""
        share, _, _ = self.released
        hold_ns = self._median(lambda taken: taken.held_ns(self.overhead))
        released_ns = self._median(lambda taken: taken.released_ns) if share else 0.0
        releases = self._median(lambda taken: taken.releases)
        others_ns = self._median(lambda taken: taken.others_hold_ns)
        if holds is None:
            return VerdictInput(share, hold_ns, released_ns, releases, others_ns)
        return VerdictInput(
            share,
            hold_ns,
            released_ns,
            releases,
            others_ns,
            first_fraction=holds.first_fraction,
            last_fraction=holds.last_fraction,
            cpu_fraction=holds.cpu_fraction,
            blocks=holds.blocks,
        )


def _traced_ns(taken: Sample) -> int:
    return max(1, taken.hold_ns + taken.off_ns)


def carry_out(request: AuditRequest) -> AuditResult:
    """Audit a call.

    Returns
    -------
    AuditResult
        The result.

    Raises
    ------
    UnsupportedError
        If there is a GIL which can't be traced here.
    BaseException
        Whatever the call raises.
    """
    able = host.capabilities()
    if able.gil_enabled and able.tracer == "none":
        raise UnsupportedError(f"the GIL can't be traced: {able.tracer_reason}")
    surroundings = Surroundings(request.settings)
    return _audit(request, surroundings) if able.gil_enabled else _without_gil(request, surroundings)


def take_samples(request: AuditRequest) -> Shares:
    """Sample the call in turns with an empty one."""
    request.progress("calibrating", 0.0)
    calls = _calls_of_a_run(request)
    baseline = Baseline(request.nothing)
    samples = []
    for number, turn in enumerate(interleave(2, request.settings.repeat)):
        request.progress("sampling", 0.3 * number / request.settings.repeat)
        for index in turn:
            if index:
                baseline.take(calls)
            else:
                samples.append(sample(request.call, calls))
    return Shares(tuple(samples), baseline.overhead(), baseline.plain_call_ns())


def _calls_of_a_run(request: AuditRequest) -> int:
    run_ns = request.settings.arm_ns // RUN_SHARE
    calls = calls_within(request.call, run_ns)
    if calls * _LONG_NS > run_ns:
        return calls
    return max(calls, calls_within(request.call, request.settings.arm_ns))


def _audit(request: AuditRequest, surroundings: Surroundings) -> AuditResult:
    shares = take_samples(request)
    request.progress("inspecting its holds", 0.3)
    holds, hold_doubts = inspect(request.call, shares.calls_to_inspect())
    request.progress("looking for locks", 0.35)
    locks = waited_locks(request.call, request.threads, request.settings)
    speedups, _, speedup_doubts = measured(
        request.call, request.threads, request.settings, _later(request.progress, 0.4), shares.of_a_loop
    )
    numbers = shares.numbers(holds)
    share, low, high = shares.released
    doubts = verdicts.doubts(
        numbers,
        call_ns=shares.call_ns,
        interval=(low, high),
        forced_per_call=shares.forced,
        slowdown=shares.slowdown,
    )
    return AuditResult(
        name=request.name,
        verdict=verdicts.verdict(numbers),
        call_ns=round(shares.call_ns),
        calls=sum(taken.calls for taken in shares.samples) + (0 if holds is None else holds.calls),
        released_fraction=share,
        released_low=low,
        released_high=high,
        hold_ns=round(numbers.hold_ns),
        released_ns=round(numbers.released_ns),
        releases=numbers.releases,
        others_hold_ns=round(numbers.others_hold_ns),
        holds=holds,
        speedups=speedups,
        gil_switched_on_by="",
        warnings=_once(*surroundings.doubts(), *doubts, *hold_doubts, *speedup_doubts),
        environment=host.read_environment(),
        locks=locks,
    )


def _without_gil(request: AuditRequest, surroundings: Surroundings) -> AuditResult:
    """Audit a call without a GIL: whether it scales, on shared objects and on own ones, and its locks."""
    request.progress("calibrating", 0.0)
    calls = calls_within(request.call, request.settings.arm_ns // RUN_SHARE)
    call_ns = statistics.median(_plain_ns(request.call, calls) for _ in range(request.settings.repeat))
    request.progress("looking for locks", 0.1)
    locks = waited_locks(request.call, request.threads, request.settings)
    own_calls, own_doubts = _own_calls(request)
    speedups, own_speedups, doubts = measured(
        request.call, request.threads, request.settings, _later(request.progress, 0.2), None, own_calls
    )
    return AuditResult(
        name=request.name,
        verdict=verdicts.verdict_without_gil(speedups, request.settings.cores(), own_speedups),
        call_ns=round(call_ns),
        calls=calls * request.settings.repeat,
        released_fraction=None,
        released_low=None,
        released_high=None,
        hold_ns=None,
        released_ns=None,
        releases=None,
        others_hold_ns=None,
        holds=None,
        speedups=speedups,
        gil_switched_on_by="",
        warnings=_once(*surroundings.doubts(), *doubts, *own_doubts),
        environment=host.read_environment(),
        locks=locks,
        own_speedups=own_speedups,
    )


def _own_calls(request: AuditRequest) -> tuple[list[Callable[[], object]], tuple[str, ...]]:
    """Return a call for each member of the largest team, on objects of its own; or a doubt why not."""
    size = request.threads[-1]
    if size == 1:
        return [], ()
    made = []
    try:
        for _ in range(size):
            call = request.own()
            if call is None:
                return [], ()
            call()  # it may need a warm-up like the others, and must not fail later
            made.append(call)
    except Exception as error:  # of foreign code: most objects that can't be copied
        text = " ".join(str(error).split())[:100]
        return [], (f"own objects: it can't be called on copies: {type(error).__name__}: {text}",)
    return made, ()


def _plain_ns(call: Callable[[], object], calls: int) -> float:
    start_ns = time.perf_counter_ns()
    make_calls(call, calls)
    return (time.perf_counter_ns() - start_ns) / calls


def _later(progress: Progress, begun: float) -> Progress:
    return lambda label, share: progress(label, begun + (1 - begun) * share)


def _once(*doubts: str) -> tuple[str, ...]:
    """Return the doubts; of several about the surroundings only the first, which covers the whole audit."""
    kept: dict[str, str] = {}
    for doubt in doubts:
        kind = doubt.partition(":")[0]
        kept.setdefault(kind if kind in ("other load", "steal", "clock") else doubt, doubt)
    return tuple(kept.values())
