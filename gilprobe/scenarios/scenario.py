"""What a scenario is: the question, what it is asked with, and what it finds."""

from __future__ import annotations

import math
from dataclasses import dataclass
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
"""Where the catalogue lists a scenario; in the order in which it does."""


class Tracing(Protocol):
    """What a scenario needs of a trace."""

    def report(self) -> Report:
        """Return what was recorded."""


class TimelineTracing(Protocol):
    """What a scenario needs of a trace that keeps every hold, after its end."""

    def timeline(self) -> Timeline:
        """Return what was recorded."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a scenario is asked with.

    Attributes
    ----------
    threads : tuple of int
        Rising, starts with 1: the single thread is what all others are compared with.
    frame : Settings
        How to measure.
    environment : Environment
        The interpreter and the machine.
    trace : callable or None
        Starts a trace, as a context manager; None where the tracer does not work.
    trace_reason : str
        Why not; empty where it works.
    progress : callable
        Told how far the scenario is, between its runs. May raise, to end it, and may take its time.
    quick : bool
        Whether a first look is wanted: fewer arms and shorter runs, where `frame` does not say so already.
    trace_timeline : callable or None
        Starts a trace that has a timeline, as a context manager; None where there is no tracer.
    """

    threads: tuple[int, ...]
    frame: Settings
    environment: Environment
    trace: Callable[[], AbstractContextManager[Tracing]] | None
    trace_reason: str
    progress: Progress
    quick: bool = False
    trace_timeline: Callable[[], AbstractContextManager[TimelineTracing]] | None = None

    @property
    def gil_enabled(self) -> bool:
        """Whether there is a GIL to be held."""
        return self.environment.gil_enabled


@dataclass(frozen=True, slots=True)
class Findings:
    """What a scenario found; the parts of a :class:`~gilprobe.results.ScenarioResult` that are its own."""

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
        What ``gilprobe run`` is told.
    title : str
        What it shows, in one line.
    group : {"lessons", "contention", "reference counts", "engines"}
        Where the catalogue lists it.
    measure : callable
        Does the experiment.
    missing : callable
        Tells of an interpreter and machine what they lack to show it; ``""``: nothing.
    ceiling_s : float
        How long it may take before it is cut, seconds.
    headline : bool
        Whether ``gilprobe run`` runs it when it is not told what to run.

    Raises
    ------
    ScenarioError
        If the identifier is not made of lower-case letters, digits and hyphens, or the group is none of
        these.
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
        The same runs as the threads' own clocks saw them; empty if there were trials only.
    warnings : tuple of str
        The measurement's doubts and those of the traces.
    """

    measurement: Measurement
    traces: tuple[TracedArm, ...]
    traced_runs: tuple[TeamRun, ...]
    warnings: tuple[str, ...]


def observe(request: Request, plans: tuple[ArmPlan, ...]) -> Observation:
    """Measure the arms, then trace each of them once.

    The traced run is an extra one: what is timed is never what is traced.
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
        request.progress(f"traces {plan.name}", timed_share + (1 - timed_share) * number / len(plans))
        with request.trace() as trace:
            runs.append(run_team(plan, operations, clock=request.frame.clock))
        traces.append(TracedArm(plan.name, plan.threads, trace.report()))
    return Observation(
        measurement, tuple(traces), tuple(runs), (*measurement.warnings, *_trace_doubts(traces))
    )


def observe_trials(request: Request, trials: Sequence[Trial], *, warm_up: bool = True) -> Observation:
    """Sample the trials, then trace each of them once more; see :func:`observe`.

    The runs of trials tell nothing of their threads: `traced_runs` stays empty.
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
        progress(f"traces {trial.name}", number / len(trials))
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
