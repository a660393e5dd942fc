"""One C call that keeps the GIL stalls every other thread for as long as it lasts.

The switch interval does not help: a waiting thread asks the holder to release the GIL, but only the
interpreter checks such requests, and it does not run while C code computes. A victim that should react
quickly (here: it sleeps shortly, again and again, and measures how late it is) hangs until the call returns.
The same call with the GIL released does it no harm.

The trace names the culprit: the victim's longest wait, the holder, and its line. Without a GIL no call stalls
others.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gilprobe import kernels
from gilprobe.durations import duration
from gilprobe.measuring.measure import Trial
from gilprobe.results import Fact, Law
from gilprobe.scenarios.laws import claim, spread, untestable, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials
from gilprobe.scenarios.support.switching import ORDINARY_S, key, switch_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.measuring.teams import Clock
    from gilprobe.report import Stall
    from gilprobe.results import Arm, TracedArm

SHORT_S = 1e-4
"""The other switch interval: fifty times shorter, and no help."""

PINGS = 100
"""The victim's sleep as a share of the call: it may miss so much of a stall."""

_TOLERANCE = 0.05
_PATIENCE_S = 20.0
_CULPRIT = "culprit"
_VICTIM = "victim"
_BLAMED = kernels.sleep.__qualname__
"""The innermost Python function around the C call, which the trace names."""


@dataclass(frozen=True, slots=True)
class StallPlan:
    """One arm: a call of some length, held or released, and a switch interval."""

    held: bool
    length_ns: int
    interval_s: float

    @property
    def name(self) -> str:
        """The arm's name."""
        how = "held" if self.held else "released"
        return f"{how} {duration(self.length_ns / 1e9)}, interval {duration(self.interval_s)}"

    @property
    def key(self) -> str:
        """The end of its facts' names."""
        return f"{'held' if self.held else 'released'}_{key(self.length_ns / 1e9)}_{key(self.interval_s)}"


def measure(request: Request) -> Findings:
    """Measure the victim's worst stall beside a call that holds the GIL, and beside one that releases it."""
    length_ns = max(2_000_000, request.frame.arm_ns // 4)
    plans = [
        StallPlan(False, length_ns, ORDINARY_S),
        StallPlan(True, length_ns, ORDINARY_S),
        StallPlan(True, length_ns, SHORT_S),
    ]
    if not request.quick:
        plans.append(StallPlan(True, 2 * length_ns, ORDINARY_S))
    trials = [
        Trial(plan.name, 2, {"": "s"}, partial(_worst_stall, plan, request.frame.clock)) for plan in plans
    ]
    seen = observe_trials(request, trials)
    arms = dict(zip(plans, seen.measurement.arms, strict=True))
    facts = [*_facts(arms)]
    laws = [_stall_law(request, plan, arms) for plan in plans if plan.held]
    if request.trace is None:
        reason = request.trace_reason if request.gil_enabled else "no GIL: nobody waits for it"
        laws.append(untestable("the trace names the culprit", _CULPRIT, reason))
    for plan, traced in zip(plans, seen.traces, strict=False):
        if plan.held:
            facts += _blame_facts(plan, traced)
            laws.append(_blame_law(plan, traced))
    return Findings(tuple(arms.values()), tuple(facts), tuple(laws), seen.traces, seen.warnings)


class _Victim:
    """A thread that sleeps shortly, again and again, and keeps the worst lateness."""

    def __init__(self, ping_ns: int, clock: Clock) -> None:
        self._ping_ns = ping_ns
        self._clock = clock
        self._latest_ns = clock() + int(_PATIENCE_S * 1e9)
        self.over = False
        self.worst_ns = 0
        self.pinging = threading.Event()
        self.thread = threading.Thread(target=self._ping, name=_VICTIM, daemon=True)

    def _ping(self) -> None:
        before_ns = self._clock()
        while not self.over and before_ns < self._latest_ns:
            kernels.sleep(self._ping_ns, release_gil=True)
            now_ns = self._clock()
            self.worst_ns = max(self.worst_ns, now_ns - before_ns - self._ping_ns)
            before_ns = now_ns
            self.pinging.set()


def _worst_stall(plan: StallPlan, clock: Clock) -> dict[str, float]:
    """Let the culprit make its call beside the victim; return the victim's worst lateness, seconds."""
    victim = _Victim(plan.length_ns // PINGS, clock)
    culprit = threading.Thread(
        target=kernels.sleep, args=(plan.length_ns, not plan.held), name=_CULPRIT, daemon=True
    )
    with switch_interval(plan.interval_s):
        try:
            victim.thread.start()
            victim.pinging.wait(_PATIENCE_S)
            victim.worst_ns = 0  # lateness of its start does not count
            culprit.start()
            culprit.join(_PATIENCE_S)
            # Once more: the call may have ended while the victim still waits.
            victim.pinging.clear()
            victim.pinging.wait(_PATIENCE_S)
        finally:
            victim.over = True
            victim.thread.join(_PATIENCE_S)
    return {"": victim.worst_ns / 1e9}


def _facts(arms: dict[StallPlan, Arm]) -> Iterator[Fact]:
    for plan, arm in arms.items():
        yield Fact(f"stall_over_call_{plan.key}", arm.median / (plan.length_ns / 1e9), "")


def _stall_law(request: Request, plan: StallPlan, arms: dict[StallPlan, Arm]) -> Law:
    arm = arms[plan]
    length_s = plan.length_ns / 1e9
    # The victim's lateness without a culprit: so much of a stall is the machine's.
    anyhow_s = next(other.high for other_plan, other in arms.items() if not other_plan.held)
    if request.gil_enabled:
        text = f"a stall lasts as long as the call: {plan.name}"
        low_s = (1 - _TOLERANCE) * length_s
        high_s = (1 + _TOLERANCE) * length_s + anyhow_s
    else:
        text = f"no GIL: as late as without the call: {plan.name}"
        low_s, high_s = 0.0, 0.5 * length_s + anyhow_s
    return Law(
        text=text,
        expected=f"{duration(low_s)} to {duration(high_s)}",
        measured=f"{duration(arm.median)} ({duration(arm.low)} to {duration(arm.high)})",
        verdict=verdict(arm.low <= high_s and arm.high >= low_s),
        claim=claim(spread(arm), low_s, high_s, "s", value_of=arm),
    )


def _blame_facts(plan: StallPlan, traced: TracedArm) -> Iterator[Fact]:
    worst = _worst(traced)
    if worst is not None:
        yield Fact(f"traced_wait_{plan.key}", worst.wait_s, "s")


def _worst(traced: TracedArm) -> Stall | None:
    stalls = traced.report.stalls()
    return next((stall for stall in stalls if stall.waiter == _VICTIM), None)


def _blame_law(plan: StallPlan, traced: TracedArm) -> Law:
    worst = _worst(traced)
    right = worst is not None and (worst.holder, worst.holder_function) == (_CULPRIT, _BLAMED)
    measured = "the victim never waited"
    if worst is not None:
        who = f"{worst.holder}, {worst.holder_function}:{worst.holder_line}" if worst.holder else "nobody"
        measured = f"{who}, {duration(worst.holder_s)} of {duration(worst.wait_s)}"
    return Law(
        text=f"the trace names the culprit: {plan.name}",
        expected=f"{_CULPRIT}, {_BLAMED}",
        measured=measured,
        verdict=verdict(right),
    )


SCENARIO = Scenario(
    id="stall",
    title="A C call that keeps the GIL stalls the other threads for as long as it lasts",
    group="contention",
    measure=measure,
)
