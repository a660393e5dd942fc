"""Releasing the GIL pays off only if it stays released for long enough: the grain.

The arithmetic runs without the GIL, but reacquires it after every grain and releases it at once. With long
grains that costs nothing: T threads are min(T, N) times as fast as one. With short ones the threads meet at
the GIL all the time, although each needs it only for a moment. A thread that finds it taken sleeps in the
kernel and has to be woken up, which takes a hundred times as long as an acquisition: with grains shorter than
such a handoff it is better not to release the GIL.

So two costs are measured first: an undisturbed release and reacquisition (the cycle), and a handoff. A thread
that loses a handoff after each grain does grain/(grain + handoff) of its work; threads that never meet lose
nothing; the speedup lies between. For grains below a handoff theory says that threads are slower than one. It
assumes that they meet at each grain, but the GIL is needed for a cycle only, so compiled code finds it free
nearly always. The trace counts how often they met, which gives a law without that assumption: each meeting
costs a handoff, so T threads do grain/(grain + met * handoff) of their work, where met is the share of the
acquisitions that found the GIL taken. Without a GIL all grains scale alike.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gilprobe import kernels
from gilprobe.durations import duration
from gilprobe.measuring.teams import ArmPlan, throughput
from gilprobe.results import Fact, Law
from gilprobe.scenarios.laws import (
    PARALLEL_SHARE,
    by_name,
    claim,
    parallel_law,
    speedup_law,
    untestable,
    verdict,
)
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe
from gilprobe.scenarios.support.budget import shortened
from gilprobe.scenarios.support.costs import handoff_s, iteration_ns
from gilprobe.scenarios.support.switching import key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.measuring.teams import MemberWork, TeamRun
    from gilprobe.results import Arm, TracedArm
    from gilprobe.scenarios.scenario import Observation

GRAINS_S = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)

QUICK_GRAINS_S = (1e-6, 1e-3)

_CYCLES = 20_000

_ABOUT = 2.0
"""Factor within which a meeting costs "about" a handoff: both threads pay."""

_LOST = 0.10
"""From this share of the threads' time on, other load is mentioned."""


def measure(request: Request) -> Findings:
    """Measure teams that reacquire the GIL after grains of several lengths."""
    grains = QUICK_GRAINS_S if request.quick else GRAINS_S
    pace_ns = iteration_ns(request.frame.clock)
    plans = tuple(
        ArmPlan(_name(grain_s), threads, _work(max(1, round(grain_s * 1e9 / pace_ns))), unit="iterations/s")
        for grain_s in grains
        for threads in request.threads
    )
    handoff = handoff_s(request.frame.clock) if request.gil_enabled else 0.0
    facts = [Fact("cycle", kernels.cycle(_CYCLES) / _CYCLES / 1e9, "s")]
    facts += [Fact("handoff", handoff, "s")] if request.gil_enabled else []
    seen = observe(shortened(request, len(plans)), plans)
    arms = seen.measurement.arms
    met = {(traced.name, traced.threads): _met(traced) for traced in seen.traces}
    laws: list[Law] = []
    for grain_s in grains:
        single, others = by_name(arms, _name(grain_s))
        for arm in others:
            facts.append(Fact(f"speedup_{key(grain_s)}_{arm.threads}", arm.median / single.median, ""))
            law = _law(request, grain_s, arm, single, handoff)
            laws.append(_explained(law, met.get((arm.name, arm.threads))))
    lengths = [grain_s for grain_s in grains for _ in request.threads]
    for grain_s, traced in zip(lengths, seen.traces, strict=False):
        name = f"{key(grain_s)}_{traced.threads}"
        facts.append(Fact(f"handoffs_{name}", traced.report.handoffs / traced.report.elapsed_s, "1/s"))
        facts.append(Fact(f"met_{name}", _met(traced), ""))
    if handoff:
        laws += _met_laws(request, lengths, seen, handoff)
    return Findings(arms, tuple(facts), tuple(laws), seen.traces, seen.warnings)


