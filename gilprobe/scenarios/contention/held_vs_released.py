"""The same compiled loop with the GIL held and released: what an extension gains by releasing it.

Both arms run the same machine code. Held, the threads take turns, so T threads do as much as one. Released,
they compute in parallel, up to the number of usable cores. Without a GIL (free-threaded builds) both arms
scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe import kernels
from gilprobe.measuring.teams import ArmPlan
from gilprobe.results import Law
from gilprobe.scenarios.laws import (
    by_name,
    claim,
    parallel_law,
    scaling_facts,
    speedup_law,
    untestable,
    verdict,
)
from gilprobe.scenarios.scenario import Findings, Observation, Request, Scenario, observe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.results import Arm

HELD_RANGE = (0.90, 1.05)
"""Speedup that counts as none: handoffs cost a little, and measurements vary."""

_OFF_SHARE = 0.95


def _held(operations: int) -> None:
    kernels.spin(operations)


def _released(operations: int) -> None:
    kernels.spin(operations, release_gil=True)


def measure(request: Request) -> Findings:
    """Measure both arms for every number of threads, and derive speedups and laws."""
    plans = tuple(
        ArmPlan(name=name, threads=threads, work=work)
        for threads in request.threads
        for name, work in (("held", _held), ("released", _released))
    )
    seen = observe(request, plans)
    arms = seen.measurement.arms
    laws = [*_speedup_laws(request, arms), *_trace_laws(request, seen)]
    return Findings(arms, scaling_facts(arms), tuple(laws), seen.traces, seen.warnings)


def _speedup_laws(request: Request, arms: tuple[Arm, ...]) -> Iterator[Law]:
    cores = request.environment.cores
    single, others = by_name(arms, "held")
    for arm in others:
        if request.gil_enabled:
            yield speedup_law("held: as fast as one", arm, single, *HELD_RANGE)
        else:
            yield parallel_law("held: min(T, N), as there is no GIL to hold", arm, single, cores)
    single, others = by_name(arms, "released")
    for arm in others:
        yield parallel_law("released: min(T, N)", arm, single, cores)


def _trace_laws(request: Request, seen: Observation) -> Iterator[Law]:
    """Yield laws that explain the numbers: held, the workers hold or wait; released, they are off."""
    texts = {
        "held": ("held: threads hold or wait, never compute without the GIL", "hold + wait"),
        "released": ("released: threads compute without the GIL", "off"),
    }
    most = request.threads[-1]
    for name, (text, quantity) in texts.items():
        text = f"{text}, {most} thread{'s' if most > 1 else ''}"
        expected = f"{quantity} >= {_OFF_SHARE:.0%}"
        if request.trace is None:
            yield untestable(text, expected, request.trace_reason)
        else:
            share = _share(seen, name, most, quantity)
            numbers = claim(share, _OFF_SHARE, None, "share", about=name)
            yield Law(text, expected, f"{quantity} {share:.1%}", verdict(share >= _OFF_SHARE), numbers)


def _share(seen: Observation, name: str, threads: int, quantity: str) -> float:
    """Return the workers' mean share of `quantity`, from the common start to each one's end."""
    pairs = zip(seen.traces, seen.traced_runs, strict=True)
    traced, run = next(pair for pair in pairs if (pair[0].name, pair[0].threads) == (name, threads))
    start_ns = min(member.start_ns for member in run.members)
    ran_ns = sum(member.end_ns - start_ns for member in run.members)
    workers = {member.native_id for member in run.members}
    busy_ns = sum(a.hold_ns + a.wait_ns for a in traced.report.threads if a.native_id in workers)
    share = busy_ns / ran_ns
    return min(share, 1.0) if quantity == "hold + wait" else max(0.0, 1.0 - share)


SCENARIO = Scenario(
    id="held-vs-released",
    title="The same compiled loop with the GIL held and released",
    group="contention",
    measure=measure,
    headline=True,
)
