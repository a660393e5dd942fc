"""The parts of a scenario: its request, its findings, and its measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from gilprobe.errors import ScenarioError
from gilprobe.measuring.measure import Progress, Settings, measure, measure_trials
from gilprobe.measuring.teams import run_team
from gilprobe.results import TracedArm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from gilprobe.measuring.measure import Measurement, Trial
    from gilprobe.measuring.teams import ArmPlan, TeamRun
    from gilprobe.model.environment import Environment
    from gilprobe.model.timeline import Timeline
    from gilprobe.report import Report
    from gilprobe.results import Arm, Fact, Law

Group = Literal["lessons", "contention", "reference counts", "engines"]
"""The groups of the catalogue, in order."""


class Tracing(Protocol):
    """What a scenario needs from a trace."""

    def report(self) -> Report:
        """Return the recorded data."""


class TimelineTracing(Protocol):
    """What a scenario needs from an ended trace with a timeline."""

    def timeline(self) -> Timeline:
        """Return the recorded data."""


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of a scenario.

    Attributes
    ----------
    threads : tuple of int
        Rising, from 1: the single thread is the base of all comparisons.
    frame : Settings
        How to measure.
    environment : Environment
        The interpreter and the machine.
    trace : callable or None
        Starts a trace, as a context manager; None where the tracer does not work.
    trace_reason : str
        Why it does not work; else empty.
    progress : callable
        Called between its runs with the progress. May raise, to end the scenario, and may block.
    quick : bool
        Whether to use fewer arms and shorter runs, unless `frame` does already.
    trace_timeline : callable or None
        Starts a trace with a timeline, as a context manager; None where the tracer does not work.
    trace_locks : callable or None
        Starts a trace of locks, with or without a GIL; None where locks can't be traced.
    trace_locks_reason : str
        Why they can't; else empty.
    """

    threads: tuple[int, ...]
    frame: Settings
    environment: Environment
    trace: Callable[[], AbstractContextManager[Tracing]] | None
    trace_reason: str
    progress: Progress
    quick: bool = False
    trace_timeline: Callable[[], AbstractContextManager[TimelineTracing]] | None = None
    trace_locks: Callable[[], AbstractContextManager[Tracing]] | None = None
    trace_locks_reason: str = ""

    def tracing_locks(self) -> Request:
        """Return the request with traces of locks as its traces."""
        return replace(self, trace=self.trace_locks, trace_reason=self.trace_locks_reason)

    @property
    def gil_enabled(self) -> bool:
        """Return whether there is a GIL."""
        return self.environment.gil_enabled


@dataclass(frozen=True, slots=True)
class Findings:
    """The findings of a scenario: its own parts of a :class:`~gilprobe.results.ScenarioResult`."""

    arms: tuple[Arm, ...]
    facts: tuple[Fact, ...]
    laws: tuple[Law, ...]
    traces: tuple[TracedArm, ...] = ()
    warnings: tuple[str, ...] = ()
    printed: str = ""


def _everywhere(_environment: Environment) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One experiment of the catalogue.

    Attributes
    ----------
    id : str
        Its name for ``gilprobe run``.
    title : str
        Its description in one line.
    group : {"lessons", "contention", "reference counts", "engines"}
        Its group in the catalogue.
    measure : callable
        Runs the experiment.
    missing : callable
        Returns what an interpreter and machine lack to run it; ``""``: nothing.
    ceiling_s : float
        Its time limit, seconds.
    headline : bool
        Whether ``gilprobe run`` without identifiers runs it.

    Raises
    ------
    ScenarioError
        If the identifier has other characters than lower-case letters, digits and hyphens, or the group is
        unknown.
    """

    id: str
    title: str
    group: Group
    measure: Callable[[Request], Findings]
    missing: Callable[[Environment], str] = _everywhere
    ceiling_s: float = 120.0
    headline: bool = False

    def __post_init__(self) -> None:
        words = self.id.split("-") if self.id.isascii() else [""]
        if not all(word.isalnum() and word == word.lower() for word in words):
            raise ScenarioError(
                f"a scenario's id must be lower-case letters, digits and hyphens, got {ascii(self.id)[:60]}"
            )
        if self.group not in get_args(Group):
            groups = ", ".join(get_args(Group))
            raise ScenarioError(f"a scenario's group must be one of {groups}; got {ascii(self.group)[:60]}")
        if not 0 < self.ceiling_s < math.inf:
            raise ScenarioError(f"ceiling_s must be finite and > 0, got {self.ceiling_s!r}")


@dataclass(frozen=True, slots=True)
class Observation:
    """Measured arms, and one extra, untimed run of each under a trace.

    Attributes
    ----------
    measurement : Measurement
        The timed runs.
    traces : tuple of TracedArm
        In the order of the arms; empty where the tracer does not work.
    traced_runs : tuple of TeamRun
        The same runs by the threads' own clocks; empty for trials.
    warnings : tuple of str
        Doubts of the measurement and of the traces.
    """

    measurement: Measurement
    traces: tuple[TracedArm, ...]
    traced_runs: tuple[TeamRun, ...]
    warnings: tuple[str, ...]


def observe(request: Request, plans: tuple[ArmPlan, ...]) -> Observation:
    """Measure the arms, then trace each of them once.

    The traced run is an extra one: timed runs are never traced.
    """
    timed_share = 0.9 if request.trace else 1.0
    measurement = measure(
        plans, request.frame, lambda label, share: request.progress(label, share * timed_share)
    )
    runs: list[TeamRun] = []
    traces = []
    for number, (plan, operations) in enumerate(zip(plans, measurement.operations, strict=True)):
        if request.trace is None:
            break
        request.progress(f"tracing {plan.name}", timed_share + (1 - timed_share) * number / len(plans))
        with request.trace() as trace:
            runs.append(run_team(plan, operations, clock=request.frame.clock))
        traces.append(TracedArm(plan.name, plan.threads, trace.report()))
    return Observation(
        measurement, tuple(traces), tuple(runs), (*measurement.warnings, *_trace_doubts(traces))
    )


def observe_trials(request: Request, trials: Sequence[Trial], *, warm_up: bool = True) -> Observation:
    """Sample the trials, then trace each of them once more; see :func:`observe`.

    Runs of trials have no data about threads: `traced_runs` stays empty.
    """
    parts = len(trials) * (request.frame.repeat + warm_up + 1)
    timed_share = 1 - len(trials) / parts if request.trace else 1.0
    measurement = measure_trials(
        trials,
        request.frame,
        lambda label, share: request.progress(label, share * timed_share),
        warm_up=warm_up,
    )
    traces, doubts = trace_trials(
        request,
        trials,
        lambda label, share: request.progress(label, timed_share + (1 - timed_share) * share),
    )
    return Observation(measurement, traces, (), (*measurement.warnings, *doubts))


def trace_trials(
    request: Request, trials: Sequence[Trial], progress: Progress
) -> tuple[tuple[TracedArm, ...], tuple[str, ...]]:
    """Run each trial once under a trace; return the traces (none without a tracer) and their doubts."""
    traces = []
    for number, trial in enumerate(trials):
        if request.trace is None:
            break
        progress(f"tracing {trial.name}", number / len(trials))
        with request.trace() as trace:
            trial.run()
        traces.append(TracedArm(trial.name, trial.threads, trace.report()))
    return tuple(traces), _trace_doubts(traces)


def _trace_doubts(traces: Iterable[TracedArm]) -> tuple[str, ...]:
    doubts = (
        f"trace of {traced.name}, {traced.threads}: {text}"
        for traced in traces
        for text in traced.report.warnings
    )
    return tuple(dict.fromkeys(doubts))
