"""Without a GIL some work of the interpreter stops all threads: the collector of garbage, most of all.

Where threads run in parallel, none may change objects while the collector looks which of them are reachable.
So the interpreter stops the world: it asks all threads to stop, waits for the last, does its work, and lets
them go on. Meanwhile nobody runs Python, however many cores there are. The pause grows with the number of
objects in the process, not with the garbage.

A victim reads the clock over and over. A stop shows as a jump of its clock, and a trace of locks must tell it
as long. With a GIL the collector runs while its thread holds it: others wait for the GIL, as for any work.
"""

from __future__ import annotations

import gc
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from gilprobe import kernels
from gilprobe.durations import duration
from gilprobe.measuring.measure import Trial
from gilprobe.model.confidence import ratio_interval
from gilprobe.model.locks import STOP
from gilprobe.results import Fact, Law, fact_name
from gilprobe.scenarios.laws import TIMES, claim, untestable, value_law, verdict, within_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials
from gilprobe.scenarios.support.roles import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gilprobe.measuring.teams import Clock
    from gilprobe.model.environment import Environment
    from gilprobe.report import Report
    from gilprobe.results import Arm

FEW, MANY = 50_000, 200_000
"""Objects in the process, beside those that are there anyhow."""

EVENTS = 10
"""Stops in one run."""

JUMP_NS = 20_000
"""From this length on the victim's clock has jumped: it reads it every 0.1 to 0.2 microseconds."""

BETWEEN_NS = 1_000_000
"""Between two stops."""

SHARE = "of the call"
"""Name of the metric of a pause as a share of the call that stops."""

LEAST_SHARE, MOST_SHARE = 0.5, 1.05
"""How much of a collection others stand still: it begins and ends with work that needs no stop."""

GROWTH = 1.5
"""Least growth of a pause with four times the objects; those that are there anyhow don't grow."""

CLOCKS = 0.05
"""By so much a trace may differ from the victim's clock."""

_VICTIM = "victim"


def missing(environment: Environment) -> str:
    """Return why the world never stops here, if so."""
    return "there is a GIL: threads wait for it, and the world never stops" if environment.gil_enabled else ""


@dataclass(frozen=True, slots=True)
class StopPlan:
    """One arm: what stops the world, and beside how many objects."""

    name: str
    act: Callable[[], object]
    objects: int = 0


def _look_at_all_threads() -> None:
    sys._current_frames()


def _sleep() -> None:
    kernels.sleep(BETWEEN_NS, release_gil=True)


def plans(*, quick: bool) -> tuple[StopPlan, ...]:
    """Return the arms: no stop, a short one, and those of the collector."""
    collections = [StopPlan(f"collector, {FEW:,} objects", gc.collect, FEW)]
    if not quick:
        collections.append(StopPlan(f"collector, {MANY:,} objects", gc.collect, MANY))
    short = () if quick else (StopPlan("stacks of all threads", _look_at_all_threads),)
    return (StopPlan("no stop", _sleep), *short, *collections)


Interval = tuple[int, int]
"""Start and end by the clock, nanoseconds."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One run: the calls that stop, and the jumps of the victim's clock.

    Attributes
    ----------
    victim_id : int
        Native identifier of the victim.
    calls, jumps : tuple of (int, int)
        Start and end of each.
    delay_ns : int
        How long the victim could have run meanwhile, but had no core: its clock jumps then, too. 0 where the
        system does not tell.
    """

    victim_id: int
    calls: tuple[Interval, ...]
    jumps: tuple[Interval, ...]
    delay_ns: int = 0

    def pauses_ns(self) -> list[int]:
        """Return for each call how much of it the victim stood still."""
        return [sum(_common(call, jump) for jump in self.jumps) for call in self.calls]

    def shares(self) -> list[float]:
        """Return the pauses as shares of their calls."""
        lengths = (max(1, end - start) for start, end in self.calls)
        return [pause_ns / length for pause_ns, length in zip(self.pauses_ns(), lengths, strict=True)]


