"""The switch interval: how long a thread waits for the GIL before it asks the holder to release it.

A short interval makes threads respond sooner, but each switch costs a wake-up and a handoff, during which
nobody computes. Two or more spinning Python threads show both: the trace has switches a second and the
longest waits, the throughput the loss.

There are about 1/interval switches a second, if the interval is much longer than the cost of a switch: how
late a waiting thread wakes up, and how long the GIL is free from the release to the acquisition. An interval
of one microsecond is therefore never reached. The cost is measured before and after the runs, since on a
shared machine wake-ups may take twice as long one second later; the law allows for both.

Without a GIL the interval means nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gilprobe.durations import duration
from gilprobe.measuring.measure import Trial, calibrate
from gilprobe.measuring.teams import ArmPlan, run_team
from gilprobe.results import Fact, Law
from gilprobe.scenarios.contention.python_loop import CHUNK, countdown
from gilprobe.scenarios.laws import claim, speedup_law, untestable, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials
from gilprobe.scenarios.support.costs import handoff_s, lateness_s
from gilprobe.scenarios.support.switching import ORDINARY_S, key, switch_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.measuring.teams import TeamRun
    from gilprobe.results import Arm, TracedArm

INTERVALS_S = (1e-6, 1e-5, 1e-4, 1e-3, ORDINARY_S, 1e-2, 1e-1)

QUICK_INTERVALS_S = (1e-5, 1e-3, ORDINARY_S)

COLLAPSE_S = 1e-4
"""Below this interval the throughput should fall."""

TURNS = 4
"""Least number of intervals in a run, to have something to count."""

_ABOUT = 1.5
"""Factor within which a rate is "about" the expected one."""

_UNCHANGED = 0.90


class Cost(NamedTuple):
    """Cost of a switch beside the interval itself, seconds."""

    late_s: float
    handoff_s: float

    @property
    def total_s(self) -> float:
        """Both together."""
        return self.late_s + self.handoff_s


class Costs(NamedTuple):
    """Cost of a switch before and after the runs."""

    before: Cost
    after: Cost

    @property
    def least(self) -> Cost:
        """The smaller of both."""
        return min(self, key=lambda cost: cost.total_s)

    @property
    def most(self) -> Cost:
        """The larger of both."""
        return max(self, key=lambda cost: cost.total_s)


class _Spinning:
    """Spinning threads under one switch interval; keeps the latest run."""

    def __init__(self, request: Request, threads: int, interval_s: float, operations: int) -> None:
        self.interval_s = interval_s
        self._plan = ArmPlan("spin", threads, countdown, chunk=CHUNK)
        self._operations = operations
        self._clock = request.frame.clock
        self.latest: TeamRun | None = None

    def run(self) -> dict[str, float]:
        """Spin, and return steps a second of all threads together."""
        with switch_interval(self.interval_s):
            self.latest = run_team(self._plan, self._operations, clock=self._clock)
        return {"": self.latest.operations / (self.latest.elapsed_ns / 1e9)}


def measure(request: Request) -> Findings:
    """Measure the throughput under each interval, and count the switches in the trace."""
    threads = request.threads[1] if len(request.threads) > 1 else 2
    arms_ns = request.frame.arm_ns
    request.progress("calibrating", 0.0)
    plan = ArmPlan("spin", threads, countdown, chunk=CHUNK)
    operations = calibrate(plan, arm_ns=arms_ns, clock=request.frame.clock)
    runners = []
    for interval_s in QUICK_INTERVALS_S if request.quick else INTERVALS_S:
        longer = max(1.0, TURNS * interval_s * 1e9 / arms_ns)
        runners.append(_Spinning(request, threads, interval_s, int(operations * longer)))
    before = [_cost(request, runner.interval_s) for runner in runners]
    trials = [Trial(duration(runner.interval_s), threads, {"": "steps/s"}, runner.run) for runner in runners]
    seen = observe_trials(request, trials, warm_up=False)
    after = [_cost(request, runner.interval_s) for runner in runners]
    costs = {runner.interval_s: Costs(*pair) for runner, *pair in zip(runners, before, after, strict=True)}
    arms = dict(zip(costs, seen.measurement.arms, strict=True))
    facts = [*_cost_facts(costs), *_throughput_facts(arms)]
    laws: list[Law] = []
    for runner, traced in zip(runners, seen.traces, strict=False):
        facts += _trace_facts(runner, traced)
        laws.append(_rate_law(runner, traced, costs[runner.interval_s]))
    if request.trace is None:
        reason = request.trace_reason if request.gil_enabled else "no GIL: there is nothing to switch"
        laws.append(untestable("about 1/interval switches a second", "1/interval", reason))
    laws += _throughput_laws(request, arms, costs)
    return Findings(tuple(arms.values()), tuple(facts), tuple(laws), seen.traces, seen.warnings)


def _cost(request: Request, interval_s: float) -> Cost:
    if not request.gil_enabled:
        return Cost(0.0, 0.0)
    # Lateness does not depend on a long limit: a short one suffices.
    return Cost(lateness_s(min(interval_s, 1e-3), request.frame.clock), handoff_s(request.frame.clock))


def _cost_facts(costs: dict[float, Costs]) -> Iterator[Fact]:
    shortest = costs[min(costs)].before
    if shortest.total_s:
        yield Fact("handoff", shortest.handoff_s, "s")
        yield Fact("lateness", shortest.late_s, "s")


def _throughput_facts(arms: dict[float, Arm]) -> Iterator[Fact]:
    for interval_s, arm in arms.items():
        if interval_s != ORDINARY_S:
            yield Fact(f"throughput_{key(interval_s)}", arm.median / arms[ORDINARY_S].median, "")


def _trace_facts(runner: _Spinning, traced: TracedArm) -> Iterator[Fact]:
    name = key(runner.interval_s)
    yield Fact(f"switches_{name}", _rate(runner, traced), "1/s")
    waits = [
        account.wait.quantile(0.99)
        for account in traced.report.threads
        if account.native_id in _members(runner)
    ]
    yield Fact(f"wait_p99_{name}", max(waits, default=0.0), "s")


def _members(runner: _Spinning) -> set[int]:
    return {member.native_id for member in runner.latest.members} if runner.latest is not None else set()


def _rate(runner: _Spinning, traced: TracedArm) -> float:
    """Return the forced releases a second while there were several spinning threads."""
    if runner.latest is None:
        return 0.0
    forced = sum(a.forced_releases for a in traced.report.threads if a.native_id in _members(runner))
    return forced / (_common_ns(runner.latest) / 1e9)


def _common_ns(run: TeamRun) -> int:
    """Return how long at least two were at work: the last one spins alone, without requests."""
    ends = sorted(member.end_ns for member in run.members)
    return max(1, ends[-2] - min(member.start_ns for member in run.members))


def _rate_law(runner: _Spinning, traced: TracedArm, costs: Costs) -> Law:
    interval_s = runner.interval_s
    slow, fast = (1 / (interval_s + cost.total_s) for cost in (costs.most, costs.least))
    # One more or less: the first and the last switch of a run are incomplete.
    edge = 1e9 / _common_ns(runner.latest) if runner.latest is not None else 0.0
    low, high = slow / _ABOUT - edge, min(_ABOUT * fast, 1.05 / interval_s) + edge
    rate = _rate(runner, traced)
    busy = runner.latest.cpu_ns / runner.latest.elapsed_ns if runner.latest is not None else 1.0
    told = f", with {busy:.0%} of a core only: other load" if busy < _UNCHANGED else ""
    return Law(
        text=f"about 1/(interval + cost of a switch): {duration(interval_s)}",
        expected=f"{max(low, 0.0):.0f} to {high:.0f} switches/s",
        measured=f"{rate:.0f}{told}",
        verdict=verdict(low <= rate <= high),
        claim=claim(rate, max(low, 0.0), high, "switches/s", about=duration(interval_s)),
    )


def _throughput_laws(request: Request, arms: dict[float, Arm], costs: dict[float, Costs]) -> Iterator[Law]:
    ordinary = arms[ORDINARY_S]
    against = f"that at {duration(ORDINARY_S)}"
    for interval_s, arm in arms.items():
        if request.gil_enabled and interval_s < COLLAPSE_S:
            # Nobody computes during a handoff. At least half of that cost should be visible.
            cost = costs[interval_s].least
            loss = cost.handoff_s / (interval_s + cost.total_s)
            text = f"throughput falls below {against}: {duration(interval_s)}"
            yield speedup_law(text, arm, ordinary, 0.0, 1 - loss / 2)
        elif interval_s > ORDINARY_S or (not request.gil_enabled and interval_s < ORDINARY_S):
            text = f"throughput is {against}: {duration(interval_s)}"
            yield speedup_law(text, arm, ordinary, _UNCHANGED, 2 - _UNCHANGED)


SCENARIO = Scenario(
    id="switch-interval",
    title="The switch interval: how soon a waiting thread gets the GIL, and what it costs",
    group="contention",
    measure=measure,
)
