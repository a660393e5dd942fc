"""Amdahl's law with the GIL as the serial part: releasing it for a share p of the work gains at most 1/(1-p).

Each operation is some arithmetic with the GIL held and some with it released. While one thread computes
without the GIL, another can compute with it; the held parts queue up. So T threads on N cores are never
faster than min(T, N), nor than 1/(1-p): with half of the work released two cores can be kept busy, but no
third one, however many threads there are (G. M. Amdahl, "Validity of the single processor approach to
achieving large scale computing capabilities", AFIPS 1967).

The queue itself costs time: a waiting thread gets the GIL one handoff after its release, and meanwhile nobody
has it. This is measured first, and included in the law. The bound can be reached only if each thread has a
core: with more threads than cores the one that holds the GIL may be suspended.

Without a GIL nothing queues up, and all shares scale alike.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gilprobe import kernels
from gilprobe.measuring.teams import ArmPlan
from gilprobe.results import Fact
from gilprobe.scenarios.laws import by_name, parallel_law, speedup_law, untestable
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe
from gilprobe.scenarios.support.budget import shortened
from gilprobe.scenarios.support.costs import handoff_s, iteration_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.measuring.teams import MemberWork
    from gilprobe.results import Arm, Law

SHARES = (0, 50, 75, 90, 100)
"""Released, percent of the work."""

QUICK_SHARES = (0, 50)

OPERATION_NS = 1_000_000
"""Duration of an operation in one thread: many handoffs, below the switch interval: no forced releases."""

_NEAR = 0.90
_SLACK = 1.05


def measure(request: Request) -> Findings:
    """Measure the speedup of T threads with growing released shares of the same work."""
    shares = QUICK_SHARES if request.quick else SHARES
    iterations = max(100, round(OPERATION_NS / iteration_ns(request.frame.clock)))
    handoff = handoff_s(request.frame.clock) if request.gil_enabled else 0.0
    plans = tuple(
        ArmPlan(name=_name(share), threads=threads, work=_work(iterations, share))
        for share in shares
        for threads in request.threads
    )
    seen = observe(shortened(request, len(plans)), plans)
    arms = seen.measurement.arms
    facts = [Fact("handoff", handoff, "s")] if request.gil_enabled else []
    laws: list[Law] = []
    for share in shares:
        single, others = by_name(arms, _name(share))
        facts += [Fact(f"speedup_{share}_{arm.threads}", arm.median / single.median, "") for arm in others]
        laws += _laws(request, share, single, others, handoff)
    return Findings(arms, tuple(facts), tuple(laws), seen.traces, seen.warnings)


def _name(share: int) -> str:
    return f"{share}% released"


def _work(iterations: int, share: int) -> MemberWork:
    released = iterations * share // 100
    held = iterations - released

    def work(operations: int) -> None:
        for _ in range(operations):
            if held:
                kernels.spin(held)
            if released:
                kernels.spin(released, release_gil=True)

    return work


def _laws(
    request: Request, share: int, single: Arm, others: tuple[Arm, ...], handoff: float
) -> Iterator[Law]:
    cores = request.environment.cores
    for arm in others:
        if not request.gil_enabled:
            yield parallel_law(f"{share}%: min(T, N), as there is no GIL", arm, single, cores)
            continue
        bound = bound_of(share, arm.threads, cores)
        if cores == 1:
            text = f"{share}%: at most min(T, N, 1/(1-p)), {arm.threads} threads"
            yield untestable(text, f"<= {bound:.2f}x", "1 usable core")
        elif arm.threads > cores:
            yield speedup_law(f"{share}%: at most min(T, N, 1/(1-p))", arm, single, 0.0, _SLACK * bound)
        else:
            near = _NEAR * reachable(share, arm.threads, cores, handoff * single.median)
            text = f"{share}%: min(T, N, 1/(1-p)), less the handoffs"
            yield speedup_law(text, arm, single, near, _SLACK * bound)


def bound_of(share: int, threads: int, cores: int) -> float:
    """Return Amdahl's bound: ``min(T, N, 1/(1-p))`` with p in percent."""
    return min(threads, cores, 100 / (100 - share) if share < 100 else math.inf)


def reachable(share: int, threads: int, cores: int, handoff: float) -> float:
    """Return the speedup if each held part has to wait for a handoff.

    Parameters
    ----------
    share : int
        Released, percent.
    threads, cores : int
        Number of threads, and of cores.
    handoff : float
        Its length, as a share of one operation's.
    """
    parallel = 1 / min(threads, cores)
    if share == 100:
        return 1 / parallel
    # Nothing released: a handoff per switch interval, not per operation.
    serial = (100 - share) / 100 + (handoff if share else 0.0)
    return 1 / max(parallel, serial)


SCENARIO = Scenario(
    id="amdahl",
    title="A growing share of the work releases the GIL: Amdahl's law",
    group="contention",
    measure=measure,
)
