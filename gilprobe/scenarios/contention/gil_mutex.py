"""The GIL is a mutex: of T spinning Python threads one computes, and the others wait for it.

Two clocks show it. The operating system's: the threads' CPU times add up to one core, however many cores
there are. The trace's: the holds add up to no more than the wall time, every thread holds or waits all its
running time, and in the timeline, which keeps each hold, no two of them overlap. On a free-threaded build
the CPU times add up to min(T, N) cores, and there are no holds to trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe.errors import FormatError
from gilprobe.measuring.teams import ArmPlan, TeamRun, run_team
from gilprobe.model.timeline import HOLD
from gilprobe.results import Fact, Law
from gilprobe.scenarios.contention.python_loop import CHUNK, countdown
from gilprobe.scenarios.laws import by_name, claim, spread, untestable, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gilprobe.model.timeline import Timeline
    from gilprobe.results import Arm, TracedArm

HELD_LIMIT = 1.001
"""Limit of holds over wall time: they can't overlap; a thousandth is for the stamps at both ends."""

CORES_TOLERANCE = 0.10
"""CPU time of waiting threads: they wake up once per switch interval to request the GIL."""


def cores_busy(run: TeamRun) -> float:
    """Return how many threads computed at once on average: CPU time of all members over elapsed time."""
    return run.cpu_ns / run.elapsed_ns


def measure(request: Request) -> Findings:
    """Measure how many cores the threads keep busy, and trace who holds the GIL meanwhile."""
    plans = tuple(
        ArmPlan("spin", threads, countdown, unit="cores busy", score=cores_busy, chunk=CHUNK)
        for threads in request.threads
    )
    seen = observe(request, plans)
    arms = seen.measurement.arms
    facts = [fact for traced in seen.traces for fact in _facts(traced)]
    single, others = by_name(arms, "spin")
    laws = [_cores_law(request, arm, single) for arm in others]
    if request.trace is None:
        laws += _untraced_laws(request.trace_reason)
    for traced, run in zip(seen.traces, seen.traced_runs, strict=True):
        laws += [_mutex_law(traced), _running_law(traced, run)]
    for plan, operations in zip(plans, seen.measurement.operations, strict=True):
        if request.trace_timeline is not None and plan.threads > 1:
            holders, law = _timeline_law(request, plan, operations)
            facts += holders
            laws.append(law)
    return Findings(arms, tuple(facts), tuple(laws), seen.traces, seen.warnings)


def _facts(traced: TracedArm) -> Iterator[Fact]:
    report, threads = traced.report, traced.threads
    yield Fact(f"held_share_{threads}", report.held_ns / report.elapsed_ns, "")
    yield Fact(f"contended_share_{threads}", report.contended_ns / report.elapsed_ns, "")
    yield Fact(f"handoffs_{threads}", report.handoffs / report.elapsed_s, "1/s")
    yield Fact(f"forced_releases_{threads}", sum(a.forced_releases for a in report.threads), "")


def _cores_law(request: Request, arm: Arm, single: Arm) -> Law:
    """Return the law of the number of busy cores; it allows less if other load leaves no whole core."""
    cores = request.environment.cores
    expected = 1 if request.gil_enabled else min(arm.threads, cores)
    reason = (
        "one computes at a time" if request.gil_enabled else "min(T, N) compute at once, as there is no GIL"
    )
    text = f"{reason}, {arm.threads} threads"
    if cores == 1:
        return untestable(text, f"{expected} cores busy", "1 usable core")
    low = expected * (1 - CORES_TOLERANCE) * min(1.0, single.low)
    high = expected * (1 + CORES_TOLERANCE)
    return Law(
        text=text,
        expected=f"{low:.2f} to {high:.2f} cores busy",
        measured=f"{arm.median:.2f} ({arm.low:.2f} to {arm.high:.2f})",
        verdict=verdict(arm.low <= high and arm.high >= low),
        claim=claim(spread(arm), low, high, arm.unit, value_of=arm),
    )


def _untraced_laws(reason: str) -> list[Law]:
    return [
        untestable("at most one holder: sum of holds", f"<= {HELD_LIMIT:.1%} of wall", reason),
        untestable("a spinning thread holds or waits", ">= 99.5% of its running time", reason),
        untestable("at any instant at most one holder", "1 in the timeline", reason),
    ]


def _mutex_law(traced: TracedArm) -> Law:
    report = traced.report
    share = sum(account.hold_ns for account in report.threads) / report.elapsed_ns
    return Law(
        text=f"at most one holder: sum of holds, {_threads(traced)}",
        expected=f"<= {HELD_LIMIT:.1%} of wall",
        measured=f"{share:.2%}",
        verdict=verdict(share <= HELD_LIMIT),
        claim=claim(share, None, HELD_LIMIT, "share", about=traced.name),
    )


def _timeline_law(request: Request, plan: ArmPlan, operations: int) -> tuple[list[Fact], Law]:
    """Let the team spin once more under a timeline, and count simultaneous holders."""
    assert request.trace_timeline is not None  # noqa: S101
    request.progress(f"timeline of {plan.name}", 1.0)
    text = f"at any instant at most one holder, {plan.threads} threads"
    try:
        with request.trace_timeline() as tracing:
            run_team(plan, operations, clock=request.frame.clock)
        holds = [*_holds(tracing.timeline())]
    except (OSError, FormatError) as error:  # its file may have no room
        return [], untestable(text, "1 in the timeline", f"no timeline: {error}")
    most = most_at_once(holds)
    law = Law(
        text, "1 in the timeline", f"{most}, in {len(holds)} holds", verdict(most == 1), claim(most, 1, 1, "")
    )
    return [Fact(f"max_holders_{plan.threads}", most, "threads")], law


def _holds(timeline: Timeline) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each hold of the main interpreter's GIL."""
    for batch in timeline.batches():
        for kind, thread, start_ns, length_ns in zip(
            batch.kinds, batch.threads, batch.starts_ns, batch.durations_ns, strict=True
        ):
            if kind == HOLD and timeline.threads[thread].interpreter == 0:
                yield start_ns, start_ns + length_ns


def most_at_once(spans: Iterable[tuple[int, int]]) -> int:
    """Return the largest number of overlapping spans; touching ones don't overlap."""
    edges = sorted(edge for start, end in spans for edge in ((start, 1), (end, -1)) if start < end)
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most


def _running_law(traced: TracedArm, run: TeamRun) -> Law:
    """Compare each worker's hold and wait with the time from its own start to its end.

    Not from the common start: on a busy machine one may begin late, and until then it is off.
    """
    limit = 0.995 if traced.threads <= 2 else 0.99
    accounts = {account.native_id: account for account in traced.report.threads}
    shares = [
        (account.hold_ns + account.wait_ns) / (member.end_ns - member.start_ns)
        for member in run.members
        if (account := accounts.get(member.native_id)) is not None
    ]
    least = min(shares) if len(shares) == len(run.members) else 0.0
    return Law(
        text=f"a spinning thread holds or waits, {_threads(traced)}",
        expected=f">= {limit:.1%} of its running time",
        measured=f"{least:.2%} (the least)",
        verdict=verdict(least >= limit),
        claim=claim(least, limit, None, "share", about=traced.name),
    )


def _threads(traced: TracedArm) -> str:
    return f"{traced.threads} thread{'s' if traced.threads > 1 else ''}"


SCENARIO = Scenario(
    id="gil-mutex",
    title="The GIL is a mutex: one of T spinning Python threads computes, the others wait",
    group="lessons",
    measure=measure,
    headline=True,
)
