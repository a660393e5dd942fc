"""Read, call, write: how Python threads lose updates of a variable that they share.

``counter.value += 1`` is three steps: read, add, write. A thread that reads, is suspended, and writes later
overwrites what the others have written meanwhile: their updates are lost. The GIL does not prevent that, it
only restricts when a thread can be suspended. CPython releases the GIL on request at certain points: at the
start of a Python function, after a call of a C function, at the jump back of a loop (``CHECK_EVAL_BREAKER``
in Python/ceval.c and Python/bytecodes.c, 3.10 to 3.15), and wherever C code releases it by itself. So the
bare statement loses nothing on an interpreter with a GIL: none of these points lies between its read and its
write. That is luck, not a guarantee. With any call between the two, updates are lost; with a lock around all
three steps, none.

Without a GIL the threads run at the same time, and the bare statement loses updates too.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

from gilprobe.measuring.measure import Trial, calibrate
from gilprobe.measuring.teams import ArmPlan, run_team
from gilprobe.results import Fact, Law
from gilprobe.scenarios.laws import claim, untestable, verdict
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials
from gilprobe.scenarios.support.races import RaceEnd
from gilprobe.scenarios.support.switching import switch_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gilprobe.results import Arm, Claim, Verdict

SWITCH_INTERVAL_S = 1e-6
"""The switch interval: the shorter, the more often threads are interrupted."""

CHUNK = 20_000
"""Updates between two checks whether the team was cancelled."""

SLEEPY_CHUNK = 200
"""The same if each update sleeps: some 60 us, Linux's shortest sleep."""


class Shared:
    """The shared variable."""

    def __init__(self) -> None:
        self.value = 0
        self.lock = threading.Lock()


def look(value: int) -> int:
    """Return the argument: only the call matters."""
    return value


def add_plainly(counter: Shared, times: int) -> None:
    """Update in one statement."""
    for _ in repeat(None, times):
        counter.value += 1


def add_after_call(counter: Shared, times: int) -> None:
    """Read, call a Python function, write."""
    for _ in repeat(None, times):
        value = counter.value
        value = look(value)
        counter.value = value + 1


def add_after_sleep(counter: Shared, times: int) -> None:
    """Read, certainly release the GIL, write."""
    for _ in repeat(None, times):
        value = counter.value
        time.sleep(0)
        counter.value = value + 1


def add_with_lock(counter: Shared, times: int) -> None:
    """Read, call a Python function, write, all with a lock."""
    for _ in repeat(None, times):
        with counter.lock:
            value = counter.value
            value = look(value)
            counter.value = value + 1


@dataclass(frozen=True, slots=True)
class _UpdateWay:
    """One way to update."""

    name: str
    add: Callable[[Shared, int], None]
    chunk: int
    shown: str


PLAIN = _UpdateWay("plain", add_plainly, CHUNK, "counter.value += 1")
CALL = _UpdateWay(
    "call", add_after_call, CHUNK, "value = counter.value; value = look(value); counter.value = value + 1"
)
SLEEP = _UpdateWay(
    "sleep",
    add_after_sleep,
    SLEEPY_CHUNK,
    "value = counter.value; time.sleep(0); counter.value = value + 1",
)
LOCK = _UpdateWay("locked", add_with_lock, CHUNK, "with counter.lock: value = counter.value; ...")
WAYS = (PLAIN, CALL, SLEEP, LOCK)


def race(way: _UpdateWay, threads: int, times: int) -> RaceEnd:
    """Let `threads` threads update one counter `times` times each."""
    counter = Shared()
    with switch_interval(SWITCH_INTERVAL_S):
        run = run_team(_plan(way, threads, counter), times)
    return RaceEnd(run.operations, counter.value)


def _plan(way: _UpdateWay, threads: int, counter: Shared) -> ArmPlan:
    return ArmPlan(way.name, threads, lambda times: way.add(counter, times), chunk=way.chunk)


