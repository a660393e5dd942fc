"""A semaphore of k lets at most k threads in; an extra release lets in one more.

A semaphore counts down as threads enter and up as they leave, and at zero makes them wait. M threads that
want to stay for t each need ceil(M/k) rounds. It counts releases, not the threads inside: one release without
an acquire makes room for k + 1. ``BoundedSemaphore`` remembers its initial value, and refuses such a release
with a ValueError.

The trace shows the waiting threads off: they don't want the GIL.
"""

from __future__ import annotations

import math
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from gilprobe.measuring.measure import Trial
from gilprobe.model.confidence import ratio_interval
from gilprobe.results import Fact, Law
from gilprobe.scenarios.laws import TIMES, claim, once_law, verdict, within_law
from gilprobe.scenarios.scenario import Findings, Request, Scenario, observe_trials
from gilprobe.scenarios.support.cells import Cell, run_cell
from gilprobe.scenarios.support.roles import PATIENCE_S, act, patient

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gilprobe.results import Arm

CELL = """\
import threading

semaphore = threading.Semaphore(2)
bounded = threading.BoundedSemaphore(2)
for name, kind in (("Semaphore", semaphore), ("BoundedSemaphore", bounded)):
    try:
        kind.release()
        print(name + ": released once too often, and nothing said.")
    except ValueError as error:
        print(name + ": ValueError: " + str(error))
"""

MEMBERS = 8
"""Threads that want to enter: a multiple of each k, so that all rounds are full."""

ADMITTED = (1, 2, 4)

RANGE = (0.9, 1.2)
"""Time over the expected share of k = 1, including the wake-ups."""


class _Room:
    """A room behind a semaphore, with the largest number of threads in it."""

    def __init__(self, semaphore: threading.Semaphore) -> None:
        self._semaphore = semaphore
        self._lock = threading.Lock()
        self._inside = 0
        self.most = 0

    def stay(self, seconds: float) -> None:
        patient(self._semaphore.acquire(timeout=PATIENCE_S), "admission")
        try:
            self._count(1)
            time.sleep(seconds)
            self._count(-1)
        finally:
            self._semaphore.release()

    def _count(self, step: int) -> None:
        with self._lock:
            self._inside += step
            self.most = max(self.most, self._inside)


def visit(admitted: int, stay_s: float, *, extra: int = 0) -> Mapping[str, float]:
    """Send all members through a semaphore; return the largest number inside, and the duration.

    Parameters
    ----------
    admitted : int
        The semaphore's initial value.
    stay_s : float
        Stay of each member, seconds.
    extra : int
        Number of releases before, without an acquire.
    """
    semaphore = threading.Semaphore(admitted)
    for _ in range(extra):
        semaphore.release()
    room = _Room(semaphore)
    team = act([lambda: room.stay(stay_s)] * MEMBERS)
    return {"": room.most, "time": team.elapsed_ns / 1e9}


def measure(request: Request) -> Findings:
    """Count the threads inside, for semaphores of several sizes and one released too often."""
    stay_s = request.frame.arm_ns / 1e9 / MEMBERS
    sizes = ADMITTED[:2] if request.quick else ADMITTED
    units = {"": "inside", "time": "s"}
    trials = [Trial(_name(size), MEMBERS, units, partial(visit, size, stay_s)) for size in sizes]
    excess = Trial("k = 2, released too often", MEMBERS, units, lambda: visit(2, stay_s, extra=1))
    seen = observe_trials(request, [*trials, excess])
    arms = {arm.name: arm for arm in seen.measurement.arms}
    printed = run_cell(Cell(CELL)).text
    facts = [Fact(f"max_inside_{size}", max(arms[_name(size)].samples), "") for size in sizes]
    facts.append(Fact("max_inside_2_released_too_often", max(arms[excess.name].samples), ""))
    laws = [law for size in sizes for law in _laws(arms, size)]
    laws += [_count_law("released once too often, k = 2 lets in 3", arms[excess.name], 3, 3)]
    refused = "BoundedSemaphore: ValueError" in printed and "Semaphore: released once" in printed
    laws.append(once_law("only a BoundedSemaphore refuses to be released too often", refused))
    return Findings(seen.measurement.arms, tuple(facts), tuple(laws), seen.traces, seen.warnings, printed)


def _name(size: int) -> str:
    return f"k = {size}"


def _laws(arms: Mapping[str, Arm], size: int) -> Iterator[Law]:
    inside = arms[_name(size)]
    yield _count_law(
        f"k = {size}: never more than {size} inside, and as many at some time", inside, size, size
    )
    if size > 1:
        part = math.ceil(MEMBERS / size) / MEMBERS
        yield within_law(
            f"k = {size}: {MEMBERS} members in {math.ceil(MEMBERS / size)} rounds, time against k = 1",
            ratio_interval(arms[f"{_name(size)}, time"], arms[f"{_name(1)}, time"]),
            part * RANGE[0],
            part * RANGE[1],
            TIMES,
        )


def _count_law(text: str, arm: Arm, low: int, high: int) -> Law:
    least, most = min(arm.samples), max(arm.samples)
    return Law(
        text,
        f"{low}" if low == high else f"{low} to {high}",
        f"{least:g}" if least == most else f"{least:g} to {most:g}",
        verdict(most <= high and most >= low),
        claim(most, low, high, "", about=arm.name),
    )


SCENARIO = Scenario(
    id="semaphore",
    title="A semaphore of k lets at most k threads in, unless it is released too often",
    group="lessons",
    measure=measure,
    ceiling_s=60.0,
)
