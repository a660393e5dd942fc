"""Why reference counts need protection: threads that bump one count at the same time lose updates.

Counting means load, add and store. If two cores do so at once, both load the same number, and one of the two
updates is lost. A lost increment leaves a count too low: the object is freed while in use. A lost decrement
leaves it too high: the object is never freed, a leak. There are three ways out. The GIL lets one thread count
at a time. An atomic instruction loses nothing, but the count's memory moves between the cores at every
update. And a count per thread is neither shared nor slow: the biased counts of free-threaded builds (PEP 703)
have one for the thread that owns the object, and an atomic one for all others.

The race is on private memory, never on the count of an object.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gilprobe import kernels
from gilprobe.measuring.measure import Trial, calibrate
from gilprobe.measuring.teams import ArmPlan, run_team
from gilprobe.results import Fact, Law, fact_name
from gilprobe.scenarios.laws import claim, untestable, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials
from gilprobe.scenarios.support.races import RaceEnd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gilprobe.results import Arm

CHUNK = 50_000
"""Updates in one call, about 0.1 ms: with the GIL held, threads take turns only between calls."""

TIME = "CPU time"
"""Name of the metric: a waiting thread uses none."""


@dataclass(frozen=True, slots=True)
class CountWay:
    """One way to count."""

    name: str
    how: Literal["plain", "atomic"]
    release_gil: bool
    per_thread: bool = False


WAYS = (
    CountWay("held", "plain", release_gil=False),
    CountWay("released", "plain", release_gil=True),
    CountWay("atomic", "atomic", release_gil=True),
    CountWay("per thread", "plain", release_gil=True, per_thread=True),
)


class Race:
    """One counter, and threads that bump it in one way."""

    def __init__(self, way: CountWay, threads: int) -> None:
        self._way = way
        self._counter = kernels.Counter(slots=threads if way.per_thread else 1)
        self._threads = threads
        self._arrived = 0
        self._mine = threading.local()  # not by identifier: those of ended threads are reused
        self._lock = threading.Lock()

    def bump(self, times: int) -> None:
        """Do this thread's part."""
        way = self._way
        self._counter.bump(times, how=way.how, slot=self._slot(), release_gil=way.release_gil)

    def _slot(self) -> int:
        if not self._way.per_thread:
            return 0
        slot: int | None = getattr(self._mine, "slot", None)
        if slot is None:
            with self._lock:
                slot = self._mine.slot = self._arrived % self._threads
                self._arrived += 1
        return slot

    @property
    def value(self) -> int:
        """The counted updates."""
        return self._counter.value


def _plan(way: CountWay, threads: int, race: Race) -> ArmPlan:
    return ArmPlan(way.name, threads, race.bump, chunk=CHUNK)


def measure(request: Request) -> Findings:
    """Count in each way, alone and with the smallest and the largest team."""
    sizes = sorted({1, min(request.threads[1:], default=1), request.threads[-1]})
    if request.quick:
        sizes = sizes[:2][-1:]
    arm_ns = request.frame.arm_ns // len(sizes)
    ended: dict[tuple[str, int], list[RaceEnd]] = {}
    trials = []
    for threads in sizes:
        for way in WAYS:
            request.progress(f"calibrating {way.name}", 0.0)
            plan = _plan(way, threads, Race(way, threads))
            times = calibrate(plan, arm_ns=arm_ns, clock=request.frame.clock)
            taken = ended.setdefault((way.name, threads), [])
            trials.append(_trial(request, way, threads, times, taken))
    seen = observe_trials(request, trials, warm_up=False)
    arms = seen.measurement.arms
    losses = [arm for arm in arms if not arm.name.endswith(TIME)]
    facts = [fact for key, races in ended.items() for fact in _facts(key, races)]
    laws = [law for arm in losses for law in _laws(request, arm)]
    return Findings(
        arms, tuple(facts), tuple(laws), seen.traces, _doubts(seen.warnings), _printed(sizes, ended)
    )


def _trial(request: Request, way: CountWay, threads: int, times: int, ended: list[RaceEnd]) -> Trial:
    def run() -> Mapping[str, float]:
        race = Race(way, threads)
        ran = run_team(_plan(way, threads, race), times, clock=request.frame.clock)
        ended.append(RaceEnd(ran.operations, race.value))
        return {"": ended[-1].lost / ran.operations, TIME: ran.cpu_ns / ran.operations}

    return Trial(way.name, threads, {"": "lost/update", TIME: "ns/update"}, run)


def _facts(key: tuple[str, int], ended: list[RaceEnd]) -> Iterator[Fact]:
    name, threads = key
    yield Fact(fact_name("lost", name, threads), sum(race.lost for race in ended), "updates")
    yield Fact(fact_name("updates", name, threads), sum(race.updates for race in ended), "updates")


def _laws(request: Request, arm: Arm) -> Iterator[Law]:
    """Yield the laws about an arm's losses, only of teams: one thread can't lose any."""
    if arm.threads == 1:
        return
    text = {
        "held": "held: one thread counts at a time",
        "released": "released: two cores load, add and store at once",
        "atomic": "atomic: the count is updated in one instruction",
        "per thread": "per thread: nobody else updates a thread's count",
    }[arm.name]
    races = arm.name == "released"
    if arm.name == "held" and not request.gil_enabled:
        text, races = "held: without a GIL to hold, cores load, add and store at once", True
    text = f"{text}, {arm.threads} threads"
    worst = max(arm.samples)
    if not races:
        numbers = claim(worst, 0.0, 0.0, "share", about=arm.name)
        yield Law(text, "0 lost in every run", f"{worst:.3%} lost at worst", verdict(worst == 0), numbers)
    elif request.environment.cores == 1:
        yield untestable(text, "> 0 lost in most runs", "1 usable core")
    else:
        # Not in every run: if another process has a core, the threads may never run at once.
        losing = sum(lost > 0 for lost in arm.samples)
        measured = f"{arm.median:.3%} lost; some in {losing} of {len(arm.samples)} runs"
        yield Law(text, "> 0 lost in most runs", measured, verdict(arm.median > 0))


def _doubts(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Drop the doubts about spread: the number of losses is random, only their existence counts."""
    return tuple(text for text in warnings if not (text.startswith("unstable:") and TIME not in text))


def _printed(sizes: list[int], ended: Mapping[tuple[str, int], list[RaceEnd]]) -> str:
    threads = sizes[:2][-1]
    lines = [f"{threads} thread{'s' if threads > 1 else ''} bump one count:"]
    for way in WAYS:
        race = ended[way.name, threads][0]
        lines.append(f"{way.name:>10}: expected {race.updates:,}, got {race.value:,}, {race.lost:,} lost")
    lines.append("a lost decrement is a leak; a lost increment is an object freed while it is in use")
    return "\n".join(lines) + "\n"


SCENARIO = Scenario(
    id="refcount-race",
    title="A count that threads bump at once loses updates, unless it is held, atomic or per thread",
    group="reference counts",
    measure=measure,
    ceiling_s=90.0,
)
