"""A pure-Python countdown split between threads: the experiment that everyone tries first.

Interpreting bytecode needs the GIL, so T threads together count no faster than one, and lose a little to
handoffs. A free-threaded build counts min(T, N) times as fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.measuring.teams import ArmPlan
from gilprobe.results import Fact
from gilprobe.scenarios.laws import by_name, parallel_law, scaling_facts, speedup_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.results import Arm, Law

SERIAL_RANGE = (0.95, 1.0)
"""Speedup under a GIL: at best none, at worst a twentieth lost to handoffs."""

CHUNK = 50_000
"""Steps between two checks whether the team was cancelled: one to three milliseconds."""


def countdown(steps: int) -> None:
    """Count down from `steps` to zero."""
    while steps:
        steps -= 1


def measure(request: Request) -> Findings:
    """Measure the countdown for every number of threads."""
    plans = tuple(
        ArmPlan(name="countdown", threads=threads, work=countdown, unit="steps/s", chunk=CHUNK)
        for threads in request.threads
    )
    seen = observe(request, plans)
    arms = seen.measurement.arms
    facts = [*scaling_facts(arms)]
    for traced in seen.traces:
        rate = traced.report.handoffs / traced.report.elapsed_s
        facts.append(Fact(f"handoffs_{traced.threads}", rate, "1/s"))
    return Findings(arms, tuple(facts), tuple(_laws(request, arms)), seen.traces, seen.warnings)


def _laws(request: Request, arms: tuple[Arm, ...]) -> Iterator[Law]:
    single, others = by_name(arms, "countdown")
    for arm in others:
        if request.gil_enabled:
            yield speedup_law("one thread counts at a time", arm, single, *SERIAL_RANGE)
        else:
            yield parallel_law("min(T, N), as there is no GIL", arm, single, request.environment.cores)


SCENARIO = Scenario(
    id="python-loop",
    title="A pure-Python countdown split between threads",
    group="contention",
    measure=measure,
    headline=True,
)