def measure(request: Request) -> Findings:
    """Race in each way, with the smallest and the largest team."""
    teams = sorted({min(request.threads[1:], default=1), request.threads[-1]})
    if request.quick:
        teams = teams[:1]
    # Half of a run's time: losses are counted, not time.
    arm_ns = request.frame.arm_ns // 2
    races: dict[tuple[str, int], list[RaceEnd]] = {}
    trials = []
    for threads in teams:
        for way in WAYS:
            request.progress(f"calibrating {way.name}", 0.0)
            with switch_interval(SWITCH_INTERVAL_S):
                times = calibrate(_plan(way, threads, Shared()), arm_ns=arm_ns, clock=request.frame.clock)
            trials.append(_trial(way, threads, times, races.setdefault((way.name, threads), [])))
    seen = observe_trials(request, trials, warm_up=False)
    arms = seen.measurement.arms
    facts = [fact for key, taken in races.items() for fact in _facts(key, taken)]
    laws = [law for arm in arms for law in _laws(request, arm)]
    return Findings(
        arms, tuple(facts), tuple(laws), seen.traces, _doubts(seen.warnings), _printed(teams[0], races)
    )


def _trial(way: _UpdateWay, threads: int, times: int, races: list[RaceEnd]) -> Trial:
    def run() -> Mapping[str, float]:
        ended = race(way, threads, times)
        races.append(ended)
        return {"": ended.lost / ended.updates}

    return Trial(way.name, threads, {"": "lost/update"}, run)


def _facts(key: tuple[str, int], races: list[RaceEnd]) -> Iterator[Fact]:
    name, threads = key
    yield Fact(f"lost_{name}_{threads}", sum(race.lost for race in races), "updates")
    yield Fact(f"updates_{name}_{threads}", sum(race.updates for race in races), "updates")


def _laws(request: Request, arm: Arm) -> Iterator[Law]:
    """Yield the law of the arm's losses: nothing in any run, or something in most."""
    if arm.name == LOCK.name:
        yield _none("locked: nobody else is between read and write", arm)
    elif arm.threads == 1:
        yield _none(f"{arm.name}: there is nobody to lose to", arm)
    elif request.gil_enabled:
        if arm.name == PLAIN.name:
            yield _none("plain: the GIL is not released between read and write", arm)
        else:
            yield _some(f"{arm.name}: the GIL is released between read and write", arm)
    elif request.environment.cores == 1:
        yield untestable(
            f"{arm.name}: without a GIL others write between read and write, {arm.threads} threads",
            "> 0 lost",
            "1 usable core",
        )
    else:
        yield _some(f"{arm.name}: without a GIL others write between read and write", arm)


def _none(text: str, arm: Arm) -> Law:
    worst = max(arm.samples)
    numbers = claim(worst, 0.0, 0.0, "share", about=arm.name)
    return _law(text, arm, "0 lost in every run", f"{worst:.3%} lost at worst", verdict(worst == 0), numbers)


def _some(text: str, arm: Arm) -> Law:
    # Not in every run: if another process has the cores, one thread may finish before the next begins.
    losing = sum(lost > 0 for lost in arm.samples)
    measured = f"{arm.median:.3%} lost; some in {losing} of {len(arm.samples)} runs"
    return _law(text, arm, "> 0 lost in most runs", measured, verdict(arm.median > 0), None)


def _law(text: str, arm: Arm, expected: str, measured: str, holds: Verdict, numbers: Claim | None) -> Law:
    plural = "s" if arm.threads > 1 else ""
    return Law(f"{text}, {arm.threads} thread{plural}", expected, measured, holds, numbers)


def _doubts(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Drop the doubts about spread: the number of losses is random, only their existence counts."""
    return tuple(text for text in warnings if not text.startswith("unstable:"))


def _printed(threads: int, races: Mapping[tuple[str, int], list[RaceEnd]]) -> str:
    lines = [f"{threads} thread{'s' if threads > 1 else ''} update one counter:"]
    for way in WAYS:
        shown = races[way.name, threads][0]
        lines.append(way.shown)
        lines.append(f"    expected {shown.updates:,}, got {shown.value:,}: {shown.lost:,} lost")
    return "\n".join(lines) + "\n"


SCENARIO = Scenario(
    id="race-python",
    title="Read, call, write: Python threads lose updates without a lock, and none with one",
    group="lessons",
    measure=measure,
    ceiling_s=90.0,
)
