"""A barrier lets all through or none: nobody leaves before the last has come; a time-out breaks it.

T threads that call ``Barrier.wait`` are held until all are there. Then they leave one after another: each has
to wake up, and to get the GIL. If those who have left go to sleep, the others follow within microseconds. If
they begin to compute, each of the others must wait for a switch interval, so "together" means some intervals
apart. If one gives up waiting, or ``abort`` is called, the barrier is broken, and all get a
``BrokenBarrierError``: none passes.

The trace shows the reason: the waits of the members, and the forced releases that end them.
"""

from __future__ import annotations

import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from gilprobe.measuring.measure import Trial
from gilprobe.results import Fact, Law, fact_name
from gilprobe.scenarios.contention.python_loop import countdown
from gilprobe.scenarios.laws import SECONDS, every_law, value_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials
from gilprobe.scenarios.support.cells import Cell, run_cell
from gilprobe.scenarios.support.roles import PATIENCE_S, act

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gilprobe.results import Arm

CELL = """\
import threading
import time

barrier = threading.Barrier(3)

def thread_function(name, timeout):
    time.sleep(name * SLEEP_S)
    print("Thread " + str(name) + ": waits.")
    try:
        barrier.wait(timeout if name else None)
        print("Thread " + str(name) + ": passed.")
    except threading.BrokenBarrierError:
        print("Thread " + str(name) + ": the barrier is broken.")

def meet(names, timeout=None):
    threads = [threading.Thread(target=thread_function, args=(name, timeout)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

if __name__ == "__main__":
    print("Main    : three threads meet.")
    meet(range(3))
    print("Main    : the third does not come.")
    meet(range(2), 20 * SLEEP_S)
"""

COMES = 0.001
"""Time between the arrivals of two members, seconds."""

TURNS = 3
"""Switch intervals per member to compute after the barrier: none ends before the last has left."""

SPIN = 5000


class Meeting:
    """Members who meet at a barrier repeatedly, and their observations.

    Attributes
    ----------
    held : list of bool
        For each run, whether all left after the last had come.
    """

    def __init__(self, members: int, then: Callable[[], object]) -> None:
        self._members = members
        self._then = then
        self.held: list[bool] = []

    def run(self) -> Mapping[str, float]:
        """Meet once; return the time from the first member's leaving to the last one's."""
        barrier = threading.Barrier(self._members)
        came: list[int] = []
        left: list[int] = []

        def member(number: int) -> None:
            time.sleep(number * COMES)
            came.append(time.perf_counter_ns())
            barrier.wait(PATIENCE_S)
            left.append(time.perf_counter_ns())
            self._then()

        act([partial(member, number) for number in range(self._members)])
        self.held.append(len(left) == self._members and min(left) >= max(came))
        return {"": (max(left) - min(left)) / 1e9}


def broken(members: int, patience_s: float) -> tuple[int, int]:
    """Let all except one meet, and give up: return how many passed, and how many saw the barrier broken."""
    barrier = threading.Barrier(members)
    seen: list[bool] = []

    def member(timeout_s: float) -> None:
        try:
            barrier.wait(timeout_s)
            seen.append(True)
        except threading.BrokenBarrierError:
            seen.append(False)

    # One gives up; the others would wait longer.
    patience = [patience_s] + [PATIENCE_S] * (members - 2)
    act([partial(member, timeout_s) for timeout_s in patience])
    return seen.count(True), seen.count(False)


def _rest() -> None:
    time.sleep(COMES)


def computing(members: int, interval_s: float) -> Callable[[], None]:
    """Return a function that computes until all members can have left a barrier."""

    def compute() -> None:
        end_s = time.monotonic() + TURNS * members * interval_s
        while time.monotonic() < end_s:
            countdown(SPIN)

    return compute


def measure(request: Request) -> Findings:
    """Measure how far apart members leave a barrier, and break one."""
    interval_s = request.environment.switch_interval_s
    sizes = _sizes(request)
    meetings = {}
    for size in sizes:
        meetings["then sleep", size] = Meeting(size, _rest)
        meetings["then compute", size] = Meeting(size, computing(size, interval_s))
    trials = [Trial(name, size, {"": "s"}, met.run) for (name, size), met in meetings.items()]
    seen = observe_trials(request, trials)
    breaks = [broken(max(sizes) + 1, COMES) for _ in range(request.frame.repeat)]
    arms = seen.measurement.arms
    facts = tuple(Fact(fact_name("release_skew", arm.name, arm.threads), arm.median, "s") for arm in arms)
    held = [whole for met in meetings.values() for whole in met.held]
    laws = (
        every_law("none leaves before the last has come", sum(held), len(held)),
        *(_skew_law(request, arm, interval_s) for arm in arms),
        every_law(
            "one gives up: none passes, all get BrokenBarrierError",
            sum(passed == 0 and failed == max(sizes) for passed, failed in breaks),
            len(breaks),
        ),
    )
    printed = run_cell(Cell(CELL, {"SLEEP_S": COMES})).text
    return Findings(arms, facts, laws, seen.traces, seen.warnings, printed)


def _sizes(request: Request) -> tuple[int, ...]:
    """Return numbers of members: 2, and a few of the larger requested sizes."""
    larger = [size for size in request.threads if 2 < size <= MOST]
    return (2,) if request.quick else tuple(sorted({2, *larger[-2:]}))


MOST = 16
"""Limit of members: computing ones take turns, three intervals for each other one."""


def _skew_law(request: Request, arm: Arm, interval_s: float) -> Law:
    if arm.name == "then compute" and request.gil_enabled:
        text = f"members who then compute leave a switch interval apart or more, {arm.threads} members"
        return value_law(text, arm, interval_s, math.inf, SECONDS)
    text = f"members who {arm.name} leave within a switch interval, {arm.threads} members"
    return value_law(text, arm, 0.0, interval_s, SECONDS)


SCENARIO = Scenario(
    id="barrier",
    title="A barrier: all or none, and how far apart its members leave",
    group="lessons",
    measure=measure,
    ceiling_s=90.0,
)
