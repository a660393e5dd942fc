"""Threads that want the GIL equally get it equally: over time, all hold it equally long.

A thread that has to release the GIL queues up behind the others, so equal spinners take turns. Jain's index
measures the fairness, (sum of x)^2 / (T * sum of x^2): 1 if all are equal, 1/T if one has all (R. Jain, D.
Chiu and W. Hawe, "A quantitative measure of fairness", DEC-TR-301, 1984).

It approaches 1 with time: after m turns each, the shares may still differ by one turn. So the law expects
more of a long run than of a short one, by the traced turns. The timed runs measure the work done; the trace
has the holds themselves.

Without a GIL the operating system distributes the cores, and only the work can be compared.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gilprobe.measuring.measure import Trial
from gilprobe.measuring.teams import ArmPlan, run_team
from gilprobe.results import Fact, Law
from gilprobe.scenarios.contention.python_loop import countdown
from gilprobe.scenarios.laws import claim, spread, untestable, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gilprobe.measuring.teams import Clock, TeamRun
    from gilprobe.results import Arm, TracedArm

UNEQUAL_TURNS = 2.0
"""Turns by which the shares may differ: one at either end of the run."""

EVEN = 0.95
"""From this index on the work of threads counts as equal: they differ by a fifth."""

_STEPS = 2_000


def jain(shares: Iterable[float]) -> float:
    """Return Jain's index of fairness; 1.0 if all shares are 0."""
    shares = tuple(shares)
    squares = len(shares) * sum(share * share for share in shares)
    return float(sum(shares)) ** 2 / squares if squares else 1.0


class Contest:
    """Threads that all count for the same time; keeps the latest run."""

    def __init__(self, threads: int, window_ns: int, clock: Clock) -> None:
        self._plan = ArmPlan("spin", threads, self._count)
        self._window_ns = window_ns
        self._clock = clock
        self._lock = threading.Lock()
        self._end_ns = 0
        self.latest: TeamRun | None = None
        self._steps: list[int] = []

    def run(self) -> dict[str, float]:
        """Let them count, and return the index of their steps."""
        self._steps, self._end_ns = [], 0
        self.latest = run_team(self._plan, 1, clock=self._clock)
        return {"": jain(self._steps)}

    def _count(self, _operations: int) -> None:
        with self._lock:
            self._end_ns = self._end_ns or self._clock() + self._window_ns
        steps = 0
        while self._clock() < self._end_ns:
            countdown(_STEPS)
            steps += _STEPS
        with self._lock:
            self._steps.append(steps)


def measure(request: Request) -> Findings:
    """Let teams of each size count for a while, and compare the members' shares."""
    contests = {
        threads: Contest(threads, request.frame.arm_ns, request.frame.clock) for threads in request.threads
    }
    trials = [
        Trial("equal spinners", threads, {"": "Jain index of work"}, contest.run)
        for threads, contest in contests.items()
    ]
    seen = observe_trials(request, trials, warm_up=False)
    arms = seen.measurement.arms
    facts: list[Fact] = []
    laws: list[Law] = [_work_law(request, arm) for arm in arms if arm.threads > 1]
    for traced in seen.traces:
        if traced.threads > 1:
            facts += _facts(traced, contests[traced.threads])
            laws.append(_holds_law(traced, contests[traced.threads]))
    if request.trace is None:
        reason = request.trace_reason if request.gil_enabled else "no GIL: nobody holds it"
        laws.append(untestable("equal spinners hold the GIL equally", "Jain index near 1", reason))
    return Findings(arms, tuple(facts), tuple(laws), seen.traces, seen.warnings)


def _holds(traced: TracedArm, contest: Contest) -> tuple[list[float], list[int]]:
    """Return each member's hold time and number of turns."""
    members = {member.native_id for member in contest.latest.members} if contest.latest is not None else set()
    accounts = [account for account in traced.report.threads if account.native_id in members]
    return [account.hold_s for account in accounts], [account.forced_releases for account in accounts]


def _facts(traced: TracedArm, contest: Contest) -> Iterator[Fact]:
    holds, turns = _holds(traced, contest)
    yield Fact(f"jain_{traced.threads}", jain(holds), "")
    yield Fact(f"turns_{traced.threads}", sum(turns) / max(1, len(turns)), "")


def _holds_law(traced: TracedArm, contest: Contest) -> Law:
    holds, turns = _holds(traced, contest)
    text = f"equal spinners hold the GIL equally, {traced.threads} threads"
    mean = sum(turns) / max(1, len(turns))
    if mean < UNEQUAL_TURNS:
        return untestable(text, "Jain index near 1", f"only {mean:.1f} turns each in this run")
    low = _expected(mean)
    index = jain(holds)
    return Law(
        text=text,
        expected=f">= {low:.3f} after {mean:.0f} turns each",
        measured=f"{index:.4f}",
        verdict=verdict(index >= low),
        claim=claim(index, low, None, "", about=traced.name),
    )


def _work_law(request: Request, arm: Arm) -> Law:
    """Return the law that the threads do equal work, within what their turns in a run allow."""
    text = f"equal spinners get equally far, {arm.threads} threads"
    low = EVEN
    if request.gil_enabled:
        turns = request.frame.arm_ns / 1e9 / (arm.threads * request.environment.switch_interval_s)
        if turns < UNEQUAL_TURNS:
            return untestable(text, f"Jain index >= {EVEN}", f"time for {turns:.1f} turns each only")
        low = min(EVEN, _expected(turns))
    return Law(
        text=text,
        expected=f"Jain index >= {low:.3f}",
        measured=f"{arm.median:.4f} ({arm.low:.4f} to {arm.high:.4f})",
        verdict=verdict(arm.high >= low),
        claim=claim(spread(arm), low, None, "", value_of=arm),
    )


def _expected(turns: float) -> float:
    """Return the least index after so many turns: shares that spread by d of their mean have 1/(1 + d^2)."""
    return 1 / (1 + (UNEQUAL_TURNS / turns) ** 2)


SCENARIO = Scenario(
    id="fairness",
    title="Equal spinners hold the GIL equally",
    group="contention",
    measure=measure,
)