def run_delay_ns(native_id: int, root: str = "") -> int:
    """Return for how long a thread of this process could have run but had no core; 0 if that is not known.

    Parameters
    ----------
    native_id : int
        The thread.
    root : str
        Folder of ``proc``.
    """
    try:
        # Time with a core, time without one, and how often: Documentation/scheduler/sched-stats.rst
        text = Path(f"{root}/proc/self/task/{native_id}/schedstat").read_text(encoding="ascii")
        return int(text.split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _common(one: Interval, other: Interval) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


class _ClockReader:
    """A thread that does nothing but read the clock, and notes its jumps."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.over = False
        self.running = threading.Event()
        self.native_id = 0
        self.jumps: list[Interval] = []
        self.thread = threading.Thread(target=self._watch, name=_VICTIM, daemon=True)

    def _watch(self) -> None:
        self.native_id = threading.get_native_id()
        clock, jumps = self._clock, self.jumps
        before_ns = clock()
        self.running.set()
        while not self.over:
            now_ns = clock()
            if now_ns - before_ns >= JUMP_NS:
                jumps.append((before_ns, now_ns))
            before_ns = now_ns


@contextmanager
def _objects(number: int) -> Iterator[None]:
    """Within the block there are so many more objects, and the collector runs only when called."""
    automatic = gc.isenabled()
    gc.disable()
    kept: list[list[None]] = [[] for _ in range(number)]
    try:
        yield
    finally:
        kept.clear()
        if automatic:
            gc.enable()


def watch(plan: StopPlan, clock: Clock) -> Watched:
    """Let a victim read the clock while another thread stops the world several times."""
    victim = _ClockReader(clock)
    calls = []
    with _objects(plan.objects):
        victim.thread.start()
        victim.running.wait(PATIENCE_S)
        delay_ns = run_delay_ns(victim.native_id)
        try:
            for _ in range(EVENTS):
                kernels.sleep(BETWEEN_NS, release_gil=True)
                start_ns = clock()
                plan.act()
                calls.append((start_ns, clock()))
            kernels.sleep(BETWEEN_NS, release_gil=True)  # the victim notes the last jump
            delay_ns = run_delay_ns(victim.native_id) - delay_ns
        finally:
            victim.over = True
            victim.thread.join(PATIENCE_S)
    return Watched(victim.native_id, tuple(calls), tuple(victim.jumps), max(0, delay_ns))


class _Runs:
    """Runs of one arm; the last is the traced one."""

    def __init__(self, plan: StopPlan, clock: Clock) -> None:
        self._plan = plan
        self._clock = clock
        self.last: Watched | None = None

    def run(self) -> Mapping[str, float]:
        self.last = watch(self._plan, self._clock)
        return {"": median(self.last.pauses_ns()) / 1e9, SHARE: median(self.last.shares())}


def measure(request: Request) -> Findings:
    """Measure how long others stand still while the world is stopped."""
    planned = plans(quick=request.quick)
    runs = [_Runs(plan, request.frame.clock) for plan in planned]
    units = {"": "s", SHARE: "share"}
    trials = [
        Trial(plan.name, 2, units, partial(_Runs.run, one)) for plan, one in zip(planned, runs, strict=True)
    ]
    seen = observe_trials(request.tracing_locks(), trials)
    arms = {arm.name: arm for arm in seen.measurement.arms}
    facts: list[Fact] = []
    laws = [*_laws(request, planned, arms)]
    for plan in planned:
        facts.append(Fact(fact_name("pause", _key(plan)), arms[plan.name].median, "s"))
        facts.append(Fact(fact_name("share", _key(plan)), arms[f"{plan.name}, {SHARE}"].median, ""))
    collections = [number for number, plan in enumerate(planned) if plan.objects]
    for number in collections:
        last = runs[number].last
        if seen.traces and last is not None:
            traced_ns, own_ns = traced_pauses_ns(seen.traces[number].report, last)
            facts.append(Fact(fact_name("traced_over_clock", _key(planned[number])), traced_ns / own_ns, ""))
            laws.append(_trace_law(planned[number], traced_ns, own_ns, last.delay_ns))
    if not seen.traces:
        laws.append(untestable(_TRACE, _range(), request.trace_locks_reason))
    return Findings(tuple(arms.values()), tuple(facts), tuple(laws), (), _doubts(seen.warnings))


_TRACE = "a trace tells the pauses as the victim's clock does"


def _key(plan: StopPlan) -> str:
    return plan.name.replace(",", "")


def _range() -> str:
    return f"{1 - CLOCKS:.2f}x to {1 + CLOCKS:.2f}x"


def _doubts(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Drop the doubts about the spread of pauses that should not be: most are 0."""
    return tuple(text for text in warnings if not text.startswith("unstable: the 95% interval of no stop"))


def _laws(request: Request, planned: tuple[StopPlan, ...], arms: Mapping[str, Arm]) -> Iterator[Law]:
    collections = [plan for plan in planned if plan.objects]
    if request.environment.cores == 1:
        yield untestable("others stand still during a collection", "", "1 usable core")
        return
    for plan in collections:
        text = f"{plan.name}: others stand still during the collection"
        yield value_law(text, arms[f"{plan.name}, {SHARE}"], LEAST_SHARE, MOST_SHARE, TIMES)
    if len(collections) > 1:
        few, many = (arms[plan.name] for plan in collections)
        if few.median > 0:
            text = f"a pause grows with the objects: {MANY:,} against {FEW:,}"
            yield within_law(text, ratio_interval(many, few), GROWTH, float("inf"), TIMES)


def traced_pauses_ns(report: Report, watched: Watched) -> tuple[int, int]:
    """Return how long the victim stood still by the trace and by its own clock, at least 1 ns."""
    traced_ns = sum(
        row.wait_ns
        for row in report.lock_waits or ()
        if row.waiter_id == watched.victim_id and (report.locks or ())[row.lock].kind == STOP
    )
    return traced_ns, max(1, sum(watched.pauses_ns()))


def _trace_law(plan: StopPlan, traced_ns: int, own_ns: int, delay_ns: int) -> Law:
    """Return the law that the trace agrees with the clock, which also jumps when the victim has no core."""
    ratio = traced_ns / own_ns
    if delay_ns > own_ns / 2:
        lack = f"the victim had no core for {duration(delay_ns / 1e9)} of {duration(own_ns / 1e9)}"
        return untestable(f"{plan.name}: {_TRACE}", _range(), lack)
    least = (1 - CLOCKS) * max(0.0, 1 - delay_ns / own_ns)
    return Law(
        f"{plan.name}: {_TRACE}",
        f"{least:.2f}x to {1 + CLOCKS:.2f}x, as it had no core for {duration(delay_ns / 1e9)}",
        f"{ratio:.3f}x ({duration(traced_ns / 1e9)} of {duration(own_ns / 1e9)})",
        verdict(least <= ratio <= 1 + CLOCKS),
        claim(ratio, least, 1 + CLOCKS, "x", about=plan.name),
    )


SCENARIO = Scenario(
    id="stop-the-world",
    title="Without a GIL the collector stops all threads, for longer the more objects there are",
    group="contention",
    measure=measure,
    missing=missing,
    ceiling_s=60.0,
)