def _name(grain_s: float) -> str:
    return f"every {duration(grain_s)}"


def _work(every: int) -> MemberWork:
    def work(iterations: int) -> None:
        kernels.grain(iterations, every)

    return work


def _law(request: Request, grain_s: float, arm: Arm, single: Arm, handoff: float) -> Law:
    cores = request.environment.cores
    if not request.gil_enabled:
        return parallel_law(f"{_name(grain_s)}: min(T, N), as there is no GIL", arm, single, cores)
    limit = min(arm.threads, cores)
    if grain_s < handoff:
        text = f"{_name(grain_s)}, less than a handoff: slower than one"
        return speedup_law(text, arm, single, 0.0, 1.0)
    if cores == 1:
        return untestable(f"{_name(grain_s)}: min(T, N), {arm.threads} threads", "1.00x", "1 usable core")
    high = limit * (2 - PARALLEL_SHARE)
    if arm.threads > cores:  # the system may suspend the holder for far longer than a handoff
        return speedup_law(f"{_name(grain_s)}: at most min(T, N)", arm, single, 0.0, high)
    low = PARALLEL_SHARE * limit * grain_s / (grain_s + handoff)
    return speedup_law(f"{_name(grain_s)}: min(T, N), less a handoff a grain at most", arm, single, low, high)


def _met_laws(request: Request, lengths: list[float], seen: Observation, handoff: float) -> Iterator[Law]:
    """Yield the law of short grains that a meeting costs a handoff, from rates and meetings of the same runs.

    With more threads than cores another thread uses the core meanwhile, so the loss is unknown.
    """
    single = 0.0
    for grain_s, traced, run in zip(lengths, seen.traces, seen.traced_runs, strict=False):
        if traced.threads == 1:
            single = throughput(run)
        elif grain_s < handoff and traced.threads <= request.environment.cores:
            law = _met_law(grain_s, traced, throughput(run) / single, handoff)
            lost = lost_share(traced, run)
            told = f"; other load had the cores {lost:.0%} of the time" if lost > _LOST else ""
            yield dataclasses.replace(law, measured=law.measured + told)


def _met_law(grain_s: float, traced: TracedArm, speedup: float, handoff: float) -> Law:
    met = _met(traced)
    low, high = (
        traced.threads * grain_s / (grain_s + met * handoff * factor) for factor in (_ABOUT, 1 / _ABOUT)
    )
    low, high = PARALLEL_SHARE * low, (2 - PARALLEL_SHARE) * high
    return Law(
        text=f"{_name(grain_s)}: a handoff each time that the GIL was taken, {traced.threads} threads",
        expected=f"{low:.2f}x to {high:.2f}x with it taken {met:.2%} of the times",
        measured=f"{speedup:.2f}x (in the traced runs)",
        verdict=verdict(low <= speedup <= high),
        claim=claim(speedup, low, high, "x"),
    )


def lost_share(traced: TracedArm, run: TeamRun) -> float:
    """Return the share of the threads' time in which they neither ran nor waited for the GIL."""
    members = {member.native_id for member in run.members}
    wait_ns = sum(account.wait_ns for account in traced.report.threads if account.native_id in members)
    return 1 - (run.cpu_ns + wait_ns) / sum(member.end_ns - member.start_ns for member in run.members)


def _met(traced: TracedArm) -> float:
    """Return the share of the acquisitions that found the GIL taken."""
    acquisitions = sum(account.acquisitions for account in traced.report.threads)
    contended = sum(account.contended_acquisitions for account in traced.report.threads)
    return contended / max(1, acquisitions)


def _explained(law: Law, met: float | None) -> Law:
    """Add to a law that does not hold how often the threads met."""
    if law.verdict != "does not hold" or met is None:
        return law
    return dataclasses.replace(law, measured=f"{law.measured}; the GIL was taken {met:.2%} of the times")


SCENARIO = Scenario(
    id="grain",
    title="Work without the GIL that comes back for it every 1 us .. 10 ms: too often is too expensive",
    group="contention",
    measure=measure,
)
