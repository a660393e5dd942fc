"""The cost of counting references by T threads: to their own objects, to one shared object, to None.

Every use of an object takes a reference and drops it again. With a GIL both are plain additions by one thread
at a time: the cost is the same for any number of threads, and T threads take turns.

Without a GIL the threads count at the same time. The thread that made an object counts without atomic
instructions (biased counts); all others use atomic instructions on a common count, whose memory moves from
core to core: the more threads, the more expensive. Immortal objects, such as None from 3.12 on (PEP 683), are
not counted at all; before 3.12, None is an object like any other.

The cost is CPU time: a waiting thread uses none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilprobe import kernels
from gilprobe.measuring.measure import Trial, calibrate
from gilprobe.measuring.teams import ArmPlan, run_team, throughput
from gilprobe.model.confidence import ratio_interval
from gilprobe.results import Fact, Law
from gilprobe.scenarios.laws import by_name, claim, speedup_law, untestable, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials
from gilprobe.scenarios.support.budget import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gilprobe.results import Arm

CHUNK = 100_000
"""Operations in one call: a tenth of a millisecond, so that threads can take turns between calls."""

RATE = "rate"
"""Name of the metric of operations of all threads together."""

FLAT = 1.15
"""Cost over one thread's that still counts as the same: cores share caches, power and heat."""

QUICK = ("own", "shared")
"""Kinds in a quick run."""

SERIAL_RANGE = (0.90, 1.05)
"""Speedup that counts as none, as in held-vs-released."""


def _own(times: int) -> None:
    kernels.refer(object(), times)


def _immortal(times: int) -> None:
    kernels.refer(None, times)


def _works() -> Mapping[str, Callable[[int], None]]:
    one = object()  # owned by this thread, which does not count it

    def shared(times: int) -> None:
        kernels.refer(one, times)

    return {"own": _own, "shared": shared, "immortal": _immortal}


def measure(request: Request) -> Findings:
    """Measure the three kinds of object for every number of threads."""
    sizes = request.threads[:2] if request.quick else request.threads
    works = {name: work for name, work in _works().items() if name in QUICK or not request.quick}
    request = shortened(request, len(works) * len(sizes))
    trials = [_trial(request, name, size, work) for size in sizes for name, work in works.items()]
    seen = observe_trials(request, trials, warm_up=False)
    arms = seen.measurement.arms
    facts: list[Fact] = []
    laws: list[Law] = []
    for name in works:
        costs, rates = by_name(arms, name), by_name(arms, f"{name}, {RATE}")
        for cost, rate in zip(costs[1], rates[1], strict=True):
            facts.append(Fact(f"cost_ratio_{name}_{cost.threads}", cost.median / costs[0].median, ""))
            speedup = rate.median / rates[0].median
            facts.append(Fact(f"speedup_{name}_{rate.threads}", speedup, ""))
            facts.append(Fact(f"efficiency_{name}_{rate.threads}", speedup / rate.threads, ""))
            laws += _laws(request, name, (cost, costs[0]), (rate, rates[0]))
    return Findings(arms, tuple(facts), tuple(laws), seen.traces, seen.warnings)


def _trial(request: Request, name: str, threads: int, work: Callable[[int], None]) -> Trial:
    plan = ArmPlan(name, threads, work, chunk=CHUNK)
    request.progress(f"calibrating {name}", 0.0)
    times = calibrate(plan, arm_ns=request.frame.arm_ns, clock=request.frame.clock)

    def run() -> Mapping[str, float]:
        ran = run_team(plan, times, clock=request.frame.clock)
        return {"": ran.cpu_ns / ran.operations, RATE: throughput(ran)}

    return Trial(name, threads, {"": "ns/operation", RATE: "operations/s"}, run)


def _laws(request: Request, name: str, cost: tuple[Arm, Arm], rate: tuple[Arm, Arm]) -> Iterator[Law]:
    if request.gil_enabled:
        yield _flat_law(f"{name}: costs the same with any number of threads", *cost)
        yield speedup_law(f"{name}: threads take turns", *rate, *SERIAL_RANGE)
    elif name == "shared":
        text = "shared: dearer with more threads, as the count travels between cores"
        if request.environment.cores == 1:
            yield untestable(f"{text}, {cost[0].threads} threads", f"> {FLAT:.2f}x", "1 usable core")
        else:
            yield _grows_law(text, *cost)
    else:
        reason = "a thread counts its own objects alone" if name == "own" else "nobody counts them"
        yield _flat_law(f"{name}: {reason}", *cost)


def _flat_law(text: str, arm: Arm, single: Arm) -> Law:
    ratio, least, most = ratio_interval(arm, single)
    holds = least <= FLAT and most >= 1 / FLAT
    return _cost_law(text, arm, (ratio, least, most), (1 / FLAT, FLAT), holds=holds)


def _grows_law(text: str, arm: Arm, single: Arm) -> Law:
    ratio, least, most = ratio_interval(arm, single)
    return _cost_law(text, arm, (ratio, least, most), (FLAT, None), holds=most > FLAT)


def _cost_law(
    text: str, arm: Arm, ratio: tuple[float, float, float], ends: tuple[float, float | None], *, holds: bool
) -> Law:
    low, high = ends
    expected = f"> {low:.2f}x" if high is None else f"{low:.2f}x to {high:.2f}x"
    return Law(
        f"{text}, {arm.threads} threads",
        f"{expected} one thread's cost",
        f"{ratio[0]:.2f}x ({ratio[1]:.2f} to {ratio[2]:.2f})",
        verdict(holds),
        claim(ratio, low, high, "x", about=arm.name),
    )


SCENARIO = Scenario(
    id="refcount-scaling",
    title="What counting references costs T threads: own objects, one shared, immortal ones",
    group="reference counts",
    measure=measure,
    ceiling_s=90.0,
)
