"""What a scenario is: the question, what it is asked with, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gilprobe.measure import Frame, Progress, measure, run_team
from gilprobe.results import TracedArm

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from gilprobe.environment import Environment
    from gilprobe.measure import ArmPlan, Measurement, TeamRun
    from gilprobe.report import Report
    from gilprobe.results import Arm, Fact, Law


class Tracing(Protocol):
    """What a scenario needs of a trace."""

    def report(self) -> Report:
        """Return what was recorded."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a scenario is asked with.

    Attributes
    ----------
    threads : tuple of int
        Rising, starts with 1: the single thread is what all others are compared with.
    frame : Frame
        How to measure.
    environment : Environment
        The interpreter and the machine.
    trace : callable or None
        Starts a trace, as a context manager; None where the tracer does not work.
    trace_reason : str
        Why not; empty where it works.
    progress : callable
        Told how far the scenario is.
    """

    threads: tuple[int, ...]
    frame: Frame
    environment: Environment
    trace: Callable[[], AbstractContextManager[Tracing]] | None
    trace_reason: str
    progress: Progress

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
    traces: tuple[TracedArm, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One experiment of the catalogue.

    Attributes
    ----------
    id : str
        What ``gilprobe run`` is told.
    title : str
        What it shows, in one line.
    group : str
        Where the catalogue lists it.
    measure : callable
        Does the experiment.
    """

    id: str
    title: str
    group: str
    measure: Callable[[Request], Findings]


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
        The same runs as the threads' own clocks saw them.
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
    warnings = list(measurement.warnings)
    traces, runs = [], []
    for number, (plan, operations) in enumerate(zip(plans, measurement.operations, strict=True)):
        if request.trace is None:
            break
        request.progress(f"traces {plan.name}", timed_share + (1 - timed_share) * number / len(plans))
        with request.trace() as trace:
            run = run_team(plan, operations, clock=request.frame.clock)
        report = trace.report()
        traces.append(TracedArm(plan.name, plan.threads, report))
        runs.append(run)
        warnings += [f"trace of {plan.name}, {plan.threads}: {text}" for text in report.warnings]
    return Observation(measurement, tuple(traces), tuple(runs), tuple(dict.fromkeys(warnings)))
