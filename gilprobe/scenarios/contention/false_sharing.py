"""Counters of different threads on one cache line, or on a line each.

A core that writes takes the whole cache line for itself, 64 or 128 bytes. If another core writes next to it,
the line moves back and forth with each write, as if the threads used one variable: false sharing. Nothing is
shared in the program's text, no lock is taken, and no trace can show it. Only the addresses tell, or the same
work with room between.

The counters are private memory and the GIL is released, so that it is the same on every build.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gilprobe import kernels
from gilprobe.measuring.teams import ArmPlan
from gilprobe.model.confidence import ratio_interval
from gilprobe.results import Fact, Law, fact_name
from gilprobe.scenarios.laws import TIMES, parallel_law, untestable, within_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilprobe.results import Arm

CHUNK = 1_000_000
"""Updates in one call: milliseconds, so that a team can be cancelled and Python's part is small."""

SLOWER = 0.80
"""Throughput on one line over that on lines of their own up to which the line counts as shared."""

How = Literal["atomic", "plain"]
WAYS: tuple[How, ...] = ("atomic", "plain")
"""Ways to count; a quick run has the first. A plain store may wait in the core's store buffer, an atomic one
can't."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the threads' counters are."""

    name: str
    padded: bool


APART = Layout("padded", padded=True)
TOGETHER = Layout("one line", padded=False)


class Counting:
    """Counters in a layout, one for each of the threads."""

    def __init__(self, layout: Layout, how: How, threads: int) -> None:
        self._counter = kernels.Counter(threads, padded=layout.padded)
        self._how: How = how
        self._threads = threads
        self._arrived = 0
        self._mine = threading.local()  # not by identifier: those of ended threads are reused
        self._lock = threading.Lock()

    def bump(self, times: int) -> None:
        """Add to this thread's counter."""
        self._counter.bump(times, how=self._how, slot=self._slot(), release_gil=True)

    def _slot(self) -> int:
        slot: int | None = getattr(self._mine, "slot", None)
        if slot is None:
            with self._lock:
                slot = self._mine.slot = self._arrived % self._threads
                self._arrived += 1
        return slot


def plan(layout: Layout, how: How, threads: int) -> ArmPlan:
    """Return the arm of so many threads that count so."""
    return ArmPlan(
        f"{layout.name} {how}", threads, Counting(layout, how, threads).bump, unit="updates/s", chunk=CHUNK
    )


def measure(request: Request) -> Findings:
    """Count with one thread, and with as many as there are cores, in both layouts."""
    threads = team(request)
    ways = WAYS[:1] if request.quick else WAYS
    planned = []
    for how in ways:
        planned.append(plan(APART, how, 1))
        if threads > 1:
            planned += [plan(layout, how, threads) for layout in (APART, TOGETHER)]
    seen = observe(request, tuple(planned))
    arms = {(arm.name, arm.threads): arm for arm in seen.measurement.arms}
    facts: list[Fact] = []
    laws: list[Law] = []
    for how in ways if threads > 1 else ():
        single = arms[f"{APART.name} {how}", 1]
        apart, together = (arms[f"{layout.name} {how}", threads] for layout in (APART, TOGETHER))
        facts += _facts(how, single, apart, together)
        cores = request.environment.cores
        laws.append(parallel_law(f"padded {how}: min(T, N), as nothing is shared", apart, single, cores))
        laws.append(_sharing_law(request, how, apart, together))
    return Findings(tuple(arms.values()), tuple(facts), tuple(laws), seen.traces, seen.warnings)


def team(request: Request) -> int:
    """Return the largest team with a core per thread; if there is none, the smallest of several threads."""
    several = [size for size in request.threads if size > 1]
    fitting = [size for size in several if size <= request.environment.cores]
    return max(fitting, default=min(several, default=1))


def _facts(how: How, single: Arm, apart: Arm, together: Arm) -> Iterator[Fact]:
    for arm in (apart, together):
        yield Fact(fact_name("speedup", arm.name, arm.threads), arm.median / single.median, "")
    yield Fact(fact_name("slowdown", how, together.threads), apart.median / together.median, "")


def _sharing_law(request: Request, how: How, apart: Arm, together: Arm) -> Law:
    text = (
        f"one line {how}: slower than padded, as the line moves with each write, {together.threads} threads"
    )
    expected = f"<= {SLOWER:.2f}x"
    if request.environment.cores == 1:
        return untestable(text, expected, "1 usable core")
    if request.frame.physical_cores() == 1:
        return untestable(text, expected, "the usable cores are hardware threads of one, with one cache")
    return within_law(text, ratio_interval(together, apart), float("-inf"), SLOWER, TIMES)


SCENARIO = Scenario(
    id="false-sharing",
    title="Counters of different threads on one cache line against a line for each",
    group="contention",
    measure=measure,
    ceiling_s=60.0,
)
